"""Own backbones, rows and detectors from parts: what they compute, and what is refused."""

import warnings
from dataclasses import asdict

import model_zoo
from gluonnorm.backbones import SequentialBackbone, TappedBackbone
from gluonnorm.errors import InputError
from gluonnorm.nn import FrozenBatchNorm, GroupNorm, fold, replace_norms
from gluonnorm.nn import norm as norm_module
from gluonnorm.rcnn import BlockHead, ModelSpec, Res5Head, make_loss
from model_zoo import Model
from model_zoo.backbone_builders import BACKBONES
from model_zoo.catalogue import MODELS

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision

SMALL = {
    "short": 64,
    "max_size": 128,
    "rpn_channel": 16,
    "num_sample": 16,
    "rpn_num_sample": 16,
    "rpn_train_pre_nms": 60,
    "rpn_train_post_nms": 25,
    "rpn_test_pre_nms": 50,
    "rpn_test_post_nms": 20,
    "max_detections": 10,
    "score_thresh": 0.0,
}
CLASSES = ("cat", "dog")


@pytest.fixture(autouse=True)
def own_registrations(monkeypatch):
    """Forget after each test what it registers."""
    for registry in (BACKBONES, MODELS, norm_module._NORMS):
        monkeypatch.setattr(registry, "_entries", dict(registry))


def two_parts(norm=None):
    """Stem to stage 3 of Gluon's ResNet-18, and stage 4."""
    features = vision.resnet18_v1().features
    if norm is not None:
        replace_norms(features, norm)
    return features[:7], features[7:8]


def pyramid(norm):
    features = vision.resnet18_v1().features
    replace_norms(features, norm)
    return TappedBackbone(features, taps=(4, 5, 6, 7))


def image():
    return mx.nd.random.normal(shape=(1, 3, 64, 96))


def assert_trains(net):
    """One step with finite losses, and a gradient for each parameter that learns."""
    loss = make_loss(net)
    loss.hybridize()
    ground_truth = [mx.nd.array([[[8, 8, 40, 50]]]), mx.nd.array([[1]])]
    if net.has_masks:
        ground_truth.append(mx.nd.ones((1, 1, 28, 28)))
    with mx.autograd.record():
        losses = loss(image(), *ground_truth)
        total = mx.nd.add_n(*(each.mean() for each in losses))
    total.backward()
    assert np.isfinite([each.asscalar() for each in losses]).all()
    for name, parameter in net._collect_params_with_prefix().items():
        if parameter.grad_req != "null":
            assert np.isfinite(parameter.grad().asnumpy()).all(), name


def assert_same_outputs(net, other):
    x = image()
    for got, wanted in zip(other(x), net(x)):
        np.testing.assert_allclose(got.asnumpy(), wanted.asnumpy(), rtol=1e-3, atol=1e-3)


# ---- a detector from parts


def test_two_parts_make_a_detector_with_one_map():
    features, top = two_parts()
    net = model_zoo.get_faster_rcnn(features, top, classes=CLASSES, stride=16, **SMALL)
    assert isinstance(net.backbone, SequentialBackbone) and isinstance(net.box_head, Res5Head)
    assert net.backbone.features is features and net.box_head.stage is top
    config = net.config
    assert config.anchor_sizes == ((32, 64, 128, 256, 512),) and config.roi_size == 14
    assert config.rpn_channels == 16 and net.rpn.score.weight.shape[0] == 15
    assert net.classes == CLASSES and net.spec.norm is None
    assert_same_outputs(net, fold(net))
    assert_trains(net)


def test_freeze_at_counts_layers():
    net = model_zoo.get_faster_rcnn(*two_parts(), classes=CLASSES, freeze_at=5, **SMALL)
    learn = {
        name.split(".")[1]
        for name, parameter in net.backbone._collect_params_with_prefix().items()
        if parameter.grad_req != "null"
    }
    assert learn == {"5", "6"}


def test_scales_and_ratios_are_those_of_gluoncv():
    net = model_zoo.get_faster_rcnn(
        *two_parts(), classes=CLASSES, scales=(1, 4), ratios=(1,), roi_size=(7, 7), **SMALL
    )
    assert net.config.anchor_sizes == ((16, 64),) and net.config.anchor_ratios == (1,)
    assert net.config.roi_size == 7 and net.rpn.loc.weight.shape[0] == 8


