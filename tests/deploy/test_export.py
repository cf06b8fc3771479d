import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Tuple

import gluonnorm
from gluonnorm.deploy import DeployError, Predictor, export, load
from gluonnorm.errors import InputError
from gluonnorm.types import Preprocess

import mxnet as mx
import numpy as np
import pytest
from full_disk import no_file_beyond
from tiny_export import exported

FILES = ("tiny-symbol.json", "tiny-0000.params", "tiny.json")


@dataclass(frozen=True)
class Config:
    nms_thresh: float = 0.5
    short: Tuple[int, ...] = (48, 64)


@dataclass(frozen=True)
class Spec:
    model: str = "tiny"
    norm: str = "bn"
    head_norm: str = "gn"
    rescale: str = None
    classes: Tuple[str, ...] = ("cat", "dog")
    config: Config = Config()


class TinyDetector(mx.gluon.HybridBlock):
    """A convolution, a norm and NMS: arguments, running statistics and rows of detections."""

    spec = Spec()
    preprocess = Preprocess(short=(48, 64), max_size=96, order="BGR", resize="float", multiple=4)

    def __init__(self, in_channels=3):
        super().__init__()
        with self.name_scope():
            self.conv = mx.gluon.nn.Conv2D(6, 4, strides=4, in_channels=in_channels)
            self.bn = mx.gluon.nn.BatchNorm(in_channels=6)

    def hybrid_forward(self, F, x):
        y = F.reshape(F.transpose(self.bn(self.conv(x)), (0, 2, 3, 1)), (0, -1, 6))
        corner, side = (
            F.slice_axis(y, axis=2, begin=2, end=4),
            F.slice_axis(y, axis=2, begin=4, end=6),
        )
        ids = F.slice_axis(y, axis=2, begin=0, end=1) > 0
        scores = F.sigmoid(F.slice_axis(y, axis=2, begin=1, end=2))
        rows = F.concat(ids, scores, 10 * corner, 10 * corner + 5 + 5 * F.abs(side), dim=2)
        rows = F.slice_axis(
            F.contrib.box_nms(rows, overlap_thresh=0.5, id_index=0), axis=1, begin=0, end=4
        )
        return tuple(
            F.slice_axis(rows, axis=2, begin=a, end=b) for a, b in ((0, 1), (1, 2), (2, 6))
        )


@pytest.fixture
def net():
    net = TinyDetector()
    net.initialize(mx.init.Xavier(magnitude=30))
    net.bn.running_mean.set_data(mx.nd.array(np.random.randn(6)))
    net.bn.running_var.set_data(mx.nd.array(np.random.rand(6) + 0.5))
    return net


def random_images(batch=2, height=24, width=32):
    return mx.nd.array(np.random.randn(batch, 3, height, width))


def assert_same(outputs, expected, atol=1e-4):  # the norm is folded into the convolution
    assert len(outputs) == len(expected) == 3
    assert expected[1].max().asscalar() > 0  # there is something to compare
    for output, wanted in zip(outputs, expected):
        np.testing.assert_allclose(output.asnumpy(), wanted.asnumpy(), rtol=0, atol=atol)


@pytest.mark.parametrize("hybridized", [False, True])
def test_the_block_read_back_equals_the_network_at_any_size(net, tmp_path, hybridized):
    net.hybridize(hybridized)
    export(net, str(tmp_path / "tiny"))
    block, _ = load(str(tmp_path / "tiny"))
    for shape in ((2, 24, 32), (1, 40, 20), (3, 8, 8)):
        x = random_images(*shape)
        assert_same(block(x), net(x))


def test_module_runs_the_files_at_another_batch_and_image_size(net, tmp_path):
    net(random_images())
    export(net, str(tmp_path / "tiny"), image_size=(24, 32))
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(tmp_path / "tiny"), 0)
    for shape in ((2, 24, 32), (1, 44, 36)):
        x = random_images(*shape)
        module = mx.mod.Module(symbol, data_names=["data"], label_names=None, context=mx.cpu())
        module.bind([("data", x.shape)], for_training=False)
        module.set_params(arguments, auxiliary)
        module.forward(mx.io.DataBatch([x]))
        assert_same(module.get_outputs(), net(x))


