"""The loss scale: its rules, updates with it, overflows, and what a checkpoint holds of it."""

import math

from gluonnorm.training import (
    Callback,
    CheckpointSaver,
    LossScale,
    NonFiniteGradient,
    NonFiniteLoss,
    OverflowLog,
    TextLog,
    latest,
    load,
)
from gluonnorm.training.loss_scale import are_finite

import mxnet as mx
import numpy as np
import pytest
from training import tiny

TWO = (mx.cpu(0), mx.cpu(1))


class Stop(Callback):
    """Ends a run after a step, as a power cut does."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, loop):
        if loop.step == self.step:
            raise ZeroDivisionError("power cut")


def build(loss_scale, **arguments):
    return tiny.build(loss_scale=loss_scale, dropout=0.0, update_on_kvstore=False, **arguments)


def feed(step, start, count, rate=0.1):
    chosen = slice(start, start + count)
    inputs = mx.nd.array(tiny.INPUTS[chosen]), mx.nd.array(tiny.TARGETS[chosen])
    return step(*inputs, batch_size=count, rate=rate)


def assert_same(graph, step, other, other_step):
    for name, value in tiny.weights(graph).items():
        np.testing.assert_array_equal(tiny.weights(other)[name], value, err_msg=name)
    for ours, theirs in zip(tiny.momenta(step.trainer), tiny.momenta(other_step.trainer)):
        np.testing.assert_array_equal(ours, theirs)


def test_the_scale_doubles_after_good_steps_and_halves_after_a_bad_one():
    scale = LossScale(value=8, growth_steps=3)
    seen = []
    for letter in "gggggbgggbbg":
        scale.update(letter == "g")
        seen.append((scale.value, scale.good_steps))
    assert seen == [
        *[(8, 1), (8, 2), (16, 0), (16, 1), (16, 2)],
        (8, 0),
        *[(8, 1), (8, 2), (16, 0)],
        *[(8, 0), (4, 0), (4, 1)],
    ]
    assert scale.skipped == 3


def test_the_scale_stays_between_its_bounds():
    scale = LossScale(value=2**24, growth_steps=1)
    scale.update(True)
    assert scale.value == 2**24
    for _ in range(24):
        scale.update(False)
    assert scale.value == 1
    with pytest.raises(NonFiniteGradient, match="the loss scale is 1 already"):
        scale.update(False)


@pytest.mark.parametrize("value", [0, -2, 3, 0.5, 2**25, math.inf, math.nan])
def test_only_powers_of_two_within_the_bounds_are_scales(value):
    with pytest.raises(ValueError, match="give a power of two from 1 to 1.67772e"):
        LossScale(value)
    with pytest.raises(ValueError, match="give a power of two"):
        LossScale().restore({"value": value, "good_steps": 0})


def test_growth_steps_must_be_positive():
    with pytest.raises(ValueError, match="growth_steps is 0; give at least 1"):
        LossScale(growth_steps=0)


@pytest.mark.parametrize("count", [1, 200, 201, 401])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_array_is_overlooked(count, value):
    arrays = [mx.nd.ones((2, 3)) for _ in range(count)]
    assert are_finite(arrays)
    for index in {0, count // 2, count - 1}:
        arrays[index][1, 2] = value
        assert not are_finite(arrays)
        arrays[index][1, 2] = 1


@pytest.mark.parametrize("contexts", [(mx.cpu(),), TWO])
@pytest.mark.parametrize("arguments", [{}, {"parts": 2}, {"max_norm": 0.3}])
def test_updates_are_those_without_a_scale_bit_for_bit(contexts, arguments):
    plain, plain_step = build(None, contexts=contexts, **arguments)
    scaled, scaled_step = build(LossScale(growth_steps=1), contexts=contexts, **arguments)
    for start in (0, 5, 10):
        wanted, found = feed(plain_step, start, 5), feed(scaled_step, start, 5)
        for name in wanted:
            np.testing.assert_array_equal(found[name].asnumpy(), wanted[name].asnumpy())
    assert scaled_step.loss_scale.value == 2**19 and scaled_step.loss_scale.skipped == 0
    assert_same(plain, plain_step, scaled, scaled_step)


@pytest.mark.parametrize("contexts", [(mx.cpu(),), TWO])
def test_a_batch_that_does_not_count_has_no_gradient(contexts):
    graph, step = build(LossScale(), contexts=contexts)
    before = tiny.weights(graph)
    inputs = mx.nd.array(tiny.INPUTS[:2]), mx.nd.array(tiny.TARGETS[:2])
    step(*inputs, batch_size=2, rate=0.1, counts=False)
    for name, value in tiny.weights(graph).items():
        np.testing.assert_allclose(value, before[name] * (1 - 0.1 * 1e-3), rtol=1e-5)


@pytest.mark.parametrize("contexts", [(mx.cpu(),), TWO])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_that_overflows_float16_makes_no_update(contexts, parts):
    arguments = {"contexts": contexts, "parts": parts, "graph_class": tiny.Float16Graph}
    graph, step = build(LossScale(2**24), **arguments)
    before = tiny.weights(graph)
    while step.loss_scale.skipped == 0 or step.loss_scale.good_steps == 0:
        for name, value in tiny.weights(graph).items():
            np.testing.assert_array_equal(value, before[name])
        assert np.isfinite(feed(step, 0, 4)["square"].asnumpy()).all()
    assert step.loss_scale.skipped > 3
    calm, calm_step = build(LossScale(step.loss_scale.value), **arguments)
    feed(calm_step, 0, 4)
    assert_same(graph, step, calm, calm_step)


def test_a_scale_saves_gradients_that_float16_has_no_numbers_for():
    """Gradients of 1e-9 pass a float16 array as zeros, and with a scale as they are."""
    norms = {}
    for name, graph_class, scale in (
        ("exact", tiny.Graph, None),
        ("lost", tiny.Float16Graph, None),
        ("saved", tiny.Float16Graph, LossScale(2**20)),
    ):
        graph, step = build(scale, graph_class=graph_class)
        before = tiny.weights(graph)["hidden.weight"]
        graph.out.weight.set_data(graph.out.weight.data() * 1e-9)
        step.trainer.optimizer.wd = 0.0
        feed(step, 0, 4, rate=1e6)
        norms[name] = np.linalg.norm(tiny.weights(graph)["hidden.weight"] - before)
    assert norms["lost"] == 0
    np.testing.assert_allclose(norms["saved"], norms["exact"], rtol=0.01)


def test_a_loop_goes_on_after_overflows_and_its_log_tells(tmp_path):
    graph, step = build(LossScale(2**24), graph_class=tiny.Float16Graph)
    text = TextLog(str(tmp_path / "run.log"))
    tiny.make_loop(step, [OverflowLog(text, step.loss_scale)]).fit(epochs=5)
    lines = (tmp_path / "run.log").read_text().splitlines()
    overflows = [line for line in lines if "gradients overflowed" in line]
    assert len(overflows) == step.loss_scale.skipped > 3
    assert overflows[0].endswith("made no update; the loss scale is now 8.38861e+06")
    assert " step 1: " in overflows[0] and " step 2: " in overflows[1]
    for value in tiny.weights(graph).values():
        assert np.isfinite(value).all()


def test_a_loss_that_is_not_finite_still_ends_the_run_and_spares_the_weights(tmp_path):
    graph, step = build(LossScale())
    feed(step, 0, 4)
    before = tiny.weights(graph)

    def broken_batches(epoch, skip):
        for batch in tiny.batches(epoch, skip):
            batch["x"][1] = np.inf
            batch["y"][1] = np.inf
            yield batch

    with pytest.raises(NonFiniteLoss, match="step 1: the loss is not finite"):
        tiny.make_loop(step, batches=broken_batches).fit(epochs=1)
    for name, value in tiny.weights(graph).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_run_without_any_finite_gradient_ends():
    _, step = build(LossScale(2))

    def infinite_gradients(*inputs):
        losses = step_graph(*inputs)
        return [vector + (vector * 0).sqrt() for vector in losses]

    step_graph = step.graph
    infinite_gradients.loss_names = step.graph.loss_names
    step.graph = infinite_gradients
    with pytest.raises(NonFiniteGradient, match="resume from the last checkpoint"):
        tiny.make_loop(step).fit(epochs=1)


@pytest.mark.parametrize("stop", [6, 9])
def test_a_resumed_run_continues_with_the_scale_bit_for_bit(tmp_path, stop):
    def fresh(seed=3):
        scale = LossScale(2**22, growth_steps=4)
        return build(scale, graph_class=tiny.Float16Graph, seed=seed)

    straight, step = fresh()
    tiny.make_loop(step).fit(epochs=3)
    assert step.loss_scale.skipped > 3

    prefix = str(tmp_path / "tiny")
    first, first_step = fresh()
    saver = CheckpointSaver(prefix, first, first_step.trainer, tiny.SPEC, every_steps=stop)
    with pytest.raises(ZeroDivisionError):
        tiny.make_loop(first_step, [saver, Stop(stop)]).fit(epochs=3)

    resumed, resumed_step = fresh(seed=1234)
    state = load(latest(prefix), resumed, resumed_step.trainer, tiny.SPEC)
    assert state["loss_scale"] == first_step.loss_scale.state()
    resumed_step.restore(state)
    tiny.make_loop(resumed_step).fit(epochs=3, start=state["step"])
    assert_same(straight, step, resumed, resumed_step)
    assert resumed_step.loss_scale.state() == step.loss_scale.state()


def test_a_state_of_another_kind_of_run_fits(tmp_path):
    _, scaled_step = build(LossScale(2**10))
    scaled_step.restore({"step": 4})
    assert scaled_step.loss_scale.value == 2**10
    _, plain_step = build(None)
    plain_step.restore({"step": 4, "loss_scale": {"value": 2.0, "good_steps": 1}})
    assert plain_step.state() == {}


@pytest.mark.parametrize("update_on_kvstore", [None, True])
def test_a_store_that_updates_unseen_is_refused(update_on_kvstore):
    with pytest.raises(ValueError, match="with a loss scale .* update_on_kvstore=False"):
        tiny.build(loss_scale=LossScale(), update_on_kvstore=update_on_kvstore)
