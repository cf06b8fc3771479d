"""Run a block for training with its layers in bfloat16, and its parameters in float32."""

from typing import Any, List, Optional

from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.output_layers import output_layers
from gluonnorm.graph.precision import cast_layers_to_bfloat16
from gluonnorm.graph.trace import as_list, training_block

import mxnet as mx
from mxnet.gluon import HybridBlock


class Bfloat16Block:
    """Call a hybridizable block with convolutions and fully connected layers in bfloat16.

    The parameters remain float32 and belong to the block. Each call casts those that such a layer
    reads, and their gradients come back in float32. Everything else remains float32, with the
    output layers (scores, deltas, mask logits), whose rounding the losses would amplify.

    Parameters
    ----------
    block : mxnet.gluon.HybridBlock
        A block that takes and returns float32 arrays on the CPU. It is traced at the first call.
    **settings
        Arguments of ``HybridBlock.hybridize`` for the graph.
    """

    def __init__(self, block: HybridBlock, **settings: Any) -> None:
        self._block = block
        self._settings = settings
        self._converted: Optional[mx.gluon.SymbolBlock] = None

    def __call__(self, *arrays: mx.nd.NDArray) -> List[mx.nd.NDArray]:
        if self._converted is None:
            self._converted = self._trace(len(arrays))
        return as_list(self._converted(*arrays))

    def _trace(self, num_inputs: int) -> mx.gluon.SymbolBlock:
        """Trace the block, and convert its graph."""
        # Some operators, such as take, refuse indices whose type is not known.
        inputs = [mx.sym.var(f"data{number}", dtype="float32") for number in range(num_inputs)]
        graph = Graph.read(mx.sym.Group(list(self._block(*inputs))))
        cast_layers_to_bfloat16(graph, output_layers(graph))
        parameters = self._block.collect_params()
        return training_block(graph.symbol(), inputs, parameters, **self._settings)
