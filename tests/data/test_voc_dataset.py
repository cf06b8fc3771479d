from gluonnorm.data import DataError, VOCDataset

import numpy as np
import pytest
from PIL import Image

OBJECT = """<object><name>{name}</name>{more}
<bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"""
SIZE = "<size><width>30</width><height>20</height><depth>3</depth></size>"


def item(*box, name="cat", more=""):
    return OBJECT.format(*box, name=name, more=more)


@pytest.fixture
def root(tmp_path):
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    add(
        tmp_path,
        "one",
        item(1, 2, 5, 8)
        + item(3, 3, 9, 9, name="Dog", more="<difficult>1</difficult>")
        + item(4, 4, 4, 4),
    )
    add(tmp_path, "two", "")
    (tmp_path / "ImageSets/Main/train.txt").write_text("one\n\ntwo  1\n")
    (tmp_path / "ImageSets/Main/none.txt").write_text("\n")
    return tmp_path


def add(root, stem, objects, size=SIZE, kind="jpg"):
    (root / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
    Image.new("RGB", (30, 20)).save(root / "JPEGImages" / f"{stem}.{kind}")


def test_labeled_images(root):
    dataset = VOCDataset(root, "train")
    assert dataset.classes == ("Dog", "cat") and dataset.category_ids == (1, 2)  # sorted, case kept
    assert len(dataset) == 2 and dataset.sizes().tolist() == [[20, 30], [20, 30]]
    labeled, without = dataset[0], dataset[1]
    np.testing.assert_array_equal(labeled.boxes, np.float32([[1, 2, 5, 8], [3, 3, 9, 9]]))
    assert labeled.labels.tolist() == [1, 0] and labeled.crowd.tolist() == [False, True]
    assert (labeled.image_id, labeled.name, without.image_id) == (0, "one.jpg", 1)
    assert (labeled.boxes.dtype, labeled.labels.dtype, labeled.crowd.dtype) == (
        np.float32,
        np.int32,
        bool,
    )
    assert without.boxes.shape == (0, 4) and without.image.shape == (20, 30, 3)


def test_one_based(root):
    # 1-based with both corners inside: pixels 1..5 are the half-open 0..5
    assert VOCDataset(root, "train", one_based=True)[0].boxes[0].tolist() == [0, 1, 5, 8]


def test_given_classes_and_their_order(root):
    assert VOCDataset(root, "train", classes=["cat", "bird", "Dog"])[0].labels.tolist() == [0, 2]


def test_classes_are_those_of_all_splits(root):
    add(root, "three", item(0, 0, 4, 4, name="ant"))
    assert VOCDataset(root, "train").classes == ("Dog", "ant", "cat")


def test_truth(root):
    truth = VOCDataset(root, "train").coco_truth()
    assert truth["images"] == [
        {"id": 0, "file_name": "one.jpg", "height": 20, "width": 30},
        {"id": 1, "file_name": "two.jpg", "height": 20, "width": 30},
    ]
    assert truth["categories"] == [{"id": 1, "name": "Dog"}, {"id": 2, "name": "cat"}]
    assert truth["annotations"] == [
        {"id": 1, "image_id": 0, "category_id": 2, "bbox": [1, 2, 4, 6], "area": 24, "iscrowd": 0},
        {"id": 2, "image_id": 0, "category_id": 1, "bbox": [3, 3, 6, 6], "area": 36, "iscrowd": 1},
    ]


def test_box_partly_outside_is_cut(root):
    add(root, "one", item(-3, 5, 40, 12.5))
    assert VOCDataset(root, "train")[0].boxes.tolist() == [[0, 5, 30, 12.5]]


def test_parts_of_an_object_are_not_objects(root):
    add(
        root,
        "one",
        item(1, 2, 5, 8, more="<part><name>head</name><bndbox><xmin>9</xmin></bndbox></part>"),
    )
    dataset = VOCDataset(root, "train")
    assert dataset.classes == ("cat",) and dataset[0].boxes.tolist() == [[1, 2, 5, 8]]


@pytest.mark.parametrize(
    "size", ["", "<size><width>0</width><height>0</height></size>", "<size><width/></size>"]
)
def test_size_comes_from_the_image_where_the_file_has_none(root, size):
    add(root, "one", item(1, 2, 5, 8), size=size)
    assert VOCDataset(root, "train").sizes()[0].tolist() == [20, 30]


def test_other_image_formats(root):
    add(root, "three", item(1, 2, 5, 8), kind="png")
    (root / "ImageSets/Main/train.txt").write_text("three")
    assert VOCDataset(root, "train")[0].name == "three.png"


@pytest.mark.parametrize(
    "objects, message",
    [
        ("<object>", "one.xml: is not valid XML"),
        (item(1, 2, 5, 8, name=""), "one.xml.* has no <name>"),
        ("<object><name>cat</name></object>", "one.xml: object 1 has no <bndbox><xmin>"),
        (item(1, 2, "five", 8), "object 1 has bndbox/xmax 'five'; want a number"),
        (item(1, 2, 5, 8) + item(5, 2, 1, 8), "object 2: box .* wrong order"),
        (item(30, 2, 35, 8), "one.xml: object 1: box .* outside the image of 30 x 20"),
        (item(1, 2, "nan", 8), "object 1: box .* is not finite"),
    ],
)
def test_faults_in_xml(root, objects, message):
    add(root, "one", objects)
    with pytest.raises(DataError, match=message) as caught:
        VOCDataset(root, "train")
    assert "\n" not in str(caught.value)


def test_unknown_class(root):
    with pytest.raises(
        DataError, match="one.xml: object 2 is of class 'Dog', which is not among the classes cat"
    ):
        VOCDataset(root, "train", classes=["cat"])
    with pytest.raises(DataError, match="name the class; did you mean dog?"):
        VOCDataset(root, "train", classes=["cat", "dog"])


def test_faults_in_the_folder(root, tmp_path):
    with pytest.raises(
        DataError,
        match="test.txt: cannot be read: No such file or directory; splits there: none, tr",
    ):
        VOCDataset(root, "test")
    with pytest.raises(DataError, match="splits there: none, train; did you mean train?"):
        VOCDataset(root, "trian")
    (root / "ImageSets/Main/binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="binary.txt: is not a text file in UTF-8"):
        VOCDataset(root, "binary")
    with pytest.raises(DataError, match="none.txt: is an empty data set"):
        VOCDataset(root, "none")
    with pytest.raises(DataError, match="Annotations: cannot be read"):
        VOCDataset(tmp_path / "absent", "train")
    (root / "Annotations/two.xml").unlink()
    with pytest.raises(DataError, match="two.xml: cannot be read: No such file"):
        VOCDataset(root, "train")
    (root / "JPEGImages/one.jpg").unlink()
    with pytest.raises(DataError, match="one.jpg: no such image file, but split 'train' lists it"):
        VOCDataset(root, "train")


def test_wrong_size(root):
    add(root, "one", "", size=SIZE.replace("30", "60"))
    with pytest.raises(
        DataError, match="one.jpg: is 30 x 20 pixels, but its XML file states 60 x 20"
    ):
        VOCDataset(root, "train", classes=["cat"])[0]


def test_real_blood_cells(shared):
    dataset = VOCDataset(shared / "data/bccd/BCCD", "val")
    assert dataset.classes == ("Platelets", "RBC", "WBC") and len(dataset) == 87
    truth = dataset.coco_truth()["annotations"]
    assert [sum(entry["category_id"] == number for entry in truth) for number in (1, 3)] == [83, 87]
    assert all(entry["area"] > 0 for entry in truth)
    assert dataset[0].image.shape == (480, 640, 3)


def test_there_are_no_masks(root):
    dataset = VOCDataset(root, "train")
    assert dataset[0].masks is None
    with pytest.raises(
        DataError, match="hold no masks; use a network of boxes alone, or give a COCO file"
    ):
        dataset.with_masks()
