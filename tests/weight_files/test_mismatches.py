"""The strict comparison of stored arrays with parameters."""

from gluonnorm.weight_files import Mismatches, compare, shape_fits

import numpy as np
import pytest
from mxnet import gluon


def test_everything_is_listed_by_category():
    stored = {"a": np.zeros((2, 3)), "b": np.zeros(4), "z": np.zeros(1)}
    expected = {"a": np.zeros((2, 4)), "b": np.zeros(4), "c": np.zeros(5)}
    mismatches = compare(stored, expected)
    assert mismatches.phrases["misshapen"] == ["a is (2, 3) in the file, (2, 4) in the network"]
    assert str(mismatches) == (
        "1 missing: c; 1 unexpected: z; 1 misshapen: a is (2, 3) in the file, (2, 4) in the network"
    )


def test_nothing_to_list():
    mismatches = Mismatches()
    assert not mismatches and str(mismatches) == ""
    assert not compare({"a": np.zeros(2)}, {"a": np.ones(2)})


def test_many_names_are_counted():
    expected = {f"layer{index}": np.zeros(1) for index in range(6)}
    assert str(compare({}, expected)) == ("6 missing: layer0, layer1, layer2, layer3 and 2 more")


def test_dtypes_count_if_asked():
    stored = {"a": np.zeros(2, np.float16)}
    expected = {"a": np.zeros(2, np.float32)}
    assert not compare(stored, expected)
    assert str(compare(stored, expected, check_dtypes=True)) == (
        "1 misshapen: a is float16 (2,) in the file, float32 (2,) in the network"
    )


def test_parameters_that_are_not_initialized():
    dense = gluon.nn.Dense(3)
    parameters = dense._collect_params_with_prefix()
    stored = {"weight": np.zeros((3, 7), np.float32), "bias": np.zeros(3, np.float32)}
    assert not compare(stored, parameters, check_dtypes=True)
    stored["weight"] = np.zeros((4, 7), np.float32)
    assert "weight is float32 (4, 7) in the file" in str(compare(stored, parameters, True))


@pytest.mark.parametrize(
    "stored, expected, fits",
    [
        ((2, 3), (2, 3), True),
        ((2, 3), (2, 0), True),
        ((2, 3), (0, 0), True),
        ((2, 3), None, True),
        ((2, 3), (), True),
        ((2, 3), (3, 2), False),
        ((2, 3), (2,), False),
        ((), (2,), False),
    ],
)
def test_shape_fits(stored, expected, fits):
    assert shape_fits(stored, expected) is fits
