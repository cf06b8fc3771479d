"""Faster R-CNN (Ren et al. 2015), with a feature pyramid (Lin et al. 2017) or one map (C4): this file only routes."""
from dataclasses import replace
from typing import Any, List, Tuple

from gluonnorm.ops.boxes import image_extent
from gluonnorm.ops.pad import pad_to_multiple
from gluonnorm.rcnn.anchors import pyramid_anchors
from gluonnorm.rcnn.box_heads import BoxPredictor
from gluonnorm.rcnn.config import DetectorConfig, ModelSpec
from gluonnorm.rcnn.detect import detect
from gluonnorm.rcnn.roi_align import roi_align
from gluonnorm.rcnn.rpn import RPNHead, propose
from gluonnorm.types import Preprocess, Tensor

import mxnet as mx


class FasterRCNN(mx.gluon.HybridBlock):
    """A two-stage detector from its parts.

    Parameters
    ----------
    backbone : gives feature maps and states their ``strides`` and ``channels``
    rpn : shared by all maps
    box_head : its halves ``shared`` and ``features`` take (N, C, p, p) to (N, ``box_head.channels``)
    spec : names, classes and settings; kept as ``net.spec``

    ``net(x)`` takes images (B, 3, H, W) float32, preprocessed as ``net.preprocess`` says, and returns ids (B, D, 1),
    scores (B, D, 1) and boxes (B, D, 4) in the pixels of x: best first, -1 where there is no detection. Any B, H and W
    will do.
    """

    def __init__(self, backbone: mx.gluon.HybridBlock, rpn: RPNHead, box_head: mx.gluon.HybridBlock, spec: ModelSpec,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        if len(spec.config.anchor_sizes) != len(backbone.strides):
            raise ValueError(f"anchor_sizes has {len(spec.config.anchor_sizes)} levels, the backbone gives "
                             f"{len(backbone.strides)} maps; give one tuple of sizes a map")
        with self.name_scope():
            self.backbone = backbone
            self.rpn = rpn
            self.box_head = box_head
            self.predictor = BoxPredictor(box_head.channels, len(spec.classes))

    @property
    def config(self) -> DetectorConfig:
        """The detector's settings."""
        return self.spec.config

    @property
    def classes(self) -> Tuple[str, ...]:
        """Names of the foreground classes, in the order of the ids."""
        return self.spec.classes

    @property
    def has_masks(self) -> bool:
        """Whether masks come back as the fourth output."""
        return False

    @property
    def preprocess(self) -> Preprocess:
        """What must happen to a photo before this network sees it, and how the network itself then pads it."""
        config = self.config
        return Preprocess(short=config.short, max_size=config.max_size, mean=config.mean, std=config.std,
                          normalize=self.spec.rescale != "normalize" if config.normalize is None else config.normalize,
                          order=config.order, resize=config.resize, rounding=config.rounding,
                          multiple=config.multiple or min(32, max(self.backbone.strides)))

    def configure(self, **changes: Any) -> None:
        """Change settings that hold no weights, such as ``nms_thresh``; a hybridized graph is traced again.

        Raises ValueError for a setting that decides the shape of a weight, TypeError for an unknown one.
        """
        config = self.config.override(**changes)
        if _shapes(config) != _shapes(self.config):
            raise ValueError(f"{', '.join(changes)}: widths, RoI size and number of anchors are those of the weights; "
                             "build another network to change them")
        self.spec = replace(self.spec, config=config)
        self._clear_cached_op()

    def hybrid_forward(self, F: Any, x: Tensor) -> Tuple[Tensor, ...]:
        return self._detect(F, *self._maps(F, x))

    def _maps(self, F: Any, x: Tensor) -> Tuple[Tensor, List[Tensor], Tuple[Tensor, Tensor]]:
        """The padded image, its feature maps, and height and width of the image itself."""
        extent = image_extent(F, x)
        x = pad_to_multiple(F, x, self.preprocess.multiple, self.preprocess.padding)
        return x, self.backbone(x), extent

    def _detect(self, F: Any, x: Tensor, features: List[Tensor],
                extent: Tuple[Tensor, Tensor]) -> Tuple[Tensor, Tensor, Tensor]:
        config, strides = self.config, self.backbone.strides
        logits, deltas = self.rpn.over(features)
        anchors = pyramid_anchors(F, x, features, strides, config.anchor_sizes, config.anchor_ratios,
                                  config.convention)
        limits = image_extent(F, x) if config.convention.clip_to_padding else extent
        rois, roi_scores = propose(F, logits, deltas, anchors, limits, config, training=False)
        pooled = roi_align(F, features, rois, strides, config.roi_size, config.roi_sample_ratio, config.convention,
                           inside=True, channels=self.backbone.channels[0])
        class_logits, box_deltas = self.predictor(self.box_head.features(self.box_head.shared(pooled)))
        return detect(F, class_logits, box_deltas, rois, roi_scores, extent, len(self.classes), config)


def _shapes(config: DetectorConfig) -> Tuple[int, ...]:
    """What the shapes of the weights depend on."""
    return (config.fpn_channels, config.rpn_channels, config.rpn_convs, config.roi_size, config.mask_channels,
            len(config.anchor_ratios), *(len(sizes) for sizes in config.anchor_sizes))
