"""What MXNet 1.9.1 runs safely and fast on a GPU: the operators and attributes of exported graphs.

Every row has its reason, from MXNet's sources. An operator or attribute that has no row is a
problem, because nobody has looked at it. Nothing here was run on a GPU.

Example: all detectors of the catalogue, which takes long, or those that are named
  PYTHONPATH=tests python -m gpu_operators mask_rcnn_R_50_C4_1x
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple, Union

from gluonnorm.deploy import export
from model_zoo import get_model
from model_zoo.catalogue import MODELS

Rule = Union[None, Tuple[str, ...], Callable[[str], bool]]

ANY = None  # an attribute whose value makes no difference
NCHW = ("None", "NCHW")
IS_ZERO = ("0", "(0, 0)", "()")


class Row(NamedTuple):
    """Operators that are safe and fast for one reason.

    Attributes
    ----------
    reason : str
        Why, or what the rules of the attributes prevent.
    operators : tuple of str
        Their names in a graph.
    attributes : dict of str to rule
        The attributes that they may have: with any value, with one of some, or with one for which
        a function returns True.
    """

    reason: str
    operators: Tuple[str, ...]
    attributes: Dict[str, Rule]


ROWS = (
    Row("holds a weight or the input", ("null",), {}),
    Row(
        "cuDNN. In float32, NCHW is its fast layout. With cudnn_off the kernel is slow",
        ("Convolution", "Deconvolution"),
        {
            **dict.fromkeys(("kernel", "stride", "dilate", "pad", "num_filter"), ANY),
            **dict.fromkeys(("num_group", "no_bias"), ANY),
            "adj": IS_ZERO,
            "layout": NCHW,
        },
    ),
    Row(
        "cuDNN, which has no sums and no Lp",
        ("Pooling",),
        {
            **dict.fromkeys(("kernel", "stride", "pad", "global_pool"), ANY),
            **dict.fromkeys(("pooling_convention", "count_include_pad"), ANY),
            "pool_type": ("max", "avg"),
            "layout": NCHW,
        },
    ),
    Row("cuBLAS", ("FullyConnected",), {"num_hidden": ANY, "no_bias": ANY, "flatten": ANY}),
    Row(
        "cuBLAS in batches. It needs contiguous rows, so axis is left out",
        ("_linalg_gemm2",),
        {"transpose_a": ANY, "transpose_b": ANY, "alpha": ANY},
    ),
    Row("one thread for each entry of the diagonal", ("_linalg_extractdiag",), {}),
    Row("cuDNN for these types, which are one pass", ("Activation",), {"act_type": ("relu",)}),
    Row(
        "one pass, which MXNet's pointwise fusion joins with its neighbors",
        (
            *("_div_scalar", "_minus_scalar", "_mul_scalar", "_plus_scalar", "_rminus_scalar"),
            *("_maximum_scalar", "_minimum_scalar", "_power_scalar", "_rdiv_scalar"),
            *("_equal_scalar", "_not_equal_scalar", "_greater_scalar", "_greater_equal_scalar"),
            *("_lesser_scalar", "_lesser_equal_scalar"),
            *("_logical_and_scalar", "_logical_or_scalar"),
        ),
        {"scalar": ANY, "is_int": ANY},
    ),
    Row(
        "one pass, which MXNet's pointwise fusion joins with its neighbors",
        (
            *("_maximum", "_minimum", "elemwise_add", "elemwise_sub", "elemwise_mul"),
            *("elemwise_div", "exp", "floor", "ceil", "log2", "rsqrt", "sqrt", "square"),
            *("sigmoid", "softsign", "relu", "where", "abs", "negative"),
        ),
        {},
    ),
    Row("one pass", ("clip",), {"a_min": ANY, "a_max": ANY}),
    Row(
        "one pass. float16 has too few digits for boxes, and MXNet has no bfloat16 on GPUs",
        ("Cast",),
        {"dtype": ("float32", "int32", "int64")},
    ),
    Row(
        "one pass that reads the smaller array again and again",
        (
            *("broadcast_add", "broadcast_sub", "broadcast_mul", "broadcast_div"),
            *("broadcast_minimum", "broadcast_maximum", "broadcast_equal"),
            *("broadcast_greater", "broadcast_lesser", "broadcast_lesser_equal"),
            *("broadcast_greater_equal", "broadcast_logical_and"),
        ),
        {},
    ),
    Row(
        "copies in one kernel",
        ("broadcast_like", "reshape_like", "slice_like"),
        {
            **dict.fromkeys(("axes", "lhs_axes", "rhs_axes"), ANY),
            **dict.fromkeys(("lhs_begin", "lhs_end", "rhs_begin", "rhs_end"), ANY),
        },
    ),
    Row("no work: the array has another shape", ("Reshape", "Flatten"), {"shape": ANY}),
    Row("no work: the array has another shape", ("expand_dims", "squeeze"), {"axis": ANY}),
    Row("copies in one kernel", ("transpose",), {"axes": ANY}),
    Row("copies in one kernel", ("SwapAxis",), {"dim1": ANY, "dim2": ANY}),
    Row(
        "a block of threads for each map",
        ("_contrib_AdaptiveAvgPooling2D",),
        {"output_size": ANY},
    ),
    Row("copies in one kernel", ("slice",), {"begin": ANY, "end": ANY, "step": ANY}),
    Row("copies in one kernel", ("slice_axis",), {"axis": ANY, "begin": ANY, "end": ANY}),
    Row("copies in one kernel", ("Concat", "stack"), {"dim": ANY, "axis": ANY, "num_args": ANY}),
    Row(
        "copies in one kernel",
        ("SliceChannel",),
        {"axis": ANY, "num_outputs": ANY, "squeeze_axis": ANY},
    ),
    Row("copies in one kernel", ("repeat",), {"axis": ANY, "repeats": ANY}),
    Row(
        "copies in one kernel, which is for images of four axes; the other modes are as fast",
        ("Pad",),
        {"mode": ("edge", "constant"), "constant_value": ANY, "pad_width": ANY},
    ),
    Row(
        "copies in one kernel; bilinear is a transposed convolution with weights of its own",
        ("UpSampling",),
        {"scale": ANY, "num_args": ANY, "sample_type": ("nearest",)},
    ),
    Row(
        "one thread for each number",
        ("_contrib_index_array", "_contrib_arange_like"),
        dict.fromkeys(("axes", "axis", "start", "step"), ANY),
    ),
    Row("one thread for each number", ("zeros_like", "ones_like"), {}),
    Row(
        "one thread for each number. mode raise would wait for the GPU at every call",
        ("take",),
        {"axis": ANY, "mode": ("clip", "wrap")},
    ),
    Row("one thread for each number", ("gather_nd",), {}),
    Row(
        "a reduction with threads of its own for each output",
        ("sum", "mean", "max", "min"),
        {"axis": ANY, "keepdims": ANY},
    ),
    Row(
        "fast for the last axis. ResNeSt has axis 1, of the two numbers of each pooled channel",
        ("softmax",),
        {"axis": ("-1", "1")},
    ),
    Row("fast for the last axis alone", ("LayerNorm",), {"axis": ("-1",), "eps": ANY}),
    Row(
        "a radix sort of each row; an array of indices in place of values costs a copy",
        ("topk",),
        {"axis": ANY, "k": ANY, "ret_typ": ("both", "indices"), "is_ascend": ANY, "dtype": ANY},
    ),
    Row(
        "a kernel for 512 boxes at a time where nothing reads the second output. It drops negative "
        "scores, so scores are probabilities and the threshold only drops padding of -1. Rows of "
        "more than 20 numbers overflow its shared memory: these are a class, a score and a box",
        ("_contrib_box_nms",),
        {
            **dict.fromkeys(("overlap_thresh", "force_suppress"), ANY),
            "valid_thresh": lambda value: -1 < float(value) <= 1,
            "topk": ("-1",),
            "coord_start": ("1", "2"),
            "score_index": ("0", "1"),
            "id_index": ("-1", "0"),
            "background_id": ("-1",),
            "in_format": ("corner",),
            "out_format": ("corner",),
        },
    ),
    Row(
        "one thread for each number. A scale above 1 is refused, and position_sensitive is for "
        "other networks",
        ("_contrib_ROIAlign",),
        {
            **dict.fromkeys(("pooled_size", "sample_ratio", "aligned"), ANY),
            "spatial_scale": lambda value: 0 < float(value) <= 1,
            "position_sensitive": ("False", "0"),
        },
    ),
)
# Why some operators have no row, for the message of a test that fails.
REFUSED = {
    "BatchNorm": "with use_global_stats it takes MXNet's own kernel, half as fast as cuDNN's, and "
    "with axis 3 200 times slower; fold it into the convolution",
    "_contrib_BatchNormWithReLU": "it has a kernel for the CPU alone",
    "_contrib_SyncBatchNorm": "it wants to know how many GPUs there are",
    "GroupNorm": "it has no fused kernel, and a scale for each group in place of each channel",
    "InstanceNorm": "it has no fused kernel",
    "_contrib_boolean_mask": "its shape is known only at the end, so the graph loses its buffers",
    "_contrib_bipartite_matching": "one thread for each image",
    "_contrib_RROIAlign": "it has a kernel for the CPU alone",
    "_contrib_quantize_v2": "int8 is for the CPU",
    "_sg_mkldnn_conv": "it is for the CPU",
}


def problems(graph: Dict[str, List[dict]]) -> List[str]:
    """Compare a graph with the table.

    Parameters
    ----------
    graph : dict
        The content of a ``-symbol.json`` file.

    Returns
    -------
    list of str
        A text for each operator or attribute that has no row, or a value that has none.
    """
    rows = {operator: row for row in ROWS for operator in row.operators}
    texts: Dict[str, None] = {}
    for node in graph["nodes"]:
        operator = node["op"]
        row = rows.get(operator)
        if row is None:
            texts[f"{operator}: {REFUSED.get(operator, 'no row')}"] = None
            continue
        for name, value in node.get("attrs", {}).items():
            if operator == "null" or name.startswith("__"):
                continue
            if name not in row.attributes:
                texts[f"{operator}: no row for its attribute {name}={value}"] = None
            elif not _is_right(row.attributes[name], value):
                texts[f"{operator}: {name}={value}; {row.reason}"] = None
    return list(texts)


def _is_right(rule: Rule, value: str) -> bool:
    """Whether the value of an attribute keeps its rule."""
    if rule is ANY:
        return True
    return rule(value) if callable(rule) else value in rule


def read_graph(prefix: str) -> Dict[str, List[dict]]:
    """Read the graph of an export."""
    return json.loads(Path(f"{prefix}-symbol.json").read_text(encoding="utf-8"))


def main(names: Sequence[str]) -> None:
    """Print a line for each detector; none means all."""
    for name in names or sorted(MODELS):
        classes = None if MODELS[name].classes else ("one", "two", "three")
        with tempfile.TemporaryDirectory() as folder:
            prefix = str(Path(folder, "net"))
            export(get_model(name, classes=classes), prefix)
            print(f"{name:45} {'; '.join(problems(read_graph(prefix))) or 'as the table'}")


if __name__ == "__main__":
    main(sys.argv[1:])
