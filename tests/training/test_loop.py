import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

from gluonnorm.errors import InputError
from gluonnorm.training import (
    Callback,
    CheckpointSaver,
    Loop,
    NonFiniteLoss,
    latest,
    load,
    load_newest,
)

import mxnet as mx
import numpy as np
import pytest
from training import tiny

TESTS = Path(__file__).resolve().parent.parent
TWO = (mx.cpu(0), mx.cpu(1))


class Diary(Callback):
    """Writes down every moment."""

    def __init__(self) -> None:
        self.moments, self.records = [], []

    def on_step_end(self, loop) -> None:
        self.moments.append(f"step {loop.step}")

    def on_losses(self, loop, record) -> None:
        self.moments.append(f"losses {record.step}")
        self.records.append(record)

    def on_epoch_end(self, loop) -> None:
        self.moments.append(f"epoch {loop.epoch}")


def assert_same_training(net, trainer, other, other_trainer) -> None:
    for name, value in tiny.weights(net).items():
        np.testing.assert_array_equal(tiny.weights(other)[name], value, err_msg=name)
    for ours, theirs in zip(tiny.momenta(trainer), tiny.momenta(other_trainer)):
        np.testing.assert_array_equal(ours, theirs)
    assert trainer.optimizer.num_update == other_trainer.optimizer.num_update
    assert trainer.learning_rate == other_trainer.learning_rate


def test_moments_come_in_order() -> None:
    diary = Diary()
    _, step = tiny.build()
    loop = tiny.make_loop(step, [diary], steps_per_epoch=3)
    loop.fit(epochs=2)
    assert diary.moments == [
        "step 1",
        "losses 1",
        "step 2",
        "losses 2",
        "step 3",
        "losses 3",
        "epoch 1",
        "step 4",
        "losses 4",
        "step 5",
        "losses 5",
        "step 6",
        "losses 6",
        "epoch 2",
    ]
    assert loop.state() == {"step": 6, "epoch": 2, "seed": 11}
    assert [record.epoch for record in diary.records] == [0, 0, 0, 1, 1, 1]
    assert [record.rate for record in diary.records] == [tiny.rate(s) for s in range(6)]


def test_training_learns_and_reports_the_losses() -> None:
    diary = Diary()
    _, step = tiny.build(dropout=0.0)
    tiny.make_loop(step, [diary]).fit(epochs=20)
    totals = [sum(record.losses.values()) for record in diary.records]
    assert np.mean(totals[-6:]) < 0.3 * np.mean(totals[:6])
    assert set(diary.records[0].losses) == {"square", "absolute"}
    assert all(
        len(record.names) == tiny.BATCH and record.images_per_second > 0 for record in diary.records
    )


@pytest.mark.parametrize(
    "contexts, arguments",
    [
        ((mx.cpu(),), {}),
        ((mx.cpu(),), {"optimizer": "adam"}),
        ((mx.cpu(),), {"max_norm": 0.5}),
        (TWO, {}),
        (TWO, {"update_on_kvstore": False}),
    ],
)
@pytest.mark.parametrize("stop", [6, 10])
def test_resume_equals_a_straight_run_bit_for_bit(tmp_path, contexts, arguments, stop) -> None:
    straight, step = tiny.build(contexts, **arguments)
    tiny.make_loop(step).fit(epochs=3)

    prefix = str(tmp_path / "tiny")
    first, first_step = tiny.build(contexts, **arguments)
    saver = CheckpointSaver(prefix, first, first_step.trainer, tiny.SPEC, every_steps=stop)

    class Stop(Callback):
        def on_step_end(self, loop) -> None:
            if loop.step == stop:
                raise ZeroDivisionError("power cut")

    with pytest.raises(ZeroDivisionError):
        tiny.make_loop(first_step, [saver, Stop()]).fit(epochs=3)

    resumed, resumed_step = tiny.build(contexts, seed=1234, **arguments)
    state = load(latest(prefix), resumed, resumed_step.trainer, tiny.SPEC)
    assert state["step"] == stop
    tiny.make_loop(resumed_step).fit(epochs=3, start=state["step"])
    if arguments.get("optimizer") == "adam":
        for name, value in tiny.weights(straight).items():
            np.testing.assert_array_equal(tiny.weights(resumed)[name], value, err_msg=name)
        return
    assert_same_training(straight, step.trainer, resumed, resumed_step.trainer)


def test_another_seed_is_another_run() -> None:
    results = []
    for seed in (11, 11, 12):
        net, step = tiny.build()
        tiny.make_loop(step, seed=seed).fit(epochs=1)
        results.append(tiny.weights(net)["out.weight"])
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 1e-4


