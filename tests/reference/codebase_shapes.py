"""Names and shapes in the files of other codebases: recorded ones, and those written out from their documents."""
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
WIDTHS = (64, 128, 256, 512)


def recorded(case):
    """{name: shape} of a state dict as the real program had it."""
    with np.load(GOLDEN / f"{case}.npz") as file:
        pairs = [str(line).rpartition(":") for line in file["shapes"]]
    return {name: tuple(int(size) for size in sizes.split(",") if size) for name, _, sizes in pairs}


def ones(shapes):
    """{name: array} of ones, whatever the shapes, without the memory."""
    return {name: np.broadcast_to(np.float32(1), shape) for name, shape in shapes.items()}


def detectron_resnet(depth=50, norm="gn", classifier=True):
    """Detectron's ImageNet files: GN's with ``pred``, MSRA's BN* with ``fc1000``."""
    stem = "conv1_gn" if norm == "gn" else "res_conv1_bn"
    shapes = {"conv1_w": (64, 3, 7, 7), f"{stem}_s": (64,), f"{stem}_b": (64,)}
    channels = 64
    for stage, (count, width) in enumerate(zip(BLOCKS[depth], WIDTHS), 2):
        for block in range(count):
            branches = {"2a": (width, channels, 1, 1), "2b": (width, width, 3, 3), "2c": (4 * width, width, 1, 1)}
            if block == 0:
                branches["1"] = (4 * width, channels, 1, 1)
            for branch, shape in branches.items():
                name = f"res{stage}_{block}_branch{branch}"
                shapes.update({f"{name}_w": shape, f"{name}_{norm}_s": shape[:1], f"{name}_{norm}_b": shape[:1]})
            channels = 4 * width
    if classifier:
        name = "pred" if norm == "gn" else "fc1000"
        shapes.update({f"{name}_w": (1000, 2048), f"{name}_b": (1000,)})
    return shapes


def detectron_fpn(depth=50, norm="gn", mask=True):
    """Detectron's detectors with a pyramid: with GN four convolutions in either head, with BN* two layers."""
    shapes = detectron_resnet(depth, norm, classifier=False)
    last = 5 if depth == 50 else 22
    for name, channels in (("res5_2", 2048), (f"res4_{last}", 1024), ("res3_3", 512), ("res2_2", 256)):
        inner = f"fpn_inner_{name}_sum" + ("" if name == "res5_2" else "_lateral")
        for conv, shape in ((inner, (256, channels, 1, 1)), (f"fpn_{name}_sum", (256, 256, 3, 3))):
            _conv(shapes, conv, shape, norm)
    for name, shape in (("conv_rpn_fpn2", (256, 256, 3, 3)), ("rpn_cls_logits_fpn2", (3, 256, 1, 1)),
                        ("rpn_bbox_pred_fpn2", (12, 256, 1, 1)), ("fc6", (1024, 12544)), ("cls_score", (81, 1024)),
                        ("bbox_pred", (324, 1024))):
        _conv(shapes, name, shape, None)
    if norm == "gn":
        for i in (1, 2, 3, 4):
            _conv(shapes, f"head_conv{i}", (256, 256, 3, 3), norm)
    else:
        _conv(shapes, "fc7", (1024, 1024), None)
    if mask:
        for i in (1, 2, 3, 4):
            _conv(shapes, f"_mask_fcn{i}" if norm == "gn" else f"_[mask]_fcn{i}", (256, 256, 3, 3), norm)
        shapes.update({"conv5_mask_w": (256, 256, 2, 2), "conv5_mask_b": (256,), "mask_fcn_logits_w": (81, 256, 1, 1),
                       "mask_fcn_logits_b": (81,)})
    return shapes


def _conv(shapes, name, shape, norm):
    shapes[f"{name}_w"] = shape
    if norm == "gn":
        shapes.update({f"{name}_gn_s": shape[:1], f"{name}_gn_b": shape[:1]})
    else:
        shapes[f"{name}_b"] = shape[:1]


def detectron_c4(classes=80):
    """Detectron's Faster R-CNN on one map, with BN*."""
    shapes = detectron_resnet(50, "bn", classifier=False)
    for name, shape in (("conv_rpn", (1024, 1024, 3, 3)), ("rpn_cls_logits", (15, 1024, 1, 1)),
                        ("rpn_bbox_pred", (60, 1024, 1, 1)), ("cls_score", (classes + 1, 2048)),
                        ("bbox_pred", (4 * classes + 4, 2048))):
        _conv(shapes, name, shape, None)
    return shapes


