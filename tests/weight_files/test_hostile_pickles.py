"""Pickles of attackers: nothing in them runs, and none crashes the process or fills the memory."""

import argparse
import collections
import copyreg
import datetime
import enum
import os
import pathlib
import pickle
import subprocess
import sys
import types

from gluonnorm.weight_files import WeightFileError, pickle_scan
from gluonnorm.weight_files.formats import TORCH_LEGACY_MAGIC, read_file
from gluonnorm.weight_files.pickle_file import read_pickle
from gluonnorm.weight_files.unpickler import Foreign

import numpy as np
import pytest
from reference.torch_by_hand import (
    LEGACY_MAGIC,
    LEGACY_PROTOCOL,
    Call,
    Global,
    Stored,
    dump,
    storage,
    tensor,
    write_legacy,
    write_zip,
)

W = np.arange(12, dtype="<f4")
LEGACY_HEAD = dump(LEGACY_MAGIC) + dump(LEGACY_PROTOCOL) + dump({})
both = pytest.mark.parametrize("container", ["zip", "legacy"])


def write(path, tree, container):
    """A PyTorch file with one storage "0" of twelve numbers."""
    if container == "zip":
        return write_zip(path, tree, {"0": W.tobytes()})
    return write_legacy(path, tree, {"0": (12, W.tobytes())})


def weight(container):
    view = () if container == "zip" else (None,)
    return tensor(storage("FloatStorage", "0", 12, *view), 0, (12,), (1,))


class Reduced:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


class Color(enum.Enum):
    RED = 1


class Attributes(dict):
    """A dictionary with attributes, as many programs have one."""

    def __setstate__(self, state):
        raise AssertionError("the class of the file was used")


class Box:
    """Any class with attributes."""

    def __init__(self):
        self.values = [1, 2]


BESIDE = {
    "path": pathlib.PurePosixPath("/data/x"),
    "date": datetime.datetime(2024, 1, 1),
    "span": datetime.timedelta(1),
    "log": collections.defaultdict(list, loss=[1.0]),
    "counts": collections.Counter("abc"),
    "order": collections.OrderedDict(a=1),
    "queue": collections.deque([1]),
    "args": argparse.Namespace(lr=0.1, nested=argparse.Namespace(a=1)),
    "space": types.SimpleNamespace(a=1),
    "color": Color.RED,
    "attributes": Attributes(a=1, b={"c": 2}),
    "box": Box(),
    "set": {1, 2},
    "frozen": frozenset((1, 2)),
    "complex": 1j,
    "range": range(3),
    "slice": slice(1, 2),
    "array": bytearray(b"abc"),
    "best": np.float64(0.5),
    "text": np.array(["a", "b"]),
    "objects": np.array(["a", None], dtype=object),
    "when": np.datetime64("2024-01-01"),
    "rng": np.random.RandomState(3),
    "type": Box,
    "method": Box().__init__,
    "none": None,
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", BESIDE)
def test_objects_beside_the_weights(tmp_path, protocol, name):
    tree = {"model": {"w": W, "v": W + 1}, name: BESIDE[name]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(tree, protocol=protocol))
    found, _ = read_pickle(str(tmp_path / "a.pkl"))
    assert list(found) == ["w", "v"]
    np.testing.assert_array_equal(found["v"], W + 1)


def test_the_notes_name_what_was_ignored(tmp_path):
    tree = {"model": {"w": W, "box": Box()}, "path": BESIDE["path"], "args": BESIDE["args"]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(tree))
    box = f"{__name__}.Box"
    assert read_pickle(str(tmp_path / "a.pkl")).notes == [
        f"1 of the entries are no arrays and are left out: box ({box})",
        f"objects of the program that wrote the file are ignored, nothing was run: {box}, "
        "pathlib.PurePosixPath",
    ]


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_class_of_the_program_may_hold_the_weights(tmp_path, protocol):
    tree = Attributes(state_dict=Attributes(w=W), epoch=3)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(tree, protocol=protocol))
    np.testing.assert_array_equal(read_pickle(str(tmp_path / "a.pkl")).arrays["w"], W)


