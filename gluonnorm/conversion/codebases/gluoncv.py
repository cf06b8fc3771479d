"""GluonCV: Faster and Mask R-CNN on ResNet v1b and v1d, C4 and FPN, BatchNorm and SyncBatchNorm, and their backbones.

Names are those of ``save_parameters``. Classifiers and C4 detectors have structural ones; an FPN was a ``SymbolBlock``,
whose layers are counted from the image on: ``features.resnetv1b_layers2_conv4_weight`` is ``layer2.1.conv2.weight``.

In the models with SyncBatchNorm the FPN's own norms have eps 1e-3 and a gamma that counts as 1 whatever is stored. In
the Mask R-CNN among them, convolutions in front of a norm have a bias, and a norm follows the mask's deconvolution.
``_prepare`` writes all that as the layers we have, ``_finish`` undoes it; in inference the function is the same.
"""
import re
from typing import Any, Iterator, List, Tuple

from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.rules import EPSILON, Arrays, Harmless, Rule, Shapes, Source

import numpy as np

LEAVES = {leaf: (leaf,) for leaf in ("weight", "bias", "gamma", "beta", "running_mean", "running_var")}
FPN_LEAVES = {**LEAVES, "running_mean": ("moving_mean",), "running_var": ("moving_var",)}
SYNC_BN = "backbone.lateral5.norm.running_mean"  # ours that correspond to the models with SyncBatchNorm have it
FPN_EPSILON = 1e-3  # the default of the symbol's SyncBatchNorm
CONVENTION = {"anchors": "legacy", "anchor_order": "ratio", "inclusive": False, "proposal_nms": "joint",
              "level_offset": 1.0, "roi_aligned": False}  # what of a BoxConvention GluonCV cannot have otherwise
FPN_CELLS, C4_CELLS, FEWEST_CELLS = 384, 128, 16  # side of the anchor tables in a file: first level, C4, and at least
FPN_PAIRS = (*((f"features.P{i}_conv_lat", f"features.P{i}_conv1_bn") for i in (2, 3, 4)),
             ("features.P5_conv_lat", "features.P5_lat_bn"), ("features.P6_conv1", "features.P6_pre_bn"),
             *((f"features.P{i}_conv1", f"features.P{i}_bn") for i in (2, 3, 4, 5)))  # a convolution and its norm


def _rules(shapes: Shapes) -> List[Rule]:
    pyramid = "backbone.lateral5.conv.weight" in shapes
    box_convs, mask_convs = (sum(re.fullmatch(head + r"\.convs\.\d\.conv\.weight", name) is not None for name in shapes)
                             for head in ("box_head", "mask_head"))
    rpn = "rpn.rpn_head." if pyramid else "rpn."
    first = int(mask_convs == 4 and not box_convs)  # then RoIs of 14 cells are pooled first, and that layer counts
    per_conv = 3 if "mask_head.convs.0.norm.gamma" in shapes else 2
    deconv = f"mask.deconv.{per_conv * mask_convs}.{{leaf}}" if mask_convs else "mask.deconv.{leaf}"
    return [
        *_trunk(shapes, pyramid),
        Rule(r"backbone\.lateral(?P<i>\d)\.conv", ("features.P{i}_conv_lat_{leaf}",)),
        Rule(r"backbone\.output(?P<i>\d)\.conv", ("features.P{i}_conv1_{leaf}",)),
        *(_pyramid_norms() if SYNC_BN in shapes else ()),
        Rule(r"rpn\.conv", (rpn + "conv1.0.{leaf}",)),
        Rule(r"rpn\.(?P<layer>score|loc)", (rpn + "{layer}.{leaf}",)),
        Rule(r"box_head\.convs\.(?P<i>\d)\.conv", ("box_features.{i/2*3}.{leaf}",)),
        Rule(r"box_head\.convs\.(?P<i>\d)\.norm", ("box_features.{i/2*3+1}.{leaf}",)),
        Rule(r"box_head\.fc(?P<i>[12])", (f"box_features.{{i-1*2+{3 * box_convs + first}}}.{{leaf}}",)),
        Rule(r"predictor\.score", ("class_predictor.{leaf}",)),
        Rule(r"predictor\.loc", ("box_predictor.{leaf}",)),
        Rule(r"mask_head\.convs\.(?P<i>\d)\.conv", (f"mask.deconv.{{i/2*{per_conv}}}.{{leaf}}",)),
        Rule(r"mask_head\.convs\.(?P<i>\d)\.norm", (f"mask.deconv.{{i/2*{per_conv}+1}}.{{leaf}}",)),
        Rule(r"mask_head\.deconv", (deconv,)),
        Rule(r"mask_head\.score", ("mask.mask.{leaf}",)),
    ]


