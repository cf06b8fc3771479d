"""RoIAlign from the levels of a pyramid: each RoI is read from the map of its level alone.

MXNet has no operator that selects a number of rows that is known only while the graph runs. So
``rcnn.roi_align`` reads every RoI on every level: those of other levels are moved outside the
image, where they read zeros, and the results are added up. ONNX can select rows. This file finds
such sums in a graph of MXNet, and converts each of them as a whole.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence

from gluonnorm.deploy.onnx.detection import add_roi_align
from gluonnorm.deploy.onnx.onnx_graph import INT64, OnnxGraph
from gluonnorm.graph.nodes import Edge, Graph, Node

ROI_ALIGN = "_contrib_ROIAlign"
NUM_CORNERS = 4


class LevelRead(NamedTuple):
    """A RoIAlign that reads only the RoIs of one level.

    Attributes
    ----------
    roi_align : Node
        The operator.
    level : float
        The number of the level.
    level_of_roi : (Node, int)
        The level of each RoI, (B, R, 1).
    image : (Node, int)
        The image of each RoI, (B, R, 1).
    corners : list of (Node, int)
        x1, y1, x2 and y2 of each RoI before those of other levels are moved, (B, R, 1) each.
    """

    roi_align: Node
    level: float
    level_of_roi: Edge
    image: Edge
    corners: List[Edge]

    @property
    def rois(self) -> List[Edge]:
        """What is the same for all levels."""
        return [self.level_of_roi, self.image, *self.corners]


def find_pyramid_reads(graph: Graph) -> Dict[int, List[LevelRead]]:
    """Find the sums of RoIAligns in which each RoI is read from one level.

    Parameters
    ----------
    graph : Graph
        A graph of MXNet.

    Returns
    -------
    dict of int to list of LevelRead
        The parts of each sum, by the ``id`` of the node that adds the last one.
    """
    reads_by_sum: Dict[int, List[LevelRead]] = {}
    for node in graph.nodes():
        if node.op != "elemwise_add":
            continue
        # The sum of the first levels is the first operand, and was found before.
        first, second = (source for source, _ in node.inputs)
        reads = reads_by_sum.get(id(first)) or _as_list(_level_read(first))
        last = _level_read(second)
        if reads and last and _continues(reads, last):
            reads_by_sum[id(node)] = [*reads, last]
    complete = {}
    for number, reads in reads_by_sum.items():
        if _has_all_levels(reads):
            complete[number] = reads
    return complete


def _as_list(read: Optional[LevelRead]) -> List[LevelRead]:
    """Return a list of what was found."""
    return [] if read is None else [read]


def _continues(reads: Sequence[LevelRead], next_read: LevelRead) -> bool:
    """Tell whether a read is that of the next level: only the level and its map differ."""
    settings = []
    for read in (reads[-1], next_read):
        attributes = dict(read.roi_align.attrs)
        attributes.pop("spatial_scale", None)
        settings.append(attributes)
    same_rois = reads[-1].rois == next_read.rois
    return same_rois and settings[0] == settings[1] and next_read.level == reads[-1].level + 1


def _has_all_levels(reads: Sequence[LevelRead]) -> bool:
    """Tell whether every RoI is of one of the levels, because their numbers are clipped."""
    node, _ = reads[0].level_of_roi
    if node.op != "clip":
        return False
    limits = (float(node.attrs["a_min"]), float(node.attrs["a_max"]))
    return limits == (reads[0].level, reads[-1].level)


def _level_read(node: Node) -> Optional[LevelRead]:
    """Recognize a RoIAlign whose RoIs of other levels were moved outside; None if it is not one.

    Its RoIs are a reshaped concatenation of the image and four moved corners.
    """
    if node.op != ROI_ALIGN:
        return None
    columns = _concatenated(node.inputs[1][0])
    if len(columns) != 1 + NUM_CORNERS:
        return None
    image, *moved_corners = columns
    corners = []
    masks = []
    for moved_corner, _ in moved_corners:
        product = _first_input(moved_corner, "elemwise_add")
        if product is None or product.op != "elemwise_mul":
            return None
        corner, (mask, _) = product.inputs
        corners.append(corner)
        masks.append(mask)
    (mask, *others) = masks
    if mask.op != "_equal_scalar" or any(other is not mask for other in others):
        return None
    level = float(mask.attrs["scalar"])
    return LevelRead(node, level, mask.inputs[0], image, corners)


def _concatenated(rows: Node) -> Sequence[Edge]:
    """List the columns of rows that a reshape has made of a concatenation; [] if none has."""
    concatenation = _first_input(rows, "Reshape")
    if concatenation is None or concatenation.op != "Concat":
        return []
    return concatenation.inputs


def _first_input(node: Node, operator: str) -> Optional[Node]:
    """Return the first input of a node, or None if the node is another operator."""
    return node.inputs[0][0] if node.op == operator else None


def convert_pyramid_read(
    graph: OnnxGraph, reads: Sequence[LevelRead], names: Dict[Edge, str]
) -> str:
    """Convert a sum of RoIAligns to one RoIAlign for each level, which reads its RoIs alone.

    Parameters
    ----------
    graph : OnnxGraph
        The graph to which the operators are added.
    reads : list of LevelRead
        The parts of the sum.
    names : dict of (Node, int) to str
        The names of values in the ONNX graph.

    Returns
    -------
    str
        The name of the features of all RoIs.
    """
    common = reads[0]
    flat = graph.integers(-1)
    level_of_roi = graph.add("Reshape", names[common.level_of_roi], flat)
    images = graph.add("Reshape", names[common.image], flat)
    images = graph.cast(images, INT64)
    columns = [names[corner] for corner in common.corners]
    corners = graph.add("Concat", *columns, axis=2)
    corners = graph.add("Reshape", corners, graph.integers(-1, NUM_CORNERS))

    parts = []
    places = []
    for read in reads:
        is_here = _is_of_level(graph, level_of_roi, read.level, is_last=read is reads[-1])
        here = graph.add("Squeeze", graph.add("NonZero", is_here), graph.integers(0))
        part = add_roi_align(
            graph,
            read.roi_align,
            names[read.roi_align.inputs[0]],
            graph.add("Gather", corners, here, axis=0),
            graph.add("Gather", images, here, axis=0),
        )
        parts.append(part)
        places.append(here)
    features_by_level = graph.add("Concat", *parts, axis=0)
    place_by_level = graph.add("Concat", *places, axis=0)
    # Sorting the places gives where each RoI is in the order of the levels.
    _, order = graph.add_several(
        2, "TopK", place_by_level, graph.length(images, 0), axis=0, largest=0
    )
    return graph.add("Gather", features_by_level, order, axis=0)


def _is_of_level(graph: OnnxGraph, level_of_roi: str, level: float, is_last: bool) -> str:
    """Compare the levels of all RoIs with a level."""
    number = graph.number(level)
    if is_last:
        # NaN is of no level. Every RoI has to be read once, so the last level takes it.
        return graph.add("Not", graph.add("Less", level_of_roi, number))
    return graph.add("Equal", level_of_roi, number)
