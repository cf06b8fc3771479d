"""The programs of docs/deploy/cpp detect what a Predictor detects, on either run time."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import model_zoo
from gluonnorm.deploy import Predictor, export, load
from gluonnorm.deploy.bundle import manifest_digest
from gluonnorm.photos.prepare import prepare
from gluonnorm.types import Preprocess

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn
from photo_files import write_photo_files
from PIL import Image
from pycocotools import mask as run_length_codec
from tiny_detector import images, tiny_detector
from tiny_export import exported

pytestmark = pytest.mark.slow  # the programs are compiled first

RUN_TIMES = ("mxnet", "onnxruntime")
HEADERS = {
    "jpeglib.h": "libjpeg-dev",
    "png.h": "libpng-dev",
    "openssl/sha.h": "libssl-dev",
    "nlohmann/json.hpp": "nlohmann-json3-dev",
    "stb/stb_easy_font.h": "libstb-dev",
}
PACKAGES = "apt-get install g++ cmake " + " ".join(HEADERS.values())
# Every value that a manifest can have for the way of a photo into the network.
SETTINGS = {
    "pixel": {"resize": "pixel", "rounding": "nearest"},
    "float": {"resize": "float", "rounding": "floor", "normalize": False, "inclusive": True},
    "antialias": {"resize": "antialias", "rounding": "even", "order": "BGR"},
    "raw_bgr": {"resize": "float", "rounding": "even", "normalize": False, "order": "BGR"},
    "several": {
        "short": [32, 80],
        "max_size": 90,
        "std": [57.375, 57.12, 1e-05],
        "mean": [1, 2, 3],
    },
}
CASES = [
    ("fpn", "pixel", "sample"),
    ("mask_fpn", "pixel", "sample"),
    ("mask_fpn", "float", "expand"),
    ("mask_fpn", "antialias", "round"),
]


def compiles(compiler, header, *flags):
    """Tell whether the compiler finds a header."""
    source = f"#include <cstddef>\n#include <cstdio>\n#include <{header}>\n"
    command = [compiler, "-xc++", "-std=c++17", "-E", "-", *flags]
    return subprocess.run(command, input=source.encode(), capture_output=True).returncode == 0


def onnxruntime_options(compiler):
    """Options of CMake for onnxruntime, and why its program cannot be built, or ""."""
    if importlib.util.find_spec("onnxruntime") is None:
        return [], "onnxruntime is not installed; pip install 'gluonnorm[onnx]'"
    headers = os.environ.get("ONNXRUNTIME_HEADERS", "/usr/include/onnxruntime")
    if not compiles(compiler, "onnxruntime_cxx_api.h", f"-I{headers}"):
        return [], (
            "onnxruntime_cxx_api.h is not in $ONNXRUNTIME_HEADERS; run "
            "docs/deploy/cpp/onnxruntime_headers.sh"
        )
    text = (Path(headers) / "onnxruntime_c_api.h").read_text()
    api_version = int(re.search(r"#define ORT_API_VERSION (\d+)", text)[1])
    installed = importlib.metadata.version("onnxruntime")
    if int(installed.split(".")[1]) < api_version:
        return [], f"the headers of onnxruntime 1.{api_version} are newer than {installed}"
    package = importlib.util.find_spec("onnxruntime").submodule_search_locations[0]
    return [f"-DONNXRUNTIME_HEADERS={headers}", f"-DONNXRUNTIME_PACKAGE={package}"], ""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the programs, and why that of onnxruntime is not among them."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None or shutil.which("cmake") is None:
        pytest.skip(f"no C++ compiler or no cmake on this machine: {PACKAGES}")
    missing = [header for header in HEADERS if not compiles(compiler, header)]
    if missing:
        pytest.skip(f"no {', '.join(missing)} on this machine: {PACKAGES}")
    folder = tmp_path_factory.mktemp("cpp")
    source = Path(__file__).with_name("cpp")
    options, reason = onnxruntime_options(compiler)
    # Compiling takes longer than all runs together, and most of it would be spent on speed.
    flags = [
        "-DCMAKE_BUILD_TYPE=Debug",
        "-DCMAKE_CXX_FLAGS=-O1",
        f"-DMXNET_PACKAGE={Path(mx.__file__).parent}",
    ]
    configure = ["cmake", "-S", str(source), "-B", str(folder), *flags, *options]
    for command in (configure, ["cmake", "--build", str(folder)]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
    return SimpleNamespace(folder=folder, no_onnxruntime=reason)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photo_files(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Exports of two tiny detectors, for MXNet and, where it is installed, in ONNX."""
    folder = tmp_path_factory.mktemp("networks")
    formats = ["mxnet"] if importlib.util.find_spec("onnx") is None else ["mxnet", "onnx"]
    for kind in ("fpn", "mask_fpn"):
        net = tiny_detector(kind, short=64, max_size=96)
        for name in formats:
            export(net, str(folder / kind), format=name)
    return folder


