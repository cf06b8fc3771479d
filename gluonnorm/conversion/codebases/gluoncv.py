"""GluonCV: Faster and Mask R-CNN on ResNet v1b and v1d, C4 and FPN, and their backbones.

``gluoncv_backbones`` has the names of ResNeSt and MobileNet.

The names are those of ``save_parameters``. Classifiers and C4 detectors have structural names. A
pyramid is a ``SymbolBlock``, so its file has flat names, which number the layers of each stage:
``features.resnetv1b_layers2_conv4_weight`` is ``layer2.1.conv2.weight``, since convolutions are
numbered from 0 and a block has three of them.

Sources: gluoncv/model_zoo/ (resnetv1b.py; rcnn/faster_rcnn/predefined_models.py;
rcnn/mask_rcnn/mask_rcnn.py), and gluoncv/nn/feature.py for the pyramid. ``gluoncv_norms`` and
``gluoncv_anchors`` have what is more than names.
"""

import re
from typing import Any, List, NamedTuple, Sequence, Tuple

from gluonnorm.convention import CONVENTIONS
from gluonnorm.conversion.codebase import Codebase, IgnoredTensor
from gluonnorm.conversion.codebases.gluoncv_anchors import anchor_tables, stored_sizes
from gluonnorm.conversion.codebases.gluoncv_backbones import (
    other_backbone_rules,
    with_first_mobilenet,
)
from gluonnorm.conversion.codebases.gluoncv_norms import rewrite_norms, sync_norm_additions
from gluonnorm.conversion.compatibility import differing_fields
from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.layouts import Arrays
from gluonnorm.conversion.rules import LeafNames, Rule, Shapes, count_convs

import numpy as np

LEAVES: LeafNames = {
    "weight": ("weight",),
    "bias": ("bias",),
    "gamma": ("gamma",),
    "beta": ("beta",),
    "running_mean": ("running_mean",),
    "running_var": ("running_var",),
}
# The norms of the pyramid are operators of a symbol, whose auxiliary states are called "moving".
PYRAMID_NORM_LEAVES: LeafNames = {
    **LEAVES,
    "running_mean": ("moving_mean",),
    "running_var": ("moving_var",),
}
# Only networks that correspond to GluonCV's models with SyncBatchNorm have this parameter.
SYNC_NORM_MARK = "backbone.lateral5.norm.running_mean"
PYRAMID_MARK = "backbone.lateral5.conv.weight"
# GluonCV has no setting for these fields of a convention. A network that was built with other
# values detects something else in GluonCV.
REQUIRED_FIELDS = (
    "anchors",
    "anchor_order",
    "inclusive",
    "proposal_nms",
    "level_offset",
    "roi_aligned",
)
# Settings that differ among GluonCV's models, although their weights have the same shapes.
SETTINGS_IN_NO_FILE = (
    "short",
    "max_size",
    "nms_thresh",
    "rpn_test_post_nms",
    "rpn_min_size",
    "delta_clip",
)
# Mask convolutions in the models that pool RoIs of 14 x 14 cells for both heads.
CONVS_WITH_POOLING = 4


class ResNetLayer(NamedTuple):
    """The names of one layer of a ResNet in the three types of files.

    Attributes
    ----------
    layer : str
        Pattern of the layer's name in gluonnorm, without the prefixes of a detector.
    classifier : str
        Its name in the file of a classifier.
    c4 : str
        Its name in the file of a C4 detector.
    pyramid : tuple of str
        Its flat names in the file of a detector with a pyramid, best first.
    """

    layer: str
    classifier: str
    c4: str
    pyramid: Tuple[str, ...]