ATTACKS = {
    "system": Call(Global("os", "system"), "touch TRACE"),
    "posix": Call(Global("posix", "system"), "touch TRACE"),
    "popen": Call(Global("subprocess", "Popen"), ["touch", "TRACE"]),
    "eval": Call(Global("builtins", "eval"), "open('TRACE', 'w')"),
    "python 2": Call(Global("__builtin__", "eval"), "open('TRACE', 'w')"),
    "open": Call(Global("io", "open"), "TRACE", "w"),
    "dotted": Call(Global("os", "path.os.system"), "touch TRACE"),
    "import": Call(Call(Global("importlib", "import_module"), "os"), "system"),
    "loads": Call(Global("pickle", "loads"), b"cos\nsystem\n(S'touch TRACE'\ntR."),
    "getattr": Call(
        Call(Global("builtins", "getattr"), Global("pathlib", "os"), "system"), "touch TRACE"
    ),
    "getattr of getattr": Call(
        Call(
            Call(Global("builtins", "getattr"), Global("builtins", "getattr"), "__call__"),
            Global("pathlib", "os"),
            "system",
        ),
        "touch TRACE",
    ),
    "indirect": Call(Global("pydoc", "pipepager"), "", "touch TRACE"),
    "through a module": Call(Global("pathlib", "os.system"), "touch TRACE"),
    "globals of a stand-in": Call(
        Global("gluonnorm.weight_files.unpickler", "pickle.loads"), "cos\nsystem"
    ),
    "state": Call(Global("collections", "OrderedDict"), state={"__setstate__": 1, "x": 2}),
    "state of a class": Call(Global("code_of", "Attacker"), state={"__class__": 1, "run": 2}),
    "partial": Call(Global("functools", "partial"), Global("shutil", "rmtree"), "TRACE"),
    "map": Call(Global("builtins", "map"), Global("builtins", "eval"), ["open('TRACE', 'w')"]),
    "reconstructor": Call(
        Global("copyreg", "_reconstructor"), Global("os", "system"), Global("os", "x"), "touch"
    ),
    "subclass walk": Call(
        Call(
            Global("builtins", "getattr"),
            Call(Global("builtins", "getattr"), (), "__class__"),
            "__base__",
        ),
        "touch TRACE",
    ),
    "rebuild": Call(
        Global("torch._tensor", "_rebuild_from_type_v2"),
        Global("os", "system"),
        Global("torch", "Tensor"),
        ("touch TRACE",),
        None,
    ),
    "tensor of bytes": Call(Global("torch.storage", "_load_from_bytes"), b"cos\nsystem\n."),
}


def with_trace(value, trace):
    """The same tree, with the word TRACE replaced by a path."""
    if isinstance(value, (str, bytes)):
        path = str(trace)
        return value.replace("TRACE", path) if isinstance(value, str) else value
    if isinstance(value, Call):
        arguments = [with_trace(argument, trace) for argument in value.arguments]
        return Call(with_trace(value.function, trace), *arguments, state=value.state)
    if isinstance(value, (tuple, list)):
        return type(value)(with_trace(item, trace) for item in value)
    return value


@both
@pytest.mark.parametrize("place", ["beside", "in the weights", "as a key", "as the file"])
@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_runs(tmp_path, monkeypatch, container, place, name):
    """An attack is refused, or inert; the trace that it would leave does not appear."""
    monkeypatch.chdir(tmp_path)
    calls = []
    for target in ("system", "popen", "execv", "posix_spawn"):
        monkeypatch.setattr(os, target, lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments: calls.append(arguments))
    attack = with_trace(ATTACKS[name], tmp_path / "trace")
    good = weight(container)
    tree = {
        "beside": {"model": {"w": good}, "bad": attack},
        "in the weights": {"w": good, "bad": attack},
        "as a key": {"model": {"w": good}, attack: 1},
        "as the file": attack,
    }[place]
    modules = {"encodings.cp437", *sys.modules}  # zipfile imports this one
    try:
        arrays = read_file(write(tmp_path / "a.pth", tree, container)).arrays
        assert list(arrays) == ["w"] and place != "as the file"
        np.testing.assert_array_equal(arrays["w"], W)
    except WeightFileError as error:
        assert "\n" not in str(error)
    assert not calls and not (tmp_path / "trace").exists()
    assert not set(sys.modules) - modules, "a name of the file was imported"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.system, subprocess.call, eval, exec, print, np.load])
def test_reduce_in_every_protocol(tmp_path, protocol, function, capfd):
    bad = Reduced(function, f"touch {tmp_path / 'trace'}", state={"a": 1})
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"w": W, "bad": bad}, protocol=protocol))
    try:
        assert list(read_pickle(str(tmp_path / "a.pkl")).arrays) == ["w"]
    except WeightFileError as error:
        assert "nothing was run" in str(error)
    assert not (tmp_path / "trace").exists() and not capfd.readouterr().out


