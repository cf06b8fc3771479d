"""Arithmetic without parameters; ``per_class_nms`` is the part that serves other detectors too."""
from gluonnorm.ops.nms import per_class_nms

__all__ = ["per_class_nms"]
