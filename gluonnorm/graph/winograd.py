"""Compute 3x3 convolutions of RoIs with fewer multiplications, by Winograd's minimal filtering.

Four neighboring results of a filter of three numbers take twelve multiplications. Six are enough if
the inputs and the filter are transformed by small constant matrices first, and the six products
are transformed to the four results afterwards. Along both axes of a 3x3 convolution that is a
quarter of the multiplications (Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", arXiv:1509.09308).

The box head of a detector without a pyramid (C4), and every mask head, convolve the cells of many
RoIs. These grids are small and always equally large, so each transform is one product of matrices,
with all RoIs and all channels in it. Maps of photos have any size. They would have to be cut into
tiles, which takes as long as the multiplications that are saved.
"""

from typing import Dict, List, NamedTuple, Tuple

from gluonnorm.graph.nodes import Constants, Edge, Graph, Node, attach
from gluonnorm.graph.norm_after_conv import convolution_channels, has_bias
from gluonnorm.graph.trace import Values

import mxnet as mx
import numpy as np

KERNEL = 3  # cells on a side of the convolution's kernel
TILE = 4  # results of a tile along an axis
# The transforms evaluate polynomials at these points, and at infinity. Numbers and the negative
# inverses of others make the least rounding errors (Barabasz et al., arXiv:1803.10986).
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
# With fewer channels or fewer RoIs, the transforms take longer than the multiplications they save.
LEAST_CHANNELS = 256
LEAST_ROIS = 20
OUTPUT = "_output"  # what MXNet appends to an operator's name to name its only output
# Two sizes of an image. What has the same size in both is the grid of a RoI.
IMAGE_SIZES = ((64, 64), (192, 320))


class _Transforms(NamedTuple):
    """The matrices of one axis. K products give the S results of a grid's row or column.

    Attributes
    ----------
    inputs : numpy.ndarray
        (K, S), from the cells of the grid to factors.
    kernel : numpy.ndarray
        (K, 3), from the kernel's numbers to the other factors. (K / T, 3), if T tiles share them.
    results : numpy.ndarray
        (S, K), from products to results.
    """

    inputs: np.ndarray
    kernel: np.ndarray
    results: np.ndarray


def multiply_less(symbol: mx.sym.Symbol, values: Values) -> Tuple[mx.sym.Symbol, Values]:
    """Compute 3x3 convolutions of RoIs by Winograd's minimal filtering, where that is faster.

    It is faster with many channels and RoIs: with 1000 RoIs of 7 x 7 cells and 512 channels, such a
    convolution takes half of the time. The weights remain as they are, and are transformed in each
    run.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        The graph of a detector, whose layers will compute in float32.
    values : dict of str to mxnet.ndarray.NDArray
        Values of its variables by name.

    Returns
    -------
    symbol : mxnet.symbol.Symbol
        A new graph of the same function, but for rounding.
    values : dict of str to mxnet.ndarray.NDArray
        The values of its variables: those of ``values``, and the matrices of the transforms.
    """
    graph = Graph.read(symbol)
    first, second = (_output_shapes(symbol, values, size) for size in IMAGE_SIZES)
    constants = Constants()
    for node in graph.nodes():
        if not _is_plain(node, values):
            continue
        output = f"{node.name}{OUTPUT}"
        rois, _, height, width = first[output]
        is_grid = (height, width) == second[output][2:] and height == width
        channels = min(convolution_channels(node, values))
        if is_grid and channels >= LEAST_CHANNELS and rois >= LEAST_ROIS:
            graph.replace(node, _minimal_filtering(node, height, values, constants))
    return graph.symbol(), {**values, **constants.values}


def _output_shapes(
    symbol: mx.sym.Symbol, values: Values, size: Tuple[int, int]
) -> Dict[str, Tuple[int, ...]]:
    """Compute the shape of each operator's output, by the output's name, for an image of a size."""
    internals = symbol.get_internals()
    known = {name: value.shape for name, value in values.items()}
    _, shapes, _ = internals.infer_shape(data=(1, 3, *size), **known)
    return dict(zip(internals.list_outputs(), shapes))


def _is_plain(node: Node, values: Values) -> bool:
    """Tell whether a node is a 3x3 convolution of constant weight that keeps the size."""
    return (
        node.op == "Convolution"
        and node.inputs[1][0].name in values
        and node.numbers("kernel") == (KERNEL, KERNEL)
        and node.numbers("pad") == (1, 1)
        and set(node.numbers("stride")) <= {1}
        and set(node.numbers("dilate")) <= {1}
        and node.attrs.get("num_group", "1") == "1"
    )