def test_the_stand_in_has_no_behavior():
    """It stores what is set by key, and has no method that does anything else."""
    names = set(vars(Foreign)) - {"__module__", "__doc__", "__slots__", "__annotations__"}
    own = {"source_name", "entries", "__new__", "__setitem__", "append", "extend", "add"}
    assert names - {"__firstlineno__", "__static_attributes__"} == own
    instance = Foreign("any", value=3)
    instance.append(1)
    instance.extend([1])
    instance.add(1)
    instance.__setstate__({"entries": 1, "__class__": int})
    assert instance.entries == {} and not hasattr(instance, "__dict__")
    for name in ("__call__", "__getattr__", "__reduce__", "__del__", "__eq__", "__hash__"):
        assert name not in vars(Foreign)


def read_raw(tmp_path, operations):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + operations + b".")
    return read_pickle(str(tmp_path / "a.pkl"))


@pytest.mark.parametrize(
    "operations",
    [
        b"}(N" + b"\x85" * 2_000_000 + b"Nu",
        # The depth counts through a memo, a copy on the stack, and operations without an effect.
        b"}(N" + b"\x85\x94q\x0100h\x01" * 200 + b"Nu",
        b"}(N" + b"\x852" + b"0\x85" * 300 + b"Nu",
        b"}(N" + b"\x85Nb" * 200 + b"Nu",
        b"}(N" + b"\x85(u" * 200 + b"Nu",
        b"}(N" + b"\x85(e" * 200 + b"Nu",
        # Thirty doublings are a thousand million entries.
        b"}(N" + b"2\x86" * 30 + b"Nu",
        b"\x8f((N" + b"2\x86" * 30 + b"t\x90",
        b"}(((((" + b"N" + b"t" * 3 + b"\x91" * 1 + b"t" + b"Nu",
    ],
)
def test_tuples_that_would_crash_the_hash(tmp_path, operations):
    """Python hashes keys of dictionaries without a limit of depth: a segmentation fault."""
    with pytest.raises(WeightFileError, match="not a pickle of arrays|holds no dictionary"):
        read_raw(tmp_path, operations)


def test_the_extension_registry_is_not_used(tmp_path):
    """Python keeps objects of this registry, and returns them without asking the unpickler."""
    ran = []
    try:
        copyreg.add_extension(__name__, "ran", 0xF1)
        copyreg._extension_cache[0xF1] = ran.append
        with pytest.raises(WeightFileError, match="extension registry"):
            read_raw(tmp_path, b"}(\x82\xf1K\x01\x85RNu")
    finally:
        copyreg.remove_extension(__name__, "ran", 0xF1)
    assert not ran


COPIES = {
    "OrderedDict": b"ccollections\nOrderedDict\nq\x01h\x00\x85R0",
    "defaultdict": b"ccollections\ndefaultdict\nq\x01Nh\x00\x86R0",
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_have_a_limit(tmp_path, name):
    """Each repetition of a few bytes would copy a dictionary of 100000 entries."""
    entries = b"".join(b"J" + index.to_bytes(4, "little") + b"N" for index in range(100_000))
    with pytest.raises(WeightFileError, match="far more memory than the file has bytes"):
        read_raw(tmp_path, b"}q\x00(" + entries + b"u" + COPIES[name] * 100)


def test_copies_of_bytes_have_a_limit(tmp_path):
    text = b"X" + (4 << 20).to_bytes(4, "little") + bytes(4 << 20) + b"q\x000"
    encode = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    with pytest.raises(WeightFileError, match="far more memory than the file has bytes"):
        read_raw(tmp_path, text + b"](" + encode * 100 + b"e")


@pytest.mark.parametrize("operations", [b"L" + b"9" * 10_000_000 + b"L\n", b"I" + b"9" * 5000])
def test_numbers_have_a_limit(tmp_path, operations):
    with pytest.raises(WeightFileError, match="a number of .* digits"):
        read_raw(tmp_path, operations + b"\n0}")


def test_large_numbers_have_a_limit(tmp_path, monkeypatch):
    """Numbers of one hash, as keys, cost the square of their count. Few of them do no harm."""
    multiples = [(index * (2**61 - 1)).to_bytes(16, "little") for index in range(1, 100)]
    keys = b"}(" + b"".join(b"\x8a\x10" + number + b"N" for number in multiples) + b"u"
    monkeypatch.setattr(pickle_scan, "MOST_LARGE_NUMBERS", len(multiples))
    with pytest.raises(WeightFileError, match="holds no dictionary of arrays by name"):
        read_raw(tmp_path, keys)
    monkeypatch.setattr(pickle_scan, "MOST_LARGE_NUMBERS", len(multiples) - 1)
    with pytest.raises(WeightFileError, match="more than 98 large numbers"):
        read_raw(tmp_path, keys)
    with pytest.raises(WeightFileError, match="more than 98 large numbers"):
        read_raw(tmp_path, b"](" + b"I123456789012\n" * 99 + b"e")
    monkeypatch.setattr(pickle_scan, "MOST_LARGE_NUMBERS", 0)
    with pytest.raises(WeightFileError, match="holds no dictionary of arrays by name"):
        read_raw(tmp_path, b"](" + b"I-2147483648\nL-2147483648L\n\x8a\x04\x00\x00\x00\x80" + b"e")


def test_operations_have_a_limit(tmp_path, monkeypatch):
    """Each byte could make an empty set of 216 bytes."""
    monkeypatch.setattr(pickle_scan, "MOST_OPERATIONS", 1000)
    with pytest.raises(WeightFileError, match="more than 1000 operations"):
        read_raw(tmp_path, b"\x8f" * 1000)
    with pytest.raises(WeightFileError, match="holds no dictionary of arrays by name"):
        read_raw(tmp_path, b"\x8f" * 900)


NESTED = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\x80\x04C\x0d" + TORCH_LEGACY_MAGIC + b"0" + NESTED[2:], "has a list where"),
        (dump(LEGACY_MAGIC) + NESTED, "has a list where 1001 belongs"),
        (LEGACY_HEAD + dump({}) + NESTED, "storage a list belongs to no tensor"),
        (LEGACY_HEAD + dump({}) + dump(["x\ny" * 99]), r"storage 'x\\nyx.* belongs to no tensor"),
    ],
)
def test_lists_in_lists_have_no_text(tmp_path, content, message):
    """Python cannot write the text of 100000 lists in each other, so no message may need it."""
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightFileError, match=message) as caught:
        read_file(tmp_path / "a.pth")
    assert len(str(caught.value).splitlines()) == 1


