"""Areas, overlaps and clipping of boxes inside the graph.

A box is x1, y1, x2, y2 in pixels, and ``x2 - x1`` is its width. ``gluonnorm.photos.boxes`` has the
same functions for NumPy arrays.
"""

from typing import Any, Tuple

from gluonnorm.types import Tensor

# The union of two boxes of padding is 0, and 0 / 0 would make their IoU NaN. With this many square
# pixels as the smallest denominator it is 0.
LEAST_UNION = 1e-9


def split_coordinates(F: Any, boxes: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """Split boxes into their four coordinates.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    boxes : Tensor
        (..., 4).

    Returns
    -------
    tuple of Tensor
        The four columns in their order, (..., 1) each.
    """
    first = F.slice_axis(boxes, axis=-1, begin=0, end=1)
    second = F.slice_axis(boxes, axis=-1, begin=1, end=2)
    third = F.slice_axis(boxes, axis=-1, begin=2, end=3)
    fourth = F.slice_axis(boxes, axis=-1, begin=3, end=4)
    return first, second, third, fourth


def flat_coordinates(F: Any, boxes: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """Split boxes into their four coordinates, without a last axis of length 1.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    boxes : Tensor
        (..., 4).

    Returns
    -------
    tuple of Tensor
        The four columns in their order, (...) each.
    """
    first, second, third, fourth = split_coordinates(F, boxes)
    return (
        first.squeeze(axis=-1),
        second.squeeze(axis=-1),
        third.squeeze(axis=-1),
        fourth.squeeze(axis=-1),
    )


def box_area(F: Any, boxes: Tensor) -> Tensor:
    """Compute the area of each box.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    boxes : Tensor
        (..., 4) in pixels.

    Returns
    -------
    Tensor
        (..., 1) in square pixels. A box whose corners are in the wrong order has area 0.

    Examples
    --------
    >>> import mxnet as mx
    >>> box_area(mx.nd, mx.nd.array([[0, 0, 4, 5], [3, 3, 1, 9]])).asnumpy().tolist()
    [[20.0], [0.0]]
    """
    x1, y1, x2, y2 = split_coordinates(F, boxes)
    width = F.maximum(x2 - x1, 0)
    height = F.maximum(y2 - y1, 0)
    return width * height


def box_iou(F: Any, boxes: Tensor, other_boxes: Tensor) -> Tensor:
    """Compute the intersection over union (IoU) of every pair of boxes of an image.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    boxes : Tensor
        (B, N, 4) in pixels, or (1, N, 4) if all images share these boxes.
    other_boxes : Tensor
        (B, G, 4) in pixels.

    Returns
    -------
    Tensor
        (B, N, G) in 0..1. A box without area, such as padding, has an IoU of 0 with every box.
    """
    rows = F.expand_dims(boxes, axis=2)
    columns = F.expand_dims(other_boxes, axis=1)
    x1, y1, x2, y2 = flat_coordinates(F, rows)
    other_x1, other_y1, other_x2, other_y2 = flat_coordinates(F, columns)
    right = F.broadcast_minimum(x2, other_x2)
    left = F.broadcast_maximum(x1, other_x1)
    width = F.maximum(right - left, 0)
    bottom = F.broadcast_minimum(y2, other_y2)
    top = F.broadcast_maximum(y1, other_y1)
    height = F.maximum(bottom - top, 0)
    intersection = width * height
    area = box_area(F, rows).squeeze(axis=-1)
    other_area = box_area(F, columns).squeeze(axis=-1)
    sum_of_areas = F.broadcast_add(area, other_area)
    return intersection / F.maximum(sum_of_areas - intersection, LEAST_UNION)


def clip_boxes(F: Any, boxes: Tensor, extent: Tuple[Tensor, Tensor], offset: float = 0.0) -> Tensor:
    """Move the corners of boxes that are outside an image onto its border.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    boxes : Tensor
        (..., 4) in pixels.
    extent : tuple of Tensor
        Height and width of the image in pixels, as :func:`image_extent` measures them; they
        broadcast to (..., 1).
    offset : float
        1 if a box's far corner is its last pixel (Detectron), else 0.

    Returns
    -------
    Tensor
        (..., 4).
    """
    height, width = extent
    last_y = height - offset
    last_x = width - offset
    x1, y1, x2, y2 = split_coordinates(F, boxes)
    x1 = F.maximum(x1, 0)
    y1 = F.maximum(y1, 0)
    x2 = F.maximum(x2, 0)
    y2 = F.maximum(y2, 0)
    x1 = F.broadcast_minimum(x1, last_x)
    y1 = F.broadcast_minimum(y1, last_y)
    x2 = F.broadcast_minimum(x2, last_x)
    y2 = F.broadcast_minimum(y2, last_y)
    return F.concat(x1, y1, x2, y2, dim=-1)


def image_extent(F: Any, images: Tensor) -> Tuple[Tensor, Tensor]:
    """Measure height and width of images inside the graph.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    images : Tensor
        (B, C, H, W), images or feature maps.

    Returns
    -------
    height, width : Tensor
        H and W as tensors of shape (1,), float32.
    """
    # A symbol of MXNet 1.9.1 has no shape. The lengths are counted by operators, so a traced graph
    # accepts images of every size.
    height = F.max(F.contrib.arange_like(images, axis=2)) + 1
    width = F.max(F.contrib.arange_like(images, axis=3)) + 1
    return height, width
