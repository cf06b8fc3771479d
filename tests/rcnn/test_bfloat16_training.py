"""Training in bfloat16: gradients of each layer are compared with those in float32."""

import json

import model_zoo
from gluonnorm import processor
from gluonnorm.errors import InputError
from gluonnorm.graph.mixed_precision_block import MixedPrecisionBlock
from gluonnorm.rcnn import check_training_dtype, make_loss, slow_dtype
from gluonnorm.training import trainable_parameters

import mxnet as mx
import numpy as np
import pytest
from detector_gradients import assert_close, gradients, keep_targets
from mxnet.gluon import nn
from tiny_detector import CLASSES, SETTINGS, images, tiny_detector


@pytest.mark.parametrize("kind, norm", [("fpn", "frozen_bn"), ("mask_fpn", "gn"), ("c4", "bn")])
def test_gradients_are_those_of_float32(kind, norm, monkeypatch):
    net = tiny_detector(kind, norm=norm)
    loss = make_loss(net)
    loss.hybridize()
    keep_targets(loss, monkeypatch)
    exact_losses, exact = gradients(net, loss)
    loss.hybridize(dtype="bfloat16")
    losses, rounded = gradients(net, loss)
    np.testing.assert_allclose(losses, exact_losses, rtol=0.05)
    assert (losses != exact_losses).any()
    # Few channels and random weights round off less of each other than in a trained network.
    assert_close(rounded, exact, least_cosine=0.9, largest_ratio=1.15)


def test_the_same_seed_gives_the_same_bits():
    net = tiny_detector("fpn")
    loss = make_loss(net)
    loss.hybridize(dtype="bfloat16")
    _, first = gradients(net, loss)
    _, again = gradients(net, loss)
    for name, gradient in first.items():
        np.testing.assert_array_equal(gradient, again[name])


def test_parameters_stay_float32_and_the_network_still_detects():
    net = tiny_detector("fpn")
    expected = [array.asnumpy() for array in net(images(1))]
    loss = make_loss(net)
    loss.hybridize(dtype="bfloat16")
    gradients(net, loss)
    for parameter in net.collect_params().values():
        assert parameter.data().dtype == np.float32
    for array, want in zip(net(images(1)), expected):
        np.testing.assert_array_equal(array.asnumpy(), want)


def test_float32_can_be_chosen_again():
    net = tiny_detector("fpn")
    loss = make_loss(net)
    loss.hybridize()
    expected, _ = gradients(net, loss)
    loss.hybridize(dtype="bfloat16")
    loss.hybridize()
    again, _ = gradients(net, loss)
    np.testing.assert_array_equal(again, expected)


def test_layers_compute_in_bfloat16_and_output_layers_in_float32():
    net = tiny_detector("mask_fpn")
    loss = make_loss(net)
    loss.hybridize(dtype="bfloat16")
    gradients(net, loss)
    symbol = loss._apply_losses._converted._cached_graph[1]
    nodes = json.loads(symbol.tojson(remove_amp_cast=False))["nodes"]
    names = {"bfloat16": set(), "float32": set()}
    for node in nodes:
        if node["op"] in ("Convolution", "FullyConnected"):
            weight = nodes[node["inputs"][1][0]]
            dtype = "bfloat16" if weight["op"] == "amp_cast" else "float32"
            # The RPN's convolution of patches brings its weight into the form of a matrix.
            while weight["op"] != "null":
                weight = nodes[weight["inputs"][0][0]]
            names[dtype].add(weight["name"])
    output_layers = (net.rpn.score, net.rpn.loc, net.predictor.score, net.predictor.loc)
    expected = {layer.weight.name for layer in (*output_layers, net.mask_head.score)}
    assert names["float32"] == expected
    assert net.rpn.conv.weight.name in names["bfloat16"]
    assert net.box_head.fc1.weight.name in names["bfloat16"]


class Residual(mx.gluon.HybridBlock):
    """A block of the user: a depthwise convolution on a branch, and a shortcut that halves."""

    def __init__(self, in_channels, channels):
        super().__init__()
        self.branch = nn.HybridSequential()
        self.branch.add(
            nn.Conv2D(in_channels, 3, 2, 1, groups=in_channels, use_bias=False),
            nn.BatchNorm(in_channels=in_channels),
            nn.Swish(),
            nn.Conv2D(channels, 1, use_bias=False),
            nn.BatchNorm(in_channels=channels),
        )
        self.shortcut = nn.HybridSequential()
        self.shortcut.add(nn.AvgPool2D(2, ceil_mode=True), nn.Conv2D(channels, 1))

    def hybrid_forward(self, F, x):
        return F.relu(self.branch(x) + self.shortcut(x))


