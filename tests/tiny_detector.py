"""Detectors small enough to run in milliseconds, with weights that make their answers differ from place to place."""
from model_zoo import get_model

import mxnet as mx
import numpy as np

CLASSES = ("disc", "square", "star")
MODELS = {"fpn": "faster_rcnn_fpn_resnet18_v1b_custom", "c4": "faster_rcnn_resnet18_v1b_custom",
          "mask_fpn": "mask_rcnn_fpn_resnet18_v1b_custom", "mask_c4": "mask_rcnn_resnet18_v1b_custom"}
SIZES = {"fpn": ((16,), (32,), (64,), (128,), (256,)), "c4": ((16, 32, 64),)}
SCALES = {"fpn": (0.5, 0.05, 0.02, 0.01), "c4": (0.5, 0.05, 0.1, 0.04)}
SETTINGS = {"fpn_channels": 32, "rpn_channels": 32, "roi_size": 4, "mask_roi_size": 4, "mask_channels": 32,
            "rpn_test_pre_nms": 50, "rpn_test_post_nms": 20, "rpn_train_pre_nms": 60, "rpn_train_post_nms": 25,
            "rpn_num_sample": 32, "num_sample": 16}


def tiny_detector(kind, classes=CLASSES, **overrides):
    """The same weights at each call: ``kind`` is a key of ``MODELS``, ``overrides`` are fields of the configuration."""
    np.random.seed(0)
    mx.random.seed(0)
    neck = kind.replace("mask_", "")
    net = get_model(MODELS[kind], classes=classes, **{"anchor_sizes": SIZES[neck], **SETTINGS, **overrides})
    # Fresh predictors answer much the same everywhere, and nearly tied scores may change places.
    for layer, scale in zip((net.rpn.score, net.rpn.loc, net.predictor.score, net.predictor.loc), SCALES[neck]):
        layer.weight.set_data(mx.nd.random.normal(0, scale, layer.weight.shape))
    if net.has_masks:
        net.mask_head.score.weight.set_data(mx.nd.random.normal(0, 0.3, net.mask_head.score.weight.shape))
    return net


def images(batch=1, height=64, width=96):
    """(batch, 3, height, width) of normalized noise in blocks of 8 pixels."""
    rows, columns = -(-height // 8), -(-width // 8)
    blocks = np.random.default_rng(height).normal(0, 1, (batch, 3, rows, columns))
    return mx.nd.array(blocks.repeat(8, axis=2).repeat(8, axis=3)[:, :, :height, :width])
