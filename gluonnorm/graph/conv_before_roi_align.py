"""Move 1x1 convolutions from the cells of all RoIs to the map that RoIAlign reads.

In a detector without a pyramid (C4), the box head begins with a residual block. Its first
convolution and that of its shortcut are 1x1, and read every cell of every RoI. A cell is a weighted
sum of positions of the map, so such a convolution may as well come before the sum. The map has some
thousand positions, and the RoIs have a hundred times as many cells.

A bias is added after RoIAlign. There the sum's weights do not matter, which are less than 1 for a
cell that is partly outside of the map. So the moved convolution is right for every RoI.
"""

from typing import Dict, List, NamedTuple, Optional, Tuple

from gluonnorm.graph.nodes import Constants, Edge, Graph, Node, attach
from gluonnorm.graph.norm_after_conv import convolution_channels, has_bias
from gluonnorm.graph.output_layers import ROI_ALIGN
from gluonnorm.graph.roi_cells import RoISampling, read_cells
from gluonnorm.graph.trace import Values

import mxnet as mx


class _Branch(NamedTuple):
    """A 1x1 convolution of the RoIs' cells, perhaps of their averages.

    Attributes
    ----------
    layer : Node
        The convolution.
    window : int
        Cells on a side that an average pooling in front of it joins to one.
    stride : int
        Stride of the convolution, in averages.
    """

    layer: Node
    window: int
    stride: int


def convolve_before_roi_align(
    symbol: mx.sym.Symbol, values: Values, dtype: str = "float32"
) -> Tuple[mx.sym.Symbol, Values]:
    """Let 1x1 convolutions of RoIs read the map instead, where that is faster.

    A RoIAlign is changed if nothing but 1x1 convolutions reads its result, some of them after an
    average pooling. Every convolution then has a RoIAlign of its own, of the cells that it reads.
    In a ResNet v2 there is a relu in between, which does not commute with a sum, so its graph
    remains as it is.

    A convolution that widens the map lets RoIAlign sample more channels. It moves in float32 only:
    in the other number types, its multiplications take less time than the samples.

    A map has some thousand positions and a RoI 196 cells. With less than some twenty RoIs, the
    graph is as right, but slower.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        The graph of a detector, with its norms folded.
    values : dict of str to mxnet.ndarray.NDArray
        Values of its variables by name.
    dtype : str
        What the graph's layers will compute in: "float32", "bfloat16" or "int8". The convolutions
        that move remain float32 in all of them (``output_layers.float32_layers``).

    Returns
    -------
    symbol : mxnet.symbol.Symbol
        A new graph of the same function.
    values : dict of str to mxnet.ndarray.NDArray
        New values of its variables.
    """
    graph = Graph.read(symbol)
    mover = _Mover(graph, values, may_widen=dtype == "float32")
    for node in graph.nodes():
        if node.op == ROI_ALIGN:
            mover.change(node)
    changed = graph.symbol()
    all_values = {**values, **mover.constants.values}
    inputs = changed.list_inputs()
    return changed, {name: all_values[name] for name in inputs if name in all_values}


