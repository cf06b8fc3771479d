"""The way out: from the network's outputs for a resized photo to detections in the photo itself."""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.cropped_masks import Crop, CroppedMasks
from gluonnorm.errors import InputError
from gluonnorm.photos.boxes import clip_boxes, exclusive_corners, valid_boxes
from gluonnorm.types import Detections

import numpy as np

MASK_EDGE = np.float32(0.5)  # the probability at the edge of a mask
BORDER_CELLS = 2  # "expand" and "round" add a border of one cell to either end of a mask


def detections_in_photo(
    ids: np.ndarray,
    scores: np.ndarray,
    boxes: np.ndarray,
    masks: Optional[np.ndarray],
    scale: np.ndarray,
    size: Sequence[int],
    mask_paste: str = "sample",
    inclusive: bool = False,
    cropped: bool = False,
) -> Detections:
    """Convert the network's outputs for one resized photo to the photo's own pixels.

    Boxes are divided by the scale and clipped to the photo. Rows of padding are dropped, and so are
    boxes without any area inside the photo. A mask is pasted at its box before the clipping.

    Parameters
    ----------
    ids : numpy.ndarray
        (D, 1), class ids; -1 marks a row of padding.
    scores : numpy.ndarray
        (D, 1), in 0..1.
    boxes : numpy.ndarray
        (D, 4), in pixels of the resized photo.
    masks : numpy.ndarray or None
        (D, M, M), in 0..1 on a grid over each box.
    scale : numpy.ndarray
        (2,), resized length divided by the photo's length, along x and along y.
    size : sequence of int
        Height and width of the photo in pixels.
    mask_paste : str
        The method of ``paste_masks``.
    inclusive : bool
        Whether the far corner of a box is its last pixel (``Preprocess.inclusive``). Boxes then end
        at the last pixel of the photo, and those with ``x2 = x1`` are one pixel wide.
    cropped : bool
        Whether the masks are ``CroppedMasks``. False makes an array.

    Returns
    -------
    Detections
        Boxes, scores, ids and masks of the N remaining rows, in the network's order.
    """
    height, width = size
    photo_boxes = boxes / np.tile(np.asarray(scale, np.float32), 2)
    covered = exclusive_corners(photo_boxes) if inclusive else photo_boxes
    last_pixel = 1 if inclusive else 0
    clipped_boxes = clip_boxes(photo_boxes, height - last_pixel, width - last_pixel)
    is_detection = ids[:, 0] >= 0
    has_area = valid_boxes(covered) & valid_boxes(clip_boxes(covered, height, width))
    keep = is_detection & has_area
    pasted = None
    if masks is not None:
        paste = crop_masks if cropped else paste_masks
        pasted = paste(masks[keep], photo_boxes[keep], height, width, mask_paste)
    return Detections(
        boxes=clipped_boxes[keep],
        scores=scores[keep, 0],
        ids=ids[keep, 0].astype(np.int32),
        masks=pasted,
        inclusive=inclusive,
    )


def paste_masks(
    masks: np.ndarray, boxes: np.ndarray, height: int, width: int, method: str = "sample"
) -> np.ndarray:
    """Paste the network's small masks into masks of the image's size.

    Parameters
    ----------
    masks : numpy.ndarray
        (N, M, M) float32, probabilities in 0..1 on a grid that spans the box.
    boxes : numpy.ndarray
        (N, 4) float32, in pixels of the image. They may extend beyond it.
    height, width : int
        Size of the image in pixels.
    method : str
        How the grid becomes pixels. A box without an area has an empty mask with ``"sample"``; with
        the other methods its mask is at least one pixel wide.

        - ``"sample"`` (Detectron2): the mask is interpolated bilinearly at each pixel's center,
          with zeros around it. Probabilities of 0.5 and more are inside.
        - ``"expand"`` (torchvision, Detectron): mask and box grow by a border of one cell. The box
          is truncated to whole pixels, both ends included, and the mask is resized to it.
          Probabilities above 0.5 are inside.
        - ``"round"`` (GluonCV): like ``"expand"``, but the corners are rounded, and the mask is
          averaged where it shrinks.

    Returns
    -------
    numpy.ndarray
        (N, height, width) bool.

    Raises
    ------
    InputError
        An unknown ``method``; masks or boxes of other shapes; coordinates that are not finite.
    """
    return np.asarray(crop_masks(masks, boxes, height, width, method))


def crop_masks(
    masks: np.ndarray, boxes: np.ndarray, height: int, width: int, method: str = "sample"
) -> CroppedMasks:
    """Paste the network's small masks, and keep only the part of the image around each box.

    Parameters
    ----------
    masks, boxes, height, width, method
        As for ``paste_masks``.

    Returns
    -------
    CroppedMasks
        The masks that ``paste_masks`` returns.

    Raises
    ------
    InputError
        As ``paste_masks``.
    """
    if method not in PASTE_METHODS:
        methods = " or ".join(map(repr, PASTE_METHODS))
        raise InputError(f"method is {method!r}; masks are pasted with {methods}")
    if masks.ndim != 3 or boxes.shape != (len(masks), 4):
        raise InputError(
            f"masks are {masks.shape} and boxes {boxes.shape}; want (N, M, M) and (N, 4)"
        )
    if not np.isfinite(boxes).all():
        raise InputError("boxes hold NaN or infinity; drop these rows first (valid_boxes)")
    compare, axis_weights = PASTE_METHODS[method]
    # The codebases compute in single precision. Another precision truncates some corners to another
    # pixel.
    boxes = boxes.astype(np.float32)
    crops: List[Crop] = []
    for mask, box in zip(masks.astype(np.float32), boxes):
        left, top, right, bottom = box
        rows = axis_weights(top, bottom, mask.shape[0], height)
        columns = axis_weights(left, right, mask.shape[1], width)
        probabilities = rows.weights @ mask @ columns.weights.T
        inside = compare(probabilities, MASK_EDGE)
        crops.append(Crop(rows.pixels.start, columns.pixels.start, inside))
    return CroppedMasks(crops, height, width)


