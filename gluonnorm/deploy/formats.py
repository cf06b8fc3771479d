"""The formats of exported files, and the types in which networks compute."""

#: The types in which exported networks compute.
DTYPES = ("float32", "bfloat16", "int8")
#: The formats of exported files, and the types that each has.
FORMATS = {
    "mxnet": DTYPES,
    "onnx": ("float32", "int8"),
    "openvino": DTYPES,
}
