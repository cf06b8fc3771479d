"""The flags that name a data set, and what they open."""

import argparse
import importlib
import json
import sys

from gluonnorm.data import draw_shapes
from gluonnorm.errors import InputError

import numpy as np
import pytest
from in_process import SCRIPTS
from PIL import Image

FACTORY = """
from gluonnorm.data import COCODataset

calls = []

def shapes(root, split, classes):
    calls.append((root, split, classes))
    return COCODataset(f"{root}/annotations/instances_{split}.json", f"{root}/{split}", classes)

def stubborn(root, split, classes):
    return shapes(root, split, None)

def pairs(root, split, classes):
    return [(None, None)]

number = 3
"""


@pytest.fixture
def data(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("_data")


@pytest.fixture
def parse(data):
    """Read flags; ``_data`` has put their module on the path."""

    def parse_flags(*flags):
        parser = argparse.ArgumentParser()
        importlib.import_module("_data_flags").add_dataset_arguments(parser)
        return parser.parse_args(list(map(str, flags)))

    return parse_flags


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder, train=3, val=2, size=(48, 64), seed=1)
    return folder


@pytest.fixture
def open_dataset(data, root, parse):
    def parse_and_open(*flags, split="train", classes=None, folder=root):
        return data.open_dataset(parse("--data-root", folder, *flags), split, classes)

    return parse_and_open


@pytest.fixture
def shape_names(root):
    content = json.loads((root / "annotations" / "instances_train.json").read_text())
    return tuple(entry["name"] for entry in content["categories"])


COCO = ("--dataset", "coco", "--train-split", "train", "--val-split", "val")


def test_coco(open_dataset, shape_names):
    dataset = open_dataset(*COCO)
    assert len(dataset) == 3 and dataset.classes == shape_names
    assert len(open_dataset(*COCO, split="val")) == 2


@pytest.mark.parametrize("flags, folders", [((), ["trainval"]), (("--train-split", "x"), ["x"])])
def test_a_split_that_is_absent_is_named(open_dataset, flags, folders):
    with pytest.raises(InputError, match=folders[0]):
        open_dataset(*flags)


@pytest.mark.parametrize(
    "flags, split, words",
    [
        ((), "val", "--val-split is test by default; give the name of a split of the files: "),
        ((), "train", "--train-split is trainval by default; "),
        (("--val-split", "tset"), "val", "--val-split is tset; give the name of a split of"),
        (("--dataset", "yolo", "--classes", "a"), "val", "--val-split is val by default; "),
        (("--dataset", "labelme"), "train", "--train-split is train by default; "),
        (("--dataset", "record", "--classes", "a"), "val", "--val-split is val by default; "),
        (("--dataset", "lst", "--classes", "a"), "train", "--train-split is train by default; "),
        (("--dataset", "coco"), "val", "--val-split is val2017 by default; "),
    ],
)
def test_a_missing_split_names_its_flag(open_dataset, tmp_path, flags, split, words):
    (tmp_path / "other").mkdir()
    for name in ("a.xml", "a.jpg", "other/a.json", "other/a.jpg"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError) as caught:
        open_dataset(*flags, split=split, folder=tmp_path)
    assert str(caught.value).startswith(words)


def test_a_missing_file_of_a_split_names_those_that_exist(open_dataset, tmp_path):
    words = "instances_val2017.json: cannot be read: No such file .* file: train, val; --annotat"
    with pytest.raises(InputError, match=f"--val-split is val2017 by default; .*{words}"):
        open_dataset("--dataset", "coco", split="val")
    (tmp_path / "a.b.lst").write_text("")
    with pytest.raises(InputError, match="is a; .*a.lst: cannot be read: .* such a file: a.b; did"):
        flags = ("--dataset", "lst", "--classes", "x", "--train-split", "a")
        open_dataset(*flags, folder=tmp_path)
    # Another split would not mend these.
    with pytest.raises(InputError, match="^.{,4}/absent/annotations/.*cannot be read: No such"):
        open_dataset(*COCO, folder="/absent")
    with pytest.raises(InputError, match="^[^-].*absent.json: cannot be read: No such"):
        open_dataset(*COCO, "--annotations", "absent.json")