class _AxisWeights(NamedTuple):
    """How much each cell of a mask contributes to each pixel, along one axis.

    Attributes
    ----------
    pixels : slice
        The P pixels of the image that the mask covers.
    weights : numpy.ndarray
        (P, cells) float32.
    """

    pixels: slice
    weights: np.ndarray


def _sample_weights(low: np.float32, high: np.float32, cells: int, length: int) -> _AxisWeights:
    """Weights of ``grid_sample`` with ``align_corners=False`` and zero padding."""
    start = max(0, int(np.floor(low)))
    stop = min(length, int(np.ceil(high)))
    if high <= low or stop <= start:
        return _AxisWeights(slice(0, 0), np.zeros((0, cells), np.float32))
    centers = np.arange(start, stop, dtype=np.float32) + np.float32(0.5)
    positions = (centers - low) / (high - low) * np.float32(cells) - np.float32(0.5)
    return _AxisWeights(slice(start, stop), _linear_weights(positions, cells))


def _expand_weights(low: np.float32, high: np.float32, cells: int, length: int) -> _AxisWeights:
    """Weights for the box with a border of one zero cell, truncated to whole pixels."""
    expanded_low, expanded_high = _expand(low, high, cells)
    first = int(expanded_low)  # toward zero, like a cast to int64
    last = int(expanded_high)
    pixels, positions = _cell_positions(first, last, cells, length)
    inner_positions = np.clip(positions, 0, cells + 1)
    weights = _linear_weights(inner_positions, cells + BORDER_CELLS)
    return _AxisWeights(pixels, _without_border(weights))


def _round_weights(low: np.float32, high: np.float32, cells: int, length: int) -> _AxisWeights:
    """Weights for the box with a border of one zero cell, rounded, and resized as Pillow does."""
    expanded_low, expanded_high = _expand(low, high, cells)
    first = int(np.round(expanded_low))
    last = int(np.round(expanded_high))
    pixels, positions = _cell_positions(first, last, cells, length)
    # Pillow averages where the mask shrinks: each pixel then reaches over all cells below it.
    cells_per_pixel = (cells + BORDER_CELLS) / _pixel_count(first, last)
    weights = _linear_weights(positions, cells + BORDER_CELLS, reach=max(1.0, cells_per_pixel))
    weights = weights / weights.sum(axis=1, keepdims=True)
    return _AxisWeights(pixels, _without_border(weights))


def _expand(low: np.float32, high: np.float32, cells: int) -> Tuple[np.float32, np.float32]:
    """Move both ends of a box outward by the width of one cell."""
    center = (high + low) * np.float32(0.5)
    half = (high - low) * np.float32(0.5) * np.float32((cells + BORDER_CELLS) / cells)
    return center - half, center + half


def _cell_positions(first: int, last: int, cells: int, length: int) -> Tuple[slice, np.ndarray]:
    """Find the pixels of a box inside the image, and their centers measured in cells.

    The box covers the pixels from ``first`` to ``last``, both included. Cells are counted with the
    border of the mask.
    """
    start = max(0, first)
    stop = max(start, min(length, last + 1))
    centers = np.arange(start - first, stop - first, dtype=np.float32) + np.float32(0.5)
    cells_per_pixel = np.float32((cells + BORDER_CELLS) / _pixel_count(first, last))
    positions = centers * cells_per_pixel - np.float32(0.5)
    pixels = slice(min(start, length), min(start, length) + len(positions))
    return pixels, positions


def _pixel_count(first: int, last: int) -> int:
    """Number of pixels from the first to the last one; at least 1, also for a reversed box."""
    return max(1, last - first + 1)


def _without_border(weights: np.ndarray) -> np.ndarray:
    """Drop the cells of the border: they are zero, so they contribute nothing."""
    return weights[:, 1:-1]


def _linear_weights(positions: np.ndarray, cells: int, reach: float = 1.0) -> np.ndarray:
    """Weights of linear interpolation between cells 0, 1, ... with zeros beyond them.

    (P,) positions in cells -> (P, cells) float32. ``reach`` is how many cells away a weight is 0.
    """
    distances = np.abs(positions[:, None] - np.arange(cells, dtype=np.float32))
    return np.maximum(1 - distances / np.float32(reach), 0)


_WeightFunction = Callable[[np.float32, np.float32, int, int], _AxisWeights]
PASTE_METHODS: Dict[str, Tuple[np.ufunc, _WeightFunction]] = {
    "sample": (np.greater_equal, _sample_weights),
    "expand": (np.greater, _expand_weights),
    "round": (np.greater, _round_weights),
}
