import errno
import json
import os

from gluonnorm.training import (
    CheckpointError,
    keep_weights,
    latest,
    load,
    mark_best,
    prune,
    read,
    save,
    trainable_parameters,
)

import mxnet as mx
import numpy as np
import pytest
from full_disk import no_file_beyond
from training import tiny

KINDS = ("params", "states", "json")
BEST = ["tiny-best.json", "tiny-best.params"]


@pytest.fixture
def trained(tmp_path):
    """A net after three steps, its trainer, and a prefix in an empty folder yet to be made."""
    net, step = tiny.build()
    tiny.make_loop(step, steps_per_epoch=3).fit(epochs=1)
    return net, step.trainer, str(tmp_path / "run" / "tiny")


def names(prefix):
    return sorted(os.listdir(os.path.dirname(prefix)))


def test_files_and_round_trip(trained) -> None:
    net, trainer, prefix = trained
    path = save(prefix, net, trainer, {"step": 3, "note": "x"}, tiny.SPEC)
    assert path == f"{prefix}-0000003.json"
    assert names(prefix) == [f"tiny-0000003.{kind}" for kind in sorted(KINDS)]
    record = read(path)
    assert record["files"]["params"]["size"] == os.path.getsize(f"{prefix}-0000003.params")
    assert record["trained"] == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]
    other, step = tiny.build(seed=99)
    assert load(path, other, step.trainer, tiny.SPEC) == {"step": 3, "note": "x"}
    for name, value in tiny.weights(net).items():
        np.testing.assert_array_equal(tiny.weights(other)[name], value)
    for ours, theirs in zip(tiny.momenta(step.trainer), tiny.momenta(trainer)):
        np.testing.assert_array_equal(ours, theirs)
        assert np.abs(theirs).max() > 0
    assert step.trainer.learning_rate == trainer.learning_rate == tiny.rate(2)
    assert step.trainer.optimizer.num_update == trainer.optimizer.num_update == 3


def test_loads_into_a_net_without_values(trained) -> None:
    net, trainer, prefix = trained
    path = save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    fresh = tiny.Graph()
    os.remove(f"{prefix}-0000003.states")  # weights alone do not need it
    load(path, fresh)
    np.testing.assert_array_equal(
        tiny.weights(fresh)["out.weight"], tiny.weights(net)["out.weight"]
    )


def test_trainable_parameters_once_and_in_structural_order() -> None:
    net = mx.gluon.nn.HybridSequential()
    for _ in range(12):
        net.add(mx.gluon.nn.Dense(2, in_units=2))
    net.add(net[0])
    net[1].collect_params().setattr("grad_req", "null")
    expected = [
        parameter for i in [0] + list(range(2, 12)) for parameter in (net[i].weight, net[i].bias)
    ]
    assert trainable_parameters(net) == expected


