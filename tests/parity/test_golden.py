"""Detectors with the weights of other programs' models return what these programs returned."""

from gluonnorm.deploy import Predictor
from gluonnorm.evaluation import coco_results

import numpy as np
import pytest
from parity import golden

# In these cases more proposals tie at a sigmoid of almost 1 than torchvision keeps, and its
# unstable sort decides which. (Shuffling the ties inside torchvision changes 15 to 20 of its own
# 100 detections.)
TIED = {"fasterrcnn_resnet50_fpn_320x427_s0", "maskrcnn_resnet50_fpn_320x427_s0"}


def slow_if_c4(path):
    """A box head of the name "C4" runs the last stage of a ResNet on a thousand RoIs."""
    marks = [pytest.mark.slow] if "C4" in path.stem else []
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", [slow_if_c4(path) for path in golden.cases()])
def test_the_answer_is_the_programs(path):
    case = golden.Case(path)
    differences = golden.compare(case, case.network())
    assert differences.features < 1e-4
    if case.is_classifier:
        return
    assert differences.detections == differences.expected_detections
    _, case_name = path.stem.split("_", 1)
    may_differ = 4 if case_name in TIED else 0
    assert differences.matched >= differences.expected_detections - may_differ
    assert differences.boxes < 0.05
    assert differences.scores < 1e-4
    if "mask_area" in case.answer:
        # In a small mask a single pixel is more than half a percent.
        assert differences.masks < 0.005 or differences.mask_pixels <= 1


def test_a_frozen_resnet_equals_a_live_one_in_inference():
    case = golden.Case(golden.FOLDER / "torchvision_resnet50_320x427_s0.npz")
    for norm in ("bn", "global_bn", "frozen_bn"):
        assert golden.compare(case, case.network(norm=norm)).features < 1e-4


@pytest.mark.slow
def test_result_rows_are_those_that_detectron_writes():
    """Its evaluation writes boxes as x, y, x2 - x1 + 1, y2 - y1 + 1 (``xyxy_to_xywh``)."""
    name = "switchnorm_e2e_mask_rcnn_R-50-C4_2x_256x320_s55.npz"
    case = golden.Case(golden.FOLDER / name)
    detections = Predictor.from_network(case.network(), resize=False)(case.image())
    rows = coco_results([(1, detections)], category_ids=range(80))
    corners = case.answer["boxes"]
    expected = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2] + 1], axis=1)
    actual = np.array([row["bbox"] for row in rows])
    # Both lists are sorted here, because the program writes class by class.
    np.testing.assert_allclose(_sorted_rows(actual), _sorted_rows(expected), atol=0.02)
    assert expected[:, 2].min() < 1  # one detection is narrower than a pixel


def _sorted_rows(boxes):
    """Sort rows by their first column, then the second."""
    return boxes[np.lexsort((boxes[:, 1], boxes[:, 0]))]
