"""PyTorch's files: made by hand, by PyTorch (tests/golden), and by an installed PyTorch."""

import argparse
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

from gluonnorm.weight_files import WeightFileError
from gluonnorm.weight_files.formats import read_file
from gluonnorm.weight_files.half_precision import BFLOAT16
from gluonnorm.weight_files.torch_legacy_file import read_torch_legacy
from gluonnorm.weight_files.torch_zip_file import read_torch_zip

import numpy as np
import pytest
from reference.torch_by_hand import Call, Global, dump, storage, tensor, write_legacy, write_zip

GOLDEN = Path(__file__).parent.parent / "golden" / "torch_files"
TWELVE = np.arange(12, dtype="<f4")


def read(path):
    """The arrays only, by the format that the file's first bytes show."""
    with open(path, "rb") as file:
        return (read_torch_zip if file.read(2) == b"PK" else read_torch_legacy)(str(path))[0]


def write(path, tree, kept, kind):
    """A file of ``kind``; ``kept``: {key: array}, the content of the storages."""
    if kind == "zip":
        return write_zip(path, tree, {key: array.tobytes() for key, array in kept.items()})
    return write_legacy(
        path, tree, {key: (array.size, array.tobytes()) for key, array in kept.items()}
    )


def mention(kind, key, length, container):
    """The legacy format's persistent id has one entry more."""
    return storage(kind, key, length) if container == "zip" else storage(kind, key, length, None)


both = pytest.mark.parametrize("container", ["zip", "legacy"])


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth"])
def test_files_by_pytorch(name):
    found, notes = read_file(GOLDEN / name)
    base = np.arange(12, dtype=np.float32)
    expected = {
        "conv.weight": base.reshape(3, 4) / 8,
        "transposed": base.reshape(3, 4).T,
        "half": np.array([0.5, -2], np.float32),
        "brain": np.array([1.5, -3], np.float32),
        "steps": np.array(7),
        "part": base[4:10:2],
    }
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert notes == [
        "1 tensor was float16 and is read as float32",
        "1 tensor was bfloat16 and is read as float32",
    ]


@both
@pytest.mark.parametrize(
    "kind, array",
    [
        ("FloatStorage", np.array([1.5, -2], "<f4")),
        ("HalfStorage", np.array([0.5, 65504], "<f2")),
        ("DoubleStorage", np.array([1e300], "<f8")),
        ("LongStorage", np.array([-1 << 62], "<i8")),
        ("IntStorage", np.array([-7, 8], "<i4")),
        ("ShortStorage", np.array([-300], "<i2")),
        ("CharStorage", np.array([-128], "i1")),
        ("ByteStorage", np.array([255], "u1")),
        ("BoolStorage", np.array([True, False])),
        ("BFloat16Storage", np.array([(0x3FC0,)], BFLOAT16)),
    ],
)
def test_dtypes(tmp_path, container, kind, array):
    kept = mention(kind, "0", array.size, container)
    found = read(
        write(
            tmp_path / "a.pth", {"w": tensor(kept, 0, (array.size,), (1,))}, {"0": array}, container
        )
    )
    assert found["w"].dtype == array.dtype
    np.testing.assert_array_equal(found["w"], array)


@both
def test_offset_size_and_stride(tmp_path, container):
    kept = mention("FloatStorage", "0", 12, container)
    tree = {
        "whole": tensor(kept, 0, (3, 4), (4, 1)),
        "tied": tensor(kept, 0, (3, 4), (4, 1)),
        "column": tensor(kept, 1, (3,), (4,)),
        "transposed": tensor(kept, 0, (4, 3), (1, 4)),
        "scalar": tensor(kept, 11, (), ()),
        "wide": tensor(kept, 2, (2, 3), (0, 1)),
        "empty": tensor(kept, 12, (0, 5), (5, 1)),
        "odd": tensor(kept, 8, (1, 4), (1 << 70, 1)),
    }
    found = read(write(tmp_path / "a.pth", OrderedDict(tree), {"0": TWELVE}, container))
    grid = TWELVE.reshape(3, 4)
    expected = {
        "whole": grid,
        "tied": grid,
        "column": grid[:, 1],
        "transposed": grid.T,
        "scalar": np.float32(11),
        "wide": np.stack([TWELVE[2:5]] * 2),
        "empty": np.zeros((0, 5)),
        "odd": grid[2:],
    }
    for name, array in expected.items():
        assert found[name].shape == np.shape(array) and found[name].flags.c_contiguous, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    found["whole"][:] = -1  # no two arrays share memory
    np.testing.assert_array_equal(found["tied"], grid)


