"""A record to what the network sees: resized, flipped, normalised; image and boxes together."""
from typing import NamedTuple, Optional

from gluonnorm.data.labeled_image import Record
from gluonnorm.data.masks import crop_masks
from gluonnorm.photos.boxes import flip_boxes, valid_boxes
from gluonnorm.photos.prepare import to_input
from gluonnorm.photos.resize import resize_size
from gluonnorm.types import Preprocess

import numpy as np

MASK_SIZE = 112  # S, cells a side of a truth's mask: four to each cell of the finest mask head's output


class Sample(NamedTuple):
    """One image ready for a batch, with the G boxes to train on: no crowd, none without an area."""
    image: np.ndarray  # (3, H', W') float32, as `preprocess` says: normalised or raw 0..255, RGB or BGR
    boxes: np.ndarray  # (G, 4) float32, x1 y1 x2 y2 in pixels of the resized image
    labels: np.ndarray  # (G,) int32
    scale: np.ndarray  # (2,) float32, resized / original length along x and y
    size: np.ndarray  # (2,) int32, height and width of the original
    image_id: int
    name: str
    masks: Optional[np.ndarray] = None  # (G, S, S) float32 in 0..1, how much of each cell over the box the mask covers


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
    height, width = resize_size(original_height, original_width, short, preprocess.max_size, preprocess.rounding)
    pixels = to_input(record.image, (height, width), preprocess)
    scale = np.array([width / original_width, height / original_height], np.float32)
    boxes = record.boxes * np.tile(scale, 2)
    if flip:
        pixels, boxes = np.ascontiguousarray(pixels[:, :, ::-1]), flip_boxes(boxes, width)
    keep = ~record.crowd & valid_boxes(boxes)
    masks = None
    if record.masks is not None:  # cut to the box before any resizing, which they need not follow
        masks = crop_masks(record.masks[keep], record.boxes[keep], MASK_SIZE)
        masks = np.ascontiguousarray(masks[:, :, ::-1]) if flip else masks
    return Sample(pixels, boxes[keep], record.labels[keep], scale,
                  np.array([original_height, original_width], np.int32), record.image_id, record.name, masks)
