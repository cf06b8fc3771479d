"""The names of SwitchNorm_Detection and of the classifiers it starts from."""

from gluonnorm.conversion import ConversionError
from gluonnorm.conversion.codebases.switchnorm import SWITCHNORM
from gluonnorm.conversion.match import match

import numpy as np
import pytest
from reference.codebase_shapes import ones, switchnorm_c4, switchnorm_fpn, switchnorm_resnet
from reference.parameter_shapes import backbone, c4_detector, fpn_detector

MASK = {"head": "4conv1fc", "mask": True}
CASES = {
    "classifier": (backbone(norm="sn"), switchnorm_resnet("sn")),
    "classifier nobn": (backbone(norm="sn_nobn"), switchnorm_resnet("sn_nobn")),
    "classifier gn": (backbone(norm="gn"), switchnorm_resnet("gn")),
    "faster FPN": (fpn_detector(norm="sn", head_norm="sn"), switchnorm_fpn("sn")),
    "faster FPN nobn": (
        fpn_detector(norm="sn_nobn", head_norm="sn_nobn"),
        switchnorm_fpn("sn_nobn"),
    ),
    "mask FPN": (fpn_detector(norm="sn", head_norm="sn", **MASK), switchnorm_fpn("sn", mask=True)),
    "mask FPN gn": (
        fpn_detector(norm="gn", head_norm="gn", **MASK),
        switchnorm_fpn("gn", mask=True),
    ),
    "faster FPN bn": (fpn_detector(), switchnorm_fpn("bn")),
    "C4": (c4_detector(norm="sn"), switchnorm_c4("sn")),
    "C4 bn": (c4_detector(), switchnorm_c4("bn")),
}


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_has_its_place(case):
    shapes, names = CASES[case]
    found = match(SWITCHNORM, shapes, ones(names))
    assert {row.source_name for row in found.matches} - {""} == set(names) and not found.left_out
    assert {name: array.shape for name, array in found.arrays.items()} == shapes


@pytest.mark.parametrize(
    "ours, name",
    [
        ("backbone.backbone.bn1.mean_weight", "Conv_Body.conv_body.res1.sn1.mean_weight"),
        ("backbone.backbone.layer3.2.bn3.gamma", "Conv_Body.conv_body.res4.2.sn3.weight"),
        ("backbone.lateral5.conv.weight", "Conv_Body.conv_top.0.weight"),
        (
            "backbone.lateral4.norm.running_var",
            "Conv_Body.topdown_lateral_modules.0.conv_lateral.1.running_var",
        ),
        ("backbone.lateral2.norm.beta", "Conv_Body.topdown_lateral_modules.2.conv_lateral.1.bias"),
        ("backbone.output5.conv.weight", "Conv_Body.posthoc_modules.0.0.weight"),
        ("backbone.output2.conv.weight", "Conv_Body.posthoc_modules.3.0.weight"),
        ("box_head.convs.6.norm.gamma", "Box_Head.convs.10.weight"),
        ("box_head.fc1.bias", "Box_Head.fc.bias"),
        ("mask_head.convs.2.conv.weight", "Mask_Head.conv_fcn.3.weight"),
    ],
)
def test_single_names(ours, name):
    shapes, names = CASES["mask FPN"]
    assert {row.name: row.source_name for row in match(SWITCHNORM, shapes, ones(names)).matches}[
        ours
    ] == name


def test_arrays_lose_their_empty_axes_and_keep_their_order():
    names = switchnorm_resnet("sn")
    arrays = ones(names)
    arrays["sn1.weight"] = np.arange(64, dtype="f4").reshape(1, 64, 1, 1)
    arrays["sn1.running_var"] = np.arange(64, dtype="f4").reshape(1, 64, 1)
    arrays["sn1.mean_weight"] = np.float32([3, 1, 2])
    found = match(SWITCHNORM, backbone(norm="sn"), arrays).arrays
    np.testing.assert_array_equal(found["bn1.gamma"], np.arange(64))
    np.testing.assert_array_equal(found["bn1.running_var"], np.arange(64))
    np.testing.assert_array_equal(found["bn1.mean_weight"], [3, 1, 2])


