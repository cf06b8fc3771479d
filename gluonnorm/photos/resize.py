"""Pictures at another size, with the arithmetic of the codebase a model comes from.

What ``short``, ``rounding``, ``resize``, ... mean is written at ``types.Preprocess``.
"""
import math
from typing import Tuple

from gluonnorm.types import RESIZES, ROUNDINGS

import mxnet as mx
import numpy as np
from PIL import Image

BILINEAR = 1  # of mx.image.imresize, which is OpenCV's


def resize_size(height: int, width: int, short: int, max_size: int, rounding: str = "nearest") -> Tuple[int, int]:
    """Height and width after resizing: the shorter side ``short``, unless the longer would exceed ``max_size``.

    At least 1 pixel each. The arithmetic is that of Detectron2 ("nearest"), GluonCV and Detectron ("even") and
    torchvision ("floor"), in double precision, whose last bit decides whether 800 * 334 / 334 is 800 or 799.

    >>> [resize_size(500, 400, 602, 1000, rounding) for rounding in ("nearest", "even", "floor")]
    [(753, 602), (752, 602), (752, 602)]
    >>> [resize_size(334, 501, 800, 1333, rounding) for rounding in ("nearest", "even", "floor")]
    [(800, 1200), (800, 1200), (799, 1200)]
    """
    low, high = min(height, width), max(height, width)
    if rounding == "nearest":
        sides = [short if side == low else short / low * side for side in (height, width)]
        if max(sides) > max_size:
            cap = max_size / max(sides)
            sides = [side * cap for side in sides]
        sizes = [int(side + 0.5) for side in sides]
    elif rounding == "even":
        scale = short / low if round(short / low * high) <= max_size else max_size / high
        sizes = [round(side * scale) for side in (height, width)]  # Python, too, rounds halves to even
    elif rounding == "floor":
        scale = min(short / low, max_size / high)
        sizes = [math.floor(side * scale) for side in (height, width)]
    else:
        raise ValueError(f"rounding is {rounding!r}; give one of {', '.join(ROUNDINGS)}")
    return max(1, sizes[0]), max(1, sizes[1])


def resize(image: np.ndarray, height: int, width: int, method: str) -> np.ndarray:
    """A picture at another size: (H, W, 3) uint8 or float32 -> (height, width, 3).

    ``method`` is one of ``types.RESIZES``. "pixel" and "antialias" give bytes for bytes; float32 pictures are resized
    by the same geometry and not rounded (Detectron2 does not antialias those). "float" gives float32, unless the size
    stays: then every method returns ``image`` itself.
    """
    if method not in RESIZES:
        raise ValueError(f"method is {method!r}; give one of {', '.join(RESIZES)}")
    if image.shape[:2] == (height, width):
        return image
    if method == "antialias":
        if image.dtype == np.uint8:
            return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        channels = [Image.fromarray(channel) for channel in image.transpose(2, 0, 1)]
        channels = [channel.resize((width, height), Image.Resampling.BILINEAR) for channel in channels]
        return np.stack([np.asarray(channel) for channel in channels], axis=2)
    if method == "pixel" and image.dtype == np.uint8:
        pixels = mx.nd.array(image, ctx=mx.cpu(), dtype="uint8")  # whatever the context of the caller
        return mx.image.imresize(pixels, width, height, interp=BILINEAR).asnumpy()
    return _bilinear(image.astype(np.float32, copy=False), height, width)


def _bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) float32 -> (height, width, 3) float32, with the arithmetic of torch's ``interpolate``."""
    low, high, weights = _neighbours(image.shape[1], width)
    rows = image.take(low, axis=1)
    rows *= 1 - weights[:, None]
    part = image.take(high, axis=1)
    part *= weights[:, None]
    rows += part
    result, row = np.empty((height, width, 3), np.float32), np.empty((width, 3), np.float32)
    for i, (above, below, weight) in enumerate(zip(*_neighbours(image.shape[0], height))):  # a row stays in the cache
        np.multiply(rows[above], 1 - weight, out=result[i])
        np.multiply(rows[below], weight, out=row)
        result[i] += row
    return result


def _neighbours(before: int, after: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of ``after`` places: the two of ``before`` it lies between, and the second's weight, float32."""
    scale = float(np.float32(before) / np.float32(after))
    # a fused multiply-add: float32 in and out, exact between
    places = np.maximum((scale * (np.arange(after) + 0.5) - 0.5).astype(np.float32), 0)
    low = np.minimum(places.astype(np.intp), before - 1)
    return low, np.minimum(low + 1, before - 1), np.clip(places - low, 0, 1).astype(np.float32)
