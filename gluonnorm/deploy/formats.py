"""The formats of exported files, and the types in which networks compute."""

DTYPES = ("float32", "bfloat16", "int8")
FORMATS = ("mxnet", "onnx")