def test_statistics_of_switchable_norm_are_not_made_up():
    names = {
        name: shape for name, shape in switchnorm_resnet("sn").items() if "running" not in name
    }
    with pytest.raises(ConversionError, match=r"106 missing: bn1\.running_mean"):
        match(SWITCHNORM, backbone(norm="sn"), ones(names))


def test_with_and_without_the_batch_part_are_different_models():
    with pytest.raises(
        ConversionError, match=r"106 unexpected: sn1\.running_mean.*106 misshapen: sn1\.mean_weight"
    ):
        match(SWITCHNORM, backbone(norm="sn_nobn"), ones(switchnorm_resnet("sn")))


def test_affine_channels_are_a_scale_and_shift():
    arrays = ones(switchnorm_c4("bn"))
    arrays["Conv_Body.res1.bn1.weight"] = np.full(64, 2, "f4")
    found = match(SWITCHNORM, c4_detector(), arrays)
    np.testing.assert_allclose(found.arrays["backbone.bn1.gamma"] / np.sqrt(1 + 1e-5), 2, rtol=1e-7)


def test_masks_without_a_norm_count_their_layers_by_twos():
    names = {
        **switchnorm_fpn("bn"),
        "Mask_Outs.classify.weight": (81, 256, 1, 1),
        "Mask_Outs.classify.bias": (81,),
        "Mask_Head.upconv.weight": (256, 256, 2, 2),
        "Mask_Head.upconv.bias": (256,),
    }
    for i in (0, 2, 4, 6):
        names.update(
            {
                f"Mask_Head.conv_fcn.{i}.weight": (256, 256, 3, 3),
                f"Mask_Head.conv_fcn.{i}.bias": (256,),
            }
        )
    rows = {
        row.name: row.source_name
        for row in match(SWITCHNORM, fpn_detector(mask=True), ones(names)).matches
    }
    assert rows["mask_head.convs.4.conv.weight"] == "Mask_Head.conv_fcn.4.weight"


def test_stage_4_of_their_own_converter_reaches_a_backbone():
    names = {
        **switchnorm_resnet("sn", trunk="Conv_Body."),
        "Conv_Body.classifier.weight": (1000, 2048),
    }
    found = match(SWITCHNORM, backbone(norm="sn"), ones(names))
    rows = {row.name: row.source_name for row in found.matches}
    assert rows["layer4.1.bn2.gamma"] == "Conv_Body.res5.1.sn2.weight"
    assert found.left_out == (("Conv_Body.classifier.weight", "the classifier of ImageNet"),)


def mask_c4(norm):
    """The shapes of a C4 Mask detector, and the arrays of its file, which has res5 twice."""
    names = {
        **switchnorm_c4(norm),
        "Mask_Head.upconv5.weight": (2048, 256, 2, 2),
        "Mask_Head.upconv5.bias": (256,),
        "Mask_Outs.classify.weight": (81, 256, 1, 1),
        "Mask_Outs.classify.bias": (81,),
    }
    for name, shape in switchnorm_c4(norm).items():
        if name.startswith("Box_Head.res5."):
            names[name.replace("Box_Head", "Mask_Head")] = shape
    return c4_detector(norm=norm, mask=True), ones(names)


@pytest.mark.parametrize("norm", ["bn", "sn"])
def test_the_stage_that_both_heads_share_may_be_stored_twice(norm):
    shapes, arrays = mask_c4(norm)
    repeated = [name for name in arrays if name.startswith("Mask_Head.res5.")]
    found = match(SWITCHNORM, shapes, arrays)
    assert [name for name, _ in found.left_out] == repeated and len(repeated) > 20
    assert set(found.arrays) == set(shapes)


def test_two_copies_of_the_shared_stage_that_differ_are_refused():
    shapes, arrays = mask_c4("bn")
    name = "Mask_Head.res5.2.conv3.weight"
    arrays[name] = arrays[name] + np.float32(1e-6)
    with pytest.raises(
        ConversionError, match=rf"1 unexpected: {name} \(should repeat Box_Head.res5.2.conv3.weight"
    ):
        match(SWITCHNORM, shapes, arrays)


def test_a_copy_of_the_shared_stage_alone_is_refused():
    shapes, arrays = mask_c4("bn")
    del arrays["Box_Head.res5.0.conv1.weight"]
    with pytest.raises(ConversionError, match="repeats Box_Head.res5.0.conv1.weight, which the"):
        match(SWITCHNORM, shapes, arrays)
