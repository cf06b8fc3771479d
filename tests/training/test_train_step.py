import math

from gluonnorm.errors import InputError
from gluonnorm.training import TrainStep

import mxnet as mx
import numpy as np
import pytest
from training import tiny

TWO = (mx.cpu(0), mx.cpu(1))
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])  # MXNet's name of the type


def feed(step: TrainStep, start: int, count: int, rate: float = 0.1):
    chosen = slice(start, start + count)
    return step(
        mx.nd.array(tiny.INPUTS[chosen]),
        mx.nd.array(tiny.TARGETS[chosen]),
        batch_size=count,
        rate=rate,
    )


def numpy_gradients(before, x, y):
    """Losses and gradients of ``tiny.Graph`` without dropout, summed over the images."""
    hidden = np.tanh(x @ before["hidden.weight"].T + before["hidden.bias"])
    error = (hidden @ before["out.weight"].T + before["out.bias"] - y)[:, 0]
    slope = (2 * error + 0.1 * np.sign(error))[:, None]
    back = slope * before["out.weight"] * (1 - hidden**2)
    gradients = {
        "out.weight": slope.T @ hidden,
        "out.bias": slope.sum(0),
        "hidden.weight": back.T @ x,
        "hidden.bias": back.sum(0),
    }
    return error**2, 0.1 * np.abs(error), gradients


@pytest.mark.parametrize("max_norm", [None, 0.5, 1e6, math.inf])
def test_one_update_is_the_one_worked_out_in_numpy(max_norm) -> None:
    graph, step = tiny.build(dropout=0.0, max_norm=max_norm)
    before = tiny.weights(graph)
    losses = feed(step, 0, 5)
    square, absolute, gradients = numpy_gradients(before, tiny.INPUTS[:5], tiny.TARGETS[:5])
    assert list(losses) == ["square", "absolute"]
    np.testing.assert_allclose(losses["square"].asnumpy(), square, rtol=1e-5)
    np.testing.assert_allclose(losses["absolute"].asnumpy(), absolute, rtol=1e-5)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values())) / 5
    assert norm > 0.5  # or the clipped case would test nothing
    if max_norm is None:
        assert step.gradient_norm is None
    else:
        np.testing.assert_allclose(step.gradient_norm.asscalar(), norm, rtol=1e-5)
    scale = min(1.0, max_norm / norm) if max_norm else 1.0
    for name, value in tiny.weights(graph).items():
        expected = before[name] - 0.1 * (
            gradients[name].reshape(value.shape) / 5 * scale + 1e-3 * before[name]
        )
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("update_on_kvstore", [True, False])
@pytest.mark.parametrize("counts", [(4, 4), (5, 3), (4, 1, 4)])
def test_two_contexts_equal_one(update_on_kvstore, counts) -> None:
    one, step_one = tiny.build(dropout=0.0)
    two, step_two = tiny.build(TWO, dropout=0.0, update_on_kvstore=update_on_kvstore)
    start = 0
    for count in counts:
        alone, split = feed(step_one, start, count), feed(step_two, start, count)
        for name in alone:
            assert split[name].shape == (count,)
            np.testing.assert_allclose(
                split[name].asnumpy(), alone[name].asnumpy(), rtol=1e-4, atol=1e-6
            )
        start += count
    for name, parameter in two._collect_params_with_prefix().items():
        replicas = [array.asnumpy() for array in parameter.list_data()]
        np.testing.assert_array_equal(replicas[0], replicas[1], err_msg=name)
        np.testing.assert_allclose(
            replicas[0], tiny.weights(one)[name], rtol=1e-4, atol=1e-6, err_msg=name
        )


