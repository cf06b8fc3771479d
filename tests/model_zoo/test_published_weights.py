"""The table of published weights agrees with the catalogue, GluonCV's table and the document."""

import re
from pathlib import Path

from gluonnorm.errors import InputError
from gluonnorm.nn import NORM_NAMES
from gluonnorm.types import Preprocess
from model_zoo.catalogue import BACKBONES, MODELS
from model_zoo.published_weights import (
    PUBLISHED_WEIGHTS,
    STD,
    resolve_base,
    resolve_pretrained,
    table,
)

import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "weights.md"
DIGITS = {"md5": 32, "sha1": 40, "sha256": 64}
BGR = Preprocess(order="BGR", std=(1.0, 1.0, 1.0))


def catalogue_preprocess(name):
    settings = MODELS[name].settings
    return settings.get("order", "RGB"), settings.get("std", STD["RGB"])


@pytest.mark.parametrize("key", PUBLISHED_WEIGHTS)
def test_record_is_well_formed(key):
    record = PUBLISHED_WEIGHTS[key]
    assert record.key == key and key.startswith(f"{record.source}/")
    host = {
        "torchvision": "download.pytorch.org",
        "gluoncv": "apache-mxnet.s3-accelerate.dualstack.amazonaws.com",
        "detectron": "dl.fbaipublicfiles.com",
        "detectron2": "dl.fbaipublicfiles.com",
    }[record.source]
    assert re.fullmatch(rf"https://{re.escape(host)}/[\w./%+-]+\.(pth|pkl|zip)", record.url), (
        record.url
    )
    assert re.fullmatch(r"[\w.-]+\.(pth|pkl|params)", record.file)
    assert record.order in STD and set(record.norms) <= set(NORM_NAMES)
    assert record.metric is None or re.search(r"\d\d\.\d", record.metric)
    assert record.models or record.backbones, "serves nobody"
    assert set(record.models) <= set(MODELS), "serves a name that is not in the catalogue"
    assert set(record.backbones) <= set(BACKBONES)


@pytest.mark.parametrize("key", PUBLISHED_WEIGHTS)
def test_file_name_and_checksum_agree(key):
    record = PUBLISHED_WEIGHTS[key]
    if record.checksum is None:
        assert record.source == "detectron"  # which writes no digits into its names
        return
    algorithm, digits = record.checksum.split(":")
    assert re.fullmatch(f"[0-9a-f]{{6,{DIGITS[algorithm]}}}", digits)
    in_name = re.search(r"[-_]([0-9a-f]{6}|[0-9a-f]{8})\.(?:pth|pkl|zip)$", record.url)[1]
    assert digits.startswith(in_name)
    assert re.search(r"-([0-9a-f]+)\.\w+$", record.file)[1] == in_name


def test_no_two_share_a_file_or_a_model():
    for values in (
        [record.file for record in PUBLISHED_WEIGHTS.values()],
        [record.url for record in PUBLISHED_WEIGHTS.values()],
        [model for record in PUBLISHED_WEIGHTS.values() for model in record.models],
    ):
        assert len(values) == len(set(values))


def test_detectors_have_the_input_and_norm_of_their_row():
    for record in PUBLISHED_WEIGHTS.values():
        for name in record.models:
            order, std = catalogue_preprocess(name)
            scratch = name.startswith("scratch_")  # trained with another std, which the row has
            assert order == record.order and (scratch or std == STD[order]), name
            assert MODELS[name].norm in record.norms, name


def test_gluoncv_says_the_same():
    model_store = pytest.importorskip("gluoncv.model_zoo.model_store")
    of_gluoncv = [record for record in PUBLISHED_WEIGHTS.values() if record.source == "gluoncv"]
    assert of_gluoncv
    for record in of_gluoncv:
        name = record.key.split("/")[1]
        assert record.checksum == f"sha1:{model_store._model_sha1[name]}"
        stem = f"{name}-{model_store.short_hash(name)}"
        assert record.file == f"{stem}.params"
        assert record.url == model_store._url_format.format(
            repo_url=model_store.apache_repo_url, file_name=stem
        )


def test_mirror_of_gluoncvs_files(monkeypatch):
    record, other = (
        PUBLISHED_WEIGHTS["gluoncv/resnet50_v1b"],
        PUBLISHED_WEIGHTS["torchvision/resnet50"],
    )
    monkeypatch.delenv("MXNET_GLUON_REPO", raising=False)
    assert record.address() == record.url
    for mirror in ("http://mirror.example/mx", "http://mirror.example/mx/"):
        monkeypatch.setenv("MXNET_GLUON_REPO", mirror)
        assert record.address() == "http://mirror.example/mx/gluon/models/resnet50_v1b-0ecdba34.zip"
        assert other.address() == other.url


@pytest.mark.parametrize(
    "name, key",
    [
        ("faster_rcnn_fpn_resnet50_v1b_coco", "gluoncv/faster_rcnn_fpn_resnet50_v1b_coco"),
        ("faster_rcnn_fpn_resnet50_v1b_custom", "gluoncv/faster_rcnn_fpn_resnet50_v1b_coco"),
        (
            "faster_rcnn_fpn_syncbn_resnest50_coco",
            "gluoncv/faster_rcnn_fpn_syncbn_resnest50_coco",
        ),
        ("maskrcnn_resnet50_fpn_v2", "torchvision/maskrcnn_resnet50_fpn_v2"),
        ("mask_rcnn_R_50_FPN_3x_gn", "detectron2/mask_rcnn_R_50_FPN_3x_gn"),
        ("e2e_mask_rcnn_R-50-FPN_2x_gn", "detectron/e2e_mask_rcnn_R-50-FPN_2x_gn"),
    ],
)
def test_whole_networks(name, key):
    assert resolve_pretrained(name).key == key


