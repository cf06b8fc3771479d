"""Pickles of arrays: Detectron's and Detectron2's layouts, every protocol, nothing that is run."""

import argparse
import os
import pickle
from collections import Counter, OrderedDict

from gluonnorm.weight_files import WeightFileError
from gluonnorm.weight_files.pickle_file import read_pickle

import numpy as np
import pytest
from reference.torch_by_hand import Call, Global, dump

ARRAYS = {
    "conv1_w": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "fc": np.array([[1.5, -2.0]]),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    "big": np.arange(3, dtype=">f4"),
    "strided": np.arange(12, dtype=np.float32)[::3],
    "none": np.zeros((0, 4), np.float32),
    "half": np.array([0.5, 65504], np.float16),
    "flags": np.array([True, False]),
    "byte": np.array(7, np.uint8),
}


def save(path, tree, protocol=2):
    path.write_bytes(pickle.dumps(tree, protocol=protocol))
    return str(path)


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype.newbyteorder("="), name
        assert found[name].shape == array.shape and found[name].flags.writeable, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(tmp_path, protocol):
    found, notes = read_pickle(save(tmp_path / "a.pkl", ARRAYS, protocol))
    assert_same(found, ARRAYS)
    assert notes == []


@pytest.mark.parametrize(
    "tree",
    [
        ARRAYS,
        {"blobs": ARRAYS, "cfg": "MODEL:\n  TYPE: generalized_rcnn"},
        OrderedDict(ARRAYS),
        {"model": ARRAYS, "__author__": "Detectron2 Model Zoo", "matching_heuristics": True},
        {"state_dict": ARRAYS},
        {
            "epoch": 3,
            "model": {"state_dict": ARRAYS},
            "args": argparse.Namespace(lr=0.1),
            "seen": Counter("ab"),
        },
        {"weights": ARRAYS, "step": np.float64(3).item()},
        {"model": ARRAYS, "rate": np.float32(0.5)},
    ],
)
def test_layouts(tmp_path, tree):
    assert_same(read_pickle(save(tmp_path / "a.pkl", tree))[0], ARRAYS)