def _pyramid_norms() -> List[Rule]:
    return [Rule(r"backbone\." + ours, (f"features.{name}_{{leaf}}",), leaves=FPN_LEAVES) for ours, name in (
        (r"lateral5\.norm", "P5_lat_bn"), (r"lateral(?P<i>\d)\.norm", "P{i}_conv1_bn"),
        (r"output6\.norm", "P6_pre_bn"), (r"output(?P<i>\d)\.norm", "P{i}_bn"))]


def _trunk(shapes: Shapes, pyramid: bool) -> List[Rule]:
    """The ResNet, whether in an FPN, in a C4 detector or alone; each may be loaded from the file of another."""
    deep = any(re.fullmatch(r"(backbone\.)*conv1\.0\.weight", name) for name in shapes)
    per_block = 3 if any(name.endswith(".conv3.weight") for name in shapes) else 2
    net, bn1, shortcut = ("resnetv1d", 2, 1) if deep else ("resnetv1b", 0, 0)
    # {norm} is the word for a norm's kind; models with norms in the FPN have SyncBatchNorm throughout, others never.
    norms = ["{norm}", "syncbatchnorm"]
    if SYNC_BN in shapes:
        norms.reverse()

    def layer(ours: str, structural: str, in_detector: str, *flat: str) -> Rule:
        candidates = [f"features.{net}_{name}_{{leaf}}" for name in flat]
        c4 = in_detector + ".{leaf}"
        names = [*candidates, c4, structural] if pyramid else [c4, structural, *candidates]
        if not any(name.startswith("backbone.") for name in shapes):  # a bare backbone is saved as a classifier
            names = [structural, c4, *candidates]
        return Rule(r"(?:backbone\.)*" + ours, tuple(names))

    rules = [
        layer("conv1", "conv1.{leaf}", "features.0", "conv0"),
        *(layer(rf"conv1\.{3 * i}", f"conv1.{3 * i}.{{leaf}}", f"features.0.{3 * i}", f"conv{i}") for i in range(3)),
        *(layer(rf"conv1\.{3 * i + 1}", f"conv1.{3 * i + 1}.{{leaf}}", f"features.0.{3 * i + 1}",
                *(f"{norm}{i}" for norm in norms)) for i in range(2)),
        layer("bn1", "bn1.{leaf}", "features.1", *(f"{norm}{bn1}" for norm in norms)),
    ]
    places = ((r"layer(?P<n>[1-3])\.", "layer{n}.", "features.{n+3}."),
              (r"layer(?P<n>4)\.", "layer4.", "top_features.0."),
              (r"box_head\.stage\.(?:layer4\.)?", "layer4.", "top_features.0."))
    for ours, structural, in_detector in places:
        n = "{n}" if "<n>" in ours else "4"
        block = ours + r"(?P<b>\d+)\."
        for i in range(per_block):
            count = f"{{b*{per_block}+{i}}}"
            rules += [layer(f"{block}conv{i + 1}", f"{structural}{{b}}.conv{i + 1}.{{leaf}}",
                            f"{in_detector}{{b}}.conv{i + 1}", f"layers{n}_conv{count}"),
                      layer(f"{block}bn{i + 1}", f"{structural}{{b}}.bn{i + 1}.{{leaf}}",
                            f"{in_detector}{{b}}.bn{i + 1}", *(f"layers{n}_{norm}{count}" for norm in norms))]
        for i, flat in ((shortcut, ["conv"]), (shortcut + 1, norms)):
            rules.append(layer(rf"{block}downsample\.{i}", f"{structural}{{b}}.downsample.{i}.{{leaf}}",
                               f"{in_detector}{{b}}.downsample.{i}", *(f"down{n}_{kind}0" for kind in flat)))
    return rules


