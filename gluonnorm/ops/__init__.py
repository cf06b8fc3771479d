"""Arithmetic on boxes, scores and masks, as functions without parameters.

Each function takes MXNet's ``F`` first: ``mxnet.ndarray`` computes at once, ``mxnet.symbol``
builds a graph. :func:`per_class_nms` does not depend on the detectors of this package and serves
others too.
"""

from gluonnorm.ops.nms import per_class_nms

__all__ = ["per_class_nms"]
