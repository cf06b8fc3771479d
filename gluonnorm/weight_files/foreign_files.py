"""Recognize common files that are no weights, or weights that this package does not read."""

import os
from typing import List, Optional

from gluonnorm.errors import first_few

PICKLED_TENSOR = "a tensor written with pickle.dump; load the file in PyTorch and torch.save it"
# The beginning of the name of a pickled class -> what it is.
PROGRAMS = (
    ("ultralytics.", "YOLO of Ultralytics, a one-stage detector, which this package does not have"),
    ("models.yolo.", "YOLO, a one-stage detector, which this package does not have"),
    ("models.experimental.", "YOLO, a one-stage detector, which this package does not have"),
    ("torch._utils._rebuild_tensor_v2", PICKLED_TENSOR),
    ("torch._utils._rebuild_parameter", PICKLED_TENSOR),
)
# The function with which PyTorch makes a tensor -> what the tensor is, and what to do.
TENSOR_KINDS = {
    "torch._utils._rebuild_qtensor": "quantized; dequantize() it",
    "torch._utils._rebuild_tensor_v3": "of a type such as float8 or uint16; save it as float32",
    "torch._utils._rebuild_sparse_tensor": "sparse; save it as to_dense()",
    "torch._utils._rebuild_meta_tensor_no_storage": "without values, on the device meta",
}
WEIGHT_ENDINGS = (
    ".params",
    ".npz",
    ".pth",
    ".pt",
    ".pkl",
    ".safetensors",
    ".ckpt",
    ".bin",
    ".h5",
    ".onnx",
)
COMPRESSED = (
    (b"\x1f\x8b", "compressed with gzip; gunzip it"),
    (b"BZh", "compressed with bzip2; bunzip2 it"),
    (b"\xfd7zXZ\0", "compressed with xz; unxz it"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unzstd it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and give the file of weights in it"),
    (b"Rar!", "a RAR archive; unpack it and give the file of weights in it"),
)
NO_READER = "which this package does not read"
BEGINNINGS = (
    *COMPRESSED,
    (b"version https://git-lfs", "a pointer of git-lfs, not the file; run git lfs pull"),
    (b"/annex/objects/", "a pointer of git-annex, not the file; run git annex get"),
    (b"\x93NUMPY", "a single array without names; save with numpy.savez"),
    (
        b"\x89HDF",
        f"an HDF5 file (Keras or Caffe), {NO_READER}; export a network of one of the sources",
    ),
    (b"%PDF", "a PDF document, not weights"),
    (b"\x89PNG", "a picture, not weights"),
    (b"\xff\xd8\xff", "a picture, not weights"),
    (b"\x1bLua", f"a Lua program, {NO_READER}"),
)
# The first fields of ONNX: the version of its format, 3 to 12, and the name of the producer.
ONNX_BEGINNINGS = tuple(bytes([8, version, 18]) for version in range(3, 13))
TENSORFLOW = f"a TensorFlow model, {NO_READER}; convert weights of one of the sources"
ONNX = f"an ONNX graph, {NO_READER}; give the file of weights that it was exported from"
ENDINGS = (
    (".onnx", ONNX),
    (".pb", TENSORFLOW),
    (".index", f"an index of a TensorFlow checkpoint, {NO_READER}"),
    (".meta", f"a graph of a TensorFlow checkpoint, {NO_READER}"),
    (".caffemodel", f"a Caffe model, {NO_READER}"),
    (".tflite", f"a TensorFlow Lite model, {NO_READER}"),
    (".weights", f"weights of Darknet (YOLO), {NO_READER}"),
    (".engine", f"a TensorRT engine, {NO_READER}"),
    (".mar", f"an archive of TorchServe, {NO_READER}; unpack it and give the .pth in it"),
)
TAR = (
    "a tar archive (PyTorch before 0.1.10, or packed); unpack it, or load and save it again with a "
    "later PyTorch"
)
SHOWN_FILES = 3
LONGEST_NAME = 60  # letters of a name or of a line in a message


def describe_program(class_name: str) -> str:
    """Tell what a pickled object of a program is, and what to do.

    Parameters
    ----------
    class_name : str
        The class of the object, with its module.

    Returns
    -------
    str
        The continuation of an error message.

    Examples
    --------
    >>> describe_program("torch.nn.modules.container.Sequential")
    ' (a complete network, whose code is not run here)'
    """
    for beginning, description in PROGRAMS:
        if class_name.startswith(beginning):
            return f" ({description})"
    return " (a complete network, whose code is not run here)"


def describe_file(path: str, head: bytes) -> Optional[str]:
    """Recognize a file that no reader takes.

    Parameters
    ----------
    path : str
        The file.
    head : bytes
        Its first 512 bytes.

    Returns
    -------
    str or None
        What the file is, and what to do; None for an unknown file.
    """
    for beginning, description in BEGINNINGS:
        if head.startswith(beginning):
            return description
    if head[257:262] == b"ustar":
        return TAR
    if head[4:8] == b"TFL3":
        return f"a TensorFlow Lite model, {NO_READER}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        return "a page of HTML or XML, not weights; fetch the file behind the link"
    if text.startswith((b"{", b"[")):
        return _describe_json(path, text)
    if not head.strip(b"\0"):
        return "begins with zeros alone, so it was never written to the end; fetch it again"
    if head.startswith(ONNX_BEGINNINGS):
        return ONNX
    for ending, description in ENDINGS:
        if path.lower().endswith(ending):
            return description
    # Pickles of protocol 0 are text as well.
    if _is_text(head) and not path.endswith((".pkl", ".pickle")):
        line = head.decode("ascii").strip().splitlines()[0][:LONGEST_NAME]
        return f"a text ({line!r}), not weights; fetch the file again"
    return None


def describe_folder(path: str) -> str:
    """Tell what a folder is that was given in place of a file.

    Parameters
    ----------
    path : str
        The folder.

    Returns
    -------
    str
        What it is, and what to do.
    """
    names = sorted(os.listdir(path))
    if "saved_model.pb" in names:
        return f"is a folder of TensorFlow (SavedModel), {NO_READER}"
    if "data.pkl" in names and "data" in names:
        return (
            "is the unpacked folder of a .pth file; zip the folder again without compression "
            "(zip -0 -r weights.pth FOLDER)"
        )
    weights = [name for name in names if name.endswith(WEIGHT_ENDINGS)]
    found = f"it has {_shown(weights)}" if weights else "it has no files of weights"
    return f"is a folder, not a file of weights; give a file in it ({found})"


def describe_archive(names: List[str]) -> str:
    """Tell what a zip is that is neither an .npz nor PyTorch's.

    Parameters
    ----------
    names : list of str
        The names of its members.

    Returns
    -------
    str
        What it is, and what to do.
    """
    if any(name.endswith("model.weights.h5") for name in names):
        return f"a model of Keras, {NO_READER}"
    if any(name.startswith("MAR-INF/") for name in names):
        return f"an archive of TorchServe, {NO_READER}; unpack it and give the .pth in it"
    weights = [name for name in names if name.endswith(WEIGHT_ENDINGS)]
    if weights:
        return f"a zip around {_shown(weights)}; unpack it and give that file"
    return f"a zip, but not of weights (it has {_shown(names)}); give the file of weights itself"


def _describe_json(path: str, text: bytes) -> str:
    """Tell what a file of JSON is."""
    if b'"weight_map"' in text or path.endswith(".index.json"):
        return (
            "an index of weights that are split into several .safetensors or .bin files; join them "
            "into one file"
        )
    if b'"nodes"' in text:
        return "a graph of MXNet; give the .params file beside it"
    if path.endswith(".json"):
        return "a description in JSON, not weights; give the file of weights beside it"
    return "a text in JSON, not weights; fetch the file again"


def _is_text(head: bytes) -> bool:
    """Whether the beginning of a file is plain ASCII text."""
    printable = bytes(range(32, 127)) + b"\t\r\n"
    return bool(head.strip()) and not head.translate(None, printable)


def _shown(names: List[str]) -> str:
    """List the first names of files on one line."""
    printable = [name if name.isprintable() else repr(name) for name in names]
    return first_few([name[:LONGEST_NAME] for name in printable], SHOWN_FILES)
