"""Detections drawn on a photo: masks, boxes, labels, and a legend below."""

from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

from gluonnorm.class_colors import PALETTE, Color, class_colors, letters_on
from gluonnorm.cropped_masks import Crop, CroppedMasks
from gluonnorm.errors import InputError
from gluonnorm.types import Detections, PathLike
from gluonnorm.visualize.image_grid import check_image
from gluonnorm.visualize.legend import LegendEntry, legend_strip
from gluonnorm.visualize.lettering import SMALLEST_FONT, Font, drawable, open_font

import numpy as np
from PIL import Image, ImageDraw

COLOR_BY = ("class", "instance")
LINES_PER_SIDE = 250  # lines are as wide as the photo's shorter side divided by this
LETTERS_PER_SIDE = 30  # letters are as high as the photo's shorter side divided by this


class _Shown(NamedTuple):
    """The M detections that are drawn, best first.

    Attributes
    ----------
    indices : list of int
        Their rows in the ``Detections``.
    boxes : list of list of float
        ``x1 y1 x2 y2``; the far corner is the last pixel.
    names : list of str
        The names of their classes.
    scores : list of float
        Their scores.
    colors : list of tuple of int
        Their RGB colors.
    """

    indices: List[int]
    boxes: List[List[float]]
    names: List[str]
    scores: List[float]
    colors: List[Color]


def draw(
    image: np.ndarray,
    detections: Detections,
    classes: Sequence[str],
    score_thresh: float = 0.5,
    *,
    color_by: str = "class",
    boxes: bool = True,
    font: Optional[PathLike] = None,
    legend: bool = False,
) -> np.ndarray:
    """Draw masks, and boxes with class and score, on a copy of a photo.

    A mask is half transparent, its outline is opaque. Lines and letters grow with the photo. A
    label that would cover the label of a better detection is left out; the colors of the legend
    tell the class of its box. A class name has the same color in all pictures
    (``gluonnorm.class_colors``).

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3) uint8, RGB.
    detections : Detections
        Boxes, and masks if there are any, in pixels of ``image``. The best one is drawn on top.
    classes : sequence of str
        Class names; entry ``i`` belongs to id ``i``.
    score_thresh : float
        Lowest score that is drawn, in 0..1.
    color_by : str
        ``"class"`` gives each class a color. ``"instance"`` gives each detection a color, which
        tells several objects of one class apart.
    boxes : bool
        False draws only the masks.
    font : path or None
        A TrueType or OpenType file for the class names. None takes Pillow's own font, which has
        Latin letters. A character that the font does not have is drawn as its code, such as
        ``\\u732b``.
    legend : bool
        Whether a strip with color, number and name of each class that is drawn is put below the
        photo. The picture is then higher than the photo.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8, a new array. With ``legend``, H is that of the photo and the strip.

    Raises
    ------
    InputError
        The image or the detections have another shape or dtype, ``classes`` has no name for an id,
        ``color_by`` is unknown, or ``font`` cannot be read.

    Examples
    --------
    >>> detections = Detections(np.float32([[10, 20, 50, 60]]), np.float32([0.9]), np.int32([0]))
    >>> picture = draw(np.zeros((80, 100, 3), np.uint8), detections, ["cat"])
    >>> picture.shape, picture.any()
    ((80, 100, 3), True)
    """
    check_image(image)
    _check_detections(detections, image, len(classes))
    if color_by not in COLOR_BY:
        raise InputError(f"color_by is {color_by!r}; want one of {', '.join(COLOR_BY)}")
    shown = _select(detections, classes, score_thresh, color_by)
    pixels = np.array(image)
    if detections.masks is not None:
        _draw_masks(pixels, detections.masks, shown)
    letters = open_font(font, max(SMALLEST_FONT, round(min(pixels.shape[:2]) / LETTERS_PER_SIDE)))
    if boxes:
        picture = Image.fromarray(pixels)
        canvas = ImageDraw.Draw(picture)
        line_width = _line_width(picture.size)
        for box, color in zip(reversed(shown.boxes), reversed(shown.colors)):
            canvas.rectangle(box, outline=color, width=line_width)
        _draw_labels(canvas, picture.size, shown, letters)
        pixels = np.array(picture)
    if legend:
        entries = _legend_entries(shown, classes, color_by, letters)
        pixels = np.concatenate([pixels, legend_strip(entries, pixels.shape[1], letters)])
    return pixels


def _check_detections(detections: Detections, image: np.ndarray, num_classes: int) -> None:
    """Raise InputError for shapes or ids that do not fit each other, the image or the classes."""
    boxes = np.asarray(detections.boxes)
    scores = np.asarray(detections.scores)
    ids = np.asarray(detections.ids)
    if boxes.shape != (len(ids), 4) or scores.shape != (len(ids),) or ids.ndim != 1:
        raise InputError(
            f"detections have boxes {boxes.shape}, scores {scores.shape}, "
            f"ids {ids.shape}; want (N, 4), (N,) and (N,) of the same N"
        )
    if len(ids) and not 0 <= ids.min() <= ids.max() < num_classes:
        raise InputError(
            f"detections have ids from {ids.min()} to {ids.max()}, but there are "
            f"{num_classes} class names; give the names the network was trained with, "
            "without a background"
        )
    if detections.masks is None:
        return
    masks = detections.masks
    if not isinstance(masks, CroppedMasks):
        masks = np.asarray(masks)
    expected_shape = (len(ids), *image.shape[:2])
    if masks.shape != expected_shape or masks.dtype != bool:
        raise InputError(
            f"masks are {masks.shape} of {masks.dtype}; "
            f"want {expected_shape} of bool, in the image's pixels"
        )


