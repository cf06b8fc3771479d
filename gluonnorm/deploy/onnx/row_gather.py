"""Rows that are selected in each image by their indices: ``ops.select.gather``.

MXNet's gather_nd takes the number of the image beside each index, so a graph of MXNet counts the
images and stacks these numbers on the indices. ONNX's GatherND treats the images as a batch.
"""

from typing import Optional

from gluonnorm.deploy.onnx.onnx_graph import INT64, OnnxGraph
from gluonnorm.graph.nodes import Edge, Node

ARANGE_LIKE = "_contrib_arange_like"


def gathered_rows(node: Node) -> Optional[Edge]:
    """Find the indices (B, k) of rows of each image that a gather_nd reads.

    Parameters
    ----------
    node : Node
        An operator of MXNet.

    Returns
    -------
    (Node, int) or None
        The indices; None if the operator does anything else.
    """
    if node.op != "gather_nd":
        return None
    stack, _ = node.inputs[1]
    if stack.op != "stack" or len(stack.inputs) != 2 or stack.numbers("axis") not in ((), (0,)):
        return None
    (image, _), indices = stack.inputs
    return indices if _is_image_number(image, indices) else None


def _is_image_number(node: Node, indices: Edge) -> bool:
    """Tell whether a node gives the number of the image for each of the indices (B, k)."""
    if node.op != "broadcast_like" or node.inputs[1] != indices:
        return False
    column, _ = node.inputs[0]
    if column.op != "Reshape" or column.numbers("shape") != (-1, 1):
        return False
    count, _ = column.inputs[0]
    counts_images = count.op == ARANGE_LIKE and count.numbers("axis") == (0,)
    return counts_images and count.inputs[0] == indices


def convert_row_gather(graph: OnnxGraph, data: str, indices: str) -> str:
    """Convert the selection of rows of each image.

    Parameters
    ----------
    graph : OnnxGraph
        The graph to which the operators are added.
    data, indices : str
        The names of the rows (B, N, ...) and of the indices (B, k), float32.

    Returns
    -------
    str
        The name of the selected rows, (B, k, ...).
    """
    places = graph.cast(indices, INT64)
    places = graph.add("Unsqueeze", places, graph.integers(2))
    return graph.add("GatherND", data, places, batch_dims=1)
