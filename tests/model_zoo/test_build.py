"""get_model's arguments: each one's effect, and what a wrong one is answered with."""

import subprocess
import sys

import model_zoo
from gluonnorm.errors import InputError
from gluonnorm.nn import (
    NORM_NAMES,
    BatchNorm,
    FrozenBatchNorm,
    GroupNorm,
    Rescale,
    SwitchNorm,
    SyncBatchNorm,
)
from gluonnorm.rcnn import CONVENTIONS, FasterRCNN, MaskRCNN
from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD
from model_zoo import factory

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

C4, FPN = "faster_rcnn_resnet18_v1b_custom", "faster_rcnn_fpn_resnet18_v1b_custom"
MASK_C4, MASK_FPN = "mask_rcnn_resnet18_v1b_custom", "mask_rcnn_fpn_resnet18_v1b_custom"
SMALL = {
    "classes": ("red", "white"),
    "rpn_channels": 8,
    "rpn_test_pre_nms": 20,
    "rpn_test_post_nms": 6,
    "max_candidates": 20,
    "max_detections": 5,
    "score_thresh": 0.0,
}
LAYERS = {
    "frozen_bn": FrozenBatchNorm,
    "global_bn": BatchNorm,
    "bn": BatchNorm,
    "sync_bn": SyncBatchNorm,
    "gn": GroupNorm,
    "sn": SwitchNorm,
    "sn_nobn": SwitchNorm,
}

pytestmark = pytest.mark.filterwarnings("ignore:Caution using SyncBatchNorm")


def small(name=C4, **arguments):
    overrides = {**SMALL, "fpn_channels": 32, "mask_channels": 32} if name != C4 else SMALL
    return model_zoo.get_model(name, **{**overrides, **arguments})


def norm_layers(block):
    """The types of all norms in ``block``."""
    found = set()
    block.apply(
        lambda layer: found.add(type(layer)) if isinstance(layer, tuple(LAYERS.values())) else None
    )
    return found


def learning(block):
    return {
        name
        for name, parameter in block._collect_params_with_prefix().items()
        if parameter.grad_req != "null"
    }


def copy_weights(source, target):
    weights = {
        name: parameter.data() for name, parameter in source._collect_params_with_prefix().items()
    }
    for name, parameter in target._collect_params_with_prefix().items():
        parameter.set_data(weights.pop(name))
    assert not weights