def _select(
    detections: Detections, classes: Sequence[str], score_thresh: float, color_by: str
) -> _Shown:
    """Choose the detections that are drawn, and their colors."""
    scores = np.asarray(detections.scores)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= score_thresh]
    ids = np.asarray(detections.ids)[order].tolist()
    corners = np.array(detections.boxes, np.float64)[order]
    if not detections.inclusive:
        corners[:, 2:] -= 1
    # A box without an area is drawn as a point.
    corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2])
    indices = order.tolist()
    if color_by == "instance":
        colors = [PALETTE[index % len(PALETTE)] for index in indices]
    else:
        color_of = class_colors(classes)
        colors = [color_of[class_id] for class_id in ids]
    names = [classes[class_id] for class_id in ids]
    return _Shown(indices, corners.tolist(), names, scores[order].tolist(), colors)


def _draw_masks(pixels: np.ndarray, masks: Union[np.ndarray, CroppedMasks], shown: _Shown) -> None:
    """Draw masks, the best one on top."""
    for index, color in zip(reversed(shown.indices), reversed(shown.colors)):
        # Only the crops are touched: most masks are much smaller than the photo.
        one_mask = CroppedMasks.of(masks[index : index + 1])
        _draw_mask(pixels, one_mask.crops[0], color)


def _draw_mask(pixels: np.ndarray, crop: Crop, color: Color) -> None:
    """Mix half of the color into the mask's pixels and paint the inner side of its outline."""
    part = pixels[crop.region]
    inside = crop.pixels
    interior = inside
    for _ in range(_line_width(pixels.shape[:2])):
        interior = _peel(interior)
    part[interior] = part[interior] // 2 + np.array(color, np.uint8) // 2
    part[inside & ~interior] = color


def _peel(mask: np.ndarray) -> np.ndarray:
    """Remove the pixels of a mask that have a neighbor outside it, above, below, left or right."""
    padded = np.pad(mask, 1)
    above = padded[:-2, 1:-1]
    below = padded[2:, 1:-1]
    left = padded[1:-1, :-2]
    right = padded[1:-1, 2:]
    return mask & above & below & left & right


def _line_width(size: Sequence[int]) -> int:
    """Width of lines, in pixels, on a photo of this size."""
    return max(1, round(min(size) / LINES_PER_SIDE))


def _draw_labels(
    canvas: ImageDraw.ImageDraw, size: Tuple[int, int], shown: _Shown, letters: Font
) -> None:
    """Draw a label above each box, but none that would cover the label of a better detection.

    A label that would leave the picture is moved inward.
    """
    margin = _line_width(size) + 1
    places = np.zeros((len(shown.boxes), 4))
    num_places = 0
    for box, name, score, color in zip(shown.boxes, shown.names, shown.scores, shown.colors):
        text = drawable(f"{name} {score:.2f}", letters)
        _, _, text_width, text_height = canvas.textbbox((0, 0), text, font=letters)
        label_size = (text_width + 2 * margin, text_height + 2 * margin)
        place = _label_place(size, box, label_size)
        if _covers_any(place, places[:num_places]):
            continue
        places[num_places] = place
        num_places += 1
        left, top = place[:2].tolist()
        canvas.rectangle(place.tolist(), fill=color)
        canvas.text((left + margin, top + margin), text, fill=letters_on(color), font=letters)


def _label_place(
    size: Tuple[int, int], box: Sequence[float], label_size: Tuple[float, float]
) -> np.ndarray:
    """Place a label above its box, or inward where it would leave the picture.

    Returns left, top, right and bottom in pixels.
    """
    width, height = size
    label_width, label_height = label_size
    left = min(max(0.0, box[0]), max(0.0, width - label_width))
    top = box[1] - label_height
    if top < 0:
        top = min(max(0.0, box[1]), max(0.0, height - label_height))
    return np.array([left, top, left + label_width, top + label_height])


def _covers_any(place: np.ndarray, others: np.ndarray) -> bool:
    """Tell whether a rectangle shares pixels with one of (N, 4) others."""
    is_apart = (place[:2] > others[:, 2:]) | (place[2:] < others[:, :2])
    return not is_apart.any(axis=1).all()


def _legend_entries(
    shown: _Shown, classes: Sequence[str], color_by: str, letters: Font
) -> List[LegendEntry]:
    """Count the detections of each class that are drawn."""
    entries = []
    for name, color in zip(classes, class_colors(classes)):
        count = shown.names.count(name)
        if count:
            text = drawable(f"{count} {name}", letters)
            entries.append(LegendEntry(text, color if color_by == "class" else None))
    return entries