def detect(built, run_time, *arguments, **options):
    """Run the program of a run time."""
    if run_time == "onnxruntime" and built.no_onnxruntime:
        pytest.skip(built.no_onnxruntime)
    command = [str(built.folder / "programs" / f"detect-{run_time}"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def with_settings(networks, folder, kind, preprocess, convention):
    """Copy an export, and change how its manifest prepares photos."""
    for path in networks.glob(f"{kind}[.-]*"):
        shutil.copy(path, folder)
    path = folder / f"{kind}.json"
    manifest = json.loads(path.read_text())
    manifest["preprocess"].update(preprocess)
    manifest["config"]["convention"].update(convention)
    manifest["provenance"]["sha256"]["record"] = manifest_digest(manifest)
    path.write_text(json.dumps(manifest))
    return folder / kind


@pytest.mark.parametrize("name", list(SETTINGS))
def test_photos_become_the_same_input(built, photos, name, tmp_path):
    preprocess = {"short": [64], "max_size": 96, **SETTINGS[name]}
    manifest = {"classes": ["cat"], "input": {"name": "data"}, "preprocess": preprocess}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    program = built.folder / "write-input"
    command = [program, tmp_path / "manifest.json", *photos, tmp_path / "inputs"]
    subprocess.run(list(map(str, command)), check=True)
    data = (tmp_path / "inputs").read_bytes()
    for photo in photos:
        expected = prepare(str(photo), Preprocess.from_manifest(preprocess)).pixels
        size = tuple(np.frombuffer(data, np.int64, 2))
        found = np.frombuffer(data, np.float32, expected.size, 16)
        assert size == expected.shape[1:], photo.name
        difference = np.abs(found.reshape(expected.shape) - expected).max()
        # Pillow 13 averages some photos along y first, which rounds other sums to a gray level.
        is_tall = expected.shape[1] > 1.3 * expected.shape[2]
        gray_level = 1.001 / min(Preprocess().std)
        limit = gray_level if name == "antialias" and is_tall else 0
        assert difference <= limit, photo.name
        data = data[16 + expected.nbytes :]
    assert not data


@pytest.mark.parametrize("run_time", RUN_TIMES)
@pytest.mark.parametrize("kind, setting, mask_paste", CASES)
def test_detections_are_those_of_a_predictor(
    built, networks, photos, run_time, kind, setting, mask_paste, tmp_path
):
    preprocess = SETTINGS[setting]
    prefix = with_settings(networks, tmp_path, kind, preprocess, {"mask_paste": mask_paste})
    names = ("turned6.png", "cmyk.jpg", "211x173.png", "40x200.png")
    files = [photo for photo in photos if photo.name in names]
    flags = ["--exported", prefix, "--json", tmp_path / "found.json", "--score-thresh", "0.1"]
    done = detect(built, run_time, *flags, "--output", tmp_path / "drawn", *files)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "found.json").read_text())
    predictor = Predictor(str(prefix), backend=run_time)
    assert found["classes"] == list(predictor.classes)
    assert found["inclusive"] == preprocess.get("inclusive", False)
    assert [entry["file"] for entry in found["images"]] == list(map(str, files))
    for file, entry, line in zip(files, found["images"], done.stdout.splitlines()):
        expected = predictor(str(file))
        assert len(expected.scores) > 0
        compare(entry, expected)
        picture = tmp_path / "drawn" / f"{file.stem}-detections.jpg"
        assert line.startswith(f"{file}: ") and line.endswith(f" -> {picture}")
        drawn_counts = re.findall(r"(\d+) (?:disc|square|star)", line[len(str(file)) :])
        assert sum(map(int, drawn_counts)) == (expected.scores >= 0.1).sum()
        check_picture(picture, file, entry)


