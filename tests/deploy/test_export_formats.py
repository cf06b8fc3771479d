import json
import sys
import warnings

from gluonnorm.deploy import DeployError, Predictor, export, load
from gluonnorm.deploy import export as export_function
from gluonnorm.deploy.onnx.writer import MODEL_FILE

import mxnet as mx
import pytest
from full_disk import no_file_beyond
from tiny_detector import tiny_detector

EXPORT = sys.modules[export_function.__module__]
MXNET_FILES = ("tiny-symbol.json", "tiny-0000.params")


@pytest.fixture(scope="module")
def net():
    return tiny_detector("c4")


@pytest.fixture
def written(monkeypatch):
    """Write graphs without the package onnx, and keep what the writer was given."""
    calls = []

    def write(graph, inputs, outputs, metadata):
        calls.append((graph, inputs, outputs, metadata))
        return b"a graph of %d nodes" % len(graph.nodes)

    monkeypatch.setattr(EXPORT, "load_writer", lambda: write)
    return calls


def checksums(folder):
    """Read the checksums in the manifest."""
    return json.loads((folder / "tiny.json").read_text())["provenance"]["sha256"]


def test_an_onnx_file_and_its_manifest(net, written, tmp_path):
    manifest = export(net, str(tmp_path / "new" / "tiny"), format="onnx")
    folder = tmp_path / "new"
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.json", "tiny.onnx"]
    assert json.loads((folder / "tiny.json").read_text()) == manifest
    graph, inputs, outputs, metadata = written[0]
    assert (folder / "tiny.onnx").read_bytes() == b"a graph of %d nodes" % len(graph.nodes)
    assert inputs == {"data": ("batch", 3, "height", "width")}
    assert manifest["outputs"] == ["ids", "scores", "boxes"]
    assert list(outputs) == graph.outputs == [*manifest["outputs"], "candidates"]
    # There are fewer pairs of RoI and class than max_candidates.
    assert outputs["candidates"] == ("batch", net.config.max_detections + 1)
    assert json.loads(metadata["manifest"])["classes"] == manifest["classes"]


@pytest.mark.parametrize("formats", [("mxnet", "onnx"), ("onnx", "mxnet")])
def test_both_formats_share_a_prefix(net, written, tmp_path, formats):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for name in formats:
            export(net, str(tmp_path / "tiny"), format=name)
    assert sorted(checksums(tmp_path)) == ["onnx", "params", "record", "symbol", "weights"]
    load(str(tmp_path / "tiny"))


def test_an_upgrade_between_two_exports_is_no_other_network(net, written, tmp_path, monkeypatch):
    export(net, str(tmp_path / "tiny"))
    for package in (EXPORT.np, EXPORT.mx):
        monkeypatch.setattr(package, "__version__", "99.1")
    monkeypatch.setattr(EXPORT, "__version__", "99.1")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        manifest = export(net, str(tmp_path / "tiny"), format="onnx")
    assert set(manifest["provenance"]["versions"].values()) == {"99.1"}
    assert sorted(checksums(tmp_path)) == ["onnx", "params", "record", "symbol", "weights"]
    load(str(tmp_path / "tiny"))


@pytest.mark.parametrize("change", ["weights", "settings", "size"])
def test_files_of_another_network_are_no_longer_described(written, tmp_path, change):
    prefix = str(tmp_path / "tiny")
    net = tiny_detector("c4")
    export(net, prefix)
    size = None
    if change == "weights":
        net.rpn.score.bias.set_data(net.rpn.score.bias.data() + 1)
    elif change == "settings":
        net = tiny_detector("c4", nms_thresh=0.4)
    else:
        size = (64, 96)
    with pytest.warns(UserWarning, match="symbol.json and .*params are of an earlier"):
        export(net, prefix, image_size=size, format="onnx")
    assert sorted(checksums(tmp_path)) == ["onnx", "record", "weights"]
    with pytest.raises(DeployError, match="tiny.json describes .*tiny.onnx, and no files of MXNet"):
        load(prefix)
    export(net, prefix, image_size=size)
    load(prefix)
    assert sorted(checksums(tmp_path)) == ["onnx", "params", "record", "symbol", "weights"]


def test_mxnet_does_not_load_an_onnx_file(net, written, tmp_path):
    export(net, str(tmp_path / "tiny"), format="onnx")
    with pytest.raises(DeployError, match="run that file with onnxruntime or OpenVINO, or export"):
        load(str(tmp_path / "tiny"))
    with pytest.raises(DeployError, match="run that file with onnxruntime or OpenVINO, or export"):
        Predictor(str(tmp_path / "tiny"), backend="mxnet")


def test_an_onnx_export_that_fails_leaves_the_earlier_files(net, written, monkeypatch, tmp_path):
    export(net, str(tmp_path / "tiny"), format="onnx")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(EXPORT, "load_writer", lambda: lambda *args, **kwargs: bytes(5000))
    with no_file_beyond(1500):
        with pytest.raises(DeployError, match="could not be written completely .*is the disk full"):
            export(net, str(tmp_path / "tiny"), format="onnx")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class WaveConvolution(mx.gluon.nn.Conv2D):
    """A layer of the user, with an operator that has no converter."""

    def hybrid_forward(self, F, x, **parameters):
        return F.sin(super().hybrid_forward(F, x, **parameters), name="wave")


def test_a_layer_without_a_form_in_onnx_is_named(written, tmp_path):
    net = tiny_detector("c4")
    net.rpn.conv = WaveConvolution(32, 3, padding=1, in_channels=256)
    net.rpn.conv.initialize()
    with pytest.raises(DeployError, match=r"no converter to ONNX: sin \(of .*wave\); write"):
        export(net, str(tmp_path / "tiny"), format="onnx")
    assert not list(tmp_path.iterdir())


def test_the_missing_package_is_named_before_the_network_is_traced(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, MODEL_FILE, raising=False)
    net = tiny_detector("c4")
    monkeypatch.setattr(net, "hybrid_forward", None)  # so that it cannot be traced
    with pytest.raises(DeployError, match=r"package onnx .*pip install 'gluonnorm\[onnx\]'"):
        export(net, str(tmp_path / "tiny"), format="onnx")
    assert not list(tmp_path.iterdir())


def test_bad_formats(net, tmp_path):
    with pytest.raises(ValueError, match="format is 'onx'; did you mean onnx.* mxnet, onnx"):
        export(net, str(tmp_path / "tiny"), format="onx")
    with pytest.raises(ValueError, match="format 'onnx', which has float32, int8; .* 'openvino'$"):
        export(net, str(tmp_path / "tiny"), format="onnx", dtype="bfloat16")
    assert not list(tmp_path.iterdir())
