"""How close candidates and proposals come to objects, against a search through all boxes."""

from gluonnorm.rcnn.proposal_reach import proposal_ious

import mxnet as mx
import numpy as np
import pytest
from tiny_detector import images, tiny_detector

OBJECTS = np.array([[10, 10, 40, 50], [60, 4, 90, 20], [0, 30, 16, 46], [70, 40, 96, 64]])
PRE_NMS = 40
POST_NMS = 12


def iou(box, other):
    """The IoU of two boxes."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    common = max(width, 0) * max(height, 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return common / (sum(areas) - common)


@pytest.fixture(scope="module")
def net():
    """A network whose proposals are its anchors, clipped, in the order of their logits."""
    net = tiny_detector(
        "c4", rpn_test_pre_nms=PRE_NMS, rpn_test_post_nms=POST_NMS, rpn_nms_thresh=1.0
    )
    net.rpn.loc.weight.set_data(mx.nd.zeros_like(net.rpn.loc.weight.data()))
    return net


def sorted_anchors(net, image):
    """All anchors of the image, clipped to it, best logit first."""
    (grid,) = net.config.anchor_grids(net.backbone.strides)
    feature = net.backbone(image)[0]
    rows, columns = feature.shape[2:]
    anchors = []
    for y in range(rows):
        for x in range(columns):
            anchors.append(grid.anchors + grid.stride * np.array([x, y, x, y]))
    height, width = image.shape[2:]
    clipped = np.clip(np.concatenate(anchors), 0, [width, height, width, height])
    logits = net.rpn(feature)[0].asnumpy().ravel()
    return clipped[np.argsort(-logits)]


def test_the_best_boxes_of_each_stage(net):
    image = images()
    before, after = proposal_ious(net, image, OBJECTS)
    anchors = sorted_anchors(net, image)
    for number, box in enumerate(OBJECTS):
        assert before[number] == pytest.approx(
            max(iou(box, b) for b in anchors[:PRE_NMS]), abs=1e-5
        )
        assert after[number] == pytest.approx(
            max(iou(box, b) for b in anchors[:POST_NMS]), abs=1e-5
        )
    assert (after <= before + 1e-6).all() and (after < before - 0.01).any()


def test_an_image_without_objects(net):
    before, after = proposal_ious(net, images(), np.zeros((0, 4)))
    assert before.shape == after.shape == (0,)


def test_padding_is_no_proposal(net):
    """With a strict suppression there are fewer proposals than places for them."""
    strict = tiny_detector("c4", rpn_nms_thresh=0.01, rpn_test_post_nms=POST_NMS)
    _, after = proposal_ious(strict, images(), np.array([[0, 0, 1, 1]]))
    assert after[0] < 1
