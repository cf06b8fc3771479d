"""Loading and saving on real networks of small size: all or nothing, and the same values back."""

import pickle
import re

import model_zoo
from gluonnorm import conversion
from gluonnorm.conversion import ConversionError, load, load_backbone, save
from gluonnorm.conversion.codebase import source_names
from gluonnorm.conversion.codebases.detectron2 import DETECTRON2

import mxnet as mx
import numpy as np
import pytest
from reference.torch_by_hand import Call, Global, storage, tensor, write_zip
from tiny_detector import tiny_detector


def values(net):
    """All parameters by name."""
    return {
        name: parameter.data().asnumpy()
        for name, parameter in net._collect_params_with_prefix().items()
    }


def shuffle(net):
    """Other values everywhere, with positive variances."""
    rng = np.random.default_rng(7)
    for name, parameter in net._collect_params_with_prefix().items():
        draw = rng.uniform(0.5, 1.5, 997) if name.endswith("var") else rng.normal(0, 1, 997)
        parameter.set_data(mx.nd.array(np.resize(draw, parameter.shape)))
    return net


@pytest.fixture(scope="module")
def saved():
    """A detector's weights under torchvision's names."""
    return save(shuffle(tiny_detector("fpn")), None, "torchvision")


@pytest.fixture()
def net():
    """A fresh detector of the same architecture."""
    return tiny_detector("fpn")


def assert_untouched(net, before):
    after = values(net)
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_round_trip_through_a_file(tmp_path, net):
    original = shuffle(tiny_detector("fpn"))
    written = save(original, str(tmp_path / "net.pth"), "torchvision")
    report = load(net, str(tmp_path / "net.pth"), "torchvision")
    assert_untouched(net, values(original))
    assert report.loaded == len(written) == len(values(net)) and not report.left_out
    assert report.weights.endswith("net.pth")


@pytest.mark.parametrize(
    "kind, settings",
    [
        ("mask_rcnn_fpn_resnet18_v1b_custom", {}),
        ("mask_rcnn_fpn_resnet18_v1b_custom", {"head_norm": "bn"}),
    ],
)
def test_round_trip_with_masks_and_norms_in_the_heads(kind, settings):
    small = {"fpn_channels": 8, "rpn_channels": 8, "roi_size": 2, "classes": ("a", "b")}
    first, second = (shuffle(model_zoo.get_model(kind, **small, **settings)) for _ in range(2))
    for parameter in second.collect_params().values():
        parameter.set_data(parameter.data() * 0 + 5)
    arrays = save(first, None, "torchvision")
    assert arrays["roi_heads.mask_predictor.mask_fcn_logits.bias"].shape == (3,)
    assert not arrays["roi_heads.mask_predictor.mask_fcn_logits.bias"][0]
    load(second, arrays, "torchvision")
    assert_untouched(second, values(first))


def test_live_norms_are_saved_with_counters_and_frozen_ones_without(saved):
    live = save(model_zoo.get_model("resnet18_v1b", norm="bn"), None, "torchvision")
    counters = [array for name, array in live.items() if name.endswith("num_batches_tracked")]
    assert len(counters) == 20 and len(live) == 120
    assert all(array.dtype == np.int64 and array.shape == () for array in counters)
    assert "layer2.0.downsample.1.num_batches_tracked" in live
    assert not any("num_batches" in name for name in saved)


