"""Prefixes of training programs: taken off if the names are known without them."""

from gluonnorm.weight_files import WeightFileError, take_off_prefix

import numpy as np
import pytest

NAMES = ("backbone.body.conv1.weight", "backbone.body.bn1.weight", "rpn.conv.bias", "fc6.weight")
KNOWN = {*NAMES, "conv1.weight", "bn1.weight"}
COUNTER = "backbone.body.bn1.num_batches_tracked"


def arrays_of(names):
    return {name: np.full((2, 2), index, np.float32) for index, name in enumerate(names)}


def with_prefix(prefix, names=NAMES):
    return [prefix + name for name in (*names, COUNTER)]


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "module.module.",
        "model.",
        "_orig_mod.",
        "net.",
        "detector.",
        "model._orig_mod.",
        "_orig_mod.module.",
        "module.model.detector.",
        "any.thing.",
        "_fsdp_wrapped_module.",
    ],
)
def test_a_prefix_of_all_names(prefix):
    arrays = arrays_of(with_prefix(prefix))
    content = take_off_prefix(arrays, KNOWN)
    assert list(content.arrays) == [*NAMES, COUNTER]
    for bare_name, array in zip((*NAMES, COUNTER), arrays.values()):
        assert content.arrays[bare_name] is array
    notes = " ".join(content.notes)
    words = [word for word in prefix.split(".") if word]
    assert all(word in notes for word in words) and content.notes


@pytest.mark.parametrize(
    "names",
    [
        list(NAMES),
        ["x.unknown.weight", "x.other.weight"],
        ["nothing", "known"],
        # Most of what has the prefix stays unknown, so taking it off is no explanation.
        ["x.conv1.weight", "x.a.weight", "x.b.weight", "x.c.weight"],
        # A part of another network has a known name by chance, in several places.
        ["a.0.bn1.weight", "a.1.bn1.weight", *(f"a.{index}.bn9.weight" for index in range(20))],
        # Without the prefix two arrays would have the same name.
        ["module.rpn.conv.bias", "module.fc6.weight", "rpn.conv.bias"],
    ],
)
def test_names_that_stay(names):
    content = take_off_prefix(arrays_of(names), KNOWN)
    assert list(content.arrays) == names and content.notes == []


def test_wrappers_inside_names():
    names = ["backbone._orig_mod.body.conv1.weight", "rpn._orig_mod.conv.bias", "fc6.weight"]
    content = take_off_prefix(arrays_of(names), KNOWN)
    assert list(content.arrays) == [NAMES[0], NAMES[2], NAMES[3]]
    assert content.notes == ["'_orig_mod' taken out of 2 names"]
    both = ["_orig_mod.fc6.weight", "fc6.weight"]
    content = take_off_prefix(arrays_of(both), KNOWN)
    assert list(content.arrays) == ["fc6.weight"] and content.arrays["fc6.weight"][0, 0] == 1
    assert "names under '_orig_mod.' fit as well and are left out" in content.notes[0]


def test_counters_of_an_average_are_left_out_and_other_names_stay():
    arrays = {**arrays_of(with_prefix("module.")), "n_averaged": np.array(12)}
    content = take_off_prefix(arrays, KNOWN)
    assert list(content.arrays) == [*NAMES, COUNTER]
    assert content.notes[1:] == ["left out, a counter: n_averaged"]
    arrays["criterion.weight"] = np.ones(3)
    content = take_off_prefix(arrays, KNOWN)
    assert "criterion.weight" in content.arrays
    assert content.notes[0] == (
        "prefix 'module.' taken off 5 names; 1 have no such prefix (criterion.weight), and "
        "entry='module' leaves them out"
    )


def test_two_networks_in_one_file():
    names = [*with_prefix("student."), *with_prefix("teacher.net.")]
    with pytest.raises(WeightFileError, match=r"\(student, teacher.net\).*entry='student'"):
        take_off_prefix(arrays_of(names), KNOWN)


@pytest.mark.parametrize("averaged", ["ema.module.", "model_ema.", "ema_model."])
def test_averaged_copies_beside_plain_names(averaged):
    arrays = arrays_of([*with_prefix(averaged), *with_prefix("model.")])
    content = take_off_prefix({**arrays, "ema.n": np.array(3)}, KNOWN)
    assert list(content.arrays) == [*NAMES, COUNTER]
    assert content.arrays[NAMES[0]] is arrays[f"model.{NAMES[0]}"]
    notes = " ".join(content.notes)
    assert f"entry={averaged[:-1]!r} takes them" in notes and "prefix 'model.' taken off" in notes


def test_copies_beside_names_that_fit():
    """The names as they are win; the copy under a prefix is left out, and the note says so."""
    content = take_off_prefix(arrays_of([*NAMES, COUNTER, *with_prefix("ema.")]), KNOWN)
    assert list(content.arrays) == [*NAMES, COUNTER]
    assert (
        "names under 'ema.' fit as well and are left out; entry='ema' takes them"
        in content.notes[0]
    )


def test_a_backbone_is_not_cut_out_of_a_detector():
    """Names with and without ``backbone.body.`` are known; only ``model.`` is in front of them."""
    names = [*with_prefix("model.", NAMES[:2]), "model.roi.weight"]
    content = take_off_prefix(arrays_of(names), KNOWN)
    assert list(content.arrays) == [*NAMES[:2], COUNTER, "roi.weight"]