@pytest.mark.parametrize("kind", ["params", "states"])
def test_truncated_altered_or_lost_file(trained, kind) -> None:
    net, trainer, prefix = trained
    path = save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    other, step = tiny.build(seed=99)
    before = tiny.weights(other)
    victim = f"{prefix}-0000003.{kind}"
    with open(victim, "rb") as file:
        content = file.read()

    def expect(message):
        with pytest.raises(CheckpointError, match=message):
            load(path, other, step.trainer, tiny.SPEC)
        for name, value in tiny.weights(other).items():
            np.testing.assert_array_equal(value, before[name])

    with open(victim, "wb") as file:
        file.write(content[:-7])
    expect(f"{kind} is damaged: {len(content) - 7} bytes, {len(content)} were written")
    with open(victim, "wb") as file:
        file.write(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    expect(f"{kind} was altered")
    os.remove(victim)
    expect(f"{kind} cannot be read")


@pytest.mark.parametrize("content", ["", '{"spec": {}', "[]", '{"step": 3}'])
def test_not_a_checkpoint(tmp_path, content) -> None:
    path = tmp_path / "tiny-0000003.json"
    path.write_text(content)
    with pytest.raises(CheckpointError, match="tiny-0000003.json"):
        load(str(path), tiny.Graph())


def test_params_or_nothing_instead_of_the_json(trained) -> None:
    net, trainer, prefix = trained
    save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    for ending in ("0000003.params", "0000009.json"):
        with pytest.raises(CheckpointError, match="give the .json"):
            load(f"{prefix}-{ending}", net)


def test_other_spec_lists_the_fields(trained) -> None:
    net, trainer, prefix = trained
    path = save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    wanted = {
        "model": "tiny",
        "classes": ("red",),
        "config": {"hidden": 4, "nms_thresh": 0.6},
        "norm": "gn",
    }
    with pytest.raises(CheckpointError) as error:
        load(path, net, trainer, wanted)
    assert "spec.classes is ['red', 'white'] in the checkpoint, ['red'] here" in str(error.value)
    assert "spec.config.nms_thresh is 0.5 in the checkpoint, 0.6 here" in str(error.value)
    assert "spec.norm is None in the checkpoint, 'gn' here" in str(error.value)
    differences = str(error.value).split("network:")[1].split(". ")[0]
    assert "model" not in differences and "hidden" not in str(error.value)
    # Only the fields of the given description count.
    assert load(path, net, trainer, {"config": {"hidden": 4}}) == {"step": 3}


def test_an_accent_in_two_characters_is_the_same_class_name(trained) -> None:
    net, trainer, prefix = trained
    # Version 0.1 wrote class names as the files of the data set had them.
    path = save(prefix, net, trainer, {"step": 3}, {**tiny.SPEC, "classes": ["cafe\u0301"]})
    assert load(path, net, trainer, {**tiny.SPEC, "classes": ["caf\u00e9"]}) == {"step": 3}


def test_misfits_are_listed_and_nothing_changes(trained) -> None:
    net, trainer, prefix = trained
    path = save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    other = tiny.Graph(hidden=5)
    other.extra = mx.gluon.nn.Dense(2, in_units=2)
    other.initialize()
    before = tiny.weights(other)
    with pytest.raises(CheckpointError) as error:
        load(path, other)
    message = str(error.value)
    assert "missing: extra.weight, extra.bias" in message
    assert "hidden.weight is float32 (4, 3) in the file, float32 (5, 3) in the network" in message
    assert "out.bias" not in message
    for name, value in tiny.weights(other).items():
        np.testing.assert_array_equal(value, before[name])
    lean = mx.gluon.nn.Sequential()
    with pytest.raises(
        CheckpointError, match="unexpected: hidden.weight, hidden.bias, out.weight, out.bias"
    ):
        load(path, lean)


def test_trainer_over_other_parameters(trained) -> None:
    net, trainer, prefix = trained
    path = save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    other, _ = tiny.build(seed=99)
    some = mx.gluon.Trainer(trainable_parameters(other)[2:], "sgd")
    with pytest.raises(
        CheckpointError, match="trained in the checkpoint but not here: hidden.bias, hidden.weight"
    ):
        load(path, other, some)
    swapped = mx.gluon.Trainer(trainable_parameters(other)[::-1], "sgd")
    with pytest.raises(CheckpointError, match="another order; build it over trainable_parameters"):
        load(path, other, swapped)


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("fail_at", [1, 2, 3])
def test_full_disk(trained, monkeypatch, call, fail_at) -> None:
    net, trainer, prefix = trained
    older = save(prefix, net, trainer, {"step": 2}, tiny.SPEC)
    real, calls = getattr(os, call), []

    def full(*arguments):
        calls.append(arguments)
        if len(calls) == fail_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(CheckpointError, match="tiny-0000003.*No space left on device"):
        save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    monkeypatch.undo()
    assert names(prefix) == [f"tiny-0000002.{kind}" for kind in sorted(KINDS)]
    assert latest(prefix) == older
    assert load(older, net, trainer, tiny.SPEC) == {"step": 2}


@pytest.mark.parametrize(
    "limit, kind, cause", [(100, "params", "is the disk full"), (420, "states", "File too large")]
)
def test_write_that_the_system_cuts_short(trained, limit, kind, cause) -> None:
    """MXNet does not notice that the last bytes of a .params were not written; save must."""
    net, trainer, prefix = trained
    save(prefix, net, trainer, {"step": 2}, tiny.SPEC)
    sizes = {k: os.path.getsize(f"{prefix}-0000002.{k}") for k in ("params", "states")}
    assert limit < sizes[kind] and (kind == "params" or sizes["params"] <= limit), sizes
    with no_file_beyond(limit):
        with pytest.raises(CheckpointError, match=f"cannot write .*tiny-0000003.{kind}.*{cause}"):
            save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    assert names(prefix) == [f"tiny-0000002.{k}" for k in sorted(KINDS)]


def test_full_disk_while_saving_the_same_step_again_keeps_the_old(trained, monkeypatch) -> None:
    net, trainer, prefix = trained
    path = save(prefix, net, trainer, {"step": 3, "try": 1}, tiny.SPEC)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError):
        save(prefix, net, trainer, {"step": 3, "try": 2}, tiny.SPEC)
    monkeypatch.undo()
    assert load(path, net, trainer, tiny.SPEC)["try"] == 1
    save(prefix, net, trainer, {"step": 3, "try": 2}, tiny.SPEC)
    assert load(path, net, trainer, tiny.SPEC)["try"] == 2