def test_a_file_is_checked_whole_before_anything_is_written(net, saved):
    before = values(net)
    broken = dict(saved)
    broken["roi_heads.box_head.fc8.weight"] = np.zeros((2, 2), "f4")
    broken["backbone.body.conv1.weight"] = np.zeros((64, 3, 3, 3), "f4")
    del broken["rpn.head.cls_logits.bias"], broken["backbone.body.bn1.weight"]
    broken["rpn.head.bbox_pred.bias"] = np.full_like(saved["rpn.head.bbox_pred.bias"], np.nan)
    with pytest.raises(ConversionError) as error:
        load(net, broken, "torchvision")
    message = str(error.value)
    assert (
        "2 missing: backbone.backbone.bn1.gamma (backbone.body.bn1.weight in torchvision), "
        "rpn.score.bias"
    ) in message
    assert "1 unexpected: roi_heads.box_head.fc8.weight" in message
    assert (
        "1 misshapen: backbone.body.conv1.weight in the file is (64, 3, 3, 3), "
        "backbone.backbone.conv1.weight of the network (64, 3, 7, 7)"
    ) in message
    assert (
        "1 unusable: rpn.head.bbox_pred.bias has 3 values" in message or "has 12 values" in message
    )
    assert_untouched(net, before)


def test_integers_are_no_weights(net, saved):
    with pytest.raises(ConversionError, match="backbone.body.bn1.bias holds int64, not floats"):
        load(net, {**saved, "backbone.body.bn1.bias": np.zeros(64, np.int64)}, "torchvision")


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_are_cast_and_that_is_said(net, saved, dtype):
    report = load(net, {name: array.astype(dtype) for name, array in saved.items()}, "torchvision")
    assert f"{len(saved)} arrays were {dtype} and are float32 now" in report.notes
    found = net.rpn.conv.weight.data().asnumpy()
    np.testing.assert_array_equal(
        found, saved["rpn.head.conv.0.0.weight"].astype(dtype).astype("f4")
    )


def test_too_large_for_float32_is_not_finite(net, saved):
    with pytest.raises(ConversionError, match="1 unusable"):
        load(net, {**saved, "rpn.head.cls_logits.bias": np.full(3, 1e300)}, "torchvision")


def test_another_number_of_classes():
    theirs = save(tiny_detector("fpn", classes=("a", "b")), None, "torchvision")
    net = tiny_detector("fpn")
    before = values(net)
    with pytest.raises(
        ConversionError, match="The file has 2 classes, the network 3; num_classes_differ='reset'"
    ):
        load(net, theirs, "torchvision")
    assert_untouched(net, before)
    report = load(net, theirs, "torchvision", num_classes_differ="reset")
    after = values(net)
    fresh = [name for name in after if name.startswith("predictor.")]
    assert len(fresh) == 4 and report.loaded == len(after) - 4
    assert all(np.array_equal(after[name], before[name]) for name in fresh)
    np.testing.assert_array_equal(after["rpn.score.weight"], theirs["rpn.head.cls_logits.weight"])
    # Only the number of rows may differ.
    theirs["roi_heads.box_predictor.cls_score.weight"] = np.zeros((3, 7), "f4")
    with pytest.raises(ConversionError, match="1 misshapen"):
        load(net, theirs, "torchvision", num_classes_differ="reset")


def test_reset_keeps_predictors_that_fit(net, saved):
    load(net, saved, "torchvision", num_classes_differ="reset")
    np.testing.assert_array_equal(
        net.predictor.score.weight.data().asnumpy(),
        saved["roi_heads.box_predictor.cls_score.weight"],
    )


@pytest.mark.parametrize("eps", [0.0, 1e-3])
def test_another_eps_is_the_same_function(eps):
    theirs = {
        name: array
        for name, array in save(
            shuffle(model_zoo.get_model("resnet18_v1b")), None, "torchvision"
        ).items()
    }
    theirs["bn1.running_var"] = np.geomspace(1e-6, 10, 64).astype("f4")
    net = model_zoo.get_model("resnet18_v1b")
    report = load(net, theirs, "torchvision", eps=eps)
    x = np.random.default_rng(0).normal(size=(2, 64, 3, 3)).astype("f4")
    scale, shift, mean, var = (
        theirs[f"bn1.{leaf}"].astype("f8").reshape(1, 64, 1, 1)
        for leaf in ("weight", "bias", "running_mean", "running_var")
    )
    expected = scale * (x - mean) / np.sqrt(var + eps) + shift
    np.testing.assert_allclose(net.bn1(mx.nd.array(x)).asnumpy(), expected, rtol=1e-5, atol=1e-4)
    note = f"eps {eps:g} in 20 BatchNorm layers (the argument eps)"
    assert f"{note}; gamma is rescaled to the 1e-05 used here" in report.notes


