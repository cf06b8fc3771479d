"""Each field of the convention against the tables and formulas of its codebase."""

import json
from dataclasses import asdict, fields, replace

from gluonnorm.errors import InputError
from gluonnorm.rcnn import CONVENTIONS, BoxConvention, DetectorConfig, ModelSpec
from gluonnorm.rcnn.anchors import cell_anchors, pyramid_anchors
from gluonnorm.rcnn.detect import detect
from gluonnorm.rcnn.roi_align import roi_align, roi_level
from gluonnorm.rcnn.rpn import RPNOutputs, propose

import numpy as np
import pytest
from reference.detector import detector
from reference.graph import both
from tiny_detector import images, tiny_detector

MODERN = BoxConvention()
RATIOS = (0.5, 1.0, 2.0)
LEVELS = ((4, 32), (8, 64), (16, 128), (32, 256), (64, 512))  # stride and size
LEGACY = [
    [
        (-22, -10, 25, 13),
        (-14, -14, 17, 17),
        (-10, -22, 13, 25),
    ],  # Detectron's and GluonCV's, P2 to P6
    [(-40, -20, 47, 27), (-28, -28, 35, 35), (-20, -44, 27, 51)],
    [(-84, -40, 99, 55), (-56, -56, 71, 71), (-36, -80, 51, 95)],
    [(-164, -72, 195, 103), (-112, -112, 143, 143), (-76, -168, 107, 199)],
    [(-332, -152, 395, 215), (-224, -224, 287, 287), (-148, -328, 211, 391)],
]
LEGACY_C4 = [
    (-15, -4, 30, 19),
    (-38, -16, 53, 31),
    (-84, -40, 99, 55),
    (-176, -88, 191, 103),
    (-360, -184, 375, 199),
    (-8, -8, 23, 23),
    (-24, -24, 39, 39),
    (-56, -56, 71, 71),
    (-120, -120, 135, 135),
    (-248, -248, 263, 263),
    (-3, -14, 18, 29),
    (-14, -36, 29, 51),
    (-36, -80, 51, 95),
    (-80, -168, 95, 183),
    (-168, -344, 183, 359),
]
ROUNDED = [
    [(23, 11), (16, 16), (11, 23)],
    [(45, 23), (32, 32), (23, 45)],
    [(91, 45), (64, 64), (45, 91)],
    [(181, 91), (128, 128), (91, 181)],
    [(362, 181), (256, 256), (181, 362)],
]  # torchvision's half sides
SIDES = [
    111,
    112,
    222.9999,
    223,
    223.9999,
    224,
    447,
    448,
]  # of squares: the level changes at 112, 224 and 448
AT_112_224_448 = {
    "modern": [2, 3, 3, 3, 3, 4, 4, 5],
    "detectron2": [2, 3, 3, 3, 3, 4, 4, 5],
    "torchvision": [2, 3, 3, 3, 4, 4, 4, 5],
    "detectron": [3, 3, 4, 4, 4, 4, 5, 5],
    "gluoncv": [3, 3, 4, 4, 4, 4, 5, 5],
}
RATIOS_OF_CELL = ((16, 0.5), (16, 2.0), (64, 0.5), (64, 2.0))
FLAT, THIN, GOOD = (10.0, 0.0, 30.0, 0.0), (50.0, 10.0, 50.0005, 40.0), (60.0, 20.0, 90.0, 50.0)


def spec_of(convention):
    return ModelSpec(
        "mask_rcnn_R_50_FPN_3x_gn",
        "gn",
        None,
        None,
        ("a", "b"),
        DetectorConfig(convention=convention),
    )


@pytest.mark.parametrize("name", sorted(CONVENTIONS))
def test_presets_survive_json(name):
    spec = spec_of(name)
    assert spec.config.convention is CONVENTIONS[name] is BoxConvention.of(name)
    again = ModelSpec.from_dict(json.loads(json.dumps(asdict(spec))))
    assert (
        again == spec
        and hash(again) == hash(spec)
        and isinstance(again.config.convention, BoxConvention)
    )


