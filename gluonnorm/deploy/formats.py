"""The formats of exported files, and the types in which networks compute."""

DTYPES = ("float32", "bfloat16", "int8")
# The types that each format has.
FORMATS = {
    "mxnet": DTYPES,
    "onnx": ("float32", "int8"),
    "openvino": DTYPES,
}