def test_a_variance_without_eps_must_be_positive():
    theirs = save(model_zoo.get_model("resnet18_v1b"), None, "torchvision")
    net = model_zoo.get_model("resnet18_v1b")
    before = values(net)
    theirs["bn1.running_var"][5] = 0
    with pytest.raises(
        ConversionError, match=r"bn1: the smallest variance .* is 0, .* give eps=1e-05"
    ):
        load(net, theirs, "torchvision", eps=0)
    theirs["bn1.running_var"][5] = -0.5
    with pytest.raises(ConversionError, match="smallest variance .* is -0.5"):
        load(net, theirs, "torchvision")
    assert_untouched(net, before)


def test_a_detector_fills_a_backbone_and_a_backbone_a_detector(net, saved):
    bare = model_zoo.get_model("resnet18_v1b")
    report = load(bare, saved, "torchvision")
    assert report.loaded == 100 and any(
        reason == "not a part of the backbone" for _, reason in report.left_out
    )
    before = values(net)
    classifier = {
        **save(bare, None, "torchvision"),
        "fc.weight": np.zeros((1000, 512)),
        "fc.bias": np.zeros(1000),
    }
    with pytest.raises(ConversionError, match="load_backbone"):
        load(net, classifier, "torchvision")
    load_backbone(net, classifier, "torchvision")
    after, trunk = values(net), values(bare)
    for name in after:
        if name.startswith("backbone.backbone."):
            np.testing.assert_array_equal(after[name], trunk[name[len("backbone.backbone.") :]])
        else:
            np.testing.assert_array_equal(after[name], before[name])


def test_stage_4_of_a_classifier_is_the_head_of_a_c4_detector():
    bare = shuffle(model_zoo.get_model("resnet18_v1b"))
    net = tiny_detector("c4")
    rpn = net.rpn.conv.weight.data().asnumpy()
    assert load_backbone(net, save(bare, None, "torchvision"), "torchvision").loaded == 100
    np.testing.assert_array_equal(
        values(net)["box_head.stage.layer4.1.conv2.weight"], values(bare)["layer4.1.conv2.weight"]
    )
    np.testing.assert_array_equal(
        values(net)["backbone.layer3.0.bn1.gamma"], values(bare)["layer3.0.bn1.gamma"]
    )
    np.testing.assert_array_equal(net.rpn.conv.weight.data().asnumpy(), rpn)


def test_the_stride_must_be_in_the_right_convolution():
    zeros = {
        name: np.broadcast_to(np.float32(1), parameter.shape)
        for name, parameter in model_zoo.get_model("resnet50_v1a")
        ._collect_params_with_prefix()
        .items()
    }
    theirs = {
        name.replace("gamma", "weight").replace("beta", "bias"): array
        for name, array in zeros.items()
    }
    net = model_zoo.get_model("resnet50_v1a")
    with pytest.raises(
        ConversionError, match="stride in the first 1x1 convolution, those of torchvision .* 3x3"
    ):
        load(net, theirs, "torchvision")
    with pytest.raises(ConversionError, match="detect something else"):
        save(net, None, "torchvision")


@pytest.mark.parametrize("source", ["detectron", "detectron2", "switchnorm", "gluoncv"])
def test_the_right_source_is_named(net, saved, source):
    with pytest.raises(
        ConversionError, match="look like those of torchvision; give source='torchvision'"
    ):
        load(net, saved, source)


