"""Detections drawn on a photo, and photos laid out in a grid: arrays in, arrays out."""
import colorsys
import math
from typing import Optional, Sequence, Tuple

from gluonnorm.types import Detections

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = Tuple[int, int, int]
COLOUR_BY = ("class", "instance")


def draw(
    image: np.ndarray, detections: Detections, classes: Sequence[str], score_thresh: float = 0.5, *,
    color_by: str = "class", boxes: bool = True
) -> np.ndarray:
    """Draw masks, and boxes with class and score, on a copy of ``image``; lines and letters grow with the picture.

    A mask is laid over the picture half transparent, its outline opaque.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB.
    detections
        Boxes, and perhaps masks, in the pixels of ``image``. Those below ``score_thresh`` are not drawn; the best lies
        on top.
    classes
        Class names; entry ``i`` belongs to id ``i``.
    score_thresh
        Least score that is drawn, in 0..1.
    color_by
        ``"class"``: one colour a class; ``"instance"``: each detection another, to tell many of one class apart.
    boxes
        False draws the masks alone.

    Returns
    -------
    (H, W, 3) uint8.

    Raises
    ------
    ValueError
        An image or detections of another shape, an id that ``classes`` does not name, another ``color_by``.
    """
    _check_image(image)
    _check_detections(detections, image, len(classes))
    if color_by not in COLOUR_BY:
        raise ValueError(f"color_by is {color_by!r}; want one of {', '.join(COLOUR_BY)}")
    scores = np.asarray(detections.scores)
    shown = np.flatnonzero(scores >= score_thresh)
    shown = shown[np.argsort(scores[shown], kind="stable")]
    colours = [class_colour(int(detections.ids[i] if color_by == "class" else i)) for i in shown]
    pixels = np.array(image)
    if detections.masks is not None:
        for i, colour in zip(shown, colours):
            _draw_mask(pixels, np.asarray(detections.masks[i]), colour)
    picture = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(picture)
    for i, colour in zip(shown if boxes else (), colours):
        box, label = np.asarray(detections.boxes[i]).tolist(), f"{classes[detections.ids[i]]} {scores[i]:.2f}"
        _draw_box(canvas, picture.size, box, label, colour)
    return np.array(picture)


def class_colour(class_id: int) -> Colour:
    """A bright RGB colour, the same for a class in every picture, far from those of the classes near it in the list."""
    golden = (math.sqrt(5) - 1) / 2  # multiples of the golden ratio spread evenly over the circle of hues
    red, green, blue = colorsys.hsv_to_rgb((0.02 + class_id * golden) % 1, 0.85 - 0.3 * (class_id // 8 % 2), 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def grid(images: Sequence[np.ndarray], columns: Optional[int] = None, gap: int = 4) -> np.ndarray:
    """One picture of all ``images``, row by row, each centred in a cell as large as the largest of them.

    Parameters
    ----------
    images
        (H, W, 3) uint8 each, of any sizes; at least one.
    columns
        Images a row; by default as many as make the grid about square.
    gap
        White pixels between cells.

    Returns
    -------
    (H', W', 3) uint8.
    """
    if not len(images):
        raise ValueError("grid got no images; give at least one (H, W, 3) uint8 array")
    for image in images:
        _check_image(image)
    columns = math.ceil(math.sqrt(len(images))) if columns is None else min(columns, len(images))
    if columns < 1 or gap < 0:
        raise ValueError(f"grid got columns={columns} and gap={gap}; want at least 1 and at least 0")
    rows = math.ceil(len(images) / columns)
    cell_h = max(image.shape[0] for image in images)
    cell_w = max(image.shape[1] for image in images)
    page = np.full((rows * (cell_h + gap) - gap, columns * (cell_w + gap) - gap, 3), 255, dtype=np.uint8)
    for i, image in enumerate(images):
        height, width = image.shape[:2]
        top = i // columns * (cell_h + gap) + (cell_h - height) // 2
        left = i % columns * (cell_w + gap) + (cell_w - width) // 2
        page[top:top + height, left:left + width] = image
    return page


def _check_image(image: np.ndarray) -> None:
    shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", type(image).__name__)
    if shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise ValueError(f"image is {shape} of {dtype}; want (H, W, 3) of uint8, RGB, at least 1 pixel each way")


def _check_detections(detections: Detections, image: np.ndarray, num_classes: int) -> None:
    boxes, scores, ids = (np.asarray(field) for field in detections[:3])
    if boxes.shape != (len(ids), 4) or scores.shape != (len(ids),) or ids.ndim != 1:
        raise ValueError(f"detections have boxes {boxes.shape}, scores {scores.shape}, ids {ids.shape}; "
                         "want (N, 4), (N,) and (N,) of the same N")
    if len(ids) and not 0 <= ids.min() <= ids.max() < num_classes:
        raise ValueError(f"detections have ids from {ids.min()} to {ids.max()}, but there are {num_classes} class "
                         "names; give the names the network was trained with, without a background")
    if detections.masks is not None:
        masks, wanted = np.asarray(detections.masks), (len(ids), *image.shape[:2])
        if masks.shape != wanted or masks.dtype != bool:
            raise ValueError(f"masks are {masks.shape} of {masks.dtype}; want {wanted} of bool, in the image's pixels")


def _draw_mask(pixels: np.ndarray, mask: np.ndarray, colour: Colour) -> None:
    """Half the colour on the mask, all of it on the edge, which lies inside; changes ``pixels``."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    region = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    part, inside = pixels[region], mask[region]
    deep = inside
    for _ in range(_line_width(mask.shape)):  # peel off a layer of pixels each time
        ring = np.pad(deep, 1)
        deep = deep & ring[:-2, 1:-1] & ring[2:, 1:-1] & ring[1:-1, :-2] & ring[1:-1, 2:]
    part[deep] = part[deep] // 2 + np.array(colour, np.uint8) // 2
    part[inside & ~deep] = colour


def _line_width(shape: Sequence[int]) -> int:
    return max(1, round(min(shape) / 250))


def _draw_box(
    canvas: ImageDraw.ImageDraw, size: Tuple[int, int], box: Sequence[float], label: str, colour: Colour
) -> None:
    """The box's outline, and the label above its top left corner, moved where it would leave the picture."""
    width, height = size
    side, line = min(width, height), _line_width(size)
    x1, y1, x2, y2 = box
    # The last pixel a box covers is the one before its end.
    canvas.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=line)
    font = ImageFont.load_default(size=max(10, round(side / 30)))
    pad = line + 1
    _, _, text_w, text_h = canvas.textbbox((0, 0), label, font=font)
    text_w, text_h = text_w + 2 * pad, text_h + 2 * pad
    left = min(max(0.0, x1), max(0.0, width - text_w))
    top = y1 - text_h if y1 >= text_h else min(max(0.0, y1), max(0.0, height - text_h))
    canvas.rectangle((left, top, left + text_w, top + text_h), fill=colour)
    dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140  # perceived brightness, ITU-R BT.601
    canvas.text((left + pad, top + pad), label, fill=(0, 0, 0) if dark else (255, 255, 255), font=font)
