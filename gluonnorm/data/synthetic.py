"""A drawn data set of coloured shapes with boxes and masks: for tests, the demo, and trying a training run."""
import colorsys
import json
import os
from typing import Any, Dict, List, NamedTuple, Tuple

from gluonnorm.data.labeled_image import PathLike
from gluonnorm.photos.boxes import box_iou

import numpy as np
from PIL import Image, ImageDraw

CORNERS = {"circle": 48, "square": 4, "triangle": 3}  # every shape is a regular polygon; its name is its class
HUES = {"circle": 0.0, "square": 1 / 3, "triangle": 2 / 3}  # reds, greens, blues: shape and colour agree
HUE_SPREAD = 0.12
SIDES = (24, 80)  # of the smallest and largest object, pixels
MAX_OBJECTS = 5
MAX_IOU = 0.15  # of two objects' boxes
JPEG_QUALITY = 92


class Shape(NamedTuple):
    """One object to draw."""
    name: str
    outline: np.ndarray  # (V, 2) x, y of the polygon's corners
    colour: Tuple[int, int, int]


def draw_shapes(root: PathLike, train: int = 200, val: int = 40, size: Tuple[int, int] = (128, 160),
                seed: int = 0) -> None:
    """Write a COCO-format data set of reddish circles, greenish squares and bluish triangles on noisy ground.

    ``train`` and ``val`` images of ``size`` (height, width) go to ``root``/train and ``root``/val as JPEG, their boxes
    and masks (uncompressed RLE of the visible part) to ``root``/annotations/instances_train.json and
    instances_val.json. An image has up to 5 objects of 24 to 80 pixels that overlap a little; the last image of a
    split of two or more has none. The same arguments draw the same pictures.

    Raises ValueError for a ``size`` in which an object of 24 pixels has no room, and for a split without images.
    """
    if min(size) < 2 * SIDES[0]:
        raise ValueError(f"size is {size}; want at least {2 * SIDES[0]} pixels each way")
    if min(train, val) < 1:
        raise ValueError(f"train is {train} and val is {val}; want at least one image each")
    os.makedirs(os.path.join(root, "annotations"), exist_ok=True)
    for part, (split, count) in enumerate((("train", train), ("val", val))):
        os.makedirs(os.path.join(root, split), exist_ok=True)
        content: Dict[str, Any] = {
            "info": {"description": "coloured shapes", "seed": seed}, "images": [], "annotations": [],
            "categories": [{"id": number, "name": name} for number, name in enumerate(CORNERS, start=1)],
        }
        for index in range(count):
            rng = np.random.default_rng((seed, part, index))
            empty = index > 0 and index == count - 1
            shapes = [] if empty else _place(rng, size)
            image, owner = _paint(rng, size, shapes)
            name = f"{index:06d}.jpg"
            image.save(os.path.join(root, split, name), quality=JPEG_QUALITY)
            content["images"].append({"id": index + 1, "file_name": name, "height": size[0], "width": size[1]})
            for number, shape in enumerate(shapes, start=1):
                content["annotations"].append({
                    "id": len(content["annotations"]) + 1, "image_id": index + 1,
                    "category_id": list(CORNERS).index(shape.name) + 1, **_describe(owner == number)})
        with open(os.path.join(root, "annotations", f"instances_{split}.json"), "w", encoding="utf-8") as file:
            json.dump(content, file)


def _place(rng: np.random.Generator, size: Tuple[int, int]) -> List[Shape]:
    """1 to 5 shapes, the largest first, so that none is hidden by a larger one."""
    largest = min(SIDES[1], 5 * min(size) // 8)
    sides = sorted(rng.integers(SIDES[0], largest + 1, size=rng.integers(1, MAX_OBJECTS + 1)), reverse=True)
    shapes: List[Shape] = []
    boxes = np.zeros((0, 4), np.float32)
    for side in sides:
        name = list(CORNERS)[rng.integers(len(CORNERS))]
        hue, saturation, value = rng.uniform((-HUE_SPREAD, 0.6, 0.6), (HUE_SPREAD, 1, 1))
        red, green, blue = (int(255 * part) for part in colorsys.hsv_to_rgb((HUES[name] + hue) % 1, saturation, value))
        for _ in range(20):  # tries to find room; a crowded image gets fewer objects
            outline = _outline(rng, CORNERS[name], int(side), size)
            box = np.concatenate([outline.min(0), outline.max(0)]).astype(np.float32)[None]
            if not (box_iou(box, boxes) > MAX_IOU).any():
                shapes.append(Shape(name, outline, (red, green, blue)))
                boxes = np.concatenate([boxes, box])
                break
    return shapes


def _outline(rng: np.random.Generator, corners: int, side: int, size: Tuple[int, int]) -> np.ndarray:
    """A regular polygon, turned at random, its longer extent ``side``, somewhere inside the image."""
    angles = 2 * np.pi * (rng.random() + np.arange(corners) / corners)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = (points - points.min(0)) * ((side - 1) / np.ptp(points, axis=0).max())
    room = np.array([size[1], size[0]]) - 1 - points.max(0)
    return points + rng.uniform(0, room)


def _paint(rng: np.random.Generator, size: Tuple[int, int], shapes: List[Shape]) -> Tuple[Image.Image, np.ndarray]:
    """The picture, and (H, W) the number of the shape seen at each pixel: 0 the ground, 1 the first shape."""
    height, width = size
    blobs = Image.fromarray(rng.integers(70, 190, (5, 6, 3), dtype=np.uint8))
    picture = blobs.resize((width, height), Image.Resampling.BICUBIC)
    owner = Image.new("L", (width, height))
    for number, shape in enumerate(shapes, start=1):
        points = [tuple(point) for point in shape.outline.round().astype(int).tolist()]
        ImageDraw.Draw(picture).polygon(points, fill=shape.colour)
        ImageDraw.Draw(owner).polygon(points, fill=number)
    pixels = np.asarray(picture) + rng.normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), np.asarray(owner)


def _describe(mask: np.ndarray) -> Dict[str, Any]:
    """What a COCO annotation says about an (H, W) bool mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    flat = mask.T.reshape(-1)  # COCO counts runs down the columns, beginning with a run of background
    edges = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    counts = ([0] if flat[0] else []) + np.diff(edges).tolist()
    return {"bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y], "area": int(mask.sum()), "iscrowd": 0,
            "segmentation": {"size": list(mask.shape), "counts": counts}}