def test_arguments_are_checked(net, saved):
    with pytest.raises(ConversionError, match="no source 'caffe'; give one of gluoncv"):
        load(net, saved, "caffe")
    with pytest.raises(ConversionError, match="num_classes_differ is 'drop'"):
        load(net, saved, "torchvision", num_classes_differ="drop")
    with pytest.raises(ConversionError, match="eps is -1"):
        load(net, saved, "torchvision", eps=-1)
    with pytest.raises(ConversionError, match="model is a dict, not an array"):
        load(net, {"model": saved}, "torchvision")
    with pytest.raises(ConversionError, match="net.initialize"):
        load(mx.gluon.nn.Dense(2, in_units=2), saved, "torchvision")


def test_prefixes_and_arrays_of_mxnet(net, saved):
    report = load(
        net, {f"module.{name}": mx.nd.array(array) for name, array in saved.items()}, "torchvision"
    )
    assert report.loaded == len(saved)
    assert f"prefix 'module.' taken off {len(saved)} names" in report.notes


def test_what_cannot_be_saved():
    with pytest.raises(
        ConversionError, match="cannot save for 'detectron'; give one of gluoncv, torchvision"
    ):
        save(tiny_detector("fpn"), None, "detectron")
    with pytest.raises(ConversionError, match="no name for 25 of .*box_head.stage"):
        save(tiny_detector("c4"), None, "torchvision")
    with pytest.raises(ConversionError, match="no name for"):
        save(model_zoo.get_model("resnet18_v1d"), None, "torchvision")


def test_the_report_reads_well(net, saved):
    arrays = {**saved, "backbone.body.bn1.num_batches_tracked": np.zeros((), np.int64)}
    report = load(net, arrays, "torchvision")
    assert str(report).startswith(
        f"torchvision weights: {len(saved)} of {len(saved)} arrays loaded, 1 left out\n"
    )
    assert "left out (a counter of training steps): backbone.body.bn1.num_batches_tracked" in str(
        report
    )
    lines = report.table().splitlines()
    assert len(lines) == len(saved) + 1
    assert lines[0].split() == [
        "backbone.backbone.conv1.weight",
        "backbone.body.conv1.weight",
        "64x3x7x7",
    ]
    assert any(line.endswith("4 background rows dropped") for line in lines)
    assert conversion.Report is type(report)


def test_saving_another_geometry_for_torchvision_warns(caplog):
    net = tiny_detector("fpn", convention="torchvision")
    save(net, None, "torchvision")
    assert not caplog.records
    save(tiny_detector("fpn"), None, "torchvision")
    assert (
        "anchors='exact' (not 'rounded')" in caplog.text
        and "convention='torchvision'" in caplog.text
    )


@pytest.mark.parametrize("prefix", ["model.", "_orig_mod.", "model._orig_mod.module.", "net."])
def test_prefixes_of_training_programs_are_taken_off_and_reported(net, saved, prefix):
    report = load(net, {prefix + name: array for name, array in saved.items()}, "torchvision")
    assert report.loaded == len(saved) and not report.left_out
    stated = " ".join(report.notes)
    assert all(word in stated for word in prefix.split(".") if word)
    backbone = load_backbone(net, {prefix + name: saved[name] for name in saved}, "torchvision")
    assert backbone.loaded == sum(".body." in name for name in saved)


def test_averaged_weights_and_their_counter(net, saved):
    arrays = {f"module.{name}": array for name, array in saved.items()}
    report = load(net, {**arrays, "n_averaged": np.array(12)}, "torchvision")
    assert report.loaded == len(saved) and "left out, a counter: n_averaged" in report.notes


