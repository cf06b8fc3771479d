"""Measure how close a trained network's proposals come to the objects of an image."""

from typing import Tuple

from gluonnorm.ops.boxes import box_iou, image_extent
from gluonnorm.rcnn.faster_rcnn import FasterRCNN
from gluonnorm.rcnn.rpn import RPNOutputs, candidates, level_anchors, propose

import mxnet as mx
import numpy as np


def proposal_ious(
    net: FasterRCNN, image: mx.nd.NDArray, boxes: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Compute the best IoU of each object with a network's boxes before and after their NMS.

    Parameters
    ----------
    net : FasterRCNN
        The network, initialized. The numbers of boxes are those of inference.
    image : mxnet.nd.NDArray
        (1, 3, H, W) float32, prepared as ``net.preprocess`` states, on the network's device.
    boxes : numpy.ndarray
        (G, 4), the objects' ``x1 y1 x2 y2`` in pixels of the image, the far corner exclusive. G may
        be 0.

    Returns
    -------
    candidate_ious : numpy.ndarray
        (G,) float64, the best IoU with the ``rpn_test_pre_nms`` boxes that enter the NMS.
    proposal_ious : numpy.ndarray
        (G,) float64, the best IoU with the ``rpn_test_post_nms`` proposals.
    """
    config = net.config
    padded, features = net._feature_maps(mx.nd, image)
    logits, deltas = net.rpn.over(features)
    anchors = level_anchors(mx.nd, padded, features, net.backbone.strides, config)
    limits = image_extent(mx.nd, padded if config.convention.clip_to_padding else image)
    stage = (mx.nd, RPNOutputs(logits, deltas, anchors), limits, config)
    scores, entering = candidates(*stage, training=False)
    before = _best_ious(boxes, entering.reshape((-1, 4)), scores.reshape((-1,)), net)
    proposals, scores = propose(*stage, training=False)
    after = _best_ious(boxes, proposals.reshape((-1, 4)), scores.reshape((-1,)), net)
    return before, after


def _best_ious(
    boxes: np.ndarray, found: mx.nd.NDArray, scores: mx.nd.NDArray, net: FasterRCNN
) -> np.ndarray:
    """Return the best IoU (G,) of each box with those that are found and no padding."""
    is_box = scores.asnumpy() >= 0
    corners = found.asnumpy()[is_box]
    if not len(boxes) or not len(corners):
        return np.zeros(len(boxes))
    # Inclusive corners end one pixel earlier.
    corners[:, 2:] += net.config.convention.offset
    objects = mx.nd.array(boxes, dtype="float32").expand_dims(0)
    ious = box_iou(mx.nd, objects, mx.nd.array(corners).expand_dims(0))
    return ious[0].asnumpy().max(axis=1).astype(np.float64)
