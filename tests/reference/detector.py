"""A complete detector on one image: the network's own layers, and loops for all the rest."""

import math

import mxnet as mx
import numpy as np
from reference.anchors import pyramid_anchors
from reference.boxes import clip, decode
from reference.nms import per_class_nms
from reference.proposals import propose
from reference.roi_align import pyramid_level, roi_align


def padded(image, multiple):
    """Pad a normalized image (1, 3, H, W) with zeros at the right and at the bottom."""
    height, width = image.shape[2:]
    return np.pad(image, ((0, 0), (0, 0), (0, -height % multiple), (0, -width % multiple)))


def align(net, features, box, size):
    """Sample the features (C, size, size) of a box from its level, one of the maps (C, h, w)."""
    config = net.config
    convention = config.convention
    strides = [stride for stride in net.backbone.strides if stride <= 32]
    lowest = int(math.log2(strides[0]))
    level = pyramid_level(
        box,
        lowest,
        lowest + len(strides) - 1,
        convention.level_offset,
        convention.level_eps_inside,
        convention.level_eps,
    )
    index = level - lowest
    return roi_align(
        features[index],
        box,
        strides[index],
        size,
        config.roi_sample_ratio,
        convention.roi_aligned,
    )


def detector(net, image):
    """Detect the objects of an NDArray (1, 3, H, W).

    Returns ids, scores and boxes, padded with -1, and the feature maps, (C, h, w) each.
    """
    padded_image = padded(image.asnumpy(), net.preprocess.multiple)
    maps = net.backbone(mx.nd.array(padded_image))
    features = [level.asnumpy()[0] for level in maps]
    rois = _proposals(net, maps, image.shape[2:], padded_image.shape[2:])
    pooled = np.float32([align(net, features, roi, net.config.roi_size) for roi in rois])
    box_features = net.box_head.features(net.box_head.shared(mx.nd.array(pooled)))
    logits, deltas = (array.asnumpy() for array in net.predictor(box_features))
    exponentials = np.exp(logits)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    detections = _detections(net, probabilities[:, 1:], deltas, rois, image.shape[2:])
    return detections, features


def _proposals(net, maps, extent, padded_extent):
    """Compute the proposals (R, 4) of feature maps, without padding."""
    config = net.config
    convention = config.convention
    logits, deltas = net.rpn.over(maps)
    anchors = pyramid_anchors(
        padded_extent,
        [level.shape[2:] for level in maps],
        net.backbone.strides,
        config.anchor_sizes,
        config.anchor_ratios,
        convention,
    )
    rois, scores = propose(
        [level.asnumpy()[0] for level in logits],
        [level.asnumpy()[0] for level in deltas],
        [np.float64(level) for level in anchors],
        padded_extent if convention.clip_to_padding else extent,
        config.rpn_test_pre_nms,
        config.rpn_test_post_nms,
        config.rpn_nms_thresh,
        config.rpn_min_size,
        offset=1.0 if convention.inclusive else 0.0,
        min_size_offset=convention.min_size_offset,
        joint=convention.proposal_nms == "joint",
        at_threshold=convention.nms_at_threshold,
        largest_growth=config.delta_clip,
        order=convention.proposal_scores,
    )
    return rois[scores >= 0]


def _detections(net, probabilities, deltas, rois, extent):
    """Decode, clip and suppress: probabilities (R, C) and deltas (R, 4 * C) of RoIs (R, 4)."""
    config = net.config
    convention = config.convention
    offset = 1.0 if convention.inclusive else 0.0
    boxes = np.zeros((*probabilities.shape, 4))
    for row, column in np.ndindex(*probabilities.shape):
        delta = deltas[row, 4 * column : 4 * column + 4].tolist()
        box = decode(delta, rois[row].tolist(), config.box_stds, config.delta_clip, offset)
        if convention.clip_detections:
            box = clip(box, *extent, offset)
        boxes[row, column] = box
    if convention.min_detection_size:
        width = boxes[..., 2] - boxes[..., 0]
        height = boxes[..., 3] - boxes[..., 1]
        is_large = np.minimum(width, height) >= convention.min_detection_size
        probabilities = probabilities * is_large
    return per_class_nms(
        probabilities,
        boxes,
        config.nms_thresh,
        config.score_thresh,
        config.max_detections,
        offset,
        convention.nms_at_threshold,
    )