@pytest.mark.parametrize(
    "bad_step", [2, 9, 12]
)  # inside an epoch, after a checkpoint, last of an epoch
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_loss_stops_and_keeps_the_last_good_checkpoint(
    tmp_path, bad_step, value
) -> None:
    net, step = tiny.build()
    prefix = str(tmp_path / "tiny")
    saver = CheckpointSaver(prefix, net, step.trainer, tiny.SPEC)
    seen = []

    def poisoned(epoch, skip):
        for index, batch in enumerate(tiny.batches(epoch, skip)):
            seen.append(batch["names"])
            if epoch * tiny.STEPS_PER_EPOCH + index + 1 == bad_step:
                batch["x"] = batch["x"].copy()
                batch["y"] = batch["y"].copy()
                batch["y"][2] = value
            yield batch

    with pytest.raises(NonFiniteLoss) as error:
        tiny.make_loop(step, [saver], batches=poisoned).fit(epochs=3)
    assert error.value.step == bad_step
    names = seen[bad_step - 1]
    assert error.value.names == tuple(names)
    assert not np.isfinite(error.value.losses["square"])
    assert f"step {bad_step}:" in str(
        error.value
    ) and f"on {names[2]} (batch: {', '.join(names)})" in str(error.value)
    if bad_step < tiny.STEPS_PER_EPOCH:
        assert latest(prefix) is None
    else:
        assert load(latest(prefix), net, step.trainer, tiny.SPEC)["step"] == tiny.STEPS_PER_EPOCH
        assert all(np.isfinite(array).all() for array in tiny.weights(net).values())


def test_non_finite_loss_is_found_before_a_save_inside_the_epoch(tmp_path) -> None:
    net, step = tiny.build()
    prefix = str(tmp_path / "tiny")

    def spoil(*inputs, **options):
        losses = step(*inputs, **options)
        return (
            {name: vector * np.nan for name, vector in losses.items()}
            if step.trainer.optimizer.num_update == 4
            else losses
        )

    saver = CheckpointSaver(prefix, net, step.trainer, tiny.SPEC, every_steps=2)
    with pytest.raises(NonFiniteLoss, match="step 4"):
        tiny.make_loop(spoil, [saver]).fit(epochs=1)
    assert latest(prefix) == f"{prefix}-0000002.json"


@pytest.mark.parametrize("bad_step, kept", [(1, None), (5, 4), (7, 6), (9, 8)])
def test_a_batch_that_cannot_be_loaded_loses_no_finished_step(tmp_path, bad_step, kept) -> None:
    straight, step = tiny.build()
    tiny.make_loop(step).fit(epochs=2)
    prefix = str(tmp_path / "tiny")
    first, first_step = tiny.build()

    def faulty(epoch, skip):
        for index, batch in enumerate(tiny.batches(epoch, skip), skip + 1):
            if epoch * tiny.STEPS_PER_EPOCH + index == bad_step:
                raise InputError("bad.jpg cannot be read")
            yield batch

    saver = CheckpointSaver(prefix, first, first_step.trainer, tiny.SPEC)
    with pytest.raises(InputError, match="bad.jpg"):
        tiny.make_loop(first_step, [saver], batches=faulty).fit(epochs=2)
    resumed, resumed_step = tiny.build(seed=99)
    loaded = load_newest(prefix, resumed, resumed_step.trainer, tiny.SPEC)
    assert (loaded and loaded.state["step"]) == kept
    if kept:
        tiny.make_loop(resumed_step).fit(epochs=2, start=kept)
        assert_same_training(straight, step.trainer, resumed, resumed_step.trainer)


def test_a_loss_that_is_not_finite_is_not_saved_when_the_next_batch_fails(tmp_path) -> None:
    net, step = tiny.build()
    prefix = str(tmp_path / "tiny")

    def faulty(epoch, skip):
        batches = list(tiny.batches(epoch, skip))
        batches[1]["y"] = batches[1]["y"] * np.nan
        yield from batches[:2]
        raise InputError("bad.jpg cannot be read")

    saver = CheckpointSaver(prefix, net, step.trainer, tiny.SPEC)
    with pytest.raises(NonFiniteLoss, match="step 2"):
        tiny.make_loop(step, [saver], batches=faulty).fit(epochs=1)
    assert latest(prefix) is None


def test_callbacks_hear_of_a_resume_before_the_first_step() -> None:
    _, step = tiny.build()
    moments = []

    class Listener(Callback):
        def on_resume(self, loop) -> None:
            moments.append(("resume", loop.step, loop.epochs, loop.steps_per_epoch))

        def on_step_end(self, loop) -> None:
            moments.append(loop.step)

    tiny.make_loop(step, [Listener()]).fit(epochs=1)
    assert moments == [1, 2, 3, 4, 5, 6]
    moments.clear()
    tiny.make_loop(step, [Listener()]).fit(epochs=2, start=11)
    assert moments == [("resume", 11, 2, 6), 12]