def test_python_2_bytes(tmp_path):
    """In Detectron's files names and raw data are Python 2's str: bytes, read here as latin1."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    array, raw = np.array([[1.5, -3.0]], "<f4"), np.array([[1.5, -3.0]], "<f4").tobytes()
    dtype = b"cnumpy\ndtype\n(" + text(b"f4") + b"K\x00K\x01tR(K\x03" + text(b"<")
    dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
    made += b"(K\x01(K\x01K\x02t" + dtype + b"\x89" + text(raw) + b"tb"
    (tmp_path / "a.pkl").write_bytes(
        b"\x80\x02}(" + text(b"blobs") + b"}(" + text(b"fc6_w") + made + b"uu."
    )
    assert_same(read_pickle(str(tmp_path / "a.pkl"))[0], {"fc6_w": array})


def test_arrays_of_numpy_2(tmp_path):
    """Its pickles name numpy._core; the rest is the same."""
    data = pickle.dumps(ARRAYS, protocol=2).replace(b"cnumpy.core.", b"cnumpy._core.")
    assert b"numpy._core.multiarray" in data
    (tmp_path / "a.pkl").write_bytes(data)
    assert_same(read_pickle(str(tmp_path / "a.pkl"))[0], ARRAYS)


def test_none_goes_silently_and_the_rest_is_noted(tmp_path):
    found, notes = read_pickle(
        save(tmp_path / "a.pkl", {"w": np.ones(2), "gone": None, "step": 3, "cfg": "x\ny"})
    )
    assert list(found) == ["w"]
    assert notes == ["2 of the entries are no arrays and are left out: step, cfg"]


class Runs:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "function, name",
    [
        (os.system, "system"),
        (eval, "eval"),
        (__import__, "__import__"),
        (open, "open"),
    ],
)
def test_code_is_named_and_not_run(tmp_path, protocol, function, name):
    trace = tmp_path / "trace"
    arguments = {
        "system": (f"touch {trace}",),
        "open": (str(trace), "w"),
        "__import__": ("antigravity",),
        "eval": (f"open({str(trace)!r}, 'w')",),
    }.get(name, (str(trace), "x"))
    path = save(tmp_path / "a.pkl", {"w": np.ones(2), "bad": Runs(function, *arguments)}, protocol)
    with pytest.raises(
        WeightFileError, match="holds code, not arrays only; nothing was run"
    ) as caught:
        read_pickle(path)
    assert str(caught.value).startswith(f"{path}: asks for ") and f".{name}, so" in str(
        caught.value
    )
    assert "\n" not in str(caught.value) and not trace.exists()


@pytest.mark.parametrize(
    "value",
    [
        np.array([1, None]),
        np.array(["a"]),
        np.array([1j]),
        np.zeros(2, [("a", "f4")]),
        np.ones(2, np.longdouble),
        np.datetime64("2024-01-01"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_only_arrays_of_numbers_are_weights(tmp_path, value, protocol):
    """Others stay beside the weights, and are no arrays when they are among them."""
    beside = save(tmp_path / "a.pkl", {"model": ARRAYS, "history": value}, protocol)
    assert_same(read_pickle(beside).arrays, ARRAYS)
    found, notes = read_pickle(save(tmp_path / "b.pkl", {"w": np.ones(2), "x": value}, protocol))
    assert list(found) == ["w"]
    assert notes[0] == "1 of the entries are no arrays and are left out: x"
    with pytest.raises(WeightFileError, match="holds no dictionary of arrays by name"):
        read_pickle(save(tmp_path / "c.pkl", {"x": value}, protocol))


ORDERED, NAMESPACE = Global("collections", "OrderedDict"), Global("argparse", "Namespace")
RECONSTRUCT = Global("numpy.core.multiarray", "_reconstruct")


def array_of(shape, dtype, raw):
    return Call(
        RECONSTRUCT, Global("numpy", "ndarray"), (0,), "b", state=(1, shape, dtype, False, raw)
    )


@pytest.mark.parametrize(
    "value",
    [
        array_of((9,), Call(Global("numpy", "dtype"), "f4"), "abcd"),
        array_of((1,), "f4", "abcd"),
        array_of((-1,), Call(Global("numpy", "dtype"), "f4"), "abcd"),
        array_of(0, Call(Global("numpy", "dtype"), "f4"), ""),
        Call(Global("_codecs", "encode"), "text", "rot13"),
        Call(Global("builtins", "bytes"), 1 << 40),
    ],
)
def test_misuse_of_what_is_allowed(tmp_path, value):
    (tmp_path / "a.pkl").write_bytes(dump({"w": value}))
    with pytest.raises(
        WeightFileError, match="a.pkl: not a pickle of arrays and plain containers"
    ) as caught:
        read_pickle(str(tmp_path / "a.pkl"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [NAMESPACE, Global("numpy", "dtype"), RECONSTRUCT, ORDERED])
def test_a_pickle_changes_no_class_of_ours(tmp_path, name):
    """BUILD on a class would set its attributes, for every later file too."""
    build = b"\x80\x02" + dump(name)[2:-1] + dump((None, {"__new__": 1, "value": 1}))[2:-1] + b"b."
    (tmp_path / "a.pkl").write_bytes(build)
    with pytest.raises(WeightFileError):
        read_pickle(str(tmp_path / "a.pkl"))
    assert_same(read_pickle(save(tmp_path / "b.pkl", OrderedDict(ARRAYS)))[0], ARRAYS)


def test_what_holds_no_weights(tmp_path):
    cases = [
        ([np.ones(2)], "holds no dictionary of arrays by name, but a list"),
        ({}, "but a dictionary of nothing"),
        ({"a": 1, "b": {"c": 2}}, "but a dictionary of a, b;"),
        ({0: np.ones(2)}, r"without names \(key 0\)"),
    ]
    for tree, message in cases:
        with pytest.raises(WeightFileError, match=message):
            read_pickle(save(tmp_path / "a.pkl", tree))


def test_every_cut_is_found(tmp_path):
    data = pickle.dumps({"model": {"w": np.ones(3, np.float32)}}, protocol=2)
    for length in range(1, len(data)):
        (tmp_path / "a.pkl").write_bytes(data[:length])
        with pytest.raises(WeightFileError, match="cut or damaged") as caught:
            read_pickle(str(tmp_path / "a.pkl"))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "operations",
    [
        b"\x96" + (1 << 40).to_bytes(8, "little"),
        b"\x8e" + (1 << 40).to_bytes(8, "little") + b"abc",
        b"\x95" + (1 << 40).to_bytes(8, "little"),
        b"Nr\xff\xff\xff\x7f",
        b"Np2000000000\n",
        b"T\xff\xff\xff\xff",
    ],
)
def test_no_room_is_made_for_what_the_file_has_not(tmp_path, operations):
    """Python allocates announced lengths and places in the memo before it reads."""
    (tmp_path / "a.pkl").write_bytes(b"\x80\x05" + operations + b"0}.")
    with pytest.raises(WeightFileError, match="bytes wanted|is the most"):
        read_pickle(str(tmp_path / "a.pkl"))
