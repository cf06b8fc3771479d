"""The function that writes ONNX files, loaded when a file is written.

The package ``onnx`` is optional, so nothing may import it when this package is imported. This is
the only module that loads another one by its name.
"""

import importlib
from typing import Callable

from gluonnorm.deploy.bundle import DeployError
from gluonnorm.errors import first_line

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
    try:
        return importlib.import_module(MODEL_FILE).model_bytes
    except ImportError as error:
        raise DeployError(
            f"ONNX files are written with the package onnx ({first_line(error)}); install it with "
            "pip install 'gluonnorm[onnx]'"
        ) from error
