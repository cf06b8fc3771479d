"""Exports of C4 detectors on ResNets with bottlenecks, whose 1x1 convolutions leave the RoIs."""

from pathlib import Path

from gluonnorm.deploy import export, load
from gluonnorm.graph.conv_before_roi_align import convolve_before_roi_align
from gluonnorm.graph.fold import fold_graph
from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.output_layers import output_layers
from gluonnorm.graph.trace import inference_block, trace

import mxnet as mx
import numpy as np
import onnx_programs
import pytest
from detection_sets import assert_same_detections
from onnx_catalogue import random_network
from tiny_detector import images

MOVE = "gluonnorm.deploy.exporting.convolve_before_roi_align"
NETWORKS = [
    "faster_rcnn_resnet50_v1b_custom",
    pytest.param("mask_rcnn_R_50_C4_1x", marks=pytest.mark.slow),
    pytest.param("mask_rcnn_resnet101_v1d_coco", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=NETWORKS)
def net(request):
    net = random_network(request.param)
    # Scores near 1 are so close to each other that rounding decides which box suppresses which.
    weight = net.predictor.score.weight
    weight.set_data(weight.data() * 0.1)
    return net


def outputs_before_suppression(symbol, values, pixels):
    """Compute the scores and deltas of proposals and RoIs, and mask logits, by their layers."""
    layers = output_layers(Graph.read(symbol))
    outputs = Graph([(layer, 0) for layer in layers]).symbol()
    needed = {name: values[name] for name in outputs.list_inputs() if name in values}
    arrays = inference_block(outputs, needed, mx.cpu())(pixels)
    return {layer.name: array.asnumpy() for layer, array in zip(layers, arrays)}


def test_scores_and_deltas_are_those_without_the_move(net):
    symbol, values = fold_graph(*trace(net))
    moved, moved_values = convolve_before_roi_align(symbol, values)
    assert len([name for name in moved.get_internals().list_outputs() if "_of_map_" in name]) == 2
    for size in ((1, 64, 96), (2, 100, 70)):
        expected = outputs_before_suppression(symbol, values, images(*size))
        found = outputs_before_suppression(moved, moved_values, images(*size))
        assert found.keys() == expected.keys() and len(found) >= 4
        for name, array in found.items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_files_of_every_number_type_hold_the_move(net, dtype, tmp_path):
    prefix = str(tmp_path / "c4")
    pixels = images(1).asnumpy().transpose(0, 2, 3, 1)
    photos = list(np.clip(pixels * 57 + 115, 0, 255).astype(np.uint8))
    export(net, prefix, dtype=dtype, calibration=photos if dtype == "int8" else None)
    # In int8, the convolutions are inside the subgraphs of oneDNN's fusion.
    assert "_of_map" in Path(f"{prefix}-symbol.json").read_text(encoding="utf-8")
    block, _ = load(prefix)
    _, scores, *others = (output.asnumpy() for output in block(images(1)))
    assert (scores > 0).any() and all(np.isfinite(output).all() for output in others)


# Rounding grows in a deep network with random weights, so MXNet and onnxruntime may choose other
# proposals. In one run time, the files with and without the move choose the same.
@pytest.mark.parametrize(
    "package, load_program",
    [
        ("onnxruntime", onnx_programs.session),
        ("openvino", onnx_programs.openvino_program),
    ],
)
def test_a_run_time_finds_what_it_finds_without_the_move(
    net, package, load_program, tmp_path, monkeypatch
):
    pytest.importorskip(package)
    programs = []
    for name in ("moved", "unmoved"):
        export(net, str(tmp_path / name), format="onnx")
        programs.append(load_program(str(tmp_path / f"{name}.onnx")))
        # For the second export.
        monkeypatch.setattr(MOVE, lambda symbol, values, dtype: (symbol, values))
    for size in ((1, 64, 96), (2, 100, 70)):
        inputs = {"data": images(*size).asnumpy()}
        found, expected = ([*program(inputs)][:-1] for program in programs)
        assert_same_detections(found, expected)
