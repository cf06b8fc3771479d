"""The comparison of what OpenVINO finds in int8 and in float32."""

import sys
from pathlib import Path

from gluonnorm.deploy import DeployError, export

import mxnet as mx
import numpy as np
import pytest
from optional_packages import require
from tiny_detector import images, tiny_detector

INT8_MODULE = "gluonnorm.deploy.onnx.int8_openvino"


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """The contents of an ONNX file, and those of OpenVINO's files of changed networks."""
    require("onnx", "openvino")
    folder = tmp_path_factory.mktemp("check")
    net = tiny_detector("c4", short=64, max_size=96)

    def files(format, name):
        export(net, str(folder / name), format=format)
        suffixes = ("onnx",) if format == "onnx" else ("xml", "bin")
        return {suffix: Path(folder / f"{name}.{suffix}").read_bytes() for suffix in suffixes}

    def shift(bias, amount):
        bias.set_data(bias.data() + amount)

    contents = {"float32": files("onnx", "right"), "right": files("openvino", "right")}
    shift(net.predictor.loc.bias, 8)
    contents["moved"] = files("openvino", "moved")
    shift(net.predictor.loc.bias, -8)
    # Class 0 is the background.
    shift(net.predictor.score.bias, mx.nd.array([100, 0, 0, 0]))
    contents["nothing"] = files("openvino", "nothing")
    contents["float32 of nothing"] = files("onnx", "nothing-float32")
    return contents


def check_files():
    """The function, which needs OpenVINO."""
    return pytest.importorskip("gluonnorm.deploy.onnx.int8_openvino_check").check_files


@pytest.mark.parametrize(
    "float_name, name", [("float32", "right"), ("float32 of nothing", "nothing")]
)
def test_equal_files_pass(exports, float_name, name):
    pixels = [images(1).asnumpy()] * 2
    check_files()(exports[float_name]["onnx"], exports[name], pixels)


@pytest.mark.parametrize(
    "float_name, name",
    [("float32", "moved"), ("float32", "nothing"), ("float32 of nothing", "right")],
)
def test_files_that_find_something_else_are_refused(exports, float_name, name):
    with pytest.raises(DeployError, match="OpenVINO finds only .* in both; calibrate on other"):
        check_files()(exports[float_name]["onnx"], exports[name], [images(1).asnumpy()])


def test_an_nncf_that_does_not_fit_openvino_is_an_error_before_the_work(tmp_path, monkeypatch):
    require("onnx", "openvino", "nncf")
    # nncf 2.14 beside OpenVINO 2026 can be imported, and misses a module when it quantizes.
    monkeypatch.setitem(sys.modules, "nncf.openvino.quantization", None)
    monkeypatch.delitem(sys.modules, INT8_MODULE, raising=False)
    arguments = {"format": "openvino", "dtype": "int8", "calibration": [np.zeros((9, 9, 3))]}
    net = mx.gluon.nn.Dense(3)  # not even a detector
    with pytest.raises(DeployError, match=r"package nncf .*'gluonnorm\[openvino-int8\]'$"):
        export(net, str(tmp_path / "a"), **arguments)
