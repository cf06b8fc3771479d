"""Training a detector: maps, targets and losses as graphs of their own, of which the second is not differentiated."""
from typing import Any, Callable, List, Sequence, Tuple

from gluonnorm.graph.split_frozen import FrozenSplit
from gluonnorm.ops.boxes import image_extent
from gluonnorm.ops.pad import pad_to_multiple
from gluonnorm.rcnn.anchors import pyramid_anchors
from gluonnorm.rcnn.faster_rcnn import FasterRCNN
from gluonnorm.rcnn.losses import LOSS_NAMES, binary_cross_entropy, cross_entropy, per_image, smooth_l1
from gluonnorm.rcnn.roi_align import roi_align, roi_strides
from gluonnorm.rcnn.rpn import propose
from gluonnorm.rcnn.sampled_rpn import SampledRPN
from gluonnorm.rcnn.sampler import Sample
from gluonnorm.rcnn.targets import RoITargets, RPNTargets, max_positive_rois, roi_targets, rpn_targets
from gluonnorm.types import Tensor

import mxnet as mx


class FasterRCNNLoss:
    """The losses of a detector, sharing its weights.

    ``loss(x, boxes, labels)`` takes images (B, 3, H, W), boxes (B, G, 4) and labels (B, G), both padded with -1, and
    returns one loss (B,) for each of ``loss_names``. Call it within ``autograd.record``.

    Targets are made by a graph of their own, outside the recording: MXNet would otherwise differentiate the
    proposals and the matching, to multiply the result by zero. The RPN's whole maps belong there too, for only the
    sampled anchors learn: see :class:`~gluonnorm.rcnn.sampled_rpn.SampledRPN`.
    """

    loss_names: Tuple[str, ...] = LOSS_NAMES

    def __init__(self, net: FasterRCNN) -> None:
        self._whole = _FirstStage(net)
        self.first: Callable[[mx.nd.NDArray], List[mx.nd.NDArray]] = self._whole
        self.targets = Targets(net)
        self.second = SecondStage(net)

    def hybridize(self, active: bool = True, **settings: Any) -> None:
        """Trace each of the graphs once, that of the frozen layers apart; arguments as for ``HybridBlock.hybridize``.

        What is frozen is looked up now: freeze first, or hybridize anew.
        """
        self.first = FrozenSplit(self._whole, **settings) if active else self._whole
        for part in (self.targets, self.second):
            part.hybridize(active, **settings)

    def __call__(self, x: mx.nd.NDArray, *truth: mx.nd.NDArray) -> Tuple[mx.nd.NDArray, ...]:
        padded, *features = self.first(x)
        with mx.autograd.pause():
            targets = self.targets(x, padded, *truth, *features)
        return tuple(self.second(*targets, *features))


class _FirstStage(mx.gluon.HybridBlock):
    """Images to themselves padded and feature maps, in one flat list as hybridized blocks return."""

    def __init__(self, net: FasterRCNN) -> None:
        super().__init__()
        self.backbone = net.backbone
        self._multiple, self._colour = net.preprocess.multiple, net.preprocess.padding

    def hybrid_forward(self, F: Any, x: Tensor) -> List[Tensor]:
        padded = pad_to_multiple(F, x, self._multiple, self._colour)
        return [padded, *self.backbone(padded)]


class Targets(mx.gluon.HybridBlock):
    """Truth and the first stage's output to what both stages should say; ``pack`` has the order."""

    def __init__(self, net: FasterRCNN) -> None:
        super().__init__()
        self.rpn = net.rpn
        self._strides = net.backbone.strides
        self._config = net.config

    def hybrid_forward(self, F: Any, *inputs: Tensor) -> List[Tensor]:
        x, padded, boxes, labels, *features = inputs
        rpn, roi, _ = self.make(F, x, padded, boxes, labels, features)
        return pack(rpn, roi)

    def make(self, F: Any, x: Tensor, padded: Tensor, boxes: Tensor, labels: Tensor,
             features: Sequence[Tensor]) -> Tuple[RPNTargets, RoITargets, Tensor]:
        """What the RPN and the heads should say, and each RoI's truth."""
        config = self._config
        logits, deltas = self.rpn.over(features)
        anchors = pyramid_anchors(F, padded, features, self._strides, config.anchor_sizes, config.anchor_ratios,
                                  config.convention)
        rois, scores = propose(F, logits, deltas, anchors, image_extent(F, x), config, training=True)
        return (rpn_targets(F, F.concat(*anchors, dim=0), boxes, config),
                *roi_targets(F, rois, scores, boxes, labels, config))


