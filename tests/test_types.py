import dataclasses
import json

from gluonnorm.types import Detections, Preprocess

import numpy as np
import pytest


@pytest.mark.parametrize("field, value, message", [
    ("short", (), "one or more lengths"), ("max_size", 700, "less than short 800"), ("std", (1, 0, 1), "positive"),
    ("order", "rgb", "'rgb'; give one of RGB, BGR"),
    ("resize", "cubic", "'cubic'; give one of pixel, float, antialias"),
    ("rounding", "up", "'up'; give one of nearest, even, floor"), ("multiple", 0, "0; want whole pixels, 1 for no"),
    ("multiple", 1.5, "1.5; want whole pixels"),
])
def test_bad_values_are_named(field, value, message):
    with pytest.raises(ValueError, match=f"Preprocess.{field} is .*{message}"):
        Preprocess(**{field: value})


def test_a_record_comes_back_from_json():
    rules = Preprocess(short=(480, 600), order="BGR", resize="antialias", rounding="floor", multiple=64)
    assert Preprocess.from_record(json.loads(json.dumps(dataclasses.asdict(rules)))) == rules


def test_a_record_of_an_earlier_version_takes_the_defaults():
    older = {"short": [600], "max_size": 1000, "normalize": False, "mean": [1, 2, 3], "std": [4, 5, 6], "multiple": 16}
    assert Preprocess.from_record(older) == Preprocess((600,), 1000, False, (1, 2, 3), (4, 5, 6), multiple=16)


def test_a_record_of_a_later_version_is_refused():
    with pytest.raises(ValueError, match="preprocess has gamma, which this version does not know"):
        Preprocess.from_record({"short": [600], "gamma": 2.2})


def test_detections_without_masks():
    assert Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0)).masks is None


def test_padding_is_the_mean_as_the_network_sees_it():
    assert Preprocess(mean=(1, 2, 3)).padding == (0, 0, 0)
    assert Preprocess(mean=(1, 2, 3), normalize=False).padding == (1, 2, 3)
    assert Preprocess(mean=(1, 2, 3), normalize=False, order="BGR").padding == (3, 2, 1)
