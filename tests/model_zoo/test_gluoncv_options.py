"""GluonCV's names and keywords: understood, or answered with what is given here instead."""

import dataclasses
import functools
import inspect
import json
import warnings
from dataclasses import fields

import model_zoo
from gluonnorm.errors import InputError
from gluonnorm.nn import FrozenBatchNorm, GroupNorm, SwitchNorm
from gluonnorm.rcnn import DetectorConfig
from model_zoo.catalogue import MODELS
from model_zoo.gluoncv_options import (
    OWN_OPTIONS,
    RENAMED,
    WITHOUT_EFFECT,
    read_options,
)
from model_zoo.names import find_name

import gluoncv
import mxnet as mx
import numpy as np
import pytest
from gluoncv.model_zoo.rcnn import RCNN
from gluoncv.model_zoo.rcnn.faster_rcnn import FasterRCNN
from gluoncv.model_zoo.rcnn.faster_rcnn import predefined_models as faster_models
from gluoncv.model_zoo.rcnn.faster_rcnn.faster_rcnn import custom_faster_rcnn_fpn
from gluoncv.model_zoo.rcnn.mask_rcnn import MaskRCNN, custom_mask_rcnn_fpn
from gluoncv.model_zoo.rcnn.mask_rcnn import predefined_models as mask_models
from tiny_detector import SETTINGS, tiny_detector

NAME = "faster_rcnn_resnet18_v1b_custom"
TINY = {**SETTINGS, "anchor_sizes": ((16, 32, 64),)}
SyncBatchNorm = mx.gluon.contrib.nn.SyncBatchNorm


def test_the_list_has_gluoncvs_name():
    assert model_zoo.get_model_list() == model_zoo.list_models()


def test_no_two_names_differ_in_case_only():
    names = [name.lower() for name in model_zoo.list_models()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("change", [str.upper, str.title, str.lower])
def test_a_name_is_understood_in_any_case(change):
    for name in model_zoo.list_models():
        assert find_name(change(name), model_zoo.list_models()) == name
    assert model_zoo.get_model(change(NAME), norm="gn", classes=["a"]).spec.model == NAME


@pytest.mark.parametrize(
    "name",
    [
        "ssd_512_resnet50_v1_voc",
        "yolo3_darknet53_coco",
        "center_net_resnet18_v1b_voc",
        "SSD_300_vgg16_atrous_voc",
        "fcn_resnet50_voc",
        "mobilenet1.0",
    ],
)
def test_another_family_is_told_so(name):
    with pytest.raises(InputError, match="two-stage detectors only, faster_rcnn_.* and mask_rcnn"):
        model_zoo.get_model(name, classes=["a"])


@pytest.mark.parametrize(
    "name, suggestion",
    [
        ("faster_rcnn_resnet50_v1b_vco", "faster_rcnn_resnet50_v1b_voc"),
        ("Resnet50v2", "resnet50_v2"),
    ],
)
def test_a_misspelled_name_gets_a_suggestion(name, suggestion):
    with pytest.raises(InputError, match=f"did you mean .*{suggestion}"):
        model_zoo.get_model(name)


def keywords_of_gluoncv():
    """The names of all arguments of GluonCV's classes and functions of two-stage detectors."""
    functions = [custom_faster_rcnn_fpn, custom_mask_rcnn_fpn, RCNN, FasterRCNN, MaskRCNN]
    functions += [function for _, function in inspect.getmembers(faster_models, inspect.isfunction)]
    functions += [function for _, function in inspect.getmembers(mask_models, inspect.isfunction)]
    names = set()
    for function in functions:
        names.update(inspect.signature(function).parameters)
    return names - {"name", "kwargs"}


def test_every_keyword_of_gluoncv_is_a_setting_or_has_an_answer():
    names = keywords_of_gluoncv()
    assert len(names) > 50
    settings = {field.name for field in fields(DetectorConfig)}
    for name in names - {*OWN_OPTIONS, *WITHOUT_EFFECT, *settings, "roi_mode"}:
        assert name in RENAMED, name


@pytest.mark.parametrize(
    "options, is_backbone, norm",
    [
        ({"norm_layer": mx.gluon.nn.BatchNorm}, False, "frozen_bn"),
        ({"norm_layer": mx.gluon.nn.BatchNorm}, True, "bn"),
        ({"norm_layer": mx.gluon.nn.BatchNorm, "use_global_stats": True}, True, "global_bn"),
        ({"norm_layer": mx.gluon.nn.BatchNorm, "use_global_stats": False}, False, "bn"),
        ({"use_global_stats": True}, False, "frozen_bn"),
        ({"norm_kwargs": {"use_global_stats": True, "epsilon": 1e-5}}, True, "global_bn"),
        ({"norm_layer": SyncBatchNorm, "norm_kwargs": {"num_devices": 4}}, False, "sync_bn"),
        ({"norm_layer": mx.gluon.nn.GroupNorm, "norm_kwargs": {"num_groups": 32}}, False, "gn"),
        ({"norm_layer": gluoncv.nn.GroupNorm, "norm_kwargs": {"ngroups": 32}}, True, "gn"),
        ({"norm_layer": FrozenBatchNorm}, False, FrozenBatchNorm),
        ({"norm_layer": SwitchNorm}, True, SwitchNorm),
        ({"norm_layer": None, "norm_kwargs": None}, False, None),
    ],
)
def test_norm_layers(options, is_backbone, norm):
    assert read_options(options, None, "", is_backbone).norm == norm


def test_a_network_with_gluoncvs_norm_layer():
    net = model_zoo.get_model(NAME, classes=["a"], norm_layer=mx.gluon.nn.GroupNorm, **TINY)
    assert net.spec.norm == "gn"
    assert model_zoo.get_model(NAME, classes=["a"], norm_layer=SwitchNorm, **TINY).spec.norm == "sn"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"norm_layer": mx.gluon.nn.LayerNorm}, "norm_layer=LayerNorm: there is no such norm here"),
        ({"norm_layer": "BatchNorm"}, "there is no such norm here|give one of"),
        ({"norm": "gn", "norm_layer": GroupNorm}, "give norm alone"),
        ({"norm": "gn", "use_global_stats": True}, "give norm alone"),
        ({"norm_kwargs": {"epsilon": 2e-5}}, "norm_kwargs has epsilon=2e-05; give norm=functools"),
        (
            {"norm_layer": mx.gluon.nn.GroupNorm, "norm_kwargs": {"num_groups": 8}},
            "norm_kwargs has num_groups=8",
        ),
        (
            {"norm_layer": mx.gluon.nn.GroupNorm, "use_global_stats": True},
            "use_global_stats=True is for BatchNorm only",
        ),
        ({"post_nms": 50}, "no setting 'post_nms'; here it is max_detections"),
        ({"clip": 4.14}, "here it is delta_clip"),
        ({"rpn_channel": 256}, "here it is rpn_channels"),
        ({"class": ["a"]}, "here it is classes"),
        ({"clases": ["a"]}, "did you mean .*classes"),
        ({"pretrain": True}, "did you mean .*pretrained"),
        ({"features": None}, "get_faster_rcnn"),
        ({"nms_tresh": 0.5}, "did you mean .*nms_thresh"),
        ({"xyzzy": 1}, "the options are norm, .*and the settings convention"),
        ({"roi_mode": "pool"}, "RoIAlign only"),
        (
            {"transfer": "coco", "name": "faster_rcnn_resnet50_v1b_voc"},
            "is for the .*_custom models",
        ),
        ({"transfer": "kitti", "name": "faster_rcnn_resnet50_v1b_custom"}, "no model .*_kitti"),
    ],
)
def test_what_is_not_understood_is_answered(options, message):
    arguments = {"name": NAME, "classes": ["a"], **options}
    with pytest.raises(InputError, match=message):
        model_zoo.get_model(**arguments)