def test_every_field_survives_json():
    others = {
        "anchors": "legacy",
        "anchor_order": "ratio",
        "anchor_stride": "map",
        "proposal_nms": "joint",
        "proposal_scores": "sigmoid",
        "mask_paste": "round",
    }
    changes = {}
    for field in fields(BoxConvention):
        changes[field.name] = (
            not field.default if field.type is bool else others.get(field.name, 0.25)
        )
    spec = spec_of(BoxConvention(**changes))
    assert all(
        getattr(spec.config.convention, field.name) != field.default
        for field in fields(BoxConvention)
    )
    assert ModelSpec.from_dict(json.loads(json.dumps(asdict(spec)))) == spec


def test_a_record_without_a_convention_is_modern():
    record = asdict(spec_of("modern"))
    del record["config"]["convention"]
    assert ModelSpec.from_dict(record).config.convention == MODERN


def test_of_takes_a_name_a_dict_or_a_record():
    record = BoxConvention(anchors="rounded")
    assert BoxConvention.of(record) is record
    assert BoxConvention.of({"anchors": "rounded"}) == record != MODERN
    assert DetectorConfig().override(convention="gluoncv").convention == CONVENTIONS["gluoncv"]


@pytest.mark.parametrize("value", ["detectron3", None, 3])
def test_of_refuses_what_is_no_convention(value):
    with pytest.raises(
        InputError,
        match="convention is .*; give a BoxConvention or one of modern, detectron2, torchv",
    ):
        BoxConvention.of(value)


@pytest.mark.parametrize(
    "value,message",
    [
        ({"anchor": "exact"}, "no field 'anchor'; did you mean anchors"),
        ({"anchors": "exact", "zzz": True}, "no field 'zzz'; the fields are anchors, anchor_order"),
    ],
)
def test_of_refuses_unknown_fields(value, message):
    with pytest.raises(InputError, match=message):
        BoxConvention.of(value)


@pytest.mark.parametrize(
    "field,value,choices",
    [
        ("anchors", "round", "exact, rounded, legacy"),
        ("anchor_order", "scale", "size, ratio"),
        ("anchor_stride", 16, "nominal, map"),
        ("proposal_nms", "both", "level, joint"),
        ("proposal_scores", "sigmoids", "logit, sigmoid"),
        ("mask_paste", None, "sample, expand, round"),
    ],
)
def test_wrong_values_are_refused(field, value, choices):
    with pytest.raises(
        InputError, match=f"BoxConvention.{field} is {value!r}; give one of {choices}"
    ):
        BoxConvention(**{field: value})


@pytest.mark.parametrize("name", ["detectron", "gluoncv"])
def test_legacy_anchors_are_those_printed_by_the_programs(name):
    for (stride, size), wanted in zip(LEVELS, LEGACY):
        np.testing.assert_array_equal(
            cell_anchors(stride, (size,), RATIOS, CONVENTIONS[name]), wanted
        )
    cells = cell_anchors(16, (32, 64, 128, 256, 512), RATIOS, CONVENTIONS[name])
    np.testing.assert_array_equal(cells, LEGACY_C4)


def test_rounded_anchors_are_torchvision_s():
    for (stride, size), wanted in zip(LEVELS, ROUNDED):
        cells = cell_anchors(stride, (size,), RATIOS, CONVENTIONS["torchvision"])
        np.testing.assert_array_equal(cells, [(-w, -h, w, h) for w, h in wanted])


@pytest.mark.parametrize("name", ["modern", "detectron2"])
def test_exact_anchors_are_not_rounded(name):
    cells = cell_anchors(4, (32,), RATIOS, CONVENTIONS[name])
    w, h = 32 * 2**0.5 / 2, 32 / 2**0.5 / 2
    np.testing.assert_allclose(
        cells, [(-w, -h, w, h), (-16, -16, 16, 16), (-h, -w, h, w)], rtol=1e-6
    )
    np.testing.assert_allclose(
        (cells[:, 2] - cells[:, 0]) * (cells[:, 3] - cells[:, 1]), 32**2, rtol=1e-6
    )


def test_the_order_within_a_cell():
    def pairs(convention):
        cells = cell_anchors(16, (16, 64), (0.5, 2.0), convention)
        w, h = cells[:, 2] - cells[:, 0], cells[:, 3] - cells[:, 1]
        return [
            (round(float(size)), float(ratio))
            for size, ratio in zip((w * h) ** 0.5, np.round(h / w, 3))
        ]

    assert pairs(MODERN) == list(RATIOS_OF_CELL)
    assert pairs(BoxConvention(anchor_order="ratio")) == [RATIOS_OF_CELL[i] for i in (0, 2, 1, 3)]