def test_a_wrong_folder_of_images_names_its_flag(open_dataset, tmp_path):
    words = "name the folder that holds the images by --image-dir"
    with pytest.raises(InputError, match=f"none of its 3 images is in .*/val/gone; .*{words}"):
        open_dataset(*COCO, "--image-dir", "val/gone")
    (tmp_path / "train.lst").write_text("0\t2\t5\ta.jpg\n")
    with pytest.raises(InputError, match=f"none of its 1 images is in .*{words}"):
        open_dataset("--dataset", "lst", "--classes", "x", folder=tmp_path)


def test_unknown_formats(open_dataset):
    with pytest.raises(InputError, match="--dataset is 'coc'; .*MODULE:FACTORY.*mean coco?"):
        open_dataset("--dataset", "coc")


@pytest.mark.parametrize(
    "format_name, flags, message",
    [
        ("yolo", ("--one-based",), "--one-based is for --dataset voc, not for yolo; leave it out"),
        ("voc", ("--annotations", "a.json"), "--annotations is for --dataset coco, not for voc"),
        ("labelme", ("--image-dir", "x"), "--image-dir is for --dataset coco and lst, not for"),
        ("coco", ("--pixel-boxes",), "--pixel-boxes is for --dataset record and lst, not for"),
        ("a:b", ("--sixth-number", "ignore"), "--sixth-number is for --dataset record and lst"),
    ],
)
def test_flags_of_other_formats_are_refused(open_dataset, format_name, flags, message):
    with pytest.raises(InputError, match=message):
        open_dataset("--dataset", format_name, *flags)


def test_only_voc_joins_splits(open_dataset):
    with pytest.raises(InputError, match="--train-split has 2 names, which only --dataset voc"):
        open_dataset("--dataset", "coco", "--train-split", "a", "b")


def write_voc(folder, names):
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for name in names:
        Image.new("RGB", (64, 48)).save(folder / "JPEGImages" / f"{name}.jpg")
        (folder / "Annotations" / f"{name}.xml").write_text(
            "<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin>"
            "<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
        )
    (folder / "ImageSets" / "Main" / "trainval.txt").write_text("\n".join(names))


def test_voc_of_several_years(open_dataset, tmp_path):
    write_voc(tmp_path / "VOC2007", ["a", "b"])
    write_voc(tmp_path / "VOC2012", ["c"])
    dataset = open_dataset("--train-split", "2007_trainval", "2012_trainval", folder=tmp_path)
    assert len(dataset) == 3 and dataset.classes == ("cat",)


def test_yolo_and_labelme(open_dataset, tmp_path):
    for folder in ("images/train", "labels/train", "photos"):
        (tmp_path / folder).mkdir(parents=True)
    for path in ("images/train/a.jpg", "photos/a.jpg"):
        Image.new("RGB", (64, 48)).save(tmp_path / path)
    (tmp_path / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\n")
    yolo = open_dataset("--dataset", "yolo", folder=tmp_path)
    assert yolo.classes == ("cat", "dog") and yolo[0].boxes.tolist() == [[24, 12, 40, 36]]

    shape = {"label": "cat", "points": [[1, 2], [30, 40]], "shape_type": "rectangle"}
    content = {"imagePath": "a.jpg", "imageHeight": 48, "imageWidth": 64, "shapes": [shape]}
    (tmp_path / "photos" / "a.json").write_text(json.dumps(content))
    flags = ("--dataset", "labelme", "--train-split", ".")
    labelme = open_dataset(*flags, folder=tmp_path / "photos")
    assert labelme.classes == ("cat",) and labelme[0].boxes.tolist() == [[1, 2, 30, 40]]
    broken = tmp_path / "photos" / "b.json"
    broken.write_text(json.dumps({**content, "imagePath": "gone.jpg"}))
    assert len(open_dataset(*flags, "--skip-bad", folder=tmp_path / "photos")) == 1


def test_a_class_on_the_command_line_must_exist(open_dataset, shape_names):
    assert open_dataset(*COCO, "--classes", *shape_names[::-1]).classes == shape_names[::-1]
    with pytest.raises(InputError, match="has no category 'unicorn'"):
        open_dataset(*COCO, "--classes", "unicorn")


def test_skip_bad_says_what_it_leaves_out(open_dataset, root, tmp_path, capsys):
    content = json.loads((root / "annotations" / "instances_train.json").read_text())
    content["images"][0]["file_name"] = "gone.jpg"
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(content))
    flags = (*COCO, "--image-dir", str(root / "train"))
    with pytest.raises(InputError, match="gone.jpg"):
        open_dataset(*flags, folder=tmp_path)
    assert len(open_dataset(*flags, "--skip-bad", folder=tmp_path)) == 2
    note = capsys.readouterr().err
    assert note.startswith("note: train: --skip-bad left out 1 faulty") and "gone.jpg" in note
    assert note.count("\n") == 1


