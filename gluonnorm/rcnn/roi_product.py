"""RoIAlign for training on the CPU: products of feature maps with a sparse matrix.

The backward pass of MXNet's own operator is one loop without threads on the CPU, and took a seventh
of a training step. A product with a matrix has threads in both directions, and needs a tenth of the
time. Values and gradients are those of MXNet's operator. Exported graphs contain MXNet's operator,
because this one needs Python.
"""

import math
from functools import reduce
from operator import add
from typing import Any, Iterator, List, Sequence, Tuple

from gluonnorm.convention import BoxConvention
from gluonnorm.rcnn.roi_align import roi_level, widened_corners
from gluonnorm.rcnn.roi_matrix import RoIGrid, SparseMatrix, roi_matrix
from gluonnorm.types import Tensor

import mxnet as mx

OPERATOR = "gluonnorm_roi_product"
# MXNet refuses a sparse matrix with more elements, zeros included.
LARGEST_MATRIX = 2**31 - 2

Arrays = Sequence[mx.nd.NDArray]


def rows_of_cells(F: Any, features: Sequence[Tensor]) -> Tensor:
    """Put the cells of all maps below each other, with the channels of a cell in one row.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    features : sequence of Tensor
        Maps (B, C, h, w).

    Returns
    -------
    Tensor
        (B, N, C), where N counts the cells map by map, and row by row within a map.
    """
    level_rows = []
    for feature in features:
        channels_last = F.transpose(feature, (0, 2, 3, 1))
        level_rows.append(F.reshape(channels_last, (0, -3, 0)))
    return F.concat(*level_rows, dim=1)


def roi_product(
    F: Any,
    features: Sequence[Tensor],
    rows: Tensor,
    rois: Tensor,
    strides: Sequence[int],
    size: int,
    sample_ratio: int,
    convention: BoxConvention,
) -> Tensor:
    """Sample the features of each RoI on a square grid, as ``roi_align`` does.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    features : sequence of Tensor
        The maps that RoIs are read from, (B, C, h, w), finest first; only their sizes are read.
    rows : Tensor
        (B, N, C) float32 on the CPU, the cells of these maps as :func:`rows_of_cells` gives them.
        Those of further maps may follow.
    rois : Tensor
        (B, R, 4) in pixels of the network's input; they get no gradient.
    strides : sequence of int
        The stride of each map in pixels; see :func:`gluonnorm.rcnn.roi_align.roi_strides`.
    size : int
        Cells on a side of the grid.
    sample_ratio : int
        Samples in a cell along each axis; 0 takes one sample for each cell of the feature map.
    convention : BoxConvention
        Which level a RoI is read from, and where the center of a cell is.

    Returns
    -------
    Tensor
        (B * R, C, size, size), the RoIs of the first image first.
    """
    levels = [int(math.log2(stride)) for stride in strides]
    position = roi_level(F, rois, levels[0], levels[-1], convention) - levels[0]
    map_sizes = []
    for feature in features:
        shape = F.cast(F.shape_array(feature), "float32")
        map_sizes.append(F.slice_axis(shape, axis=0, begin=2, end=4))
    sampled = F.Custom(
        rows,
        F.concat(*widened_corners(F, rois), position, dim=-1),
        F.stack(*map_sizes, axis=0),
        op_type=OPERATOR,
        strides=" ".join(str(stride) for stride in strides),
        size=size,
        sample_ratio=sample_ratio,
        aligned=int(convention.roi_aligned),
    )
    # Gradients of convolutions have a layout of oneDNN's. MXNet 1.9.1 gives an operator written in
    # Python a converted copy of such an array, and frees the copy before the operator runs. The
    # backward pass of a transposition returns MXNet's own layout.
    return F.transpose(sampled, (0, 3, 1, 2))


