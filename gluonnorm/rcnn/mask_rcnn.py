"""Mask R-CNN (He et al. 2017, arXiv 1703.06870): Faster R-CNN, and a mask for each detection."""

from typing import Any, Dict, Tuple

from gluonnorm.ops.boxes import image_extent
from gluonnorm.ops.masks import pick_class
from gluonnorm.rcnn.faster_rcnn import FasterRCNN
from gluonnorm.rcnn.gluoncv_training import (
    GluonCVMaskTargets,
    check_ground_truth,
    mask_training_outputs,
)
from gluonnorm.rcnn.mask_head import MaskHead
from gluonnorm.rcnn.model_spec import ModelSpec
from gluonnorm.rcnn.new_classes import MASK_ROWS, copy_class_rows
from gluonnorm.rcnn.rpn import RPNHead
from gluonnorm.types import Tensor

import mxnet as mx


class MaskRCNN(FasterRCNN):
    """A :class:`FasterRCNN` with a mask head, which sees only the final detections.

    Parameters
    ----------
    backbone, rpn, box_head
        As for :class:`FasterRCNN`.
    mask_head : MaskHead
        Reads the shared features of the box head.
    spec : ModelSpec
        Names, classes and settings; kept as ``net.spec``.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Raises
    ------
    InputError
        As for :class:`FasterRCNN`.
    """

    def __init__(
        self,
        backbone: mx.gluon.HybridBlock,
        rpn: RPNHead,
        box_head: mx.gluon.HybridBlock,
        mask_head: MaskHead,
        spec: ModelSpec,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, rpn, box_head, spec, **kwargs)
        with self.name_scope():
            self.mask_head = mask_head

    @property
    def has_masks(self) -> bool:
        """Whether the network returns masks as its fourth output."""
        return True

    def hybrid_forward(self, F: Any, x: Tensor) -> Tuple[Tensor, ...]:
        """Detect objects and segment them.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        x : Tensor
            (B, 3, H, W) float32, images prepared as ``net.preprocess`` states; any B, H and W.

        Returns
        -------
        ids, scores, boxes : Tensor
            As of :class:`FasterRCNN`.
        masks : Tensor
            (B, D, M, M) in 0..1, the probability that each cell of a grid over the box belongs to
            the object; 0 in padding. M is ``mask_size(net)``.
        """
        config = self.config
        extent = image_extent(F, x)
        maps = self._feature_maps(F, x)
        ids, scores, boxes = self._detect(F, maps, extent)
        is_detection = ids >= 0
        # Padding is a box at -1, outside the image. At 0 it can be read, and its mask is set to 0.
        rois = F.broadcast_mul(boxes, is_detection)
        inside = config.convention.clip_detections
        pooled = self._pooled(F, maps.features, rois, config.mask_roi_size, inside)
        logits = self.mask_head(self.box_head.shared(pooled))
        masks = F.sigmoid(pick_class(F, logits, F.reshape(ids, (-1,))))
        masks = F.reshape_like(masks, ids, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)
        masks = F.broadcast_mul(masks, F.expand_dims(is_detection, axis=-1))
        return ids, scores, boxes, masks

    @property
    def mask_target(self) -> GluonCVMaskTargets:
        """Makes the targets of the masks in GluonCV's training loops."""
        return GluonCVMaskTargets(self.num_class, mask_size(self))

    def _forward_in_training(self, x: mx.nd.NDArray, *ground_truth: mx.nd.NDArray) -> Any:
        """Predict in training as GluonCV's Mask R-CNN does."""
        check_ground_truth(ground_truth)
        return mask_training_outputs(self, x, *ground_truth)

    def _replace_predictors(self, num_classes: int, reused: Dict[int, int]) -> None:
        """Make predictors for other classes: that of boxes, and the last layer of the masks."""
        super()._replace_predictors(num_classes, reused)
        old = self.mask_head.score
        new = self.mask_head.make_score(num_classes, old.weight.shape[1], prefix=old.prefix)
        new.initialize(ctx=old.weight.list_ctx())
        new.cast(old.weight.dtype)
        copy_class_rows(old, new, reused, MASK_ROWS)
        self.mask_head.score = new


def mask_size(net: MaskRCNN) -> int:
    """Compute M, the cells on a side of the masks that a network returns.

    Parameters
    ----------
    net : MaskRCNN
        The network.

    Returns
    -------
    int
        The side of the shared features, which the mask head enlarges.
    """
    stride = net.box_head.shared_stride
    # The last stage of a ResNet rounds up when it halves an odd side.
    shared_size = -(-net.config.mask_roi_size // stride)
    return net.mask_head.upscale * shared_size
