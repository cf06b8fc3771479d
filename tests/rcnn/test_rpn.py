from gluonnorm.convention import BoxConvention
from gluonnorm.rcnn.anchors import pyramid_anchors
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.rcnn.rpn import RPNHead, RPNOutputs, propose

import mxnet as mx
import numpy as np
import pytest
import reference.proposals as slow
from reference.boxes import distinct_scores, random_boxes
from reference.graph import both

EXTENT = (80, 100)  # height, width


def raw_levels(counts, batch=2, seed=0):
    """Logits without ties, deltas and anchors of levels with so many anchors."""
    rng = np.random.default_rng(seed)
    logits = np.split(
        distinct_scores(rng, (batch, sum(counts)), -4, 4), np.cumsum(counts)[:-1], axis=1
    )
    deltas = [rng.normal(0, 0.5, (batch, count, 4)).astype(np.float32) for count in counts]
    return logits, deltas, [random_boxes(rng, count, 110, 5) for count in counts]


def proposals(logits, deltas, anchors, training=False, **settings):
    levels, config = len(logits), DetectorConfig().override(**settings)

    def function(F, height, width, *maps):
        outputs = RPNOutputs(maps[:levels], maps[levels : 2 * levels], maps[2 * levels :])
        return propose(F, outputs, (height, width), config, training)

    return both(function, EXTENT[:1], EXTENT[1:], *logits, *deltas, *anchors)


@pytest.mark.parametrize(
    "convention",
    [
        {},
        {"inclusive": True, "min_size_offset": 1.0},
        {"proposal_nms": "joint"},
        {"proposal_nms": "joint", "proposal_scores": "sigmoid"},
        {"proposal_scores": "sigmoid", "nms_at_threshold": True},
    ],
)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("counts", [(60,), (60, 30, 9)])
def test_propose_equals_a_loop(counts, training, convention):
    convention = BoxConvention(**convention)
    logits, deltas, anchors = raw_levels(counts)
    before, after, other = (25, 20, 7)
    used, unused = ("train", "test") if training else ("test", "train")
    settings = {"convention": convention, "rpn_nms_thresh": 0.5, "rpn_min_size": 12.0}
    rois, scores = proposals(
        logits,
        deltas,
        anchors,
        training,
        **settings,
        **{
            f"rpn_{used}_pre_nms": before,
            f"rpn_{used}_post_nms": after,
            f"rpn_{unused}_pre_nms": other,
            f"rpn_{unused}_post_nms": other,
        },
    )
    for b in range(2):
        want_rois, want_scores = slow.propose(
            [level[b] for level in logits],
            [level[b] for level in deltas],
            anchors,
            EXTENT,
            before,
            after,
            0.5,
            12.0,
            offset=convention.offset,
            min_size_offset=convention.min_size_offset,
            joint=convention.proposal_nms == "joint",
            at_threshold=convention.nms_at_threshold,
            order=convention.proposal_scores,
        )
        assert (want_scores > 0).sum() > 4
        np.testing.assert_allclose(scores[b], want_scores, atol=1e-6)
        np.testing.assert_allclose(rois[b], want_rois, atol=1e-3)


def test_large_logits_keep_their_order():
    """A sigmoid is 1 for each of these, and for many more in a trained network."""
    anchors = [np.float32([[20 * i, 0, 20 * i + 9, 9] for i in range(5)])]
    logits = np.float32([[18, 60, 25, 200, 19]])
    rois, scores = proposals(
        [logits], [np.zeros((1, 5, 4))], anchors, rpn_test_pre_nms=3, rpn_test_post_nms=3
    )
    assert rois[0, :, 0].tolist() == [60, 20, 40]
    assert (np.diff(scores[0]) < 0).all() and scores.max() <= 1
    np.testing.assert_allclose(scores[0], [slow.rank(logit) for logit in (200, 60, 25)], rtol=1e-6)


def test_the_growth_of_a_proposal_is_capped_as_configured():
    deltas = [np.float32([[[0, 0, 9, 9]]])]
    for clip, side in ((np.log(2), 8), (np.log(4), 16)):
        rois, _ = proposals(
            [np.ones((1, 1))],
            deltas,
            [np.float32([[38, 38, 42, 42]])],
            delta_clip=float(clip),
            rpn_test_post_nms=1,
        )
        np.testing.assert_allclose(
            rois[0, 0], [40 - side / 2, 40 - side / 2, 40 + side / 2, 40 + side / 2], rtol=1e-5
        )


