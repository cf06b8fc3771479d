"""Read COCO's masks (polygons and run lengths), decode them to arrays, and crop them to boxes.

The format of run lengths is that of COCO's ``maskApi.c``
(https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c): a mask is read column by
column, and the runs are lengths of background and foreground in turn, background first.
"""

import math
from itertools import chain
from typing import Any, Dict, List, Sequence, Tuple, Union

from gluonnorm.data.json_file import shorten, to_float
from gluonnorm.data.labeled_image import DataError

import numpy as np
from pycocotools import mask as coco_mask

# COCO's compressed run lengths: {"size": [height, width], "counts": bytes}.
RunLengths = Dict[str, Any]

WAY_OUT = "correct or remove it, or open the data set without masks"

# pycocotools walks along a polygon in steps of a fifth of a pixel and keeps every step, in integers
# of 32 bits. A longer outline would take gigabytes, and one of 1e9 pixels ends the process.
MAX_OUTLINE = 2_000_000  # pixels
MIN_POLYGON = 6  # coordinates, that is three corners

# The characters of a compressed string, as `rleToString` in maskApi.c writes them.
FIRST_CHARACTER = 48
BITS_PER_CHARACTER = 5
VALUE_BITS = 0x1F
NEGATIVE_BIT = 0x10
CONTINUED_BIT = 0x20
MAX_BITS = 40  # of a number; pycocotools' run lengths have 32


def read_segmentation(segmentation: Any, size: Tuple[int, int], where: str) -> RunLengths:
    """Read the ``segmentation`` of a COCO annotation as compressed run lengths.

    Parameters
    ----------
    segmentation : list or dict
        Polygons ``[[x1, y1, x2, y2, ...], ...]`` of three corners or more, a single polygon ``[x1,
        y1, x2, y2, ...]``, or run lengths ``{"size": [height, width], "counts": ...}`` with a list
        of numbers or a compressed string. The mask of a polygon that contains no pixel center is
        empty.
    size : tuple of int
        Height and width of the image in pixels.
    where : str
        The name of the annotation; it begins a message.

    Returns
    -------
    dict
        COCO's compressed run lengths, as pycocotools uses them.

    Raises
    ------
    DataError
        The segmentation is absent or neither polygons nor run lengths; a polygon is faulty; run
        lengths belong to another image size, do not add up to the image, or have no foreground.

    Examples
    --------
    >>> runs = read_segmentation([[1, 1, 3, 1, 3, 3, 1, 3]], (4, 5), "annotation 7")
    >>> decode_masks([runs], (4, 5)).sum(axis=(1, 2)).tolist()
    [4]
    """
    if segmentation is None:
        raise DataError(f"{where} has no segmentation; {WAY_OUT}")
    if isinstance(segmentation, list):
        return _read_polygons(segmentation, size, where)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        raise DataError(
            f"{where} has a segmentation that is neither polygons nor run lengths; {WAY_OUT}"
        )
    if segmentation["size"] != list(size):
        raise DataError(
            f"{where} has a mask of size {shorten(segmentation['size'])}, but the image is "
            f"{list(size)} (height, width); {WAY_OUT}"
        )
    return _read_run_lengths(segmentation["counts"], size, where)


def _read_polygons(polygons: List[Any], size: Tuple[int, int], where: str) -> RunLengths:
    """Check polygons, and join them to one mask."""
    is_flat = bool(polygons) and not any(isinstance(item, (list, dict)) for item in polygons)
    outlines = [polygons] if is_flat else polygons
    for outline in outlines or [[]]:
        _check_polygon(outline, where)
    height, width = size
    return coco_mask.merge(coco_mask.frPyObjects(outlines, height, width))


def _check_polygon(outline: Any, where: str) -> None:
    """Raise DataError if an outline is no polygon, or one that pycocotools cannot draw."""
    is_outline = isinstance(outline, list) and len(outline) % 2 == 0
    if not is_outline or len(outline) < MIN_POLYGON:
        raise DataError(
            f"{where} has an empty or faulty polygon, {shorten(outline)}; want x and y of at least "
            f"three corners; {WAY_OUT}"
        )
    coordinates = [to_float(value) for value in outline]
    if not all(value is not None and math.isfinite(value) for value in coordinates):
        raise DataError(
            f"{where} has a polygon with coordinates that are not finite numbers; {WAY_OUT}"
        )
    corners = np.array(coordinates, np.float64).reshape(-1, 2)
    reach = float(np.abs(corners).max())
    if reach <= MAX_OUTLINE:
        # Between two corners pycocotools takes as many steps as the longer of the two distances.
        sides = np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1)
        reach = float(sides.sum())
    if reach > MAX_OUTLINE:
        raise DataError(
            f"{where} has a polygon that is {reach:.3g} pixels long or away from the image; want "
            f"at most {MAX_OUTLINE:.0e}; {WAY_OUT}"
        )


