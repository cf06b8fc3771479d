from gluonnorm.rcnn.roi_matrix import RoIGrid, SparseMatrix, roi_matrix

import numpy as np
import pytest
import reference.roi_align as slow

STRIDES = (4, 8)
SIZES = [(7, 9), (4, 5)]


def dense(matrix):
    result = np.zeros(matrix.shape, np.float32)
    for row, (begin, end) in enumerate(zip(matrix.starts, matrix.starts[1:])):
        for entry in range(begin, end):
            result[row, matrix.columns[entry]] += matrix.values[entry]
    return result


@pytest.mark.parametrize("samples", [2, 0])
@pytest.mark.parametrize("aligned", [True, False])
def test_the_product_with_the_cells_is_roi_align(samples, aligned):
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(3, *size)).astype(np.float32) for size in SIZES]
    rois = np.float32([[3, 5, 30, 20], [0, 0, 36, 28], [10, 2, 11, 27], [-9, -9, 50, 50]])
    levels = np.array([0, 1, 0, 1])
    matrix = roi_matrix(rois, levels, SIZES, STRIDES, RoIGrid(3, samples, aligned), 83)
    assert matrix.shape == (4 * 9, 63 + 20)
    rows = np.concatenate([level.reshape(3, -1).T for level in maps])
    products = dense(matrix) @ rows
    for number, (roi, level) in enumerate(zip(rois, levels)):
        expected = slow.roi_align(maps[level], roi, STRIDES[level], 3, samples, aligned)
        result = products[9 * number : 9 * number + 9].T.reshape(3, 3, 3)
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_no_entry_is_zero_and_no_cell_is_named_twice():
    rois = np.float32([[-40, -40, 5, 5], [8, 8, 9, 9]])
    matrix = roi_matrix(rois, np.array([0, 0]), SIZES[:1], STRIDES[:1], RoIGrid(7, 2, True), 63)
    assert (matrix.values > 0).all()
    for begin, end in zip(matrix.starts, matrix.starts[1:]):
        assert (np.diff(matrix.columns[begin:end]) > 0).all()


def test_a_transposed_matrix_has_rows_and_columns_exchanged():
    rng = np.random.default_rng(0)
    columns = np.sort(rng.choice(200000, (4, 3), replace=False), axis=1)
    values = rng.normal(size=12).astype(np.float32)
    matrix = SparseMatrix(values, columns.ravel(), np.arange(0, 13, 3), (4, 200000))
    transposed = matrix.transpose()
    assert transposed.shape == (200000, 4)
    np.testing.assert_array_equal(dense(transposed), dense(matrix).T)
    np.testing.assert_array_equal(dense(transposed.transpose()), dense(matrix))
