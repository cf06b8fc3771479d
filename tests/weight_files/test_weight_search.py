"""The weights in a checkpoint: found under every usual name, and never chosen in silence."""

import pickle
from collections import OrderedDict

from gluonnorm.weight_files import WeightFileError
from gluonnorm.weight_files.formats import read_file, write_arrays

import numpy as np
import pytest

A = {f"layer{index}.weight": np.full(2, index, np.float32) for index in range(5)}
B = {name: array + 100 for name, array in A.items()}
C = {name: array + 200 for name, array in A.items()}
OPTIMIZER = {
    "state": {0: {"momentum_buffer": np.ones(3)}, 1: {"momentum_buffer": np.ones(3)}},
    "param_groups": [{"lr": 0.1, "params": [0, 1]}],
}


def read(tmp_path, tree, entry=None):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(tree))
    return read_file(tmp_path / "a.pkl", entry)


def assert_is(content, expected):
    assert list(content.arrays) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(content.arrays[name], array)


@pytest.mark.parametrize(
    "tree",
    [
        A,
        {"model": A},
        {"state_dict": A, "epoch": 3},
        {"model_state_dict": A, "optimizer_state_dict": OPTIMIZER, "loss": np.float32(0.3)},
        {"net": A, "optimizer": OPTIMIZER, "acc": np.float64(0.5), "scaler": {"scale": np.ones(1)}},
        {"model": {"state_dict": OrderedDict(A)}},
        {"checkpoint": {"model": {"net": A}}},
        {"my_weights": A, "lr_scheduler": {"last": np.ones(2)}},
        {"state_dict": A, "optimizer_states": [OPTIMIZER], "rng_state": {"cpu": np.ones(4)}},
        {**A, "_extra_state": {"scale": np.ones(1)}},
        {"model": A, "stats": OrderedDict(), "history": np.ones(3)},
        (A, OPTIMIZER),
        [3, A],
    ],
)
def test_the_only_weights(tmp_path, tree):
    content = read(tmp_path, tree)
    assert_is(content, A)
    assert not any("are taken" in note for note in content.notes)


@pytest.mark.parametrize(
    "tree, taken, entry",
    [
        ({"model": A, "ema": B}, A, "ema"),
        ({"ema": B, "net": A}, A, "ema"),
        ({"state_dict": A, "state_dict_ema": B, "optimizer": OPTIMIZER}, A, "state_dict_ema"),
        ({"model": A, "model_ema": {"module": B}}, A, "model_ema.module"),
        ({"model": A, "ema": {"state_dict": B, "decay": 0.9}}, A, "ema.state_dict"),
        ({"model": A, "ema_state_dict": B}, A, "ema_state_dict"),
        ({"weights": A, "swa_state": B}, A, "swa_state"),
        ({"model": A, "statistics": B}, A, "statistics"),
        ({**A, "ema": B}, A, "ema"),
    ],
)
def test_plain_weights_beside_others_and_the_choice_is_stated(tmp_path, tree, taken, entry):
    content = read(tmp_path, tree)
    assert_is(content, taken)
    notes = " ".join(content.notes)
    assert "are taken; the file also has" in notes and f"entry={entry!r}" in notes
    assert_is(read(tmp_path, tree, entry), B)


def test_averaged_weights_alone(tmp_path):
    content = read(tmp_path, {"model_ema": A, "epoch": 1})
    assert_is(content, A)
    assert content.notes == ["the weights under 'model_ema' are taken"]


@pytest.mark.parametrize(
    "tree, names",
    [
        ({"generator": A, "discriminator": B}, "generator, discriminator"),
        ({"model": A, "net": B}, "model, net"),
        ({"model": A, "net": B, "ema": C}, "model, net, ema"),
        ({"ema": A, "ema2_swa": B}, "ema, ema2_swa"),
        ({"model": {"a": A, "b": B}}, "model.a, model.b"),
        ({"student": {"model": A}, "teacher": {"model": B}}, "student.model, teacher.model"),
    ],
)
def test_an_ambiguity_lists_the_candidates(tmp_path, tree, names):
    count = len(names.split(", "))
    with pytest.raises(WeightFileError) as caught:
        read(tmp_path, tree)
    assert f"holds {count} dictionaries of arrays ({names}); choose one" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_entry_chooses(tmp_path):
    tree = {"model": A, "net": B, "ema": {"state_dict": C}}
    for entry, expected in {"model": A, "net": B, "ema": C, "ema.state_dict": C}.items():
        content = read(tmp_path, tree, entry)
        assert_is(content, expected)
        assert "are taken" in content.notes[0]
    with pytest.raises(WeightFileError, match="entry='emo' is no single .*model, net, ema.state"):
        read(tmp_path, tree, "emo")
    with pytest.raises(WeightFileError, match="has no entry 'ema'; its names begin with layer0"):
        read(tmp_path, {"model": A}, "ema")


@pytest.mark.parametrize("ending", [".npz", ".params", ".pth", ".safetensors"])
def test_an_entry_of_a_flat_file_is_the_beginning_of_names(tmp_path, ending):
    flat = {f"model.{name}": array for name, array in A.items()}
    flat.update({f"ema.net.{name}": array for name, array in B.items()})
    path = tmp_path / f"a{ending}"
    write_arrays(path, flat)
    assert list(read_file(path).arrays) == list(flat)
    assert_is(read_file(path, "ema.net"), B)
    content = read_file(path, "model")
    assert_is(content, A)
    assert content.notes == ["the arrays under 'model' are taken, 5 others are not"]
    with pytest.raises(WeightFileError, match="no entry 'modle'.*did you mean model"):
        read_file(path, "modle")


def test_the_same_dictionary_under_two_names_is_one(tmp_path):
    assert_is(read(tmp_path, {"model": A, "net": A}), A)
