"""Converters of the operators of detectors: RoIAlign and non-maximum suppression (NMS)."""

from typing import Dict, NamedTuple

from gluonnorm.deploy.onnx.converter import Converter, Operation
from gluonnorm.deploy.onnx.onnx_graph import INT64, OnnxGraph
from gluonnorm.graph.nodes import Node

import numpy as np

PADDING = -1  # the value of every column of a row that box_nms drops


def _roi_align(graph: OnnxGraph, operation: Operation) -> str:
    """Convert ROIAlign; a row of RoIs is an image number and four corners."""
    feature, rois = operation.inputs
    image = graph.add("Gather", rois, graph.integer(0), axis=1)
    corners = graph.add(
        "Slice",
        rois,
        graph.integers(1),
        graph.integers(5),
        graph.integers(1),
    )
    return add_roi_align(graph, operation.node, feature, corners, graph.cast(image, INT64))


def add_roi_align(graph: OnnxGraph, node: Node, feature: str, corners: str, image: str) -> str:
    """Add a RoiAlign with the attributes of a ROIAlign of MXNet.

    Parameters
    ----------
    graph : OnnxGraph
        The graph to which the operator is added.
    node : Node
        The operator of MXNet.
    feature, corners, image : str
        The names of the maps (B, C, h, w), of the corners (N, 4) in pixels, and of the image
        number of each RoI (N,), int64.

    Returns
    -------
    str
        The name of the features, (N, C, height, width).
    """
    height, width = node.numbers("pooled_size")
    spatial_scale = float(node.attrs.get("spatial_scale", 1))
    sample_ratio = int(node.attrs.get("sample_ratio", -1))
    return graph.add(
        "RoiAlign",
        feature,
        corners,
        image,
        output_height=height,
        output_width=width,
        spatial_scale=spatial_scale,
        # MXNet adapts the number of samples for every number below 1, ONNX for 0.
        sampling_ratio=max(0, sample_ratio),
        coordinate_transformation_mode=(
            "half_pixel" if node.flag("aligned") else "output_half_pixel"
        ),
    )


class _Columns(NamedTuple):
    """Where a row of box_nms has its class (-1 without one), its score and its first corner."""

    class_id: int
    score: int
    corner: int


def _box_nms(graph: OnnxGraph, operation: Operation) -> str:
    """Convert box_nms.

    MXNet returns all rows, those that are kept first, best first, and the others as -1. ONNX
    returns which rows are kept, in an order of its own.
    """
    data = operation.data
    rows = data
    if operation.rank != 3:
        last_axes = graph.length(data, operation.rank - 2, operation.rank - 1)
        rows = graph.add(
            "Reshape", data, graph.add("Concat", graph.integers(-1), last_axes, axis=0)
        )
    columns = _Columns(
        class_id=int(operation.number("id_index", -1)),
        score=int(operation.number("score_index", 1)),
        corner=int(operation.number("coord_start", 2)),
    )
    threshold = operation.number("valid_thresh", 0)
    scores = _column(graph, rows, columns.score)
    planes = _score_planes(graph, operation, rows, columns, scores, threshold)
    kept = graph.add(
        "NonMaxSuppression",
        _boxes(graph, rows, columns.corner),
        planes,
        graph.length(rows, 1),
        graph.constant(np.array([operation.number("overlap_thresh", 0.5)], np.float32)),
        graph.constant(np.array([threshold], np.float32)),
    )
    sorted_rows = _kept_rows_first(graph, rows, scores, kept, threshold)
    if operation.rank != 3:
        return graph.add("Reshape", sorted_rows, graph.add("Shape", data))
    return sorted_rows


def _score_planes(
    graph: OnnxGraph,
    operation: Operation,
    rows: str,
    columns: _Columns,
    scores: str,
    threshold: float,
) -> str:
    """Write the scores (B, K) once for each class, (B, C, K), at most ``threshold`` elsewhere.

    Boxes of different planes do not suppress each other. A number that is added to the boxes of a
    class would separate classes as well, but takes digits from the coordinates.
    """
    one_plane = graph.add("Unsqueeze", scores, graph.integers(1))
    if columns.class_id < 0:
        return one_plane
    ids = graph.add("Unsqueeze", _column(graph, rows, columns.class_id), graph.integers(1))
    ids = graph.cast(ids, INT64)
    if operation.node.flag("force_suppress"):
        background = graph.integer(PADDING)
        is_candidate = graph.add("Not", graph.add("Equal", ids, background))
    else:
        # The classes that occur are counted while the graph runs.
        last_class = graph.add("ReduceMax", ids, keepdims=0)
        num_classes = graph.add("Add", last_class, graph.integer(1))
        num_planes = graph.add("Max", num_classes, graph.integers(1))
        classes = graph.add("Unsqueeze", graph.count_to(num_planes), graph.integers(1))
        is_candidate = graph.add("Equal", ids, classes)
    return graph.add("Where", is_candidate, one_plane, graph.number(threshold))


def _boxes(graph: OnnxGraph, rows: str, corner: int) -> str:
    """Take the boxes (B, K, 4) of rows.

    ONNX sorts the corners of a box. In MXNet a box whose corners are in the wrong order overlaps
    nothing, and neither does a box without width and height.
    """
    axis = graph.integers(2)
    near = graph.add("Slice", rows, graph.integers(corner), graph.integers(corner + 2), axis)
    far = graph.add("Slice", rows, graph.integers(corner + 2), graph.integers(corner + 4), axis)
    return graph.add("Concat", near, graph.add("Max", near, far), axis=2)


def _kept_rows_first(graph: OnnxGraph, rows: str, scores: str, kept: str, threshold: float) -> str:
    """Sort the kept rows to the front by their score, and fill the others with -1.

    ``kept`` has a row (image, class, row) for each row that is kept.
    """
    places = graph.add("Gather", kept, graph.integers(0, 2), axis=1)
    nothing_kept = graph.add(
        "ConstantOfShape", graph.add("Shape", scores), value=np.array([threshold], np.float32)
    )
    kept_scores = graph.add(
        "ScatterND", nothing_kept, places, graph.add("GatherND", scores, places)
    )
    # A kept score is above the threshold. Equal scores stay in their order, as in MXNet.
    sorted_scores, order = graph.add_several(
        2, "TopK", kept_scores, graph.length(scores, 1), axis=1
    )
    sorted_rows = graph.add(
        "GatherND", rows, graph.add("Unsqueeze", order, graph.integers(2)), batch_dims=1
    )
    is_kept = graph.add("Greater", sorted_scores, graph.number(threshold))
    is_kept = graph.add("Unsqueeze", is_kept, graph.integers(2))
    return graph.add("Where", is_kept, sorted_rows, graph.number(PADDING))


def _column(graph: OnnxGraph, rows: str, index: int) -> str:
    """Take a column (B, K) of rows (B, K, c)."""
    return graph.add("Gather", rows, graph.integer(index), axis=2)


CONVERTERS: Dict[str, Converter] = {
    "_contrib_ROIAlign": Converter(
        _roi_align,
        ("pooled_size", "spatial_scale", "sample_ratio", "aligned"),
        requires={"position_sensitive": "False"},
    ),
    "_contrib_box_nms": Converter(
        _box_nms,
        (
            "overlap_thresh",
            "valid_thresh",
            "coord_start",
            "score_index",
            "id_index",
            "force_suppress",
        ),
        requires={
            "topk": "-1",
            "background_id": "-1",
            "in_format": "corner",
            "out_format": "corner",
        },
    ),
}