def _rules(shapes: Shapes) -> List[Rule]:
    """Make the table of names, which depends on how many layers the heads have."""
    has_pyramid = PYRAMID_MARK in shapes
    rpn = "rpn.rpn_head." if has_pyramid else "rpn."
    box_convs = count_convs(shapes, "box_head")
    mask_convs = count_convs(shapes, "mask_head")
    # A head is a sequence of convolution, norm and ReLU, or of convolution and ReLU. gluonnorm
    # always counts a convolution with its norm as one, then the ReLU: hence i/2 * 3, or i/2 * 2.
    per_mask_conv = 3 if "mask_head.convs.0.norm.gamma" in shapes else 2
    # The linear layers are every second one, after the convolutions of the box head. A pooling that
    # halves the RoIs comes first in models whose heads share RoIs of 14 x 14 cells.
    has_pooling = mask_convs == CONVS_WITH_POOLING and not box_convs
    # A pooling before convolutions is a layer of their sequence here, too.
    has_pooling = has_pooling or "box_head.convs.1.conv.weight" in shapes
    pooling = int(has_pooling)
    first_linear = 3 * box_convs + pooling
    # Without convolutions the deconvolution is not in a sequence, so it has no number.
    deconv = f"mask.deconv.{per_mask_conv * mask_convs}" if mask_convs else "mask.deconv"
    return [
        *_resnet_rules(shapes, has_pyramid),
        *other_backbone_rules(shapes, has_pyramid),
        Rule(r"backbone\.lateral(?P<level>\d)\.conv", ("features.P{level}_conv_lat_{leaf}",)),
        Rule(r"backbone\.output(?P<level>\d)\.conv", ("features.P{level}_conv1_{leaf}",)),
        *(_pyramid_norm_rules() if SYNC_NORM_MARK in shapes else []),
        Rule(r"rpn\.conv", (rpn + "conv1.0.{leaf}",)),
        Rule(r"rpn\.(?P<layer>score|loc)", (rpn + "{layer}.{leaf}",)),
        Rule(r"box_head\.convs\.(?P<i>\d)\.conv", (f"box_features.{{i/2*3+{pooling}}}.{{leaf}}",)),
        Rule(
            r"box_head\.convs\.(?P<i>\d)\.norm", (f"box_features.{{i/2*3+{pooling + 1}}}.{{leaf}}",)
        ),
        Rule(r"box_head\.fc(?P<i>[12])", _linear_names(first_linear, bool(box_convs))),
        *_double_head_rules(),
        Rule(r"predictor\.score", ("class_predictor.{leaf}",)),
        Rule(r"predictor\.loc", ("box_predictor.{leaf}",)),
        Rule(
            r"mask_head\.convs\.(?P<i>\d)\.conv",
            (f"mask.deconv.{{i/2*{per_mask_conv}}}.{{leaf}}",),
        ),
        Rule(
            r"mask_head\.convs\.(?P<i>\d)\.norm",
            (f"mask.deconv.{{i/2*{per_mask_conv}+1}}.{{leaf}}",),
        ),
        Rule(r"mask_head\.deconv", (deconv + ".{leaf}",)),
        Rule(r"mask_head\.score", ("mask.mask.{leaf}",)),
    ]


def _linear_names(first_linear: int, is_certain: bool) -> Tuple[str, ...]:
    """Name the linear layers of a box head, the first of which is at this position.

    Shapes do not tell whether a pooling comes before two linear layers. A file can tell: if so,
    the positions are odd, where a file without it has the ReLU.
    """
    positions = (first_linear,) if is_certain else (first_linear, 1 - first_linear)
    return tuple(f"box_features.{{i-1*2+{position}}}.{{leaf}}" for position in positions)


def _double_head_rules() -> List[Rule]:
    """Make the rules for the branches of a double head."""
    # The body of a block is a sequence of convolution and ReLU: hence i-1 * 2.
    block = r"box_head\.branches\.blocks\.(?P<block>\d)\."
    name = "newbox_features.{block}."
    return [
        Rule(r"box_head\.branches\.fc(?P<i>[12])", ("class_features.{i-1*2}.{leaf}",)),
        Rule(block + r"conv(?P<i>[1-3])", (name + "body.{i-1*2}.{leaf}",)),
        Rule(block + "shortcut", (name + "downsample.0.{leaf}",)),
    ]


