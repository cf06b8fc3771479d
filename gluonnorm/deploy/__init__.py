"""Deployment: exporting a network to files that run without this package, and predicting photos.

``export`` and ``load`` work on networks of MXNet. They are imported when they are asked for, so
that a ``Predictor`` of an ONNX file needs no MXNet.
"""

from typing import TYPE_CHECKING, Any

from gluonnorm.deploy.bundle import DeployError
from gluonnorm.deploy.formats import DTYPES, FORMATS
from gluonnorm.deploy.predictor import Predictor
from gluonnorm.late_import import import_late

__all__ = ["DTYPES", "FORMATS", "DeployError", "Predictor", "export", "load"]

if TYPE_CHECKING:
    from gluonnorm.deploy.exported_block import load
    from gluonnorm.deploy.exporting import export
else:
    FILES_WITH_MXNET = {
        "export": "gluonnorm.deploy.exporting",
        "load": "gluonnorm.deploy.exported_block",
    }

    def __getattr__(name: str) -> Any:
        """Import a function of this room that needs MXNet."""
        if name not in FILES_WITH_MXNET:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_late(
            FILES_WITH_MXNET[name],
            DeployError,
            f"gluonnorm.deploy.{name} needs MXNet",
            "install it with pip install 'gluonnorm[cpu]'",
        )
        return getattr(module, name)