def detector_of_the_user():
    """Build a detector on layers of the user, with random weights."""
    np.random.seed(0)
    mx.random.seed(0)
    features = nn.HybridSequential()
    features.add(nn.Conv2D(16, 7, 2, 3, in_channels=3), nn.LeakyReLU(0.1), nn.MaxPool2D(3, 2, 1))
    features.add(Residual(16, 24), Residual(24, 32))
    top_features = nn.HybridSequential()
    top_features.add(Residual(32, 48))
    settings = {**SETTINGS, "anchor_sizes": ((16, 32, 64),)}
    return model_zoo.get_faster_rcnn(features, top_features, classes=CLASSES, **settings)


def test_a_backbone_of_the_user_trains(monkeypatch):
    net = detector_of_the_user()
    loss = make_loss(net)
    loss.hybridize()
    keep_targets(loss, monkeypatch)
    exact_losses, exact = gradients(net, loss)
    loss.hybridize(dtype="bfloat16")
    losses, rounded = gradients(net, loss)
    np.testing.assert_allclose(losses, exact_losses, rtol=0.05)
    assert_close(rounded, exact, least_cosine=0.9, largest_ratio=1.15)
    trainer = mx.gluon.Trainer(trainable_parameters(net), "sgd", {"learning_rate": 0.03})
    for _ in range(8):
        gradients(net, loss)
        trainer.step(2)
    trained_losses, _ = gradients(net, loss)
    assert trained_losses.sum() < 0.8 * losses.sum()


def test_a_block_of_the_user_learns_a_line():
    """The weight of a layer reaches the value that it has in the data."""
    block = mx.gluon.nn.HybridSequential()
    block.add(mx.gluon.nn.Dense(4, in_units=3, activation="relu"), mx.gluon.nn.Dense(1, in_units=4))
    mx.random.seed(0)
    block.initialize(mx.init.Xavier())
    wrapped = MixedPrecisionBlock(_AsList(block), "bfloat16")
    x = mx.nd.random.normal(shape=(64, 3))
    wanted = mx.nd.sum(x, axis=1, keepdims=True)
    trainer = mx.gluon.Trainer(block.collect_params(), "sgd", {"learning_rate": 0.05})
    errors = []
    for _ in range(60):
        with mx.autograd.record():
            (result,) = wrapped(x)
            error = mx.nd.mean(mx.nd.square(result - wanted))
        error.backward()
        trainer.step(1)
        errors.append(error.asscalar())
    assert errors[-1] < 0.3 * errors[0]


class _AsList(mx.gluon.HybridBlock):
    def __init__(self, block):
        super().__init__()
        self.block = block

    def hybrid_forward(self, F, x):
        return [self.block(x)]


def test_a_dtype_that_cannot_be_is_refused():
    loss = make_loss(tiny_detector("fpn"))
    with pytest.raises(InputError, match="dtype is 'half'; give one of float32, bfloat16, float16"):
        loss.hybridize(dtype="half")
    with pytest.raises(InputError, match="bfloat16 needs traced graphs; hybridize with active=Tr"):
        loss.hybridize(active=False, dtype="bfloat16")


@pytest.mark.parametrize(
    "dtype, device, message",
    [
        ("bfloat16", mx.gpu(0), r"on gpu\(0\), since .* a cpu only; give float16 or float32"),
        ("float16", mx.cpu(0), r"on cpu\(0\), since .* a gpu only; give bfloat16 or float32"),
    ],
)
def test_a_device_without_the_dtype_is_named(dtype, device, message):
    with pytest.raises(InputError, match=message):
        check_training_dtype(dtype, [device])


def flags(*names):
    """What a processor with these instructions, beside others, says of itself."""
    return [{"processor": "0"}, {"processor": "1", "flags": " ".join(["fpu", "sse2", *names])}]


AVX512 = ("avx512f", "avx512bw", "avx512vl", "avx512dq")


@pytest.mark.parametrize(
    "processors, reason",
    [
        (flags("avx2", *AVX512, "avx512_bf16"), ""),
        (flags(*AVX512, "amx_bf16"), ""),
        (flags(*AVX512), "none of amx_bf16, avx512_bf16, so bfloat16 is emulated"),
        ([{"processor": "0", "Features": "fp asimd bf16"}], ""),  # ARM has names of its own
        ([], ""),
    ],
)
def test_a_processor_that_emulates_is_slow(monkeypatch, processors, reason):
    monkeypatch.setattr(processor, "read_processors", lambda: processors)
    check_training_dtype("bfloat16", [mx.cpu()])
    assert slow_dtype("bfloat16").endswith(reason) and bool(slow_dtype("bfloat16")) == bool(reason)
    assert slow_dtype("float16") == slow_dtype("float32") == ""


def test_a_processor_that_cannot_compute_in_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr(processor, "read_processors", lambda: flags("avx2", "avx512f"))
    message = "lacks avx512bw, avx512dq, avx512vl, so bfloat16 does not run; give float32"
    with pytest.raises(InputError, match=message):
        make_loss(tiny_detector("fpn")).hybridize(dtype="bfloat16")
    check_training_dtype("float32", [mx.cpu()])
