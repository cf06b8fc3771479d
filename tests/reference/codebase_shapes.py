"""Names and shapes in the files of other codebases: recorded, or from their documentation."""

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # blocks of each stage, by depth
WIDTHS = (64, 128, 256, 512)  # channels of the 3x3 convolutions of each stage
LAST_BLOCK_OF_STAGE_4 = {50: 5, 101: 22}


def recorded(case):
    """Read the names and shapes of a state dict that the real program had.

    Parameters
    ----------
    case : str
        The name of a file in ``GOLDEN``, without its ending.

    Returns
    -------
    dict of str to tuple of int
        The name of each tensor -> its shape.
    """
    shapes = {}
    with np.load(GOLDEN / f"{case}.npz") as file:
        for line in file["shapes"]:
            name, _, sizes = str(line).rpartition(":")
            shapes[name] = tuple(int(size) for size in sizes.split(",") if size)
    return shapes


def ones(shapes):
    """Make arrays of ones that need no memory.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        The name of each array -> its shape.

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays, float32, read-only.
    """
    return {name: np.broadcast_to(np.float32(1), shape) for name, shape in shapes.items()}


def detectron_resnet(depth=50, norm="gn", classifier=True):
    """List the blobs of Detectron's ImageNet files.

    Parameters
    ----------
    depth : int
        50 or 101.
    norm : str
        "gn", or "bn" for the bare scales and shifts of MSRA's files.
    classifier : bool
        Whether the last layer is in the file: ``pred`` with GN, ``fc1000`` with BN*.

    Returns
    -------
    dict of str to tuple of int
        The name of each blob -> its shape.
    """
    stem = "conv1_gn" if norm == "gn" else "res_conv1_bn"
    shapes = {"conv1_w": (64, 3, 7, 7), f"{stem}_s": (64,), f"{stem}_b": (64,)}
    channels = 64
    for stage, (count, width) in enumerate(zip(BLOCKS[depth], WIDTHS), 2):
        for block in range(count):
            branches = {
                "2a": (width, channels, 1, 1),
                "2b": (width, width, 3, 3),
                "2c": (4 * width, width, 1, 1),
            }
            if block == 0:
                branches["1"] = (4 * width, channels, 1, 1)
            for branch, shape in branches.items():
                name = f"res{stage}_{block}_branch{branch}"
                shapes[f"{name}_w"] = shape
                shapes[f"{name}_{norm}_s"] = shape[:1]
                shapes[f"{name}_{norm}_b"] = shape[:1]
            channels = 4 * width
    if classifier:
        _detectron_layer(shapes, "pred" if norm == "gn" else "fc1000", (1000, 2048))
    return shapes


def detectron_fpn(depth=50, norm="gn", mask=True):
    """List the blobs of Detectron's detectors with a pyramid.

    Parameters
    ----------
    depth : int
        50 or 101.
    norm : str
        "gn": both heads have four convolutions with GN. "bn": BN*, and a box head of two linear
        layers.
    mask : bool
        Whether there is a mask head.

    Returns
    -------
    dict of str to tuple of int
        The name of each blob -> its shape.
    """
    shapes = detectron_resnet(depth, norm, classifier=False)
    head_norm = "gn" if norm == "gn" else None
    stage_channels = {
        "res5_2": 2048,
        f"res4_{LAST_BLOCK_OF_STAGE_4[depth]}": 1024,
        "res3_3": 512,
        "res2_2": 256,
    }
    for name, channels in stage_channels.items():
        ending = "" if name == "res5_2" else "_lateral"
        inner = f"fpn_inner_{name}_sum{ending}"
        _detectron_layer(shapes, inner, (256, channels, 1, 1), head_norm)
        _detectron_layer(shapes, f"fpn_{name}_sum", (256, 256, 3, 3), head_norm)
    _detectron_layer(shapes, "conv_rpn_fpn2", (256, 256, 3, 3))
    _detectron_layer(shapes, "rpn_cls_logits_fpn2", (3, 256, 1, 1))
    _detectron_layer(shapes, "rpn_bbox_pred_fpn2", (12, 256, 1, 1))
    _detectron_layer(shapes, "fc6", (1024, 12544))
    _detectron_layer(shapes, "cls_score", (81, 1024))
    _detectron_layer(shapes, "bbox_pred", (324, 1024))
    if norm == "gn":
        for number in (1, 2, 3, 4):
            _detectron_layer(shapes, f"head_conv{number}", (256, 256, 3, 3), head_norm)
    else:
        _detectron_layer(shapes, "fc7", (1024, 1024))
    if mask:
        mask_conv = "_mask_fcn" if norm == "gn" else "_[mask]_fcn"
        for number in (1, 2, 3, 4):
            _detectron_layer(shapes, f"{mask_conv}{number}", (256, 256, 3, 3), head_norm)
        _detectron_layer(shapes, "conv5_mask", (256, 256, 2, 2))
        _detectron_layer(shapes, "mask_fcn_logits", (81, 256, 1, 1))
    return shapes