def test_values_of_the_parts_are_kept():
    features, top = two_parts()
    for part in (features, top):
        part.initialize(mx.init.Xavier())
    mx.nd.waitall()
    top(features(image()))
    weight = features[0].weight.data().asnumpy()
    net = model_zoo.get_faster_rcnn(features, top, classes=CLASSES, **SMALL)
    np.testing.assert_array_equal(net.backbone.features[0].weight.data().asnumpy(), weight)


def test_taps_make_a_pyramid_and_norm_replaces_the_norms():
    net = model_zoo.get_mask_rcnn(
        vision.resnet18_v1().features,
        taps=(4, 5, 6, 7),
        classes=CLASSES,
        norm="gn",
        fpn_channels=32,
        mask_channels=32,
        **SMALL,
    )
    assert net.backbone.strides == (4, 8, 16, 32, 64) and net.has_masks
    assert net.config.anchor_sizes == ((32,), (64,), (128,), (256,), (512,))
    assert net.config.roi_size == 7 and net.spec.norm == "gn"
    assert isinstance(net.backbone.backbone.features[1], GroupNorm)
    assert isinstance(net.backbone.lateral2.norm, GroupNorm)
    assert isinstance(net.mask_head.convs[0].norm, GroupNorm) and len(net.mask_head.convs) == 8
    assert_same_outputs(net, fold(net))
    assert_trains(net)


def test_masks_of_two_parts_share_the_map_of_the_top():
    net = model_zoo.get_mask_rcnn(*two_parts(), classes=CLASSES, mask_channels=16, **SMALL)
    assert len(net.mask_head.convs) == 0
    assert net(image())[3].shape == (1, 10, 14, 14)
    assert_trains(net)


def test_a_top_may_return_a_vector_and_a_pyramid_may_have_a_top():
    top = nn.HybridSequential()
    top.add(nn.Dense(24, activation="relu"), nn.Dropout(0.5))
    features = vision.vgg11().features[:20]
    net = model_zoo.get_faster_rcnn(features, top, classes=CLASSES, roi_size=3, **SMALL)
    assert isinstance(net.box_head, BlockHead) and net.box_head.channels == 24
    assert top[0].weight.shape == (24, 512 * 9)
    assert_same_outputs(net, fold(net))
    assert_trains(net)

    top = nn.HybridSequential()
    top.add(nn.Conv2D(12, 3, activation="relu"))
    net = model_zoo.get_faster_rcnn(
        vision.resnet18_v1().features, top, taps=(5, 6), scales=(2, 4, 8), classes=CLASSES,
        fpn_channels=16, **SMALL
    )  # fmt: skip
    assert net.backbone.strides == (8, 16, 32) and top[0].weight.shape == (12, 16, 3, 3)
    assert_trains(net)


def test_the_same_parts_take_the_weights_again(tmp_path):
    net = model_zoo.get_faster_rcnn(*two_parts(), classes=CLASSES, **SMALL)
    net.save_parameters(str(tmp_path / "net.params"))
    again = model_zoo.get_faster_rcnn(*two_parts(), classes=CLASSES, **SMALL)
    again.load_parameters(str(tmp_path / "net.params"))
    assert_same_outputs(net, again)
    spec = ModelSpec.from_dict(asdict(net.spec))
    assert spec == net.spec
    with pytest.raises(InputError, match="made of parts, which no file holds; make it again with"):
        model_zoo.from_spec(spec)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"stride": 32}, "stride is 32, and the maps of features have strides \\(16,\\)"),
        ({"top_features": None}, "top_features are missing"),
        ({"top_features": "layer4"}, "top_features is 'layer4'; give a HybridBlock"),
        ({"features": "resnet50_v2"}, "features is 'resnet50_v2'; give a HybridBlock"),
        ({"classes": None}, "has no classes of its own; give classes"),
        ({"classes": ("a", "a")}, "class 'a' is listed more than once"),
        ({"scales": 8}, "scales is 8; want a tuple of numbers"),
        ({"ratios": 0.5}, "ratios is 0.5; want a tuple of numbers"),
        ({"roi_size": (7, 14)}, "roi_size is \\(7, 14\\); give one number"),
        ({"nms_treshold": 0.3}, "no setting 'nms_treshold'; did you mean nms_thresh"),
        ({"norm": "groupnorm"}, "no norm is called 'groupnorm'"),
        ({"train_patterns": "x"}, "freeze_at"),
        ({"top_features": vision.resnet18_v1().features[4:5]}, "cannot take an array of shape"),
    ],
)
def test_parts_that_do_not_fit(options, words):
    features, top = two_parts()
    options = {"features": features, "top_features": top, "classes": CLASSES, **SMALL, **options}
    with pytest.raises(InputError, match=words):
        model_zoo.get_faster_rcnn(**options)