def test_folder_that_cannot_be_made(trained, tmp_path) -> None:
    net, trainer, _ = trained
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="file/tiny-0000003"):
        save(str(tmp_path / "file" / "tiny"), net, trainer, {"step": 3}, tiny.SPEC)


def test_weights_that_are_not_finite_are_not_saved(trained) -> None:
    net, trainer, prefix = trained
    older = save(prefix, net, trainer, {"step": 2}, tiny.SPEC)
    net.out.bias.set_data(mx.nd.array([np.nan]))
    with pytest.raises(CheckpointError, match="out.bias hold NaN or infinity"):
        save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    assert latest(prefix) == older and len(names(prefix)) == 3


def test_state_that_is_not_json_leaves_nothing(trained) -> None:
    net, trainer, prefix = trained
    with pytest.raises(TypeError):
        save(prefix, net, trainer, {"step": 3, "bad": object()}, tiny.SPEC)
    assert names(prefix) == []


def test_latest_prune_and_best(trained) -> None:
    net, trainer, prefix = trained
    assert latest(prefix) is None
    paths = [save(prefix, net, trainer, {"step": step}, tiny.SPEC) for step in (9, 10, 12345678)]
    save(f"{prefix}-other", net, trainer, {"step": 11}, tiny.SPEC)
    assert latest(prefix) == paths[2] == f"{prefix}-12345678.json"
    best = mark_best(paths[0])
    with open(best, "rb") as kept, open(f"{prefix}-0000009.params", "rb") as original:
        assert kept.read() == original.read()
    folder = os.path.dirname(prefix)
    for leftover in ("tiny-0000011.params", "tiny-0000010.states.tmp"):  # of runs that were killed
        with open(os.path.join(folder, leftover), "w") as file:
            file.write("cut")
    prune(prefix, keep=2)
    expected = [f"tiny-{step}.{kind}" for step in ("0000010", "12345678") for kind in KINDS]
    others = [f"tiny-other-0000011.{kind}" for kind in KINDS]
    assert names(prefix) == sorted(expected + others + BEST)
    fresh = tiny.Graph()
    fresh.load_parameters(best)
    assert load(f"{prefix}-best.json", tiny.Graph(), spec=tiny.SPEC)["step"] == 9
    assert mark_best(paths[1]) == best
    with pytest.raises(ValueError, match="keep is 0"):
        prune(prefix, keep=0)
    with pytest.raises(CheckpointError, match="tiny-best.params"):
        mark_best(paths[0])


def test_the_same_best_twice_leaves_one_file(trained) -> None:
    """Renaming one hard link of a file to another does nothing, and leaves both names."""
    net, trainer, prefix = trained
    path = save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    assert mark_best(path) == mark_best(path)
    checkpoint_files = [f"tiny-0000003.{kind}" for kind in sorted(KINDS)]
    assert names(prefix) == checkpoint_files + BEST


def test_best_without_hard_links(trained, monkeypatch) -> None:
    net, trainer, prefix = trained
    path = save(prefix, net, trainer, {"step": 3}, tiny.SPEC)

    def refuse(*_):
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    assert os.path.getsize(mark_best(path)) == os.path.getsize(f"{prefix}-0000003.params")


def test_weights_that_cannot_be_kept_leave_nothing(trained, monkeypatch) -> None:
    net, trainer, prefix = trained
    path = save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    before = names(prefix)

    def refuse(*_):
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    # The weights are copied, and the longer header finds no room.
    limit = os.path.getsize(f"{prefix}-0000003.params")
    assert limit < os.path.getsize(path)
    with no_file_beyond(limit), pytest.raises(OSError):
        keep_weights(path, f"{prefix}-kept")
    assert names(prefix) == before


def test_json_is_written_last(trained, monkeypatch) -> None:
    net, trainer, prefix = trained
    order, real = [], os.replace

    def watch(source, target):
        order.append(os.path.splitext(target)[1])
        real(source, target)

    monkeypatch.setattr(os, "replace", watch)
    path = save(prefix, net, trainer, {"step": 3}, tiny.SPEC)
    assert order == [".params", ".states", ".json"]
    with open(path) as file:
        assert json.load(file)["spec"]["classes"] == ["red", "white"]
