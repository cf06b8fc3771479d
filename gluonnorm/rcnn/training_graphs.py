"""The three graphs of a training step: feature maps, targets and losses.

Only the first and the last graph are differentiated. A hybridized block of MXNet takes and returns
flat lists of arrays, so each of these blocks has such lists at its border and records inside.
"""

from typing import Any, List, NamedTuple, Sequence, Tuple

from gluonnorm.graph.trace import contexts
from gluonnorm.ops.boxes import image_extent
from gluonnorm.ops.pad import pad_to_multiple
from gluonnorm.rcnn.class_losses import ClassLoss, ClassLossSetting, softmax_class_loss
from gluonnorm.rcnn.faster_rcnn import FasterRCNN
from gluonnorm.rcnn.losses import (
    BoxLoss,
    BoxLossSetting,
    binary_cross_entropy,
    per_image,
    smooth_l1_box_loss,
)
from gluonnorm.rcnn.roi_align import roi_align, roi_strides
from gluonnorm.rcnn.roi_product import roi_product, rows_of_cells
from gluonnorm.rcnn.rpn import RPN_STDS, RPNOutputs, level_anchors, propose
from gluonnorm.rcnn.sampled_rpn import SampledRPN
from gluonnorm.rcnn.target_records import (
    GroundTruth,
    RoITargets,
    RPNTargets,
    TrainingTargets,
    flatten,
    restore,
)
from gluonnorm.rcnn.targets import max_positive_rois, roi_targets, rpn_targets
from gluonnorm.types import Tensor

import mxnet as mx


class FeatureMapBlock(mx.gluon.HybridBlock):
    """Pad images and apply the backbone.

    Parameters
    ----------
    net : FasterRCNN
        The detector whose backbone is used.
    """

    def __init__(self, net: FasterRCNN) -> None:
        super().__init__()
        self.backbone = net.backbone
        preprocess = net.preprocess
        self._multiple = preprocess.multiple
        self._color = preprocess.padding

    def hybrid_forward(self, F: Any, images: Tensor) -> List[Tensor]:
        """Pad images and compute their feature maps.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        images : Tensor
            (B, 3, H, W).

        Returns
        -------
        list of Tensor
            The padded images, then the feature map of each level.
        """
        padded = pad_to_multiple(F, images, self._multiple, self._color)
        return [padded, *self.backbone(padded)]


class TargetBlock(mx.gluon.HybridBlock):
    """Make training targets from images, ground truth and feature maps.

    Parameters
    ----------
    net : FasterRCNN
        The detector whose RPN makes the proposals.
    """

    ground_truth_fields: Tuple[str, ...] = ("boxes", "labels")

    def __init__(self, net: FasterRCNN) -> None:
        super().__init__()
        self.rpn = net.rpn
        self._strides = net.backbone.strides
        self._config = net.config

    def hybrid_forward(
        self, F: Any, images: Tensor, padded: Tensor, *inputs: Tensor
    ) -> List[Tensor]:
        """Make flattened targets.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        images : Tensor
            (B, 3, H, W), the images without padding; only their size is read.
        padded : Tensor
            (B, 3, H', W'), the padded images; only their size is read.
        *inputs : Tensor
            The fields of the ground truth, then the feature map of each level.

        Returns
        -------
        list of Tensor
            The targets as :func:`gluonnorm.rcnn.target_records.flatten` gives them.
        """
        num_fields = len(self.ground_truth_fields)
        ground_truth = GroundTruth(*inputs[:num_fields])
        features = inputs[num_fields:]
        return flatten(self.make_targets(F, images, padded, features, ground_truth))

    def make_targets(
        self,
        F: Any,
        images: Tensor,
        padded: Tensor,
        features: Sequence[Tensor],
        ground_truth: GroundTruth,
    ) -> TrainingTargets:
        """Make the targets of the RPN and of the box head.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        images, padded : Tensor
            As in :meth:`hybrid_forward`.
        features : sequence of Tensor
            The feature map of each level, (B, C, h, w).
        ground_truth : GroundTruth
            The labeled objects.

        Returns
        -------
        TrainingTargets
            The targets of the batch.
        """
        rpn, roi, _ = self._box_targets(F, images, padded, features, ground_truth)
        return TrainingTargets(rpn=rpn, roi=roi)

    def _box_targets(
        self,
        F: Any,
        images: Tensor,
        padded: Tensor,
        features: Sequence[Tensor],
        ground_truth: GroundTruth,
    ) -> Tuple[RPNTargets, RoITargets, Tensor]:
        """Make the targets of RPN and box head, and the index (B, S) of each RoI's ground truth."""
        config = self._config
        logits, deltas = self.rpn.over(features)
        anchors = level_anchors(F, padded, features, self._strides, config)
        outputs = RPNOutputs(logits, deltas, anchors)
        extent = image_extent(F, images)
        proposals, scores = propose(F, outputs, extent, config, training=True)
        all_anchors = F.concat(*anchors, dim=0)
        rpn = rpn_targets(F, all_anchors, ground_truth.boxes, config)
        roi, ground_truth_index = roi_targets(F, proposals, scores, ground_truth, config)
        return rpn, roi, ground_truth_index


