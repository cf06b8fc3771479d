"""GluonCV's call of a Faster R-CNN in training, so that its training loops run on our networks.

GluonCV's network returns predictions and targets, and the loop computes the losses. The loss of
this package, :func:`gluonnorm.rcnn.make_loss`, needs less memory and time.
"""

from typing import List, NamedTuple, Tuple

from gluonnorm.ops.boxes import image_extent
from gluonnorm.rcnn.anchors import pyramid_anchors
from gluonnorm.rcnn.detector import Detector
from gluonnorm.rcnn.roi_align import roi_align, roi_strides
from gluonnorm.rcnn.rpn import propose
from gluonnorm.rcnn.target_records import GroundTruth, RoITargets
from gluonnorm.rcnn.targets import max_positive_rois, roi_targets

import mxnet as mx
from mxnet.ndarray import NDArray


class GluonCVOutputs(NamedTuple):
    """What GluonCV's Faster R-CNN returns in training, in its order.

    S is ``num_sample``, P the most positive RoIs, N the anchors of all levels, C the classes.

    Attributes
    ----------
    cls_pred : NDArray
        (B, S, C + 1), the class logits of the RoIs.
    box_pred : NDArray
        (B, P, C, 4), the deltas of the first P RoIs, which include all positive ones.
    rois : NDArray
        (B, S, 4) in pixels.
    samples : NDArray
        (B, S), 1 for a positive RoI, -1 for a negative one, 0 for padding.
    matches : NDArray
        (B, S), the index of the ground-truth box of each RoI.
    rpn_score : NDArray
        (B, N, 1), the logits of the RPN.
    rpn_box : NDArray
        (B, N, 4), the deltas of the RPN.
    anchors : NDArray
        (1, N, 4) in pixels.
    cls_targets : NDArray
        (B, S), 0 for background, the foreground class + 1 for an object, -1 for padding.
    box_targets, box_masks : NDArray
        (B, P, C, 4), the deltas to be learned, and 1 where there are any.
    indices : NDArray
        (B, P), the rows of ``cls_pred`` to which those of ``box_pred`` belong.
    """

    cls_pred: NDArray
    box_pred: NDArray
    rois: NDArray
    samples: NDArray
    matches: NDArray
    rpn_score: NDArray
    rpn_box: NDArray
    anchors: NDArray
    cls_targets: NDArray
    box_targets: NDArray
    box_masks: NDArray
    indices: NDArray


def training_outputs(
    net: Detector, images: NDArray, gt_boxes: NDArray, gt_labels: NDArray
) -> GluonCVOutputs:
    """Predict in training, and make the targets of the RoIs.

    Parameters
    ----------
    net : FasterRCNN
        The detector.
    images : NDArray
        (B, 3, H, W), prepared as ``net.preprocess`` states.
    gt_boxes : NDArray
        (B, G, 4) in pixels, padded with -1.
    gt_labels : NDArray
        (B, G, 1), the foreground class, from 0; -1 in padding.

    Returns
    -------
    GluonCVOutputs
        Predictions and targets.
    """
    F = mx.nd
    config = net.config
    maps = net._feature_maps(F, images)
    logits, deltas = net.rpn.over(maps.features)
    ground_truth = GroundTruth(boxes=gt_boxes, labels=gt_labels.reshape((0, -1)))
    # The targets get no gradient, so nothing of their computation is recorded.
    with mx.autograd.pause():
        anchors = _anchors(net, maps.padded, maps.features)
        extent = image_extent(F, images)
        proposals, scores = propose(F, logits, deltas, anchors, extent, config, training=True)
        targets, matches = roi_targets(F, proposals, scores, ground_truth, config)
    num_positive = min(max_positive_rois(config), config.num_sample)
    cls_pred, box_pred = _predictions(net, maps.features, targets.rois, num_positive)
    box_targets, box_masks = _targets_of_classes(targets, num_positive, net.num_class)
    rows = F.arange(num_positive, ctx=images.context).expand_dims(axis=0)
    return GluonCVOutputs(
        cls_pred=cls_pred,
        box_pred=box_pred,
        rois=targets.rois,
        samples=2 * targets.positive - targets.weight,
        matches=matches,
        rpn_score=F.concat(*logits, dim=1).expand_dims(axis=-1),
        rpn_box=F.concat(*deltas, dim=1),
        anchors=F.concat(*anchors, dim=0).expand_dims(axis=0),
        cls_targets=targets.labels * targets.weight - (1 - targets.weight),
        box_targets=box_targets,
        box_masks=box_masks,
        indices=F.broadcast_axis(rows, axis=0, size=images.shape[0]),
    )


def _anchors(net: Detector, padded: NDArray, features: List[NDArray]) -> List[NDArray]:
    """Compute the anchors of every level."""
    return pyramid_anchors(
        mx.nd,
        padded,
        features,
        net.backbone.strides,
        net.config.anchor_sizes,
        net.config.anchor_ratios,
        net.config.convention,
    )


def _predictions(
    net: Detector, features: List[NDArray], rois: NDArray, num_positive: int
) -> Tuple[NDArray, NDArray]:
    """Predict the class logits of RoIs (B, S, 4), and the deltas of the first of them."""
    F = mx.nd
    strides = roi_strides(net.backbone.strides)
    pooled = roi_align(
        F,
        features[: len(strides)],
        rois,
        strides,
        net.config.roi_size,
        net.config.roi_sample_ratio,
        net.config.convention,
        inside=True,
    )
    class_logits, deltas = net.predictor(net.box_head.features(net.box_head.shared(pooled)))
    num_sample = net.config.num_sample
    cls_pred = F.reshape(class_logits, (-1, num_sample, net.num_class + 1))
    all_deltas = F.reshape(deltas, (-1, num_sample, net.num_class, 4))
    return cls_pred, F.slice_axis(all_deltas, axis=1, begin=0, end=num_positive)


def _targets_of_classes(
    targets: RoITargets, num_positive: int, num_classes: int
) -> Tuple[NDArray, NDArray]:
    """Give each of the first RoIs its deltas at its own class: targets and masks (B, P, C, 4)."""
    F = mx.nd
    labels = F.slice_axis(targets.labels, axis=1, begin=0, end=num_positive)
    positive = F.slice_axis(targets.positive, axis=1, begin=0, end=num_positive)
    deltas = F.slice_axis(targets.deltas, axis=1, begin=0, end=num_positive)
    # The label of background, 0, becomes -1, at which one_hot has zeros only.
    is_class = F.one_hot(labels - 1, num_classes)
    is_class = F.broadcast_mul(is_class, positive.expand_dims(axis=-1))
    masks = F.broadcast_axis(is_class.expand_dims(axis=-1), axis=3, size=4)
    # Deltas of negative RoIs have no meaning and may be infinite.
    all_deltas = F.broadcast_axis(deltas.expand_dims(axis=2), axis=2, size=num_classes)
    return F.where(masks, all_deltas, F.zeros_like(all_deltas)), masks
