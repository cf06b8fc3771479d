"""Names and shapes of this package's parameters, written out from the documented plan, without building a network."""
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
WIDTHS = (64, 128, 256, 512)
LEAVES = {"bn": ("gamma", "beta", "running_mean", "running_var"), "gn": ("gamma", "beta"),
          "sn": ("gamma", "beta", "mean_weight", "var_weight", "running_mean", "running_var"),
          "sn_nobn": ("gamma", "beta", "mean_weight", "var_weight")}


def backbone(depth=50, norm="bn", stages=(1, 2, 3, 4), prefix=""):
    """A ResNet v1b; ``stages`` may leave out the last."""
    shapes = {}
    wide = 1 if depth < 50 else 4
    if 1 in stages:
        conv_norm(shapes, f"{prefix}conv1", f"{prefix}bn1", (64, 3, 7, 7), norm)
    for stage in stages:
        width, channels = WIDTHS[stage - 1], 64 if stage == 1 else WIDTHS[stage - 2] * wide
        for block in range(BLOCKS[depth][stage - 1]):
            name = f"{prefix}layer{stage}.{block}."
            kernels = (3, 3) if wide == 1 else (1, 3, 1)
            into = channels
            for i, kernel in enumerate(kernels, 1):
                out = width * wide if i == len(kernels) else width
                conv_norm(shapes, f"{name}conv{i}", f"{name}bn{i}", (out, into, kernel, kernel), norm)
                into = out
            if block == 0 and (stage > 1 or channels != width * wide):
                conv_norm(shapes, f"{name}downsample.0", f"{name}downsample.1", (width * wide, channels, 1, 1), norm)
            channels = width * wide
    return shapes


def conv_norm(shapes, conv, norm_name, shape, norm):
    """A convolution with a norm, or else with a bias."""
    shapes[f"{conv}.weight"] = shape
    if norm is None:
        shapes[f"{conv}.bias"] = shape[:1]
    for leaf in LEAVES.get(norm, ()):
        size = 3 if norm == "sn" else 2
        shapes[f"{norm_name}.{leaf}"] = (size,) if leaf in ("mean_weight", "var_weight") else shape[:1]


def layer(shapes, name, *shape):
    """A layer with weight and bias."""
    shapes.update({f"{name}.weight": shape, f"{name}.bias": shape[:1]})


def fpn_detector(depth=50, norm="bn", head_norm=None, head="2fc", classes=80, mask=False, rpn_convs=1):
    """Faster or Mask R-CNN with a pyramid of 256 channels."""
    shapes = backbone(depth, norm, prefix="backbone.backbone.")
    for level, width in zip((2, 3, 4, 5), WIDTHS):
        for name, into, kernel in (("lateral", width * (1 if depth < 50 else 4), 1), ("output", 256, 3)):
            prefix = f"backbone.{name}{level}."
            conv_norm(shapes, prefix + "conv", prefix + "norm", (256, into, kernel, kernel), head_norm)
    layer(shapes, "rpn.conv", 256, 256, 3, 3)
    if rpn_convs == 2:
        layer(shapes, "rpn.conv2", 256, 256, 3, 3)
    layer(shapes, "rpn.score", 3, 256, 1, 1)
    layer(shapes, "rpn.loc", 12, 256, 1, 1)
    if head == "4conv1fc":
        convs(shapes, "box_head", head_norm)
    layer(shapes, "box_head.fc1", 1024, 256 * 49)
    if head == "2fc":
        layer(shapes, "box_head.fc2", 1024, 1024)
    predictor(shapes, 1024, classes)
    if mask:
        convs(shapes, "mask_head", head_norm)
        mask_predictor(shapes, 256, classes)
    return shapes


def c4_detector(norm="bn", classes=80, mask=False):
    """Faster or Mask R-CNN on one map, with the fourth stage as its head."""
    shapes = backbone(50, norm, (1, 2, 3), "backbone.")
    layer(shapes, "rpn.conv", 1024, 1024, 3, 3)
    layer(shapes, "rpn.score", 15, 1024, 1, 1)
    layer(shapes, "rpn.loc", 60, 1024, 1, 1)
    shapes.update(backbone(50, norm, (4,), "box_head.stage."))
    predictor(shapes, 2048, classes)
    if mask:
        mask_predictor(shapes, 2048, classes)
    return shapes


def convs(shapes, head, norm):
    """Four convolutions of a head; every second place is a ReLU."""
    for i in (0, 2, 4, 6):
        conv_norm(shapes, f"{head}.convs.{i}.conv", f"{head}.convs.{i}.norm", (256, 256, 3, 3), norm)


def predictor(shapes, channels, classes):
    """Classes with background, boxes without."""
    layer(shapes, "predictor.score", classes + 1, channels)
    layer(shapes, "predictor.loc", 4 * classes, channels)


def mask_predictor(shapes, channels, classes):
    """The deconvolution and the masks, without background."""
    shapes.update({"mask_head.deconv.weight": (channels, 256, 2, 2), "mask_head.deconv.bias": (256,)})
    layer(shapes, "mask_head.score", classes, 256, 1, 1)