class LossFeatures(NamedTuple):
    """The feature maps of a batch in both forms that the losses read.

    Attributes
    ----------
    maps : sequence of Tensor
        The map of each level, (B, C, h, w).
    rows : Tensor
        (B, N, C), the cells of all maps; see :func:`gluonnorm.rcnn.roi_product.rows_of_cells`.
    """

    maps: Sequence[Tensor]
    rows: Tensor


class LossBlock(mx.gluon.HybridBlock):
    """Compute the losses from targets and feature maps, with the weights of a detector.

    Parameters
    ----------
    net : FasterRCNN
        The detector.
    box_loss : BoxLoss
        Compares deltas with their targets.
    class_loss : ClassLoss
        Compares the class logits of RoIs with their labels.
    """

    has_masks = False

    def __init__(
        self,
        net: FasterRCNN,
        box_loss: BoxLoss = smooth_l1_box_loss,
        class_loss: ClassLoss = softmax_class_loss,
    ) -> None:
        super().__init__()
        self._box_loss = box_loss
        self._class_loss = class_loss
        self.rpn = SampledRPN(net.rpn)
        self.box_head = net.box_head
        self.predictor = net.predictor
        self._num_maps = len(net.backbone.strides)
        self._roi_strides = roi_strides(net.backbone.strides)
        self._config = net.config
        self._classes = net.classes

    def hybrid_forward(self, F: Any, *inputs: Tensor) -> Tuple[Tensor, ...]:
        """Compute the losses of flattened targets.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        *inputs : Tensor
            The feature map of each level, then the targets as
            :func:`gluonnorm.rcnn.target_records.flatten` gives them.

        Returns
        -------
        tuple of Tensor
            One loss (B,) for each of the loss names.
        """
        maps = inputs[: self._num_maps]
        features = LossFeatures(maps, rows_of_cells(F, maps))
        targets = restore(inputs[self._num_maps :], self.has_masks)
        return self.losses(F, features, targets)

    def losses(
        self, F: Any, features: LossFeatures, targets: TrainingTargets
    ) -> Tuple[Tensor, ...]:
        """Compute all losses.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        features : LossFeatures
            The feature map of each level, (B, C, h, w), in both forms.
        targets : TrainingTargets
            The targets of the batch.

        Returns
        -------
        tuple of Tensor
            One loss (B,) for each of the loss names.
        """
        shared = self._shared(F, features, targets.roi.rois, self._config.roi_size)
        return self._box_losses(F, features, shared, targets)

    def _shared(self, F: Any, features: LossFeatures, rois: Tensor, size: int) -> Tensor:
        """Compute the features of RoIs (B, R, 4) that both heads read: (B * R, C, h, w)."""
        # Maps of larger strides serve the RPN alone.
        maps = features.maps[: len(self._roi_strides)]
        settings = (self._roi_strides, size, self._config.roi_sample_ratio, self._config.convention)
        if self._is_on_cpu():
            pooled = roi_product(F, maps, features.rows, rois, *settings)
        else:
            # Proposals and ground truth are clipped to the image.
            pooled = roi_align(F, maps, rois, *settings, inside=True)
        return self.box_head.shared(pooled)

    def _is_on_cpu(self) -> bool:
        """Tell whether all devices are CPUs, where a product is faster than MXNet's operator."""
        return all(device.device_type == "cpu" for device in contexts(self.predictor))

    def _box_losses(
        self, F: Any, features: LossFeatures, shared: Tensor, targets: TrainingTargets
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the four losses of Faster R-CNN, in the order of ``LOSS_NAMES``."""
        rpn_class, rpn_box = self._rpn_losses(F, features, targets.rpn)
        rcnn_class, rcnn_box = self._rcnn_losses(F, shared, targets.roi)
        return rpn_class, rpn_box, rcnn_class, rcnn_box

    def _rpn_losses(
        self, F: Any, features: LossFeatures, targets: RPNTargets
    ) -> Tuple[Tensor, Tensor]:
        """Compute the losses of objectness and of deltas at the sampled anchors."""
        sampled = targets.sampled
        logits, deltas = self.rpn(sampled.indices, features.rows, *features.maps)
        entropy = binary_cross_entropy(F, logits, sampled.positive)
        setting = BoxLossSetting("rpn", self._config.rpn_smoothl1_beta, RPN_STDS)
        box_error = self._box_loss(F, deltas, targets.deltas, setting)
        class_loss = per_image(F, entropy, sampled.weight, sampled.weight)
        box_loss = per_image(F, box_error, sampled.positive, sampled.weight)
        return class_loss, box_loss

    def _rcnn_losses(self, F: Any, shared: Tensor, targets: RoITargets) -> Tuple[Tensor, Tensor]:
        """Compute the losses of classes and of deltas of the sampled RoIs."""
        num_rois = self._config.num_sample
        num_classes = len(self._classes)
        logits, deltas = self.predictor(self.box_head.features(shared))
        logits = F.reshape(logits, (-1, num_rois, num_classes + 1))
        setting = ClassLossSetting(self._classes)
        class_error = self._class_loss(F, logits, targets.labels, setting)
        deltas = F.reshape(deltas, (-1, num_rois, num_classes, 4))
        box_error, positive = self._box_error(F, deltas, targets)
        class_loss = per_image(F, class_error, targets.weight, targets.weight)
        box_loss = per_image(F, box_error, positive, targets.weight)
        return class_loss, box_loss

    def _box_error(self, F: Any, deltas: Tensor, targets: RoITargets) -> Tuple[Tensor, Tensor]:
        """Compare deltas (B, S, C, 4) of each RoI's own class with the targets.

        Positive RoIs come first, so only the P first rows are read. Returns the error and which of
        these rows are positive, (B, P) each.
        """
        max_positive = max_positive_rois(self._config)
        deltas = F.slice_axis(deltas, axis=1, begin=0, end=max_positive)
        target_deltas = F.slice_axis(targets.deltas, axis=1, begin=0, end=max_positive)
        positive = F.slice_axis(targets.positive, axis=1, begin=0, end=max_positive)
        labels = F.slice_axis(targets.labels, axis=1, begin=0, end=max_positive)
        class_index = F.expand_dims(F.maximum(labels - 1, 0), axis=-1)
        class_index = F.broadcast_like(class_index, target_deltas)
        own_deltas = F.pick(deltas, class_index, axis=2)
        config = self._config
        setting = BoxLossSetting("rcnn", config.rcnn_smoothl1_beta, config.box_stds)
        return self._box_loss(F, own_deltas, target_deltas, setting), positive