@pytest.mark.parametrize(
    "name, arguments, messages",
    [
        (
            "faster_rcnn_fpn_resnet50_v1_coco",
            {},
            [
                "no model 'faster_rcnn_fpn_resnet50_v1_coco'; did you mean ",
                "did you mean faster_rcnn_fpn_resnet50_v1b_coco",
                "model_zoo.list_models() has all names",
            ],
        ),
        ("resnet50v2", {}, ["no model 'resnet50v2'; did you mean resnet50_v2"]),
        ("?", {}, ["no model '?'; this package", "model_zoo.list_models() has all names"]),
        (
            C4,
            {"norm": "groupnorm"},
            ["no norm is called 'groupnorm'; give one of frozen_bn", ", gn,"],
        ),
        (C4, {"norm": "frozenbn"}, ["no norm is called 'frozenbn'", "did you mean frozen_bn"]),
        (C4, {"head_norm": "syncbn"}, ["no head_norm is called 'syncbn'", "did you mean sync_bn"]),
        (
            C4,
            {"rescale": "denormalise"},
            [
                "no rescale 'denormalise'; did you mean denormalize",
                "give one of denormalize, normalize",
            ],
        ),
        (C4, {"nms_threshold": 0.5}, ["no setting 'nms_threshold'; did you mean nms_thresh"]),
        (C4, {"nms_thresh": 30}, ["nms_thresh is 30; it must be a number in 0..1"]),
        (C4, {"max_detections": 0}, ["max_detections is 0", "at least 1"]),
        (C4, {"anchor_sizes": ((32,), (64,))}, ["anchor_sizes has 2 levels", "gives 1 maps"]),
        (C4, {"classes": None}, [C4, "has no classes of its own", "classes=('name', ...)"]),
        (C4, {"classes": "red"}, ["want a list of class names", "not 'red'"]),
        (C4, {"classes": ()}, ["no classes; name at least one"]),
        (C4, {"classes": ("red", "red")}, ["class 'red' is listed more than once"]),
        (C4, {"convention": "gluon"}, ["convention is 'gluon'", "modern, detectron2, torchvision"]),
        (
            C4,
            {"rescale": "normalize", "order": "BGR"},
            ["rescale='normalize' knows", C4, "leave it out"],
        ),
        (
            C4,
            {"rescale": "denormalize", "std": (1, 1, 1)},
            ["rescale='denormalize' knows", "leave it out"],
        ),
        (
            C4,
            {"rescale": "normalize", "normalize": True},
            ["normalize=True beside rescale='normalize'", "twice", "leave out one"],
        ),
        (
            C4,
            {"rescale": "denormalize", "normalize": False},
            ["rescale='denormalize' undoes", "normalize=False", "leave out both"],
        ),
        (
            C4,
            {"pretrained": True},
            [
                "pretrained=True",
                f"no published weights of {C4!r}",
                "faster_rcnn_fpn_resnet50_v1b_custom",
                "give a file",
            ],
        ),
        (
            C4,
            {"pretrained_base": True, "norm": "sn"},
            [
                "pretrained_base=True",
                "'resnet18_v1b', norm='sn'",
                "gluoncv/resnet18_v1b",
                "give a file",
            ],
        ),
        (
            C4,
            {"pretrained": "gluoncv/faster_rcnn_resnet50_v1b_cocoo"},
            ["no such file", "did you mean gluoncv/faster_rcnn_resnet50_v1b_coco"],
        ),
        (
            "resnet18_v1b",
            {"pretrained": True},
            ["'resnet18_v1b' is a bare backbone", "pretrained_base", "not pretrained"],
        ),
        (
            "resnet18_v1b",
            {"head_norm": "gn"},
            ["'resnet18_v1b' is a bare backbone", "not head_norm"],
        ),
        (
            "resnet18_v1b",
            {"nms_thresh": 0.5},
            ["'resnet18_v1b' is a bare backbone", "not nms_thresh"],
        ),
        (
            "resnet18_v1b",
            {"classes": ("red",)},
            ["'resnet18_v1b' is a bare backbone", "not classes"],
        ),
    ],
)
def test_a_wrong_argument_is_answered_with_the_nearest_right_ones(name, arguments, messages):
    arguments = {**(SMALL if name == C4 else {}), **arguments}
    with pytest.raises(InputError) as caught:
        model_zoo.get_model(name, **arguments)
    assert all(message in str(caught.value) for message in messages), str(caught.value)
    assert len(str(caught.value)) < 500, "a few suggestions, not the complete catalogue"


def test_a_record_of_an_unknown_model_is_refused():
    record = {
        "model": "faster_rcnn_resnet18_custom",
        "norm": "gn",
        "head_norm": None,
        "rescale": None,
        "classes": ["red"],
        "config": {},
    }
    with pytest.raises(InputError, match=r"did you mean .*faster_rcnn_resnet18_v1b_custom"):
        model_zoo.from_spec(record)


def test_classes():
    net = small(classes=["red", "white", "platelet"])
    assert net.classes == ("red", "white", "platelet")
    assert net.predictor.score.weight.shape[0] == 4 and net.predictor.loc.weight.shape[0] == 12
    replaced = model_zoo.get_model("faster_rcnn_resnet18_v1b_voc", classes=("red",))
    assert replaced.classes == ("red",) and replaced.predictor.score.weight.shape[0] == 2


