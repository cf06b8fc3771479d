"""The forms of the real package supervision."""

import sys

from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.detection_formats import supervision_detections
from gluonnorm.errors import InputError
from gluonnorm.types import Detections

import numpy as np
import pytest

CLASSES = ("cat", "dog")


def found(inclusive=False):
    masks = np.zeros((2, 20, 30), bool)
    masks[0, 2:8, 1:4] = masks[1, 5:9, 9:20] = True
    boxes = np.float32([[1, 2, 4, 8], [9, 5, 20, 9]])
    if inclusive:
        boxes[:, 2:] -= 1
    return Detections(boxes, np.float32([0.9, 0.6]), np.int32([1, 0]), masks, inclusive)


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("cropped", [False, True])
def test_boxes_masks_scores_and_names(inclusive, cropped):
    pytest.importorskip("supervision")
    detections = found(inclusive)
    masks = detections.masks
    if cropped:
        detections = detections._replace(masks=CroppedMasks.of(masks))
    converted = supervision_detections(detections, CLASSES)
    np.testing.assert_array_equal(converted.xyxy, found().boxes)
    np.testing.assert_array_equal(converted.mask, masks)
    assert converted.mask.dtype == bool
    np.testing.assert_array_equal(converted.area, [18, 44])  # pixels of the masks
    np.testing.assert_array_equal(converted.box_area, [18, 44])
    confident = converted[converted.confidence > 0.7]
    assert confident.class_id.tolist() == [1]
    assert confident.data["class_name"].tolist() == ["dog"]


def test_the_annotators_draw_them():
    supervision = pytest.importorskip("supervision")
    image = np.zeros((20, 30, 3), np.uint8)
    converted = supervision_detections(found(), CLASSES)
    for annotator in (supervision.BoxAnnotator(thickness=1), supervision.MaskAnnotator()):
        drawn = annotator.annotate(image.copy(), converted)
        assert drawn[2:8, 1:4].any() and not drawn[12:].any()


def test_nothing_and_no_masks():
    supervision = pytest.importorskip("supervision")
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, np.int32))
    for detections in (nothing, nothing._replace(masks=np.zeros((0, 20, 30), bool))):
        converted = supervision_detections(detections, CLASSES)
        assert converted.is_empty() and len(converted) == 0
    some = supervision_detections(found()._replace(masks=None), CLASSES)
    assert some.mask is None
    assert len(supervision.Detections.merge([some, some])) == 4


def test_unknown_ids_and_a_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match="install it with pip install supervision"):
        supervision_detections(found(), CLASSES)
    monkeypatch.undo()
    pytest.importorskip("supervision")
    with pytest.raises(InputError, match="ids from 0 to 1, but there are 1 class names"):
        supervision_detections(found(), CLASSES[:1])
