"""Draw a data set of colored shapes with boxes and masks, for tests, demos and trial runs."""

import colorsys
import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from gluonnorm.errors import InputError
from gluonnorm.photos.boxes import box_iou
from gluonnorm.types import PathLike

import numpy as np
from PIL import Image, ImageDraw

# Every shape is a regular polygon. Its name is its class.
CORNER_COUNTS = {"circle": 48, "square": 4, "triangle": 3}
CLASSES = tuple(CORNER_COUNTS)

# Shape and color agree: circles are reddish, squares greenish, triangles bluish.
HUES = {"circle": 0.0, "square": 1 / 3, "triangle": 2 / 3}
HUE_SPREAD = 0.12
MIN_SATURATION = 0.6
MIN_BRIGHTNESS = 0.6

MIN_SIDE = 24  # pixels
MAX_SIDE = 80  # pixels
MAX_OBJECTS = 5
MAX_IOU = 0.15  # between the boxes of two objects
PLACEMENT_TRIES = 20

BACKGROUND_BLOBS = (5, 6)  # rows and columns
BACKGROUND_LEVELS = (70, 190)  # of 0..255
NOISE_DEVIATION = 12
JPEG_QUALITY = 92


class Shape(NamedTuple):
    """One object of a drawn image.

    Attributes
    ----------
    name : str
        Its class.
    outline : numpy.ndarray
        (V, 2) float64, x and y of the polygon's corners in pixels.
    color : tuple of int
        Red, green and blue in 0..255.
    """

    name: str
    outline: np.ndarray
    color: Tuple[int, int, int]


def draw_shapes(
    root: PathLike,
    train: int = 200,
    val: int = 40,
    size: Tuple[int, int] = (128, 160),
    seed: int = 0,
) -> None:
    """Draw a COCO-format data set of circles, squares and triangles on a noisy background.

    The JPEG images are written to ``root``/train and ``root``/val. Their boxes and masks (run
    lengths of the visible part) are written to ``root``/annotations/instances_train.json and
    instances_val.json. An image has up to 5 objects of 24 to 80 pixels, which overlap a little. The
    last image of a split has none, unless it is the only one. The same arguments draw the same
    images.

    Parameters
    ----------
    root : str or path-like
        The folder of the data set; it is created if it is missing.
    train : int
        Number of training images, at least 1.
    val : int
        Number of validation images, at least 1.
    size : tuple of int
        Height and width of the images in pixels, each at least 48.
    seed : int
        Seed of the random generator, 0 or more.

    Raises
    ------
    InputError
        ``size`` is too small for the objects, or a split has no images.

    Examples
    --------
    >>> draw_shapes("shapes", train=20, val=5)  # doctest: +SKIP
    """
    if min(size) < 2 * MIN_SIDE:
        raise InputError(f"size is {size}; want at least {2 * MIN_SIDE} pixels each way")
    if min(train, val) < 1:
        raise InputError(f"train is {train} and val is {val}; want at least one image each")
    os.makedirs(os.path.join(root, "annotations"), exist_ok=True)
    # The number of the split is part of the seed, so that the two splits differ.
    _draw_split(root, "train", train, size, (seed, 0))
    _draw_split(root, "val", val, size, (seed, 1))


def _draw_split(
    root: PathLike,
    split: str,
    image_count: int,
    size: Tuple[int, int],
    split_seed: Tuple[int, int],
) -> None:
    """Draw the images of one split, and write its annotation file."""
    folder = os.path.join(root, split)
    os.makedirs(folder, exist_ok=True)
    height, width = size
    images: List[Dict[str, Any]] = []
    annotations: List[Dict[str, Any]] = []
    for index in range(image_count):
        rng = np.random.default_rng((*split_seed, index))
        is_empty = index > 0 and index == image_count - 1
        shapes = [] if is_empty else _place_shapes(rng, size)
        image, visible_shape = _paint(rng, size, shapes)

        image_id = index + 1
        file_name = f"{index:06d}.jpg"
        image.save(os.path.join(folder, file_name), quality=JPEG_QUALITY)
        images.append({"id": image_id, "file_name": file_name, "height": height, "width": width})
        for number, shape in enumerate(shapes, start=1):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": CLASSES.index(shape.name) + 1,
                    **_describe_mask(visible_shape == number),
                }
            )

    path = os.path.join(root, "annotations", f"instances_{split}.json")
    _write_annotations(path, images, annotations, seed=split_seed[0])


def _write_annotations(
    path: str, images: List[Dict[str, Any]], annotations: List[Dict[str, Any]], seed: int
) -> None:
    """Write a COCO annotation file."""
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    content = {
        # The spelling of version 0.1 is kept, so that the same arguments write the same bytes.
        "info": {"description": "coloured shapes", "seed": seed},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file)


