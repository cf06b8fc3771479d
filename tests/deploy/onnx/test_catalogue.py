"""Every kind of detector in the catalogue has a form in ONNX."""

import re

from gluonnorm.deploy.candidate_count import with_candidates
from gluonnorm.deploy.onnx.convert import convert_graph
from gluonnorm.graph.trace import norms_for_inference
from model_zoo import get_model
from model_zoo.catalogue import MODELS

import mxnet as mx
import pytest

NAMES = ["ids", "scores", "boxes", "masks", "candidates"]
SMALL = {"rpn_channels": 8, "fpn_channels": 32}


# Settings that decide which operators a detector has.
DECISIVE = ("convention", "roi_sample_ratio", "nms_topk", "force_nms")


def kind(model):
    """What decides which operators a detector has: all but its depth, classes and name."""
    family = re.sub(r"\d+", "", model.backbone)
    is_basic = model.backbone.startswith(("resnet18", "resnet34"))
    head = (model.neck, model.head, model.head_with_norm, model.fpn_extra, model.mask_convs)
    settings = [repr(model.settings.get(name)) for name in DECISIVE]
    return (family, is_basic, *head, model.norm, model.norm_in_heads, *settings)


def one_of_each_kind():
    """The names of the smallest detectors of each kind."""
    chosen = {}
    for name in sorted(MODELS, key=lambda name: (len(MODELS[name].backbone), name)):
        chosen.setdefault(kind(MODELS[name]), name)
    return sorted(chosen.values())


@pytest.fixture(autouse=True)
def no_drawn_weights(monkeypatch):
    """Leave weights as they are in memory: tracing and converting read no values."""
    monkeypatch.setattr(mx.init.Initializer, "__call__", lambda self, name, array: None)


@pytest.mark.parametrize("name", one_of_each_kind())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_operator_has_a_converter(name):
    model = MODELS[name]
    classes = None if model.classes else ("one", "two")
    small = {} if model.mask_convs is None else {"mask_channels": 32}
    net = get_model(name, classes=classes, **SMALL, **small)
    net.levels_apart = True
    with norms_for_inference(net):
        outputs = net(mx.sym.var("data"))
    symbol = with_candidates(mx.sym.Group(list(outputs)))
    names = [*NAMES[: len(outputs)], "candidates"]
    graph = convert_graph(symbol, {}, {"data": (1, 3, 64, 64)}, names)
    assert graph.outputs == names
    # Each RoIAlign of a pyramid reads the RoIs of its level alone.
    kinds = [node.op_type for node in graph.nodes]
    num_levels = 4 if model.neck == "fpn" else 1
    num_roi_aligns = num_levels if model.mask_convs is None else 2 * num_levels
    assert kinds.count("RoiAlign") == num_roi_aligns
    assert kinds.count("NonZero") == (num_roi_aligns if model.neck == "fpn" else 0)
