"""The way out: what a network returns for a resized photo, in the photo's own pixels."""
from typing import Callable, Dict, Optional, Sequence, Tuple

from gluonnorm.photos.boxes import clip_boxes, valid_boxes
from gluonnorm.types import Detections

import numpy as np


def to_photo(ids: np.ndarray, scores: np.ndarray, boxes: np.ndarray, masks: Optional[np.ndarray], scale: np.ndarray,
             size: Sequence[int], mask_paste: str = "sample") -> Detections:
    """What the network returned for one resized photo, in the photo's own pixels.

    Parameters
    ----------
    ids, scores, boxes, masks
        (D, 1), (D, 1), (D, 4) and (D, M, M) or None: one image's rows; those of id -1 are padding.
    scale
        (2,), resized length divided by the photo's, along x and along y.
    size
        Height and width of the photo.
    mask_paste
        How masks come to lie on the photo: the method of ``paste_masks``.

    Returns
    -------
    The rows without padding. Boxes are cut to the photo; those of which nothing is left (they lay in the padding, or
    are not finite) are dropped. A mask is pasted where its box lay before that.
    """
    height, width = size
    whole = boxes / np.tile(np.asarray(scale, np.float32), 2)
    cut = clip_boxes(whole, height, width)
    keep = (ids[:, 0] >= 0) & valid_boxes(whole) & valid_boxes(cut)
    pasted = None if masks is None else paste_masks(masks[keep], whole[keep], height, width, mask_paste)
    return Detections(cut[keep], scores[keep, 0], ids[keep, 0].astype(np.int32), pasted)


def paste_masks(masks: np.ndarray, boxes: np.ndarray, height: int, width: int, method: str = "sample") -> np.ndarray:
    """The network's small masks as masks of the whole image: (N, M, M) and (N, 4) -> (N, height, width) bool.

    Parameters
    ----------
    masks
        (N, M, M) float32, chances in 0..1 on a grid that spans the box.
    boxes
        (N, 4) float32 in the image's pixels; they may reach beyond it.
    height, width
        Of the image.
    method
        ``"sample"`` (Detectron2): the mask is read, bilinearly and with zeros around it, at the centre of each pixel;
        0.5 and more is inside. ``"expand"`` (torchvision, Detectron): mask and box grow by a border of one cell, the
        box is cut to whole pixels, both ends included, and the mask resized to it; more than 0.5 is inside.
        ``"round"`` (GluonCV): as ``"expand"``, but the corners are rounded, and the mask is averaged where it shrinks.
        With ``"sample"`` a box without an area has an empty mask, with the others one at least a pixel wide.

    Raises
    ------
    ValueError
        An unknown ``method``; masks and boxes of other shapes; coordinates that are not finite.
    """
    if method not in _PASTE:
        raise ValueError(f"method is {method!r}; masks are pasted with {' or '.join(map(repr, _PASTE))}")
    if masks.ndim != 3 or boxes.shape != (len(masks), 4) or not np.isfinite(boxes).all():
        raise ValueError(f"masks are {masks.shape} and boxes {boxes.shape}; want (N, M, M) and (N, 4), all finite")
    threshold, weigh = _PASTE[method]
    boxes = boxes.astype(np.float32)  # as the codebases have them: truncation may fall either way in another precision
    pasted = np.zeros((len(masks), height, width), bool)
    for mask, box, image in zip(masks.astype(np.float32), boxes, pasted):
        top, rows = weigh(box[1], box[3], mask.shape[0], height)
        left, columns = weigh(box[0], box[2], mask.shape[1], width)
        inside = image[top:top + len(rows), left:left + len(columns)]
        threshold(rows @ mask @ columns.T, np.float32(0.5), out=inside)
    return pasted


def _sample_weights(low: np.float32, high: np.float32, cells: int, length: int) -> Tuple[int, np.ndarray]:
    """What each cell gives to each pixel of one axis: the first pixel, and (pixels, cells) float32.

    ``grid_sample`` with ``align_corners=False`` and zero padding, along one axis.
    """
    start, stop = max(0, int(np.floor(low))), min(length, int(np.ceil(high)))
    if high <= low or stop <= start:
        return 0, np.zeros((0, cells), np.float32)
    centres = np.arange(start, stop, dtype=np.float32) + np.float32(0.5)
    return start, _tent((centres - low) / (high - low) * np.float32(cells) - np.float32(0.5), cells)


def _expand_weights(low: np.float32, high: np.float32, cells: int, length: int) -> Tuple[int, np.ndarray]:
    """As ``_sample_weights``, for the box expanded by a border of zeros one cell wide and cut to whole pixels."""
    first, last = (int(corner) for corner in _expanded(low, high, cells))  # towards zero, as a cast to int64
    count = max(1, last - first + 1)
    start, places = _places(first, last, count, cells, length)
    return start, _tent(np.clip(places, 0, cells + 1), cells + 2)[:, 1:-1]  # the border is zero and gives nothing


def _round_weights(low: np.float32, high: np.float32, cells: int, length: int) -> Tuple[int, np.ndarray]:
    """As ``_expand_weights``, the corners rounded, and resized as Pillow does: averaged where the mask shrinks."""
    first, last = (int(np.round(corner)) for corner in _expanded(low, high, cells))
    count = max(1, last - first + 1)
    start, places = _places(first, last, count, cells, length)
    weights = _tent(places, cells + 2, reach=max(1.0, (cells + 2) / count))
    return start, (weights / weights.sum(axis=1, keepdims=True))[:, 1:-1]


def _expanded(low: np.float32, high: np.float32, cells: int) -> Tuple[np.float32, np.float32]:
    """The ends of the box when the mask has one more cell at either."""
    centre, half = (high + low) * np.float32(0.5), (high - low) * np.float32(0.5) * np.float32((cells + 2) / cells)
    return centre - half, centre + half


def _places(first: int, last: int, count: int, cells: int, length: int) -> Tuple[int, np.ndarray]:
    """The first pixel within the image, and where its and the others' centres lie on the ``cells`` + 2 cells."""
    start, stop = max(0, first), max(0, first, min(length, last + 1))
    pixels = np.arange(start - first, stop - first, dtype=np.float32) + np.float32(0.5)
    return min(start, length), pixels * np.float32((cells + 2) / count) - np.float32(0.5)


def _tent(places: np.ndarray, cells: int, reach: float = 1.0) -> np.ndarray:
    """Weights of linear interpolation between cells 0, 1, ...: (P,) -> (P, cells) float32; beyond them are zeros."""
    distance = np.abs(places[:, None] - np.arange(cells, dtype=np.float32))
    return np.maximum(1 - distance / np.float32(reach), 0)


_Weigh = Callable[[np.float32, np.float32, int, int], Tuple[int, np.ndarray]]
_PASTE: Dict[str, Tuple[np.ufunc, _Weigh]] = {
    "sample": (np.greater_equal, _sample_weights), "expand": (np.greater, _expand_weights),
    "round": (np.greater, _round_weights)}
