"""Checkpoints that were cut, altered or forged: what is read, and what a run falls back to."""

import json
import os
from functools import partial
from pathlib import Path

from gluonnorm.training import (
    CheckpointError,
    DamagedCheckpoint,
    latest,
    load,
    load_newest,
    newest_first,
    prune,
    read,
    save,
    set_aside,
)

import numpy as np
import pytest
from training import tiny


@pytest.fixture
def run(tmp_path):
    """Checkpoints of steps 3, 6 and 9, each with other weights: their prefix."""
    prefix = str(tmp_path / "tiny")
    net, step = tiny.build()
    for epochs in (1, 2, 3):
        loop = tiny.make_loop(step, steps_per_epoch=3)
        loop.fit(epochs, start=3 * (epochs - 1))
        save(prefix, net, step.trainer, loop.state(), tiny.SPEC)
    return prefix


def file_of(prefix, step, ending):
    return Path(f"{prefix}-{step:07d}.{ending}")


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def edit(path, change):
    """Change the header as a person would in an editor, and leave its checksum as it is."""
    header = json.loads(path.read_text())
    change(header)
    path.write_text(json.dumps(header))


def forge(path, change):
    """Change the header and take its checksum out, as a program that means harm would."""

    def change_unnoticed(header):
        change(header)
        header.pop("sha256", None)

    edit(path, change_unnoticed)


