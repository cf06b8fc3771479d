"""A whole detector on one image: what has weights is the network's own, the rest are loops."""
import math

import mxnet as mx
import numpy as np
from reference.anchors import of_pyramid
from reference.boxes import clip, decode
from reference.nms import per_class_nms
from reference.proposals import propose
from reference.roi_align import pyramid_level, roi_align


def padded(image, multiple):
    """(1, 3, H, W), normalized, with zeros right and below."""
    height, width = image.shape[2:]
    return np.pad(image, ((0, 0), (0, 0), (0, -height % multiple), (0, -width % multiple)))


def align(net, features, box, size):
    """The features (C, size, size) of one box, from the level it belongs to; ``features`` (C, h, w) of each level."""
    config, convention = net.config, net.config.convention
    strides = [stride for stride in net.backbone.strides if stride <= 32]
    lowest = int(math.log2(strides[0]))
    level = pyramid_level(box, lowest, lowest + len(strides) - 1, convention.level_offset,
                          convention.level_eps_inside, convention.level_eps) - lowest
    return roi_align(features[level], box, strides[level], size, config.roi_sample_ratio, convention.roi_aligned)


def detector(net, image):
    """Ids, scores and boxes, padded with -1, and the feature maps, of an NDArray (1, 3, H, W)."""
    config, classes, extent = net.config, len(net.classes), image.shape[2:]
    convention = config.convention
    offset = 1.0 if convention.inclusive else 0.0
    whole = padded(image.asnumpy(), net.preprocess.multiple)
    features = net.backbone(mx.nd.array(whole))
    logits, deltas = net.rpn.over(features)
    features = [level.asnumpy()[0] for level in features]
    anchors = of_pyramid(whole.shape[2:], [level.shape[1:] for level in features], net.backbone.strides,
                         config.anchor_sizes, config.anchor_ratios, convention)
    rois, scores = propose([level.asnumpy()[0] for level in logits], [level.asnumpy()[0] for level in deltas],
                           [np.float64(level) for level in anchors],
                           whole.shape[2:] if convention.clip_to_padding else extent, config.rpn_test_pre_nms,
                           config.rpn_test_post_nms, config.rpn_nms_thresh, config.rpn_min_size, offset=offset,
                           min_size_offset=convention.min_size_offset, joint=convention.proposal_nms == "joint",
                           at_threshold=convention.nms_at_threshold, most=config.delta_clip,
                           order=convention.proposal_scores)
    rois = rois[scores >= 0]
    pooled = np.float32([align(net, features, roi, config.roi_size) for roi in rois])
    heads = net.predictor(net.box_head.features(net.box_head.shared(mx.nd.array(pooled))))
    logits, deltas = (array.asnumpy() for array in heads)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    boxes = np.array([[decode(delta.tolist(), roi.tolist(), config.box_stds, config.delta_clip, offset)
                       for delta in row.reshape(classes, 4)] for row, roi in zip(deltas, rois)])
    if convention.clip_detections:
        boxes = np.array([[clip(box, *extent, offset) for box in row] for row in boxes.tolist()])
    short = np.minimum(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])
    chances = chances[:, 1:] * (short >= convention.min_detection_size if convention.min_detection_size else 1)
    found = per_class_nms(chances, boxes, config.nms_thresh, config.score_thresh, config.max_detections, offset,
                          convention.nms_at_threshold)
    return found, features
