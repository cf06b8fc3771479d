"""After the same ``set_nms`` and ``reset_class``, GluonCV's network and ours detect the same."""

import model_zoo
from gluonnorm.conversion import load

import pytest
from parity import gluoncv_judge

NAME = "mask_rcnn_resnet18_v1b_coco"
CLASSES = tuple("abcdef")
PROPOSALS = 40


@pytest.fixture(scope="module")
def pair():
    judge = gluoncv_judge.build(NAME, CLASSES, PROPOSALS)
    net = model_zoo.get_model(NAME, classes=CLASSES, rpn_test_post_nms=PROPOSALS)
    load(net, gluoncv_judge.parameter_arrays(judge), "gluoncv")
    return net, judge, gluoncv_judge.sample_image(128, 176)


def assert_same_detections(net, judge, image, count):
    differences = gluoncv_judge.compare(net, judge, image, count)
    assert differences.counts[0] == differences.counts[1] > 5
    assert differences.same_classes
    assert differences.boxes < 0.05 and differences.scores < 1e-4


# GluonCV ignores post_nms, so the number of rows is large enough for all detections.
@pytest.mark.parametrize(
    "arguments", [(0.3, 200, False), (0.5, 4, False), (0.4, 30, True), (0.7, -1, True)]
)
def test_set_nms(pair, arguments):
    net, judge, image = pair
    judge.set_nms(*arguments)
    net.set_nms(*arguments, post_nms=6 * PROPOSALS)
    assert_same_detections(net, judge, image, count=30)


def test_reset_class_with_all_weights_reused(pair):
    """The new order of the classes reaches ids, boxes and masks alike."""
    net, judge, image = pair
    for network in (net, judge):
        network.set_nms(0.5, -1, False, 6 * PROPOSALS)
        network.reset_class(["d", "b"], {0: 3, 1: 1})
    assert_same_detections(net, judge, image, count=30)