@pytest.mark.parametrize("norm", NORM_NAMES)
def test_norm_reaches_every_layer_and_learns_as_it_should(norm):
    net = small(norm=norm)
    assert net.spec.norm == norm
    assert norm_layers(net.backbone) == norm_layers(net.box_head) == {LAYERS[norm]}
    scales = {
        name for name in net._collect_params_with_prefix() if name.endswith(("gamma", "beta"))
    }
    assert scales & learning(net) == (set() if norm == "frozen_bn" else scales)
    x = mx.nd.random.uniform(-1, 1, (1, 3, 64, 64))
    before = {
        name: value.data().asnumpy()
        for name, value in net._collect_params_with_prefix().items()
        if "running" in name
    }
    with autograd.record():
        total = mx.nd.add_n(*(out.abs().mean() for out in net.backbone(x)))
    total.backward()
    moved = [
        name
        for name, value in before.items()
        if name.startswith("backbone.")
        and (net._collect_params_with_prefix()[name].data().asnumpy() != value).any()
    ]
    assert bool(moved) == (norm in ("bn", "sync_bn", "sn")), "only live norms gather statistics"
    ids, scores, boxes = net(x)
    assert (
        (ids.asnumpy() >= 0).any()
        and np.isfinite(scores.asnumpy()).all()
        and np.isfinite(boxes.asnumpy()).all()
    )


@pytest.mark.parametrize(
    "norm, head_norm, neck",
    [
        ("frozen_bn", None, set()),
        ("bn", None, set()),
        ("global_bn", None, set()),
        ("gn", None, {GroupNorm}),
        ("sync_bn", None, {SyncBatchNorm}),
        ("sn", None, {SwitchNorm}),
        ("sn_nobn", None, {SwitchNorm}),
        ("frozen_bn", "gn", {GroupNorm}),
        ("gn", "frozen_bn", {FrozenBatchNorm}),
    ],
)
def test_the_neck_takes_over_norms_that_need_no_stored_statistics(norm, head_norm, neck):
    net = small(MASK_FPN, norm=norm, head_norm=head_norm)
    outside = {type(child) for child in net.backbone._children.values()} - {
        type(net.backbone.backbone)
    }
    assert norm_layers(net.backbone.backbone) == {LAYERS[norm]} and len(outside) == 1
    found = set()
    for name, child in net.backbone._children.items():
        found |= norm_layers(child) if name != "backbone" else set()
    assert found == neck == norm_layers(net.mask_head)
    assert norm_layers(net.rpn) == norm_layers(net.box_head) == set()  # two layers, fully connected


def test_head_norm_of_a_c4_detector():
    net = small(norm="frozen_bn", head_norm="gn")
    assert norm_layers(net.backbone) == {FrozenBatchNorm} and norm_layers(net.box_head) == {
        GroupNorm
    }
    assert (
        net.spec.head_norm == "gn"
        and model_zoo.from_spec(net.spec).box_head.stage.layer4[0].bn1.gamma is not None
    )


@pytest.mark.parametrize("norm", ["bn", "frozen_bn"])
def test_a_row_with_norms_in_its_heads_keeps_them_whichever_they_are(norm):
    """torchvision's second version has batch norm in neck and heads, which others have not."""
    net = model_zoo.get_model(
        "maskrcnn_resnet50_fpn_v2", norm=norm, **{**SMALL, "fpn_channels": 32, "mask_channels": 32}
    )
    for part in (net.backbone, net.box_head, net.mask_head):
        assert norm_layers(part) == {LAYERS[norm]}
    assert net.rpn.conv2 is not None and norm_layers(net.rpn) == set()


def test_mask_heads():
    c4, fpn = small(MASK_C4), small(MASK_FPN)
    assert (
        isinstance(c4, MaskRCNN) and isinstance(fpn, MaskRCNN) and not isinstance(small(), MaskRCNN)
    )
    assert isinstance(c4, FasterRCNN) and c4.has_masks and not small().has_masks
    assert (
        len(c4.mask_head.convs) == 0 and len(fpn.mask_head.convs) == 4
    )  # two convolutions and their activations
    assert c4.mask_head.deconv.weight.shape == (
        512,
        32,
        2,
        2,
    ) and fpn.mask_head.deconv.weight.shape == (32, 32, 2, 2)
    assert small(MASK_C4, classes=("a", "b", "c")).mask_head.score.weight.shape == (3, 32, 1, 1)


