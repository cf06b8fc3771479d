"""Read the shapes of Labelme and X-AnyLabeling: where they are, and which pixels they cover."""

import base64
import io
import math
from typing import Any, Dict, List, NamedTuple, Tuple

from gluonnorm.data.json_file import shorten, to_float
from gluonnorm.data.labeled_image import DataError
from gluonnorm.data.masks import encode_mask
from gluonnorm.errors import first_line

import numpy as np
from PIL import Image

READ_SHAPES = "rectangles, also rotated ones, polygons, circles and masks"
CIRCLE_CORNERS = 72  # of the polygon in place of a circle, which is at most 0.1 % of its radius off
# Four corners in any direction: of Labelme, and of X-AnyLabeling.
ROTATED = ("oriented_rectangle", "rotation", "quadrilateral")
# How many points a shape has.
POINT_COUNTS = {"rectangle": (2, 4), "circle": (2,), "mask": (2,), **dict.fromkeys(ROTATED, (4,))}
MASK_MODES = ("1", "L", "I", "I;16")  # Pillow's names of gray images
MASK_WAY_OUT = "save the file again with Labelme, or remove the shape"


class LabelmeShape(NamedTuple):
    """One shape.

    Attributes
    ----------
    corners : numpy.ndarray
        (N, 2) float64, points x, y in pixels. The smallest box around them is that of the shape.
    segmentation : list, dict or None
        Its pixels as ``masks.read_segmentation`` takes them: polygons or run lengths. None for a
        rectangle, which is no outline.
    """

    corners: np.ndarray
    segmentation: Any


def read_shape(shape: Dict[str, Any], where: str, size: Tuple[int, int]) -> LabelmeShape:
    """Read an entry of the file's list ``shapes``.

    Parameters
    ----------
    shape : dict
        The entry.
    where : str
        The file and the place of the entry. A message begins with it.
    size : tuple of int
        Height and width of the image in pixels.

    Returns
    -------
    LabelmeShape
        Its corners and its pixels.

    Raises
    ------
    DataError
        The shape is of a kind that has no box, or has faulty points or a faulty mask.
    """
    kind = shape.get("shape_type") or "polygon"
    if kind != "polygon" and kind not in POINT_COUNTS:
        raise DataError(
            f"{where} is a {shorten(kind)}; {READ_SHAPES} are read, so remove it or leave out its "
            "class"
        )
    points = _read_points(shape, where)
    allowed = POINT_COUNTS.get(kind)
    if len(points) < 3 if allowed is None else len(points) not in allowed:
        wanted = "3 or more" if allowed is None else " or ".join(map(str, allowed))
        raise DataError(f"{where} is a {kind} of {len(points)} points; want {wanted}")
    if kind == "rectangle":
        return LabelmeShape(points, None)
    if kind == "mask":
        return _read_mask(shape, points, where, size)
    if kind == "circle":
        return _circle(*points)
    return LabelmeShape(points, [points.ravel().tolist()])


def _circle(center: np.ndarray, border: np.ndarray) -> LabelmeShape:
    """Make the shape of a circle from its center and a point on its border."""
    radius = math.hypot(*(border - center))
    angles = np.arange(CIRCLE_CORNERS) * (2 * math.pi / CIRCLE_CORNERS)
    outline = center + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners = np.array([center - radius, center + radius])
    return LabelmeShape(corners, [outline.ravel().tolist()])


def _read_points(shape: Dict[str, Any], where: str) -> np.ndarray:
    """Return the points of a shape, (N, 2) float64."""
    points = shape.get("points")
    coordinates: List[float] = []
    for point in points if isinstance(points, list) else [None]:
        pair = [to_float(value) for value in point] if isinstance(point, list) else []
        finite = [value for value in pair if value is not None and math.isfinite(value)]
        if len(finite) != 2 or len(pair) != 2:
            raise DataError(
                f"{where} has the point {shorten(point)}; want a list of points [x, y] of finite "
                "numbers"
            )
        coordinates += finite
    return np.array(coordinates, np.float64).reshape(-1, 2)


def _read_mask(
    shape: Dict[str, Any], points: np.ndarray, where: str, size: Tuple[int, int]
) -> LabelmeShape:
    """Read a shape of pixels: a PNG, and the two corners of its place in the image.

    Labelme puts the PNG's first pixel at the first corner, and cuts off what is outside the image.
    Its versions differ in whether the second corner is the last pixel or the one behind it.
    """
    left, top = np.rint(points.min(axis=0)).astype(np.int64)
    place = np.rint(points.max(axis=0)).astype(np.int64) - (left, top)
    drawn = _read_png(shape.get("mask"), place, where)
    rows, columns = np.nonzero(drawn)
    rows, columns = rows + top, columns + left
    height, width = size
    is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = rows[is_inside], columns[is_inside]
    if not len(rows):
        raise DataError(f"{where} is a mask without a pixel in the image; {MASK_WAY_OUT}")
    mask = np.zeros(size, bool)
    mask[rows, columns] = True
    corners = [[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]]
    return LabelmeShape(np.array(corners, np.float64), encode_mask(mask))


def _read_png(text: Any, place: np.ndarray, where: str) -> np.ndarray:
    """Decode a mask, (H, W) bool. ``place`` is the distance of its corners along x and y."""
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            f"{where} is a mask, and its 'mask' is {shorten(text)}; want a PNG in base64; "
            f"{MASK_WAY_OUT}"
        )
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
        with Image.open(io.BytesIO(content)) as image:
            # An image that does not fit may be huge, so it is not decoded.
            if image.mode not in MASK_MODES or np.abs(place + 0.5 - image.size).max() > 1.5:
                raise DataError(
                    f"{where} has a mask of {image.width} x {image.height} pixels in mode "
                    f"{image.mode}; its points want gray and {place[0] + 1} x {place[1] + 1}; "
                    f"{MASK_WAY_OUT}"
                )
            return np.asarray(image) != 0
    except DataError:
        raise
    # Pillow raises SyntaxError for a PNG with a broken part.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{where} has a mask that is no PNG in base64 ({first_line(error)}); {MASK_WAY_OUT}"
        ) from error