def _pyramid_norm_rules() -> List[Rule]:
    """Make the rules for the norms of the pyramid; the coarsest levels have other names."""
    return [
        _pyramid_norm_rule(r"lateral5", "P5_lat_bn"),
        _pyramid_norm_rule(r"lateral(?P<level>\d)", "P{level}_conv1_bn"),
        _pyramid_norm_rule(r"output6", "P6_pre_bn"),
        _pyramid_norm_rule(r"output(?P<level>\d)", "P{level}_bn"),
    ]


def _pyramid_norm_rule(layer: str, name: str) -> Rule:
    """Make the rule for a norm of the pyramid."""
    return Rule(
        rf"backbone\.{layer}\.norm",
        (f"features.{name}_{{leaf}}",),
        leaves=PYRAMID_NORM_LEAVES,
    )


def _resnet_rules(shapes: Shapes, has_pyramid: bool) -> List[Rule]:
    """Make the rules for the ResNet: every type of file loads into every type of network."""
    # A v1d network has a stem of three convolutions, and an average pooling first in its shortcuts.
    is_deep = any(re.fullmatch(r"(backbone\.)*conv1\.0\.weight", name) for name in shapes)
    has_bottlenecks = any(name.endswith(".conv3.weight") for name in shapes)
    is_bare = not any(name.startswith("backbone.") for name in shapes)
    # {norm} is the word for the type of the norm. Models with norms in the pyramid have
    # SyncBatchNorm throughout, others never have it; all are loaded.
    norm_words = ["{norm}", "syncbatchnorm"]
    if SYNC_NORM_MARK in shapes:
        norm_words.reverse()
    layers = _stem_layers(is_deep, norm_words)
    layers += _stage_layers(is_deep, 3 if has_bottlenecks else 2, norm_words)

    flat_prefix = "features.resnetv1d_" if is_deep else "features.resnetv1b_"
    rules = []
    for layer, classifier, c4, pyramid in layers:
        flat_templates = tuple(f"{flat_prefix}{name}_{{leaf}}" for name in pyramid)
        classifier_template = classifier + ".{leaf}"
        c4_template = c4 + ".{leaf}"
        # The first template is the one that is saved: that of the same type of network.
        if is_bare:
            templates = (classifier_template, c4_template, *flat_templates)
        elif has_pyramid:
            templates = (*flat_templates, c4_template, classifier_template)
        else:
            templates = (c4_template, classifier_template, *flat_templates)
        rules.append(Rule(r"(?:backbone\.)*" + layer, templates))
    return rules


def _stem_layers(is_deep: bool, norm_words: Sequence[str]) -> List[ResNetLayer]:
    """List the layers before the first stage, of v1b and of v1d; a network has one or the other."""
    last_norm = 2 if is_deep else 0
    layers = [
        ResNetLayer("conv1", "conv1", "features.0", ("conv0",)),
        ResNetLayer("bn1", "bn1", "features.1", _numbered(norm_words, last_norm)),
    ]
    # The stem of v1d is a sequence: convolution 0, norm 1, ReLU 2, convolution 3, norm 4, ReLU 5,
    # convolution 6.
    for number in range(3):
        position = 3 * number
        layers.append(
            ResNetLayer(
                layer=rf"conv1\.{position}",
                classifier=f"conv1.{position}",
                c4=f"features.0.{position}",
                pyramid=(f"conv{number}",),
            )
        )
    for number in range(2):
        position = 3 * number + 1
        layers.append(
            ResNetLayer(
                layer=rf"conv1\.{position}",
                classifier=f"conv1.{position}",
                c4=f"features.0.{position}",
                pyramid=_numbered(norm_words, number),
            )
        )
    return layers