def test_the_same_layers_as_both_parts():
    features = vision.resnet18_v1().features
    with pytest.raises(InputError, match="top_features have the parameter .* features have as"):
        model_zoo.get_faster_rcnn(features[:7], features[6:7], classes=CLASSES, **SMALL)


def test_a_pyramid_needs_a_scale_for_each_level():
    with pytest.raises(InputError, match="scales has 5 numbers, and the pyramid has 3 levels"):
        model_zoo.get_faster_rcnn(vision.resnet18_v1().features, taps=(5, 6), classes=CLASSES)


def with_statistics(norm):
    """Parts whose norms have statistics, as those of pretrained layers."""
    features = vision.resnet18_v1().features
    features.initialize()
    features(mx.nd.zeros((1, 3, 64, 64)))
    features[1].running_mean.set_data(mx.nd.ones(64))
    replace_norms(features, norm)
    return features[:7], features[7:8]


def test_frozen_statistics_that_nothing_has_set_are_warned_of():
    model_zoo.register_backbone("own", two_parts)
    model_zoo.register_backbone("own_pretrained", with_statistics)
    settings = {"anchor_sizes": ((32, 64),)}
    for name in ("own", "own_pretrained"):
        model_zoo.register(Model(f"row_{name}", name, "c4", "res5", settings=settings))
    with pytest.warns(UserWarning, match="row_own has no weights yet"):
        model_zoo.get_model("row_own", classes=CLASSES)
    with pytest.warns(UserWarning, match="faster_rcnn_from_parts has no weights yet"):
        model_zoo.get_faster_rcnn(*two_parts(), norm="frozen_bn", classes=CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = model_zoo.get_model("row_own_pretrained", classes=CLASSES)
        model_zoo.get_faster_rcnn(*with_statistics("frozen_bn"), classes=CLASSES)
        model_zoo.get_faster_rcnn(*two_parts(), norm="gn", classes=CLASSES)
    assert net.backbone.features[1].running_mean.data().asnumpy().all()


# ---- backbones and rows by name


def test_a_backbone_by_name_serves_rows_of_both_necks():
    model_zoo.register_backbone("own_c4", two_parts)
    model_zoo.register_backbone("own_fpn", pyramid)
    settings = {"anchor_sizes": ((32, 64),), "roi_size": 14}
    model_zoo.register(Model("own_one_map", "own_c4", neck="c4", head="res5", settings=settings))
    model_zoo.register(Model("own_pyramid", "own_fpn", neck="fpn", head="2fc", mask_convs=1))
    assert {"own_one_map", "own_pyramid", "own_c4", "own_fpn"} <= set(model_zoo.list_models())
    small = {name: value for name, value in SMALL.items() if name != "rpn_channel"}
    small.update(rpn_channels=16, fpn_channels=32)
    for name, norm in (("own_one_map", None), ("own_pyramid", "gn")):
        net = model_zoo.get_model(name, norm=norm, classes=CLASSES, **small)
        layer = net.backbone.features if name == "own_one_map" else net.backbone.backbone.features
        assert isinstance(layer[1], FrozenBatchNorm if norm is None else GroupNorm)
        again = model_zoo.from_spec(asdict(net.spec))
        arrays = net._collect_params_with_prefix()
        assert list(again._collect_params_with_prefix()) == list(arrays)
        for parameter_name, parameter in again._collect_params_with_prefix().items():
            parameter.set_data(arrays[parameter_name].data())
        assert_same_outputs(net, again)
        assert_trains(net)


@pytest.mark.parametrize("mask_convs", [0, 1])
def test_a_mask_head_beside_two_branches_reads_the_last_stage(mask_convs):
    model_zoo.register_backbone("own_c4", two_parts)
    settings = {"anchor_sizes": ((32, 64),), "rpn_channels": 16, "mask_channels": 32}
    row = Model("own_double", "own_c4", "c4", "double", mask_convs=mask_convs, settings=settings)
    model_zoo.register(row)
    small = {name: value for name, value in SMALL.items() if name != "rpn_channel"}
    net = model_zoo.get_model("own_double", norm="gn", classes=CLASSES, roi_size=14, **small)
    # The stage has 512 channels, and the branches together 2048.
    assert net(image())[3].shape == (1, 10, 28 // 2, 28 // 2)
    assert_trains(net)


def test_a_bare_backbone_by_name():
    model_zoo.register_backbone("own_fpn", pyramid)
    backbone = model_zoo.get_model("own_fpn", norm="sn")
    assert [each.shape[1] for each in backbone(image())] == [64, 128, 256, 512]


def test_head_norm_reaches_the_top():
    model_zoo.register_backbone("own_c4", two_parts)
    model_zoo.register(Model("own_one_map", "own_c4", neck="c4", head="res5", settings=
        {"anchor_sizes": ((32, 64),)}))  # fmt: skip
    net = model_zoo.get_model("own_one_map", head_norm="gn", classes=CLASSES)
    assert isinstance(net.backbone.features[1], FrozenBatchNorm)
    assert isinstance(net.box_head.stage[0][0].body[1], GroupNorm)


def test_a_norm_by_callable_is_that_of_the_network_and_its_description():
    def small_groups(channels, **settings):
        return GroupNorm(channels, num_groups=4, **settings)

    net = model_zoo.get_model(
        "faster_rcnn_fpn_resnet18_v1b_custom", norm=small_groups, classes=CLASSES
    )
    assert net.spec.norm == "small_groups"
    for layer in (net.backbone.backbone.bn1, net.backbone.lateral2.norm):
        assert isinstance(layer, GroupNorm) and layer._num_groups == 4
    again = model_zoo.from_spec(net.spec)
    assert again.backbone.backbone.bn1._num_groups == 4


@pytest.mark.parametrize(
    "build, row, words",
    [
        (lambda norm: two_parts(norm)[0], {}, "has no layers for the box head"),
        (lambda norm: two_parts(), {}, "has 15 norms, and made none of them with the norm"),
        (lambda norm: "layers", {}, "features is 'layers'; give a HybridBlock"),
    ],
)
def test_backbones_that_cannot_be_built(build, row, words):
    model_zoo.register_backbone("own", build)
    model_zoo.register(Model("own_row", "own", neck="c4", head="res5", **row))
    with pytest.raises(InputError, match=words):
        model_zoo.get_model("own_row", classes=CLASSES)


def test_what_cannot_be_registered():
    with pytest.raises(InputError, match="backbone 'resnet18_v1b' belongs to gluonnorm"):
        model_zoo.register_backbone("resnet18_v1b", pyramid)
    with pytest.raises(InputError, match="give a callable build"):
        model_zoo.register_backbone("own", "layers")
    model_zoo.register_backbone("own", pyramid)
    with pytest.raises(InputError, match="backbone 'own' is registered already"):
        model_zoo.register_backbone("own", two_parts)
    with pytest.raises(InputError, match="no backbone is called 'onw'; did you mean own"):
        model_zoo.register(Model("row", "onw", neck="fpn", head="2fc"))
    with pytest.raises(InputError, match="'own' is the name of a backbone"):
        model_zoo.register(Model("own", "own", neck="fpn", head="2fc"))
    with pytest.raises(InputError, match="model 'maskrcnn_resnet50_fpn' belongs to gluonnorm"):
        model_zoo.register(Model("maskrcnn_resnet50_fpn", "own", neck="fpn", head="2fc"))
    with pytest.raises(InputError, match="register got 'row'; give a model_zoo.Model"):
        model_zoo.register("row")


def test_rescale_is_for_the_resnets_of_the_package():
    model_zoo.register_backbone("own", pyramid)
    with pytest.raises(InputError, match="rescale='normalize' is for the ResNets"):
        model_zoo.get_model("own", rescale="normalize")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"norm": "nobody"}, "no norm is called 'nobody'.* --plugin MODULE"),
        ({"head_norm": "nobody"}, "no norm is called 'nobody'.* --plugin MODULE"),
        ({"model": "nobody"}, "no model 'nobody'.* --plugin MODULE"),
    ],
)
def test_a_description_with_unknown_names_needs_the_module_that_registers_them(change, words):
    net = model_zoo.get_model("faster_rcnn_fpn_resnet18_v1b_custom", classes=CLASSES)
    with pytest.raises(InputError, match=words):
        model_zoo.from_spec({**asdict(net.spec), **change})
