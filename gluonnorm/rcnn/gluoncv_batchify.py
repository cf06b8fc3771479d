"""Batches for GluonCV's training loops, with targets of the RPN for our anchors."""

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.errors import InputError
from gluonnorm.rcnn.detector import Detector
from gluonnorm.rcnn.rpn import level_anchors
from gluonnorm.rcnn.targets import rpn_targets

import mxnet as mx
import numpy as np

# A box and its class, at least; further columns are kept.
LABEL_COLUMNS = 5
# GluonCV's transforms and what they return, without and with masks.
TRANSFORMS = {
    False: ("FasterRCNNDefaultTrainTransform", "image and labels"),
    True: ("MaskRCNNDefaultTrainTransform", "image, labels and masks"),
}


class _Sample(NamedTuple):
    """An image (3, h, w), its labels (G, 5 or more), and for a mask head its masks (G, h, w)."""

    image: np.ndarray
    label: np.ndarray
    masks: Optional[np.ndarray]


class RPNTargetBatchify:
    """Stack samples as GluonCV's batchify functions do, and make the targets of the RPN.

    It takes the place of ``FasterRCNNTrainBatchify`` and, for a network with masks, of
    ``MaskRCNNTrainBatchify``. The samples are those of ``FasterRCNNDefaultTrainTransform(short,
    max_size)`` and ``MaskRCNNDefaultTrainTransform(short, max_size)`` without a network. With a
    network GluonCV's transforms make the targets themselves, from anchors that GluonCV's network
    stores; here they are computed for each batch. The settings are those that the network has now:
    make another one after ``net.configure``.

    Parameters
    ----------
    net : FasterRCNN or MaskRCNN
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
        self._has_masks = net.has_masks

    def __call__(self, samples: Sequence[Sequence[Any]]) -> Tuple[Any, ...]:
        """Make a batch.

        Parameters
        ----------
        samples : sequence of (NDArray, array) or of (NDArray, array, NDArray)
            Images (3, h, w), and labels (G, 5 or more): x1 y1 x2 y2 in pixels, then the class; for
            a network with masks also masks (G, h, w) of 0 and 1.

        Returns
        -------
        images, labels : NDArray, or list of NDArray
            (B, 3, H, W), padded with 0 right and below, and (B, G, 5 or more), padded with -1;
            with several devices a list of these.
        masks : NDArray, or list of NDArray
            (B, G, H, W), padded with 0; only for a network with masks.
        cls_targets, box_targets, box_masks : tuple of NDArray
            For each device (B, N), 1 for a positive anchor, 0 for a negative one, -1 for others;
            and (B, N, 4), deltas, and 1 where there are any.

        Raises
        ------
        InputError
            A sample has other parts, or parts of other shapes.
        """
        checked = [_read_sample(sample, self._has_masks) for sample in samples]
        size = -(-len(checked) // self._num_shards)
        starts = range(0, len(checked), size)
        shards = [self._make_shard(checked[start : start + size]) for start in starts]
        *stacked, cls_targets, box_targets, box_masks = zip(*shards)
        if self._num_shards == 1:
            inputs = [arrays[0] for arrays in stacked]
        else:
            inputs = [list(arrays) for arrays in stacked]
        return (*inputs, cls_targets, box_targets, box_masks)

    def _make_shard(self, samples: Sequence[_Sample]) -> List[mx.nd.NDArray]:
        """Pad the samples of one device, and make the targets of all anchors."""
        height = max(sample.image.shape[1] for sample in samples)
        width = max(sample.image.shape[2] for sample in samples)
        num_boxes = max(1, max(len(sample.label) for sample in samples))
        images = np.zeros((len(samples), 3, height, width), np.float32)
        labels = np.full((len(samples), num_boxes, samples[0].label.shape[1]), -1, np.float32)
        for row, (image, label, _) in enumerate(samples):
            images[row, :, : image.shape[1], : image.shape[2]] = image
            labels[row, : len(label)] = label
        arrays = [images, labels]
        if self._has_masks:
            arrays.append(_stack_masks(samples, (len(samples), num_boxes, height, width)))
        arrays += self._rpn_targets(height, width, labels)
        return [mx.nd.array(array) for array in arrays]

    def _rpn_targets(self, height: int, width: int, labels: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Make labels, deltas and masks of all anchors, for images of one size."""
        anchors = self._anchors(height, width)
        boxes = mx.nd.array(labels[:, :, :4])
        targets = rpn_targets(mx.nd, anchors, boxes, self._config)
        indices, positive, weight = (array.asnumpy() for array in targets.sampled)
        deltas = targets.deltas.asnumpy()
        return _spread_over_anchors(indices, positive, weight, deltas, anchors.shape[0])

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
        levels = level_anchors(mx.nd, padded, maps, self._strides, config)
        return mx.nd.concat(*levels, dim=0)


def _read_sample(sample: Sequence[Any], has_masks: bool) -> _Sample:
    """Turn a sample into NumPy arrays, and check their shapes."""
    transform, parts = TRANSFORMS[has_masks]
    if len(sample) != 2 + has_masks:
        raise InputError(
            f"a sample has {len(sample)} parts; give {parts}, of {transform}(short, max_size)"
            " without the network"
        )
    arrays = [_as_numpy(part) for part in sample]
    image, label = arrays[:2]
    if image.ndim != 3 or label.ndim != 2 or label.shape[1] < LABEL_COLUMNS:
        raise InputError(
            f"a sample has an image {image.shape} and labels {label.shape}; give (3, h, w) and"
            " (G, 5): x1 y1 x2 y2 and the class"
        )
    masks = arrays[2] if has_masks else None
    expected = (len(label), *image.shape[1:])
    if masks is not None and masks.shape != expected:
        raise InputError(
            f"a sample has masks {masks.shape}; give {expected}, one of the size of the image for"
            " each box"
        )
    return _Sample(image, label, masks)


def _as_numpy(part: Any) -> np.ndarray:
    """Turn an array of MXNet or of NumPy into one of NumPy."""
    return part.asnumpy() if isinstance(part, mx.nd.NDArray) else np.asarray(part)


def _stack_masks(samples: Sequence[_Sample], shape: Tuple[int, int, int, int]) -> np.ndarray:
    """Stack the masks of samples to an array of this shape, padded with 0."""
    stacked = np.zeros(shape, np.float32)
    for row, sample in enumerate(samples):
        masks = sample.masks
        if masks is not None:
            stacked[row, : masks.shape[0], : masks.shape[1], : masks.shape[2]] = masks
    return stacked


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
