"""GluonCV's call of a detector in training, so that its training loops run on our networks.

GluonCV's network returns predictions and targets, and the loop computes the losses. The loss of
this package, :func:`gluonnorm.rcnn.make_loss`, needs less memory and time.
"""

from typing import List, NamedTuple, Sequence, Tuple

from gluonnorm.errors import InputError
from gluonnorm.ops.boxes import image_extent
from gluonnorm.rcnn.detector import Detector
from gluonnorm.rcnn.roi_align import roi_align, roi_strides
from gluonnorm.rcnn.rpn import RPNOutputs, level_anchors, propose
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


class GluonCVMaskOutputs(NamedTuple):
    """What GluonCV's Mask R-CNN returns in training, in its order.

    Attributes
    ----------
    cls_pred, box_pred : NDArray
        As in :class:`GluonCVOutputs`.
    mask_pred : NDArray
        (B, P, C, M, M), the logits of the masks of the first P RoIs.
    rois, samples, matches, rpn_score, rpn_box, anchors : NDArray
        As in :class:`GluonCVOutputs`.
    cls_targets, box_targets, box_masks, indices : NDArray
        As in :class:`GluonCVOutputs`.
    """

    cls_pred: NDArray
    box_pred: NDArray
    mask_pred: NDArray
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


class _SampledBatch(NamedTuple):
    """A batch after the RPN: feature maps, what the RPN predicts, and the RoIs to learn from."""

    features: List[NDArray]
    rpn: RPNOutputs
    targets: RoITargets
    matches: NDArray


def check_ground_truth(ground_truth: Sequence[NDArray]) -> None:
    """Refuse other ground truth than boxes and labels.

    Parameters
    ----------
    ground_truth : sequence of NDArray
        What follows the images in a call.

    Raises
    ------
    InputError
        There are more or fewer arrays.
    """
    if len(ground_truth) != 2:
        raise InputError("in training, give boxes (B, G, 4) and labels (B, G, 1) after images")


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
    batch = _sample_rois(net, images, gt_boxes, gt_labels)
    shared = _shared_features(net, batch.features, batch.targets.rois, net.config.roi_size)
    return _box_outputs(net, batch, shared)


def mask_training_outputs(
    net: Detector, images: NDArray, gt_boxes: NDArray, gt_labels: NDArray
) -> GluonCVMaskOutputs:
    """Predict in training with masks; their targets are made by :class:`GluonCVMaskTargets`.

    Parameters
    ----------
    net : MaskRCNN
        The detector.
    images, gt_boxes, gt_labels : NDArray
        As for :func:`training_outputs`.

    Returns
    -------
    GluonCVMaskOutputs
        Predictions and targets.
    """
    batch = _sample_rois(net, images, gt_boxes, gt_labels)
    shared = _shared_features(net, batch.features, batch.targets.rois, net.config.roi_size)
    outputs = _box_outputs(net, batch, shared)
    mask_pred = _mask_predictions(net, batch)
    return GluonCVMaskOutputs(outputs.cls_pred, outputs.box_pred, mask_pred, *outputs[2:])


class GluonCVMaskTargets:
    """Make the targets of a mask head from the masks of complete images, as GluonCV's network does.

    It is what GluonCV's loops call as ``net.mask_target``. Unlike the targets of
    :func:`gluonnorm.rcnn.make_loss`, these are fractions: how much of a cell the object covers.

    Parameters
    ----------
    num_classes : int
        C, the foreground classes.
    size : int
        M, the cells on a side of a mask.
    """

    def __init__(self, num_classes: int, size: int) -> None:
        self._num_classes = num_classes
        self._size = size

    def __call__(
        self, rois: NDArray, gt_masks: NDArray, matches: NDArray, cls_targets: NDArray
    ) -> Tuple[NDArray, NDArray]:
        """Crop the masks of objects to the RoIs that belong to them.

        Parameters
        ----------
        rois : NDArray
            (B, P, 4) in pixels.
        gt_masks : NDArray
            (B, G, H, W) of 0 and 1, the masks of the objects in the complete image.
        matches : NDArray
            (B, P), the index of the object of each RoI.
        cls_targets : NDArray
            (B, P), the foreground class + 1; 0 and less for no object.

        Returns
        -------
        mask_targets : NDArray
            (B, P, C, M, M) in 0..1, the same for each class.
        mask_masks : NDArray
            (B, P, C, M, M), 1 at the class of the object.
        """
        F = mx.nd
        num_images, num_objects = gt_masks.shape[:2]
        with mx.autograd.pause():
            first_object = F.arange(num_images, ctx=rois.context) * num_objects
            of_batch = F.broadcast_add(F.relu(matches), first_object.expand_dims(axis=1))
            rows = F.concat(of_batch.expand_dims(axis=-1), rois, dim=-1).reshape((-3, 0))
            masks = gt_masks.reshape((-3, 0, 0)).expand_dims(axis=1)
            side = (self._size, self._size)
            crops = F.contrib.ROIAlign(masks, rows, side, 1.0, sample_ratio=2)
            crops = crops.reshape((-4, num_images, -1, 1, *side))
            is_class = F.one_hot(cls_targets - 1, self._num_classes)
            is_class = is_class.expand_dims(axis=-1).expand_dims(axis=-1)
            return (
                F.broadcast_axis(crops, axis=2, size=self._num_classes),
                F.broadcast_axis(is_class, axis=(3, 4), size=side),
            )


