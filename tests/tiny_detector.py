"""Detectors that run in milliseconds, with weights whose predictions differ from place to place."""

from model_zoo import get_model

import mxnet as mx
import numpy as np

CLASSES = ("disc", "square", "star")
MODELS = {
    "fpn": "faster_rcnn_fpn_resnet18_v1b_custom",
    "c4": "faster_rcnn_resnet18_v1b_custom",
    "mask_fpn": "mask_rcnn_fpn_resnet18_v1b_custom",
    "mask_c4": "mask_rcnn_resnet18_v1b_custom",
}
ANCHOR_SIZES = {"fpn": ((16,), (32,), (64,), (128,), (256,)), "c4": ((16, 32, 64),)}
# Standard deviations of the weights of the RPN's and of the box head's last layers: scores, deltas.
WEIGHT_SCALES = {"fpn": (0.5, 0.05, 0.02, 0.01), "c4": (0.5, 0.05, 0.1, 0.04)}
MASK_WEIGHT_SCALE = 0.3
SETTINGS = {
    "fpn_channels": 32,
    "rpn_channels": 32,
    "roi_size": 4,
    "mask_roi_size": 4,
    "mask_channels": 32,
    "rpn_test_pre_nms": 50,
    "rpn_test_post_nms": 20,
    "rpn_train_pre_nms": 60,
    "rpn_train_post_nms": 25,
    "rpn_num_sample": 32,
    "num_sample": 16,
}
BLOCK = 8  # pixels of one value along each side


def tiny_detector(kind, classes=CLASSES, **overrides):
    """Build a detector that has the same weights at each call.

    Parameters
    ----------
    kind : str
        A key of ``MODELS``.
    classes : tuple of str
        Names of the foreground classes.
    **overrides
        Arguments of ``get_model`` and settings of the detector.

    Returns
    -------
    gluonnorm.rcnn.FasterRCNN
        The detector, on the CPU.
    """
    np.random.seed(0)
    mx.random.seed(0)
    neck = kind.replace("mask_", "")
    settings = {"anchor_sizes": ANCHOR_SIZES[neck], **SETTINGS, **overrides}
    net = get_model(MODELS[kind], classes=classes, **settings)
    spread_predictions(net)
    return net


def spread_predictions(net):
    """Draw the last layers of a detector so that its predictions differ from place to place.

    New predictors give nearly the same scores everywhere, and near ties may change places.
    """
    neck = "fpn" if len(net.backbone.strides) > 1 else "c4"
    last_layers = (net.rpn.score, net.rpn.loc, net.predictor.score, net.predictor.loc)
    for layer, scale in zip(last_layers, WEIGHT_SCALES[neck]):
        _draw_weight(layer, scale)
    if net.has_masks:
        _draw_weight(net.mask_head.score, MASK_WEIGHT_SCALE)


def _draw_weight(layer, scale):
    """Draw a layer's weight from a normal distribution with this standard deviation."""
    layer.weight.set_data(mx.nd.random.normal(0, scale, layer.weight.shape))


def images(batch=1, height=64, width=96):
    """Draw normalized images (batch, 3, height, width) of square blocks, each of one value."""
    rows = -(-height // BLOCK)
    columns = -(-width // BLOCK)
    blocks = np.random.default_rng(height).normal(0, 1, (batch, 3, rows, columns))
    pixels = blocks.repeat(BLOCK, axis=2).repeat(BLOCK, axis=3)
    return mx.nd.array(pixels[:, :, :height, :width])