def _prepare(arrays: Arrays, shapes: Shapes) -> Arrays:
    """A file's arrays, rewritten for layers of ours: what differs is said at the top."""
    arrays = dict(arrays)
    for conv, norm in FPN_PAIRS:
        if _alike(arrays, f"{norm}_gamma", f"{norm}_moving_var"):
            arrays[f"{norm}_gamma"] = np.ones_like(arrays[f"{norm}_gamma"])
            arrays[f"{norm}_moving_var"] = arrays[f"{norm}_moving_var"].astype(np.float32) + np.float32(
                FPN_EPSILON - EPSILON)
            _bias_into_mean(arrays, f"{conv}_bias", f"{norm}_moving_mean")
    for conv, norm in _conv_and_norm(arrays):
        if arrays[f"{conv}.weight"].shape[2:] == (2, 2) and "mask_head.deconv.weight" in shapes:
            _norm_into_deconv(arrays, conv, norm)
        else:
            _bias_into_mean(arrays, f"{conv}.bias", f"{norm}.running_mean")
    return arrays


def _conv_and_norm(arrays: Arrays) -> Iterator[Tuple[str, str]]:
    """Layers of the heads that are a convolution and the norm after it."""
    for name in sorted(arrays):
        match = re.fullmatch(r"((?:box_features|mask\.deconv)\.)(\d+)\.gamma", name)
        if match and f"{match.group(1)}{int(match.group(2)) - 1}.weight" in arrays:
            yield match.group(1) + str(int(match.group(2)) - 1), match.group(1) + match.group(2)


def _alike(arrays: Arrays, *names: str) -> bool:
    """Whether all are there, floats of one length; what is not is left for the complaint that follows."""
    found = [arrays[name] for name in names if name in arrays]
    return (len(found) == len(names) and len({array.shape for array in found}) == 1
            and all(np.issubdtype(array.dtype, np.floating) for array in found))


def _bias_into_mean(arrays: Arrays, bias: str, mean: str) -> None:
    if _alike(arrays, bias, mean):
        arrays[mean] = (arrays[mean] - arrays.pop(bias).astype(np.float64)).astype(np.float32)


def _norm_into_deconv(arrays: Arrays, conv: str, norm: str) -> None:
    names = [f"{norm}.{leaf}" for leaf in ("gamma", "beta", "running_mean", "running_var")]
    if not _alike(arrays, f"{conv}.bias", *names):
        return
    gamma, beta, mean, variance = (arrays.pop(name).astype(np.float64) for name in names)
    scale = gamma / np.sqrt(variance + EPSILON)
    arrays[f"{conv}.weight"] = (arrays[f"{conv}.weight"] * scale[:, None, None]).astype(np.float32)
    arrays[f"{conv}.bias"] = ((arrays[f"{conv}.bias"] - mean) * scale + beta).astype(np.float32)


def _finish(net: Any, arrays: Arrays) -> Arrays:
    """What a file of GluonCV has beyond our arrays, and those it reads otherwise: strict loading needs all of it."""
    more: Arrays = {}
    if "class_predictor.weight" not in arrays:
        return more
    convention = net.config.convention
    others = [name for name, value in CONVENTION.items() if getattr(convention, name) != value]
    if others:
        raise ConversionError(f"the network's convention differs from GluonCV's in {', '.join(others)}, so GluonCV "
                              "would detect something else with these weights; only a network built with "
                              "convention='gluoncv' can be saved for it")
    for conv, norm in FPN_PAIRS:
        if f"{norm}_gamma" in arrays:
            more.update(_unit_gamma(arrays, conv, norm))
    if more and "mask.mask.weight" in arrays:
        more.update({f"{conv}_bias": np.zeros(arrays[f"{conv}_weight"].shape[0], np.float32) for conv, _ in FPN_PAIRS})
        for conv, _ in _conv_and_norm(arrays):
            more[f"{conv}.bias"] = np.zeros(arrays[f"{conv}.weight"].shape[0], np.float32)
        more.update(_norm_after_deconv(arrays))
    more.update(_anchor_tables(net.backbone.strides, net.config.anchor_sizes, net.config.anchor_ratios))
    return more


