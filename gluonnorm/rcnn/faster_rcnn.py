"""Faster R-CNN (Ren et al. 2015), with a feature pyramid (Lin et al. 2017) or one map (C4): this file only routes."""
from dataclasses import replace
from typing import Any, Tuple

from gluonnorm.ops.boxes import image_extent
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
    box_head : (N, C, p, p) to (N, ``box_head.channels``)
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
    def preprocess(self) -> Preprocess:
        """What must happen to a photo before this network sees it."""
        config = self.config
        normalize = self.spec.rescale != "normalize" if config.normalize is None else config.normalize
        return Preprocess(short=config.short, max_size=config.max_size, normalize=normalize)

    @property
    def stride(self) -> int:
        """The sides of a batch should be multiples of this many pixels."""
        return min(32, max(self.backbone.strides))

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

    def hybrid_forward(self, F: Any, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        config, strides, extent = self.config, self.backbone.strides, image_extent(F, x)
        features = self.backbone(x)
        logits, deltas = self.rpn.over(features)
        anchors = pyramid_anchors(F, features, strides, config.anchor_sizes, config.anchor_ratios)
        rois, roi_scores = propose(F, logits, deltas, anchors, extent, config, training=False)
        pooled = roi_align(F, features, rois, strides, config.roi_size, config.roi_sample_ratio)
        class_logits, box_deltas = self.predictor(self.box_head(pooled))
        return detect(F, class_logits, box_deltas, rois, roi_scores, extent, len(self.classes), config)


def _shapes(config: DetectorConfig) -> Tuple[int, ...]:
    """What the shapes of the weights depend on."""
    return (config.fpn_channels, config.rpn_channels, config.roi_size, len(config.anchor_ratios),
            *(len(sizes) for sizes in config.anchor_sizes))
