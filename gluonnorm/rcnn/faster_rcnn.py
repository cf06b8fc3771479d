"""Faster R-CNN (Ren et al. 2015) with a feature pyramid (Lin et al. 2017) or one map (C4).

This file only routes arrays between the parts of the detector.
"""

from typing import Any, Dict, List, NamedTuple, Tuple

from gluonnorm.errors import InputError
from gluonnorm.ops.boxes import image_extent
from gluonnorm.ops.pad import pad_to_multiple
from gluonnorm.rcnn.box_predictor import BoxPredictor
from gluonnorm.rcnn.detect import detect
from gluonnorm.rcnn.detector import Detector
from gluonnorm.rcnn.gluoncv_training import check_ground_truth, training_outputs
from gluonnorm.rcnn.model_spec import ModelSpec
from gluonnorm.rcnn.new_classes import DELTA_ROWS, SCORE_ROWS, copy_class_rows
from gluonnorm.rcnn.roi_align import roi_align, roi_strides
from gluonnorm.rcnn.rpn import RPNHead, RPNOutputs, level_anchors, propose
from gluonnorm.types import Preprocess, Tensor

import mxnet as mx

# The network pads its input to multiples of the coarsest stride, but of 32 at most. A pyramid's map
# of stride 64 serves the RPN only, and its number of cells is rounded up.
LARGEST_MULTIPLE = 32


class FeatureMaps(NamedTuple):
    """The padded images of a batch and their feature maps.

    Attributes
    ----------
    padded : Tensor
        (B, 3, H', W'), the padded images.
    features : list of Tensor
        The feature maps, (B, C, h, w), finest first.
    """

    padded: Tensor
    features: List[Tensor]


class FasterRCNN(Detector):
    """A two-stage detector, assembled from its parts.

    Parameters
    ----------
    backbone : mxnet.gluon.HybridBlock
        Returns feature maps, and states their ``strides`` and ``channels``.
    rpn : RPNHead
        The RPN's head, shared by all maps.
    box_head : mxnet.gluon.HybridBlock
        One of ``gluonnorm.rcnn.box_heads``, or a block with the same attributes and methods.
    spec : ModelSpec
        Names, classes and settings; kept as ``net.spec``.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Raises
    ------
    InputError
        ``anchor_sizes`` does not have one entry for each map, or RoIs cannot be read from the maps.

    Examples
    --------
    >>> import model_zoo, mxnet as mx
    >>> net = model_zoo.get_model("faster_rcnn_fpn_resnet18_v1b_custom", classes=("cat", "dog"))
    >>> ids, scores, boxes = net(mx.nd.zeros((1, 3, 64, 96)))
    >>> ids.shape, scores.shape, boxes.shape
    ((1, 100, 1), (1, 100, 1), (1, 100, 4))
    """

    def __init__(
        self,
        backbone: mx.gluon.HybridBlock,
        rpn: RPNHead,
        box_head: mx.gluon.HybridBlock,
        spec: ModelSpec,
        **kwargs: Any,
    ) -> None:
        super().__init__(spec, **kwargs)
        # Whether RoIs are read level by level, from all channels at once. Other run times than
        # MXNet are faster so; an export for them sets it while it traces the network.
        self.levels_apart = False
        num_levels = len(spec.config.anchor_sizes)
        num_maps = len(backbone.strides)
        if num_levels != num_maps:
            raise InputError(
                f"anchor_sizes has {num_levels} levels, the backbone gives {num_maps} maps; "
                "give one tuple of sizes for each map"
            )
        self._roi_strides = roi_strides(backbone.strides)
        with self.name_scope():
            self.backbone = backbone
            self.rpn = rpn
            self.box_head = box_head
            # Heads of users state no such attribute.
            separate_boxes = getattr(box_head, "separate_boxes", False)
            self.predictor = BoxPredictor(box_head.channels, len(spec.classes), separate_boxes)

    @property
    def preprocess(self) -> Preprocess:
        """What happens to a photo before this network sees it, and how the network pads it."""
        return self.config.preprocess(
            normalize=self.spec.rescale != "normalize",
            multiple=min(LARGEST_MULTIPLE, max(self.backbone.strides)),
        )

    def hybrid_forward(self, F: Any, x: Tensor) -> Tuple[Tensor, ...]:
        """Detect objects.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        x : Tensor
            (B, 3, H, W) float32, images prepared as ``net.preprocess`` states; any B, H and W.

        Returns
        -------
        ids : Tensor
            (B, D, 1), the foreground class, from 0; -1 in padding. D is ``max_detections``.
        scores : Tensor
            (B, D, 1) in 0..1, best first; -1 in padding.
        boxes : Tensor
            (B, D, 4) in pixels of ``x``; -1 in padding.
        """
        extent = image_extent(F, x)
        return self._detect(F, self._feature_maps(F, x), extent)

    def _feature_maps(self, F: Any, images: Tensor) -> FeatureMaps:
        """Pad the images and apply the backbone."""
        preprocess = self.preprocess
        padded = pad_to_multiple(F, images, preprocess.multiple, preprocess.padding)
        return FeatureMaps(padded=padded, features=self.backbone(padded))

    def _detect(
        self, F: Any, maps: FeatureMaps, extent: Tuple[Tensor, Tensor]
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Turn feature maps of images with this height and width into ids, scores and boxes."""
        config = self.config
        logits, deltas = self.rpn.over(maps.features)
        anchors = level_anchors(F, maps.padded, maps.features, self.backbone.strides, config)
        outputs = RPNOutputs(logits, deltas, anchors)
        limits = image_extent(F, maps.padded) if config.convention.clip_to_padding else extent
        rois, roi_scores = propose(F, outputs, limits, config, training=False)
        pooled = self._pooled(F, maps.features, rois, config.roi_size, inside=True)
        box_features = self.box_head.features(self.box_head.shared(pooled))
        class_logits, box_deltas = self.predictor(box_features)
        return detect(
            F,
            class_logits,
            box_deltas,
            rois,
            roi_scores,
            extent,
            len(self.classes),
            config,
        )

    def _pooled(
        self, F: Any, features: List[Tensor], rois: Tensor, size: int, inside: bool
    ) -> Tensor:
        """Sample the features of RoIs (B, R, 4) for inference: (B * R, C, size, size)."""
        return roi_align(
            F,
            features[: len(self._roi_strides)],
            rois,
            self._roi_strides,
            size,
            self.config.roi_sample_ratio,
            self.config.convention,
            inside=inside and not self.levels_apart,
            channels=1 if self.levels_apart else self.backbone.channels[0],
        )

    def _forward_in_training(self, x: mx.nd.NDArray, *ground_truth: mx.nd.NDArray) -> Any:
        """Predict in training as GluonCV's Faster R-CNN does."""
        check_ground_truth(ground_truth)
        return training_outputs(self, x, *ground_truth)

    def _replace_predictors(self, num_classes: int, reused: Dict[int, int]) -> None:
        """Make a box predictor for other classes, which takes over the rows of reused ones."""
        old = self.predictor
        weight = old.score.weight
        # With the same prefix, the parameters have the same names as before.
        new = BoxPredictor(old.in_channels, num_classes, old.separate_boxes, prefix=old.prefix)
        new.initialize(ctx=weight.list_ctx())
        new.cast(weight.dtype)
        copy_class_rows(old.score, new.score, reused, SCORE_ROWS)
        copy_class_rows(old.loc, new.loc, reused, DELTA_ROWS)
        self.predictor = new
