"""Names and shapes of this package's parameters, written from the documentation.

No network is built, so that the tables of names are not tested against themselves.
"""

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # blocks of each stage, by depth
WIDTHS = (64, 128, 256, 512)  # channels of the 3x3 convolutions of each stage
FPN_CHANNELS = 256
HEAD_CONV_POSITIONS = (0, 2, 4, 6)  # every second position in a head is a ReLU
LEAVES = {
    "bn": ("gamma", "beta", "running_mean", "running_var"),
    "gn": ("gamma", "beta"),
    "sn": ("gamma", "beta", "mean_weight", "var_weight", "running_mean", "running_var"),
    "sn_nobn": ("gamma", "beta", "mean_weight", "var_weight"),
}
# A switchable norm has a weight for each of the statistics that it mixes.
MIXING_LEAVES = ("mean_weight", "var_weight")


def backbone(depth=50, norm="bn", stages=(1, 2, 3, 4), prefix=""):
    """List the parameters of a ResNet v1b.

    Parameters
    ----------
    depth : int
        18, 50 or 101.
    norm : str
        A key of ``LEAVES``.
    stages : tuple of int
        The stages that it has. The stem belongs to the first one.
    prefix : str
        What every name starts with.

    Returns
    -------
    dict of str to tuple of int
        The name of each parameter -> its shape.
    """
    shapes = {}
    expansion = _expansion(depth)
    if 1 in stages:
        conv_norm(shapes, f"{prefix}conv1", f"{prefix}bn1", (64, 3, 7, 7), norm)
    for stage in stages:
        width = WIDTHS[stage - 1]
        channels = 64 if stage == 1 else WIDTHS[stage - 2] * expansion
        for block in range(BLOCKS[depth][stage - 1]):
            name = f"{prefix}layer{stage}.{block}."
            _residual_block(shapes, name, channels, width, expansion, norm)
            if block == 0 and (stage > 1 or channels != width * expansion):
                shape = (width * expansion, channels, 1, 1)
                conv_norm(shapes, f"{name}downsample.0", f"{name}downsample.1", shape, norm)
            channels = width * expansion
    return shapes


def _expansion(depth):
    """Output channels of a block, as a multiple of its width: 4 for bottleneck blocks."""
    return 1 if depth < 50 else 4


def _residual_block(shapes, name, channels, width, expansion, norm):
    """Add the convolutions and norms of a block: two 3x3, or 1x1, 3x3 and 1x1."""
    kernels = (3, 3) if expansion == 1 else (1, 3, 1)
    in_channels = channels
    for number, kernel in enumerate(kernels, 1):
        out_channels = width * expansion if number == len(kernels) else width
        shape = (out_channels, in_channels, kernel, kernel)
        conv_norm(shapes, f"{name}conv{number}", f"{name}bn{number}", shape, norm)
        in_channels = out_channels


def conv_norm(shapes, conv, norm_name, shape, norm):
    """Add a convolution with a norm, or a convolution with a bias if ``norm`` is None."""
    shapes[f"{conv}.weight"] = shape
    if norm is None:
        shapes[f"{conv}.bias"] = shape[:1]
        return
    statistics = 3 if norm == "sn" else 2
    for leaf in LEAVES[norm]:
        shapes[f"{norm_name}.{leaf}"] = (statistics,) if leaf in MIXING_LEAVES else shape[:1]


def layer(shapes, name, *shape):
    """Add a layer with a weight of that shape and a bias."""
    shapes[f"{name}.weight"] = shape
    shapes[f"{name}.bias"] = shape[:1]


def fpn_detector(
    depth=50, norm="bn", head_norm=None, head="2fc", classes=80, mask=False, rpn_convs=1
):
    """List the parameters of a Faster or Mask R-CNN with a pyramid.

    Parameters
    ----------
    depth : int
        18, 50 or 101.
    norm, head_norm : str or None
        The norm of the backbone; the norm of pyramid and heads, None for none.
    head : str
        "2fc": two linear layers. "4conv1fc": four convolutions and one linear layer.
    classes : int
        The number of foreground classes.
    mask : bool
        Whether there is a mask head.
    rpn_convs : int
        The number of convolutions in the region proposal network, 1 or 2.

    Returns
    -------
    dict of str to tuple of int
        The name of each parameter -> its shape.
    """
    shapes = backbone(depth, norm, prefix="backbone.backbone.")
    for level, width in zip((2, 3, 4, 5), WIDTHS):
        channels = width * _expansion(depth)
        for name, in_channels, kernel in (("lateral", channels, 1), ("output", FPN_CHANNELS, 3)):
            prefix = f"backbone.{name}{level}."
            shape = (FPN_CHANNELS, in_channels, kernel, kernel)
            conv_norm(shapes, prefix + "conv", prefix + "norm", shape, head_norm)
    layer(shapes, "rpn.conv", FPN_CHANNELS, FPN_CHANNELS, 3, 3)
    if rpn_convs == 2:
        layer(shapes, "rpn.conv2", FPN_CHANNELS, FPN_CHANNELS, 3, 3)
    layer(shapes, "rpn.score", 3, FPN_CHANNELS, 1, 1)
    layer(shapes, "rpn.loc", 12, FPN_CHANNELS, 1, 1)
    if head == "4conv1fc":
        head_convs(shapes, "box_head", head_norm)
    layer(shapes, "box_head.fc1", 1024, FPN_CHANNELS * 49)
    if head == "2fc":
        layer(shapes, "box_head.fc2", 1024, 1024)
    box_predictor(shapes, 1024, classes)
    if mask:
        head_convs(shapes, "mask_head", head_norm)
        mask_predictor(shapes, FPN_CHANNELS, classes)
    return shapes


def c4_detector(norm="bn", classes=80, mask=False):
    """List the parameters of a Faster or Mask R-CNN on one map, whose head is the fourth stage.

    Parameters
    ----------
    norm : str
        The norm of backbone and head.
    classes : int
        The number of foreground classes.
    mask : bool
        Whether there is a mask head.

    Returns
    -------
    dict of str to tuple of int
        The name of each parameter -> its shape.
    """
    shapes = backbone(50, norm, (1, 2, 3), "backbone.")
    layer(shapes, "rpn.conv", 1024, 1024, 3, 3)
    layer(shapes, "rpn.score", 15, 1024, 1, 1)
    layer(shapes, "rpn.loc", 60, 1024, 1, 1)
    shapes.update(backbone(50, norm, (4,), "box_head.stage."))
    box_predictor(shapes, 2048, classes)
    if mask:
        mask_predictor(shapes, 2048, classes)
    return shapes


def head_convs(shapes, head, norm):
    """Add the four convolutions of a head."""
    for position in HEAD_CONV_POSITIONS:
        name = f"{head}.convs.{position}"
        shape = (FPN_CHANNELS, FPN_CHANNELS, 3, 3)
        conv_norm(shapes, f"{name}.conv", f"{name}.norm", shape, norm)


def box_predictor(shapes, channels, classes):
    """Add the scores, with a row for the background, and the boxes, without."""
    layer(shapes, "predictor.score", classes + 1, channels)
    layer(shapes, "predictor.loc", 4 * classes, channels)


def mask_predictor(shapes, channels, classes):
    """Add the deconvolution and the masks, without a channel for the background."""
    shapes["mask_head.deconv.weight"] = (channels, 256, 2, 2)
    shapes["mask_head.deconv.bias"] = (256,)
    layer(shapes, "mask_head.score", classes, 256, 1, 1)
