"""Predictors in other run times than MXNet: the same detections, and errors that say what to do."""

import json
import shutil
import sys
from types import SimpleNamespace

from gluonnorm.data import draw_shapes
from gluonnorm.deploy import DeployError, Predictor, export, load
from gluonnorm.deploy.backends import choice
from gluonnorm.deploy.backends.choice import RUN_TIMES, backend_module, choose_backend
from gluonnorm.deploy.backends.graph_files import open_graph_files
from gluonnorm.deploy.bundle import FILE_SUFFIXES
from gluonnorm.errors import InputError
from gluonnorm.photos.files import image_files

import mxnet as mx
import numpy as np
import pytest
from detection_sets import assert_same_detections
from in_process import run_script
from optional_packages import require
from tiny_detector import CLASSES, tiny_detector

ONNX_RUN_TIMES = ("onnxruntime", "openvino")
SETTINGS = {"short": 96, "max_size": 128, "score_thresh": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn photos in folder/shapes/val, and exports of both formats of two tiny detectors."""
    require("onnx")
    folder = tmp_path_factory.mktemp("backends")
    draw_shapes(folder / "shapes", train=1, val=3)
    for kind in ("fpn", "mask_fpn"):
        net = tiny_detector(kind, **SETTINGS)
        for name in ("mxnet", "onnx"):
            export(net, folder / kind, format=name)
        (folder / "alone").mkdir(exist_ok=True)
        shutil.copy(folder / f"{kind}.onnx", folder / "alone")
    return folder


def as_outputs(detections):
    """The detections of a photo as the outputs of a network for a batch of one image."""
    ids, scores, boxes = detections.ids, detections.scores, detections.boxes
    outputs = [ids[None, :, None], scores[None, :, None], boxes[None]]
    if detections.masks is not None:
        outputs.append(detections.masks[None].astype(np.float32))
    return outputs


@pytest.mark.parametrize("run_time", ONNX_RUN_TIMES)
@pytest.mark.parametrize("kind", ["fpn", "mask_fpn"])
@pytest.mark.parametrize("place", ["", "alone/"])
def test_each_run_time_gives_the_detections_of_mxnet(folder, run_time, kind, place):
    require(run_time)
    photos = image_files(folder / "shapes" / "val")
    expected = Predictor(str(folder / kind), backend="mxnet")(photos)
    predictor = Predictor(f"{folder}/{place}{kind}", batch_size=2, backend=run_time)
    assert predictor.net is None and predictor.classes == CLASSES
    for found, wanted in zip(predictor(photos), expected):
        assert len(wanted.ids) > 3
        assert (found.masks is None) == (kind == "fpn")
        assert_same_detections(as_outputs(found), as_outputs(wanted))
    photo = np.full((70, 50, 3), 90, np.uint8)
    assert len(predictor(photo, resize=False).ids) > 0
    assert len(predictor(np.zeros((4000, 7, 3), np.uint8)).ids) > 0


def test_demo_runs_an_onnx_file_in_the_run_time_of_the_flag(folder, tmp_path):
    require("onnxruntime")
    found = {}
    for run_time in ("mxnet", "onnxruntime"):
        saved = tmp_path / f"{run_time}.json"
        done = run_script(
            "demo.py",
            folder / "shapes" / "val",
            *("--exported", folder / "mask_fpn", "--backend", run_time),
            *("--output", tmp_path, "--json", saved, "--score-thresh", 0),
        )
        assert done.returncode == 0, done.stderr
        images = json.loads(saved.read_text())["images"]
        found[run_time] = [[row["id"] for row in image["detections"]] for image in images]
    assert found["mxnet"] == found["onnxruntime"] and all(found["mxnet"])


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--params", "a.json", "--backend", "mxnet"], "--backend runs exported files; give --exp"),
        (["--exported", "a", "--backend", "mxnet"], "a-symbol.json and a-0000.params and a.json"),
        (["--exported", "a", "--backend", "mxnet", "--set", "b=1"], "--set cannot change exported"),
    ],
)
def test_demo_refuses_flags_that_do_not_fit(tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").touch()
    done = run_script("demo.py", "photo.png", *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and message in done.stderr


@pytest.mark.parametrize("run_time", ONNX_RUN_TIMES)
def test_damaged_files_are_one_line(folder, tmp_path, run_time):
    require(run_time)
    content = (folder / "fpn.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(DeployError, match="cut.onnx cannot be loaded .*; export again") as caught:
        Predictor(str(tmp_path / "cut"), backend=run_time)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "installed, expected",
    [
        (("mxnet", "onnxruntime", "openvino"), "mxnet"),
        (("onnxruntime", "openvino"), "onnxruntime"),
        (("openvino",), "openvino"),
    ],
)
def test_the_first_installed_run_time_that_has_files_is_chosen(
    tmp_path, monkeypatch, installed, expected
):
    monkeypatch.setattr(choice, "_is_installed", installed.__contains__)
    (tmp_path / "net.onnx").touch()
    of_onnx = "onnxruntime" if "onnxruntime" in installed else "openvino"
    assert choose_backend(str(tmp_path / "net")) == of_onnx
    (tmp_path / "net-symbol.json").touch()
    assert choose_backend(str(tmp_path / "net")) == expected


@pytest.mark.parametrize(
    "suffix, message",
    [
        (".onnx", r"net.onnx can be run by onnxruntime or openvino, .* 'gluonnorm\[onnx\]'"),
        ("-symbol.json", r"net-symbol.json can be run by mxnet, .* 'gluonnorm\[cpu\]'"),
    ],
)
def test_files_without_a_run_time_name_what_to_install(tmp_path, monkeypatch, suffix, message):
    monkeypatch.setattr(choice, "_is_installed", lambda package: False)
    (tmp_path / f"net{suffix}").touch()
    with pytest.raises(DeployError, match=message):
        Predictor(str(tmp_path / "net"))


def test_no_files_at_all_names_those_of_both_formats(tmp_path):
    with pytest.raises(
        DeployError, match="net-symbol.json and .* missing; .*net.onnx, or two of OpenVINO"
    ):
        Predictor(str(tmp_path / "net"))


@pytest.mark.parametrize("run_time", RUN_TIMES)
def test_a_missing_package_is_one_line_with_the_command(tmp_path, monkeypatch, run_time):
    entry = RUN_TIMES[run_time]
    monkeypatch.setitem(sys.modules, entry.package, None)
    for module in [name for name in sys.modules if name == entry.module]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(DeployError) as caught:
        Predictor(str(tmp_path / "net"), backend=run_time)
    assert f"backend '{run_time}' needs the package {entry.package}" in str(caught.value)
    assert str(caught.value).endswith(f"install it with {entry.install}")


@pytest.mark.parametrize(
    "name, hint", [("onnxruntim", "did you mean onnxruntime"), (3, "give one")]
)
def test_an_unknown_run_time(tmp_path, name, hint):
    with pytest.raises(InputError, match=f"backend is {name!r}; .*{hint}"):
        backend_module(name)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """An ONNX file that was written without the package onnx, and its manifest."""
    contents = []

    def write(graph, inputs, outputs, metadata):
        contents.append(metadata)
        return b"a graph"

    monkeypatch.setattr(sys.modules[export.__module__], "load_writer", lambda: write)
    export(tiny_detector("c4"), str(tmp_path / "net"), format="onnx")
    return contents[0]


class FakeBackend(SimpleNamespace):
    """A run time that loads any file."""

    input_names = ["data"]
    output_names = ["ids", "scores", "boxes"]


def opener(metadata, **changes):
    return lambda path: FakeBackend(metadata=metadata, **changes)


def test_the_manifest_is_in_the_file_as_well(tmp_path, written):
    prefix = str(tmp_path / "net")
    _, beside = open_graph_files(prefix, None, "onnx", opener({}))
    (tmp_path / "net.json").unlink()
    backend, inside = open_graph_files(prefix, None, "onnx", opener(written))
    assert isinstance(backend, FakeBackend)
    del beside["provenance"]["sha256"], inside["provenance"]["sha256"]
    assert inside == beside


@pytest.mark.parametrize(
    "metadata, message",
    [
        ({}, "net.onnx has no manifest in its metadata"),
        ({"manifest": "{"}, "the metadata of .*net.onnx is not the manifest"),
        ({"manifest": "[" * 10000}, "the metadata of .*net.onnx is not the manifest"),
        ({"manifest": "[]"}, "the metadata of .*net.onnx is not the manifest"),
        ({"manifest": '{"provenance": {}}'}, "the metadata of .*net.onnx is not the manifest"),
        (
            {"manifest": '{"provenance": {"sha256": {"weights": ""}}, "input": {"name": 3}}'},
            "input.name is missing or no text",
        ),
    ],
)
def test_a_file_without_a_right_manifest_is_refused(tmp_path, metadata, message):
    (tmp_path / "net.onnx").touch()
    with pytest.raises(DeployError, match=message):
        open_graph_files(str(tmp_path / "net"), None, "onnx", opener(metadata))


def test_altered_and_foreign_files_are_refused(tmp_path, written):
    prefix = str(tmp_path / "net")
    with pytest.raises(DeployError, match=r"outputs \['boxes'\], its manifest says .*export again"):
        open_graph_files(prefix, None, "onnx", opener({}, output_names=["boxes"]))
    manifest = (tmp_path / "net.json").read_text()
    (tmp_path / "net.json").write_text(manifest.replace('"disc"', '"disk"'))
    with pytest.raises(DeployError, match="net.json was altered"):
        open_graph_files(prefix, None, "onnx", opener({}))
    (tmp_path / "net.json").write_text(manifest)
    (tmp_path / "net.onnx").write_bytes(b"another graph")
    with pytest.raises(DeployError, match="net.onnx is not the file .*copy all files of"):
        open_graph_files(prefix, None, "onnx", opener({}))
    (tmp_path / "net.json").write_text("{}")
    with pytest.raises(DeployError, match="net.json is not the manifest of an exported network"):
        open_graph_files(prefix, None, "onnx", opener({}))


def test_a_manifest_of_another_export_does_not_describe_the_file(tmp_path, written):
    prefix = str(tmp_path / "net")
    with pytest.warns(UserWarning, match="net.onnx are of an earlier export"):
        export(tiny_detector("c4", nms_thresh=0.4), prefix)
    load(prefix)
    with pytest.raises(
        DeployError, match="net.json describes files of another format, and not .*net.onnx"
    ):
        open_graph_files(prefix, None, "onnx", opener(written))


@pytest.mark.parametrize("backend", [None, "mxnet", "onnxruntime"])
def test_a_prefix_may_be_a_path_with_files_and_without(folder, backend):
    require("onnxruntime")
    assert Predictor(folder / "fpn", backend=backend).classes == CLASSES
    with pytest.raises(DeployError, match="absent.* missing"):
        Predictor(folder / "absent", backend=backend)
    with pytest.raises(DeployError, match="absent.* missing"):
        load(folder / "absent")


def test_a_missing_onnx_file_names_the_way_out(tmp_path, written):
    with pytest.raises(DeployError, match="other.onnx missing; export with format='onnx'"):
        open_graph_files(str(tmp_path / "other"), None, "onnx", opener(written))
    with pytest.raises(DeployError, match="net.onnx.onnx missing; give .*net alone"):
        open_graph_files(str(tmp_path / "net.onnx"), None, "onnx", opener(written))


@pytest.mark.parametrize("backend", [None, *RUN_TIMES])
@pytest.mark.parametrize("suffix", [*FILE_SUFFIXES.values(), ".json"])
def test_the_name_of_a_file_is_no_prefix(tmp_path, backend, suffix):
    require(backend or "mxnet")
    (tmp_path / f"net{suffix}").touch()
    with pytest.raises(DeployError, match=f" missing; .*give {tmp_path}/net alone$"):
        Predictor(tmp_path / f"net{suffix}", backend=backend)


@pytest.mark.parametrize("backend", [None, *RUN_TIMES])
def test_a_folder_is_no_prefix(tmp_path, backend):
    require(backend or "mxnet")
    (tmp_path / "net.onnx").touch()
    message = (
        f"{tmp_path} is a folder: add the first part of the files' names, as in {tmp_path}/model"
    )
    with pytest.raises(DeployError, match=f" missing; .*{message}$"):
        Predictor(tmp_path, backend=backend)


def test_contexts_are_those_of_mxnet(tmp_path, written):
    with pytest.raises(InputError, match=r"ctx is cpu\(0\) for a file of ONNX"):
        open_graph_files(str(tmp_path / "net"), mx.cpu(), "onnx", opener(written))


def test_the_number_of_classes_is_that_of_the_network(tmp_path, written):
    manifest = json.loads(written["manifest"])
    manifest["classes"].append("moon")
    (tmp_path / "net.json").unlink()
    with pytest.raises(DeployError, match="classes has 4 names, the network was for 3"):
        open_graph_files(
            str(tmp_path / "net"), None, "onnx", opener({"manifest": json.dumps(manifest)})
        )