HARM = {
    "cut weights": ("params", cut),
    "altered weights": ("params", flip),
    "no weights": ("params", os.remove),
    "cut momentum": ("states", cut),
    "altered momentum": ("states", flip),
    "no momentum": ("states", os.remove),
    "cut header": ("json", cut),
    "empty header": ("json", lambda path: path.write_text("")),
    "other step": ("json", lambda path: edit(path, lambda header: header["state"].update(step=8))),
    "other spec": ("json", lambda path: edit(path, lambda header: header["spec"].update(a=1))),
    "header of another step": (
        "json",
        lambda path: path.write_text(file_of(str(path)[:-13], 6, "json").read_text()),
    ),
    "no checksum": ("json", lambda path: forge(path, lambda header: header["files"].clear())),
    "weights from elsewhere": (
        "params",
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    ),
    "a pipe": ("states", lambda path: (path.unlink(), os.mkfifo(path))),
    "a folder": ("states", lambda path: (path.unlink(), path.mkdir())),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_run_falls_back_to_the_newest_sound_checkpoint(run, harm) -> None:
    ending, act = HARM[harm]
    act(file_of(run, 9, ending))
    expected, _ = tiny.build(seed=1)
    load(f"{run}-0000006.json", expected)
    net, step = tiny.build(seed=99)
    loaded = load_newest(run, net, step.trainer, tiny.SPEC)
    assert loaded.path == f"{run}-0000006.json" and loaded.state["step"] == 6
    (fault,) = loaded.faults
    assert "tiny-0000009" in fault and "\n" not in fault
    for name, value in tiny.weights(expected).items():
        np.testing.assert_array_equal(tiny.weights(net)[name], value)
    # The damaged files are kept, but no run counts them.
    assert newest_first(run) == [f"{run}-0000006.json", f"{run}-0000003.json"]
    assert file_of(run, 9, "json.aside").exists()
    prune(run, keep=1)
    assert latest(run) == f"{run}-0000006.json" and file_of(run, 9, "json.aside").exists()


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_checkpoint_by_name_is_refused(run, harm) -> None:
    ending, act = HARM[harm]
    act(file_of(run, 9, ending))
    net, step = tiny.build(seed=99)
    before = tiny.weights(net)
    with pytest.raises(DamagedCheckpoint, match="tiny-0000009") as error:
        load(f"{run}-0000009.json", net, step.trainer, tiny.SPEC)
    assert "\n" not in str(error.value)
    for name, value in tiny.weights(net).items():
        np.testing.assert_array_equal(value, before[name])


def test_several_damaged_ones_are_skipped(run) -> None:
    cut(file_of(run, 9, "params"))
    os.remove(file_of(run, 6, "states"))
    net, step = tiny.build()
    loaded = load_newest(run, net, step.trainer, tiny.SPEC)
    assert loaded.state["step"] == 3
    assert ["tiny-0000009.params is damaged" in loaded.faults[0], len(loaded.faults)] == [True, 2]


def test_nothing_is_renamed_if_all_are_damaged_or_do_not_fit(run) -> None:
    net, step = tiny.build()
    cut(file_of(run, 9, "params"))
    files = sorted(os.listdir(os.path.dirname(run)))
    other_spec = {**tiny.SPEC, "model": "other"}
    with pytest.raises(CheckpointError, match="0000009.json is a checkpoint of another network"):
        load_newest(run, net, step.trainer, other_spec)
    for number in (3, 6):
        cut(file_of(run, number, "json"))
    with pytest.raises(CheckpointError, match="no checkpoint under .*9.params is damaged") as all:
        load_newest(run, net, step.trainer, tiny.SPEC)
    assert "start afresh" in str(all.value) and "\n" not in str(all.value)
    assert sorted(os.listdir(os.path.dirname(run))) == files


def test_no_checkpoint_loads_nothing(tmp_path) -> None:
    net, step = tiny.build()
    assert load_newest(str(tmp_path / "none"), net, step.trainer, tiny.SPEC) is None


def test_files_that_are_set_aside_can_be_read_under_their_old_names(run) -> None:
    set_aside([f"{run}-0000009.json"])
    assert latest(run) == f"{run}-0000006.json"
    for ending in ("params", "states", "json"):
        os.rename(f"{run}-0000009.{ending}.aside", f"{run}-0000009.{ending}")
    net, step = tiny.build()
    assert load(f"{run}-0000009.json", net, step.trainer, tiny.SPEC)["step"] == 9


def test_a_copy_under_another_name_loads(run) -> None:
    for ending in ("params", "states", "json"):
        os.rename(f"{run}-0000009.{ending}", f"{run}-chosen.{ending}")
    net, step = tiny.build()
    assert load(f"{run}-chosen.json", net, step.trainer, tiny.SPEC)["step"] == 9


def test_a_header_without_its_own_checksum_is_one_of_version_0_1(run) -> None:
    forge(file_of(run, 9, "json"), lambda header: header["state"].update(note="x"))
    assert read(f"{run}-0000009.json")["state"]["note"] == "x"


def put(field, value, header):
    """Set a field of a header, such as "files.params.size"."""
    *parents, name = field.split(".")
    for parent in parents:
        header = header[parent]
    header[name] = value


WRONG_VALUES = (None, True, -1, 1.5, float("inf"), "", "7", [], {}, [[]], {"a": {}})


@pytest.mark.parametrize(
    "field", ["spec", "state", "trained", "files", "state.step", "files.params", "files.states"]
)
def test_a_wrong_type_in_any_field_is_one_line(run, field) -> None:
    path = file_of(run, 9, "json")
    good = path.read_text()
    net, step = tiny.build()
    for value in WRONG_VALUES:
        path.write_text(good)
        forge(path, partial(put, field, value))
        with pytest.raises(CheckpointError, match="tiny-0000009") as error:
            load(str(path), net, step.trainer, tiny.SPEC)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["size", "sha256"])
def test_a_wrong_fingerprint_is_one_line(run, name) -> None:
    path = file_of(run, 9, "json")
    good = path.read_text()
    for value in WRONG_VALUES:
        path.write_text(good)
        forge(path, partial(put, f"files.params.{name}", value))
        with pytest.raises(DamagedCheckpoint, match="tiny-0000009"):
            load(str(path), tiny.Graph())


def test_names_in_a_header_lead_nowhere(run, tmp_path) -> None:
    """A header names no files; what a forged one adds is not opened."""
    path = file_of(run, 9, "json")
    forge(path, lambda header: header["files"].update({"../../etc/passwd": {}, "path": "/"}))
    net, step = tiny.build()
    assert load(str(path), net, step.trainer, tiny.SPEC)["step"] == 9
