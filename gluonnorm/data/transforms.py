"""A record to what the network sees: resized, flipped, normalised; image and boxes together."""
from typing import NamedTuple, Tuple

from gluonnorm.data.record import Record
from gluonnorm.ops.numpy_ops import flip_boxes, valid_boxes
from gluonnorm.types import Preprocess

import mxnet as mx
import numpy as np

BILINEAR = 1  # of mx.image.imresize: pixel centres at half coordinates, no smoothing before shrinking


class Sample(NamedTuple):
    """One image ready for a batch, with the G boxes to train on: no crowd, none without an area."""
    image: np.ndarray  # (3, H', W') float32 RGB, normalised or raw 0..255
    boxes: np.ndarray  # (G, 4) float32, x1 y1 x2 y2 in pixels of the resized image
    labels: np.ndarray  # (G,) int32
    scale: np.ndarray  # (2,) float32, resized / original length along x and y
    size: np.ndarray  # (2,) int32, height and width of the original
    image_id: int
    name: str


def resize_size(height: int, width: int, short: int, max_size: int) -> Tuple[int, int]:
    """Height and width after resizing: the shorter side ``short``, unless the longer would exceed ``max_size``.

    Rounded to the nearest pixel, at least 1.

    >>> resize_size(480, 640, 800, 1333), resize_size(100, 400, 800, 1333)
    ((800, 1067), (333, 1333))
    """
    scale = min(short / min(height, width), max_size / max(height, width))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


class TrainTransform:
    """Random short side out of ``preprocess.short``, mirrored with probability ``flip``.

    >>> sample = TrainTransform(Preprocess())(record, np.random.default_rng(0))      # doctest: +SKIP
    """

    def __init__(self, preprocess: Preprocess, flip: float = 0.5):
        if not 0 <= flip <= 1:
            raise ValueError(f"flip is {flip}; want a probability in 0..1")
        self._preprocess = preprocess
        self._flip = flip

    def __call__(self, record: Record, rng: np.random.Generator) -> Sample:
        short = self._preprocess.short[rng.integers(len(self._preprocess.short))]
        return _make_sample(record, self._preprocess, short, bool(rng.random() < self._flip))


class EvalTransform:
    """The last of ``preprocess.short``, never mirrored."""

    def __init__(self, preprocess: Preprocess):
        self._preprocess = preprocess

    def __call__(self, record: Record) -> Sample:
        return _make_sample(record, self._preprocess, self._preprocess.short[-1], False)


def _make_sample(record: Record, preprocess: Preprocess, short: int, flip: bool) -> Sample:
    original_height, original_width = record.image.shape[:2]
    height, width = resize_size(original_height, original_width, short, preprocess.max_size)
    image = mx.image.imresize(mx.nd.array(record.image, dtype="uint8"), width, height, interp=BILINEAR).asnumpy()
    scale = np.array([width / original_width, height / original_height], np.float32)
    boxes = record.boxes * np.tile(scale, 2)
    if flip:
        image, boxes = image[:, ::-1], flip_boxes(boxes, width)
    pixels = image.transpose(2, 0, 1).astype(np.float32, order="C")
    if preprocess.normalize:
        pixels -= np.array(preprocess.mean, np.float32).reshape(3, 1, 1)
        pixels /= np.array(preprocess.std, np.float32).reshape(3, 1, 1)
    keep = ~record.crowd & valid_boxes(boxes)
    return Sample(pixels, boxes[keep], record.labels[keep], scale,
                  np.array([original_height, original_width], np.int32), record.image_id, record.name)