def detectron_c4(classes=80):
    """List the blobs of Detectron's Faster R-CNN on one map, with BN*.

    Parameters
    ----------
    classes : int
        The number of foreground classes.

    Returns
    -------
    dict of str to tuple of int
        The name of each blob -> its shape.
    """
    shapes = detectron_resnet(50, "bn", classifier=False)
    _detectron_layer(shapes, "conv_rpn", (1024, 1024, 3, 3))
    _detectron_layer(shapes, "rpn_cls_logits", (15, 1024, 1, 1))
    _detectron_layer(shapes, "rpn_bbox_pred", (60, 1024, 1, 1))
    _detectron_layer(shapes, "cls_score", (classes + 1, 2048))
    _detectron_layer(shapes, "bbox_pred", (4 * classes + 4, 2048))
    return shapes


def _detectron_layer(shapes, name, shape, norm=None):
    """Add a layer of Detectron with a norm, or with a bias if ``norm`` is None."""
    shapes[f"{name}_w"] = shape
    if norm is None:
        shapes[f"{name}_b"] = shape[:1]
    else:
        shapes[f"{name}_{norm}_s"] = shape[:1]
        shapes[f"{name}_{norm}_b"] = shape[:1]


def switchnorm_resnet(norm="sn", trunk="", last_stage=None):
    """List the tensors of a ResNet-50 of the SwitchNorm code.

    Parameters
    ----------
    norm : str
        "sn", "sn_nobn", "gn", or "bn" for bare scales and shifts.
    trunk : str
        What the names of a detector start with; "" for the layout of a classifier (``layer1``).
    last_stage : str or None
        What the names of stage 4 start with in C4 detectors.

    Returns
    -------
    dict of str to tuple of int
        The name of each tensor -> its shape.
    """
    shapes = {}
    stem = f"{trunk}res1." if trunk else ""
    norm_word = norm[:2]
    shapes[f"{stem}conv1.weight"] = (64, 3, 7, 7)
    _switchnorm_norm(shapes, f"{stem}{norm_word}1", 64, norm)
    channels = 64
    for stage, (count, width) in enumerate(zip(BLOCKS[50], WIDTHS), 1):
        stage_name = f"{trunk}res{stage + 1}" if trunk else f"layer{stage}"
        if stage == 4 and last_stage:
            stage_name = last_stage
        for block in range(count):
            name = f"{stage_name}.{block}."
            conv_shapes = (
                (width, channels, 1, 1),
                (width, width, 3, 3),
                (4 * width, width, 1, 1),
            )
            for number, shape in enumerate(conv_shapes, 1):
                shapes[f"{name}conv{number}.weight"] = shape
                _switchnorm_norm(shapes, f"{name}{norm_word}{number}", shape[0], norm)
            if block == 0:
                shapes[f"{name}downsample.0.weight"] = (4 * width, channels, 1, 1)
                _switchnorm_norm(shapes, f"{name}downsample.1", 4 * width, norm)
            channels = 4 * width
    return shapes


def _switchnorm_norm(shapes, name, channels, norm):
    """Add a norm layer: the scale and shift of SN have four axes, its statistics three."""
    is_switchable = norm.startswith("sn")
    affine_shape = (1, channels, 1, 1) if is_switchable else (channels,)
    shapes[f"{name}.weight"] = affine_shape
    shapes[f"{name}.bias"] = affine_shape
    if is_switchable:
        statistics = 2 if norm == "sn_nobn" else 3
        shapes[f"{name}.mean_weight"] = (statistics,)
        shapes[f"{name}.var_weight"] = (statistics,)
    if norm == "sn":
        shapes[f"{name}.running_mean"] = (1, channels, 1)
        shapes[f"{name}.running_var"] = (1, channels, 1)