def _read_run_lengths(
    counts: Union[List[int], str], size: Tuple[int, int], where: str
) -> RunLengths:
    """Check run lengths, a list of numbers or a compressed string, and compress them."""
    height, width = size
    # pycocotools leaves the pixels after the last run uninitialized. The check of the sum makes
    # sure that the runs cover the image.
    try:
        runs = counts if isinstance(counts, list) else _decompress(counts)
        only_lengths = all(isinstance(run, int) and run >= 0 for run in runs)
        covers_image = only_lengths and sum(runs) == height * width
    except (AttributeError, ValueError):
        # AttributeError: `counts` is not a string. ValueError: the string holds no run lengths.
        covers_image = False
    if not covers_image:
        raise DataError(
            f"{where} has run lengths that do not make up the {height * width} pixels of the "
            f"image; {WAY_OUT}"
        )
    foreground_runs = runs[1::2]
    if sum(foreground_runs) == 0:
        raise DataError(f"{where} has an empty mask; {WAY_OUT}")
    if isinstance(counts, list):
        return coco_mask.frPyObjects({"size": list(size), "counts": counts}, height, width)
    return {"size": list(size), "counts": counts.encode()}


def _decompress(counts: str) -> List[int]:
    """Read the run lengths in COCO's compressed string, as ``rleFrString`` in maskApi.c does.

    A character holds five bits of a number, lowest bits first, and a bit that is set if the number
    continues in the next character. From the fourth number on, a number is the difference from the
    run two places before. A faulty string raises a ValueError.
    """
    runs: List[int] = []
    value = 0
    shift = 0
    for character in counts.encode():
        code = character - FIRST_CHARACTER
        if not 0 <= code <= CONTINUED_BIT | VALUE_BITS:
            raise ValueError(f"character {character}")
        value |= (code & VALUE_BITS) << shift
        shift += BITS_PER_CHARACTER
        if code & CONTINUED_BIT:
            # Without a limit a long string would make a number of millions of bits.
            if shift > MAX_BITS:
                raise ValueError("a number is too long")
            continue
        if code & NEGATIVE_BIT:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        runs.append(value)
        value = 0
        shift = 0
    if shift:
        raise ValueError("the last number is cut off")
    return runs


def encode_mask(mask: np.ndarray) -> RunLengths:
    """Compress a mask.

    Parameters
    ----------
    mask : numpy.ndarray
        (H, W) bool.

    Returns
    -------
    dict
        COCO's compressed run lengths with text as ``counts``, as in a file.
    """
    return text_run_lengths(coco_mask.encode(np.asfortranarray(mask, np.uint8)))


def join_segmentations(parts: Sequence[Any], size: Tuple[int, int], where: str) -> Any:
    """Join the masks of the parts of one object.

    Parameters
    ----------
    parts : sequence
        Each polygons or run lengths as ``read_segmentation`` takes them, or None.
    size : tuple of int
        Height and width of the image in pixels.
    where : str
        The name of the object; it begins a message.

    Returns
    -------
    list, dict or None
        The polygons of all parts, or run lengths of their union. None if a part has no mask.

    Raises
    ------
    DataError
        A part is faulty.
    """
    if any(part is None for part in parts):
        return None
    if all(isinstance(part, list) for part in parts):
        return list(chain.from_iterable(parts))
    return text_run_lengths(
        coco_mask.merge([read_segmentation(part, size, where) for part in parts])
    )


def empty_mask(size: Tuple[int, int]) -> RunLengths:
    """Make the mask of an object that covers no pixel.

    Parameters
    ----------
    size : tuple of int
        Height and width of the image in pixels.

    Returns
    -------
    dict
        COCO's compressed run lengths.
    """
    height, width = size
    runs = {"size": [height, width], "counts": [height * width]}
    return coco_mask.frPyObjects(runs, height, width)