def _sample_rois(
    net: Detector, images: NDArray, gt_boxes: NDArray, gt_labels: NDArray
) -> _SampledBatch:
    """Apply backbone and RPN, and sample the RoIs."""
    config = net.config
    maps = net._feature_maps(mx.nd, images)
    logits, deltas = net.rpn.over(maps.features)
    ground_truth = GroundTruth(boxes=gt_boxes, labels=gt_labels.reshape((0, -1)))
    # The targets get no gradient, so nothing of their computation is recorded.
    with mx.autograd.pause():
        anchors = level_anchors(mx.nd, maps.padded, maps.features, net.backbone.strides, config)
        rpn = RPNOutputs(logits, deltas, anchors)
        extent = image_extent(mx.nd, images)
        proposals, scores = propose(mx.nd, rpn, extent, config, training=True)
        targets, matches = roi_targets(mx.nd, proposals, scores, ground_truth, config)
    return _SampledBatch(maps.features, rpn, targets, matches)


def _box_outputs(net: Detector, batch: _SampledBatch, shared: NDArray) -> GluonCVOutputs:
    """Predict the boxes of the RoIs, and collect what the losses of the boxes need."""
    F = mx.nd
    targets = batch.targets
    num_positive = max_positive_rois(net.config)
    cls_pred, box_pred = _box_predictions(net, shared, num_positive)
    box_targets, box_masks = _targets_of_classes(targets, num_positive, net.num_class)
    rows = F.arange(num_positive, ctx=shared.context).expand_dims(axis=0)
    return GluonCVOutputs(
        cls_pred=cls_pred,
        box_pred=box_pred,
        rois=targets.rois,
        samples=2 * targets.positive - targets.weight,
        matches=batch.matches,
        rpn_score=F.concat(*batch.rpn.logits, dim=1).expand_dims(axis=-1),
        rpn_box=F.concat(*batch.rpn.deltas, dim=1),
        anchors=F.concat(*batch.rpn.anchors, dim=0).expand_dims(axis=0),
        cls_targets=targets.labels * targets.weight - (1 - targets.weight),
        box_targets=box_targets,
        box_masks=box_masks,
        indices=F.broadcast_axis(rows, axis=0, size=targets.rois.shape[0]),
    )


def _shared_features(net: Detector, features: List[NDArray], rois: NDArray, size: int) -> NDArray:
    """Compute the features of RoIs (B, R, 4) that both heads read: (B * R, C, h, w)."""
    strides = roi_strides(net.backbone.strides)
    pooled = roi_align(
        mx.nd,
        features[: len(strides)],
        rois,
        strides,
        size,
        net.config.roi_sample_ratio,
        net.config.convention,
        inside=True,
    )
    return net.box_head.shared(pooled)


def _box_predictions(net: Detector, shared: NDArray, num_positive: int) -> Tuple[NDArray, NDArray]:
    """Predict the class logits of RoIs (B, S, 4), and the deltas of the first of them."""
    F = mx.nd
    class_logits, deltas = net.predictor(net.box_head.features(shared))
    num_sample = net.config.num_sample
    cls_pred = F.reshape(class_logits, (-1, num_sample, net.num_class + 1))
    all_deltas = F.reshape(deltas, (-1, num_sample, net.num_class, 4))
    return cls_pred, F.slice_axis(all_deltas, axis=1, begin=0, end=num_positive)


def _mask_predictions(net: Detector, batch: _SampledBatch) -> NDArray:
    """Predict the masks of the first RoIs for all classes: (B, P, C, M, M)."""
    num_positive = max_positive_rois(net.config)
    rois = mx.nd.slice_axis(batch.targets.rois, axis=1, begin=0, end=num_positive)
    shared = _shared_features(net, batch.features, rois, net.config.mask_roi_size)
    return net.mask_head(shared).reshape((-4, -1, num_positive, 0, 0, 0))


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
