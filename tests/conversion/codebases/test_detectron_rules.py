"""Detectron's blobs: the documented names, BN* as a scale and shift, and what is ignored."""

from gluonnorm.conversion import ConversionError
from gluonnorm.conversion.codebase import source_names
from gluonnorm.conversion.codebases.detectron import DETECTRON
from gluonnorm.conversion.match import match

import numpy as np
import pytest
from reference.codebase_shapes import detectron_c4, detectron_fpn, detectron_resnet, ones
from reference.parameter_shapes import backbone, c4_detector, fpn_detector

GN = {"norm": "gn", "head_norm": "gn", "head": "4conv1fc", "mask": True}


@pytest.mark.parametrize(
    "shapes, names, keys, values",
    [
        (backbone(50, "gn"), detectron_resnet(50, "gn"), 161, 25557032),
        (backbone(101, "gn"), detectron_resnet(101, "gn"), 314, 44549160),
        (fpn_detector(50, **GN), detectron_fpn(50, "gn"), 223, 45715509),
        (fpn_detector(101, **GN), detectron_fpn(101, "gn"), 376, 64707637),
    ],
    ids=["R-50-GN", "R-101-GN", "mask R-50-FPN GN", "mask R-101-FPN GN"],
)
def test_group_norm_files_map_one_to_one(shapes, names, keys, values):
    assert len(names) == keys and sum(int(np.prod(shape)) for shape in names.values()) == values
    found = match(DETECTRON, shapes, ones(names))
    assert {row.source_name for row in found.matches} | {name for name, _ in found.left_out} == set(
        names
    )
    assert len(found.matches) == len(shapes) and {name for name, _ in found.left_out} <= {
        "pred_w",
        "pred_b",
    }
    assert all(found.arrays[name].shape[1:] == shape[1:] for name, shape in shapes.items())


@pytest.mark.parametrize(
    "shapes, names",
    [
        (backbone(), detectron_resnet(50, "bn")),
        (backbone(101), detectron_resnet(101, "bn")),
        (fpn_detector(mask=True), detectron_fpn(50, "bn")),
        (fpn_detector(101), detectron_fpn(101, "bn", mask=False)),
        (c4_detector(), detectron_c4()),
    ],
    ids=["MSRA R-50", "MSRA R-101", "mask R-50-FPN", "faster R-101-FPN", "C4"],
)
def test_bn_star_files_use_every_blob(shapes, names):
    found = match(DETECTRON, shapes, ones(names))
    assert {row.source_name for row in found.matches} | {name for name, _ in found.left_out} == set(
        names
    ) | {""}
    assert {name: array.shape for name, array in found.arrays.items()} == shapes


@pytest.mark.parametrize(
    "ours, blob",
    [
        ("backbone.lateral5.norm.gamma", "fpn_inner_res5_2_sum_gn_s"),
        ("backbone.lateral4.norm.beta", "fpn_inner_res4_5_sum_lateral_gn_b"),
        ("backbone.output3.conv.weight", "fpn_res3_3_sum_w"),
        ("backbone.backbone.bn1.beta", "conv1_gn_b"),
        ("backbone.backbone.layer3.4.bn2.gamma", "res4_4_branch2b_gn_s"),
        ("backbone.backbone.layer1.0.downsample.0.weight", "res2_0_branch1_w"),
        ("box_head.convs.4.conv.weight", "head_conv3_w"),
        ("mask_head.convs.0.norm.beta", "_mask_fcn1_gn_b"),
        ("rpn.score.weight", "rpn_cls_logits_fpn2_w"),
    ],
)
def test_single_names(ours, blob):
    rows = {
        row.name: row.source_name
        for row in match(DETECTRON, fpn_detector(**GN), ones(detectron_fpn())).matches
    }
    assert rows[ours] == blob


def test_the_top_level_is_named_after_the_depth():
    rows = {
        row.name: row.source_name
        for row in match(DETECTRON, fpn_detector(101, **GN), ones(detectron_fpn(101))).matches
    }
    assert rows["backbone.lateral4.conv.weight"] == "fpn_inner_res4_22_sum_lateral_w"


