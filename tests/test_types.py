import dataclasses
import json

from gluonnorm.errors import InputError
from gluonnorm.types import Detections, Preprocess

import numpy as np
import pytest


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("short", (), "one or more lengths"),
        ("max_size", 700, "less than short 800"),
        ("std", (1, 0, 1), "positive"),
        ("order", "rgb", "'rgb'; give one of RGB, BGR"),
        ("resize", "cubic", "'cubic'; give one of pixel, float, antialias"),
        ("rounding", "up", "'up'; give one of nearest, even, floor"),
        ("multiple", 0, "0; want whole pixels, 1 for no"),
        ("multiple", 1.5, "1.5; want whole pixels"),
        ("multiple", "32", "'32'; want whole pixels"),
        ("multiple", True, "True; want whole pixels"),
        ("multiple", None, "None; want whole pixels"),
        ("short", 800, "800; give a tuple of one or more"),
        ("short", "800", "'800'; give a tuple"),
        ("short", (800, 0), "at least 1 pixel"),
        ("short", ("800",), "at least 1 pixel"),
        ("short", (float("nan"),), "at least 1 pixel"),
        ("max_size", "1333", "'1333'; want whole pixels"),
        ("max_size", float("inf"), "inf; want whole pixels"),
        ("normalize", 1, "1; want True or False"),
        ("normalize", None, "None; want True or False"),
        ("mean", (1, 2), "three numbers"),
        ("mean", 7, "three numbers"),
        ("mean", (1, 2, None), "three numbers"),
        ("std", (1, 2, float("nan")), "three numbers"),
        ("std", ("1", "2", "3"), "three numbers"),
        ("order", None, "None; give one of RGB, BGR"),
        ("resize", ("pixel",), "give one of pixel, float, antialias"),
        ("rounding", 0, "0; give one of"),
    ],
)
def test_bad_values_are_named(field, value, message):
    with pytest.raises(InputError, match=f"Preprocess.{field} is .*{message}"):
        Preprocess(**{field: value})


def test_a_record_comes_back_from_json():
    rules = Preprocess(
        short=(480, 600), order="BGR", resize="antialias", rounding="floor", multiple=64
    )
    assert Preprocess.from_manifest(json.loads(json.dumps(dataclasses.asdict(rules)))) == rules


def test_a_record_of_an_earlier_version_takes_the_defaults():
    older = {
        "short": [600],
        "max_size": 1000,
        "normalize": False,
        "mean": [1, 2, 3],
        "std": [4, 5, 6],
        "multiple": 16,
    }
    assert Preprocess.from_manifest(older) == Preprocess(
        (600,), 1000, False, (1, 2, 3), (4, 5, 6), multiple=16
    )


def test_a_record_of_a_later_version_is_refused():
    with pytest.raises(ValueError, match="preprocess has gamma, which this version of"):
        Preprocess.from_manifest({"short": [600], "gamma": 2.2})


@pytest.mark.parametrize("values", [None, [600], "short"])
def test_a_manifest_without_fields_is_refused(values):
    with pytest.raises(InputError, match="want a dict of the fields of Preprocess"):
        Preprocess.from_manifest(values)


def test_lists_become_tuples():
    assert Preprocess(short=[480, 600], mean=[1, 2, 3], std=[4, 5, 6]) == Preprocess(
        short=(480, 600), mean=(1, 2, 3), std=(4, 5, 6)
    )


def test_detections_without_masks():
    assert Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0)).masks is None


def test_padding_is_the_mean_as_the_network_sees_it():
    assert Preprocess(mean=(1, 2, 3)).padding == (0, 0, 0)
    assert Preprocess(mean=(1, 2, 3), normalize=False).padding == (1, 2, 3)
    assert Preprocess(mean=(1, 2, 3), normalize=False, order="BGR").padding == (3, 2, 1)