@pytest.mark.parametrize(
    "side,wanted", [(800, 61), (480, 60), (544, 60), (608, 60), (352, 58), (1088, 64), (1344, 64)]
)
def test_the_stride_of_the_pooled_level(side, wanted):
    """torchvision divides the padded side by the cells; pooling halves them and rounds up."""
    cells = -(-side // 64)

    def steps(convention):
        def function(F, image, level):
            return pyramid_anchors(F, image, [level], (64,), ((512,),), (1.0,), convention)

        (anchors,) = both(function, np.zeros((1, 1, side, 64)), np.zeros((1, 1, cells, 1)))
        return set(np.diff(anchors[:, 1]).tolist())

    assert steps(MODERN) == {64.0}
    assert steps(CONVENTIONS["torchvision"]) == {float(wanted)}


@pytest.mark.parametrize("name", sorted(CONVENTIONS))
def test_the_level_of_rois_on_the_boundaries(name):
    sides = np.float32(SIDES)
    rois = np.stack([0 * sides, 0 * sides, sides, sides], axis=1)[None]
    (levels,) = both(lambda F, rois: roi_level(F, rois, 2, 5, CONVENTIONS[name]), rois)
    assert levels[0, :, 0].tolist() == AT_112_224_448[name]


@pytest.mark.parametrize(
    "change", [{"level_offset": 1.0}, {"level_eps_inside": 1e-6}, {"level_eps": 1e-6}]
)
def test_each_part_of_the_level_rule_moves_the_boundary(change):
    side = 223 if "level_offset" in change else 223.9999
    rois = [[[0, 0, side, side]]]
    levels = [
        both(lambda F, rois, convention=convention: roi_level(F, rois, 2, 5, convention), rois)[0]
        for convention in (MODERN, replace(MODERN, **change))
    ]
    assert [level.item() for level in levels] == [3, 4]


def test_aligned_features_are_read_half_a_cell_up_and_left_of_the_others():
    ramp = np.tile(np.arange(16.0), (1, 1, 16, 1))  # the value of a cell is its column

    def columns(box, aligned):
        (pooled,) = both(
            lambda F, x, rois: roi_align(
                F, [x], rois, (4,), 2, 2, BoxConvention(roi_aligned=aligned)
            ),
            ramp,
            [[box]],
        )
        return pooled[0, 0, 0].tolist()

    assert columns([16, 16, 32, 32], True) == [
        4.5,
        6.5,
    ]  # columns 4 to 7, whose edges are at 16 and 32 pixels
    assert columns([16, 16, 32, 32], False) == [5, 7]
    np.testing.assert_allclose(
        columns([16, 16, 18, 18], True), [3.625, 3.875], rtol=1e-6
    )  # half a cell wide
    np.testing.assert_allclose(
        columns([16, 16, 18, 18], False), [4.25, 4.75], rtol=1e-6
    )  # as if a cell wide


def proposals(convention, boxes, scores, extent=(60, 100), **settings):
    """What comes of anchors that are the boxes already: (n, 4)."""
    config = DetectorConfig(convention=convention, rpn_test_post_nms=8).override(**settings)

    def function(F, height, width, *levels):
        count = len(levels) // 2
        deltas = [F.zeros_like(F.expand_dims(anchors, axis=0)) for anchors in levels[:count]]
        outputs = RPNOutputs(levels[count:], deltas, levels[:count])
        return propose(F, outputs, (height, width), config, training=False)

    rois, ranks = both(function, extent[:1], extent[1:], *boxes, *([level] for level in scores))
    return rois[0, ranks[0] >= 0].tolist()


@pytest.mark.parametrize(
    "name,min_size,kept",
    [
        ("gluoncv", 1.0, (FLAT, THIN, GOOD)),
        ("gluoncv", 1.01, (GOOD,)),
        ("gluoncv", 31.0, (GOOD,)),
        ("gluoncv", 31.5, ()),
        ("modern", 0.0, (THIN, GOOD)),
        ("modern", 30.0, (GOOD,)),
        ("modern", 30.5, ()),
        ("torchvision", 1e-3, (GOOD,)),
        ("torchvision", 1e-4, (THIN, GOOD)),
        ("detectron", 0.0, (FLAT, THIN, GOOD)),
    ],
)
def test_the_least_size_of_a_proposal(name, min_size, kept):
    """GluonCV and Detectron count one pixel more, so that a box without height still competes."""
    found = proposals(name, [[FLAT, THIN, GOOD]], [[3, 2, 1]], rpn_min_size=min_size)
    np.testing.assert_allclose(np.reshape(found, (-1, 4)), np.reshape(kept, (-1, 4)), atol=1e-4)


def test_joint_proposals_compete_over_the_levels():
    boxes, scores = (
        [[(0, 0, 40, 40), (60, 0, 90, 30)], [(1, 0, 41, 40), (0, 30, 20, 55)]],
        [[4, 1], [3, 2]],
    )
    by_level = proposals(MODERN, boxes, scores, rpn_test_pre_nms=2)
    assert by_level == [[0, 0, 40, 40], [1, 0, 41, 40], [0, 30, 20, 55], [60, 0, 90, 30]]
    joint = BoxConvention(proposal_nms="joint")
    assert proposals(joint, boxes, scores) == [[0, 0, 40, 40], [0, 30, 20, 55], [60, 0, 90, 30]]
    assert proposals(joint, boxes, scores, rpn_test_pre_nms=3) == [[0, 0, 40, 40], [0, 30, 20, 55]]


def test_small_boxes_take_no_place_among_joint_proposals_only():
    boxes, scores = [[(0, 0, 5, 5), (0, 0, 40, 40), (60, 0, 90, 30)]], [[3, 2, 1]]
    settings = {"rpn_test_pre_nms": 2, "rpn_min_size": 10.0}
    assert proposals(MODERN, boxes, scores, **settings) == [[0, 0, 40, 40]]
    joint = BoxConvention(proposal_nms="joint")
    assert proposals(joint, boxes, scores, **settings) == [[0, 0, 40, 40], [60, 0, 90, 30]]


def test_sigmoids_make_large_logits_equal_and_the_finer_level_comes_first():
    boxes, scores = (
        [[(0, 0, 10, 10), (20, 0, 30, 10)], [(40, 0, 50, 10), (60, 0, 70, 10)]],
        [[30, 1], [40, 2]],
    )
    sigmoid = BoxConvention(proposal_scores="sigmoid")
    assert [box[0] for box in proposals(MODERN, boxes, scores)] == [40, 0, 60, 20]
    assert [box[0] for box in proposals(sigmoid, boxes, scores, rpn_test_pre_nms=2)] == [
        0,
        40,
        60,
        20,
    ]
    joint = BoxConvention(proposal_scores="sigmoid", proposal_nms="joint")
    assert [box[0] for box in proposals(joint, boxes, scores, rpn_test_pre_nms=4)] == [
        0,
        40,
        60,
        20,
    ]
    within = [[30, 40], [50, 20]]  # the choice within a level is by logits all the same
    assert [box[0] for box in proposals(sigmoid, boxes, within, rpn_test_pre_nms=1)] == [20, 40]


def test_an_iou_at_the_threshold_suppresses_only_where_it_should():
    half = [[(0, 0, 8, 8), (0, 0, 8, 4)]]  # IoU 32 / 64
    settings = {"rpn_nms_thresh": 0.5}
    assert len(proposals(MODERN, half, [[2, 1]], **settings)) == 2
    assert len(proposals(BoxConvention(nms_at_threshold=True), half, [[2, 1]], **settings)) == 1
    assert (
        len(proposals(BoxConvention(nms_at_threshold=True), half, [[2, 1]], rpn_nms_thresh=0.501))
        == 2
    )
    inclusive = [[(0, 0, 7, 7), (0, 0, 7, 3)]]  # 8 by 4 of 8 by 8 pixels
    assert len(proposals(CONVENTIONS["detectron"], inclusive, [[2, 1]], **settings)) == 1
    assert (
        len(
            proposals(
                replace(CONVENTIONS["detectron"], nms_at_threshold=False),
                inclusive,
                [[2, 1]],
                **settings,
            )
        )
        == 2
    )
    for thresh in (0.3, 0.5, 0.7):
        assert MODERN.iou_limit(thresh) == thresh
        limit = BoxConvention(nms_at_threshold=True).iou_limit(thresh)
        assert np.float32(limit) < np.float32(thresh) < limit + 1e-7


def test_inclusive_corners_are_cut_to_the_last_pixel_and_overlap_more():
    beyond = [[(-5, -5, 200, 200)]]
    assert proposals(MODERN, beyond, [[1]]) == [[0, 0, 100, 60]]
    assert proposals("gluoncv", beyond, [[1]]) == [
        [0, 0, 100, 60]
    ]  # a pixel more for the least size, and no more
    assert proposals(BoxConvention(inclusive=True), beyond, [[1]]) == [[0, 0, 99, 59]]
    touching = [[(0, 0, 3, 0.5), (0, 0, 3, 2)]]  # IoU 0.25 of widths 3, 0.5 of widths 4
    assert len(proposals(MODERN, touching, [[2, 1]], rpn_nms_thresh=0.4)) == 2
    assert (
        len(proposals(BoxConvention(inclusive=True), touching, [[2, 1]], rpn_nms_thresh=0.4)) == 1
    )


def detections(convention, rois, **settings):
    """Boxes of one class with high scores, no deltas: (n, 4)."""
    config = DetectorConfig(convention=convention, rpn_test_post_nms=len(rois), **settings)

    def function(F, height, width, logits, deltas, rois, scores):
        return detect(F, logits, deltas, rois, scores, (height, width), 1, config)

    count = len(rois)
    ids, _, boxes = both(
        function,
        [60],
        [100],
        [[0, 3 - 0.1 * i] for i in range(count)],
        np.zeros((count, 4)),
        [rois],
        np.ones((1, count)),
    )
    return boxes[0, ids[0, :, 0] >= 0].tolist()


@pytest.mark.parametrize(
    "name,wanted",
    [
        ("modern", [0, 0, 100, 60]),
        ("torchvision", [0, 0, 100, 60]),
        ("detectron", [0, 0, 99, 59]),
        ("gluoncv", [-5, -5, 200, 200]),
    ],
)
def test_where_detections_are_cut(name, wanted):
    np.testing.assert_allclose(detections(name, [(-5, -5, 200, 200)]), [wanted], atol=1e-4)


@pytest.mark.parametrize("name,least", [("modern", 0.0), ("torchvision", 0.01)])
def test_the_least_size_of_a_detection(name, least):
    rois = [(10, 10, 40, 10.009), (10, 40, 40, 40.02)]
    wanted = [roi for roi in rois if roi[3] - roi[1] >= least]
    assert len(wanted) == (1 if least else 2)
    np.testing.assert_allclose(detections(name, rois), wanted, atol=1e-4)


def test_detections_at_the_threshold():
    rois = [(0, 0, 8, 8), (0, 0, 8, 4)]
    assert len(detections(MODERN, rois, nms_thresh=0.5)) == 2
    assert len(detections(BoxConvention(nms_at_threshold=True), rois, nms_thresh=0.5)) == 1


@pytest.mark.parametrize("name", ["torchvision", "detectron", "gluoncv"])
@pytest.mark.parametrize("kind", ["fpn", "c4"])
def test_a_detector_of_each_convention_equals_loops(kind, name):
    """The whole, on an image whose sides are padded."""
    net, x = (
        tiny_detector(kind, convention=name, max_detections=70, rpn_min_size=1.0),
        images(1, 50, 70),
    )
    wanted, _ = detector(net, x)
    assert 5 < (wanted[0] >= 0).sum() < 70
    for got, want in zip(net(x), wanted):
        np.testing.assert_allclose(got.asnumpy()[0], want, rtol=1e-4, atol=1e-3)
    modern, _ = detector(tiny_detector(kind, max_detections=70, rpn_min_size=1.0), x)
    assert np.abs(modern[2] - wanted[2]).max() > 0.1  # the convention matters


def test_proposals_may_reach_into_the_padding():
    """Detectron cuts them to the padded image; the final boxes end at the image all the same."""
    found = {}
    for clip in (False, True):
        net = tiny_detector(
            "fpn", convention=BoxConvention(clip_to_padding=clip), max_detections=70
        )
        wanted, _ = detector(net, images(1, 50, 70))
        found[clip] = net(images(1, 50, 70))[2].asnumpy()[0]
        np.testing.assert_allclose(found[clip], wanted[2], rtol=1e-4, atol=1e-3)
        assert (found[clip] <= [70, 50, 70, 50]).all()
    assert np.abs(found[True] - found[False]).max() > 0.1