class SecondStage(mx.gluon.HybridBlock):
    """Targets and the first stage's output to the losses."""

    def __init__(self, net: FasterRCNN) -> None:
        super().__init__()
        self.rpn = SampledRPN(net.rpn)
        self.box_head = net.box_head
        self.predictor = net.predictor
        self._strides = roi_strides(net.backbone.strides)
        self._config = net.config
        self._num_classes = len(net.classes)

    def hybrid_forward(self, F: Any, *inputs: Tensor) -> Tuple[Tensor, ...]:
        rpn, roi, features = unpack(inputs)
        shared = self.shared(F, features, roi.rois, self._config.roi_size)
        return self.box_losses(F, features, shared, rpn, roi)

    def shared(self, F: Any, features: Sequence[Tensor], rois: Tensor, size: int) -> Tensor:
        """What both heads read of the RoIs."""
        config, features = self._config, features[:len(self._strides)]  # the RPN reads one more
        return self.box_head.shared(roi_align(F, features, rois, self._strides, size, config.roi_sample_ratio,
                                              config.convention, inside=True))

    def box_losses(self, F: Any, features: Sequence[Tensor], shared: Tensor, rpn: RPNTargets,
                   roi: RoITargets) -> Tuple[Tensor, ...]:
        """The four losses of Faster R-CNN."""
        return (*self._rpn_losses(F, features, rpn), *self._rcnn_losses(F, shared, roi))

    def _rpn_losses(self, F: Any, features: Sequence[Tensor], target: RPNTargets) -> Tuple[Tensor, Tensor]:
        drawn = target.drawn
        logits, deltas = self.rpn(drawn.indices, *features)
        entropy = binary_cross_entropy(F, logits, drawn.positive)
        error = smooth_l1(F, deltas - target.deltas, self._config.rpn_smoothl1_beta)
        return (per_image(F, entropy, drawn.weight, drawn.weight),
                per_image(F, F.sum(error, axis=-1), drawn.positive, drawn.weight))

    def _rcnn_losses(self, F: Any, shared: Tensor, target: RoITargets) -> Tuple[Tensor, Tensor]:
        config, num_classes, weight = self._config, self._num_classes, target.weight
        logits, deltas = self.predictor(self.box_head.features(shared))
        entropy = cross_entropy(F, F.reshape(logits, (-1, config.num_sample, num_classes + 1)), target.labels)
        deltas = F.reshape(deltas, (-1, config.num_sample, num_classes, 4))
        # Positive rows come first, so the deltas of the right class need only be picked among those.
        deltas, wanted, positive, label = (
            F.slice_axis(rows, axis=1, begin=0, end=max_positive_rois(config))
            for rows in (deltas, target.deltas, target.positive, target.labels))
        label = F.broadcast_like(F.expand_dims(F.maximum(label - 1, 0), axis=-1), wanted)
        error = smooth_l1(F, F.pick(deltas, label, axis=2) - wanted, config.rcnn_smoothl1_beta)
        return per_image(F, entropy, weight, weight), per_image(F, F.sum(error, axis=-1), positive, weight)


def pack(rpn: RPNTargets, roi: RoITargets) -> List[Tensor]:
    """Both records as one flat list."""
    return [*rpn.drawn, rpn.deltas, *roi]


def unpack(inputs: Sequence[Tensor]) -> Tuple[RPNTargets, RoITargets, Sequence[Tensor]]:
    """The inverse of :func:`pack`; what follows the records comes last."""
    return RPNTargets(Sample(*inputs[:3]), inputs[3]), RoITargets(*inputs[4:9]), inputs[9:]
