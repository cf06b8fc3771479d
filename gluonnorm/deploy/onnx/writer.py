"""The functions that write ONNX files and make other files of them, loaded when they are needed.

They need packages that are optional, so nothing may import them when this package is imported.
"""

from typing import Callable, Dict, NamedTuple, Tuple

from gluonnorm.deploy.bundle import DeployError
from gluonnorm.late_import import import_late

MODEL_FILE = "gluonnorm.deploy.onnx.model_file"

# ``model_file.model_bytes``.
ModelWriter = Callable[..., bytes]
# ``make_files`` of ``openvino_files`` and the others.
FileMaker = Callable[..., Dict[str, bytes]]


class _MakerModule(NamedTuple):
    """Where files are made of an ONNX file in float32, and with what.

    Attributes
    ----------
    module : str
        The module that has the function ``make_files``.
    package : str
        The package that it imports.
    extra : str
        The extra of this package that installs that.
    """

    module: str
    package: str
    extra: str


# By format and type.
MAKERS: Dict[Tuple[str, str], _MakerModule] = {
    ("onnx", "int8"): _MakerModule("gluonnorm.deploy.onnx.int8_onnx", "onnxruntime", "onnx"),
    ("openvino", "float32"): _MakerModule(
        "gluonnorm.deploy.onnx.openvino_files", "openvino", "openvino"
    ),
    ("openvino", "bfloat16"): _MakerModule(
        "gluonnorm.deploy.onnx.openvino_files", "openvino", "openvino"
    ),
    ("openvino", "int8"): _MakerModule(
        "gluonnorm.deploy.onnx.int8_openvino", "nncf", "openvino-int8"
    ),
}


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


def load_maker(format: str, dtype: str) -> FileMaker:
    """Load the function that makes the files of a format and a type of an ONNX file in float32.

    Parameters
    ----------
    format : str
        ``"onnx"`` or ``"openvino"``.
    dtype : str
        One of its types, see ``formats.FORMATS``.

    Returns
    -------
    callable
        Takes the content of the file, the type, the names of the nodes that compute in it, and
        images for calibration; returns the contents of files by the keys of their checksums.

    Raises
    ------
    DeployError
        A package is missing, or cannot be imported beside other packages.
    """
    if (format, dtype) not in MAKERS:
        return lambda content, *further: {format: content}
    maker = MAKERS[format, dtype]
    module = import_late(
        maker.module,
        DeployError,
        f"format {format!r} in {dtype} is written with the package {maker.package}",
        f"install it with pip install 'gluonnorm[{maker.extra}]'",
    )
    return module.make_files