def test_fewer_anchors_than_proposals_are_padded():
    logits, deltas, anchors = raw_levels((3, 1))
    rois, scores = proposals(logits, deltas, anchors, rpn_test_pre_nms=10, rpn_test_post_nms=50)
    assert rois.shape == (2, 50, 4) and scores.shape == (2, 50)
    assert ((scores > 0).sum(axis=1) <= 4).all() and (scores[:, 0] > 0).all()
    assert (scores[scores <= 0] == -1).all() and (rois[scores <= 0] == 0).all()


def test_padding_is_zero_even_where_every_candidate_survives():
    logits, _, _ = raw_levels((3,))
    anchors = [np.float32([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]])]
    rois, scores = proposals(
        logits, [np.zeros((2, 3, 4))], anchors, rpn_test_pre_nms=3, rpn_test_post_nms=8
    )
    assert (scores[:, :3] > 0).all() and (scores[:, 3:] == -1).all()
    assert (rois[:, :3, 2] > 0).all() and (rois[:, 3:] == 0).all()


def test_none_survives_the_minimal_size():
    rois, scores = proposals(
        *raw_levels((20, 5)), rpn_test_pre_nms=10, rpn_test_post_nms=6, rpn_min_size=1000.0
    )
    assert (rois == 0).all() and (scores == -1).all()


def test_anchors_outside_the_image_propose_nothing():
    logits, deltas, anchors = raw_levels((20,))
    rois, scores = proposals(
        logits, [0 * deltas[0]], [anchors[0] + 200], rpn_test_pre_nms=10, rpn_test_post_nms=6
    )
    assert (rois == 0).all() and (scores == -1).all()


def test_head_answers_in_the_order_of_the_anchors():
    """Weights that copy channels make each answer name the place and the anchor it is for."""
    sizes, ratios, height, width = (8, 16), (0.5, 1.0), 3, 5
    head = RPNHead(in_channels=2, channels=2, num_anchors=4)
    head.initialize()
    kernel = np.zeros((2, 2, 3, 3))
    kernel[[0, 1], [0, 1], 1, 1] = 1
    head.conv.weight.set_data(mx.nd.array(kernel))
    score, loc = np.zeros((4, 2, 1, 1)), np.zeros((16, 2, 1, 1))
    score[:, :, 0, 0] = [1, 100]  # x + 100 y + the bias below
    loc[:, 0] = 1
    head.score.weight.set_data(mx.nd.array(score))
    head.loc.weight.set_data(mx.nd.array(loc))
    head.score.bias.set_data(mx.nd.array([0.1, 0.2, 0.3, 0.4]))
    head.loc.bias.set_data(mx.nd.array(np.arange(16) * 0.01))
    y, x = np.mgrid[:height, :width]
    feature = mx.nd.array(np.stack([x, y])[None])
    (logits,), (deltas,) = head.over([feature])
    (anchors,) = pyramid_anchors(
        mx.nd, mx.nd.zeros((1, 3, 4 * height, 4 * width)), [feature], (4,), (sizes,), ratios
    )
    place = anchors.asnumpy().reshape(-1, 4)
    place = (place[:, :2] + place[:, 2:]) / 2 / 4
    which = np.tile(np.arange(4), height * width)
    np.testing.assert_allclose(
        logits.asnumpy()[0], place[:, 0] + 100 * place[:, 1] + 0.1 * (which + 1), rtol=1e-5
    )
    wanted = place[:, :1] + 0.01 * (4 * which[:, None] + np.arange(4))
    np.testing.assert_allclose(deltas.asnumpy()[0], wanted, rtol=1e-5, atol=1e-6)


def test_a_second_convolution():
    """As in torchvision's second versions: each is followed by the same activation."""
    head, x = RPNHead(6, 8, 3, num_convs=2), mx.nd.random.normal(0, 1, (2, 6, 4, 5))
    head.initialize(mx.init.Normal(0.5))
    logits, deltas = head(x)
    hidden = mx.nd.relu(head.conv2(mx.nd.relu(head.conv(x))))
    np.testing.assert_allclose(
        logits.asnumpy(),
        head.score(hidden).transpose((0, 2, 3, 1)).asnumpy().reshape(2, -1),
        rtol=1e-4,
        atol=1e-5,
    )
    wanted = head.loc(hidden).transpose((0, 2, 3, 1)).asnumpy().reshape(2, -1, 4)
    np.testing.assert_allclose(deltas.asnumpy(), wanted, rtol=1e-4, atol=1e-5)
    names = set(head._collect_params_with_prefix())
    assert names - set(RPNHead(6, 8, 3)._collect_params_with_prefix()) == {
        "conv2.weight",
        "conv2.bias",
    }
    head.hybridize()
    np.testing.assert_allclose(head(x)[0].asnumpy(), logits.asnumpy(), rtol=1e-4, atol=1e-5)
