"""Training Mask R-CNN: the losses of Faster R-CNN, and that of the masks."""
from typing import Any, List, Sequence, Tuple

from gluonnorm.ops.masks import crop_targets, pick_class
from gluonnorm.rcnn.faster_rcnn import FasterRCNN
from gluonnorm.rcnn.faster_rcnn_loss import FasterRCNNLoss, SecondStage, Targets, pack, unpack
from gluonnorm.rcnn.losses import LOSS_NAMES, binary_cross_entropy, per_image
from gluonnorm.rcnn.mask_rcnn import MaskRCNN
from gluonnorm.rcnn.targets import RoITargets, max_positive_rois
from gluonnorm.types import Tensor


class MaskRCNNLoss(FasterRCNNLoss):
    """The losses of a detector with masks, sharing its weights.

    ``loss(x, boxes, labels, masks)``: as :class:`FasterRCNNLoss`, with masks (B, G, S, S) in 0..1, each on a grid
    over its truth's box; the last of the losses is "mask".
    """

    loss_names = (*LOSS_NAMES, "mask")

    def __init__(self, net: MaskRCNN) -> None:
        super().__init__(net)
        self.targets = _MaskTargets(net)
        self.second = _MaskSecondStage(net)


class _MaskTargets(Targets):
    """As :class:`Targets`; the masks that the positive RoIs should show come last."""

    def __init__(self, net: MaskRCNN) -> None:
        super().__init__(net)
        self._size = mask_size(net)

    def hybrid_forward(self, F: Any, *inputs: Tensor) -> List[Tensor]:
        x, padded, boxes, labels, masks, *features = inputs
        rpn, roi, truth = self.make(F, x, padded, boxes, labels, features)
        rois, truth = (F.slice_axis(rows, axis=1, begin=0, end=max_positive_rois(self._config))
                       for rows in (roi.rois, truth))
        return [*pack(rpn, roi), crop_targets(F, masks, boxes, truth, rois, self._size)]


class _MaskSecondStage(SecondStage):
    """As :class:`SecondStage`, with the masks' targets behind the others, and their loss as last output."""

    def __init__(self, net: MaskRCNN) -> None:
        super().__init__(net)
        self.mask_head = net.mask_head

    def hybrid_forward(self, F: Any, *inputs: Tensor) -> Tuple[Tensor, ...]:
        rpn, roi, (wanted, *features) = unpack(inputs)
        shared = self.shared(F, features, roi.rois, self._config.roi_size)
        masks = self._mask_loss(F, wanted, features, shared, roi)
        return (*self.box_losses(F, features, shared, rpn, roi), masks)

    def _mask_loss(self, F: Any, wanted: Tensor, features: Sequence[Tensor], shared: Tensor,
                   roi: RoITargets) -> Tensor:
        """Cross entropy of the true class's map, a mean over cells and positive RoIs."""
        config, most = self._config, max_positive_rois(self._config)
        rois, labels, positive = (F.slice_axis(rows, axis=1, begin=0, end=most)
                                  for rows in (roi.rois, roi.labels, roi.positive))
        if config.mask_roi_size == config.roi_size:  # what the box head reads serves
            shared = F.reshape(shared, (-4, -1, config.num_sample, 0, 0, 0))
            shared = F.reshape(F.slice_axis(shared, axis=1, begin=0, end=most), (-3, 0, 0, 0))
        else:
            shared = self.shared(F, features, rois, config.mask_roi_size)
        logits = pick_class(F, self.mask_head(shared), F.reshape(labels - 1, (-1,)))
        logits = F.reshape_like(logits, positive, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)
        entropy = F.mean(binary_cross_entropy(F, logits, wanted), axis=(2, 3))
        return per_image(F, entropy, positive, positive)


def mask_size(net: MaskRCNN) -> int:
    """M, the cells a side of the network's masks: res5 halves a RoI's map, the head doubles it."""
    return net.config.mask_roi_size * (1 if len(net.backbone.strides) == 1 else 2)


def make_loss(net: FasterRCNN) -> FasterRCNNLoss:
    """The losses that fit ``net``."""
    return MaskRCNNLoss(net) if isinstance(net, MaskRCNN) else FasterRCNNLoss(net)