def _minimal_filtering(layer: Node, size: int, values: Values, constants: Constants) -> Node:
    """Make the node whose output takes the place of a convolution of ``size`` x ``size`` cells.

    Tiles of a grid's columns may have different heights. Those of its rows are equally wide and
    share their factors of the kernel, so the tiles of all rows and RoIs are multiplied together.
    """
    out_channels, in_channels = convolution_channels(layer, values)
    down, across = _tiles(size), _equal_tiles(size)
    num_down, num_across = len(down.kernel), len(across.kernel)
    num_products = num_down * num_across
    inputs = {
        "cells": layer.inputs[0],
        "weight": layer.inputs[1],
        **_matrices("down", down, constants),
        **_matrices("across", across, constants),
    }
    known = {name: mx.sym.var(name) for name in inputs}

    with mx.name.Prefix(f"{layer.name}_"):
        kernel = _transform(known["kernel_across"], known["weight"], KERNEL)
        kernel = _transform(known["kernel_down"], kernel, KERNEL)
        kernel = mx.sym.reshape(kernel, shape=(num_products, out_channels, in_channels))
        cells = _transform(known["inputs_across"], known["cells"], size)
        cells = _transform(known["inputs_down"], cells, size)
        # (products, tiles of a row and RoIs, channels)
        cells = mx.sym.reshape(cells, shape=(num_products, -1, in_channels))
        products = mx.sym.linalg_gemm2(cells, kernel, transpose_b=True)
        results = _transform_back(products, known["results_down"], num_down)
        results = _transform_back(results, known["results_across"], across.inputs.shape[0])
        results = mx.sym.reshape(results, shape=(-1, out_channels, size, size))
        if has_bias(layer):
            inputs["bias"] = layer.inputs[2]
            bias = mx.sym.reshape(mx.sym.var("bias"), shape=(1, -1, 1, 1))
            results = mx.sym.broadcast_add(results, bias)
    node, _ = attach(results, inputs)
    return node


def _matrices(axis: str, transforms: _Transforms, constants: Constants) -> Dict[str, Edge]:
    """Make variables of an axis' matrices, by names such as "kernel_down"."""
    size = len(transforms.results)
    edges: Dict[str, Edge] = {}
    for part, matrix in transforms._asdict().items():
        name = f"{part}_{axis}"
        variable = constants.variable(f"winograd_{size}_{name}", mx.nd.array(matrix))
        edges[name] = (variable, 0)
    return edges


def _transform(matrix: mx.sym.Symbol, array: mx.sym.Symbol, length: int) -> mx.sym.Symbol:
    """Multiply the last axis of an array, which has a length, by a matrix (K, length).

    The product has the K numbers in its first axis, and all other axes of the array in the second.
    """
    rows = mx.sym.reshape(array, shape=(-1, length))
    return mx.sym.linalg_gemm2(matrix, rows, transpose_b=True)


def _transform_back(array: mx.sym.Symbol, matrix: mx.sym.Symbol, length: int) -> mx.sym.Symbol:
    """Multiply the first axes of an array, of a length together, by a matrix (S, length).

    The product has all other axes of the array in its first axis, and the S numbers in the second.
    """
    rows = mx.sym.reshape(array, shape=(length, -1))
    return mx.sym.linalg_gemm2(rows, matrix, transpose_a=True, transpose_b=True)


def _tiles(size: int) -> _Transforms:
    """Make the transforms of an axis that is divided into tiles, the last one perhaps smaller."""
    inputs: List[np.ndarray] = []
    kernels: List[np.ndarray] = []
    results: List[np.ndarray] = []
    for start in range(0, size, TILE):
        tile = _tile(min(TILE, size - start))
        placed = _placed(tile, start, size)
        inputs.append(placed.inputs)
        kernels.append(tile.kernel)
        results.append(placed.results)
    return _Transforms(
        np.concatenate(inputs), np.concatenate(kernels), np.concatenate(results, axis=1)
    )


def _equal_tiles(size: int) -> _Transforms:
    """Make the transforms of an axis that is divided into equal tiles, the last perhaps beyond it.

    The tiles' factors of the same kind stand side by side, because they share those of the kernel.
    """
    tile = _tile(TILE)
    placed = [_placed(tile, start, size) for start in range(0, size, TILE)]
    inputs = np.stack([one.inputs for one in placed], axis=1)
    results = np.stack([one.results for one in placed], axis=2)
    return _Transforms(inputs.reshape(-1, size), tile.kernel, results.reshape(size, -1))


def _placed(tile: _Transforms, start: int, size: int) -> _Transforms:
    """Place a tile in an axis of ``size`` cells, with zeros around them."""
    count, length = tile.inputs.shape
    inputs = np.zeros((count, size + 2 * length))
    # The first input of a tile is the cell before its first result.
    first = length + start - 1
    inputs[:, first : first + length] = tile.inputs
    results = np.zeros((size + TILE, count))
    results[start : start + len(tile.results)] = tile.results
    return _Transforms(inputs[:, length : length + size], tile.kernel, results[:size])


def _tile(size: int) -> _Transforms:
    """Make the transforms of a tile, whose ``size`` results read ``size`` + 2 cells.

    A polynomial product is computed by Toom and Cook from the factors' values at points. The
    transposed of that algorithm computes a filter, with as many products.
    """
    length = size + KERNEL - 1
    points = POINTS[: length - 1]
    interpolation = np.linalg.inv(_evaluation(points, length))
    return _Transforms(interpolation.T, _evaluation(points, KERNEL), _evaluation(points, size).T)


def _evaluation(points: Tuple[float, ...], length: int) -> np.ndarray:
    """Make the matrix that evaluates a polynomial of ``length`` terms at points and infinity."""
    powers = np.vander(points, length, increasing=True)
    at_infinity = np.eye(length)[-1:]
    return np.concatenate([powers, at_infinity])
