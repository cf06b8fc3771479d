"""Files that version 0.1.0 wrote: they load, and give the numbers that version 0.1.0 got."""

import dataclasses
import tarfile
from pathlib import Path

import model_zoo
from gluonnorm import training
from gluonnorm.deploy import Predictor, load
from gluonnorm.nn import freeze
from gluonnorm.photos.prepare import prepare
from gluonnorm.rcnn import DetectorConfig

import mxnet as mx
import numpy as np
import pytest

ARCHIVE = Path(__file__).with_name("version_0_1.tar.xz")
DTYPES = ("float32", "bfloat16", "int8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The unpacked files."""
    target = tmp_path_factory.mktemp("version_0_1")
    with tarfile.open(ARCHIVE) as archive:
        for member in archive.getmembers():
            assert member.isfile() and "/" not in member.name
            archive.extract(member, target)
    return target


@pytest.fixture(scope="module")
def expected(folder):
    """The numbers that version 0.1.0 got, and the photo."""
    with np.load(folder / "expected.npz") as arrays:
        return dict(arrays)


def rebuilt(folder):
    """A network as the checkpoint describes it, with random weights, and the checkpoint's path."""
    path = str(folder / "checkpoint-0000002.json")
    return model_zoo.from_spec(training.read(path)["spec"]), path


def assert_recorded(detections, expected, name, box_atol, score_atol):
    assert len(detections.ids) > 0
    np.testing.assert_array_equal(detections.ids, expected[f"{name}_ids"])
    np.testing.assert_allclose(detections.boxes, expected[f"{name}_boxes"], rtol=0, atol=box_atol)
    np.testing.assert_allclose(
        detections.scores, expected[f"{name}_scores"], rtol=0, atol=score_atol
    )


def test_a_checkpoint_gives_the_recorded_detections(folder, expected):
    net, path = rebuilt(folder)
    assert training.load(path, net) == {"step": 2, "epoch": 0, "seed": 11}
    assert net.classes == ("red", "white", "blue")
    detections = Predictor.from_network(net)(expected["photo"])
    assert_recorded(detections, expected, "checkpoint", box_atol=1e-3, score_atol=1e-5)


def test_a_checkpoint_continues_a_training(folder, expected):
    net, path = rebuilt(folder)
    for block in (net.backbone, net.box_head):
        freeze(block)
    trainer = mx.gluon.Trainer(
        training.trainable_parameters(net), "sgd", {"learning_rate": 1.0}, update_on_kvstore=False
    )
    training.load(path, net, trainer)
    assert trainer.optimizer.momentum == pytest.approx(0.9)
    assert trainer.optimizer.wd == pytest.approx(1e-4)
    states = trainer._updaters[0].states
    norms = [np.linalg.norm(states[index].asnumpy()) for index in sorted(states)]
    np.testing.assert_allclose(norms, expected["momentum_norms"], rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_export_gives_the_recorded_detections(folder, expected, dtype):
    predictor = Predictor(str(folder / dtype))
    assert predictor.classes == ("red", "white", "blue")
    detections = predictor(expected["photo"])
    assert_recorded(detections, expected, dtype, box_atol=1e-3, score_atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_manifest_of_an_export_has_the_present_names(folder, dtype):
    _, manifest = load(str(folder / dtype))
    assert manifest["dtype"] == dtype
    assert manifest["input"] == {
        "name": "data",
        "layout": "NCHW",
        "color": "RGB",
        "dtype": "float32",
        "image_size": None,
    }
    assert manifest["provenance"]["versions"]["gluonnorm"].startswith("0.1.")


def test_converted_weights_give_the_recorded_maps(folder, expected):
    backbone = model_zoo.get_model("resnet18_v1b")
    backbone.load_parameters(str(folder / "converted.params"))
    net, _ = rebuilt(folder)
    pixels = prepare(expected["photo"], net.preprocess).pixels
    maps = [array.asnumpy() for array in backbone(mx.nd.array(pixels[None]))]
    np.testing.assert_allclose(
        [array.mean() for array in maps], expected["converted_means"], rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        [array.std() for array in maps], expected["converted_stds"], rtol=1e-4
    )


def test_a_custom_row_that_has_other_settings_today_is_rebuilt_with_its_own(folder):
    """Today ``faster_rcnn_resnet50_v1b_custom`` has GluonCV's settings, with 9 anchors a cell.

    In version 0.1 it had those of GluonCV's COCO detector. The spec of a file holds all of them.
    """
    spec = training.read(str(folder / "checkpoint-0000002.json"))["spec"]
    name = "faster_rcnn_resnet50_v1b_custom"
    coco = model_zoo.catalogue.MODELS["faster_rcnn_resnet50_v1b_coco"]
    old_config = dataclasses.asdict(DetectorConfig(**coco.settings))
    # Only the settings that version 0.1 knew are in its files.
    old_config = {key: old_config[key] for key in spec["config"]}
    net = model_zoo.from_spec({**spec, "model": name, "norm": "gn", "config": old_config})
    assert net.config == DetectorConfig(**coco.settings)
    assert net.rpn.score.weight.shape[0] == 15
    assert net.short == 800 and net.nms_thresh == 0.5
    today = model_zoo.get_model(name, classes=("red", "white"))
    assert today.rpn.score.weight.shape[0] == 9
    assert today.short == 600 and today.nms_thresh == 0.3