def _stage_layers(
    is_deep: bool, convs_per_block: int, norm_words: Sequence[str]
) -> List[ResNetLayer]:
    """List the layers of the four stages."""
    # In a C4 detector, "features" is convolution 0, norm 1, ReLU 2, pooling 3, then the stages 1 to
    # 3 at 4 to 6; "top_features" is stage 4, the box head.
    stages = (
        # Pattern in gluonnorm, name in a classifier, name in a C4 detector, number in flat names.
        (r"layer(?P<stage>[1-3])\.", "layer{stage}.", "features.{stage+3}.", "{stage}"),
        (r"layer(?P<stage>4)\.", "layer4.", "top_features.0.", "4"),
        (r"box_head\.stage\.(?:layer4\.)?", "layer4.", "top_features.0.", "4"),
    )
    layers: List[ResNetLayer] = []
    for stage_layer, classifier, c4, stage in stages:
        layers += _block_layers(
            stage_layer, classifier, c4, stage, is_deep, convs_per_block, norm_words
        )
    return layers


def _block_layers(
    stage_layer: str,
    classifier: str,
    c4: str,
    stage: str,
    is_deep: bool,
    convs_per_block: int,
    norm_words: Sequence[str],
) -> List[ResNetLayer]:
    """List the layers of the blocks of a stage; ``_stage_layers`` explains the first arguments."""
    block_layer = stage_layer + r"(?P<block>\d+)\."
    layers = []
    for index in range(convs_per_block):
        # Flat names number the convolutions of a whole stage: block * convs_per_block + index.
        count = f"{{block*{convs_per_block}+{index}}}"
        conv = f"conv{index + 1}"
        norm = f"bn{index + 1}"
        layers.append(
            ResNetLayer(
                layer=block_layer + conv,
                classifier=f"{classifier}{{block}}.{conv}",
                c4=f"{c4}{{block}}.{conv}",
                pyramid=(f"layers{stage}_conv{count}",),
            )
        )
        layers.append(
            ResNetLayer(
                layer=block_layer + norm,
                classifier=f"{classifier}{{block}}.{norm}",
                c4=f"{c4}{{block}}.{norm}",
                pyramid=tuple(f"layers{stage}_{word}{count}" for word in norm_words),
            )
        )
    shortcut_conv = 1 if is_deep else 0
    shortcut_names = {
        shortcut_conv: (f"down{stage}_conv0",),
        shortcut_conv + 1: tuple(f"down{stage}_{word}0" for word in norm_words),
    }
    for position, flat_names in shortcut_names.items():
        layers.append(
            ResNetLayer(
                layer=rf"{block_layer}downsample\.{position}",
                classifier=f"{classifier}{{block}}.downsample.{position}",
                c4=f"{c4}{{block}}.downsample.{position}",
                pyramid=flat_names,
            )
        )
    return layers


def _numbered(words: Sequence[str], number: int) -> Tuple[str, ...]:
    """Append a number to each word."""
    return tuple(f"{word}{number}" for word in words)


def _rewrite_file(arrays: Arrays, shapes: Shapes) -> Arrays:
    """Rewrite the arrays of a file as those that the table of names expects."""
    return rewrite_norms(with_first_mobilenet(arrays), shapes)


def additions(net: Any, arrays: Arrays) -> Arrays:
    """Make the arrays that GluonCV's strict loader needs in addition to gluonnorm's.

    Parameters
    ----------
    net : Block
        The network that is saved: a detector, or a bare backbone, which needs nothing more.
    arrays : dict of str to numpy.ndarray
        Its arrays by GluonCV's names.

    Returns
    -------
    dict of str to numpy.ndarray
        Further arrays, and replacements for arrays that GluonCV's layers use differently.

    Raises
    ------
    ConversionError
        The network detects under another convention than GluonCV, or its box head pools RoIs
        before two linear layers and the table has no names for that.
    """
    if "class_predictor.weight" not in arrays:
        return {}
    preset = CONVENTIONS[GLUONCV.convention]
    differences = differing_fields(net.config.convention, preset, REQUIRED_FIELDS)
    if differences:
        raise ConversionError(
            f"the network's convention differs from GluonCV's in {', '.join(differences)}, so "
            "GluonCV would detect something else with these weights; only a network built with "
            f"convention={GLUONCV.convention!r} can be saved for it"
        )
    # These names are those of a box head that begins without a pooling.
    begins_at_zero = "box_features.0.weight" in arrays
    if begins_at_zero and getattr(net.box_head, "pool", None) is not None:
        raise ConversionError(
            "GluonCV numbers the layers of a box head that pools RoIs otherwise, which shapes do "
            "not tell, so this network cannot be saved for it; only loading is offered"
        )
    tables = anchor_tables(net.backbone.strides, net.config.anchor_sizes, net.config.anchor_ratios)
    return {**sync_norm_additions(arrays), **tables}