def test_the_losses_are_read_one_step_late() -> None:
    """Reading before the next launch would leave the device idle."""
    events = []

    class Vector:
        def __init__(self, number) -> None:
            self.number = number

        def asnumpy(self) -> np.ndarray:
            events.append(f"read {self.number}")
            return np.ones(tiny.BATCH, np.float32)

    def step(*inputs, batch_size, rate):
        events.append(f"launch {len([e for e in events if e.startswith('launch')]) + 1}")
        return {"loss": Vector(events[-1].split()[1])}

    tiny.make_loop(step, steps_per_epoch=3).fit(epochs=1)
    assert events == ["launch 1", "launch 2", "read 1", "launch 3", "read 2", "read 3"]


def test_checkpoints_of_a_run_are_pruned(tmp_path) -> None:
    net, step = tiny.build()
    saver = CheckpointSaver(str(tmp_path / "tiny"), net, step.trainer, tiny.SPEC, keep=2)
    tiny.make_loop(step, [saver]).fit(epochs=4)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        "tiny-0000018.json",
        "tiny-0000024.json",
    ]
    assert saver.path == str(tmp_path / "tiny-0000024.json")


def test_a_finished_run_resumes_to_nothing() -> None:
    _, step = tiny.build()
    diary = Diary()
    tiny.make_loop(step, [diary]).fit(epochs=2, start=12)
    assert diary.moments == []


def test_bad_arguments() -> None:
    _, step = tiny.build()
    with pytest.raises(InputError, match="steps_per_epoch is 0"):
        tiny.make_loop(step, steps_per_epoch=0)
    with pytest.raises(InputError, match="batch_size is 0"):
        tiny.make_loop(step, batch_size=0)
    with pytest.raises(InputError, match="seed is -1"):
        tiny.make_loop(step, seed=-1)
    with pytest.raises(InputError, match="start is -1"):
        tiny.make_loop(step).fit(epochs=1, start=-1)
    with pytest.raises(InputError, match="epoch 1 ended after 6 batches, but steps_per_epoch is 7"):
        tiny.make_loop(step, steps_per_epoch=7).fit(epochs=1)
    with pytest.raises(InputError, match="keep is 0"):
        CheckpointSaver("tiny", None, step.trainer, tiny.SPEC, keep=0)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    _, step = tiny.build()
    seen = []

    class Look(Callback):
        def on_step_end(self, loop: Loop) -> None:
            seen.append(signal.getsignal(signal.SIGTERM))

    tiny.make_loop(step, [Look()]).fit(epochs=1)
    assert seen[0] not in before
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("where", ["step", "data"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_saves_and_exits_130(tmp_path, number, where) -> None:
    prefix = str(tmp_path / "tiny")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    program = subprocess.Popen(
        [sys.executable, str(TESTS / "training" / "interrupted_program.py"), prefix, where],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout.readline() == "ready\n"
        program.send_signal(number)
        out, err = program.communicate(timeout=60)
    finally:
        program.kill()
    assert program.returncode == 130, err
    assert "finishing what is in hand" in err and "Traceback" not in err
    net, step = tiny.build(seed=99)
    state = load(latest(prefix), net, step.trainer, tiny.SPEC)
    assert f"interrupted after step {state['step']}" in out
    assert state["step"] == 7 if where == "data" else state["step"] >= 8
    straight, straight_step = tiny.build()

    class Stop(Callback):
        def on_step_end(self, loop) -> None:
            if loop.step == state["step"]:
                raise StopIteration

    with pytest.raises(StopIteration):
        tiny.make_loop(straight_step, [Stop()]).fit(epochs=1000)
    assert_same_training(straight, straight_step.trainer, net, step.trainer)


@pytest.mark.parametrize("is_nohup", [False, True])
def test_a_lost_terminal_saves_unless_the_run_was_started_with_nohup(tmp_path, is_nohup) -> None:
    prefix = str(tmp_path / "tiny")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    terminal, program_side = pty.openpty()
    # The commands of a shell, not a preexec_fn: that copies this process, which may be too large.
    on_hangup = "trap '' HUP; " if is_nohup else ""
    program = subprocess.Popen(
        ["setsid", "--ctty", "sh", "-c", on_hangup + 'exec "$@"', "sh"]
        + [sys.executable, str(TESTS / "training" / "interrupted_program.py"), prefix, "step"],
        env=environment,
        stdin=program_side,
        stdout=subprocess.PIPE,
        stderr=program_side,
        text=True,
    )
    os.close(program_side)
    try:
        # Nothing reads the terminal; the progress of eight steps fits into its buffer.
        assert program.stdout.readline() == "ready\n"
        os.close(terminal)
        if is_nohup:
            with pytest.raises(subprocess.TimeoutExpired):
                program.wait(timeout=1)
            return
        program.wait(timeout=60)
    finally:
        program.kill()
        program.wait()
    assert program.returncode == 130
    net, step = tiny.build(seed=99)
    assert load(latest(prefix), net, step.trainer, tiny.SPEC)["step"] >= 8


def test_second_signal_stops_at_once() -> None:
    _, step = tiny.build()

    class Impatient(Callback):
        def on_step_end(self, loop) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tiny.make_loop(step, [Impatient()]).fit(epochs=1)
