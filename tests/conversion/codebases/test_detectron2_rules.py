"""Detectron2's names: one to one with recorded state dicts, and its ImageNet files."""

from gluonnorm.conversion import ConversionError
from gluonnorm.conversion.codebase import source_names
from gluonnorm.conversion.codebases.detectron2 import DETECTRON2
from gluonnorm.conversion.match import match

import numpy as np
import pytest
from reference.codebase_shapes import detectron_resnet, ones, recorded
from reference.parameter_shapes import backbone, c4_detector, fpn_detector

GN = {"norm": "gn", "head_norm": "gn", "head": "4conv1fc", "mask": True}
CASES = {
    "detectron2_mask_rcnn_R_50_FPN_3x_480x640_s0": fpn_detector(mask=True),
    "detectron2_mask_rcnn_R_50_FPN_3x_gn_480x640_s0": fpn_detector(**GN),
    "detectron2_faster_rcnn_R_50_C4_3x_480x640_s0": c4_detector(),
}


@pytest.mark.parametrize("case", CASES)
def test_names_and_shapes_are_those_of_the_real_state_dict(case):
    shapes, real = CASES[case], recorded(case)
    found = match(DETECTRON2, shapes, ones(real))
    assert {row.source_name for row in found.matches} == set(real) and len(found.matches) == len(
        real
    )
    assert {name: array.shape for name, array in found.arrays.items()} == shapes


@pytest.mark.parametrize(
    "ours, name",
    [
        ("backbone.lateral3.norm.beta", "backbone.fpn_lateral3.norm.bias"),
        ("backbone.output2.conv.weight", "backbone.fpn_output2.weight"),
        ("backbone.backbone.bn1.gamma", "backbone.bottom_up.stem.conv1.norm.weight"),
        (
            "backbone.backbone.layer4.0.downsample.1.gamma",
            "backbone.bottom_up.res5.0.shortcut.norm.weight",
        ),
        ("box_head.convs.6.norm.gamma", "roi_heads.box_head.conv4.norm.weight"),
        ("mask_head.convs.2.conv.weight", "roi_heads.mask_head.mask_fcn2.weight"),
        ("rpn.loc.bias", "proposal_generator.rpn_head.anchor_deltas.bias"),
    ],
)
def test_single_names(ours, name):
    real = recorded("detectron2_mask_rcnn_R_50_FPN_3x_gn_480x640_s0")
    rows = {
        row.name: row.source_name
        for row in match(DETECTRON2, fpn_detector(**GN), ones(real)).matches
    }
    assert rows[ours] == name


def test_background_comes_first_and_boxes_and_masks_have_none():
    arrays = ones(recorded("detectron2_mask_rcnn_R_50_FPN_3x_480x640_s0"))
    arrays["roi_heads.box_predictor.cls_score.bias"] = np.arange(81, dtype=np.float32)
    arrays["roi_heads.box_predictor.bbox_pred.bias"] = np.arange(320, dtype=np.float32)
    arrays["roi_heads.mask_head.predictor.bias"] = np.arange(80, dtype=np.float32)
    found = match(DETECTRON2, fpn_detector(mask=True), arrays).arrays
    np.testing.assert_array_equal(found["predictor.score.bias"], [80, *range(80)])
    np.testing.assert_array_equal(found["predictor.loc.bias"], np.arange(320))
    np.testing.assert_array_equal(found["mask_head.score.bias"], np.arange(80))


def test_boxes_without_classes_serve_every_class():
    arrays = ones(recorded("detectron2_mask_rcnn_R_50_FPN_3x_480x640_s0"))
    arrays["roi_heads.box_predictor.bbox_pred.bias"] = np.arange(4, dtype=np.float32)
    arrays["roi_heads.box_predictor.bbox_pred.weight"] = np.ones((4, 1024), np.float32)
    found = match(DETECTRON2, fpn_detector(mask=True), arrays)
    np.testing.assert_array_equal(found.arrays["predictor.loc.bias"], np.tile(np.arange(4), 80))
    assert (
        "one box for all classes"
        in {row.name: row.note for row in found.matches}["predictor.loc.bias"]
    )


def test_settings_in_old_checkpoints_are_left_out():
    arrays = ones(
        {
            **recorded("detectron2_faster_rcnn_R_50_C4_3x_480x640_s0"),
            "pixel_mean": (3, 1, 1),
            "pixel_std": (3, 1, 1),
            "proposal_generator.anchor_generator.cell_anchors.0": (15, 4),
        }
    )
    assert len(match(DETECTRON2, c4_detector(), arrays).left_out) == 3


def own_resnet():
    """An ImageNet file in Detectron2's own words, from the C4 detector that would start with it."""
    real = recorded("detectron2_faster_rcnn_R_50_C4_3x_480x640_s0")
    shapes = {
        name.split(".", 1)[1]: shape
        for name, shape in real.items()
        if name.startswith(("backbone.", "roi_heads.res5."))
    }
    return {**shapes, "stem.fc.weight": (1000, 2048), "stem.fc.bias": (1000,)}


def test_imagenet_files_in_its_own_words():
    found = match(DETECTRON2, backbone(), ones(own_resnet()))
    assert len(found.arrays) == 265 and [name for name, _ in found.left_out] == [
        "stem.fc.weight",
        "stem.fc.bias",
    ]


def test_imagenet_files_in_the_words_of_detectron():
    assert (
        len(match(DETECTRON2, backbone(norm="gn"), ones(detectron_resnet(50, "gn"))).arrays) == 159
    )
    merged = match(DETECTRON2, backbone(), ones(detectron_resnet(50, "bn")))
    np.testing.assert_allclose(merged.arrays["bn1.gamma"], np.sqrt(1 + 1e-5), rtol=1e-7)
    statistics = {
        name.replace("_s", end): shape
        for name, shape in detectron_resnet(50, "bn").items()
        if name.endswith("_bn_s")
        for end in ("_rm", "_riv")
    }
    plain = match(DETECTRON2, backbone(), ones({**detectron_resnet(50, "bn"), **statistics}))
    assert len(plain.arrays) == 265 and (plain.arrays["bn1.gamma"] == 1).all()


def test_group_norm_is_not_taken_for_batch_norm():
    with pytest.raises(
        ConversionError, match=r"106 missing: backbone\.backbone\.bn1\.running_mean"
    ):
        match(
            DETECTRON2,
            fpn_detector(norm="bn", head_norm="gn", head="4conv1fc", mask=True),
            ones(recorded("detectron2_mask_rcnn_R_50_FPN_3x_gn_480x640_s0")),
        )


def test_a_detector_fills_a_bare_backbone():
    found = match(
        DETECTRON2, backbone(), ones(recorded("detectron2_faster_rcnn_R_50_C4_3x_480x640_s0"))
    )
    assert len(found.arrays) == 265
    assert {row.name: row.source_name for row in found.matches}[
        "layer4.2.conv3.weight"
    ] == "roi_heads.res5.2.conv3.weight"


def test_detectron_has_other_words_for_the_rest():
    assert source_names(DETECTRON2, fpn_detector())["predictor.score.weight"].candidates == (
        "roi_heads.box_predictor.cls_score.weight",
    )
