"""The rule for class names, and all the doors that it guards."""

import json

import model_zoo
from gluonnorm.class_names import check_class_names
from gluonnorm.data import (
    COCODataset,
    DataError,
    GluonCVDataset,
    LabelmeDataset,
    LSTDataset,
    MatchedClasses,
    RecordDataset,
    VOCDataset,
    YOLODataset,
)
from gluonnorm.errors import InputError

import numpy as np
import pytest
from PIL import Image

WRONG = [
    ("cat", "want a list of class names, such as ['cat', 'dog'], and not 'cat'"),
    (b"cat", "want a list of class names"),
    ({"cat", "dog"}, "want a list of class names"),
    (frozenset(["cat", "dog"]), "want a list of class names"),
    ({"cat": 0}, "want a list of class names"),
    (3, "want a list of class names"),
    ([], "no classes; name at least one"),
    (["cat", "dog", "cat"], "class 'cat' is listed more than once"),
    (["cat", 3], "class name 3; want a text that is not blank"),
    (["cat", None], "class name None; want a text that is not blank"),
    (["cat", " "], "class name ' '; want a text that is not blank"),
]


@pytest.mark.parametrize("classes, message", WRONG)
def test_wrong_names(classes, message):
    with pytest.raises(InputError) as caught:
        check_class_names(classes, "train.json")
    assert str(caught.value).startswith("train.json: ") and message in str(caught.value)


@pytest.mark.parametrize(
    "classes", [["cat", "dog"], ("cat", "dog"), np.array(["cat", "dog"]), iter(["cat", "dog"])]
)
def test_names_in_any_sequence(classes):
    names = check_class_names(classes)
    assert names == ("cat", "dog")
    assert json.dumps(names) == '["cat", "dog"]' and type(names[0]) is str


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set of one image with one cat, in every format of text files."""
    folder = tmp_path_factory.mktemp("formats")
    Image.new("RGB", (40, 30)).save(folder / "a.jpg")
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20]}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [box],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / "coco.json").write_text(json.dumps(content))
    corners = "<xmin>5</xmin><ymin>5</ymin><xmax>25</xmax><ymax>25</ymax>"
    item = f"<object><name>cat</name><bndbox>{corners}</bndbox></object>"
    (folder / "a.xml").write_text(f"<annotation>{item}</annotation>")
    (folder / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    shape = {"label": "cat", "shape_type": "rectangle", "points": [[5, 5], [25, 25]]}
    (folder / "labelme").mkdir()
    Image.new("RGB", (40, 30)).save(folder / "labelme" / "a.jpg")
    labelme = {"shapes": [shape], "imagePath": "a.jpg", "imageHeight": 30, "imageWidth": 40}
    (folder / "labelme" / "a.json").write_text(json.dumps(labelme))
    (folder / "a.lst").write_text("0\t2\t5\t0\t0.1\t0.1\t0.5\t0.5\ta.jpg\n")
    return folder


def gluoncv_dataset(classes):
    image = np.zeros((20, 30, 3), np.uint8)
    return GluonCVDataset([(image, np.array([[1, 2, 15, 8, 0]]))], classes=classes)


@pytest.mark.parametrize("classes", ["cat", {"cat", "dog"}, ["cat", "cat"], ["cat", 1]])
@pytest.mark.parametrize(
    "open_dataset",
    [
        lambda folder, classes: COCODataset(folder / "coco.json", folder, classes),
        lambda folder, classes: VOCDataset(folder, classes=classes),
        lambda folder, classes: YOLODataset(folder, classes=classes),
        lambda folder, classes: LabelmeDataset(folder / "labelme", classes=classes),
        lambda folder, classes: LSTDataset(folder / "a.lst", folder, classes),
        lambda folder, classes: RecordDataset(folder / "a.rec", classes),
        lambda folder, classes: gluoncv_dataset(classes),
        lambda folder, classes: MatchedClasses(gluoncv_dataset(["cat"]), classes),
    ],
    ids=["coco", "voc", "yolo", "labelme", "lst", "record", "gluoncv", "matched"],
)
def test_every_reader_refuses_them(folder, open_dataset, classes):
    with pytest.raises(DataError, match="want a list|listed more than once|class name 1"):
        open_dataset(folder, classes)


@pytest.mark.parametrize("classes", ["cat", {"cat", "dog"}, ["cat", "cat"], ["cat", 1]])
def test_the_model_zoo_refuses_them(classes):
    with pytest.raises(InputError, match="want a list|listed more than once|class name 1"):
        model_zoo.get_model("faster_rcnn_resnet18_v1b_custom", norm="gn", classes=classes)
