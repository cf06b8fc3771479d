"""Training in float16 on the CPU, whose layers MXNet 1.9.1 has on GPUs only.

Each layer computes in float32 between two casts, so that its inputs, its output and all gradients
between layers are rounded to float16, and overflow as they do there. A GPU with float32
accumulators computes the same, except for the order of its sums.
"""

from gluonnorm.graph import mixed_precision_block, split_frozen
from gluonnorm.graph.layer_casts import NARROW_TYPES, cast_layers
from gluonnorm.graph.nodes import Node
from gluonnorm.processor import FAST_INSTRUCTIONS, processor_instructions
from gluonnorm.rcnn import training_dtype


def allow_float16(monkeypatch):
    """Let a test train in float16 on the CPU.

    Parameters
    ----------
    monkeypatch : pytest.MonkeyPatch
        The fixture of the test.
    """
    monkeypatch.setitem(training_dtype.DEVICE_TYPES, "float16", "cpu")
    monkeypatch.setitem(FAST_INSTRUCTIONS, "float16", processor_instructions())
    for module in (mixed_precision_block, split_frozen):
        monkeypatch.setattr(module, "cast_layers", _cast_layers)


def _cast_layers(graph, dtype, float32_layers=()):
    """Place the casts of the package, and casts around each layer that the CPU does not have."""
    cast_layers(graph, dtype, float32_layers)
    kept_layers = {id(node) for node in float32_layers}
    for node in graph.nodes():
        if node.op in NARROW_TYPES["float16"].layers and id(node) not in kept_layers:
            _compute_in_float32(graph, node)


def _compute_in_float32(graph, layer):
    """Cast the inputs of a layer to float32, and its output back to float16."""
    inputs = []
    for number, edge in enumerate(layer.inputs):
        name = f"{layer.name}_wide_input{number}"
        inputs.append((Node("amp_cast", name, {"dtype": "float32"}, [edge]), 0))
    layer.inputs = inputs
    output = Node("amp_cast", f"{layer.name}_output", {"dtype": "float16"}, [(layer, 0)])
    graph.replace(layer, output)
