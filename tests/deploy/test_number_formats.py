"""Files of ONNX and OpenVINO in bfloat16 and int8: which layers are narrow, and what they find."""

import json
import sys
import tempfile
from collections import Counter

from gluonnorm.deploy import DeployError, Predictor, export
from gluonnorm.deploy.onnx.convert import convert_graph
from gluonnorm.deploy.onnx.narrow_nodes import LAYER_TYPES, narrow_nodes
from gluonnorm.deploy.onnx.writer import MAKERS
from gluonnorm.graph.fold import fold_graph
from gluonnorm.graph.trace import trace

import numpy as np
import pytest
from detection_sets import assert_same_detections
from full_disk import no_file_beyond
from optional_packages import require
from tiny_detector import images, tiny_detector

SETTINGS = {"short": 64, "max_size": 96}
# Of each kind: the layers whose output no other layer reads.
OUTPUT_LAYERS = {
    "fpn": {"Conv": 5 * 2, "Gemm": 2},
    "mask_c4": {"Conv": 2 + 1, "Gemm": 2},
}
RUN_TIMES = {"onnx": "onnxruntime", "openvino": "openvino"}


def photos(count=3):
    """Photos whose normalized pixels are those of ``images``."""
    blocks = images(count).asnumpy().transpose(0, 2, 3, 1)
    return list(np.clip(blocks * 57 + 115, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("kind", list(OUTPUT_LAYERS))
@pytest.mark.parametrize("norm", ["frozen_bn", "gn", "sn"])
def test_all_layers_but_the_last_are_narrow(kind, norm):
    net = tiny_detector(kind, norm=norm)
    symbol, values = fold_graph(*trace(net, (64, 64)))
    names = [f"output{number}" for number in range(len(symbol.list_outputs()))]
    graph = convert_graph(symbol, values, {"data": (1, 3, 64, 64)}, names)
    narrow = narrow_nodes(symbol, graph)
    wide_layers = Counter()
    narrow_types = set()
    for node in graph.nodes:
        if node.outputs[0] in narrow:
            narrow_types.add(node.op_type)
            # The scales of group and switchable norms are convolutions with weights of the image.
            assert node.op_type not in LAYER_TYPES or node.inputs[1] in graph.constants
        # Group and switchable norms multiply with small matrices, which are no layers.
        elif node.op_type in LAYER_TYPES and node.inputs[1].endswith("weight"):
            wide_layers[node.op_type] += 1
    assert wide_layers == OUTPUT_LAYERS[kind]
    assert {"Conv", "Relu"} <= narrow_types and "MatMul" not in narrow_types
    assert norm != "frozen_bn" or "Add" in narrow_types  # the sums of residual blocks


def agreement(found, exact):
    """The share of detections that a float32 detector also has, nearly."""
    close = []
    for box, class_id, score in zip(found.boxes, found.ids, found.scores):
        near_box = np.abs(exact.boxes - box).max(axis=1) < 8
        near_score = np.abs(exact.scores - score) < 0.1
        close.append((near_box & near_score & (exact.ids == class_id)).any())
    return np.mean(close)


def require_int8():
    """Skip a test of int8 where onnxruntime cannot write it."""
    pytest.importorskip("onnxruntime", minversion="1.20")


@pytest.fixture(scope="module")
def detectors(tmp_path_factory):
    """The folder of exports, a detector of each kind, and what it finds on a photo."""
    folder = tmp_path_factory.mktemp("formats")
    found = {}
    for kind in OUTPUT_LAYERS:
        net = tiny_detector(kind, **SETTINGS)
        found[kind] = net, Predictor.from_network(net)(photos(1)[0])
    return folder, found


@pytest.mark.parametrize("kind", list(OUTPUT_LAYERS))
@pytest.mark.parametrize(
    "format, dtype, share",
    [("onnx", "int8", 0.5), ("openvino", "bfloat16", 0.7), ("openvino", "int8", 0.5)],
)
def test_narrow_files_find_nearly_the_same(detectors, kind, format, dtype, share):
    require("onnx", RUN_TIMES[format], MAKERS[format, dtype].package)
    if (format, dtype) == ("onnx", "int8"):
        require_int8()
    folder, found = detectors
    net, exact = found[kind]
    prefix = str(folder / f"{kind}-{format}-{dtype}")
    calibration = photos() if dtype == "int8" else None
    manifest = export(net, prefix, format=format, dtype=dtype, calibration=calibration)
    assert manifest["dtype"] == dtype
    assert manifest["provenance"]["calibrated_on"] == (len(photos()) if calibration else 0)
    beside = Predictor(prefix, backend=RUN_TIMES[format])(photos(1)[0])
    assert len(exact.scores) > 5 and (beside.masks is None) == (exact.masks is None)
    assert agreement(beside, exact) > share
    assert not np.array_equal(beside.scores, exact.scores)  # or it was not in this type at all
    # The graph holds the manifest too.
    (folder / f"{kind}-{format}-{dtype}.json").unlink()
    alone = Predictor(prefix, backend=RUN_TIMES[format])(photos(1)[0])
    np.testing.assert_array_equal(alone.scores, beside.scores)


def test_an_int8_onnx_file_has_int8_weights_in_all_layers_but_the_last(detectors):
    require_int8()
    onnx = pytest.importorskip("onnx")
    folder, found = detectors
    prefix = str(folder / "weights")
    export(found["fpn"][0], prefix, format="onnx", dtype="int8", calibration=photos(1))
    graph = onnx.load(f"{prefix}.onnx").graph
    sources = {output: node.op_type for node in graph.node for output in node.output}
    kinds = Counter()
    for node in graph.node:
        if node.op_type in LAYER_TYPES:
            kinds[node.op_type, sources.get(node.input[1])] += 1
    wide_layers = {op_type: kinds[op_type, None] for op_type in ("Conv", "Gemm")}
    assert wide_layers == OUTPUT_LAYERS["fpn"]
    assert kinds["Conv", "DequantizeLinear"] > 20 and kinds["Gemm", "DequantizeLinear"] == 2
    int8_weights = [
        value for value in graph.initializer if value.data_type == onnx.TensorProto.INT8
    ]
    # A scale for each channel of the largest weights.
    assert max(np.prod(value.dims) for value in int8_weights) > 1000


def test_openvino_computes_all_layers_but_the_last_in_bfloat16(detectors):
    require("onnx", "openvino")
    folder, found = detectors
    prefix = str(folder / "precision")
    export(found["fpn"][0], prefix, format="openvino", dtype="bfloat16")
    compiled = Predictor(prefix, backend="openvino")._backend._compiled
    assert not compiled.get_property("ENABLE_CPU_PINNING")
    kinds = Counter()
    for operation in compiled.get_runtime_model().get_ops():
        information = operation.get_rt_info()
        kind = information["layerType"].astype(str)
        kinds[kind, information["runtimePrecision"].astype(str)] += 1
    if not kinds["Convolution", "bf16"]:
        pytest.skip("this processor has no bfloat16")
    assert kinds["Convolution", "f32"] == OUTPUT_LAYERS["fpn"]["Conv"]
    assert kinds["FullyConnected", "f32"] == OUTPUT_LAYERS["fpn"]["Gemm"]
    assert kinds["Convolution", "bf16"] > 20 and kinds["FullyConnected", "bf16"] == 2


def test_openvino_computes_all_layers_but_the_last_in_int8(detectors):
    require("onnx", "openvino", "nncf")
    folder, found = detectors
    prefix = folder / "fpn-openvino-int8"
    if not prefix.with_suffix(".xml").exists():  # or another test has written it
        export(found["fpn"][0], str(prefix), None, "int8", photos(1), "openvino")
    compiled = Predictor(str(prefix), backend="openvino")._backend._compiled
    kinds = Counter()
    for operation in compiled.get_runtime_model().get_ops():
        information = operation.get_rt_info()
        is_int8 = information["runtimePrecision"].astype(str) in ("i8", "u8")
        kinds[information["layerType"].astype(str), is_int8] += 1
    assert kinds["Convolution", False] == OUTPUT_LAYERS["fpn"]["Conv"]
    assert kinds["FullyConnected", False] == OUTPUT_LAYERS["fpn"]["Gemm"]
    assert kinds["Convolution", True] > 20 and kinds["FullyConnected", True] == 2


def test_files_of_openvino_give_the_detections_of_the_network(detectors):
    require("onnx", "openvino")
    folder, found = detectors
    net, _ = found["mask_c4"]
    prefix = str(folder / "float32")
    export(net, prefix, format="openvino")
    for size in ((1, 64, 96), (2, 100, 70)):
        pixels = images(*size)
        expected = [output.asnumpy() for output in net(pixels)]
        predictor = Predictor(prefix, backend="openvino")
        assert_same_detections(predictor.run_images(pixels.asnumpy()), expected)


@pytest.mark.parametrize("format, dtype", list(MAKERS))
def test_a_missing_package_is_named_before_the_network_is_traced(
    tmp_path, monkeypatch, format, dtype
):
    require("onnx")
    maker = MAKERS[format, dtype]
    monkeypatch.setitem(sys.modules, maker.package, None)
    monkeypatch.delitem(sys.modules, maker.module, raising=False)
    calibration = photos(1) if dtype == "int8" else None
    net = tiny_detector("fpn")
    monkeypatch.setattr(net, "hybrid_forward", None)  # so that it cannot be traced
    with pytest.raises(DeployError) as caught:
        export(net, str(tmp_path / "a"), format=format, dtype=dtype, calibration=calibration)
    assert f"the package {maker.package} (" in str(caught.value)
    assert str(caught.value).endswith(f"pip install 'gluonnorm[{maker.extra}]'")
    assert not list(tmp_path.iterdir())


def test_a_missing_file_of_openvino_names_the_way_out(tmp_path):
    require("openvino")
    (tmp_path / "net.xml").write_text("<net/>")
    with pytest.raises(DeployError, match="net.bin missing; export with format='openvino'"):
        Predictor(str(tmp_path / "net"), backend="openvino")
    (tmp_path / "net.bin").touch()
    (tmp_path / "net.json").write_text(json.dumps({"provenance": {"sha256": {"onnx": ""}}}))
    with pytest.raises(DeployError, match="describes files of another format, and not .*net.xml"):
        Predictor(str(tmp_path / "net"), backend="openvino")


@pytest.mark.parametrize("format, dtype", [("openvino", "float32"), ("onnx", "int8")])
def test_a_full_disk_of_temporary_files_is_named(format, dtype, tmp_path, monkeypatch):
    """Both tools write files of their own before those of the export."""
    require("onnx", RUN_TIMES[format])
    if dtype == "int8":
        require_int8()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    calibration = photos(1) if dtype == "int8" else None
    prefix = str(tmp_path / "out" / "tiny")
    with no_file_beyond(1_000_000):
        with pytest.raises(DeployError, match=f"no temporary file .* in {temporary} .*; make room"):
            export(tiny_detector("c4"), prefix, dtype=dtype, calibration=calibration, format=format)
    assert not list((tmp_path / "out").iterdir()) and not list(temporary.iterdir())
