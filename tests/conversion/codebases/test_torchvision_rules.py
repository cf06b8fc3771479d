"""torchvision's names: one to one with recorded state dicts, in both directions."""

from gluonnorm.conversion import ConversionError
from gluonnorm.conversion.codebase import source_names
from gluonnorm.conversion.codebases.torchvision import TORCHVISION
from gluonnorm.conversion.match import match

import numpy as np
import pytest
from reference.codebase_shapes import ones, recorded
from reference.parameter_shapes import backbone, fpn_detector

V2 = {"head_norm": "bn", "head": "4conv1fc", "rpn_convs": 2}
CASES = {
    "torchvision_resnet50_320x427_s0": backbone(),
    "torchvision_fasterrcnn_resnet50_fpn_320x427_s0": fpn_detector(classes=90),
    "torchvision_maskrcnn_resnet50_fpn_320x427_s0": fpn_detector(classes=90, mask=True),
    "torchvision_fasterrcnn_resnet50_fpn_v2_320x427_s0": fpn_detector(classes=90, **V2),
}


def weights_in(shapes):
    return {name for name in shapes if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("case", CASES)
def test_names_and_shapes_are_those_of_the_real_state_dict(case):
    shapes, real = CASES[case], recorded(case)
    written = [named.candidates[0] for named in source_names(TORCHVISION, shapes).values()]
    assert len(set(written)) == len(written)
    assert set(written) == {name for name in weights_in(real) if not name.startswith("fc.")}
    found = match(TORCHVISION, shapes, ones({name: real[name] for name in weights_in(real)}))
    assert {name: array.shape for name, array in found.arrays.items()} == shapes


def test_maskrcnn_v2_has_as_many_names_as_torchvision_says():
    names = {
        named.candidates[0]
        for named in source_names(TORCHVISION, fpn_detector(classes=90, mask=True, **V2)).values()
    }
    norms = sum(name.endswith("running_mean") for name in names)
    assert len(names) + norms == 432
    assert {
        "roi_heads.mask_head.3.1.running_var",
        "roi_heads.box_head.5.bias",
        "rpn.head.conv.1.0.weight",
    } <= names


@pytest.mark.parametrize(
    "ours, nested, flat",
    [
        (
            "backbone.lateral2.conv.weight",
            "backbone.fpn.inner_blocks.0.0.weight",
            "backbone.fpn.inner_blocks.0.weight",
        ),
        (
            "backbone.output5.conv.bias",
            "backbone.fpn.layer_blocks.3.0.bias",
            "backbone.fpn.layer_blocks.3.bias",
        ),
        ("rpn.conv.weight", "rpn.head.conv.0.0.weight", "rpn.head.conv.weight"),
        (
            "mask_head.convs.4.conv.weight",
            "roi_heads.mask_head.2.0.weight",
            "roi_heads.mask_head.mask_fcn3.weight",
        ),
        ("backbone.backbone.layer3.5.bn2.gamma", "backbone.body.layer3.5.bn2.weight", None),
        (
            "backbone.backbone.layer2.0.downsample.1.running_var",
            "backbone.body.layer2.0.downsample.1.running_var",
            None,
        ),
    ],
)
def test_single_names(ours, nested, flat):
    names = source_names(TORCHVISION, fpn_detector(mask=True))[ours].candidates
    assert names[0] == nested
    assert flat is None or flat in names


def flat_names(real):
    """The names of torchvision 0.12 and before, from later ones."""
    renamed = {}
    for name, shape in real.items():
        if ".fpn." in name or ".mask_head." in name:
            name = name.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        for i in range(4):
            name = name.replace(
                f"roi_heads.mask_head.{i}.", f"roi_heads.mask_head.mask_fcn{i + 1}."
            )
        renamed[name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")] = shape
    return renamed


def test_flat_names_of_the_published_files_load_with_eps_0():
    real = recorded("torchvision_maskrcnn_resnet50_fpn_320x427_s0")
    flat = flat_names({name: real[name] for name in weights_in(real)})
    assert (
        "roi_heads.mask_head.mask_fcn1.bias" in flat and "backbone.fpn.inner_blocks.3.bias" in flat
    )
    found = match(TORCHVISION, fpn_detector(classes=90, mask=True), ones(flat))
    assert len(found.arrays) == 307
    np.testing.assert_allclose(
        found.arrays["backbone.backbone.bn1.gamma"], np.sqrt(1 + 1e-5), rtol=1e-7
    )
    assert any("eps 0 in 53" in note for note in found.notes)


@pytest.mark.parametrize(
    "file_name, eps",
    [
        ("models/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", 0.0),
        ("fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", 0.0),
        ("fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth", 1e-5),
        ("mine.pth", 1e-5),
    ],
)
def test_eps_by_the_name_of_the_file(file_name, eps):
    assert TORCHVISION.epsilon(["backbone.fpn.inner_blocks.0.0.weight"], file_name)[0] == eps


def test_flat_names_with_counters_come_from_live_batch_norm():
    names = ["backbone.fpn.inner_blocks.0.weight", "backbone.body.bn1.num_batches_tracked"]
    assert TORCHVISION.epsilon(names, "")[0] == 1e-5


def test_predictors_lose_their_background_but_the_logits_do_not():
    real = recorded("torchvision_maskrcnn_resnet50_fpn_320x427_s0")
    arrays = ones({name: real[name] for name in weights_in(real)})
    for name in ("cls_score.bias", "bbox_pred.bias"):
        arrays[f"roi_heads.box_predictor.{name}"] = np.arange(
            91 if "cls" in name else 364, dtype=np.float32
        )
    arrays["roi_heads.mask_predictor.mask_fcn_logits.bias"] = np.arange(91, dtype=np.float32)
    found = match(TORCHVISION, fpn_detector(classes=90, mask=True), arrays).arrays
    np.testing.assert_array_equal(found["predictor.score.bias"], np.arange(91))
    np.testing.assert_array_equal(found["predictor.loc.bias"], np.arange(4, 364))
    np.testing.assert_array_equal(found["mask_head.score.bias"], np.arange(1, 91))


def test_the_80_real_classes():
    real = recorded("torchvision_maskrcnn_resnet50_fpn_320x427_s0")
    arrays = ones({name: real[name] for name in weights_in(real)})
    # Every row says which COCO id it belongs to.
    ids = np.arange(91, dtype=np.float32)
    arrays["roi_heads.box_predictor.cls_score.bias"] = ids
    arrays["roi_heads.box_predictor.bbox_pred.bias"] = np.repeat(ids, 4) + np.tile(
        [0, 0.25, 0.5, 0.75], 91
    ).astype("f4")
    arrays["roi_heads.mask_predictor.mask_fcn_logits.bias"] = ids
    found = match(
        TORCHVISION, fpn_detector(classes=80, mask=True), arrays, num_classes_differ="reduce"
    )
    kept = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    np.testing.assert_array_equal(found.arrays["predictor.score.bias"], [0, *kept])
    np.testing.assert_array_equal(
        found.arrays["predictor.loc.bias"], [i + f for i in kept for f in (0, 0.25, 0.5, 0.75)]
    )
    np.testing.assert_array_equal(found.arrays["mask_head.score.bias"], kept)
    assert found.arrays["mask_head.score.weight"].shape == (80, 256, 1, 1)
    with pytest.raises(ConversionError, match="for a network of 20"):
        match(TORCHVISION, fpn_detector(classes=20, mask=True), arrays, num_classes_differ="reduce")


def test_a_detector_fills_a_bare_backbone():
    real = recorded("torchvision_maskrcnn_resnet50_fpn_320x427_s0")
    found = match(TORCHVISION, backbone(), ones({name: real[name] for name in weights_in(real)}))
    assert len(found.arrays) == 265 and len(found.left_out) == 307 - 265
    assert found.matches[0].source_name == "backbone.body.conv1.weight"


def test_a_shortcut_by_pooling_has_no_name():
    assert (
        source_names(TORCHVISION, {"layer1.0.downsample.2.gamma": (256,)})[
            "layer1.0.downsample.2.gamma"
        ].candidates
        == ()
    )