def test_an_entry_chooses_among_several_weights(tmp_path, net, saved):
    other = {name: array + 1 for name, array in saved.items()}
    path = str(tmp_path / "a.pkl")
    with open(path, "wb") as file:
        pickle.dump(
            {"model": saved, "ema": {f"module.{name}": other[name] for name in other}}, file
        )
    name = "rpn.head.cls_logits.bias"
    report = load(net, path, "torchvision")
    np.testing.assert_array_equal(net.rpn.score.bias.data().asnumpy(), saved[name])
    assert "the weights under 'model' are taken; the file also has 'ema'" in str(report)
    report = load(net, path, "torchvision", entry="ema")
    np.testing.assert_array_equal(net.rpn.score.bias.data().asnumpy(), other[name])
    assert "the weights under 'ema' are taken" in str(report)
    with pytest.raises(ConversionError, match="give one of model, ema"):
        load(net, path, "torchvision", entry="net")
    flat = {f"teacher.{name}": array for name, array in other.items()}
    flat.update({f"net.{name}": array for name, array in saved.items()})
    with pytest.raises(ConversionError, match="several prefixes .net, teacher.; choose one"):
        load(net, flat, "torchvision")
    load_backbone(net, flat, "torchvision", entry="net")
    load(net, flat, "torchvision", entry="net")
    np.testing.assert_array_equal(net.rpn.score.bias.data().asnumpy(), saved[name])


def test_names_without_the_prefix_are_an_error_that_says_how_to_leave_them_out(net, saved):
    arrays = {f"model.{name}": array for name, array in saved.items()}
    arrays["criterion.weight"] = np.ones((3, 3), np.float32)
    with pytest.raises(ConversionError, match="1 unexpected: criterion.weight.*entry='model'"):
        load(net, arrays, "torchvision")
    report = load(net, arrays, "torchvision", entry="model")
    assert "the arrays under 'model' are taken, 1 others are not" in report.notes


def test_names_of_the_files_classes(net, saved):
    """tiny_detector has disc, square, star; the file's first row is taken for a star here."""
    before = values(net)
    report = load(net, saved, "torchvision", classes=("star", "cross", "disc"))
    assert "the file has 2 of the 3 classes by name; fresh predictors: square" in report.notes
    after = values(net)
    scores = saved["roi_heads.box_predictor.cls_score.bias"]
    fresh = before["predictor.score.bias"]
    np.testing.assert_array_equal(
        after["predictor.score.bias"], [scores[0], scores[3], fresh[2], scores[1]]
    )
    boxes = saved["roi_heads.box_predictor.bbox_pred.weight"][4:]
    expected = [*boxes[8:], *before["predictor.loc.weight"][4:8], *boxes[:4]]
    np.testing.assert_array_equal(after["predictor.loc.weight"], expected)
    with pytest.raises(ConversionError, match="has rows of 3 classes, and 2 names are given"):
        load(net, saved, "torchvision", classes=("star", "disc"))
    load(net, saved, "torchvision", classes=net.classes)
    np.testing.assert_array_equal(values(net)["predictor.score.bias"], scores)


def test_the_report_says_that_a_file_does_not_name_its_classes(net, saved):
    report = load(net, saved, "torchvision")
    note = "the file does not name its classes; its rows are taken for disc, square, star"
    assert note in report.notes
    assert note not in load(net, saved, "torchvision", classes=net.classes).notes
    backbone_report = load_backbone(net, saved, "torchvision")
    assert "name its classes" not in str(backbone_report)


def test_no_shared_class_keeps_all_predictors_fresh(net, saved):
    before = values(net)
    report = load(net, saved, "torchvision", classes=("a", "b", "c"))
    after = values(net)
    for name in after:
        if name.startswith("predictor."):
            np.testing.assert_array_equal(after[name], before[name])
    assert report.loaded == len(after) - 4


@pytest.fixture(scope="module")
def of_detectron2():
    """The weights of a detector of the classes a, b, c, d and e under Detectron2's names."""
    arrays = values(shuffle(tiny_detector("mask_fpn", classes=tuple("abcde"))))
    shapes = {name: array.shape for name, array in arrays.items()}
    stored = {}
    for name, source_name in source_names(DETECTRON2, shapes).items():
        stored[source_name.candidates[0]] = source_name.layout.save(arrays[name])
    return stored


def without_classes(arrays, layer, rows):
    """The arrays with the first rows of a layer alone, as where all classes share them."""
    cut = {name: array[:rows] for name, array in arrays.items() if name.startswith(layer)}
    assert len(cut) == 2
    return {**arrays, **cut}


