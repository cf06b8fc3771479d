"""Exported graphs hold only operators and attributes that are safe and fast on GPUs."""

import copy

from gluonnorm.deploy import export

import pytest
from gpu_operators import problems, read_graph
from tiny_detector import tiny_detector

# Detectors that have every operator of exports between them.
DETECTORS = {
    "gn": ("mask_fpn", {"norm": "gn"}),
    "sn": ("mask_c4", {"norm": "sn", "mask_roi_size": 7}),
    "sn_nobn": ("fpn", {"norm": "sn_nobn", "convention": "torchvision"}),
    "detectron": ("fpn", {"norm": "frozen_bn", "convention": "detectron", "roi_sample_ratio": 0}),
    "gluoncv": ("c4", {"norm": "bn", "convention": "gluoncv"}),
}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu_operators")
    graphs = {}
    for name, (kind, settings) in DETECTORS.items():
        export(tiny_detector(kind, **settings), str(folder / name))
        graphs[name] = read_graph(folder / name)
    return graphs


@pytest.mark.parametrize("name", DETECTORS)
def test_exports_hold_what_is_safe_and_fast_on_gpus(graphs, name):
    assert problems(graphs[name]) == []


@pytest.mark.parametrize(
    "operator, change, problem",
    [
        ("Convolution", {"layout": "NHWC"}, "Convolution: layout=NHWC; cuDNN"),
        ("Convolution", {"cudnn_off": "True"}, "no row for its attribute cudnn_off=True"),
        ("_contrib_box_nms", {"topk": "400"}, "_contrib_box_nms: topk=400"),
        ("_contrib_box_nms", {"valid_thresh": "-1.5"}, "_contrib_box_nms: valid_thresh=-1.5"),
        ("_contrib_ROIAlign", {"position_sensitive": "True"}, "position_sensitive=True"),
        ("Cast", {"dtype": "float16"}, "Cast: dtype=float16"),
    ],
)
def test_a_slow_attribute_is_found(graphs, operator, change, problem):
    graph = copy.deepcopy(graphs["gn"])
    node = next(node for node in graph["nodes"] if node["op"] == operator)
    node["attrs"].update(change)
    (found,) = problems(graph)
    assert problem in found


@pytest.mark.parametrize(
    "operator, reason",
    [("BatchNorm", "fold it into the convolution"), ("_contrib_new_operator", "no row")],
)
def test_another_operator_is_found(graphs, operator, reason):
    graph = copy.deepcopy(graphs["gn"])
    graph["nodes"].append({"op": operator, "name": "added", "attrs": {}, "inputs": []})
    (found,) = problems(graph)
    assert found.startswith(operator) and found.endswith(reason)
