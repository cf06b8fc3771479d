"""PyTorch's files written without it, read by the standard library and an installed PyTorch."""

import os
import pickle
import zipfile

from gluonnorm.weight_files import WeightFileError
from gluonnorm.weight_files.formats import read_arrays, read_file, write_arrays
from gluonnorm.weight_files.torch_writer import write_torch

import numpy as np
import pytest

ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "steps": np.array(7),
    "ü": np.ones(2, "f2"),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big": np.arange(3, dtype=">i4"),
    "empty": np.zeros((0, 3), np.float32),
    "flags": np.array([True, False]),
    "view": np.arange(9, dtype="i2")[::4],
}


class Names(pickle.Unpickler):
    """Shows calls as tuples of the name and the arguments."""

    def find_class(self, module, name):
        return (
            dict
            if name == "OrderedDict"
            else (lambda *arguments: (name, *arguments))
            if name[0] == "_"
            else name
        )

    def persistent_load(self, pid):
        return pid


def test_the_members(tmp_path):
    write_torch(str(tmp_path / "a.pth"), ARRAYS)
    assert os.listdir(tmp_path) == ["a.pth"]
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        assert archive.testzip() is None
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        assert archive.namelist() == [
            "archive/data.pkl",
            "archive/byteorder",
            *(f"archive/data/{index}" for index in range(8)),
            "archive/version",
        ]
        with archive.open("archive/data.pkl") as file:
            tree = Names(file).load()
        assert (
            archive.read("archive/byteorder") == b"little"
            and archive.read("archive/version") == b"3\n"
        )
        assert archive.read("archive/data/4") == np.arange(3, dtype="<i4").tobytes()
    assert list(tree) == list(ARRAYS)
    assert tree["conv.weight"] == (
        "_rebuild_tensor_v2",
        ("storage", "FloatStorage", "0", "cpu", 24),
        0,
        (2, 3, 4),
        (12, 4, 1),
        False,
        {},
    )
    assert tree["steps"][1:5] == (("storage", "LongStorage", "1", "cpu", 1), 0, (), ())
    assert tree["empty"][1:5] == (("storage", "FloatStorage", "5", "cpu", 0), 0, (0, 3), (3, 1))


def test_there_and_back(tmp_path):
    write_torch(str(tmp_path / "a.pth"), ARRAYS)
    found, notes = read_file(tmp_path / "a.pth")
    assert list(found) == list(ARRAYS) and notes == ["1 tensor was float16 and is read as float32"]
    for name, array in ARRAYS.items():
        assert found[name].shape == array.shape and (found[name].dtype.kind == array.dtype.kind), (
            name
        )
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    first = (tmp_path / "a.pth").read_bytes()
    write_torch(str(tmp_path / "a.pth"), found)
    write_torch(str(tmp_path / "a.pth"), ARRAYS)
    assert (tmp_path / "a.pth").read_bytes() == first  # nothing of the clock in it


@pytest.mark.parametrize(
    "array", [np.array(["a"]), np.array([None]), np.array([1j]), np.zeros(2, np.uint32)]
)
def test_what_pytorch_has_not_is_refused(tmp_path, array):
    path = tmp_path / "a.pth"
    path.write_text("old")
    with pytest.raises(WeightFileError, match=r"bad \(.*cannot be tensors of a .pth file; cast"):
        write_arrays(str(path), {"good": np.ones(2), "bad": array})
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.pth"]


def test_an_error_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    write_arrays(str(path), {"w": np.ones(2)})

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(WeightFileError, match="a.pth: cannot be written .*No space left on device"):
        write_arrays(str(path), {"w": np.zeros(2)})
    monkeypatch.undo()
    np.testing.assert_array_equal(read_arrays(path)["w"], np.ones(2))
    assert os.listdir(tmp_path) == ["a.pth"]


def test_no_folder(tmp_path):
    with pytest.raises(WeightFileError, match="there is no folder .*absent; make it"):
        write_arrays(str(tmp_path / "absent" / "a.pth"), ARRAYS)
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(WeightFileError, match="it is a folder; give a file"):
        write_arrays(str(tmp_path / "folder.pth"), ARRAYS)


@pytest.mark.parametrize("lazily", [False, True])
def test_pytorch_reads_it(tmp_path, lazily):
    torch = pytest.importorskip("torch")
    write_torch(str(tmp_path / "a.pth"), ARRAYS)
    found = torch.load(tmp_path / "a.pth", weights_only=True, mmap=lazily)
    assert type(found).__name__ == "OrderedDict" and list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (
            found[name].numpy().dtype == array.dtype.newbyteorder("=")
            and found[name].is_contiguous()
        ), name
        np.testing.assert_array_equal(found[name].numpy(), array, err_msg=name)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    write_torch(
        str(tmp_path / "b.pth"), {name: value.numpy() for name, value in net.state_dict().items()}
    )
    net.load_state_dict(torch.load(tmp_path / "b.pth", weights_only=True), strict=True)
