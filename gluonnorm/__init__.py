"""Two-stage object detection on MXNet Gluon, in which normalization is a choice.

Importing this package is light: it only prepares the process for MXNet. Import it before MXNet, and
then the rooms that you need: ``gluonnorm.nn``, ``gluonnorm.data``, and so on. ``python -m
gluonnorm`` prints what a bug report needs."""

from gluonnorm import _runtime, job_watch

__version__ = "0.2.0.dev0"

_runtime.prepare()
job_watch.watch_servers()
