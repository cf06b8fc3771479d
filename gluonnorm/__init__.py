"""Two-stage object detection on MXNet Gluon, in which normalization is a choice.

Importing this package is light: it only prepares the process for MXNet (see ``_runtime``).
Import the rooms you need: ``gluonnorm.nn``, ``gluonnorm.data``, and so on.
"""
from gluonnorm import _runtime

__version__ = "0.1.0"

_runtime.prepare()
