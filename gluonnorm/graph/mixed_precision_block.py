"""Run a block for training with its layers in a 16-bit type, and its parameters in float32."""

from typing import Any, List, Optional

from gluonnorm.graph.layer_casts import cast_layers
from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.output_layers import output_layers
from gluonnorm.graph.trace import as_list, training_block

import mxnet as mx
from mxnet.gluon import HybridBlock


class MixedPrecisionBlock:
    """Call a hybridizable block with convolutions and fully connected layers in a 16-bit type.

    The parameters remain float32 and belong to the block. Each call casts those that such a layer
    reads, and their gradients come back in float32. Everything else remains float32, with the
    output layers (scores, deltas, mask logits), whose rounding the losses would amplify.

    Parameters
    ----------
    block : mxnet.gluon.HybridBlock
        A block that takes and returns float32 arrays. It is traced at the first call.
    dtype : str
        A key of :data:`gluonnorm.graph.layer_casts.NARROW_TYPES`: "bfloat16", which MXNet has on
        the CPU only, or "float16", whose layers it has on GPUs only.
    **settings
        Arguments of ``HybridBlock.hybridize`` for the graph.
    """

    def __init__(self, block: HybridBlock, dtype: str, **settings: Any) -> None:
        self._block = block
        self._dtype = dtype
        self._settings = settings
        self._converted: Optional[mx.gluon.SymbolBlock] = None

    def __call__(self, *arrays: mx.nd.NDArray) -> List[mx.nd.NDArray]:
        if self._converted is None:
            inputs = _input_symbols(len(arrays))
            parameters = self._block.collect_params()
            symbol = self.trace(inputs)
            self._converted = training_block(symbol, inputs, parameters, **self._settings)
        return as_list(self._converted(*arrays))

    def trace(self, inputs: List[mx.sym.Symbol]) -> mx.sym.Symbol:
        """Trace the block, and place the casts.

        Parameters
        ----------
        inputs : list of mxnet.symbol.Symbol
            What the block is called with.

        Returns
        -------
        mxnet.symbol.Symbol
            The graph that calls run.
        """
        graph = Graph.read(mx.sym.Group(list(self._block(*inputs))))
        cast_layers(graph, self._dtype, output_layers(graph))
        return graph.symbol()


def _input_symbols(count: int) -> List[mx.sym.Symbol]:
    """Make the inputs of a graph. Operators such as take refuse indices of an unknown type."""
    return [mx.sym.var(f"data{number}", dtype="float32") for number in range(count)]