@both
@pytest.mark.parametrize(
    "offset, size, stride",
    [
        (0, (13,), (1,)),
        (1, (12,), (1,)),
        (12, (), ()),
        (0, (2, 2), (11, 1)),
        (-1, (2,), (1,)),
        (11, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (3, 4), (4,)),
        (0, (2.0,), (1,)),
        (0, (1 << 62,), (1,)),
    ],
)
def test_no_tensor_looks_outside_its_storage(tmp_path, container, offset, size, stride):
    bad = tensor(mention("FloatStorage", "0", 12, container), offset, size, stride)
    with pytest.raises(
        WeightFileError, match=r"a.pth: not a pickle .*\(a tensor|storage"
    ) as caught:
        read(write(tmp_path / "a.pth", {"w": bad}, {"0": TWELVE}, container))
    assert "\n" not in str(caught.value)


@both
@pytest.mark.parametrize(
    "sizes", [[(1 << 40,)], [(1 << 12, 1 << 12)] * 20, [(1 << 31, 1 << 31)], [(1,) * 70]]
)
def test_strides_of_zero_do_not_eat_the_memory(tmp_path, container, sizes):
    kept = mention("FloatStorage", "0", 12, container)
    tree = {
        f"w{index}": tensor(kept, 0, size, (0,) * len(size)) for index, size in enumerate(sizes)
    }
    with pytest.raises(
        WeightFileError, match="takes far more memory than the file|is no possible array"
    ):
        read(write(tmp_path / "a.pth", tree, {"0": TWELVE}, container))


def test_big_endian(tmp_path):
    tree = {"w": tensor(storage("FloatStorage", "0", 12), 0, (12,), (1,))}
    found = read(write_zip(tmp_path / "a.pth", tree, {"0": TWELVE.astype(">f4").tobytes()}, b"big"))
    np.testing.assert_array_equal(found["w"], TWELVE)
    assert found["w"].dtype.isnative
    found = read(write_zip(tmp_path / "b.pth", tree, {"0": TWELVE.tobytes()}, b"little"))
    np.testing.assert_array_equal(found["w"], TWELVE)
    with pytest.raises(WeightFileError, match="byte order b'middle'"):
        read(write_zip(tmp_path / "c.pth", tree, {"0": TWELVE.tobytes()}, b"middle"))


def test_legacy_storage_views(tmp_path):
    """PyTorch before 1.0 wrote a part of a storage as its key, offset and length."""
    part = storage("FloatStorage", "root", 12, ("view", 4, 6))
    path = write_legacy(
        tmp_path / "a.pth", {"w": tensor(part, 1, (2, 2), (2, 1))}, {"root": (12, TWELVE.tobytes())}
    )
    np.testing.assert_array_equal(read(path)["w"], [[5, 6], [7, 8]])
    for view, offset in ((("view", 4, 9), 0), (("view", 4, 6), 3)):
        part = storage("FloatStorage", "root", 12, view)
        tree = {"w": tensor(part, offset, (4,), (1,))}
        path = write_legacy(tmp_path / "b.pth", tree, {"root": (12, TWELVE.tobytes())})
        with pytest.raises(
            WeightFileError, match="a tensor that ends at element 6 of a storage of 6|from 4 on"
        ):
            read(path)


def test_legacy_names_of_old_versions(tmp_path):
    """PyTorch 0.3 rebuilt tensors by another name, and Parameters were objects with a state."""
    old = Call(
        Global("torch._utils", "_rebuild_tensor"),
        storage("FloatStorage", "0", 12, None),
        0,
        (12,),
        (1,),
    )
    tree = {
        "a": old,
        "b": Call(Global("torch.nn.parameter", "Parameter"), old, state=(True, False, {})),
    }
    found = read(write_legacy(tmp_path / "a.pth", tree, {"0": (12, TWELVE.tobytes())}))
    np.testing.assert_array_equal(found["a"], TWELVE)
    np.testing.assert_array_equal(found["b"], TWELVE)


