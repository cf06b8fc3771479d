"""Drawing of detections on a photo, and of photos in a grid: arrays in, arrays out."""

import colorsys
import math
import os
from functools import lru_cache
from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

from gluonnorm.cropped_masks import Crop, CroppedMasks
from gluonnorm.errors import InputError, first_line
from gluonnorm.types import Detections, PathLike

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = Tuple[int, int, int]
COLOR_BY = ("class", "instance")
BLACK = (0, 0, 0)
WHITE = (255, 255, 255)
BRIGHT = 140  # black letters are easier to read than white ones on a color brighter than this
LINES_PER_SIDE = 250  # lines are as wide as the photo's shorter side divided by this
LETTERS_PER_SIDE = 30  # letters are as high as the photo's shorter side divided by this
SMALLEST_FONT = 10  # pixels
NO_CHARACTER = "\U0010ffff"  # Unicode gives it no meaning, so fonts draw it as a missing letter

Font = Union[ImageFont.FreeTypeFont, ImageFont.ImageFont]


class _Label(NamedTuple):
    """The text above a box.

    Attributes
    ----------
    text : str
        Class name and score.
    color : tuple of int
        RGB color of its background.
    font : PIL.ImageFont.FreeTypeFont
        How it is written.
    """

    text: str
    color: Color
    font: Font


