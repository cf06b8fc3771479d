"""Layers that are quantized for one of their readers, in OpenVINO."""

import importlib
import importlib.util

import numpy as np
import pytest

openvino = pytest.importorskip("openvino")

from gluonnorm.deploy.onnx.shared_quantizers import share_quantizers  # noqa: E402

# OpenVINO 2024 has its operators in another module, which the last versions no longer have.
HAS_OWN_MODULE = importlib.util.find_spec("openvino.opset13") is not None
operations = importlib.import_module(
    "openvino.opset13" if HAS_OWN_MODULE else "openvino.runtime.opset13"
)

CHANNELS = 16
BIASES = {
    "none": None,
    "zeros": np.zeros((1, CHANNELS, 1, 1), np.float32),
    "ones": np.ones((1, CHANNELS, 1, 1), np.float32),
}


def quantized(values, low, high, levels=256):
    """Quantize values of a range."""
    low, high = np.float32(low), np.float32(high)
    return operations.fake_quantize(values, low, high, low, high, levels)


def convolution(values, generator):
    """A convolution of quantized values, with quantized weights."""
    weight = generator.normal(0, 0.1, (CHANNELS, CHANNELS, 1, 1)).astype(np.float32)
    weight_range = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    return operations.convolution(
        values,
        quantized(operations.constant(weight), -weight_range, weight_range, 255),
        [1, 1],
        [0, 0],
        [0, 0],
        [1, 1],
    )


def model_of(bias):
    """A map that another convolution reads quantized, and RoIAlign as it is."""
    generator = np.random.default_rng(7)
    data = operations.parameter([-1, CHANNELS, -1, -1], openvino.Type.f32, name="data")
    feature_map = convolution(quantized(data, 0, 3), generator)
    if bias is not None:
        feature_map = operations.add(feature_map, operations.constant(bias))
    after = convolution(quantized(feature_map, -4, 4), generator)
    boxes = operations.constant(np.float32([[0, 0, 9, 9], [2, 1, 6, 11]]))
    image_numbers = operations.constant(np.zeros(2, np.int64))
    pooled = operations.roi_align(
        feature_map, boxes, image_numbers, 3, 3, 2, 1.0, "avg", "half_pixel"
    )
    return openvino.Model([after, pooled], [data], "map")


def outputs(model, pixels, in_int8):
    """Run a model with or without integers; without, each quantizer rounds floats."""
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "LP_TRANSFORMS_MODE": "YES" if in_int8 else "NO",
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    results = compiled([pixels])
    return [results[number] for number in range(2)]


@pytest.mark.parametrize("name", list(BIASES))
def test_integers_give_what_rounded_floats_give(name):
    pixels = np.random.default_rng(3).uniform(0, 3, (2, CHANNELS, 12, 14)).astype(np.float32)
    plain = model_of(BIASES[name])
    expected = outputs(plain, pixels, in_int8=False)
    share_quantizers(plain)
    step = 8 / 255  # of the quantizer of the map
    for found, wanted in zip(outputs(plain, pixels, in_int8=True), expected):
        # A number in the middle between two steps may become either of them.
        assert np.abs(found - wanted).max() < 4 * step
        assert np.abs(found - wanted).mean() < step / 2
        assert np.abs(wanted).mean() > 4 * step


def test_readers_of_a_layer_with_a_bias_keep_its_digits():
    readers = {}
    for name, bias in BIASES.items():
        model = model_of(bias)
        share_quantizers(model)
        (align,) = [node for node in model.get_ops() if node.get_type_name() == "ROIAlign"]
        readers[name] = align.input_value(0).get_node().get_type_name()
    assert readers == {"none": "FakeQuantize", "zeros": "FakeQuantize", "ones": "Add"}