def test_clipping_over_two_contexts_equals_one() -> None:
    one, step_one = tiny.build(dropout=0.0, max_norm=0.3)
    two, step_two = tiny.build(TWO, dropout=0.0, max_norm=0.3, update_on_kvstore=False)
    for start in (0, 4):
        feed(step_one, start, 4)
        feed(step_two, start, 4)
    for name, value in tiny.weights(two).items():
        np.testing.assert_allclose(
            value, tiny.weights(one)[name], rtol=1e-4, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("update_on_kvstore", [None, True])
def test_clipping_over_two_contexts_needs_the_gradients_before_the_update(update_on_kvstore):
    with pytest.raises(InputError, match="max_norm and several contexts.*update_on_kvstore=False"):
        tiny.build(TWO, max_norm=0.3, update_on_kvstore=update_on_kvstore)
    tiny.build(max_norm=0.3, update_on_kvstore=update_on_kvstore)


@pytest.mark.parametrize("contexts", [(mx.cpu(),), TWO])
@pytest.mark.parametrize("counts, parts", [((4, 4), 2), ((7, 2, 5), 3), ((1, 6), 8)])
@pytest.mark.parametrize("max_norm", [None, 0.3])
def test_gradients_of_parts_add_up_to_those_of_the_batch(contexts, counts, parts, max_norm) -> None:
    one, step_one = tiny.build(dropout=0.0, max_norm=max_norm)
    parted, step = tiny.build(
        contexts, dropout=0.0, max_norm=max_norm, parts=parts, update_on_kvstore=False
    )
    start = 0
    for count in counts:
        wanted, found = feed(step_one, start, count), feed(step, start, count)
        for name in wanted:
            np.testing.assert_allclose(
                found[name].asnumpy(), wanted[name].asnumpy(), rtol=1e-5, atol=1e-6
            )
        start += count
    for name, value in tiny.weights(parted).items():
        np.testing.assert_allclose(value, tiny.weights(one)[name], rtol=1e-5, atol=1e-6)


class RoundedWeights(mx.gluon.HybridBlock):
    """A linear regression that casts its weight, as networks in bfloat16 and float16 do."""

    loss_names = ("square",)

    def __init__(self, dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.weight = self.params.get("weight", shape=(1, 3), init=mx.init.One())

    def hybrid_forward(self, F, samples, targets, weight):
        """Compute the losses of samples (B, 3) with targets (B, 1): one vector (B,)."""
        weight = F.amp_cast(F.amp_cast(weight, dtype=self.dtype), dtype="float32")
        error = F.FullyConnected(samples, weight, no_bias=True, num_hidden=1) - targets
        return [F.reshape(error, (-1,)) ** 2]


@pytest.mark.parametrize("dtype", [BFLOAT16, "float16"], ids=["bfloat16", "float16"])
def test_gradients_of_parts_add_up_behind_a_cast(dtype) -> None:
    graph = RoundedWeights(dtype)
    graph.initialize()
    graph.hybridize()
    trainer = mx.gluon.Trainer(graph.collect_params(), "sgd")
    feed(TrainStep(graph, trainer, [mx.cpu()], parts=3), 0, 6, rate=0.1)
    # A weight of 1 has no error in either type.
    error = tiny.INPUTS[:6].sum(axis=1) - tiny.TARGETS[:6, 0]
    gradient = (2 * error) @ tiny.INPUTS[:6] / 6
    np.testing.assert_allclose(graph.weight.data().asnumpy()[0], 1 - 0.1 * gradient, rtol=0.01)


@pytest.mark.parametrize("contexts", [(mx.cpu(),), TWO])
def test_a_batch_that_does_not_count_has_losses_and_no_gradient(contexts) -> None:
    graph, step = tiny.build(contexts, dropout=0.0)
    before = tiny.weights(graph)
    inputs = mx.nd.array(tiny.INPUTS[:2]), mx.nd.array(tiny.TARGETS[:2])
    losses = step(*inputs, batch_size=2, rate=0.1, counts=False)
    assert losses["square"].shape == (2,)
    for name, value in tiny.weights(graph).items():
        # What is left of the update is the weight decay.
        np.testing.assert_allclose(value, before[name] * (1 - 0.1 * 1e-3), rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("update_on_kvstore", [None, True])
def test_a_distributed_store_that_updates_is_refused(update_on_kvstore) -> None:
    with pytest.raises(ValueError, match="build it with update_on_kvstore=False"):
        tiny.build(kvstore="dist_sync", update_on_kvstore=update_on_kvstore)


def test_frozen_parameters_stay() -> None:
    graph, _ = tiny.build(dropout=0.0)
    graph.hidden.collect_params().setattr("grad_req", "null")
    trainer = mx.gluon.Trainer(graph.out.collect_params(), "sgd")
    before = tiny.weights(graph)
    feed(TrainStep(graph, trainer, [mx.cpu()], max_norm=1.0), 0, 4)
    after = tiny.weights(graph)
    np.testing.assert_array_equal(after["hidden.weight"], before["hidden.weight"])
    assert np.abs(after["out.weight"] - before["out.weight"]).max() > 0


def test_never_waits_for_the_device(monkeypatch) -> None:
    _, step = tiny.build(dropout=0.0, max_norm=1.0)
    feed(step, 0, 4)  # the first step initializes the optimizer

    def refuse(*_):
        raise AssertionError("the step waited for the device")

    for name in ("asnumpy", "wait_to_read"):
        monkeypatch.setattr(mx.nd.NDArray, name, refuse)
    feed_inputs = mx.nd.ones((4, 3)), mx.nd.ones((4, 1))
    assert step(*feed_inputs, batch_size=4, rate=0.1)["square"].shape == (4,)


def test_bad_input() -> None:
    graph, step = tiny.build()
    with pytest.raises(ValueError, match="no contexts"):
        TrainStep(graph, step.trainer, [])
    with pytest.raises(ValueError, match="max_norm is 0"):
        TrainStep(graph, step.trainer, [mx.cpu()], max_norm=0)
    with pytest.raises(ValueError, match="parts is 0; a batch has at least 1"):
        TrainStep(graph, step.trainer, [mx.cpu()], parts=0)
    with pytest.raises(ValueError, match="no kvstore to add up the gradients of 2 contexts"):
        tiny.build(TWO, kvstore=None)
    with pytest.raises(ValueError, match="holds no images"):
        step(np.zeros((0, 3)), np.zeros((0, 1)), batch_size=1, rate=0.1)
    graph.loss_names = ("square",)
    with pytest.raises(ValueError, match="2 losses for the names"):
        feed(step, 0, 4)