@both
def test_only_the_weights_of_a_checkpoint_are_read(tmp_path, container):
    def one(key):
        return tensor(mention("FloatStorage", key, 12, container), 0, (12,), (1,))

    tree = {
        "step": 4,
        "optimizer": {"state": {0: {"momentum_buffer": one("0")}}, "param_groups": [{"lr": 0.1}]},
        "model": {"w": one("1"), "v": one("2")},
    }
    kept = {"0": TWELVE, "1": TWELVE + 1, "2": TWELVE + 2}
    path = write(tmp_path / "a.pth", tree, kept, container)
    found = read(path)
    np.testing.assert_array_equal(found["w"], TWELVE + 1)
    np.testing.assert_array_equal(found["v"], TWELVE + 2)
    assert list(found) == ["w", "v"]


@both
@pytest.mark.parametrize(
    "module, name",
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("__builtin__", "exec.__call__"),
        ("subprocess", "Popen"),
        ("importlib._bootstrap", "_load"),
    ],
)
def test_code_is_named_and_not_run(tmp_path, container, module, name):
    trace = tmp_path / "trace"
    tree = {"w": Call(Global(module, name), f"touch {trace}")}
    with pytest.raises(
        WeightFileError, match=f"asks for {module}.{name}, so it holds code"
    ) as caught:
        read(write(tmp_path / "a.pth", tree, {}, container))
    assert not trace.exists() and str(tmp_path / "a.pth") in str(caught.value)


@both
def test_inert_records_and_misuse(tmp_path, container):
    kept = mention("FloatStorage", "0", 12, container)
    good = tensor(kept, 0, Call(Global("torch", "Size"), [12]), (1,))
    space = Call(
        Global("argparse", "Namespace"),
        state={"lr": 0.1, "device": Call(Global("torch", "device"), "cpu")},
    )
    found = read(
        write(tmp_path / "a.pth", {"model": {"w": good}, "args": space}, {"0": TWELVE}, container)
    )
    np.testing.assert_array_equal(found["w"], TWELVE)
    for bad in (
        Call(Global("torch", "FloatStorage"), 3),
        tensor("kept", 0, (1,), (1,)),
        tensor((), 0, (1,), (1,)),
        tensor(mention("Size", "0", 12, container), 0, (1,), (1,)),
        {"a": good, "b": tensor(mention("HalfStorage", "0", 12, container), 0, (1,), (1,))},
        Call(Global("torch._utils", "_rebuild_parameter"), 3, False, None),
    ):
        with pytest.raises(WeightFileError):
            read(write(tmp_path / "b.pth", {"w": bad}, {"0": TWELVE}, container))


TREE = {"w": tensor(storage("FloatStorage", "0", 12), 0, (12,), (1,))}


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda data: data[:-1], "its zip is cut, damaged or altered"),
        (lambda data: data[: len(data) // 2], "its zip is cut, damaged or altered"),
        (lambda data: data[:4], "its zip is cut, damaged or altered"),
        (lambda data: data.replace(TWELVE.tobytes(), (TWELVE + 1).tobytes()), "Bad CRC-32"),
        (lambda data: data.replace(b"FloatStorage", b"evil_Storage"), "Bad CRC-32"),
    ],
)
def test_a_damaged_zip(tmp_path, change, message):
    path = tmp_path / "a.pth"
    write_zip(path, TREE, {"0": TWELVE.tobytes()})
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(WeightFileError, match=message) as caught:
        read_torch_zip(str(path))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zips_that_are_something_else(tmp_path):
    path, raw = tmp_path / "a.pth", {"0": TWELVE.tobytes()}
    cases = [
        ({"storages": {}}, "storage weights/data/0 is missing, 48 bytes are wanted"),
        ({"storages": {"0": b"1234"}}, "storage weights/data/0 is 4 bytes, 48 bytes are wanted"),
        (
            {"storages": {"0": bytes(1 << 20)}},
            "storage weights/data/0 is 1048576 bytes, 48 bytes are wanted",
        ),
        ({"storages": raw, "compression": zipfile.ZIP_DEFLATED}, "weights/data.pkl is compressed"),
        ({"storages": raw, "more": {"code/__torch__.py": b""}}, "a TorchScript program"),
        ({"storages": raw, "more": {"data.pkl": dump({})}}, "2 members data.pkl"),
        ({"storages": raw, "more": {"more/data.pkl": dump({})}}, "2 members data.pkl"),
    ]
    for arguments, message in cases:
        write_zip(path, TREE, **arguments)
        with pytest.raises(WeightFileError, match=message):
            read_torch_zip(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "")
    with pytest.raises(WeightFileError, match="a zip, but not of weights .it has notes.txt."):
        read_torch_zip(str(path))


