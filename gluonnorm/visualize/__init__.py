"""Drawing of detections on a photo, and of photos in a grid: arrays in, arrays out."""

from gluonnorm.visualize.drawing import draw
from gluonnorm.visualize.image_grid import grid
from gluonnorm.visualize.lettering import open_font

__all__ = ["draw", "grid", "open_font"]
