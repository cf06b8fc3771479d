import numpy as np
import pytest
from onnx_programs import assert_same_in_onnx


def random_rois(count, images, size=60):
    """Draw RoIs (count, 5), some of which leave a map of ``size`` pixels or have no width."""
    corners = np.random.uniform(-10, size + 10, (count, 2, 2))
    corners.sort(axis=1)
    rois = np.concatenate(
        [np.random.randint(0, images, (count, 1)), corners.reshape(-1, 4)], axis=1
    )
    rois[0, 1:] = [-1e4, -1e4, -1e4 + 32, -1e4 + 32]
    rois[1, 1:] = [5, 6, 5.01, 6.01]
    return rois


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sample_ratio", [-1, 0, 1, 2])
def test_roi_align(aligned, sample_ratio):
    assert_same_in_onnx(
        lambda F, maps, rois: F.contrib.ROIAlign(
            maps,
            rois,
            pooled_size=(3, 2),
            spatial_scale=0.25,
            sample_ratio=sample_ratio,
            aligned=aligned,
        ),
        np.random.normal(size=(2, 3, 15, 16)),
        random_rois(20, 2),
        other_arrays=[np.random.normal(size=(1, 3, 9, 20)), random_rois(5, 1)],
        atol=1e-5,
    )


def random_boxes(*shape):
    """Draw boxes of 20 to 60 pixels near each other."""
    corner = np.random.uniform(0, 50, (*shape, 2))
    return np.concatenate([corner, corner + np.random.uniform(20, 60, (*shape, 2))], axis=-1)


def random_scores(*shape):
    """Draw scores of which many are equal."""
    return np.round(np.random.rand(*shape, 1), 1)


@pytest.mark.parametrize("shape", [(30,), (2, 30), (2, 3, 30)])
def test_suppression_whatever_the_class(shape):
    def suppress(F, rows):
        return F.contrib.box_nms(
            rows,
            overlap_thresh=0.5,
            valid_thresh=-0.5,
            coord_start=1,
            score_index=0,
            id_index=-1,
            force_suppress=True,
        )

    rows = np.concatenate([random_scores(*shape), random_boxes(*shape)], axis=-1)
    rows[..., :5, 0] = -1
    other = np.concatenate([random_scores(*shape), random_boxes(*shape)], axis=-1)
    assert_same_in_onnx(suppress, rows, other_arrays=[other[..., :7, :]])


@pytest.mark.parametrize("force_suppress", [False, True])
@pytest.mark.parametrize("num_classes", [1, 3, 50])
def test_suppression_with_classes(force_suppress, num_classes):
    def suppress(F, rows):
        return F.contrib.box_nms(
            rows,
            overlap_thresh=0.4,
            valid_thresh=0.3,
            coord_start=2,
            score_index=1,
            id_index=0,
            force_suppress=force_suppress,
        )

    def draw(*shape):
        ids = np.random.randint(-1, num_classes, (*shape, 1))
        return np.concatenate([ids, random_scores(*shape), random_boxes(*shape)], axis=-1)

    assert_same_in_onnx(suppress, draw(2, 60), other_arrays=[draw(3, 20)])


def test_suppression_that_keeps_nothing():
    rows = np.concatenate(
        [np.full((2, 9, 1), -1.0), random_scores(2, 9), random_boxes(2, 9)], axis=-1
    )
    assert_same_in_onnx(lambda F, x: F.contrib.box_nms(x, id_index=0), rows)
    assert_same_in_onnx(lambda F, x: F.contrib.box_nms(x, valid_thresh=2), rows)


def test_boxes_with_corners_in_the_wrong_order_suppress_nothing():
    rows = np.array(
        [
            [0, 0.9, 50, 50, 10, 10],
            [0, 0.8, 10, 10, 50, 50],
            [0, 0.7, 10, 10, 50, 49],
            [0, 0.6, 50, 10, 10, 50],
            [0, 0.5, 20, 20, 20, 20],
        ]
    )
    assert_same_in_onnx(lambda F, x: F.contrib.box_nms(x, id_index=0, overlap_thresh=0.5), rows)