def compare(entry, expected):
    """Compare the detections of a photo in JSON with those of a predictor."""
    rows = entry["detections"]
    assert [row["id"] for row in rows] == expected.ids.tolist()
    assert all(row["class"] == ("disc", "square", "star")[row["id"]] for row in rows)
    scores = [row["score"] for row in rows]
    boxes = [row["box"] for row in rows]
    np.testing.assert_allclose(scores, expected.scores, rtol=0, atol=1e-4)
    np.testing.assert_allclose(boxes, expected.boxes, rtol=0, atol=0.05)
    assert any("mask" in row for row in rows) == (expected.masks is not None)
    if expected.masks is None:
        return
    assert expected.masks.any()
    for row, mask in zip(rows, expected.masks):
        assert row["mask"]["size"] == [entry["height"], entry["width"]] == list(mask.shape)
        decoded = run_length_codec.decode(row["mask"]).astype(bool)
        assert (decoded != mask).sum() <= 0.005 * mask.sum()


def check_picture(picture, photo, entry):
    """Check the size of a picture, and that the best detection of the photo is drawn."""
    drawn = np.asarray(Image.open(picture), int)
    original = np.asarray(Image.open(photo).convert("RGB"), int)
    assert drawn.shape == (entry["height"], entry["width"], 3)
    if original.shape != drawn.shape:
        return  # turned by EXIF
    best = entry["detections"][0]
    if best["score"] >= 0.1:
        x1, y1, x2, y2 = map(int, best["box"])
        change = np.abs(drawn - original).sum(axis=2)
        assert change[y1 : y2 + 1, x1 : x2 + 1].max() > 100


@pytest.mark.parametrize("kind, dtype, size", [
    ("mask_fpn", "float32", (2, 120, 90)),
    ("mask_fpn", "bfloat16", (1, 64, 96)),
    ("c4", "int8", (2, 64, 96)),
])  # fmt: skip
def test_the_c_api_answers_like_the_block(built, kind, dtype, size, tmp_path):
    prefix, x = exported(tmp_path, kind, dtype), images(*size)
    x.asnumpy().astype(np.float32).tofile(tmp_path / "input")
    shape = [str(x.shape[axis]) for axis in (0, 2, 3)]
    command = [built.folder / "run-mxnet", prefix, *shape, tmp_path / "input", tmp_path / "output"]
    subprocess.run(list(map(str, command)), check=True)
    found = read_arrays((tmp_path / "output").read_bytes())
    expected = [output.asnumpy() for output in load(prefix)[0](x)]
    assert (expected[1] > 0).sum() > 5 and len(found) == len(expected)
    for output, wanted in zip(found, expected):
        np.testing.assert_allclose(output, wanted, rtol=0, atol=1e-4)


def read_arrays(data):
    """Read what run_network.cpp writes."""
    arrays = []
    while data:
        axis_count = int(np.frombuffer(data, np.int64, 1)[0])
        shape = np.frombuffer(data, np.int64, axis_count, 8)
        start = 8 + 8 * axis_count
        size = int(shape.prod())
        arrays.append(np.frombuffer(data, np.float32, size, start).reshape(shape))
        data = data[start + 4 * size :]
    return arrays


def test_an_onnx_file_is_enough(built, networks, photos, tmp_path):
    if built.no_onnxruntime:
        pytest.skip(built.no_onnxruntime)
    shutil.copy(networks / "fpn.onnx", tmp_path)
    beside, alone = (
        detect(built, "onnxruntime", "--exported", folder / "fpn", "--json", "/dev/stdout",
               "--output", tmp_path, photos[0])
        for folder in (networks, tmp_path)
    )  # fmt: skip
    assert alone.returncode == 0 and '"score"' in alone.stdout
    assert alone.stdout == beside.stdout


