"""Converters of layers: convolutions, fully connected layers, pooling, padding, enlarging."""

from typing import Dict, Tuple

from gluonnorm.deploy.onnx.converter import Converter, Operation
from gluonnorm.deploy.onnx.onnx_graph import Attribute, OnnxGraph

import numpy as np


def _window(operation: Operation) -> Dict[str, Attribute]:
    """Read kernel, stride and padding of a convolution or a pooling."""
    kernel = operation.integers("kernel")
    padding = operation.integers("pad", (0,) * len(kernel))
    return {
        "kernel_shape": kernel,
        "strides": operation.integers("stride", (1,) * len(kernel)),
        "pads": (*padding, *padding),
    }


def _convolution(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Convolution."""
    num_axes = len(operation.integers("kernel"))
    return graph.add(
        "Conv",
        *operation.inputs,
        **_window(operation),
        dilations=operation.integers("dilate", (1,) * num_axes),
        group=int(operation.number("num_group", 1)),
    )


def _deconvolution(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Deconvolution."""
    num_axes = len(operation.integers("kernel"))
    return graph.add(
        "ConvTranspose",
        *operation.inputs,
        **_window(operation),
        dilations=operation.integers("dilate", (1,) * num_axes),
        output_padding=operation.integers("adj", (0,) * num_axes),
        group=int(operation.number("num_group", 1)),
    )


def _fully_connected(graph: OnnxGraph, operation: Operation) -> str:
    """Convert FullyConnected."""
    data, weight, *bias = operation.inputs
    if operation.node.flag("flatten", True):
        if operation.rank != 2:
            data = graph.add("Flatten", data, axis=1)
        return graph.add("Gemm", data, weight, *bias, transB=1)
    product = graph.add("MatMul", data, graph.add("Transpose", weight, perm=(1, 0)))
    return graph.add("Add", product, *bias) if bias else product


def _pooling(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Pooling of a window, or of the complete map."""
    kind = operation.text("pool_type", "max")
    if kind not in ("max", "avg"):
        raise operation.refuse(f"its pool_type is {kind!r}")
    data = operation.data
    if operation.node.flag("global_pool"):
        return graph.add("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", data)
    attributes = _window(operation)
    rounds_up = _rounds_up(operation)
    if rounds_up:
        attributes["ceil_mode"] = 1
    if kind == "max":
        return graph.add("MaxPool", data, **attributes)
    counts_padding = operation.node.flag("count_include_pad", True)
    padding = operation.integers("pad")
    if rounds_up and counts_padding and any(padding):
        # A window that reaches beyond the padding has fewer cells. MXNet and onnxruntime divide its
        # sum by their number, OpenVINO 2026 by another one. All three agree on a map that has the
        # padding as cells of its own.
        amounts = graph.integers(0, 0, *padding, 0, 0, *padding)
        data = graph.add("Pad", data, amounts, graph.number(0), mode="constant")
        attributes["pads"] = (0,) * 2 * len(padding)
        counts_padding = False
    return graph.add("AveragePool", data, count_include_pad=int(counts_padding), **attributes)


def _rounds_up(operation: Operation) -> bool:
    """Tell whether a pooling has a last window that reaches beyond the map."""
    convention = operation.text("pooling_convention", "valid")
    if convention not in ("valid", "full"):
        raise operation.refuse(f"its pooling_convention is {convention!r}")
    if convention == "valid":
        return False
    kernel = operation.integers("kernel")
    strides = operation.integers("stride", (1,) * len(kernel))
    padding = operation.integers("pad", (0,) * len(kernel))
    for size, stride, pad in zip(kernel, strides, padding):
        # The last window of MXNet may then start behind the map. ONNX has no such window.
        if stride > size - pad:
            raise operation.refuse("its pooling_convention is 'full', with a stride that skips")
    return True


def _adaptive_pooling(graph: OnnxGraph, operation: Operation) -> str:
    """Convert AdaptiveAvgPooling2D to one cell."""
    if any(size != 1 for size in operation.integers("output_size")):
        raise operation.refuse(f"its output_size is {operation.text('output_size', '')}")
    return graph.add("GlobalAveragePool", operation.data)


def _batch_norm(graph: OnnxGraph, operation: Operation) -> str:
    """Convert BatchNorm over axis 1 with stored statistics."""
    data, gamma, beta, mean, variance = operation.inputs
    if operation.node.flag("fix_gamma", True):
        ones = graph.add("Shape", gamma)
        gamma = graph.add("ConstantOfShape", ones, value=np.ones(1, np.float32))
    epsilon = operation.number("eps", 1e-3)
    return graph.add("BatchNormalization", data, gamma, beta, mean, variance, epsilon=epsilon)


def _padding(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Pad."""
    before, after = _pad_widths(operation)
    amounts = graph.integers(*before, *after)
    mode = operation.text("mode", "constant")
    if mode == "constant":
        color = graph.number(operation.number("constant_value", 0))
        return graph.add("Pad", operation.data, amounts, color, mode=mode)
    return graph.add("Pad", operation.data, amounts, mode=mode)


def _pad_widths(operation: Operation) -> Tuple[Tuple[int, ...], Tuple[int, ...]]:
    """Read how many cells are added before and after each axis."""
    widths = operation.integers("pad_width")
    return widths[::2], widths[1::2]


def _up_sampling(graph: OnnxGraph, operation: Operation) -> str:
    """Convert UpSampling of one input to the nearest cell."""
    if len(operation.inputs) != 1:
        raise operation.refuse(f"it has {len(operation.inputs)} inputs")
    (scale,) = operation.integers("scale")
    scales = graph.constant(np.array([1, 1, scale, scale], np.float32))
    return graph.add(
        "Resize",
        operation.data,
        "",
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


CONVERTERS: Dict[str, Converter] = {
    "BatchNorm": Converter(
        _batch_norm,
        ("fix_gamma", "eps", "momentum", "use_global_stats"),
        requires={"axis": "1", "output_mean_var": "False"},
    ),
    "Convolution": Converter(
        _convolution,
        ("kernel", "stride", "pad", "dilate", "num_group", "num_filter", "no_bias"),
        requires={"layout": "NCHW"},
    ),
    "Deconvolution": Converter(
        _deconvolution,
        ("kernel", "stride", "pad", "dilate", "adj", "num_group", "num_filter", "no_bias"),
        requires={"layout": "NCHW"},
    ),
    "FullyConnected": Converter(_fully_connected, ("flatten", "num_hidden", "no_bias")),
    "Pad": Converter(_padding, ("mode", "pad_width", "constant_value")),
    "Pooling": Converter(
        _pooling,
        (
            "kernel",
            "stride",
            "pad",
            "pool_type",
            "global_pool",
            "pooling_convention",
            "count_include_pad",
        ),
        requires={"layout": "NCHW"},
    ),
    "UpSampling": Converter(
        _up_sampling, ("scale",), requires={"sample_type": "nearest", "num_filter": "0"}
    ),
    "_contrib_AdaptiveAvgPooling2D": Converter(_adaptive_pooling, ("output_size",)),
    # The devices are synchronized in training alone.
    "_contrib_SyncBatchNorm": Converter(
        _batch_norm,
        ("fix_gamma", "eps", "momentum", "use_global_stats", "ndev", "key"),
        requires={"output_mean_var": "False"},
    ),
}
