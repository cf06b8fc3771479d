"""Small files that announce gigabytes: refused before anything is unpacked, in bounded memory."""

import io
import json
import re
import struct
import tracemalloc
import zipfile

from gluonnorm.weight_files import WeightFileError
from gluonnorm.weight_files.formats import read_file

import mxnet as mx
import numpy as np
import pytest

HUGE = 1 << 40
MAGIC = struct.pack("<QQ", 0x112, 0)
ONE_NAME = struct.pack("<QQ", 1, 1) + b"w"


def refusal(path):
    """The message for a file, which is refused without much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(WeightFileError) as caught:
            read_file(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20, f"{peak} bytes"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def npy_header(shape):
    buffer = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def write_bomb(path, name, header, size, compression=zipfile.ZIP_DEFLATED):
    """A member of many zeros, written in pieces."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        with archive.open(name, "w", force_zip64=True) as file:
            file.write(header)
            for _ in range(size >> 20):
                file.write(bytes(1 << 20))
    return path


def test_a_zip_bomb_of_one_array(tmp_path):
    """300 MB in 300 kB."""
    size = 300 << 20
    path = write_bomb(tmp_path / "a.npz", "w.npy", npy_header((size // 4,)), size)
    assert path.stat().st_size < 1 << 20
    assert "far more than the file has; nothing was unpacked" in refusal(path)


def test_a_zip_bomb_of_many_arrays(tmp_path):
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(1 << 20, np.float32))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(40):
            archive.writestr(f"w{index}.npy", zeros.getvalue())
    assert "far more than the file has" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(tmp_path, compression):
    path = write_bomb(tmp_path / "a.npz", "w.npy", npy_header((0,)), 1 << 20, compression)
    assert "compressed in a way that NumPy does not write" in refusal(path)


def test_weights_that_numpy_compressed_are_read(tmp_path):
    arrays = {"zeros": np.zeros((1000, 1000)), "w": np.random.rand(100).astype(np.float32)}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = read_file(tmp_path / "a.npz").arrays
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_zip_bomb_in_place_of_a_pth(tmp_path):
    path = write_bomb(tmp_path / "a.pth", "a/data.pkl", b"\x80\x02", 300 << 20)
    assert "is compressed, which PyTorch does not do" in refusal(path)


@pytest.mark.parametrize(
    "header, message",
    [
        (b'{"w":' + b"[" * 5_000_000, "RecursionError|Expecting"),
        (b"{" + b" " * 12_000_000 + b"}", "a header of 12000002 bytes"),
        (b'{"w":{"dtype":"F32","shape":[' + b"9" * 1_000_000 + b"]}}", "of 1000000 digits"),
    ],
)
def test_headers_of_safetensors(tmp_path, header, message):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(WeightFileError, match=message):
        read_file(path)


@pytest.mark.parametrize("length", [HUGE, (1 << 64) - 1, 100_000_001])
def test_an_announced_header_of_safetensors(tmp_path, length):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b'{"w": {}}')
    assert f"a header of {length} bytes in a file of 17" in refusal(path)


@pytest.mark.parametrize("shape", [[HUGE], [1 << 20, 1 << 20, 1 << 20], [-1], [1.5]])
def test_shapes_of_safetensors(tmp_path, shape):
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}
    header = json.dumps({"w": entry}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert "not a readable .safetensors file" in refusal(path)


def array(shape, magic=0xF993FAC9, element_type=0, data=b""):
    """One array as MXNet writes it."""
    axes = struct.pack(f"<i{len(shape)}q", len(shape), *shape)
    return struct.pack("<Ii", magic, 0) + axes + struct.pack("<iii", 1, 0, element_type) + data


@pytest.mark.parametrize(
    "content, message",
    [
        (struct.pack("<Q", 1) + array((HUGE,)) + ONE_NAME, "an array of shape .1099511627776,. in"),
        (struct.pack("<Q", 1) + array((1 << 20,) * 3) + ONE_NAME, "an array of shape"),
        (struct.pack("<Q", 1) + array((-1, 4)) + ONE_NAME, "an array of shape .-1, 4."),
        (struct.pack("<Q", 1) + array((1,) * 33) + ONE_NAME, "an array of 33 axes"),
        (struct.pack("<Q", 1) + array((1,), element_type=99) + ONE_NAME, "of type 99"),
        (struct.pack("<Q", HUGE) + array((1,), data=bytes(4)), "1099511627776 arrays in"),
        (struct.pack("<Q", 1) + array((1,), data=bytes(4)) + struct.pack("<Q", HUGE), "names in"),
        (
            struct.pack("<Q", 1) + array((1,), data=bytes(4)) + struct.pack("<QQ", 1, HUGE),
            "a name of 1099511627776 letters",
        ),
        (struct.pack("<QIII", 1, 2, 0xFFFFFFFF, 0xFFFFFFFF) + bytes(12), "an array of shape"),
        (struct.pack("<QIi", 1, 0xF993FAC9, 1), "a sparse array; save dense ones"),
    ],
)
def test_what_a_params_file_announces(tmp_path, content, message):
    path = tmp_path / "a.params"
    path.write_bytes(MAGIC + content)
    text = refusal(path)
    assert "not a readable .params file" in text
    assert re.search(message, text), text


def test_params_of_every_version_are_still_read(tmp_path):
    """The first format had the number of axes in place of a magic number, and short axes."""
    values = np.arange(6, dtype=np.float32)
    old = struct.pack("<IIIiii", 2, 2, 3, 1, 0, 0) + values.tobytes()
    (tmp_path / "old.params").write_bytes(MAGIC + struct.pack("<Q", 1) + old + ONE_NAME)
    first = struct.pack("<Iiqqiii", 0xF993FAC8, 2, 2, 3, 1, 0, 0) + values.tobytes()
    (tmp_path / "first.params").write_bytes(MAGIC + struct.pack("<Q", 1) + first + ONE_NAME)
    for name in ("old", "first"):
        found = read_file(tmp_path / f"{name}.params").arrays
        np.testing.assert_array_equal(found["w"], values.reshape(2, 3), err_msg=name)
    for dtype in ("float64", "float16", "uint8", "int32", "int8", "int64", "bool"):
        mx.nd.save(str(tmp_path / "a.params"), {"w": mx.nd.ones((2, 3), dtype=dtype)})
        assert read_file(tmp_path / "a.params").arrays["w"].shape == (2, 3), dtype


def test_sparse_arrays_are_named(tmp_path):
    sparse = mx.nd.ones((2, 3)).tostype("row_sparse")
    mx.nd.save(str(tmp_path / "a.params"), {"w": sparse})
    assert "a sparse array; save dense ones" in refusal(tmp_path / "a.params")
