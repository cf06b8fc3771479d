"""demo.py from end to end: folders, faulty files, and its JSON against the predictor's results."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import model_zoo
from gluonnorm import deploy
from gluonnorm.data import COCODataset

import numpy as np
import pytest
from in_process import SCRIPTS, run_script
from mxnet.gluon import nn
from PIL import Image
from pycocotools import mask as run_lengths
from tiny_detector import CLASSES, tiny_detector

SETTINGS = {"short": 64, "max_size": 96, "score_thresh": 0.0}


def demo(*args):
    return run_script("demo.py", *args)


@pytest.fixture(scope="module", params=["fpn", "mask_fpn"])
def exported(request, tmp_path_factory):
    prefix = str(tmp_path_factory.mktemp("exported") / "tiny")
    deploy.export(tiny_detector(request.param, **SETTINGS), prefix)
    return prefix


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of two photos, one file that is none, and one that has nothing to do with it."""
    folder = tmp_path_factory.mktemp("photos")
    for name, (height, width) in (("b.png", (50, 77)), ("a.PNG", (64, 40))):
        blocks = np.random.default_rng(width).integers(
            0, 256, (-(-height // 6), -(-width // 6), 3), dtype=np.uint8
        )
        Image.fromarray(blocks.repeat(6, axis=0).repeat(6, axis=1)[:height, :width]).save(
            folder / name
        )
    (folder / "broken.jpg").write_bytes((folder / "b.png").read_bytes()[:100])
    (folder / "notes.txt").write_text("no image")
    return folder


def test_json_holds_what_the_predictor_finds(exported, photos, tmp_path):
    target = tmp_path / "new" / "found.json"
    status, printed, errors = demo(
        photos,
        tmp_path / "absent.jpg",
        photos / "b.png",
        "--exported",
        exported,
        "--output",
        tmp_path / "drawn",
        "--json",
        target,
        "--score-thresh",
        "1",
    )
    assert (
        status == 1 and printed.count(": nothing -> ") == 3
    )  # of a score that nothing has; the JSON holds all
    document = json.loads(target.read_text())
    assert document["classes"] == list(CLASSES)
    entries = document["images"]
    assert [entry["file"] for entry in entries] == [
        str(path)
        for path in (
            photos / "a.PNG",
            photos / "b.png",
            photos / "broken.jpg",
            tmp_path / "absent.jpg",
            photos / "b.png",
        )
    ]
    assert [
        f"error: {entry['error']}" for entry in entries if "error" in entry
    ] == errors.splitlines()
    assert [set(entry) for entry in entries[2:4]] == [{"file", "error"}] * 2
    assert "broken.jpg: cannot be read as an image" in entries[2]["error"]
    assert entries[3]["error"] == f"{tmp_path / 'absent.jpg'}: no such image file"
    assert entries[1] == entries[4]
    predictor = deploy.Predictor(exported)
    for entry, size in zip(entries[:2], ((64, 40), (50, 77))):
        found = predictor(entry["file"])
        detections = entry["detections"]
        assert (entry["height"], entry["width"]) == size and len(detections) == len(found.ids) > 3
        np.testing.assert_array_equal([one["box"] for one in detections], found.boxes)
        np.testing.assert_array_equal(
            np.float32([one["score"] for one in detections]), found.scores
        )
        assert [one["id"] for one in detections] == found.ids.tolist()
        assert [one["class"] for one in detections] == [CLASSES[i] for i in found.ids]
        assert all(("mask" in one) == (found.masks is not None) for one in detections)
        for one, mask in zip(detections, found.masks if found.masks is not None else ()):
            np.testing.assert_array_equal(run_lengths.decode(one["mask"]), mask)
        if found.masks is not None:
            assert found.masks.any()


def test_json_without_any_image_that_can_be_read(exported, photos, tmp_path):
    status, printed, errors = demo(
        photos / "broken.jpg",
        "--exported",
        exported,
        "--output",
        tmp_path / "drawn",
        "--json",
        tmp_path / "found.json",
    )
    assert status == 1 and printed == "" and errors.count("\n") == 1
    (entry,) = json.loads((tmp_path / "found.json").read_text())["images"]
    assert f"error: {entry['error']}\n" == errors


def test_no_json_unless_it_is_asked_for(exported, photos, tmp_path):
    status, printed, errors = demo(
        photos / "a.PNG", "--exported", exported, "--output", tmp_path / "drawn"
    )
    assert (status, errors) == (0, "") and [path.name for path in tmp_path.iterdir()] == ["drawn"]
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["a-detections.jpg"]


def test_a_json_file_that_cannot_be_written_is_one_line(exported, photos, tmp_path):
    (tmp_path / "folder").mkdir()
    status, _, errors = demo(
        photos / "a.PNG",
        "--exported",
        exported,
        "--output",
        tmp_path / "drawn",
        "--json",
        tmp_path / "folder",
    )
    assert (
        status == 2
        and errors.startswith("error: ")
        and errors.count("\n") == 1
        and "folder" in errors
    )
    assert not (tmp_path / "drawn").exists()  # before the work, not after it


def test_help_says_what_the_json_holds():
    status, printed, _ = demo("--help")
    text = " ".join(printed.split())
    assert status == 0 and "--json FILE write all that the network returns, whatever" in text


def test_class_names_in_any_script_on_an_ascii_terminal(photos, tmp_path):
    """In a process of its own, because the encoding of the terminal is set when Python starts."""
    prefix = str(tmp_path / "tiny")
    net = tiny_detector("fpn", classes=("猫", "قطة", "😀"), **SETTINGS)
    deploy.export(net, prefix)
    command = [sys.executable, "-W", "error::UserWarning", SCRIPTS / "demo.py", photos / "b.png"]
    command += ["--exported", prefix, "--output", tmp_path / "drawn", "--score-thresh", "0"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LANG": "C", "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "\\u732b" in done.stdout or "\\U0001f600" in done.stdout
    assert (tmp_path / "drawn" / "b-detections.jpg").exists()


def test_a_file_that_is_no_font_is_one_line_before_the_work(exported, photos, tmp_path):
    flags = "--exported", exported, "--output", tmp_path / "drawn", "--font", photos / "notes.txt"
    done = demo(photos / "b.png", *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "notes.txt: cannot be read with letters" in done.stderr
    assert not (tmp_path / "drawn" / "b-detections.jpg").exists()


def test_large_photos_in_tiles_and_one_that_no_jpeg_can_hold(exported, tmp_path):
    blocks = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1)).save(tmp_path / "large.png")
    Image.fromarray(np.zeros((1, 65501, 3), np.uint8)).save(tmp_path / "long.png")
    names = tmp_path / "long.png", tmp_path / "large.png"
    flags = "--exported", exported, "--output", tmp_path / "drawn", "--json", tmp_path / "a.json"
    done = demo(*names, *flags, "--tile", "100")
    assert done.returncode == 1 and done.stderr == (
        f"error: {names[0]}: has a side of 65501 pixels, and the pictures are JPEG, which has at "
        "most 65500; cut it into shorter parts\n"
    )
    _, entry = json.loads((tmp_path / "a.json").read_text())["images"]
    found = deploy.Predictor(exported, tile=100, overlap=0.2)(names[1])
    assert len(found.ids) > len(deploy.Predictor(exported)(names[1]).ids)
    np.testing.assert_array_equal([one["box"] for one in entry["detections"]], found.boxes)
    for one, mask in zip(entry["detections"], found.masks if found.masks is not None else ()):
        np.testing.assert_array_equal(run_lengths.decode(one["mask"]), mask)


def test_a_photo_that_the_network_cannot_take_costs_no_other_photo(photos, tmp_path):
    features = nn.HybridSequential()
    # On a map of one column, this pooling has no output.
    features.add(nn.Conv2D(8, 3, 4, 1), nn.AvgPool2D(2, 2), nn.Conv2D(8, 3, 2, 1))
    top = nn.Conv2D(8, 3)
    settings = {**SETTINGS, "multiple": 1, "rpn_test_post_nms": 10, "roi_size": 3}
    net = model_zoo.get_faster_rcnn(features, top, classes=CLASSES, **settings)
    deploy.export(net, str(tmp_path / "own"))
    narrow = tmp_path / "narrow.png"
    Image.fromarray(np.full((2000, 3, 3), 99, np.uint8)).save(narrow)
    flags = "--exported", tmp_path / "own", "--output", tmp_path, "--json", tmp_path / "a.json"
    done = demo(photos / "a.PNG", narrow, photos / "b.png", *flags)
    first, refused, last = json.loads((tmp_path / "a.json").read_text())["images"]
    assert done.returncode == 1 and done.stderr == f"error: {refused['error']}\n"
    assert refused["error"].startswith(f"{narrow}: 2000 x 3 pixels are 96 x 1 for the network")
    assert first["detections"] and last["detections"]


def test_a_picture_of_a_photo_with_a_long_name(exported, photos, tmp_path):
    long_names = [tmp_path / f"{'猫' * 80}.png", tmp_path / f"{'猫' * 81}.png"]
    for path in long_names:
        path.write_bytes((photos / "b.png").read_bytes())
    drawn = tmp_path / "drawn"
    done = demo(*long_names, "--exported", exported, "--output", drawn)
    assert done.returncode == 0, done.stderr
    # A letter has 3 bytes, and 200 bytes are kept.
    names = sorted(path.name for path in drawn.iterdir())
    assert names == ["猫" * 66 + "-2-detections.jpg", "猫" * 66 + "-detections.jpg"]


def test_files_for_other_programs_hold_what_is_drawn(exported, photos, tmp_path):
    """The photos are in a folder below the one of the files, as Label Studio needs them."""
    folder = tmp_path / "my photos"
    folder.mkdir()
    for name in ("a.PNG", "b.png", "broken.jpg"):
        (folder / name).write_bytes((photos / name).read_bytes())
    predictor = deploy.Predictor(exported)
    found = [predictor(folder / name) for name in ("a.PNG", "b.png")]
    threshold = float(np.median(np.concatenate([one.scores for one in found])))
    flags = ["--coco", tmp_path / "new" / "coco.json", "--label-studio", tmp_path / "tasks.json"]
    flags += ["--output", tmp_path / "drawn", "--score-thresh", repr(threshold)]
    done = demo(folder, "--exported", exported, *flags)
    assert done.returncode == 1 and done.stderr.count("\n") == 1  # the broken one
    assert done.stdout.endswith(f"the labeling interface is {tmp_path / 'tasks.xml'}\n")
    content = json.loads((tmp_path / "new" / "coco.json").read_text())
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    names = [entry["file_name"] for entry in content["images"]]
    assert names == ["../my photos/a.PNG", "../my photos/b.png"]
    assert [task["data"]["image"] for task in tasks] == [
        "/data/local-files/?d=my%20photos/a.PNG",
        "/data/local-files/?d=my%20photos/b.png",
    ]
    has_masks = found[0].masks is not None
    dataset = COCODataset(tmp_path / "new" / "coco.json", folder, CLASSES, masks=has_masks)
    for number, detections in enumerate(found):
        is_drawn = detections.scores >= threshold
        if has_masks:
            is_drawn &= detections.masks.any(axis=(1, 2))
            masks = np.asarray(dataset[number].masks, bool)
            np.testing.assert_array_equal(masks, detections.masks[is_drawn])
        assert 0 < is_drawn.sum() < len(is_drawn)
        np.testing.assert_allclose(dataset[number][1], detections.boxes[is_drawn], atol=1e-4)
        (prediction,) = tasks[number]["predictions"]
        assert prediction["model_version"] == "tiny"
        scores = [region["score"] for region in prediction["result"]]
        np.testing.assert_array_equal(np.float32(scores), detections.scores[is_drawn])
        kind = "brushlabels" if has_masks else "rectanglelabels"
        labels = [region["value"][kind][0] for region in prediction["result"]]
        assert labels == [CLASSES[class_id] for class_id in detections.ids[is_drawn]]
    interface = (tmp_path / "tasks.xml").read_text(encoding="utf-8")
    assert ("BrushLabels" in interface) == has_masks
    assert all(f'value="{name}"' in interface for name in CLASSES)


def test_label_studio_needs_a_folder_above_the_photos(exported, photos, tmp_path):
    for tasks in (tmp_path / "tasks.json", photos / "tasks.json"):
        flags = ["--exported", exported, "--output", tmp_path / "drawn", "--label-studio", tasks]
        done = demo(photos / "a.PNG", *flags)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert f"such as {photos.parent / 'tasks.json'}" in done.stderr
    flags = "--exported", exported, "--output", tmp_path / "drawn", "--label-studio", "tasks.xml"
    done = demo(photos / "a.PNG", *flags)
    assert done.stderr == "error: --label-studio is tasks.xml; want a name that ends in .json\n"
    assert not (tmp_path / "drawn").exists()


def test_the_picture_has_a_legend_below_the_photo(exported, photos, tmp_path):
    flags = "--exported", exported, "--output", tmp_path / "drawn", "--score-thresh", "0"
    assert demo(photos / "b.png", *flags).returncode == 0
    with Image.open(tmp_path / "drawn" / "b-detections.jpg") as picture:
        assert picture.width == 77 and picture.height > 50 + 10


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ("--json", "a.json", "--coco", "./a.json"),
            "--coco would write ./a.json, .* of --json too",
        ),
        (("--label-studio", "a.json", "--json", "a.xml"), "a.xml, which is a file of --json too"),
        (
            ("--json", "tiny.json"),
            "--json would write tiny.json, which is a file of --exported too",
        ),
        (
            ("--label-studio", "tiny.json"),
            "--label-studio would write tiny.json, .* --exported too",
        ),
    ],
)
def test_a_file_is_written_once_and_never_over_the_network(
    exported, photos, tmp_path, monkeypatch, flags, message
):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(photos / "a.PNG", folder)
    for path in Path(exported).parent.glob("tiny*"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("tiny*")}
    done = demo("photos", "--exported", "tiny", "--output", "drawn", *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert re.search(message, done.stderr)
    assert not (tmp_path / "drawn").exists()
    assert {path: path.read_bytes() for path in tmp_path.glob("tiny*")} == before


@pytest.mark.parametrize("flag", ["--json", "--coco"])
def test_a_forgotten_name_of_a_file_costs_no_photo(exported, photos, tmp_path, flag):
    """The photo after the flag would be taken for the file to write."""
    for name in ("a.png", "b.png"):
        shutil.copy(photos / "b.png", tmp_path / name)
    before = (photos / "b.png").read_bytes()
    flags = "--exported", exported, "--output", tmp_path / "drawn"
    done = demo(*flags, flag, tmp_path / "a.png", tmp_path / "b.png")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"{flag} would replace {tmp_path / 'a.png'}, an image" in done.stderr
    done = demo(tmp_path / "a.png", *flags, flag, tmp_path / "a.png")
    assert done.returncode == 2 and "a.png, which is a file of the photos too" in done.stderr
    assert [(tmp_path / name).read_bytes() for name in ("a.png", "b.png")] == [before, before]
    assert not (tmp_path / "drawn").exists()


def test_no_picture_replaces_a_photo(exported, photos, tmp_path):
    names = ("a-detections.jpg", "a.png")
    for name in names:
        shutil.copy(photos / "b.png", tmp_path / name)
    done = demo(tmp_path, "--exported", exported, "--output", tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    message = f"the picture of {tmp_path / 'a.png'} would replace {tmp_path / 'a-detections.jpg'}, "
    assert message in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == list(names)
    assert (tmp_path / names[0]).read_bytes() == (photos / "b.png").read_bytes()