def test_members_that_lie_over_each_other(tmp_path):
    """Members that share the same bytes would make large arrays out of a small file."""
    path = tmp_path / "a.pth"
    raw = bytes(1 << 16)
    kept = {f"k{index}": raw for index in range(8)}
    tree = {
        key: tensor(storage("ByteStorage", key, len(raw)), 0, (len(raw),), (1,)) for key in kept
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", dump(tree))
        archive.writestr("x/data/k0", raw)
        for key in list(kept)[1:]:
            info = zipfile.ZipInfo(f"x/data/{key}")
            first = archive.getinfo("x/data/k0")
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.file_size = info.compress_size = first.file_size
            archive.filelist.append(info)
        archive._didModify = True
    with pytest.raises(WeightFileError, match="its members claim more bytes than the file has"):
        read_torch_zip(str(path))


def test_every_cut_of_a_legacy_file(tmp_path):
    path = tmp_path / "a.pth"
    write_legacy(path, TREE, {"0": (12, TWELVE.tobytes())})
    data = path.read_bytes()
    for length in range(16, len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(WeightFileError, match="cut|damaged") as caught:
            read_torch_legacy(str(path))
        assert "\n" not in str(caught.value)


def test_an_altered_legacy_file(tmp_path):
    path, good = tmp_path / "a.pth", (12, TWELVE.tobytes())
    cases = [
        ({"storages": {"0": (11, TWELVE.tobytes())}}, "is not where it should be"),
        ({"storages": {"0": good}, "keys": []}, "1 storages are missing"),
        ({"storages": {"0": good}, "keys": ["0", "1"]}, "storage '1' belongs to no tensor"),
        ({"storages": {"0": good}, "keys": 5}, "storage 5 belongs to no tensor"),
        ({"storages": {"0": (-1, TWELVE.tobytes())}}, "is not where it should be"),
    ]
    for arguments, message in cases:
        with pytest.raises(WeightFileError, match=message):
            read_torch_legacy(write_legacy(path, TREE, **arguments))
    write_legacy(path, TREE, {"0": good})
    path.write_bytes(path.read_bytes().replace(struct.pack("<H", 1001), struct.pack("<H", 1002), 1))
    with pytest.raises(WeightFileError, match="has 1002 where 1001 belongs"):
        read_torch_legacy(str(path))


@pytest.mark.parametrize("legacy", [False, True])
def test_against_pytorch(tmp_path, seeded, legacy):
    torch = pytest.importorskip("torch")
    torch.manual_seed(seeded)
    base = torch.randn(4, 6, 5)
    weights = OrderedDict(
        whole=base,
        transposed=base.transpose(0, 2),
        part=base[1:3, ::2],
        expanded=torch.ones(1, 3).expand(4, 3),
        parameter=torch.nn.Parameter(torch.randn(3, 2, 3, 3)),
        last=torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        steps=torch.tensor(5),
        none=torch.zeros(0, 4),
        flags=base[0] > 0,
        half=torch.randn(7).half(),
        brain=torch.randn(7).bfloat16(),
        double=torch.randn(2).double(),
        byte=torch.arange(5, dtype=torch.uint8),
        char=torch.arange(-2, 3, dtype=torch.int8),
        short=torch.arange(3, dtype=torch.int16),
        integer=torch.arange(3, dtype=torch.int32),
    )
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    weights.update(net.state_dict(prefix="net."))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.randn(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 4])
    path = str(tmp_path / "a.pth")
    for tree in (
        weights,
        {
            "model": weights,
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": schedule.state_dict(),
            "args": argparse.Namespace(lr=0.1, device=torch.device("cpu"), names=["a"]),
            "epoch": 3,
        },
        {"state_dict": weights},
    ):
        torch.save(tree, path, _use_new_zipfile_serialization=not legacy)
        found, notes = read_file(path)
        assert list(found) == list(weights)
        for name, value in weights.items():
            value = (
                value.detach().float()
                if value.dtype in (torch.float16, torch.bfloat16)
                else value.detach()
            )
            assert found[name].dtype == value.numpy().dtype and found[name].shape == tuple(
                value.shape
            ), name
            np.testing.assert_array_equal(found[name], value.numpy(), err_msg=name)
        assert "1 tensor was bfloat16 and is read as float32" in notes
    torch.save(net, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        WeightFileError,
        match="an object of torch.nn.modules.container.Sequential .a complete network, whose code",
    ):
        read_file(path)
