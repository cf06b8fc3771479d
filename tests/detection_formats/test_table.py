import sys

from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.detection_formats import data_frame
from gluonnorm.errors import InputError
from gluonnorm.types import Detections

import numpy as np
import pytest

FIRST = Detections(
    np.float32([[1, 2, 4, 8], [0, 0, 10, 10]]), np.float32([0.75, 0.5]), np.int32([1, 0])
)


def test_a_row_for_each_detection_of_all_images():
    pytest.importorskip("pandas")
    second = FIRST._replace(inclusive=True)
    frame = data_frame([("a.jpg", FIRST), ("b.jpg", second)], ("cat", "dog"))
    assert frame["image"].tolist() == ["a.jpg", "a.jpg", "b.jpg", "b.jpg"]
    assert frame["class"].tolist() == ["dog", "cat", "dog", "cat"]
    assert frame["id"].tolist() == [1, 0, 1, 0]
    assert frame["score"].tolist() == [0.75, 0.5, 0.75, 0.5]
    assert frame["width"].tolist() == [3, 10, 4, 11]
    assert frame["height"].tolist() == [6, 10, 7, 11]
    assert frame["area"].tolist() == [18, 100, 28, 121]
    assert (frame["x1"] + frame["width"]).tolist() == frame["x2"].tolist() == [4, 10, 5, 11]
    assert frame.groupby("class")["score"].mean().to_dict() == {"cat": 0.5, "dog": 0.75}


def test_the_area_of_a_mask_is_its_pixels():
    pytest.importorskip("pandas")
    masks = np.zeros((2, 12, 12), bool)
    masks[0, 2:8, 1:4] = masks[1, ::2] = True
    for form in (masks, CroppedMasks.of(masks)):
        frame = data_frame([(7, FIRST._replace(masks=form))], ("cat", "dog"))
        assert frame["area"].tolist() == [18, 72] and frame["image"].tolist() == [7, 7]


def test_without_detections_the_columns_remain():
    pytest.importorskip("pandas")
    nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), np.zeros((0, 5, 5), bool))
    for images in ([], [("a.jpg", nothing)]):
        frame = data_frame(images, ("cat",))
        assert len(frame) == 0 and list(frame.columns[:5]) == [
            "image",
            "class",
            "id",
            "score",
            "x1",
        ]


def test_unknown_ids_and_a_missing_package(monkeypatch):
    with pytest.raises(InputError, match="ids from 0 to 1, but there are 1 class names"):
        data_frame([("a.jpg", FIRST)], ("cat",))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="needs pandas .*install it with pip install pandas"):
        data_frame([], ("cat",))