def draw(
    image: np.ndarray,
    detections: Detections,
    classes: Sequence[str],
    score_thresh: float = 0.5,
    *,
    color_by: str = "class",
    boxes: bool = True,
    font: Optional[PathLike] = None,
) -> np.ndarray:
    """Draw masks, and boxes with class and score, on a copy of a photo.

    A mask is half transparent, its outline is opaque. Lines and letters grow with the photo.

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

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8, a new array.

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
    _check_image(image)
    _check_detections(detections, image, len(classes))
    if color_by not in COLOR_BY:
        raise InputError(f"color_by is {color_by!r}; want one of {', '.join(COLOR_BY)}")
    scores = np.asarray(detections.scores)
    indices = _worst_first(scores, score_thresh)
    color_numbers = indices if color_by == "instance" else np.asarray(detections.ids)[indices]
    colors = [class_color(int(number)) for number in color_numbers]
    pixels = np.array(image)
    if detections.masks is not None:
        # Only the crops are touched: most masks are much smaller than the photo.
        for index, color in zip(indices, colors):
            one_mask = CroppedMasks.of(detections.masks[index : index + 1])
            _draw_mask(pixels, one_mask.crops[0], color)
    if not boxes:
        return pixels
    picture = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(picture)
    opened_font = open_font(font, max(SMALLEST_FONT, round(min(picture.size) / LETTERS_PER_SIDE)))
    last_pixel = 0 if detections.inclusive else 1
    for index, color in zip(indices, colors):
        box = np.asarray(detections.boxes[index]).tolist()
        class_name = classes[detections.ids[index]]
        text = _drawable(f"{class_name} {scores[index]:.2f}", opened_font)
        label = _Label(text, color, opened_font)
        _draw_box(canvas, picture.size, box, last_pixel, label)
    return np.array(picture)


def class_color(class_id: int) -> Color:
    """Choose a bright color for a class.

    It is the same in every picture, and far from the colors of the neighboring class ids.

    Parameters
    ----------
    class_id : int
        The class, or any other number to tell apart, at least 0.

    Returns
    -------
    tuple of int
        Red, green and blue in 0..255.

    Examples
    --------
    >>> class_color(0), class_color(1)
    ((255, 64, 38), (38, 75, 255))
    """
    # Multiples of the golden ratio spread evenly over the circle of hues, however many there are.
    golden_ratio = (math.sqrt(5) - 1) / 2
    hue = (0.02 + class_id * golden_ratio) % 1
    saturation = 0.85 - 0.3 * (class_id // 8 % 2)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def grid(images: Sequence[np.ndarray], columns: Optional[int] = None, gap: int = 4) -> np.ndarray:
    """Arrange images in a grid, row by row.

    Every cell is as large as the largest height and width of the images. Smaller images are
    centered in their cells.

    Parameters
    ----------
    images : sequence of numpy.ndarray
        At least one image, each (H, W, 3) uint8, of any size.
    columns : int or None
        Number of images in a row. None chooses it so that there are about as many rows as columns.
    gap : int
        Number of white pixels between cells.

    Returns
    -------
    numpy.ndarray
        (H', W', 3) uint8, one picture.

    Raises
    ------
    InputError
        There are no images, an image has another shape or dtype, or ``columns`` or ``gap`` is too
        small.

    Examples
    --------
    >>> grid([np.zeros((20, 30, 3), np.uint8)] * 3).shape
    (44, 64, 3)
    """
    if not len(images):
        raise InputError("grid got no images; give at least one (H, W, 3) uint8 array")
    for image in images:
        _check_image(image)
    if columns is None:
        columns = math.ceil(math.sqrt(len(images)))
    columns = min(columns, len(images))
    if columns < 1 or gap < 0:
        raise InputError(
            f"grid got columns={columns} and gap={gap}; want at least 1 and at least 0"
        )
    rows = math.ceil(len(images) / columns)
    cell_height = max(image.shape[0] for image in images)
    cell_width = max(image.shape[1] for image in images)
    page_height = rows * (cell_height + gap) - gap
    page_width = columns * (cell_width + gap) - gap
    page = np.full((page_height, page_width, 3), 255, dtype=np.uint8)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        height, width = image.shape[:2]
        top = row * (cell_height + gap) + (cell_height - height) // 2
        left = column * (cell_width + gap) + (cell_width - width) // 2
        page[top : top + height, left : left + width] = image
    return page


def open_font(path: Optional[PathLike], size: int = SMALLEST_FONT) -> Font:
    """Open a font. A script calls it before its work, so that a wrong file does not cost the work.

    Parameters
    ----------
    path : path or None
        A TrueType or OpenType file; None for Pillow's own font.
    size : int
        Height of the letters in pixels.

    Returns
    -------
    PIL.ImageFont.FreeTypeFont
        The font.

    Raises
    ------
    InputError
        The file is missing or is no font that can be scaled.
    """
    return _cached_font(None if path is None else os.fspath(path), size)


@lru_cache(maxsize=16)
def _cached_font(path: Optional[str], size: int) -> Font:
    """Open a font once for many pictures."""
    if path is None:
        return ImageFont.load_default(size=size)
    try:
        return ImageFont.truetype(path, size)
    except (OSError, ValueError) as error:
        raise InputError(
            f"font {path}: cannot be read with letters of {size} pixels: {first_line(error)}; give "
            "a TrueType or OpenType file, such as one of the Noto fonts"
        ) from error


def _drawable(text: str, font: Font) -> str:
    """Replace the characters that a font does not have by their codes."""
    characters = []
    for character in text:
        if character == " " or (character.isprintable() and _has_character(font, character)):
            characters.append(character)
        else:
            characters.append(character.encode("unicode_escape").decode("ascii"))
    return "".join(characters)


@lru_cache(maxsize=4096)
def _has_character(font: Font, character: str) -> bool:
    """Tell whether a font draws a character, and not its sign for a missing one."""
    # Pillow does not tell which characters a font has.
    drawn = font.getmask(character)
    missing = font.getmask(NO_CHARACTER)
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)


def _check_image(image: np.ndarray) -> None:
    """Raise InputError for anything but an (H, W, 3) uint8 array with pixels."""
    shape = getattr(image, "shape", None)
    dtype = getattr(image, "dtype", type(image).__name__)
    is_rgb = shape is not None and len(shape) == 3 and shape[2] == 3 and 0 not in shape
    if not is_rgb or dtype != np.uint8:
        raise InputError(
            f"image is {shape} of {dtype}; want (H, W, 3) of uint8, RGB, at least 1 pixel each way"
        )


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


def _worst_first(scores: np.ndarray, score_thresh: float) -> List[int]:
    """Indices of the detections to draw, in the order of drawing: the best one comes last."""
    shown = np.flatnonzero(scores >= score_thresh)
    order = np.argsort(scores[shown], kind="stable")
    return shown[order].tolist()


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


def _draw_box(
    canvas: ImageDraw.ImageDraw,
    size: Tuple[int, int],
    box: Sequence[float],
    last_pixel: int,
    label: _Label,
) -> None:
    """Draw the outline of a box, whose last pixel is ``last_pixel`` before the far corner."""
    x1, y1, x2, y2 = box
    last_x = max(x1, x2 - last_pixel)
    last_y = max(y1, y2 - last_pixel)
    canvas.rectangle((x1, y1, last_x, last_y), outline=label.color, width=_line_width(size))
    _draw_label(canvas, size, box, label)


def _draw_label(
    canvas: ImageDraw.ImageDraw, size: Tuple[int, int], box: Sequence[float], label: _Label
) -> None:
    """Draw a label above a box, moved inward where it would leave the picture."""
    width, height = size
    margin = _line_width(size) + 1
    _, _, text_width, text_height = canvas.textbbox((0, 0), label.text, font=label.font)
    label_width = text_width + 2 * margin
    label_height = text_height + 2 * margin
    x1, y1 = box[:2]
    left = min(max(0.0, x1), max(0.0, width - label_width))
    top = y1 - label_height
    if top < 0:
        top = min(max(0.0, y1), max(0.0, height - label_height))
    canvas.rectangle((left, top, left + label_width, top + label_height), fill=label.color)
    letter_color = BLACK if _brightness(label.color) > BRIGHT else WHITE
    canvas.text((left + margin, top + margin), label.text, fill=letter_color, font=label.font)


def _brightness(color: Color) -> float:
    """Perceived brightness of an RGB color in 0..255, by ITU-R BT.601."""
    red, green, blue = color
    return 0.299 * red + 0.587 * green + 0.114 * blue