class _Mover:
    """Move convolutions of a graph in place; ``constants`` gains arrays of biases."""

    def __init__(self, graph: Graph, values: Values, may_widen: bool) -> None:
        self.graph = graph
        self.values = values
        self._may_widen = may_widen
        # A map is convolved once, also if the RoIs of boxes and those of masks are read from it.
        self._maps: Dict[Tuple[int, int, str], Node] = {}
        self.constants = Constants()

    def change(self, roi_align: Node) -> None:
        """Change the convolutions that read a RoIAlign, if all of its readers are such."""
        if not _is_plain(roi_align):
            return
        readers = self.graph.readers()
        branches = []
        for reader in readers[id(roi_align)]:
            branch = self._match_branch(roi_align, reader, readers)
            if branch is None:
                return
            branches.append(branch)
        for branch in branches:
            sampling = _sampling(roi_align, branch)
            if self._is_faster_before(branch.layer):
                self._convolve_map(roi_align, branch, sampling)
            elif sampling.step > 1:
                self._skip_unread_cells(roi_align, branch, sampling)

    def _match_branch(
        self, roi_align: Node, reader: Node, readers: Dict[int, List[Node]]
    ) -> Optional[_Branch]:
        """Recognize a 1x1 convolution of RoIs' cells; None if the reader is something else."""
        layer = reader
        window = 1
        if reader.op == "Pooling":
            window = _window(roi_align, reader)
            own_readers = readers[id(reader)]
            if not window or len(own_readers) != 1:
                return None
            layer = own_readers[0]
        if layer.op != "Convolution" or layer.attrs.get("num_group", "1") != "1":
            return None
        is_constant = all(variable.name in self.values for variable, _ in layer.inputs[1:])
        strides = layer.numbers("stride") or (1, 1)
        if not is_constant or layer.numbers("kernel") != (1, 1) or any(layer.numbers("pad")):
            return None
        return _Branch(layer, window, strides[0]) if strides[0] == strides[1] else None

    def _is_faster_before(self, layer: Node) -> bool:
        """Tell whether a convolution takes less time on the map."""
        out_channels, in_channels = convolution_channels(layer, self.values)
        return out_channels <= in_channels or self._may_widen

    def _skip_unread_cells(self, roi_align: Node, branch: _Branch, sampling: RoISampling) -> None:
        """Sample only the cells that a convolution reads, which keeps its place."""
        layer = branch.layer
        _, in_channels = convolution_channels(layer, self.values)
        layer.inputs[0] = _sample(layer.name, roi_align, roi_align.inputs[0], sampling, in_channels)
        layer.attrs["stride"] = "(1, 1)"

    def _convolve_map(self, roi_align: Node, branch: _Branch, sampling: RoISampling) -> None:
        """Replace a convolution of RoIs by one of the map, and add its bias after RoIAlign."""
        layer = branch.layer
        out_channels, _ = convolution_channels(layer, self.values)
        convolved = (self._convolved_map(roi_align, layer), 0)
        sampled, _ = _sample(layer.name, roi_align, convolved, sampling, out_channels)
        if has_bias(layer):
            bias = layer.inputs[2][0].name
            shape = (1, -1, 1, 1)
            shift = self.constants.variable(f"{bias}_of_cells", self.values[bias].reshape(shape))
            sampled = Node("broadcast_add", layer.name, {}, [(sampled, 0), (shift, 0)])
        self.graph.replace(layer, sampled)

    def _convolved_map(self, roi_align: Node, layer: Node) -> Node:
        """Return the convolution of RoIAlign's map, without a bias."""
        features, output = roi_align.inputs[0]
        weight = layer.inputs[1]
        key = (id(features), output, weight[0].name)
        if key not in self._maps:
            attrs = {**layer.attrs, "stride": "(1, 1)", "no_bias": "True"}
            inputs = [(features, output), weight]
            self._maps[key] = Node("Convolution", f"{layer.name}_of_map", attrs, inputs)
        return self._maps[key]


def _is_plain(roi_align: Node) -> bool:
    """Tell whether a RoIAlign has a square grid, of cells that all read the same channels."""
    height, width = roi_align.numbers("pooled_size")
    return height == width and not roi_align.flag("position_sensitive")


def _window(roi_align: Node, pooling: Node) -> int:
    """Return the side of an average pooling that divides the cells evenly; 0 for another one."""
    sides = {*pooling.numbers("kernel"), *pooling.numbers("stride")}
    grid, _ = roi_align.numbers("pooled_size")
    is_average = pooling.attrs.get("pool_type") == "avg" and not pooling.flag("global_pool")
    if not is_average or len(sides) != 1 or any(pooling.numbers("pad")):
        return 0
    side = sides.pop()
    # The number of samples in a window is that of its cells only if it is fixed.
    has_fixed_samples = _sample_ratio(roi_align) > 0
    return side if grid % side == 0 and has_fixed_samples else 0


def _sample_ratio(roi_align: Node) -> int:
    """Return a RoIAlign's samples in a cell along each axis; 0 if they adapt to the RoI."""
    return max(0, int(roi_align.attrs.get("sample_ratio", "-1")))


def _sampling(roi_align: Node, branch: _Branch) -> RoISampling:
    """Describe the cells of a RoIAlign that a convolution reads."""
    grid, _ = roi_align.numbers("pooled_size")
    step = branch.window * branch.stride
    num_windows = grid // branch.window
    return RoISampling(
        grid=grid,
        step=step,
        window=branch.window,
        size=(num_windows - 1) // branch.stride + 1,
        sample_ratio=_sample_ratio(roi_align),
        stride=1 / float(roi_align.attrs["spatial_scale"]),
        aligned=roi_align.flag("aligned"),
    )


def _sample(
    name: str, roi_align: Node, features: Edge, sampling: RoISampling, channels: int
) -> Edge:
    """Sample cells of a RoIAlign's RoIs from a map with this number of channels."""
    rois = roi_align.inputs[1]
    if sampling.step == 1:
        return Node(ROI_ALIGN, f"{name}_cells", dict(roi_align.attrs), [features, rois]), 0
    with mx.name.Prefix(f"{name}_cells_"):
        symbol = read_cells(mx.sym, mx.sym.var("features"), mx.sym.var("rois"), sampling, channels)
    return attach(symbol, {"features": features, "rois": rois})
