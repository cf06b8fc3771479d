"""Files of weights of every format: recognized, read, written, each fault in one line."""

import io
import json
import os
import pickle
import re
import struct
import tarfile
import warnings
import zipfile

from gluonnorm.weight_files import WeightFileError
from gluonnorm.weight_files.formats import read_arrays, read_file, write_arrays

import mxnet as mx
import numpy as np
import pytest
from reference.torch_by_hand import Call, Global, dump

ARRAYS = {"b.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.array([1.5, -2.0])}
ENDINGS = [".params", ".npz", ".pth", ".pt", ".safetensors"]


def fault(path):
    """The one line with which the file at ``path`` is refused."""
    with pytest.raises(WeightFileError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


def safetensors(header, raw, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + raw


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", ["{}", "weights"])
def test_there_and_back_whatever_the_name(tmp_path, ending, name):
    path = tmp_path / f"a{ending}"
    write_arrays(path, ARRAYS)
    assert os.listdir(tmp_path) == [path.name]
    renamed = tmp_path / name.format("b" + ending)
    path.rename(renamed)
    found, notes = read_file(str(renamed))
    assert list(found) == list(ARRAYS) and notes == []
    for key, array in ARRAYS.items():
        assert found[key].dtype == array.dtype
        np.testing.assert_array_equal(found[key], array)
    assert read_arrays(renamed).keys() == ARRAYS.keys()


def test_written_files_are_read_by_the_formats_own_programs(tmp_path):
    write_arrays(tmp_path / "a.params", ARRAYS)
    write_arrays(tmp_path / "a.npz", {**ARRAYS, "file": np.ones(2)})
    by_mxnet, by_numpy = mx.nd.load(str(tmp_path / "a.params")), np.load(tmp_path / "a.npz")
    for key, array in ARRAYS.items():
        np.testing.assert_array_equal(by_mxnet[key].asnumpy(), array)
        np.testing.assert_array_equal(by_numpy[key], array)
    np.testing.assert_array_equal(by_numpy["file"], np.ones(2))
    write_arrays(tmp_path / "a.safetensors", ARRAYS)
    data = (tmp_path / "a.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0 and json.loads(data[8 : 8 + length]) == {
        "b.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "a.bias": {"dtype": "F64", "shape": [2], "data_offsets": [24, 40]},
    }
    assert data[8 + length :] == ARRAYS["b.weight"].tobytes() + ARRAYS["a.bias"].tobytes()


def test_prefixes_of_mxnet(tmp_path):
    def names(arrays):
        mx.nd.save(str(tmp_path / "a.params"), {name: mx.nd.ones((1,)) for name in arrays})
        return list(read_arrays(tmp_path / "a.params"))

    assert names(["arg:conv_weight", "aux:conv_mean", "plain:x"]) == [
        "conv_weight",
        "conv_mean",
        "plain:x",
    ]
    mx.nd.save(str(tmp_path / "b.params"), {"arg:a": mx.nd.ones((1,)), "aux:a": mx.nd.ones((1,))})
    assert "arg:a and aux:a would both be a" in fault(tmp_path / "b.params")


def test_half_precision_becomes_single_and_is_noted(tmp_path):
    half = {
        "a": np.array([0.5, 65504], "f2"),
        "b": np.ones(2, "f2"),
        "c": np.ones(2, "f8"),
        "d": np.ones(2, "i4"),
    }
    for ending in (".params", ".npz", ".pth", ".safetensors"):
        write_arrays(tmp_path / f"a{ending}", half)
        found, notes = read_file(tmp_path / f"a{ending}")
        assert [str(found[name].dtype) for name in "abcd"] == [
            "float32",
            "float32",
            "float64",
            "int32",
        ]
        np.testing.assert_array_equal(found["a"], [0.5, 65504])
        assert notes == ["2 tensors were float16 and are read as float32"]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(half, protocol=2))
    assert read_file(tmp_path / "a.pkl")[1] == ["2 tensors were float16 and are read as float32"]


def test_bfloat16(tmp_path):
    """The upper halves of 1.5, -3 and infinity as float32."""
    kind, raw = np.dtype([("bfloat16", np.uint16)]), np.array([0x3FC0, 0xC040, 0x7F80], np.uint16)
    mx.nd.save(str(tmp_path / "a.params"), {"a": mx.nd.array(raw.view(kind), dtype=kind)})
    header = {
        "a": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]},
        "__metadata__": {"format": "pt"},
    }
    (tmp_path / "a.safetensors").write_bytes(safetensors(header, raw.tobytes()))
    for name in ("a.params", "a.safetensors"):
        found, notes = read_file(tmp_path / name)
        np.testing.assert_array_equal(found["a"], np.array([1.5, -3, np.inf], np.float32))
        assert found["a"].dtype == np.float32 and notes == [
            "1 tensor was bfloat16 and is read as float32"
        ]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "an empty file, not a readable .params, .npz"),
        (
            b"<!DOCTYPE html>\n<html>Sign in</html>",
            "a page of HTML or XML, not weights; fetch the file behind the link",
        ),
        (b"\n  <html>", "a page of HTML or XML"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            "a pointer of git-lfs.*run git lfs pull",
        ),
        (b"\x1f\x8b\x08\x00", "compressed with gzip; gunzip it"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x93NUMPY\x01\x00", "a single array without names"),
        (b"\x80", "not a pickle of arrays"),
        (b"\xe0hello\x01", r"not a readable .* file \(it begins with b'.xe0hello.x01'\)"),
        (bytes(600), "begins with zeros alone, so it was never written to the end"),
    ],
)
@pytest.mark.parametrize("ending", [".pth", ".pkl", ".npz", ".params", ".safetensors", ""])
def test_files_of_something_else(tmp_path, content, message, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(content)
    # A pickle of protocol 0 may begin with anything.
    if ending == ".pkl" and "readable .* file" in message:
        message = "not a pickle of arrays"
    assert re.search(message, fault(path))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.onnx", b"\x08\x07\x12\x07pytorch", "an ONNX graph.*give the file of weights that"),
        ("a.bin", b"\x08\x08\x12\x07pytorch\x1a\x052.0.1", "an ONNX graph"),
        ("saved_model.pb", b"\x08\x01\x12\xf5\x03", "a TensorFlow model"),
        ("model.ckpt.index", b"\x00\x00\x01\xff", "an index of a TensorFlow checkpoint"),
        ("a.tflite", b"\x1c\0\0\0TFL3\xff", "a TensorFlow Lite model"),
        ("yolov3.weights", b"\0\0\0\0\x02\0\0\0\xff\x01", "weights of Darknet"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file .Keras or Caffe."),
        ("a.safetensors", b'{"metadata": {}, "weight_map": {"a": "b"}}', "split into several"),
        ("model.safetensors.index.json", b'{"metadata": {}}', "split into several"),
        (
            "net-symbol.json",
            b'{\n  "nodes": [',
            "a graph of MXNet; give the .params file",
        ),
        ("net-0000012.json", b'{"spec": {}}', "a description in JSON.*the file of weights beside"),
        ("a.pth", b'{"error": "not found"}', "a text in JSON, not weights"),
        ("a.pth", b"Not Found\n", "a text .'Not Found'., not weights"),
        ("a.pth", b"\xef\xbb\xbf<!DOCTYPE html>", "a page of HTML"),
        ("a.pth", b"/annex/objects/SHA256E-s1--0.pth\n", "a pointer of git-annex"),
        ("a.pth.bz2", b"BZh91AY", "compressed with bzip2"),
        ("a.pth.xz", b"\xfd7zXZ\0", "compressed with xz"),
        ("a.zip", b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
        ("a.rar", b"Rar!\x1a\x07", "a RAR archive; unpack it"),
        ("a.pth", b"\x89PNG\r\n", "a picture, not weights"),
        ("a.pth", b"%PDF-1.4", "a PDF document"),
    ],
)
def test_what_other_files_are(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    assert re.search(message, fault(path)), fault(path)


@pytest.mark.parametrize(
    "members, message",
    [
        (["model.pth"], "a zip around model.pth; unpack it and give that file"),
        (["out/model.pth", "out/log.txt"], "a zip around out/model.pth; unpack"),
        (["config.json", "metadata.json", "model.weights.h5"], "a model of Keras"),
        (["MAR-INF/MANIFEST.json", "model.pth"], "an archive of TorchServe"),
        (["a.npy", "readme.txt"], "a zip, but not of weights .it has a.npy, readme.txt."),
        ([], "a zip, but not of weights"),
    ],
)
@pytest.mark.parametrize("ending", [".zip", ".pth"])
def test_zips_around_weights(tmp_path, members, message, ending):
    path = tmp_path / f"a{ending}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in members:
            archive.writestr(name, b"content")
    assert re.search(message, fault(path)), fault(path)


def test_folders_are_named_as_what_they_are(tmp_path):
    cases = {
        "empty": ([], "is a folder, not a file of weights; give a file in it .it has no files"),
        "weights": (["b.pth", "a.safetensors"], "it has a.safetensors, b.pth"),
        "tensorflow": (["saved_model.pb", "variables"], "is a folder of TensorFlow"),
        "unpacked": (["data.pkl", "data", "version"], "is the unpacked folder of a .pth file"),
    }
    for name, (files, message) in cases.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()
        assert re.search(message, fault(tmp_path / name)), fault(tmp_path / name)


@pytest.mark.parametrize(
    "module, message",
    [
        ("ultralytics.nn.tasks", "YOLO of Ultralytics, a one-stage detector"),
        ("models.yolo", "YOLO, a one-stage detector"),
        ("torchvision.models.detection.faster_rcnn", "a complete network, whose code is not run"),
    ],
)
def test_complete_networks_are_named(tmp_path, module, message):
    """A class without arrays, as PyTorch pickles a module that is saved as a whole."""
    for tree in (b"N", b"}(X\x05\0\0\0modelNu"):
        made = f"c{module}\nModel\n)".encode() + b"\x81"
        (tmp_path / "a.pkl").write_bytes(b"\x80\x02" + tree.replace(b"N", made) + b".")
        text = fault(tmp_path / "a.pkl")
        assert f"an object of {module}.Model" in text and message in text


def test_a_tar_archive(tmp_path):
    with tarfile.open(tmp_path / "a.pth", "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO())
    assert "a tar archive (PyTorch before 0.1.10, or packed)" in fault(tmp_path / "a.pth")


def test_no_such_file_and_a_folder(tmp_path):
    assert "absent.params: no such file of weights" in fault(tmp_path / "absent.params")
    assert "is a folder, not a file of weights" in fault(tmp_path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_truncated_file_is_refused(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write_arrays(path, ARRAYS)
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        assert "fetch it again" in fault(path).lower() or length < 20


def test_params_without_names(tmp_path):
    mx.nd.save(str(tmp_path / "a.params"), [mx.nd.zeros(3)])
    assert "holds arrays without names; save with net.save_parameters" in fault(
        tmp_path / "a.params"
    )
    (tmp_path / "b.params").write_bytes(struct.pack("<QQQQ", 0x112, 0, 0, 0))
    assert "b.params: holds " in fault(tmp_path / "b.params")


def test_npz_faults(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.array([1, None], object))
    assert "a.npy holds Python objects, so possibly code" in fault(path)
    np.savez_compressed(path, a=np.zeros(1000, np.float32))
    np.testing.assert_array_equal(read_arrays(path)["a"], np.zeros(1000))
    member = io.BytesIO()
    np.save(member, np.arange(4.0))
    claimed = member.getvalue().replace(
        b"'shape': (4,), }" + b" " * 12, b"'shape': (4000000000000,), }"
    )
    assert claimed != member.getvalue()
    for content, message in (
        (claimed, "a.npy of shape (4000000000000,) has 160 bytes"),
        (member.getvalue()[:-1], "a.npy of shape (4,) has 159 bytes"),
        (b"", "not a readable .npz file"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", content)
        assert message in fault(path)
    np.savez(path, a=np.arange(4.0))
    data = path.read_bytes()
    path.write_bytes(data.replace(np.float64(2).tobytes(), np.float64(3).tobytes()))
    assert "not a readable .npz file (Bad CRC-32" in fault(path)


GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header, raw, message",
    [
        ({"a": GOOD}, bytes(7), "a of shape"),
        ({"a": GOOD}, bytes(9), "1 bytes that belong to no array"),
        ({"a": GOOD, "b": GOOD}, bytes(8), "b of shape"),
        ({"a": {**GOOD, "shape": [3]}}, bytes(8), "a of shape"),
        ({"a": {**GOOD, "shape": [-2]}}, bytes(8), "shape"),
        ({"a": {**GOOD, "shape": 2}}, bytes(8), "TypeError"),
        ({"a": {**GOOD, "data_offsets": [4, 12]}}, bytes(12), "a of shape"),
        ({"a": 3}, bytes(8), "TypeError"),
        ({"a": {**GOOD, "data_offsets": [0, 4, 8]}}, bytes(8), "too many values"),
        ({"a": {}}, b"", "KeyError 'shape'"),
        (b"{" * 9, b"", "JSONDecodeError"),
        ({"a": {"dtype": "F32", "shape": [0, 1 << 70], "data_offsets": [0, 0]}}, b"", "ValueError"),
        (b"{" + b'"a":{' * 100000, b"", "RecursionError|JSONDecodeError"),
        (b"{\xff}", b"", "UnicodeDecodeError"),
    ],
)
def test_safetensors_faults(tmp_path, header, raw, message):
    (tmp_path / "a.safetensors").write_bytes(safetensors(header, raw))
    with pytest.raises(WeightFileError, match=message):
        read_file(tmp_path / "a.safetensors")
    assert "a.safetensors: not a readable .safetensors file (" in fault(tmp_path / "a.safetensors")


def test_types_that_numpy_does_not_have(tmp_path):
    content = safetensors({"a": {**GOOD, "dtype": "F8_E4M3"}}, bytes(8))
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(WeightFileError, match="arrays of 'F8_E4M3', and only F64.*as F32"):
        read_file(tmp_path / "a.safetensors")


def test_safetensors_of_another_length(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(safetensors({"a": GOOD}, bytes(8), length=1 << 40))
    assert "a header of 1099511627776 bytes in a file of" in fault(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(safetensors({}, b""))
    assert "holds no arrays" in fault(tmp_path / "a.safetensors")


def test_a_file_that_may_not_be_opened(tmp_path, monkeypatch):
    def refused(*arguments, **more):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.npz").write_bytes(b"x")
    monkeypatch.setattr("builtins.open", refused)
    assert "cannot be opened (Permission denied)" in fault(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "name, arrays, message",
    [
        ("a.h5", ARRAYS, "not written to .h5; let it end in .pth"),
        ("a", ARRAYS, "a name without an ending"),
        ("a.pkl", ARRAYS, "not written to .pkl"),
        ("a.npz", {}, "no arrays to write"),
        ("a.npz", {"a": np.array([None])}, "an array of Python objects"),
        ("a.pth", {"a": np.array([1j])}, "a .*complex128"),
        ("a.params", {"a": np.array(3.0)}, "a float64.. cannot be stored in a .params file"),
        ("a.params", {"a": np.ones(2, np.uint16)}, "a uint16.*cannot be"),
        ("b/a.params", ARRAYS, "there is no folder .*b; make"),
        (
            "a.safetensors",
            {"a": np.array([1j])},
            "a: complex128 cannot be stored",
        ),
    ],
)
def test_writing_faults(tmp_path, name, arrays, message):
    with pytest.raises(WeightFileError, match=f"{name}: .*{message}"):
        write_arrays(tmp_path / name, arrays)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_failed_write_leaves_the_old_file(tmp_path, ending, monkeypatch):
    path = tmp_path / f"a{ending}"
    write_arrays(path, ARRAYS)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WeightFileError, match="cannot be written .*No space left on device"):
        write_arrays(path, {"a": np.zeros(2)})
    assert os.listdir(tmp_path) == [path.name] and read_arrays(path).keys() == ARRAYS.keys()


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".params"])
@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "a" * 1001])
def test_names_that_no_network_has(tmp_path, ending, name):
    """They would break up each message that quotes them."""
    path = tmp_path / f"a{ending}"
    write_arrays(path, {"fine": np.ones(2, np.float32), name: np.ones(2, np.float32)})
    with pytest.raises(WeightFileError, match=r"holds an array named '(a\\nb|\\x1b|aaa)") as caught:
        read_file(path)
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 400


def test_two_arrays_of_one_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for value in (1, 2):
            content = io.BytesIO()
            np.save(content, np.full(3, value, np.float32))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # zipfile warns of the second one
                archive.writestr("a.npy", content.getvalue())
    with pytest.raises(WeightFileError, match="two arrays are named 'a'"):
        read_file(tmp_path / "a.npz")


def test_a_pipe_is_refused_at_once(tmp_path):
    """Opening it would wait for ever."""
    os.mkfifo(tmp_path / "a.pth")
    for path in (tmp_path / "a.pth", "/dev/zero"):
        with pytest.raises(WeightFileError, match="is a pipe or a device; copy it to a file"):
            read_file(path)


def test_tensors_that_pickle_wrote(tmp_path):
    """``pickle.dump(net.state_dict())`` names other functions of PyTorch than torch.save."""
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    load_bytes = Call(Global("torch.storage", "_load_from_bytes"), "x")
    (tmp_path / "a.pkl").write_bytes(dump({"w": Call(rebuild, load_bytes, 0, (1,), (1,))}))
    with pytest.raises(WeightFileError, match="written with pickle.dump; load the file in PyTorch"):
        read_file(tmp_path / "a.pkl")