def switchnorm_fpn(norm="sn", mask=False):
    """List the tensors of SwitchNorm_Detection's detectors with a pyramid.

    Parameters
    ----------
    norm : str
        "sn", "sn_nobn", "gn", or "bn" for bare scales and shifts, without norms in pyramid and
        heads.
    mask : bool
        False: Faster R-CNN with two linear layers. True: Mask R-CNN with the norm in both heads.

    Returns
    -------
    dict of str to tuple of int
        The name of each tensor -> its shape.
    """
    shapes = switchnorm_resnet(norm, trunk="Conv_Body.conv_body.")
    has_head_norms = norm != "bn"
    pyramid = [("conv_top", 2048, 1)]
    for index, channels in enumerate((1024, 512, 256)):
        pyramid.append((f"topdown_lateral_modules.{index}.conv_lateral", channels, 1))
    for index in range(4):
        pyramid.append((f"posthoc_modules.{index}", 256, 3))
    for layer, channels, kernel in pyramid:
        name = f"Conv_Body.{layer}"
        shape = (256, channels, kernel, kernel)
        if has_head_norms:
            _torch_layer(shapes, f"{name}.0", shape, bias=False)
            _switchnorm_norm(shapes, f"{name}.1", 256, norm)
        else:
            _torch_layer(shapes, name, shape)
    _torch_layer(shapes, "RPN.FPN_RPN_conv", (256, 256, 3, 3))
    _torch_layer(shapes, "RPN.FPN_RPN_cls_score", (3, 256, 1, 1))
    _torch_layer(shapes, "RPN.FPN_RPN_bbox_pred", (12, 256, 1, 1))
    if mask and has_head_norms:
        _switchnorm_head_convs(shapes, "Box_Head.convs", norm)
        _torch_layer(shapes, "Box_Head.fc", (1024, 12544))
        _switchnorm_head_convs(shapes, "Mask_Head.conv_fcn", norm)
        _torch_layer(shapes, "Mask_Head.upconv", (256, 256, 2, 2))
        _torch_layer(shapes, "Mask_Outs.classify", (81, 256, 1, 1))
    else:
        _torch_layer(shapes, "Box_Head.fc1", (1024, 12544))
        _torch_layer(shapes, "Box_Head.fc2", (1024, 1024))
    _torch_layer(shapes, "Box_Outs.cls_score", (81, 1024))
    _torch_layer(shapes, "Box_Outs.bbox_pred", (324, 1024))
    return shapes


def _switchnorm_head_convs(shapes, head, norm):
    """Add the four convolutions of a head and their norms; every third layer is a ReLU."""
    for index in range(4):
        _torch_layer(shapes, f"{head}.{3 * index}", (256, 256, 3, 3), bias=False)
        _switchnorm_norm(shapes, f"{head}.{3 * index + 1}", 256, norm)


def switchnorm_c4(norm="sn"):
    """List the tensors of SwitchNorm_Detection's Faster R-CNN on one map.

    Parameters
    ----------
    norm : str
        "sn", "sn_nobn", "gn", or "bn" for bare scales and shifts.

    Returns
    -------
    dict of str to tuple of int
        The name of each tensor -> its shape.
    """
    shapes = switchnorm_resnet(norm, trunk="Conv_Body.", last_stage="Box_Head.res5")
    _torch_layer(shapes, "RPN.RPN_conv", (1024, 1024, 3, 3))
    _torch_layer(shapes, "RPN.RPN_cls_score", (15, 1024, 1, 1))
    _torch_layer(shapes, "RPN.RPN_bbox_pred", (60, 1024, 1, 1))
    _torch_layer(shapes, "Box_Outs.cls_score", (81, 2048))
    _torch_layer(shapes, "Box_Outs.bbox_pred", (324, 2048))
    return shapes


def _torch_layer(shapes, name, shape, bias=True):
    """Add a layer of PyTorch."""
    shapes[f"{name}.weight"] = shape
    if bias:
        shapes[f"{name}.bias"] = shape[:1]