def test_boxes_without_classes_serve_the_classes_that_the_file_has_by_name(of_detectron2):
    """CLS_AGNOSTIC_BBOX_REG of Detectron2: four rows, whatever the number of classes is."""
    layer = "roi_heads.box_predictor.bbox_pred"
    arrays = without_classes(of_detectron2, layer, 4)
    net = tiny_detector("mask_fpn", classes=("e", "other"))
    before = values(net)
    load(net, arrays, "detectron2", classes=tuple("abcde"))
    after = values(net)
    for leaf in ("weight", "bias"):
        expected = [*arrays[f"{layer}.{leaf}"], *before[f"predictor.loc.{leaf}"][4:]]
        np.testing.assert_array_equal(after[f"predictor.loc.{leaf}"], expected)
    masks = of_detectron2["roi_heads.mask_head.predictor.bias"]
    np.testing.assert_array_equal(after["mask_head.score.bias"][0], masks[4])
    # One class has four rows, too.
    single = tiny_detector("mask_fpn", classes=("e",))
    load(single, arrays, "detectron2", classes=tuple("abcde"))
    np.testing.assert_array_equal(values(single)["predictor.loc.bias"], arrays[f"{layer}.bias"])


@pytest.mark.parametrize(
    "layer, rows, message",
    [
        ("roi_heads.mask_head.predictor", 1, r"is \(1,\), mask_head.score.bias for its classes"),
        ("roi_heads.box_predictor.bbox_pred", 8, r"is \(8,\), predictor.loc.bias for its classes"),
    ],
)
def test_rows_that_names_of_classes_do_not_explain_change_nothing(
    of_detectron2, layer, rows, message
):
    arrays = without_classes(of_detectron2, layer, rows)
    net = tiny_detector("mask_fpn", classes=("e", "other"))
    before = values(net)
    with pytest.raises(ConversionError, match=message) as caught:
        load(net, arrays, "detectron2", classes=tuple("abcde"))
    assert "num_classes_differ='reset' without classes gives fresh" in str(caught.value)
    assert_untouched(net, before)
    # The way out, and names of which the network has none.
    load(net, arrays, "detectron2", num_classes_differ="reset")
    load(net, arrays, "detectron2", classes=tuple("vwxyz"))
    name = "mask_head.score.bias"
    np.testing.assert_array_equal(values(net)[name], before[name])


@pytest.mark.parametrize("names", ["disc", ("disc", "disc", "star")])
def test_names_of_classes_that_cannot_be(net, saved, names):
    with pytest.raises(ConversionError, match="give a list of the names of the file's classes"):
        load(net, saved, "torchvision", classes=names)


@pytest.mark.parametrize(
    "function, message",
    [
        ("_rebuild_tensor_v3", "of a type such as float8"),
        ("_rebuild_qtensor", "quantized; dequantize.. it"),
        ("_rebuild_sparse_tensor", "sparse; save it as to_dense"),
    ],
)
def test_tensors_that_are_not_read_are_named_if_they_are_missing(net, tmp_path, function, message):
    name = "rpn.head.conv.0.0.weight"
    kept = storage("FloatStorage", "0", 1)
    tree = {
        "rpn.head.cls_logits.bias": tensor(kept, 0, (1,), (1,)),
        name: Call(Global("torch._utils", function), 0),
    }
    path = write_zip(tmp_path / "a.pth", tree, {"0": bytes(4)})
    with pytest.raises(ConversionError, match=rf"are left out: {re.escape(name)} .{message}"):
        load(net, path, "torchvision")


def test_this_packages_own_file_is_named(net):
    with pytest.raises(ConversionError, match="names are those of this package: load the file wi"):
        load(net, values(net), "gluoncv")


def test_a_file_of_an_unknown_program_is_named(net):
    arrays = {"image_encoder.blocks.0.norm1.weight": np.ones(3, np.float32)}
    with pytest.raises(ConversionError, match="None of its names is one of torchvision's.*sources"):
        load(net, arrays, "torchvision")
