from gluonnorm.deploy import DeployError

import mxnet as mx
import numpy as np
import pytest
from onnx_programs import assert_same_in_onnx


def numbers(*shape):
    """Draw numbers of both signs, some of them integers and 0."""
    drawn = np.random.normal(0, 3, shape)
    return np.where(np.random.rand(*shape) < 0.3, np.round(drawn), drawn).astype(np.float32)


@pytest.mark.parametrize(
    "name", ["elemwise_add", "elemwise_sub", "elemwise_mul", "elemwise_div", "maximum", "minimum"]
)
def test_two_arrays_of_one_shape(name):
    divisor = np.abs(numbers(2, 3, 4)) + 1
    assert_same_in_onnx(lambda F, a, b: getattr(F, name)(a, b), numbers(2, 3, 4), divisor)


@pytest.mark.parametrize(
    "name",
    [
        "add",
        "sub",
        "mul",
        "div",
        "maximum",
        "minimum",
        "power",
        "equal",
        "not_equal",
        "greater",
        "greater_equal",
        "lesser",
        "lesser_equal",
    ],
)
def test_two_arrays_of_different_shapes(name):
    base = np.abs(numbers(2, 3, 1)) + 1
    exponent = np.round(numbers(1, 3, 4)).clip(-3, 3)
    exponent[0, 0, 0] = 1
    base[0, 0, 0] = 1
    assert_same_in_onnx(
        lambda F, a, b: getattr(F, f"broadcast_{name}")(a, b),
        base,
        np.where(exponent == 0, 2, exponent),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda F, x: x + 1.5,
        lambda F, x: x - 0.1,
        lambda F, x: 2 - x,
        lambda F, x: x * -3,
        lambda F, x: x / 3,
        lambda F, x: 2 / (x + 20),
        lambda F, x: (x * x) ** 1.5,
        lambda F, x: F.maximum(x, 1),
        lambda F, x: F.minimum(x, 1),
        lambda F, x: x == 1,
        lambda F, x: x != 1,
        lambda F, x: x > 1,
        lambda F, x: x >= 1,
        lambda F, x: x < 1,
        lambda F, x: x <= 1,
    ],
)
def test_an_array_and_a_number(function):
    assert_same_in_onnx(function, np.append(numbers(2, 3), [[1, 1, 1]], axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "abs",
        "ceil",
        "erf",
        "exp",
        "floor",
        "negative",
        "relu",
        "sigmoid",
        "softsign",
        "tanh",
        "square",
        "hard_sigmoid",
        "BlockGrad",
        "identity",
        "Dropout",
    ],
)
def test_functions_of_a_number(name):
    assert_same_in_onnx(lambda F, x: getattr(F, name)(x), numbers(3, 5), rtol=1e-5)


def test_a_layer_of_dropout_does_nothing():
    # A Gluon layer states more attributes than the bare operator.
    layer = mx.gluon.nn.Dropout(0.5)
    assert_same_in_onnx(lambda F, x: layer(x), numbers(3, 5), rtol=0, atol=0)


def test_dropout_that_is_always_on_is_refused():
    with pytest.raises(DeployError, match="Dropout .* its attribute mode is 'always'"):
        assert_same_in_onnx(lambda F, x: F.Dropout(x, p=0.5, mode="always"), numbers(3, 5))


@pytest.mark.parametrize("name", ["log", "log2", "sqrt", "rsqrt", "reciprocal"])
def test_functions_of_a_positive_number(name):
    assert_same_in_onnx(lambda F, x: getattr(F, name)(x), np.abs(numbers(3, 5)) + 0.1, rtol=1e-5)


def test_log2_of_powers_of_two_is_an_integer():
    powers = 2.0 ** np.arange(-20, 20)
    assert_same_in_onnx(lambda F, x: F.floor(F.log2(x)), powers, rtol=0, atol=0)


@pytest.mark.parametrize("act_type", ["relu", "sigmoid", "softrelu", "softsign", "tanh"])
def test_activations(act_type):
    assert_same_in_onnx(lambda F, x: F.Activation(x, act_type=act_type), numbers(3, 5), rtol=1e-5)


@pytest.mark.parametrize("act_type", ["leaky", "elu"])
def test_leaky_activations(act_type):
    assert_same_in_onnx(
        lambda F, x: F.LeakyReLU(x, act_type=act_type, slope=0.1), numbers(3, 5), rtol=1e-5
    )


def test_clip():
    assert_same_in_onnx(lambda F, x: F.clip(x, -1, 2), numbers(3, 5))


def test_cast_to_the_type_of_all_values():
    assert_same_in_onnx(lambda F, x: F.cast(x, dtype="float32"), numbers(3, 5))


@pytest.mark.parametrize("condition", [lambda x: x > 0, lambda x: x])
def test_where(condition):
    assert_same_in_onnx(lambda F, a, b: F.where(condition(a), a, b), numbers(3, 5), numbers(3, 5))


def test_where_with_a_number_for_each_row():
    assert_same_in_onnx(
        lambda F, rows, a, b: F.where(rows, a, b), [0, 1, -2], numbers(3, 5), numbers(3, 5)
    )
