"""Batches for GluonCV's training loops, with targets of the RPN for our anchors."""

from typing import Any, List, NamedTuple, Sequence, Tuple, Union

from gluonnorm.errors import InputError
from gluonnorm.rcnn.anchors import pyramid_anchors
from gluonnorm.rcnn.detector import Detector
from gluonnorm.rcnn.targets import rpn_targets

import mxnet as mx
import numpy as np

# Batches for one device are arrays, and for several devices a list of arrays.
Sharded = Union[mx.nd.NDArray, List[mx.nd.NDArray]]
# A box and its class, at least; further columns are kept.
LABEL_COLUMNS = 5


class _Shard(NamedTuple):
    """The batch of one device: images, labels, and labels, deltas and masks of all anchors."""

    images: mx.nd.NDArray
    labels: mx.nd.NDArray
    cls_targets: mx.nd.NDArray
    box_targets: mx.nd.NDArray
    box_masks: mx.nd.NDArray


class RPNTargetBatchify:
    """Stack samples as GluonCV's ``FasterRCNNTrainBatchify`` does, and make the RPN's targets.

    It takes the samples of ``FasterRCNNDefaultTrainTransform(short, max_size)`` without a network.
    GluonCV's transform of the same name makes the targets itself, from anchors that GluonCV's
    network stores; here they are computed for each batch.

    Parameters
    ----------
    net : FasterRCNN
        The detector.
    num_shards : int
        The number of devices among which the samples are divided.

    Examples
    --------
    >>> import model_zoo
    >>> net = model_zoo.get_model("faster_rcnn_resnet18_v1b_custom", norm="gn", classes=("cat",))
    >>> batchify = RPNTargetBatchify(net)
    >>> sample = (mx.nd.zeros((3, 64, 96)), np.array([[8, 8, 40, 40, 0]], np.float32))
    >>> images, labels, cls_targets, box_targets, box_masks = batchify([sample])
    >>> images.shape, labels.shape, cls_targets[0].shape, box_targets[0].shape
    ((1, 3, 64, 96), (1, 1, 5), (1, 360), (1, 360, 4))
    """

    def __init__(self, net: Detector, num_shards: int = 1) -> None:
        self._strides = net.backbone.strides
        self._multiple = net.preprocess.multiple
        self._config = net.config
        self._num_shards = num_shards

    def __call__(
        self, samples: Sequence[Sequence[Any]]
    ) -> Tuple[Sharded, Sharded, Tuple[Any, ...], Tuple[Any, ...], Tuple[Any, ...]]:
        """Make a batch.

        Parameters
        ----------
        samples : sequence of (NDArray, array)
            Images (3, h, w), and labels (G, 5 or more): x1 y1 x2 y2 in pixels, then the class.

        Returns
        -------
        images, labels : NDArray, or list of NDArray
            (B, 3, H, W), padded with 0 right and below, and (B, G, 5 or more), padded with -1;
            with several devices a list of these.
        cls_targets, box_targets, box_masks : tuple of NDArray
            For each device (B, N), 1 for a positive anchor, 0 for a negative one, -1 for others;
            and (B, N, 4), deltas, and 1 where there are any.

        Raises
        ------
        InputError
            A sample is not such a pair.
        """
        pairs = [_read_sample(sample) for sample in samples]
        size = -(-len(pairs) // self._num_shards)
        shards = [
            self._make_shard(pairs[start : start + size]) for start in range(0, len(pairs), size)
        ]
        images, labels, *targets = zip(*shards)
        cls_targets, box_targets, box_masks = targets
        if self._num_shards == 1:
            return images[0], labels[0], cls_targets, box_targets, box_masks
        return list(images), list(labels), cls_targets, box_targets, box_masks

    def _make_shard(self, pairs: Sequence[Tuple[np.ndarray, np.ndarray]]) -> _Shard:
        """Pad the samples of one device, and make the targets of all anchors."""
        height = max(image.shape[1] for image, _ in pairs)
        width = max(image.shape[2] for image, _ in pairs)
        images = np.zeros((len(pairs), 3, height, width), np.float32)
        num_boxes = max(1, max(len(label) for _, label in pairs))
        labels = np.full((len(pairs), num_boxes, pairs[0][1].shape[1]), -1, np.float32)
        for row, (image, label) in enumerate(pairs):
            images[row, :, : image.shape[1], : image.shape[2]] = image
            labels[row, : len(label)] = label
        anchors = self._anchors(height, width)
        boxes = mx.nd.array(labels[:, :, :4])
        targets = rpn_targets(mx.nd, anchors, boxes, self._config)
        indices, positive, weight = (array.asnumpy() for array in targets.sampled)
        deltas = targets.deltas.asnumpy()
        spread = _spread_over_anchors(indices, positive, weight, deltas, anchors.shape[0])
        return _Shard(*(mx.nd.array(array) for array in (images, labels, *spread)))

    def _anchors(self, height: int, width: int) -> mx.nd.NDArray:
        """Compute the anchors (N, 4) of all levels, for images that the network pads."""
        multiple = self._multiple
        padded_height = -(-height // multiple) * multiple
        padded_width = -(-width // multiple) * multiple
        maps = []
        for stride in self._strides:
            shape = (1, 1, -(-padded_height // stride), -(-padded_width // stride))
            maps.append(mx.nd.zeros(shape))
        config = self._config
        padded = mx.nd.zeros((1, 1, padded_height, padded_width))
        levels = pyramid_anchors(
            mx.nd,
            padded,
            maps,
            self._strides,
            config.anchor_sizes,
            config.anchor_ratios,
            config.convention,
        )
        return mx.nd.concat(*levels, dim=0)


def _read_sample(sample: Sequence[Any]) -> Tuple[np.ndarray, np.ndarray]:
    """Turn a sample into NumPy arrays, and check their shapes."""
    if len(sample) != 2:
        raise InputError(
            f"a sample has {len(sample)} parts; give image and labels, of"
            " FasterRCNNDefaultTrainTransform(short, max_size) without the network"
        )
    image, label = (
        part.asnumpy() if isinstance(part, mx.nd.NDArray) else np.asarray(part) for part in sample
    )
    if image.ndim != 3 or label.ndim != 2 or label.shape[1] < LABEL_COLUMNS:
        raise InputError(
            f"a sample has an image {image.shape} and labels {label.shape}; give (3, h, w) and"
            " (G, 5): x1 y1 x2 y2 and the class"
        )
    return image, label


def _spread_over_anchors(
    indices: np.ndarray,
    positive: np.ndarray,
    weight: np.ndarray,
    deltas: np.ndarray,
    num_anchors: int,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put the targets of sampled anchors (B, S) into arrays over all anchors (B, N)."""
    batch_size = len(indices)
    cls_targets = np.full((batch_size, num_anchors), -1, np.float32)
    box_targets = np.zeros((batch_size, num_anchors, 4), np.float32)
    box_masks = np.zeros_like(box_targets)
    image, row = np.nonzero(weight)
    anchor = indices[image, row].astype(int)
    cls_targets[image, anchor] = positive[image, row]
    image, row = np.nonzero(positive)
    anchor = indices[image, row].astype(int)
    box_targets[image, anchor] = deltas[image, row]
    box_masks[image, anchor] = 1
    return cls_targets, box_targets, box_masks