def switchnorm_resnet(norm="sn", trunk="", last_stage=None):
    """Stages of a ResNet-50 of the PyTorch code: ``trunk`` "" is the classifiers' layout (layer1), else res2 under it.

    ``last_stage``: where stage 4 stands in C4 detectors.
    """
    shapes = {}
    stem = f"{trunk}res1." if trunk else ""
    shapes[f"{stem}conv1.weight"] = (64, 3, 7, 7)
    _leaves(shapes, f"{stem}{norm[:2]}1", 64, norm)
    channels = 64
    for stage, (count, width) in enumerate(zip(BLOCKS[50], WIDTHS), 1):
        for block in range(count):
            name = f"{trunk}res{stage + 1}.{block}." if trunk else f"layer{stage}.{block}."
            if stage == 4 and last_stage:
                name = f"{last_stage}.{block}."
            for i, shape in enumerate(((width, channels, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)), 1):
                shapes[f"{name}conv{i}.weight"] = shape
                _leaves(shapes, f"{name}{norm[:2]}{i}", shape[0], norm)
            if block == 0:
                shapes[f"{name}downsample.0.weight"] = (4 * width, channels, 1, 1)
                _leaves(shapes, f"{name}downsample.1", 4 * width, norm)
            channels = 4 * width
    return shapes


def _leaves(shapes, name, channels, norm):
    """A norm layer: SN's arrays have four axes, its running ones three."""
    whole = (1, channels, 1, 1) if norm.startswith("sn") else (channels,)
    shapes.update({f"{name}.weight": whole, f"{name}.bias": whole})
    if norm.startswith("sn"):
        size = (2,) if norm == "sn_nobn" else (3,)
        shapes.update({f"{name}.mean_weight": size, f"{name}.var_weight": size})
    if norm == "sn":
        shapes.update({f"{name}.running_mean": (1, channels, 1), f"{name}.running_var": (1, channels, 1)})


def switchnorm_fpn(norm="sn", mask=False):
    """SwitchNorm_Detection's Faster R-CNN (two layers), or Mask R-CNN with the norm in either head; norm "bn": BN*."""
    shapes = switchnorm_resnet(norm, trunk="Conv_Body.conv_body.")
    numbered = norm != "bn"
    pyramid = [("conv_top", 2048, 1)]
    pyramid += [(f"topdown_lateral_modules.{i}.conv_lateral", size, 1) for i, size in enumerate((1024, 512, 256))]
    pyramid += [(f"posthoc_modules.{i}", 256, 3) for i in range(4)]
    for name, channels, kernel in pyramid:
        name = f"Conv_Body.{name}" + (".0" if numbered else "")
        _torch(shapes, name, (256, channels, kernel, kernel), bias=not numbered)
        if numbered:
            _leaves(shapes, name[:-1] + "1", 256, norm)
    for name, shape in (("conv", (256, 256, 3, 3)), ("cls_score", (3, 256, 1, 1)), ("bbox_pred", (12, 256, 1, 1))):
        _torch(shapes, f"RPN.FPN_RPN_{name}", shape)
    if mask and numbered:
        for head, last in (("Box_Head.convs", ("Box_Head.fc", (1024, 12544))),
                           ("Mask_Head.conv_fcn", ("Mask_Head.upconv", (256, 256, 2, 2)))):
            for i in range(4):
                _torch(shapes, f"{head}.{3 * i}", (256, 256, 3, 3), bias=False)
                _leaves(shapes, f"{head}.{3 * i + 1}", 256, norm)
            _torch(shapes, *last)
        _torch(shapes, "Mask_Outs.classify", (81, 256, 1, 1))
    else:
        _torch(shapes, "Box_Head.fc1", (1024, 12544))
        _torch(shapes, "Box_Head.fc2", (1024, 1024))
    _torch(shapes, "Box_Outs.cls_score", (81, 1024))
    _torch(shapes, "Box_Outs.bbox_pred", (324, 1024))
    return shapes


def switchnorm_c4(norm="sn"):
    """SwitchNorm_Detection's Faster R-CNN on one map."""
    shapes = switchnorm_resnet(norm, trunk="Conv_Body.", last_stage="Box_Head.res5")
    for name, shape in (("RPN.RPN_conv", (1024, 1024, 3, 3)), ("RPN.RPN_cls_score", (15, 1024, 1, 1)),
                        ("RPN.RPN_bbox_pred", (60, 1024, 1, 1)), ("Box_Outs.cls_score", (81, 2048)),
                        ("Box_Outs.bbox_pred", (324, 2048))):
        _torch(shapes, name, shape)
    return shapes


def _torch(shapes, name, shape, bias=True):
    shapes[f"{name}.weight"] = shape
    if bias:
        shapes[f"{name}.bias"] = shape[:1]