def test_the_convention_of_a_row_can_be_replaced():
    assert small().config.convention == CONVENTIONS["modern"]
    net = small(convention="detectron")
    assert net.config.convention == CONVENTIONS["detectron"]
    assert model_zoo.from_spec(net.spec).config.convention == CONVENTIONS["detectron"]


def test_pretrained_reaches_the_loader(monkeypatch):
    """Which file that is, and how it is fetched, is not this file's affair."""
    calls = []
    monkeypatch.setattr(
        factory, "load_pretrained", lambda net, *args, **named: calls.append((args, named))
    )
    monkeypatch.setattr(
        factory, "load_pretrained_base", lambda net, *args, **named: calls.append((*args, *named))
    )
    name = "mask_rcnn_resnet18_v1b_coco"
    net = model_zoo.get_model(name, pretrained=True, **{**SMALL, "classes": None})
    assert calls.pop() == ((True, name, False, None), {}) and not calls
    assert "backbone.conv1.weight" not in learning(
        net
    ) and "backbone.layer2.0.conv1.weight" in learning(net)
    model_zoo.get_model(name, pretrained="key", **SMALL)
    assert calls.pop() == (("key", name, True, None), {})
    small(pretrained_base=True, norm="bn")
    assert calls.pop() == (True, "resnet18_v1b", "bn", C4, None)
    # The complete network has a backbone: nothing is fetched, or read, to be overwritten.
    model_zoo.get_model(name, pretrained="key", pretrained_base=True, **SMALL)
    assert calls.pop() == (("key", name, True, None), {}) and not calls
    with pytest.raises(InputError, match="pretrained_base is 'file', and pretrained='key' brings"):
        model_zoo.get_model(name, pretrained="key", pretrained_base="file", **SMALL)
    with pytest.raises(InputError, match="pretrained_base is 'file', and transfer='coco' brings"):
        small(transfer="coco", pretrained_base="file")
    assert not calls
    model_zoo.get_model("resnet18_v1b", pretrained_base="file")
    assert calls.pop() == ("file", "resnet18_v1b", "frozen_bn", "folder") and not calls