@pytest.mark.parametrize(
    "name",
    [
        "faster_rcnn_fpn_resnet18_v1b_coco",
        "mask_rcnn_fpn_resnet18_v1b_custom",
        "scratch_e2e_mask_rcnn_R-50-FPN_3x_gn",
        "e2e_faster_rcnn_R-50-FPN_2x_sn",
    ],
)
def test_without_published_weights_the_error_lists_those_with(name):
    assert name in MODELS
    with pytest.raises(InputError) as caught:
        resolve_pretrained(name)
    message = str(caught.value)
    assert repr(name) in message and "give a file" in message
    suggested = message[message.index("did you mean ") : message.index("?")]
    assert any(
        model in suggested for record in PUBLISHED_WEIGHTS.values() for model in record.models
    )
    assert suggested.count("rcnn") <= 3, "a few, not all"


@pytest.mark.parametrize(
    "arguments, key",
    [
        (("resnet50_v1b",), "gluoncv/resnet50_v1b"),  # the name is GluonCV's
        (
            ("resnet50_v1b", "sync_bn", Preprocess(), "faster_rcnn_fpn_syncbn_resnet50_v1b_coco"),
            "gluoncv/resnet50_v1b",
        ),
        (
            ("resnet50_v1b", "frozen_bn", Preprocess(), "fasterrcnn_resnet50_fpn"),
            "torchvision/resnet50",
        ),
        # Depths without published detectors are torchvision's as well.
        (
            ("resnet18_v1b", "frozen_bn", Preprocess(), "maskrcnn_resnet18_fpn"),
            "torchvision/resnet18",
        ),
        (
            ("resnet101_v1b", "bn", Preprocess(), "fasterrcnn_resnet101_fpn"),
            "torchvision/resnet101",
        ),
        (
            ("resnet50_v1b", "gn", Preprocess(), "fasterrcnn_resnet50_fpn"),
            "gluoncv/resnet50_v1b_gn",
        ),
        (
            ("resnet18_v1b", "bn", Preprocess(), "faster_rcnn_fpn_resnet18_v1b_custom"),
            "gluoncv/resnet18_v1b",
        ),
        (("resnet101_v1d",), "gluoncv/resnet101_v1d"),
        (("resnet50_v2",), "gluoncv/resnet50_v2"),
        (("mobilenet1_0", "sync_bn"), "gluoncv/mobilenet1.0"),
        (("resnest269", "frozen_bn"), "gluoncv/resnest269"),
        (("resnet50_v1a",), "detectron/R-50"),
        (("resnet101_v1a", "global_bn", BGR, "mask_rcnn_R_101_FPN_3x"), "detectron/R-101"),
        (("resnet50_v1b", "gn"), "gluoncv/resnet50_v1b_gn"),
        (
            ("resnet50_v1b", "gn", Preprocess(), "faster_rcnn_fpn_resnet50_v1b_coco"),
            "gluoncv/resnet50_v1b_gn",
        ),
        (("resnet50_v1b", "gn", BGR, "mask_rcnn_R_50_FPN_3x_gn"), "detectron/R-50-GN"),
        (("resnet101_v1b", "gn", BGR, "e2e_mask_rcnn_R-101-FPN_2x_gn"), "detectron/R-101-GN"),
    ],
)
def test_backbones(arguments, key):
    assert resolve_base(*arguments).key == key


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (
            ("resnet50_v1a", "bn"),
            "for this backbone: detectron/R-50 for BGR and norm frozen_bn or global_bn",
        ),
        (
            ("resnet50_v1a", "gn", BGR),
            "for this backbone: detectron/R-50 ",
        ),  # the GN file has its stride elsewhere
        (
            ("resnet50_v1b", "frozen_bn", BGR),
            "in BGR; for this backbone: gluoncv/resnet50_v1b for RGB",
        ),
        (
            ("resnet50_v1b", "gn", Preprocess(order="BGR", std=(57.0, 57.0, 57.0))),
            "std (57.0, 57.0, 57.0) in BGR",
        ),
        (("resnet50_v1b", "sn"), "norm='sn'"),
        (("resnet18_v1d",), "for this backbone: none; did you mean resnet18_v"),
    ],
)
def test_backbones_without(arguments, reason):
    with pytest.raises(InputError) as caught:
        resolve_base(*arguments)
    assert reason in str(caught.value), str(caught.value)


def test_document_has_the_table():
    assert table() in DOCUMENT.read_text(encoding="utf-8"), (
        "paste what model_zoo.published_weights.table() gives"
    )


def test_switch_norm_weights_are_not_fetched():
    assert not any(
        "switch" in record.source or "sn" in record.norms for record in PUBLISHED_WEIGHTS.values()
    )


@pytest.mark.parametrize("backbone", ["resnet50_v1b", "resnet101_v1d"])
def test_gluoncv_s_custom_models_have_no_weights_and_the_coco_row_is_named(backbone):
    """Their anchors differ from those of the COCO detectors."""
    with pytest.raises(InputError, match=f"did you mean .*faster_rcnn_{backbone}_coco"):
        resolve_pretrained(f"faster_rcnn_{backbone}_custom")
