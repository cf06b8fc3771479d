"""Training of Mask R-CNN: the losses of Faster R-CNN, and that of the masks."""

from typing import Any, Sequence, Tuple

from gluonnorm.ops.masks import crop_targets, pick_class
from gluonnorm.rcnn.class_losses import ClassLoss, softmax_class_loss
from gluonnorm.rcnn.faster_rcnn import FasterRCNN
from gluonnorm.rcnn.faster_rcnn_loss import FasterRCNNLoss
from gluonnorm.rcnn.losses import (
    LOSS_NAMES,
    BoxLoss,
    binary_cross_entropy,
    per_image,
    smooth_l1_box_loss,
)
from gluonnorm.rcnn.mask_rcnn import MaskRCNN, mask_size
from gluonnorm.rcnn.target_records import GroundTruth, TrainingTargets
from gluonnorm.rcnn.targets import max_positive_rois
from gluonnorm.rcnn.training_graphs import LossBlock, LossFeatures, TargetBlock
from gluonnorm.types import Tensor


class MaskTargetBlock(TargetBlock):
    """Make training targets with masks.

    Parameters
    ----------
    net : MaskRCNN
        The detector whose RPN makes the proposals.
    """

    ground_truth_fields = ("boxes", "labels", "masks")

    def __init__(self, net: MaskRCNN) -> None:
        super().__init__(net)
        self._mask_size = mask_size(net)

    def make_targets(
        self,
        F: Any,
        images: Tensor,
        padded: Tensor,
        features: Sequence[Tensor],
        ground_truth: GroundTruth,
    ) -> TrainingTargets:
        """Make the targets of the RPN, of the box head and of the mask head.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        images, padded, features, ground_truth
            As in :meth:`TargetBlock.make_targets`; the ground truth has masks.

        Returns
        -------
        TrainingTargets
            The targets of the batch.
        """
        rpn, roi, ground_truth_index = self._box_targets(F, images, padded, features, ground_truth)
        # Positive RoIs come first, so these rows hold all of them.
        max_positive = max_positive_rois(self._config)
        rois = F.slice_axis(roi.rois, axis=1, begin=0, end=max_positive)
        ground_truth_index = F.slice_axis(ground_truth_index, axis=1, begin=0, end=max_positive)
        masks = crop_targets(
            F,
            ground_truth.masks,
            ground_truth.boxes,
            ground_truth_index,
            rois,
            self._mask_size,
        )
        return TrainingTargets(rpn=rpn, roi=roi, masks=masks)


class MaskLossBlock(LossBlock):
    """Compute the losses of a detector with masks; that of the masks comes last.

    Parameters
    ----------
    net : MaskRCNN
        The detector.
    box_loss : BoxLoss
        Compares deltas with their targets.
    class_loss : ClassLoss
        Compares the class logits of RoIs with their labels.
    """

    has_masks = True

    def __init__(
        self,
        net: MaskRCNN,
        box_loss: BoxLoss = smooth_l1_box_loss,
        class_loss: ClassLoss = softmax_class_loss,
    ) -> None:
        super().__init__(net, box_loss, class_loss)
        self.mask_head = net.mask_head

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
            The targets of the batch, with masks.

        Returns
        -------
        tuple of Tensor
            One loss (B,) for each of the loss names.
        """
        shared = self._shared(F, features, targets.roi.rois, self._config.roi_size)
        mask_loss = self._mask_loss(F, features, shared, targets)
        box_losses = self._box_losses(F, features, shared, targets)
        return (*box_losses, mask_loss)

    def _mask_loss(
        self, F: Any, features: LossFeatures, shared: Tensor, targets: TrainingTargets
    ) -> Tensor:
        """Compute the mean cross entropy of each positive RoI's own class over all cells."""
        max_positive = max_positive_rois(self._config)
        rois = F.slice_axis(targets.roi.rois, axis=1, begin=0, end=max_positive)
        labels = F.slice_axis(targets.roi.labels, axis=1, begin=0, end=max_positive)
        positive = F.slice_axis(targets.roi.positive, axis=1, begin=0, end=max_positive)
        mask_features = self._mask_features(F, features, shared, rois)
        ids = F.reshape(labels - 1, (-1,))
        logits = pick_class(F, self.mask_head(mask_features), ids)
        logits = F.reshape_like(logits, positive, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)
        cell_entropy = binary_cross_entropy(F, logits, targets.masks)
        entropy = F.mean(cell_entropy, axis=(2, 3))
        return per_image(F, entropy, positive, positive)

    def _mask_features(
        self, F: Any, features: LossFeatures, shared: Tensor, rois: Tensor
    ) -> Tensor:
        """Compute the shared features of the RoIs (B, P, 4) that come first: (B * P, C, h, w)."""
        config = self._config
        if config.mask_roi_size != config.roi_size:
            return self._shared(F, features, rois, config.mask_roi_size)
        # Both heads sample a RoI on the same grid, so the features of the box head are used again.
        by_image = F.reshape(shared, (-4, -1, config.num_sample, 0, 0, 0))
        max_positive = max_positive_rois(config)
        first_rois = F.slice_axis(by_image, axis=1, begin=0, end=max_positive)
        return F.reshape(first_rois, (-3, 0, 0, 0))


class MaskRCNNLoss(FasterRCNNLoss):
    """The training losses of a detector with masks, with the detector's own weights.

    It is called with images, boxes, labels and masks; see :meth:`FasterRCNNLoss.__call__`.

    Parameters
    ----------
    net : MaskRCNN
        The detector.
    box_loss : callable
        Compares the deltas of RPN and box head with their targets; see :func:`make_loss`.
    class_loss : callable
        Compares the class logits of RoIs with their labels; see :func:`make_loss`.

    Attributes
    ----------
    loss_names : tuple of str
        The names of the losses, in the order in which they are returned; the last is "mask".
    target_block, loss_block : type
        The graphs that make the targets and compute the losses.
    """

    loss_names = (*LOSS_NAMES, "mask")
    target_block = MaskTargetBlock
    loss_block = MaskLossBlock


def make_loss(
    net: FasterRCNN,
    box_loss: BoxLoss = smooth_l1_box_loss,
    class_loss: ClassLoss = softmax_class_loss,
) -> FasterRCNNLoss:
    """Make the training losses that fit a detector.

    Parameters
    ----------
    net : FasterRCNN
        The detector.
    box_loss : callable
        Called as ``box_loss(F, deltas, targets, setting)`` with deltas and targets (..., 4) and a
        :class:`gluonnorm.rcnn.losses.BoxLossSetting`; returns the loss of each box, (...). It
        serves the losses "rpn_box" and "rcnn_box". Rows without an object are passed as well, so
        loss and gradient must be finite for all values.
    class_loss : callable
        Called as ``class_loss(F, logits, labels, setting)`` with the class logits (..., C + 1) of
        RoIs, their labels (...), which are 0 for background and the class + 1 for an object, and a
        :class:`gluonnorm.rcnn.class_losses.ClassLossSetting`; returns the loss of each RoI, (...).
        It serves the loss "rcnn_class". :func:`gluonnorm.rcnn.focal_class_loss` and
        :class:`gluonnorm.rcnn.WeightedClassLoss` are such losses.

    Returns
    -------
    FasterRCNNLoss
        A :class:`MaskRCNNLoss` if the detector has masks.
    """
    if isinstance(net, MaskRCNN):
        return MaskRCNNLoss(net, box_loss, class_loss)
    return FasterRCNNLoss(net, box_loss, class_loss)