def test_rescale_normalize_moves_the_normalization_from_the_loader_into_the_network():
    plain, rescaled = small(), small(rescale="normalize")
    assert plain.preprocess.normalize and not rescaled.preprocess.normalize
    copy_weights(plain, rescaled)
    pixels = mx.nd.array(np.random.uniform(0, 255, (1, 3, 64, 64)))
    mean, std = (
        mx.nd.array(values).reshape((1, 3, 1, 1)) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    check_same(plain((pixels - mean) / std), rescaled(pixels))
    assert isinstance(rescaled.backbone.rescale, Rescale)
    assert not list(rescaled.backbone.rescale.collect_params())


def test_rescale_denormalize_gives_the_backbone_raw_pixels_from_a_loader_that_normalizes():
    raw, rescaled = small(normalize=False), small(rescale="denormalize")
    assert not raw.preprocess.normalize and rescaled.preprocess.normalize
    raw.backbone.conv1.weight.set_data(raw.backbone.conv1.weight.data() / 1000)
    copy_weights(raw, rescaled)
    normalized = mx.nd.array(np.random.uniform(-2, 2, (1, 3, 64, 64)))
    mean, std = (
        mx.nd.array(values).reshape((1, 3, 1, 1)) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    check_same(raw(normalized * std + mean), rescaled(normalized))


def check_same(expected, found):
    assert (expected[0].asnumpy() >= 0).any()
    for wanted, value, tolerance in zip(expected, found, (0, 1e-4, 1e-2)):
        np.testing.assert_allclose(value.asnumpy(), wanted.asnumpy(), rtol=0, atol=tolerance)


def test_a_backbone_takes_norm_and_rescale():
    net = model_zoo.get_model("resnet18_v2", norm="gn", rescale="denormalize")
    assert GroupNorm in norm_layers(net) and isinstance(net.rescale, Rescale)
    assert (
        [out.shape[1] for out in net(mx.nd.zeros((1, 3, 64, 64)))]
        == list(net.channels)
        == [64, 128, 256, 512]
    )


def test_freeze_at_is_2_with_weights_and_0_without(tmp_path):
    fresh = small(norm="gn")
    assert fresh.config.freeze_at is None and "backbone.conv1.weight" in learning(fresh)
    fresh.save_parameters(str(tmp_path / "net.params"))
    trunk = model_zoo.get_model("resnet18_v1b", norm="gn")
    trunk.save_parameters(str(tmp_path / "base.params"))
    stem_and_first = {
        name
        for name in learning(fresh)
        if name.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer1"))
    }
    for weights in (
        {"pretrained": tmp_path / "net.params"},
        {"pretrained_base": tmp_path / "base.params"},
    ):
        assert learning(fresh) - learning(small(norm="gn", **weights)) == stem_and_first
        assert learning(small(norm="gn", freeze_at=0, **weights)) == learning(fresh)
    frozen = small(norm="gn", freeze_at=3)
    assert "backbone.layer2.0.conv1.weight" not in learning(frozen)
    # A checkpoint that is opened to be trained, or recalibrated, further.
    assert learning(model_zoo.from_spec(frozen.spec)) == learning(frozen)


def test_overrides_reach_the_record_and_the_network():
    net = small(nms_thresh=0.6, short=[300, 400], max_size=500, max_detections=3)
    assert (
        net.config.nms_thresh == 0.6
        and net.preprocess.short == (300, 400)
        and net.preprocess.max_size == 500
    )
    assert net(mx.nd.zeros((2, 3, 64, 64)))[0].shape == (2, 3, 1)
    catalogue = model_zoo.get_model("faster_rcnn_resnet18_v1b_voc").config
    assert (catalogue.nms_thresh, catalogue.short, catalogue.max_size) == (0.3, (600,), 1000)


def test_pretrained_gives_the_saved_weights_back(tmp_path):
    net = small()
    net.save_parameters(str(tmp_path / "net.params"))
    again = small(pretrained=str(tmp_path / "net.params"))
    x = mx.nd.random.uniform(-1, 1, (1, 3, 64, 64))
    for wanted, found in zip(net(x), again(x)):
        np.testing.assert_array_equal(found.asnumpy(), wanted.asnumpy())
    with pytest.raises(InputError, match="weights of another network"):
        small(classes=("red",), pretrained=str(tmp_path / "net.params"))


def test_gluoncv_is_imported_by_the_first_of_its_backbones_only():
    program = (
        "import sys, gluonnorm, model_zoo\n"
        "assert 'faster_rcnn_fpn_syncbn_resnest50_coco' in model_zoo.list_models()\n"
        "model_zoo.get_model('resnet18_v1b')\n"
        "assert 'gluoncv' not in sys.modules\n"
        "sys.modules['gluoncv'] = None\n"
        "try:\n"
        "    model_zoo.get_model('faster_rcnn_fpn_syncbn_resnest50_coco')\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "backbone 'resnest50' is made of GluonCV's layers" in result.stdout
    assert "pip install gluoncv" in result.stdout


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"classes": ["a", "a"]}, "class 'a' is listed more than once"),
        ({"classes": ["a", None]}, "None"),
        ({"classes": [["a"], "b"]}, "'a'"),
        ({"classes": []}, "no classes; name at least one"),
        ({"config": {"rpn_channels": 10**30}}, "the settings make no network .*Invalid Parameter"),
    ],
)
def test_descriptions_that_were_altered(changes, message):
    spec = {"model": "faster_rcnn_fpn_resnet18_v1b_custom", "classes": ["a", "b"], "config": {}}
    norms = {"norm": "gn", "head_norm": None, "rescale": None}
    with pytest.raises(InputError, match=message):
        model_zoo.from_spec({**spec, **norms, **changes})