def test_the_way_out_for_other_norm_settings():
    norm = functools.partial(GroupNorm, num_groups=8)
    net = model_zoo.get_model(NAME, norm=norm, classes=["a"], **TINY)
    assert net.spec.norm == "GroupNorm(num_groups=8)"


def test_keywords_without_effect():
    net = model_zoo.get_model(
        NAME, norm="gn", classes=["a"], per_device_batch_size=2, num_devices=4, max_num_gt=300,
        alloc_size=(128, 128), roi_mode="align", transfer=None, root="x",
        **{**TINY, "roi_size": (4, 4)},
    )  # fmt: skip
    assert net.config == model_zoo.get_model(NAME, norm="gn", classes=["a"], **TINY).config


def test_the_tables_name_what_exists():
    settings = {field.name for field in fields(DetectorConfig)}
    signature = set(inspect.signature(model_zoo.get_model).parameters)
    assert set(OWN_OPTIONS[:7]) == signature - {"name", "overrides"}
    assert not set(RENAMED) & settings
    for answer in RENAMED.values():
        first_word = answer.split(",")[0].split(" ")[0].split("(")[0]
        known = settings | set(OWN_OPTIONS) | {"nothing", "a"}
        assert first_word in known or first_word.startswith("model_zoo.get_")


def test_a_detector_from_parts_reads_the_same_keywords():
    features = mx.gluon.model_zoo.vision.resnet18_v1().features
    net = model_zoo.get_faster_rcnn(
        features[:7], features[7:8], classes=["a"], rpn_channel=32, alloc_size=(128, 128),
        roi_mode="align", nms_topk=400, max_num_gt=100,
    )  # fmt: skip
    assert net.config.nms_topk == 400
    with pytest.raises(InputError, match="no setting 'post_nms'; here it is max_detections"):
        model_zoo.get_faster_rcnn(features[:7], features[7:8], classes=["a"], post_nms=100)