def test_masks_are_opened_with_a_word_on_what_lacks_them(
    open_dataset, data, root, tmp_path, capsys
):
    content = json.loads((root / "annotations" / "instances_train.json").read_text())
    content["annotations"][0]["segmentation"] = []
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(content))
    flags = (*COCO, "--image-dir", str(root / "train"), "--skip-bad")
    dataset = open_dataset(*flags, folder=tmp_path)
    assert capsys.readouterr().err == ""
    assert data.open_masks(dataset)[0].masks is not None
    assert "note: with masks: --skip-bad left out 1 faulty" in capsys.readouterr().err


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "my_shapes.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_shapes", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.mark.usefixtures("user_module")
def test_a_factory_of_the_user(open_dataset, root, shape_names):
    dataset = open_dataset("--dataset", "my_shapes:shapes", split="val")
    assert len(dataset) == 2 and dataset.classes == shape_names
    few = shape_names[:1]
    assert open_dataset("--dataset", "my_shapes:shapes", classes=few).classes == few
    module = importlib.import_module("my_shapes")
    assert module.calls == [(str(root), "val", None), (str(root), "train", few)]
    assert isinstance(dataset[0].image, np.ndarray)


@pytest.mark.usefixtures("user_module")
@pytest.mark.parametrize(
    "name, message",
    [
        ("my_shapes:shape", "my_shapes has no function 'shape'; did you mean shapes"),
        ("my_shapes:number", "my_shapes has no function 'number'"),
        ("my_shapes:", "--dataset is 'my_shapes:'; give MODULE:FUNCTION"),
        ("no_such_module:shapes", "no_such_module"),
        ("my_shapes:pairs", "returns a list without classes, .*GluonCVDataset wraps"),
    ],
)
def test_factories_that_make_no_data_set(open_dataset, name, message):
    with pytest.raises(InputError, match=message):
        open_dataset("--dataset", name)


@pytest.mark.usefixtures("user_module")
def test_a_factory_that_ignores_the_classes(open_dataset, shape_names):
    assert open_dataset("--dataset", "my_shapes:stubborn").classes == shape_names
    with pytest.raises(InputError, match="has the classes .* are wanted; it must return these"):
        open_dataset("--dataset", "my_shapes:stubborn", classes=shape_names[::-1])


@pytest.mark.usefixtures("user_module")
def test_a_factory_with_other_classes_is_scored_by_name(data, parse, root, shape_names, capsys):
    args = parse("--data-root", root, "--dataset", "my_shapes:stubborn")
    matched = data.open_scored_dataset(args, ("hexagon", *shape_names[:2]))
    assert matched.classes == ("hexagon", *shape_names[:2])
    words = f"scored by name: {shape_names[0]}, {shape_names[1]}; not in the data set: hexagon"
    assert words in capsys.readouterr().out


def test_classes_of_a_scored_network_are_not_a_choice(data, parse, root, shape_names):
    args = parse(*COCO, "--data-root", root, "--classes", "triangle")
    with pytest.raises(InputError, match="--classes is triangle, but the network has the classes"):
        data.open_scored_dataset(args, shape_names)
    args = parse(*COCO, "--data-root", root, "--classes", "hexagon")
    with pytest.raises(InputError, match="none of the classes hexagon is in the data set, which"):
        data.open_scored_dataset(args, ("hexagon",))