def _unit_gamma(arrays: Arrays, conv: str, norm: str) -> Arrays:
    """The same layer with gamma 1 and GluonCV's eps: the rest of the scale goes into the convolution."""
    gamma, mean, variance = (arrays[f"{norm}_{leaf}"].astype(np.float64)
                             for leaf in ("gamma", "moving_mean", "moving_var"))
    stored = np.maximum(variance + EPSILON - FPN_EPSILON, 0)
    scale = gamma * np.sqrt((stored + FPN_EPSILON) / (variance + EPSILON))
    changed = {f"{conv}_weight": arrays[f"{conv}_weight"] * scale[:, None, None, None],
               f"{norm}_gamma": np.ones_like(gamma), f"{norm}_moving_mean": mean * scale, f"{norm}_moving_var": stored}
    return {name: array.astype(np.float32) for name, array in changed.items()}


def _norm_after_deconv(arrays: Arrays) -> Arrays:
    """A norm that changes nothing, for the one behind the deconvolution of the mask."""
    last = max(int(name.split(".")[2]) for name in arrays if re.fullmatch(r"mask\.deconv\.\d+\.weight", name))
    zeros = np.zeros_like(arrays[f"mask.deconv.{last}.bias"])
    values = {"gamma": zeros + 1, "beta": zeros, "running_mean": zeros, "running_var": zeros + np.float32(1 - EPSILON)}
    return {f"mask.deconv.{last + 1}.{leaf}": value for leaf, value in values.items()}


def _anchor_tables(strides: Tuple[int, ...], sizes: Any, ratios: Any) -> Arrays:
    """Anchors as GluonCV stores them: for each level (1, 1, cells, cells, 4 A), ratio before size within a cell."""
    tables = {}
    for level, (stride, level_sizes) in enumerate(zip(strides, sizes)):
        widths = np.round(np.sqrt(stride * stride / np.asarray(ratios, float)))
        windows = np.stack([widths, np.round(widths * ratios)], axis=-1)
        sides = windows[:, None] * (np.asarray(level_sizes, float)[:, None] / stride)
        half = (sides.reshape(-1, 2) - 1) / 2
        cell = (stride - 1) / 2 + np.concatenate([-half, half], axis=-1)
        cells = C4_CELLS if len(strides) == 1 else max(FPN_CELLS >> level, FEWEST_CELLS)
        y, x = np.mgrid[:cells, :cells] * stride
        table = np.stack([x, y, x, y], axis=-1)[:, :, None] + cell
        name = "rpn.anchor_generator.anchors" if len(strides) == 1 else f"rpn.anchor_generator.{level}.anchors"
        tables[name] = table.reshape(1, 1, cells, cells, -1).astype(np.float32)
    return tables


GLUONCV = Source(
    name="gluoncv",
    rules=_rules,
    leaves=LEAVES,
    norms={"bn": "batchnorm", "gn": "groupnorm"},
    convention="gluoncv",
    harmless=(Harmless(r"rpn\.anchor_generator(\.\d)?\.anchors", "anchors, which we compute"),
              Harmless(r"fc\.(weight|bias)", "the classifier of ImageNet"),
              Harmless(r".*\.(means|stds)", "constants of the training targets")),
    heads=r"(?:rpn|mask|box_features|class_predictor|box_predictor)\..*|features\.P\d_.*",
    stride={"bn": "conv2", "gn": "conv2"},
    looks_like=r"^(features\.(resnetv1|[014]\.)|top_features\.|rpn\.anchor_generator|class_predictor\.)",
    prepare=_prepare,
    extras=_finish,
    saves=(".params",),
)