def test_transfer_is_the_other_detector_with_its_weights_and_new_classes(tmp_path):
    """A file takes the place of the published weights, which are not on this machine."""
    source = model_zoo.get_model("mask_rcnn_resnet18_v1b_coco", norm="gn", **TINY)
    path = str(tmp_path / "coco.params")
    source.save_parameters(path)
    net = model_zoo.get_model(
        "mask_rcnn_resnet18_v1b_custom", norm="gn", classes=["dog", "lamp", "person"],
        transfer="coco", pretrained=path, **TINY,
    )  # fmt: skip
    assert net.classes == ("dog", "lamp", "person") and net.spec.model == source.spec.model
    assert net.config == source.config
    dog = source.classes.index("dog")
    old, new = (block.mask_head.score.weight.data().asnumpy() for block in (source, net))
    np.testing.assert_array_equal(new[[0, 2]], old[[dog, 0]])
    old, new = (block.rpn.conv.weight.data().asnumpy() for block in (source, net))
    np.testing.assert_array_equal(new, old)


def test_root_is_the_folder_of_downloads(tmp_path, monkeypatch):
    seen = []

    def no_download(record, folder, progress):
        seen.append(folder)
        raise InputError("stop")

    monkeypatch.setattr("model_zoo.pretrained.download", no_download)
    for option in ("pretrained", "pretrained_base"):
        with pytest.raises(InputError, match="stop"):
            model_zoo.get_model(
                "faster_rcnn_resnet50_v1b_voc", root=str(tmp_path), **{option: True}
            )
    with pytest.raises(InputError, match="stop"):
        model_zoo.get_model("resnet50_v1b", root=str(tmp_path), pretrained_base=True)
    assert seen == [str(tmp_path)] * 3


def test_statistics_without_weights_give_a_warning(tmp_path):
    with pytest.warns(UserWarning, match=f"{NAME} has no weights yet: norm='frozen_bn'") as caught:
        net = model_zoo.get_model(NAME, classes=["a"], **TINY)
    assert caught[0].filename == __file__
    path = str(tmp_path / "net.params")
    net.save_parameters(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model_zoo.get_model(NAME, classes=["a"], pretrained=path, **TINY)
        model_zoo.get_model(NAME, classes=["a"], norm="gn", **TINY)
        model_zoo.from_spec(net.spec)
    assert tiny_detector("c4", norm="bn").spec.norm == "bn"


def test_the_backbone_of_a_custom_model_is_the_callers_and_is_stated():
    net = model_zoo.get_model(
        "custom_mask_rcnn_fpn",
        norm="gn",
        classes=("cell",),
        base_network_name="resnet34_v1b",
        dataset="cells",
    )
    assert net.spec.backbone == "resnet34_v1b" and net.has_masks
    assert len(net.backbone.backbone.layer3) == 6, "a ResNet-34"
    assert len(net.box_head.convs) == 9, "a pooling, and four convolutions with norm and ReLU"
    again = model_zoo.from_spec(json.loads(json.dumps(dataclasses.asdict(net.spec))))
    assert again.spec == net.spec
    shapes = {
        name: parameter.shape for name, parameter in again._collect_params_with_prefix().items()
    }
    for name, parameter in net._collect_params_with_prefix().items():
        assert shapes[name] == parameter.shape


def test_the_backbone_of_a_custom_model_is_stated_if_nobody_chose_one():
    net = model_zoo.get_model("custom_faster_rcnn_fpn", norm="gn", classes=("cell",))
    assert net.spec.backbone == "resnet18_v1b"


@pytest.mark.parametrize("name", ["my_custom", "custom_mine"])
def test_rows_of_the_user_with_such_names_are_their_own(name, monkeypatch):
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS))
    for row_name in (name, "my_coco", "mine_resnet18_v1b_coco"):
        row = model_zoo.Model(row_name, backbone="resnet18_v1b", neck="fpn", head="2fc")
        model_zoo.register(row)
    with pytest.raises(InputError, match="transfer='coco' is for models of this package, and"):
        model_zoo.get_model(name, classes=("cell",), transfer="coco")
    with pytest.raises(InputError, match="base_network_name.* a part of the model's name"):
        model_zoo.get_model(name, classes=("cell",), base_network_name="resnet34_v1b")


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("custom_faster_rcnn_fpn", {"base_network_name": "resnet19"}, "no backbone is called"),
        ("faster_rcnn_fpn_resnet50_v1b_coco", {"base_network_name": "resnet50"}, "model's name"),
        ("custom_faster_rcnn_fpn", {"base_network_name": "resnet50_v1b"}, "give classes"),
    ],
)
def test_a_wrong_backbone_or_model_for_it_is_refused(name, options, message):
    classes = None if message == "give classes" else ("cell",)
    with pytest.raises(InputError, match=message):
        model_zoo.get_model(name, classes=classes, **options)
