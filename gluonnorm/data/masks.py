"""Masks as COCO writes them: polygons and run lengths to compressed run lengths, these to arrays and to crops."""
from typing import Any, Dict, List, Sequence, Tuple

from gluonnorm.data.labeled_image import DataError

import numpy as np
from pycocotools import mask as rle

Runs = Dict[str, Any]  # COCO's compressed run lengths: ``size`` (height, width) and ``counts`` as bytes

WAY_OUT = "correct or remove it, or open the data set without masks"


def read_segmentation(segmentation: Any, size: Tuple[int, int], where: str) -> Runs:
    """An annotation's ``segmentation`` as compressed run lengths for an image of ``size`` (height, width).

    It may be polygons [[x1, y1, x2, y2, ...], ...] with three corners or more, or run lengths, ``counts`` a list of
    numbers or a compressed string. A polygon too small to hold the centre of a pixel has an empty mask.

    Raises DataError, beginning with ``where``, for anything else, for run lengths of an image of another size or that
    do not add up to the image, and for those that mark nothing.
    """
    if segmentation is None:
        raise DataError(f"{where} has no segmentation; {WAY_OUT}")
    if isinstance(segmentation, list):
        return _read_polygons(segmentation, size, where)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        raise DataError(f"{where} has a segmentation that is neither polygons nor run lengths; {WAY_OUT}")
    if segmentation["size"] != list(size):
        raise DataError(f"{where} has a mask of size {segmentation['size']}, but the image is {list(size)} (height, "
                        f"width); {WAY_OUT}")
    counts = segmentation["counts"]
    try:
        runs = counts if isinstance(counts, list) else _uncompress(counts)
        whole = all(isinstance(run, int) and run >= 0 for run in runs) and sum(runs) == size[0] * size[1]
    except (AttributeError, ValueError):  # not a string, or not one of run lengths
        whole = False
    if not whole:  # pycocotools would leave the rest of the mask as it found the memory
        raise DataError(f"{where} has run lengths that do not make up the {size[0] * size[1]} pixels of the image; "
                        f"{WAY_OUT}")
    if sum(runs[1::2]) == 0:
        raise DataError(f"{where} has an empty mask; {WAY_OUT}")
    if isinstance(counts, list):
        return rle.frPyObjects({"size": list(size), "counts": counts}, *size)
    return {"size": list(size), "counts": counts.encode()}


def _read_polygons(polygons: List[Any], size: Tuple[int, int], where: str) -> Runs:
    for polygon in polygons or [[]]:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise DataError(f"{where} has an empty or faulty polygon, {str(polygon)[:60]}; want x and y of at least "
                            f"three corners; {WAY_OUT}")
        if not all(isinstance(value, (int, float)) and np.isfinite(value) for value in polygon):
            raise DataError(f"{where} has a polygon with coordinates that are not finite numbers; {WAY_OUT}")
    return rle.merge(rle.frPyObjects(polygons, *size))


def _uncompress(counts: str) -> List[int]:
    """The run lengths in COCO's compressed string: 5 bits a character, and from the third run on differences."""
    runs: List[int] = []
    value = shift = 0
    for character in counts.encode():
        code = character - 48
        if not 0 <= code < 64:
            raise ValueError(f"character {character}")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) * 2 << shift - 5  # the highest bit is the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("the last number is cut")
    return runs


def decode_masks(masks: Sequence[Runs], size: Tuple[int, int]) -> np.ndarray:
    """(G, H, W) bool of G masks, possibly none, of an image of ``size`` (height, width)."""
    if not masks:
        return np.zeros((0, *size), bool)
    return rle.decode(list(masks)).transpose(2, 0, 1).astype(bool, order="C")


def crop_masks(masks: np.ndarray, boxes: np.ndarray, cells: int) -> np.ndarray:
    """Each mask cut to its box: (G, H, W) bool and (G, 4) in its pixels -> (G, cells, cells) float32 in 0..1.

    Cell (i, j), whose centre is the place ((j + 0.5) / cells, (i + 0.5) / cells) of the box, holds the mean of the mask
    over the cell, the mask taken as linear between the centres of its pixels: the covered area where the box has more
    pixels than cells, bilinear interpolation where it has fewer. Boxes have an area and lie within the image.
    """
    crops = np.zeros((len(masks), cells, cells), np.float32)
    for crop, mask, (x1, y1, x2, y2) in zip(crops, masks, boxes.astype(np.float64)):
        top, rows = _cell_weights(y1, y2, cells, mask.shape[0])
        left, columns = _cell_weights(x1, x2, cells, mask.shape[1])
        part = mask[top:top + rows.shape[1], left:left + columns.shape[1]].astype(np.float32)
        np.clip(rows @ part @ columns.T, 0, 1, out=crop)
    return crops


def _cell_weights(low: float, high: float, cells: int, length: int) -> Tuple[int, np.ndarray]:
    """What each pixel gives to each cell of one axis: the first pixel, and (cells, pixels) float32, rows of sum 1."""
    first, last = max(0, int(low) - 1), min(length, int(np.ceil(high)) + 1)  # the neighbours' slopes reach into the box
    distance = np.linspace(low, high, cells + 1)[:, None] - (np.arange(first, last) + 0.5)
    distance = np.clip(distance, -1, 1)
    area = distance + 0.5 - np.sign(distance) * distance ** 2 / 2  # below a peak of height 1 and width 2, from -1 on
    weights = np.diff(area, axis=0)
    return first, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
