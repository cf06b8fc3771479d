"""Boxes inside the graph: x1 y1 x2 y2 in pixels, no "+1"; ``photos.boxes`` has them on NumPy arrays."""
from typing import Any, Tuple

from gluonnorm.types import Tensor


def split_coordinates(F: Any, boxes: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """(..., 4) into four (..., 1)."""
    x1, y1, x2, y2 = (F.slice_axis(boxes, axis=-1, begin=i, end=i + 1) for i in range(4))
    return x1, y1, x2, y2


def box_area(F: Any, boxes: Tensor) -> Tensor:
    """(..., 4) to (..., 1); an inverted box has area 0."""
    x1, y1, x2, y2 = split_coordinates(F, boxes)
    return F.maximum(x2 - x1, 0) * F.maximum(y2 - y1, 0)


def box_iou(F: Any, boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of every pair within an image: (B or 1, N, 4) and (B, G, 4) to (B, N, G), in 0..1.

    Boxes without area (padding among them) have IoU 0 with everything.
    """
    left = F.expand_dims(boxes, axis=2)
    right = F.expand_dims(others, axis=1)
    ax1, ay1, ax2, ay2 = (c.squeeze(axis=-1) for c in split_coordinates(F, left))
    bx1, by1, bx2, by2 = (c.squeeze(axis=-1) for c in split_coordinates(F, right))
    width = F.maximum(F.broadcast_minimum(ax2, bx2) - F.broadcast_maximum(ax1, bx1), 0)
    height = F.maximum(F.broadcast_minimum(ay2, by2) - F.broadcast_maximum(ay1, by1), 0)
    overlap = width * height
    areas = F.broadcast_add(box_area(F, left).squeeze(axis=-1), box_area(F, right).squeeze(axis=-1))
    return overlap / F.maximum(areas - overlap, 1e-9)


def clip_boxes(F: Any, boxes: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Move corners outside an image onto its border; ``height`` and ``width`` broadcast to one coordinate (..., 1)."""
    x1, y1, x2, y2 = (F.maximum(c, 0) for c in split_coordinates(F, boxes))
    return F.concat(F.broadcast_minimum(x1, width), F.broadcast_minimum(y1, height),
                    F.broadcast_minimum(x2, width), F.broadcast_minimum(y2, height), dim=-1)


def image_extent(F: Any, images: Tensor) -> Tuple[Tensor, Tensor]:
    """Height and width of (B, 3, H, W) as tensors of shape (1,), so that a traced graph keeps them free."""
    height = F.max(F.contrib.arange_like(images, axis=2)) + 1
    width = F.max(F.contrib.arange_like(images, axis=3)) + 1
    return height, width