@pytest.mark.parametrize("run_time", RUN_TIMES)
def test_a_bad_photo_is_one_line_and_the_others_go_on(built, networks, photos, run_time, tmp_path):
    jpeg = next(photo for photo in photos if photo.name == "fine.jpg").read_bytes()
    png = next(photo for photo in photos if photo.name == "rgb.png").read_bytes()
    dark = np.full((20, 30), 9000, np.uint16)
    Image.fromarray(dark).save(tmp_path / "dark.png")
    shape = np.zeros((20, 30, 4), np.uint8)
    shape[5:9, 5:9, 3] = 255
    Image.fromarray(shape).save(tmp_path / "shape.png")
    (tmp_path / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "cut.png").write_bytes(png[: len(png) // 2])
    (tmp_path / "flipped.png").write_bytes(png[:30] + bytes([png[30] ^ 1]) + png[31:])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    Image.new("RGB", (70, 70)).save(tmp_path / "large.png")
    names = ("dark.png", "shape.png", "cut.jpg", "cut.png", "flipped.png", "text.jpg", "empty.png",
             "folder.jpg", "pipe.jpg", "large.png", "missing.jpg")  # fmt: skip
    Image.new("RGB", (50, 40)).save(tmp_path / "good.png")
    flags = ["--exported", networks / "fpn", "--json", tmp_path / "found.json"]
    done = detect(
        built, run_time, *flags, *names, "good.png", cwd=tmp_path, timeout=60,
        env={**os.environ, "GLUONNORM_MAX_PIXELS": "4000"},
    )  # fmt: skip
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["error", name] for name in names]
    assert done.stdout.startswith("good.png: ") and done.stdout.count("\n") == 1
    entries = json.loads((tmp_path / "found.json").read_text())["images"]
    assert [f"error: {entry['error']}" for entry in entries[:-1]] == lines
    for name in names:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GLUONNORM_MAX_PIXELS", "4000")
            patch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            with pytest.raises(ValueError):
                prepare(str(tmp_path / name), Preprocess())


def test_a_photo_that_the_network_cannot_take_is_named(built, tmp_path):
    features = nn.HybridSequential()
    # On a map of one column, this pooling has no output.
    features.add(nn.Conv2D(8, 3, 4, 1), nn.AvgPool2D(2, 2), nn.Conv2D(8, 3, 2, 1))
    settings = {"short": 64, "max_size": 96, "multiple": 1, "rpn_test_post_nms": 10, "roi_size": 3}
    net = model_zoo.get_faster_rcnn(features, nn.Conv2D(8, 3), classes=["cat"], **settings)
    export(net, str(tmp_path / "own"))
    for name, size in (("a.png", (40, 50)), ("narrow.png", (3, 2000)), ("b.png", (50, 40))):
        Image.new("RGB", size, (99, 99, 99)).save(tmp_path / name)
    flags = ["--exported", "own", "--json", "found.json"]
    done = detect(built, "mxnet", *flags, "a.png", "narrow.png", "b.png", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: narrow.png: MXNet: ")
    first, refused, last = json.loads((tmp_path / "found.json").read_text())["images"]
    assert done.stderr == f"error: {refused['error']}\n"
    assert "detections" in first and "detections" in last


@pytest.mark.parametrize("run_time", RUN_TIMES)
def test_no_picture_replaces_another_one(built, networks, run_time, tmp_path):
    """Names that a number would make equal, a long name, and a photo that no JPEG file can hold."""
    (tmp_path / "more").mkdir()
    # A letter has 3 bytes.
    names = ("a.png", "more/a.png", "a-2.png", f"{'猫' * 83}.png")
    for name in names:
        Image.new("RGB", (50, 40)).save(tmp_path / name)
    Image.new("L", (65501, 1)).save(tmp_path / "long.png")
    flags = ["--exported", networks / "fpn", "--json", "found.json", "--output", "drawn"]
    done = detect(built, run_time, *flags, "long.png", *names, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: long.png: has a side of 65501 pixels")
    drawn = {path.name for path in (tmp_path / "drawn").iterdir()}
    stems = ("a", "a-2", "a-2-2", "猫" * 66)  # 200 bytes are kept
    assert drawn == {f"{stem}-detections.jpg" for stem in stems}
    entries = json.loads((tmp_path / "found.json").read_text())["images"]
    assert [entry["file"] for entry in entries] == ["long.png", *names]


@pytest.mark.parametrize("run_time", RUN_TIMES)
def test_results_never_replace_the_network(built, networks, photos, run_time, tmp_path):
    for path in networks.glob("fpn*"):
        shutil.copy(path, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("fpn.json", "./fpn.onnx"):
        flags = ["--exported", tmp_path / "fpn", "--json", name, "--output", "drawn"]
        done = detect(built, run_time, *flags, photos[0], cwd=tmp_path)
        message = f"--json would write {name}, which is a file of --exported too; give another name"
        assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("run_time", RUN_TIMES)
def test_results_never_replace_a_photo(built, networks, run_time, tmp_path):
    for name in ("a.png", "b.png", "b-detections.jpg"):
        Image.new("RGB", (50, 40)).save(tmp_path / name)
    (tmp_path / "shot").write_bytes((tmp_path / "a.png").read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    cases = [
        ("--json would replace a.png, an image, by text", ["--json", "a.png", "b.png"]),
        (
            "--json would write ./shot, which is a file of the photos too",
            ["shot", "--json", "./shot"],
        ),
        (
            "the picture of b.png would replace b-detections.jpg, which is one of the photos",
            ["b.png", "b-detections.jpg", "--output", "."],
        ),
    ]
    for message, words in cases:
        done = detect(built, run_time, "--exported", networks / "fpn", *words, cwd=tmp_path)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"error: {message}; give ")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


BROKEN = {
    "missing weights": ("-0000.params", None, "fpn-0000.params is missing"),
    "missing manifest": (".json", None, "fpn.json is missing"),
    "altered weights": ("-0000.params", lambda data: data[:-1] + b"?", "its checksum differs"),
    "altered graph": ("-symbol.json", lambda data: data + b" ", "its checksum differs"),
    "altered manifest": (
        "fpn.json",
        lambda data: data.replace(b"123.675", b"123.676", 1),
        "fpn.json was altered",
    ),
    "no JSON": ("fpn.json", lambda data: data[: len(data) // 2], "is not the manifest"),
    "another JSON": ("fpn.json", lambda data: b'{"classes": []}', "is not the manifest"),
    "no object": ("fpn.json", lambda data: b"[3]", "is not the manifest"),
}


@pytest.mark.parametrize("fault", list(BROKEN))
def test_wrong_files_are_one_line(built, networks, photos, fault, tmp_path):
    ending, change, message = BROKEN[fault]
    prefix = tmp_path / "fpn"
    for path in networks.glob("fpn*"):
        shutil.copy(path, tmp_path)
    path = tmp_path / (ending if ending.startswith("fpn") else f"fpn{ending}")
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    done = detect(built, "mxnet", "--exported", prefix, photos[0], cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not (tmp_path / "detections").exists()


UNKNOWN = {
    "a field": ({"blur": 3}, {}, "preprocess has blur"),
    "a method": ({"resize": "cubic"}, {}, 'resize is "cubic"; this program knows antialias'),
    "a rounding": ({"rounding": 3}, {}, "rounding is 3, of a wrong type"),
    "no length": ({"short": []}, {}, "short is"),
    "half a pixel": ({"max_size": 99.5}, {}, "max_size is 99.5"),
    "two means": ({"mean": [1, 2]}, {}, "mean is [1,2]"),
    "no deviation": ({"std": [1, 0, 1]}, {}, "std is"),
    "a switch": ({"normalize": 1}, {}, "normalize is 1, of a wrong type"),
    "a way to paste": ({}, {"mask_paste": "blend"}, 'mask_paste is "blend"'),
}


@pytest.mark.parametrize("fault", list(UNKNOWN))
def test_an_unknown_setting_is_one_line(built, networks, photos, fault, tmp_path):
    preprocess, convention, message = UNKNOWN[fault]
    prefix = with_settings(networks, tmp_path, "fpn", preprocess, convention)
    done = detect(built, "mxnet", "--exported", prefix, photos[0])
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        f"error: {prefix}.json is not the manifest of an exported network"
    )
    assert message in done.stderr


@pytest.mark.parametrize("arguments", [
    [], ["photo.jpg"], ["--exported", "a"], ["--exported"], ["--exported", "a", "--size", "3", "b"],
    ["--exported", "a", "--score-thresh", "2", "b"],
])  # fmt: skip
def test_wrong_flags_tell_where_the_right_ones_are(built, arguments):
    done = detect(built, "mxnet", *arguments)
    assert done.returncode == 2
    assert "--exported" in done.stdout or done.stderr.rstrip().endswith("see --help")