def test_classes_have_a_limit(tmp_path):
    names = b"".join(f"cmodule\nname{index}\n0".encode() for index in range(1001))
    with pytest.raises(WeightFileError, match="more than 1000 classes"):
        read_raw(tmp_path, names + b"}")


def test_a_dictionary_in_itself(tmp_path):
    """Each dictionary is visited once, however often the pickle names it."""
    nested = b"}q\x00(" + b"".join(b"K" + bytes([n]) + b"h\x00" for n in range(200)) + b"u"
    with pytest.raises(WeightFileError, match="holds no dictionary of arrays"):
        read_raw(tmp_path, nested)


@both
@pytest.mark.parametrize("type_name", ["ComplexFloatStorage", "UntypedStorage", "Size", "device"])
def test_storages_of_other_types(tmp_path, container, type_name):
    """In the legacy format nothing behind them can be found."""
    view = () if container == "zip" else (None,)
    other = tensor(storage(type_name, "1", 2, *view), 0, (2,), (1,))
    path = write(tmp_path / "a.pth", {"model": {"w": weight(container)}, "x": other}, container)
    if container == "zip" and type_name not in ("Size", "device"):
        np.testing.assert_array_equal(read_file(path).arrays["w"], W)
        return
    with pytest.raises(WeightFileError, match="unknown type|are not known here"):
        read_file(path)


def test_a_complete_network_in_the_legacy_format(tmp_path):
    """PyTorch wrote the class of a network with the text of its program."""
    network = Stored("module", Global("my_models", "Net"), "net.py", "import os; os.remove('x')")
    path = write_legacy(tmp_path / "a.pth", Call(network), {})
    with pytest.raises(WeightFileError, match="an object of my_models.Net .a complete network"):
        read_file(path)
    for other in ("text", 3, Global("torch", "FloatStorage")):
        path = write_legacy(tmp_path / "b.pth", Call(Stored("module", other, "", "")), {})
        with pytest.raises(WeightFileError, match="holds no dictionary of arrays"):
            read_file(path)


def test_tensors_with_attributes(tmp_path):
    """PyTorch writes them through other functions; the attributes are dropped."""
    tree = {
        "a": Call(
            Global("torch._utils", "_rebuild_parameter_with_state"),
            weight("zip"),
            True,
            Call(Global("collections", "OrderedDict")),
            {"tag": 1},
        ),
        "b": Call(
            Global("torch._tensor", "_rebuild_from_type_v2"),
            Global("torch._utils", "_rebuild_tensor_v2"),
            Global("torch", "Tensor"),
            weight("zip").arguments,
            {"tag": 1},
        ),
    }
    arrays = read_file(write(tmp_path / "a.pth", tree, "zip")).arrays
    for name in "ab":
        np.testing.assert_array_equal(arrays[name], W)


def test_the_dump_by_hand_is_what_an_attacker_writes():
    """Python's own unpickler would call the function."""
    assert pickle.loads(dump(Call(Global("builtins", "len"), "abc"))) == 3
