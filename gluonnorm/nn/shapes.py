"""Infer shapes without computing: of what a block returns, and of its parameters."""

from typing import Any, Callable, List, Sequence

from gluonnorm.errors import InputError, first_line
from gluonnorm.types import Shape

import mxnet as mx
from mxnet.gluon import HybridBlock


def infer_shapes(block: HybridBlock, input_shape: Sequence[int]) -> List[Shape]:
    """Infer the shapes that a block returns, and settle those of its parameters.

    Gluon's layers may leave the number of their input channels open until the first input. After
    this call no shape of a parameter that the block uses is open, and nothing was computed.

    Parameters
    ----------
    block : mxnet.gluon.HybridBlock
        Takes one array. Its parameters need no values.
    input_shape : sequence of int
        Shape of the array.

    Returns
    -------
    list of tuple of int
        The shape of each output.

    Raises
    ------
    InputError
        The block cannot take an array of this shape.

    Examples
    --------
    >>> dense = mx.gluon.nn.Dense(5)
    >>> infer_shapes(dense, (2, 3)), dense.weight.shape
    ([(2, 5)], (5, 3))
    """
    return infer_shapes_of_call(block, block, input_shape)


def infer_shapes_of_call(
    call: Callable[[mx.sym.Symbol], Any], block: HybridBlock, input_shape: Sequence[int]
) -> List[Shape]:
    """Infer shapes like :func:`infer_shapes`, for another call than that of the block itself.

    Parameters
    ----------
    call : callable
        Takes a symbol, and returns one or a list of them, made by layers of the block.
    block : mxnet.gluon.HybridBlock
        Holds the parameters.
    input_shape : sequence of int
        Shape of the array that the symbol stands for.

    Returns
    -------
    list of tuple of int
        The shape of each output.

    Raises
    ------
    InputError
        The layers cannot take an array of this shape.
    """
    outputs = call(mx.sym.var("data"))
    symbol = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    try:
        shapes, output_shapes, state_shapes = symbol.infer_shape(data=tuple(input_shape))
    except mx.MXNetError as error:
        raise InputError(
            f"{block.name} cannot take an array of shape {tuple(input_shape)}: {first_line(error)}"
        ) from error
    named_shapes = [*zip(symbol.list_arguments(), shapes)]
    named_shapes += zip(symbol.list_auxiliary_states(), state_shapes)
    parameters = block.collect_params()
    for name, shape in named_shapes:
        if name in parameters:
            parameters[name].shape = shape
            # Values that waited for the shape are made now.
            if parameters[name]._deferred_init:
                parameters[name]._finish_deferred_init()
    return output_shapes