def test_the_files_run_without_the_package(net, tmp_path):
    prefix = str(tmp_path / "tiny")
    export(net, prefix)
    x = random_images()
    np.save(prefix + ".npy", x.asnumpy())
    program = f"""
import sys, numpy
numpy.bool = numpy.bool_
sys.modules["gluonnorm"] = None
import mxnet as mx
prefix = {prefix!r}
block = mx.gluon.SymbolBlock.imports(prefix + "-symbol.json", ["data"], prefix + "-0000.params")
outputs = block(mx.nd.array(numpy.load(prefix + ".npy")))
numpy.savez(prefix + ".npz", *[output.asnumpy() for output in outputs])
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=str(tmp_path))
    found = np.load(prefix + ".npz")
    assert_same([mx.nd.array(found[name]) for name in found.files], net(x))


def test_the_record_says_what_goes_in_and_comes_out(net, tmp_path):
    returned = export(net, str(tmp_path / "tiny"), image_size=(24, 32))
    record = json.loads((tmp_path / "tiny.json").read_text())
    assert returned == record == load(str(tmp_path / "tiny"))[1]
    assert record["classes"] == ["cat", "dog"]
    assert record["input"] == {
        "name": "data",
        "layout": "NCHW",
        "color": "BGR",
        "dtype": "float32",
        "image_size": [24, 32],
    }
    assert record["preprocess"] == {
        "short": [48, 64],
        "max_size": 96,
        "normalize": True,
        "multiple": 4,
        "order": "BGR",
        "resize": "float",
        "rounding": "nearest",
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "inclusive": False,
    }
    assert record["outputs"] == ["ids", "scores", "boxes"]
    assert record["config"] == {"nms_thresh": 0.5, "short": [48, 64]}
    assert record["provenance"]["spec"]["norm"] == "bn" and record["provenance"]["spec"][
        "classes"
    ] == ["cat", "dog"]
    assert record["provenance"]["versions"]["gluonnorm"] == gluonnorm.__version__
    assert record["provenance"]["versions"]["mxnet"] == mx.__version__
    assert export(net, str(tmp_path / "any"))["input"]["image_size"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        FILES + tuple(name.replace("tiny", "any") for name in FILES)
    )  # and nothing else is left lying about


@pytest.mark.parametrize("hybridized", [False, True])
def test_the_network_is_left_as_it_was(net, tmp_path, hybridized):
    contexts = [mx.cpu(1), mx.cpu(2)]
    net.collect_params().reset_ctx(contexts)
    if hybridized:
        net.hybridize(static_alloc=True)
    x = random_images().as_in_context(mx.cpu(1))
    before = [output.copy() for output in net(x)]
    cache, flags = net._cached_op, list(net._flags)
    values = {
        name: parameter.data(mx.cpu(1)).asnumpy()
        for name, parameter in net.collect_params().items()
    }
    export(net, str(tmp_path / "tiny"))
    assert net._active is hybridized and net._cached_op is cache and net._flags == flags
    for name, parameter in net.collect_params().items():
        assert parameter.list_ctx() == contexts
        np.testing.assert_array_equal(parameter.data(mx.cpu(1)).asnumpy(), values[name])
    assert_same(net(x), before)
    assert_same(load(str(tmp_path / "tiny"))[0](x.as_in_context(mx.cpu())), before)


def test_running_statistics_of_several_contexts_are_averaged(net, tmp_path):
    net.collect_params().reset_ctx([mx.cpu(0), mx.cpu(1)])
    net.bn.running_mean.data(mx.cpu(1))[:] += 2
    export(net, str(tmp_path / "tiny"))
    net.bn.running_mean.data(mx.cpu(0))[:] += 1
    x = random_images()
    assert_same(load(str(tmp_path / "tiny"))[0](x), net(x))


def test_shapes_that_wait_for_an_input_are_settled(tmp_path):
    net = TinyDetector(in_channels=0)
    net.initialize(mx.init.Xavier(magnitude=30))
    export(net, str(tmp_path / "tiny"))
    assert net.conv.weight.shape == (6, 3, 4, 4)
    x = random_images()
    assert_same(load(str(tmp_path / "tiny"))[0](x), net(x))


def test_folders_are_made_and_older_files_replaced(net, tmp_path):
    prefix = str(tmp_path / "new" / "folder" / "v1.2")
    export(net, prefix)
    net.conv.weight.set_data(net.conv.weight.data() * 2)
    export(net, prefix)
    x = random_images()
    assert_same(load(prefix)[0](x), net(x))


@pytest.mark.parametrize("folder", ["file", "file/below", "null\0byte", "n" * 300])
def test_a_folder_that_cannot_be_is_refused_before_the_work(net, tmp_path, folder):
    (tmp_path / "file").write_text("text")
    prefix = os.path.join(tmp_path, folder, "tiny")
    net.hybrid_forward = None  # running the network would be an error
    with pytest.raises(DeployError, match="prefix is .*tiny', and its folder cannot be made"):
        export(net, prefix)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_of_others_is_refused_before_the_work(net, tmp_path, monkeypatch):
    """The root user may write everywhere, so the answer of the system is made up."""
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path))
    net.hybrid_forward = None
    with pytest.raises(DeployError, match="no file can be written into its folder"):
        export(net, tmp_path / "tiny")


def test_an_export_that_fails_leaves_the_earlier_files(net, tmp_path):
    export(net, str(tmp_path / "tiny"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    net.conv.weight.set_data(net.conv.weight.data() * 2)
    with no_file_beyond(1500):
        with pytest.raises(DeployError, match="could not be written completely .*is the disk full"):
            export(net, str(tmp_path / "tiny"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_second_export_at_the_same_time_is_refused(net, tmp_path):
    """It would write into the temporary files of the first one."""
    prefix = str(tmp_path / "tiny")
    export(net, prefix)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    net.conv.weight.set_data(net.conv.weight.data() * 2)
    refused = []

    def export_again(*arguments, **keywords):
        """Export while the first export writes its parameters."""
        with pytest.raises(InputError, match="tiny.json is in use by process .* another prefix"):
            export(net, prefix)
        refused.append(prefix)
        return save(*arguments, **keywords)

    save = mx.nd.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mx.nd, "save", export_again)
        export(net, prefix)
    assert refused == [prefix]
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.keys() == before.keys() and after != before
    x = random_images()
    assert_same(load(prefix)[0](x), net(x))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(net, tmp_path, name):
    export(net, str(tmp_path / "tiny"))
    (tmp_path / name).unlink()
    with pytest.raises(DeployError, match=f"{name} missing; .*three files"):
        load(str(tmp_path / "tiny"))


@pytest.mark.parametrize("name", FILES[:2])
def test_an_altered_file_is_named(net, tmp_path, name):
    export(net, str(tmp_path / "tiny"))
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(bytes(content))
    with pytest.raises(DeployError, match=f"{name} is not the file"):
        load(str(tmp_path / "tiny"))


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["classes"].reverse(),
        lambda record: record["preprocess"].update(order="RGB"),
        lambda record: record["provenance"]["spec"].pop("norm"),
        lambda record: record.pop("dtype"),
    ],
)
def test_an_altered_record_is_named(net, tmp_path, change):
    export(net, str(tmp_path / "tiny"))
    record = json.loads((tmp_path / "tiny.json").read_text())
    (tmp_path / "tiny.json").write_text(
        json.dumps(record, indent=None, sort_keys=True)
    )  # says the same
    load(str(tmp_path / "tiny"))
    change(record)
    (tmp_path / "tiny.json").write_text(json.dumps(record))
    with pytest.raises(DeployError, match="tiny.json was altered"):
        load(str(tmp_path / "tiny"))


@pytest.mark.parametrize("name", FILES)
def test_a_file_s_name_is_no_prefix(net, tmp_path, name):
    export(net, str(tmp_path / "tiny"))
    with pytest.raises(DeployError, match=f"give {tmp_path / 'tiny'} alone"):
        load(str(tmp_path / name))


@pytest.mark.parametrize("ctx", ["cpu", [mx.cpu(), "gpu"]])
def test_what_is_no_context(net, tmp_path, ctx):
    export(net, str(tmp_path / "tiny"))
    with pytest.raises(ValueError, match="want an mx.Context, such as"):
        load(str(tmp_path / "tiny"), ctx)


@pytest.mark.skipif(mx.context.num_gpus() > 0, reason="this machine has a GPU")
def test_a_device_there_is_not(net, tmp_path):
    export(net, str(tmp_path / "tiny"))
    with pytest.raises(DeployError, match=r"gpu\(0\) cannot be used here .*give another ctx"):
        load(str(tmp_path / "tiny"), mx.gpu(0))


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"provenance": {"sha256": {"symbol": "0"}}}']
)
def test_a_foreign_record_is_refused(net, tmp_path, content):
    export(net, str(tmp_path / "tiny"))
    (tmp_path / "tiny.json").write_text(content)
    with pytest.raises(DeployError, match="tiny.json is not the manifest of an exported network"):
        load(str(tmp_path / "tiny"))


@pytest.mark.parametrize(
    "field", ["input", "input.name", "config", "config.convention", "config.score_thresh"]
)
@pytest.mark.parametrize("value", [None, True, [], [[1]]])
def test_a_forged_record_with_a_wrong_type_is_refused(net, tmp_path, field, value):
    export(net, str(tmp_path / "tiny"))
    manifest = json.loads((tmp_path / "tiny.json").read_text())
    del manifest["provenance"]["sha256"]["record"]
    *parents, name = field.split(".")
    parent = manifest
    for key in parents:
        parent = parent[key]
    parent[name] = value
    (tmp_path / "tiny.json").write_text(json.dumps(manifest))
    with pytest.raises(DeployError, match=r"not the manifest of an .*\((input|config)"):
        load(str(tmp_path / "tiny"))


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    """Write an export's manifest with other values, and without a checksum of itself."""
    folder = tmp_path_factory.mktemp("forged")
    prefix = exported(folder, "fpn")
    original = (folder / "tiny.json").read_text()

    def write(part, **values):
        manifest = json.loads(original)
        del manifest["provenance"]["sha256"]["record"]
        parent = manifest
        for key in part.split(".") if part else ():
            parent = parent[key]
        parent.update(values)
        (folder / "tiny.json").write_text(json.dumps(manifest))
        return prefix

    return write


