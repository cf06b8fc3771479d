"""Every model of the catalogue, by name: it builds, runs, hybridizes, is saved and comes back from its own record."""
import dataclasses
import json

import model_zoo
from gluonnorm.backbones import Backbone
from model_zoo.catalogue import BACKBONES, COCO_CLASSES, MODELS, VOC_CLASSES

import mxnet as mx
import numpy as np
import pytest

SMALL = {"rpn_channels": 8, "rpn_test_pre_nms": 20, "rpn_test_post_nms": 6, "num_sample": 4, "max_candidates": 20,
         "max_detections": 5, "score_thresh": 0.0}
HEIGHT, WIDTH = 64, 96


def image():
    """Noise so faint that the maps of an untrained ResNet-101, which has no live norm to hold them, stay small."""
    return mx.nd.array(np.random.uniform(-1e-3, 1e-3, (1, 3, HEIGHT, WIDTH)))


def build(name):
    overrides = {**SMALL, "fpn_channels": 8} if "_fpn_" in name else SMALL
    if name in BACKBONES:
        return model_zoo.get_model(name)
    return model_zoo.get_model(name, classes=("red", "white") if name.endswith("_custom") else None, **overrides)


def rebuild(name, net):
    """The network once more: a detector from its record as it comes out of JSON."""
    if name in BACKBONES:
        return build(name)
    again = model_zoo.from_spec(json.loads(json.dumps(dataclasses.asdict(net.spec))))
    assert again.spec == net.spec and again.preprocess == net.preprocess
    return again


def assert_detections(net, outputs, images):
    """The contract of a detector's outputs."""
    rows = net.config.max_detections
    assert [out.shape for out in outputs] == [(images, rows, columns) for columns in (1, 1, 4)]
    for ids, scores, boxes in zip(*(out.asnumpy() for out in outputs)):
        ids, scores = ids[:, 0], scores[:, 0]
        count = int((ids >= 0).sum())
        assert 0 < count <= rows, "an untrained network with score_thresh 0 detects something"
        assert np.isin(ids[:count], np.arange(len(net.classes))).all()
        assert (scores[:count] > 0).all() and (scores[:count] <= 1).all() and (np.diff(scores[:count]) <= 0).all()
        assert (boxes[:count, 2:] >= boxes[:count, :2]).all() and (boxes[:count] >= 0).all()
        assert (boxes[:count] <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
        assert (ids[count:] == -1).all() and (scores[count:] == -1).all() and (boxes[count:] == -1).all()


def assert_maps(net, outputs, images):
    """The contract of a backbone's outputs."""
    assert [out.shape for out in outputs] == [
        (images, channels, -(-HEIGHT // stride), -(-WIDTH // stride))
        for channels, stride in zip(net.channels, net.strides)]
    for out in outputs:
        assert np.isfinite(out.asnumpy()).all() and out.asnumpy().std() > 0


@pytest.mark.filterwarnings("ignore:Caution using SyncBatchNorm")
@pytest.mark.parametrize("name", model_zoo.list_models())
def test_model(name, tmp_path, monkeypatch):
    x, net = image(), build(name)
    expected = net(x)
    (assert_maps if isinstance(net, Backbone) else assert_detections)(net, expected, images=1)

    path = tmp_path / "net.params"
    net.save_parameters(str(path))
    saved = set(mx.nd.load(str(path)))
    assert saved == set(net._collect_params_with_prefix())
    assert not [key for key in saved if "anchor" in key or "rescale" in key]

    monkeypatch.setattr(mx.init.Xavier, "_init_weight", lambda self, name, array: array.__setitem__(slice(None), 0))
    again = rebuild(name, net)  # all zero, since drawing 44 million numbers takes longer than all the rest
    again.load_parameters(str(path))
    path.unlink()  # up to 190 MB, and pytest keeps its folders
    again.hybridize()
    for found, wanted in zip(again(x), expected):
        np.testing.assert_allclose(found.asnumpy(), wanted.asnumpy(), rtol=1e-4, atol=1e-5)


def test_names_say_what_a_model_is():
    names = model_zoo.list_models()
    assert names == sorted(set(names)) and set(names) == {*MODELS, *BACKBONES}
    for name, model in MODELS.items():
        dataset = name.rsplit("_", 1)[1]
        assert model.name == name and model.backbone in name and model.backbone in BACKBONES
        assert model.classes == {"voc": VOC_CLASSES, "coco": COCO_CLASSES, "custom": None}[dataset]
        assert (model.neck == "fpn") == ("_fpn_" in name) and (model.norm == "sync_bn") == ("_syncbn_" in name)


def test_names_of_gluoncv_are_there():
    wanted = {f"faster_rcnn_{backbone}_{dataset}" for backbone in ("resnet50_v1b", "resnet101_v1d")
              for dataset in ("voc", "coco", "custom")}
    wanted |= {f"faster_rcnn_fpn_{backbone}_coco" for backbone in (
        "resnet50_v1b", "resnet101_v1d", "syncbn_resnet50_v1b", "syncbn_resnet101_v1d")}
    assert wanted <= set(model_zoo.list_models())


def test_classes_are_those_of_the_data_sets():
    assert len(VOC_CLASSES) == len(set(VOC_CLASSES)) == 20 and len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80
    assert VOC_CLASSES == tuple(sorted(VOC_CLASSES)) and COCO_CLASSES.index("toothbrush") == 79
