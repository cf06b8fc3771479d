"""The function that writes ONNX files, loaded when a file is written.

The package ``onnx`` is optional, so nothing may import it when this package is imported.
"""

from typing import Callable

from gluonnorm.deploy.bundle import DeployError
from gluonnorm.late_import import import_late

MODEL_FILE = "gluonnorm.deploy.onnx.model_file"

# ``model_file.model_bytes``.
ModelWriter = Callable[..., bytes]


def load_writer() -> ModelWriter:
    """Load the function that writes an ONNX graph as the content of a file.

    Returns
    -------
    callable
        ``model_file.model_bytes``.

    Raises
    ------
    DeployError
        The package ``onnx`` is missing, or cannot be imported beside other packages.
    """
    module = import_late(
        MODEL_FILE,
        DeployError,
        "ONNX files are written with the package onnx",
        "install it with pip install 'gluonnorm[onnx]'",
    )
    return module.model_bytes