@pytest.mark.parametrize(
    "classes, message",
    [
        ("abc", "classes is 'abc', no list of different names"),
        ([], "no list of different names"),
        (["a", None, "c"], "no list of different names"),
        (["a", "a", "c"], "no list of different names"),
        (["a", "b"], "classes has 2 names, the network was for 3"),
    ],
)
def test_forged_names_of_classes_are_refused(forged, classes, message):
    with pytest.raises(DeployError, match=message):
        load(forged("", classes=classes))


def test_other_names_for_the_same_classes_are_read(forged):
    assert Predictor(forged("", classes=["x", "y", "z"])).classes == ("x", "y", "z")


@pytest.mark.parametrize("mask_paste", ["later", None, ["sample"]])
def test_an_unknown_way_to_paste_masks_is_refused_at_once(forged, mask_paste):
    prefix = forged("config.convention", mask_paste=mask_paste)
    with pytest.raises(DeployError, match="tiny.json says that masks are pasted by .*knows sample"):
        Predictor(prefix)


def test_a_threshold_that_is_no_number_is_refused(forged):
    with pytest.raises(DeployError, match="config.score_thresh is nan, no number"):
        load(forged("config", score_thresh=float("nan")))


@pytest.mark.parametrize("content", ['{"a":' * 100000, "[" * 1000000, '{"a": ' + "7" * 1000000])
def test_a_deep_or_huge_record_is_refused_in_one_line(net, tmp_path, content):
    export(net, str(tmp_path / "tiny"))
    (tmp_path / "tiny.json").write_text(content)
    with pytest.raises(DeployError, match="tiny.json is not the manifest") as error:
        load(str(tmp_path / "tiny"))
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_bad_arguments(net, tmp_path):
    with pytest.raises(ValueError, match="dtype is 'int4'; .*float32"):
        export(net, str(tmp_path / "tiny"), dtype="int4")
    for size in ((0, 32), (24,), (24.5, 32)):
        with pytest.raises(ValueError, match="image_size is .*height, width"):
            export(net, str(tmp_path / "tiny"), image_size=size)
    with pytest.raises(ValueError, match="prefix is .*a folder and a name"):
        export(net, str(tmp_path) + "/")
    assert not list(tmp_path.iterdir())


def test_a_network_without_values_or_with_broken_ones_is_refused(net, tmp_path):
    with pytest.raises(DeployError, match="has no values; load weights or initialize"):
        export(TinyDetector(), str(tmp_path / "tiny"))
    weight = net.conv.weight.data()
    weight[0, 0, 0, 0] = np.nan
    with pytest.raises(
        DeployError, match=f"hold NaN or infinity, the first is {net.conv.weight.name}"
    ):
        export(net, str(tmp_path / "tiny"))
    assert not list(tmp_path.iterdir())