class _RoIProduct(mx.operator.CustomOp):
    """Multiply the cells of each image with the matrix of its RoIs.

    The inputs are the rows (B, N, C), the corners and the level of each RoI (B, R, 5), and the
    height and width of each map (L, 2). The output is (B * R, size, size, C).
    """

    def __init__(self, strides: Sequence[int], grid: RoIGrid) -> None:
        super().__init__()
        self._strides = strides
        self._grid = grid

    def forward(
        self, is_train: bool, req: List[str], in_data: Arrays, out_data: Arrays, aux: Arrays
    ) -> None:
        """Multiply with each matrix."""
        rows, rois, map_sizes = in_data
        results = []
        for image_rows, matrices in zip(rows, self._matrices(rois, map_sizes, rows.shape[1])):
            products = [mx.nd.sparse.dot(_csr(matrix, rows), image_rows) for matrix in matrices]
            results.append(_join(products))
        # Stacking has no oneDNN kernel, so the output gets MXNet's own layout.
        by_image = out_data[0].reshape((len(results), -1, rows.shape[2]))
        mx.nd.stack(*results, axis=0, out=by_image)

    def backward(
        self,
        req: List[str],
        out_grad: Arrays,
        in_data: Arrays,
        out_data: Arrays,
        in_grad: Arrays,
        aux: Arrays,
    ) -> None:
        """Multiply with each transposed matrix."""
        _, rois, map_sizes = in_data
        _, num_rows, channels = in_grad[0].shape
        by_cell = out_grad[0].reshape((-1, channels))
        gradients = []
        end = 0
        for matrices in self._matrices(rois, map_sizes, num_rows):
            products = []
            for matrix in matrices:
                begin = end
                end += matrix.shape[0]
                transposed = _csr(matrix.transpose(), by_cell)
                products.append(mx.nd.sparse.dot(transposed, by_cell[begin:end]))
            gradients.append(reduce(add, products))
        if req[0] == "write":
            mx.nd.stack(*gradients, axis=0, out=in_grad[0])
        else:
            self.assign(in_grad[0], req[0], mx.nd.stack(*gradients, axis=0))
        for gradient, its_req in zip(in_grad[1:], req[1:]):
            self.assign(gradient, its_req, 0)

    def _matrices(
        self, rois: mx.nd.NDArray, map_sizes: mx.nd.NDArray, num_rows: int
    ) -> Iterator[List[SparseMatrix]]:
        """Compute the matrices of each image: one, unless MXNet refuses so large a matrix."""
        sizes = [(int(height), int(width)) for height, width in map_sizes.asnumpy()]
        rois_per_matrix = max(LARGEST_MATRIX // (num_rows * self._grid.size**2), 1)
        for image_rois in rois.asnumpy():
            matrices = []
            for first in range(0, len(image_rois), rois_per_matrix):
                some = image_rois[first : first + rois_per_matrix]
                corners = some[:, :4]
                levels = some[:, 4].astype(int)
                matrices.append(
                    roi_matrix(corners, levels, sizes, self._strides, self._grid, num_rows)
                )
            yield matrices


@mx.operator.register(OPERATOR)
class _RoIProductProperties(mx.operator.CustomOpProp):
    """Inputs, shapes and settings of the operator; MXNet gives settings as text."""

    def __init__(self, strides: str, size: str, sample_ratio: str, aligned: str) -> None:
        super().__init__(need_top_grad=True)
        self._strides = [int(stride) for stride in strides.split()]
        self._grid = RoIGrid(int(size), int(sample_ratio), aligned == "1")

    def list_arguments(self) -> List[str]:
        """Name the inputs."""
        return ["rows", "rois", "map_sizes"]

    def infer_shape(self, in_shape: List[List[int]]) -> Tuple[Any, Any, Any]:
        """Infer the shape of the result."""
        num_images, num_rois, _ = in_shape[1]
        size = self._grid.size
        result = [num_images * num_rois, size, size, in_shape[0][2]]
        return in_shape, [result], []

    def declare_backward_dependency(
        self, out_grad: List[int], in_data: List[int], out_data: List[int]
    ) -> List[int]:
        """Keep the RoIs until the backward pass, and not the rows, which take much memory."""
        return [*out_grad, *in_data[1:]]

    def create_operator(self, ctx: Any, in_shapes: Any, in_dtypes: Any) -> _RoIProduct:
        """Make the operator."""
        return _RoIProduct(self._strides, self._grid)


def _join(products: Arrays) -> mx.nd.NDArray:
    """Put products below each other."""
    return products[0] if len(products) == 1 else mx.nd.concat(*products, dim=0)


def _csr(matrix: SparseMatrix, neighbor: mx.nd.NDArray) -> mx.nd.sparse.CSRNDArray:
    """Give a matrix to MXNet, on the device of another array."""
    entries = (matrix.values, matrix.columns, matrix.starts)
    return mx.nd.sparse.csr_matrix(entries, shape=matrix.shape, ctx=neighbor.context)
