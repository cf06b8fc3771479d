import importlib
import json
from collections import Counter

from gluonnorm.deploy import DeployError, Predictor, export, load
from gluonnorm.graph.fold import fold_graph
from gluonnorm.graph.precision import measure_ranges, to_bfloat16
from gluonnorm.graph.trace import trace
from gluonnorm.photos.files import ImageError

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn
from PIL import Image
from tiny_detector import images, tiny_detector

KINDS = ("fpn", "c4", "mask_fpn", "mask_c4")


def photos(count=3, height=64, width=96):
    """Photos whose normalized pixels are those of ``images``."""
    blocks = images(count, height, width).asnumpy().transpose(0, 2, 3, 1)
    return list(np.clip(blocks * 57 + 115, 0, 255).astype(np.uint8))


def detector(kind="fpn", **settings):
    return tiny_detector(kind, short=64, max_size=96, **settings)


def operators(prefix):
    return Counter(node["op"] for node in json.loads(open(f"{prefix}-symbol.json").read())["nodes"])


@pytest.mark.parametrize(
    "dtype, box, score, share", [("bfloat16", 3.0, 0.05, 0.7), ("int8", 8.0, 0.1, 0.5)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_detector_finds_nearly_the_same(kind, dtype, box, score, share, tmp_path):
    net = detector(kind, norm="frozen_bn")
    prefix = str(tmp_path / "tiny")
    record = export(net, prefix, dtype=dtype, calibration=photos() if dtype == "int8" else None)
    assert record["dtype"] == dtype == load(prefix)[1]["dtype"]
    exact, found = Predictor.from_network(net)(photos(1)[0]), Predictor(prefix)(photos(1)[0])
    assert len(exact.scores) > 5 and (found.masks is None) == (exact.masks is None)
    close = [
        any(
            (np.abs(exact.boxes - b).max(axis=1) < box)
            & (exact.ids == i)
            & (np.abs(exact.scores - s) < score)
        )
        for b, i, s in zip(found.boxes, found.ids, found.scores)
    ]
    assert (
        np.mean(close) > share
    )  # of a network of random weights; docs/benchmarks.md has a trained one
    differ = len(found.scores) != len(exact.scores) or not np.array_equal(
        found.scores, exact.scores
    )
    assert differ  # or it was not in that format at all


@pytest.mark.parametrize("norm", ["gn", "sn", "sn_nobn"])
@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_other_norms_stay_float32(norm, dtype, tmp_path):
    net = detector(norm=norm)
    prefix = str(tmp_path / "tiny")
    export(net, prefix, dtype=dtype, calibration=photos(1) if dtype == "int8" else None)
    x = images(1, 64, 96)
    block, _ = load(prefix)
    scores, exact = (outputs[1].asnumpy() for outputs in (block(x), net(x)))
    np.testing.assert_allclose(np.sort(scores.ravel())[-5:], np.sort(exact.ravel())[-5:], atol=0.1)


def test_bfloat16_with_average_pooling_between_layers(tmp_path):
    net = mx.gluon.nn.HybridSequential()
    net.add(
        nn.Conv2D(8, 3, in_channels=3),
        nn.Activation("relu"),
        nn.AvgPool2D(2, 2),
        nn.Conv2D(8, 1, in_channels=8),
        nn.AvgPool2D(2, 2),
        nn.GlobalAvgPool2D(),
        nn.Flatten(),
        nn.Dense(4, in_units=8),
        nn.Dense(2, in_units=4),
    )
    net.initialize(mx.init.Xavier())
    symbol, values = to_bfloat16(*trace(net))
    x = mx.nd.random.normal(0, 1, (2, 3, 32, 32))
    found = symbol.bind(mx.cpu(), {**values, "data": x}).forward()[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found.asnumpy(), net(x).asnumpy(), rtol=0, atol=0.02 * np.abs(net(x).asnumpy()).max()
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["frozen_bn", "global_bn", "bn", "sync_bn", "sn"])
def test_no_batch_norm_is_exported(kind, norm, tmp_path):
    export(detector(kind, norm=norm, rescale="normalize"), str(tmp_path / "tiny"))
    assert not [op for op in operators(tmp_path / "tiny") if "BatchNorm" in op]


def test_last_layers_compute_in_float32(tmp_path):
    net = detector()
    symbol, values = to_bfloat16(*fold_graph(*trace(net)))
    dtypes = {name: str(value.dtype) for name, value in values.items()}
    assert (
        dtypes[net.predictor.score.weight.name]
        == dtypes[net.rpn.loc.bias.name]
        == str(np.dtype("float32").type)
    )
    assert "bfloat16" in dtypes[net.box_head.fc1.weight.name]


def test_bfloat16_weights_take_half_the_room(tmp_path):
    net = detector()
    for dtype in ("float32", "bfloat16"):
        export(net, str(tmp_path / dtype), dtype=dtype)
    sizes = [
        (tmp_path / f"{dtype}-0000.params").stat().st_size for dtype in ("float32", "bfloat16")
    ]
    assert 0.5 < sizes[1] / sizes[0] < 0.52


def test_int8_is_computed_in_int8(tmp_path):
    prefix = str(tmp_path / "tiny")
    export(detector(), prefix, dtype="int8", calibration=photos(2))
    nodes = json.loads(open(f"{prefix}-symbol.json").read())["nodes"]
    fused = [node for node in nodes if node["op"] == "_sg_mkldnn_conv"]
    quantized = [node for node in fused if node.get("attrs", {}).get("quantized") == "true"]
    assert len(fused) - len(quantized) == 5 * 2  # the RPN's last layers
    assert all(
        "min_calib_range" in node["attrs"]
        for node in quantized
        if node["attrs"].get("with_postsum_act")
    )
    assert not any(
        node["op"] == "_contrib_requantize" for node in nodes
    )  # that would measure ranges at run time


def test_any_image_size_and_batch(tmp_path):
    net = detector()
    for dtype in ("bfloat16", "int8"):
        prefix = str(tmp_path / dtype)
        export(net, prefix, dtype=dtype, calibration=photos(2) if dtype == "int8" else None)
        block, _ = load(prefix)
        for shape in ((1, 64, 96), (2, 40, 33), (3, 64, 96)):
            scores, exact = (
                outputs[1].asnumpy() for outputs in (block(images(*shape)), net(images(*shape)))
            )
            assert scores.shape == exact.shape
            np.testing.assert_allclose(scores.max(axis=1), exact.max(axis=1), atol=0.1)


@pytest.mark.parametrize(
    "layer, sizes",
    [
        (lambda: nn.Conv2D(2, 3, in_channels=3), ((8, 9), (5, 4))),
        (lambda: nn.Dense(2, in_units=3 * 64 * 64), ((64, 64), (64, 64))),
    ],
    ids=["maps", "rows"],
)
def test_ranges_are_the_least_and_greatest_over_all_images(layer, sizes):
    net = layer()
    net.initialize(mx.init.Normal(1))
    symbol, values = trace(net)
    batches = [np.random.randn(1, 3, *size).astype(np.float32) for size in sizes]
    name = symbol.list_outputs()[0]
    maps = [net(mx.nd.array(batch)).asnumpy() for batch in batches]
    found = measure_ranges(symbol, values, [name], batches)
    assert found == {name: (float(min(m.min() for m in maps)), float(max(m.max() for m in maps)))}


def test_calibration_takes_a_folder_paths_and_arrays(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate(photos(2)):
        Image.fromarray(photo).save(folder / f"{number}.png")
    net, files = detector(), []
    for name, calibration in (
        ("folder", str(folder)),
        ("paths", sorted(folder.iterdir())),
        ("arrays", photos(2)),
    ):
        record = export(net, str(tmp_path / name), dtype="int8", calibration=calibration)
        assert record["provenance"]["calibrated_on"] == 2
        files.append((tmp_path / f"{name}-symbol.json").read_text())
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("calibration", [None, [], ()])
def test_int8_without_photos_is_refused(calibration, tmp_path):
    with pytest.raises(
        ValueError, match="int8 is calibrated on photos, and there are none; give calibration"
    ):
        export(detector(), str(tmp_path / "tiny"), dtype="int8", calibration=calibration)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_photos_and_a_photo_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ImageError, match="no images in this folder"):
        export(detector(), str(tmp_path / "tiny"), dtype="int8", calibration=str(tmp_path))
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(ImageError, match="broken.jpg: cannot be read as an image"):
        export(
            detector(),
            str(tmp_path / "tiny"),
            dtype="int8",
            calibration=[str(tmp_path / "broken.jpg")],
        )
    assert [file.name for file in tmp_path.iterdir()] == ["broken.jpg"]


def test_photos_for_a_format_that_needs_none_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match="calibration is given with dtype 'bfloat16', which needs none"
    ):
        export(detector(), str(tmp_path / "tiny"), dtype="bfloat16", calibration=photos(1))


def test_an_unknown_format_is_named(tmp_path):
    with pytest.raises(
        ValueError, match="dtype is 'float16'; a network can be exported in float32, bfloat16, int8"
    ):
        export(detector(), str(tmp_path / "tiny"), dtype="float16")


def test_these_formats_are_refused_on_a_gpu(tmp_path):
    export(detector(), str(tmp_path / "tiny"), dtype="bfloat16")
    with pytest.raises(
        DeployError, match=r"is of bfloat16, which runs on the CPU alone, not on \[gpu"
    ):
        load(str(tmp_path / "tiny"), mx.gpu(0))


def test_a_failed_export_leaves_earlier_files(tmp_path):
    net = detector()
    export(net, str(tmp_path / "tiny"))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ImageError, match="2"):
        export(
            net, str(tmp_path / "tiny"), dtype="int8", calibration=[np.zeros((4, 4, 2), np.uint8)]
        )
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_bad_photo_for_calibration_is_an_error_before_the_network_runs(tmp_path, monkeypatch):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    module = importlib.import_module("gluonnorm.deploy.exporting")
    monkeypatch.setattr(module, "trace", lambda *args: pytest.fail("the network was traced first"))
    with pytest.raises(ImageError, match="bad.jpg"):
        export(
            detector(),
            str(tmp_path / "tiny"),
            dtype="int8",
            calibration=[np.zeros((8, 8, 3), np.uint8), tmp_path / "bad.jpg"],
        )
    assert not list(tmp_path.glob("tiny*"))