def inspect_file(net: Any, arrays: Arrays) -> List[str]:
    """Compare the anchors of a detector's file with the network's, and name what no file holds.

    Parameters
    ----------
    net : Block
        The network: a detector, or a bare backbone, about which there is nothing to say.
    arrays : dict of str to numpy.ndarray
        The arrays of the file.

    Returns
    -------
    list of str
        A sentence with the settings that the file does not hold.

    Raises
    ------
    ConversionError
        The file holds anchors of other sizes.
    """
    if not hasattr(net, "config") or "class_predictor.weight" not in arrays:
        return []
    config = net.config
    strides = net.backbone.strides
    tables = anchor_tables(strides, config.anchor_sizes, config.anchor_ratios)
    file_sizes = []
    differs = False
    for name, table in tables.items():
        stored = arrays.get(name, table)
        if stored.ndim != table.ndim or stored.shape[-1] != table.shape[-1]:
            raise ConversionError(
                f"{name} in the file is {stored.shape}; want (1, 1, cells, cells, "
                f"{table.shape[-1]}), four coordinates for each anchor of a cell"
            )
        differs = differs or not np.allclose(stored[0, 0, 0, 0], table[0, 0, 0, 0])
        sizes = stored_sizes(stored, config.anchor_ratios)
        file_sizes.append(tuple(round(float(size), 2) for size in sizes))
    if differs:
        raise ConversionError(
            f"the file was trained with other anchors, of the sizes {tuple(file_sizes)} if their "
            f"ratios are {config.anchor_ratios}; the network has anchor_sizes="
            f"{config.anchor_sizes}. Take the row of GluonCV's model, or give anchor_sizes"
        )
    values = [f"{name}={getattr(config, name)!r}" for name in SETTINGS_IN_NO_FILE]
    return [
        f"no file of GluonCV holds {', '.join(values)}: these are the network's own. They are "
        "right for weights of the GluonCV model with the name of the network's row; weights that "
        "GluonCV transferred from another model (transfer='coco', 'voc') need that model's row, "
        "with classes="
    ]


GLUONCV = Codebase(
    name="gluoncv",
    rules=_rules,
    leaves=LEAVES,
    norm_words={"bn": "batchnorm", "gn": "groupnorm"},
    ignored=(
        IgnoredTensor(r"rpn\.anchor_generator(\.\d)?\.anchors", "anchors, which are computed here"),
        IgnoredTensor(r"(fc|output)\.(weight|bias)", "the classifier of ImageNet"),
        IgnoredTensor(r".*\.(means|stds)", "constants of the training targets"),
    ),
    detector_part=r"(?:rpn|mask|(?:new)?box_features|class_features|class_predictor|box_predictor)\..*|features\.P\d_.*",
    name_hint=(
        r"^(features\.(resnetv1|resnest_|mobilenet|[014]\.)|top_features\.|rpn\.anchor_generator|"
        r"class_predictor\.)"
    ),
    stride_conv={"bn": "conv2", "gn": "conv2"},
    convention="gluoncv",
    rewrite_file=_rewrite_file,
    inspect_file=inspect_file,
    additions=additions,
    save_endings=(".params",),
)