def test_bn_star_is_exactly_a_scale_and_shift():
    rng = np.random.default_rng(0)
    arrays = ones(detectron_resnet(50, "bn"))
    scale, shift = (
        rng.normal(1, 0.5, 64).astype(np.float32),
        rng.normal(0, 1, 64).astype(np.float32),
    )
    arrays.update(res_conv1_bn_s=scale, res_conv1_bn_b=shift)
    found = match(DETECTRON, backbone(), arrays)
    gamma, beta, mean, var = (
        found.arrays[f"bn1.{leaf}"].astype(np.float64)
        for leaf in ("gamma", "beta", "running_mean", "running_var")
    )
    x = rng.normal(0, 10, (1000, 64))
    # One rounding of gamma to float32 is left: 6e-8. Without the correction for eps it would be
    # 5e-6.
    np.testing.assert_allclose(
        gamma * (x - mean) / np.sqrt(var + 1e-5) + beta, scale * x + shift, rtol=2e-7, atol=5e-6
    )
    assert np.abs(gamma / np.sqrt(1 + 1e-5) - scale).max() < 1.3e-7
    assert any("eps 0 in 53" in note for note in found.notes)


def test_classes_lose_the_background_of_boxes_and_masks():
    arrays = ones(detectron_fpn(50, "bn"))
    arrays.update(
        cls_score_b=np.arange(81, dtype="f4"),
        bbox_pred_b=np.arange(324, dtype="f4"),
        mask_fcn_logits_b=np.arange(81, dtype="f4"),
    )
    found = match(DETECTRON, fpn_detector(mask=True), arrays).arrays
    np.testing.assert_array_equal(found["predictor.score.bias"], np.arange(81))
    np.testing.assert_array_equal(found["predictor.loc.bias"], np.arange(4, 324))
    np.testing.assert_array_equal(found["mask_head.score.bias"], np.arange(1, 81))


def test_of_boxes_without_classes_the_last_four_rows_count():
    arrays = ones(detectron_c4())
    arrays.update(bbox_pred_w=np.ones((8, 2048), "f4"), bbox_pred_b=np.arange(8, dtype="f4"))
    found = match(DETECTRON, c4_detector(), arrays).arrays
    np.testing.assert_array_equal(found["predictor.loc.bias"], np.tile([4, 5, 6, 7], 80))


def test_momenta_classifier_and_zero_biases_are_left_out():
    names = {
        **detectron_c4(),
        "conv1_w_momentum": (64, 3, 7, 7),
        "fc1000_w": (1000, 2048),
        "fc1000_b": (1000,),
        "pred_b": (1000,),
    }
    arrays = {**ones(names), "conv1_b": np.zeros(64, "f4"), "res2_0_branch2a_b": np.zeros(64, "f4")}
    assert len(match(DETECTRON, c4_detector(), arrays).left_out) == 6
    arrays["res2_0_branch2a_b"][3] = 1e-3
    with pytest.raises(ConversionError, match=r"1 unexpected: res2_0_branch2a_b .*not zero"):
        match(DETECTRON, c4_detector(), arrays)


def test_the_other_norm_does_not_fit():
    with pytest.raises(ConversionError, match=r"212 missing: bn1.gamma"):
        match(DETECTRON, backbone(norm="bn"), ones(detectron_resnet(50, "gn")))
    with pytest.raises(ConversionError, match=r"106 missing: bn1.gamma .*106 unexpected"):
        match(DETECTRON, backbone(norm="gn"), ones(detectron_resnet(50, "bn")))


def test_one_lost_statistic_is_not_made_up():
    statistics = {
        name.replace("_s", end): shape
        for name, shape in detectron_resnet(50, "bn").items()
        if name.endswith("_bn_s")
        for end in ("_rm", "_riv")
    }
    names = {**detectron_resnet(50, "bn"), **statistics}
    del names["res3_1_branch2b_bn_riv"]
    with pytest.raises(ConversionError, match=r"1 missing: layer2\.1\.bn2\.running_var"):
        match(DETECTRON, backbone(), ones(names))


def test_a_detector_fills_a_bare_backbone():
    found = match(DETECTRON, backbone(norm="gn"), ones(detectron_fpn()))
    assert len(found.arrays) == 159 and len(found.left_out) == 223 - 159
    assert len(match(DETECTRON, backbone(), ones(detectron_fpn(50, "bn"))).arrays) == 265
    assert len(match(DETECTRON, backbone(), ones(detectron_c4())).arrays) == 265


def test_a_shortcut_by_pooling_has_no_name():
    shapes = {"layer2.0.downsample.1.weight": (512,), "layer2.0.downsample.2.gamma": (512,)}
    names = source_names(DETECTRON, shapes)
    assert [source_name.candidates for source_name in names.values()] == [(), ()]