def decode_masks(masks: Sequence[RunLengths], size: Tuple[int, int]) -> np.ndarray:
    """Decode the masks of one image.

    Parameters
    ----------
    masks : sequence of dict
        COCO's compressed run lengths of G masks. G may be 0.
    size : tuple of int
        Height and width of the image in pixels.

    Returns
    -------
    numpy.ndarray
        (G, H, W) bool.
    """
    if not masks:
        return np.zeros((0, *size), bool)
    # pycocotools returns (H, W, G) in Fortran order.
    decoded = coco_mask.decode(list(masks))
    return decoded.transpose(2, 0, 1).astype(bool, order="C")


def mask_area(mask: RunLengths) -> float:
    """Count the pixels of a mask.

    Parameters
    ----------
    mask : dict
        COCO's compressed run lengths.

    Returns
    -------
    float
        The number of pixels that belong to the mask.
    """
    return float(coco_mask.area(mask))


def text_run_lengths(mask: RunLengths) -> RunLengths:
    """Return run lengths that can be written as JSON.

    Parameters
    ----------
    mask : dict
        COCO's compressed run lengths, with bytes as ``counts``.

    Returns
    -------
    dict
        The same with text as ``counts``.
    """
    return {"size": list(mask["size"]), "counts": mask["counts"].decode()}


def crop_masks(masks: np.ndarray, boxes: np.ndarray, cells: int) -> np.ndarray:
    """Crop each mask to its box, and resample the crop to a square grid of cells.

    Cell (i, j) is centered at ``((j + 0.5) / cells, (i + 0.5) / cells)`` of the box. Its value is
    the mean over the cell of the mask, interpolated bilinearly between pixel centers. Where the
    box has more pixels than cells, this is the covered area of the cell; where it has fewer, it
    is bilinear interpolation.

    Parameters
    ----------
    masks : numpy.ndarray
        (G, H, W) bool.
    boxes : numpy.ndarray
        (G, 4) float32, rows ``x1 y1 x2 y2`` in pixels of the masks, inside the image and with an
        area.
    cells : int
        Number of cells along each side of a crop.

    Returns
    -------
    numpy.ndarray
        (G, cells, cells) float32 in 0..1.

    Examples
    --------
    >>> mask = np.zeros((1, 4, 4), bool)
    >>> mask[0, :, 2:] = True
    >>> crops = crop_masks(mask, np.float32([[0, 0, 4, 4]]), cells=2)
    >>> crops.astype(np.float64).round(2).tolist()
    [[[0.07, 0.93], [0.07, 0.93]]]
    """
    crops = np.zeros((len(masks), cells, cells), np.float32)
    for crop, mask, (x1, y1, x2, y2) in zip(crops, masks, boxes.astype(np.float64)):
        height, width = mask.shape
        top, row_weights = _cell_weights(y1, y2, cells, height)
        left, column_weights = _cell_weights(x1, x2, cells, width)
        bottom = top + row_weights.shape[1]
        right = left + column_weights.shape[1]
        window = mask[top:bottom, left:right].astype(np.float32)
        np.clip(row_weights @ window @ column_weights.T, 0, 1, out=crop)
    return crops


def _cell_weights(start: float, stop: float, cells: int, length: int) -> Tuple[int, np.ndarray]:
    """Compute how much each pixel of one axis contributes to each cell between two coordinates.

    Linear interpolation gives each pixel a tent: height 1 at its center, 0 at the centers of its
    neighbors. A pixel's weight for a cell is the area of its tent over the cell. Returns the index
    of the first pixel, and (cells, pixels) float32 with rows of sum 1.
    """
    # The tents of the two pixels next to the box reach into it, hence one pixel more at each end.
    first = max(0, int(start) - 1)
    last = min(length, int(np.ceil(stop)) + 1)
    centers = np.arange(first, last) + 0.5
    edges = np.linspace(start, stop, cells + 1)

    distance = np.clip(edges[:, None] - centers, -1, 1)
    # The integral of the tent `1 - |t|` from -1 to `distance`.
    area_before_edge = distance + 0.5 - np.sign(distance) * distance**2 / 2
    weights = np.diff(area_before_edge, axis=0)
    # At the image's border there is no pixel next to the box, so a row may sum to less than 1.
    weights /= weights.sum(axis=1, keepdims=True)
    return first, weights.astype(np.float32)