def _place_shapes(rng: np.random.Generator, size: Tuple[int, int]) -> List[Shape]:
    """Choose 1 to 5 shapes and their places.

    The largest shape is drawn first, so that no shape is hidden by a larger one.
    """
    max_side = min(MAX_SIDE, 5 * min(size) // 8)
    shape_count = rng.integers(1, MAX_OBJECTS + 1)
    sides = rng.integers(MIN_SIDE, max_side + 1, size=shape_count).tolist()

    shapes: List[Shape] = []
    boxes = np.zeros((0, 4), np.float32)
    for side in sorted(sides, reverse=True):
        name = CLASSES[rng.integers(len(CLASSES))]
        color = _choose_color(rng, name)
        outline = _find_place(rng, CORNER_COUNTS[name], side, size, boxes)
        # A crowded image has no place left for the shape, and gets fewer shapes.
        if outline is not None:
            shapes.append(Shape(name, outline, color))
            boxes = np.concatenate([boxes, _box_of(outline)])
    return shapes


def _choose_color(rng: np.random.Generator, name: str) -> Tuple[int, int, int]:
    """Choose a bright color near the hue of a class: red, green, blue in 0..255."""
    lowest = (-HUE_SPREAD, MIN_SATURATION, MIN_BRIGHTNESS)
    highest = (HUE_SPREAD, 1, 1)
    hue_shift, saturation, brightness = rng.uniform(lowest, highest)
    hue = (HUES[name] + hue_shift) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, brightness)
    return int(255 * red), int(255 * green), int(255 * blue)


def _find_place(
    rng: np.random.Generator,
    corner_count: int,
    side: int,
    size: Tuple[int, int],
    boxes: np.ndarray,
) -> Optional[np.ndarray]:
    """Draw outlines until one hardly overlaps the (N, 4) boxes; None after too many tries."""
    for _ in range(PLACEMENT_TRIES):
        outline = _random_outline(rng, corner_count, side, size)
        overlaps = box_iou(_box_of(outline), boxes)
        if not (overlaps > MAX_IOU).any():
            return outline
    return None


def _random_outline(
    rng: np.random.Generator, corner_count: int, side: int, size: Tuple[int, int]
) -> np.ndarray:
    """Draw a regular polygon, rotated and placed at random inside the image: (V, 2) x and y.

    The longer side of its box is ``side`` pixels.
    """
    angles = 2 * np.pi * (rng.random() + np.arange(corner_count) / corner_count)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    longer_side = np.ptp(corners, axis=0).max()
    corners = (corners - corners.min(axis=0)) * ((side - 1) / longer_side)

    height, width = size
    free_space = np.array([width, height]) - 1 - corners.max(axis=0)
    return corners + rng.uniform(0, free_space)


def _box_of(outline: np.ndarray) -> np.ndarray:
    """Return the box around a polygon: (1, 4) float32, ``x1 y1 x2 y2``."""
    corners = np.concatenate([outline.min(axis=0), outline.max(axis=0)])
    return corners.astype(np.float32)[None]


def _paint(
    rng: np.random.Generator, size: Tuple[int, int], shapes: List[Shape]
) -> Tuple[Image.Image, np.ndarray]:
    """Paint the shapes in their order on a background of soft blobs, and add noise.

    Returns the image, and (H, W) uint8 with the number of the visible shape at each pixel:
    0 for the background, 1 for the first shape.
    """
    height, width = size
    low, high = BACKGROUND_LEVELS
    blobs = rng.integers(low, high, (*BACKGROUND_BLOBS, 3), dtype=np.uint8)
    picture = Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC)
    visible_shape = Image.new("L", (width, height))
    for number, shape in enumerate(shapes, start=1):
        corners = [tuple(corner) for corner in shape.outline.round().astype(int).tolist()]
        ImageDraw.Draw(picture).polygon(corners, fill=shape.color)
        ImageDraw.Draw(visible_shape).polygon(corners, fill=number)
    noisy = np.asarray(picture) + rng.normal(0, NOISE_DEVIATION, (height, width, 3))
    pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels), np.asarray(visible_shape)


def _describe_mask(mask: np.ndarray) -> Dict[str, Any]:
    """Describe an (H, W) bool mask, which is not empty, as the fields of a COCO annotation."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    x = int(columns[0])
    y = int(rows[0])
    width = int(columns[-1]) + 1 - x
    height = int(rows[-1]) + 1 - y
    return {
        "bbox": [x, y, width, height],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": {"size": list(mask.shape), "counts": _run_lengths(mask)},
    }


def _run_lengths(mask: np.ndarray) -> List[int]:
    """Count COCO's run lengths of a mask: column by column, beginning with background."""
    pixels = mask.T.reshape(-1)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    edges = np.concatenate([[0], changes, [pixels.size]])
    counts = np.diff(edges).tolist()
    return [0, *counts] if pixels[0] else counts
