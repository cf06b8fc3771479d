import re

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


def test_pixels_that_count_from_0_are_not_one_based(root):
    add(root, "two", item(0, 2, 5, 8) + item(1, 1, 5, 8) + item(4, 0.5, 9, 9))
    with pytest.raises(DataError, match="object 1 has xmin 0 .*object 3 .* ymin 0.5.* leave out"):
        VOCDataset(root, "train", one_based=True)
    assert VOCDataset(root, "train")[1].boxes[0].tolist() == [0, 2, 5, 8]


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
        ("<object><name>cat</name></object>", "one.xml: object 1 has no <bndbox>, only <name>"),
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


def test_some_of_the_classes(root):
    labeled = VOCDataset(root, "train", classes=["Dog"])[0]
    assert labeled.boxes.tolist() == [[3, 3, 9, 9]] and labeled.labels.tolist() == [0]


@pytest.mark.parametrize("name", ["dog", "DOG", "Dog-", "D og"])
def test_class_in_another_spelling(root, name):
    with pytest.raises(DataError, match=f"object 2 is of class 'Dog', but the chosen .* '{name}'"):
        VOCDataset(root, "train", classes=["cat", name])
    assert len(VOCDataset(root, "train", classes=["cat", name, "Dog"])) == 2


def test_no_object_of_the_classes(root):
    with pytest.raises(
        DataError, match="no object is of the classes cats, ox; all 3 are of .*; did you mean cat"
    ):
        VOCDataset(root, "train", classes=["cats", "ox"])


def test_faults_in_the_folder(root, tmp_path):
    with pytest.raises(DataError, match="no split 'test': .*lists there: none, train; folders: An"):
        VOCDataset(root, "test")
    with pytest.raises(DataError, match="'.' takes all 2 XML files; did you mean train?"):
        VOCDataset(root, "trian")
    (root / "ImageSets/Main/binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="binary.txt: is not a text file in UTF-8"):
        VOCDataset(root, "binary")
    with pytest.raises(DataError, match="none.txt: is an empty data set"):
        VOCDataset(root, "none")
    with pytest.raises(DataError, match="absent: cannot be read: No such file"):
        VOCDataset(tmp_path / "absent", "train")
    with pytest.raises(DataError, match="no split is named"):
        VOCDataset(root, [])
    with pytest.raises(DataError, match="split 3: want a name, or a pair"):
        VOCDataset(root, ["train", 3])
    with pytest.raises(DataError, match=r"split 2007: want a name, or a pair such as \(2007, "):
        VOCDataset(root, 2007)


def test_lists_in_every_place_are_named(root):
    (root / "ImageSets/Main/train.txt").rename(root / "train.txt")
    (root / "ImageSets/val.txt").write_text("one\n")
    (root / "paddle.txt").write_text("JPEGImages/one.jpg Annotations/one.xml\n")
    # Neither a note nor a list of classes is a list of images.
    (root / "README.txt").write_text("Photos of cats\n")
    (root / "labels.txt").write_text("cat\nDog\n")
    (root / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="lists there: none, val, paddle, train; folders: Annot"):
        VOCDataset(root, "test")
    for split in ("val", "paddle", "train"):
        assert VOCDataset(root, split)[0].name == "one.jpg"


def test_all_faults_at_once(root):
    add(root, "two", item(1, 2, 5, 8, more="<difficult>maybe</difficult>"))
    add(root, "three", item(8, 2, 5, 8) + item(1, 2, 5, 8) + item(40, 2, 50, 8))
    (root / "Annotations/four.xml").write_text("<annotation>")
    Image.new("RGB", (30, 20)).save(root / "JPEGImages/four.jpg")
    Image.new("RGB", (30, 20)).save(root / "JPEGImages/five.jpg")
    names = ["two", "one", "three", "four", "five", "six", "one.jpg"]
    (root / "ImageSets/Main/train.txt").write_text("\n".join(names))
    with pytest.raises(DataError) as caught:
        VOCDataset(root, "train")
    assert "7 faults; skip_bad=True" in str(caught.value) and "\n" not in str(caught.value)

    dataset = VOCDataset(root, "train", skip_bad=True)
    assert [dataset[index].name for index in range(len(dataset))] == ["one.jpg"]
    for wanted in (
        r"two.xml: object 1 has difficult 'maybe'; want 0 or 1",
        r"three.xml: object 1: box \(8, 2, 5, 8\) has its corners in the wrong order",
        r"three.xml: object 3: box .* outside the image",
        r"four.xml: is not valid XML",
        r"train.txt: line 5: image five.jpg has no XML file in \S+Annotations, which holds 4",
        r"train.txt: line 6: no such image file 'six' in \S+JPEGImages, which holds 5 images",
        r"train.txt: line 7: image one.jpg is listed in \S+train.txt: line 2 already",
    ):
        found = [message for message in dataset.skipped if re.search(wanted, message)]
        assert len(found) == 1, (wanted, dataset.skipped)
    (root / "ImageSets/Main/train.txt").write_text("two\n")
    with pytest.raises(DataError, match="is an empty data set, every image is faulty: .*four.xml"):
        VOCDataset(root, "train", skip_bad=True)


@pytest.mark.parametrize(
    "words, difficult",
    [
        (["1", "True", " YES ", "1.0"], True),
        (["0", "False", "no", "0.0", "", " ", "Unspecified", "None"], False),
    ],
)
def test_words_for_difficult(root, words, difficult):
    objects = "".join(item(1, 2, 5, 8, more=f"<difficult>{word}</difficult>") for word in words)
    add(root, "one", objects + item(1, 2, 5, 8, more="<Difficult>1</Difficult>"))
    assert VOCDataset(root, "train")[0].crowd.tolist() == [difficult] * len(words) + [True]


@pytest.mark.parametrize("word", ["2", "-1", "hard", "nan", "0.5"])
def test_unknown_word_for_difficult(root, word):
    add(root, "one", item(1, 2, 5, 8, more=f"<difficult>{word}</difficult>"))
    with pytest.raises(DataError, match=f"object 1 has difficult '{word}'; want 0 or 1"):
        VOCDataset(root, "train")


@pytest.mark.parametrize(
    "lines, wanted",
    [
        ("cat\ncat 2\n", ["cat.jpg", "cat 2.jpg"]),
        ("cat 1\ncat\n", ["cat 1.jpg", "cat.jpg"]),
        ("cat  1\ncat 2 -1\ncat 1 0", ["cat.jpg", "cat 2.jpg", "cat 1.jpg"]),
        ("cat.jpg\r\ncat 2.JPG\r\n", ["cat.jpg", "cat 2.jpg"]),
        ("x:\\VOC\\JPEGImages\\cat.jpg\n/data/JPEGImages/cat 2.jpg", ["cat.jpg", "cat 2.jpg"]),
        ("JPEGImages/cat 2.jpg Annotations/cat.xml\n", ["cat 2.jpg"]),
        ("./day1/cat\n", ["day1/cat.jpg"]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_of_lists(root, lines, wanted, encoding):
    for stem in ("cat", "cat 1", "cat 2"):
        add(root, stem, item(1, 2, 5, 8))
    for folder in ("JPEGImages/day1", "Annotations/day1"):
        (root / folder).mkdir()
    add(root, "day1/cat", item(1, 2, 5, 8))
    (root / "ImageSets/Main/val.txt").write_text(lines, encoding=encoding)
    dataset = VOCDataset(root, "val")
    assert [dataset[index].name for index in range(len(dataset))] == wanted


def test_line_names_its_xml_file(root):
    (root / "train.txt").write_text("JPEGImages/two.jpg Annotations/one.xml\n")
    (root / "ImageSets/Main/train.txt").unlink()
    assert len(VOCDataset(root, "train")[0].boxes) == 2
    (root / "train.txt").write_text("one.jpg one.xml\ntwo.jpg one.xml\n")
    with pytest.raises(DataError, match="one.xml: is the XML file of both .*one.jpg and .*two.jpg"):
        VOCDataset(root, "train")


def test_files_that_are_no_images(root):
    for ending in ("txt", "xml", "json"):
        (root / f"JPEGImages/one.{ending}").write_text("{}")
        (root / f"JPEGImages/two.{ending}").write_text("{}")
    (root / "JPEGImages/two.jpg").rename(root / "JPEGImages/two.BMP")
    (root / "Annotations/._one.xml").write_bytes(b"\x00\x05\x16\x07")
    (root / "JPEGImages/._one.jpg").write_bytes(b"\x00\x05\x16\x07")
    (root / "Annotations/.DS_Store").write_bytes(b"\x00")
    dataset = VOCDataset(root, "train")
    assert [dataset[index].name for index in range(2)] == ["one.jpg", "two.BMP"]


@pytest.mark.parametrize(
    "line, stated, image",
    [
        ("one", "one.png", "one.png"),
        ("one", r"C:\photos\one.png", "one.png"),
        ("one", "one.jpg", "one.jpg"),
        ("one", "one.gif", "one.jpg"),
        ("one", "two.png", "one.jpg"),
        ("one.jpg", "one.png", "one.jpg"),
        ("", "one.png", "one.png"),
    ],
)
def test_images_that_differ_in_their_endings(root, line, stated, image):
    add(root, "one", f"<filename>{stated}</filename>" + item(1, 2, 5, 8), kind="png")
    (root / "Annotations/two.xml").unlink()
    (root / "ImageSets/Main/list.txt").write_text(line + "\n")
    assert VOCDataset(root, "list" if line else ".")[0].name == image


@pytest.mark.parametrize("kind", ["side by side", "images", "JPEGImages"])
def test_folder_without_lists(root, tmp_path, kind):
    folder = tmp_path / "labelimg"
    folder.mkdir()
    xml, images = folder, folder
    if kind != "side by side":
        xml, images = folder / "annotations", folder / kind
        xml.mkdir()
        images.mkdir()
    for stem in ("one", "two"):
        (root / f"Annotations/{stem}.xml").rename(xml / f"{stem}.XML")
        (root / f"JPEGImages/{stem}.jpg").rename(images / f"{stem}.jpg")
    Image.new("RGB", (30, 20)).save(images / "unlabeled.jpg")
    for split in (None, "."):
        dataset = VOCDataset(folder, split)
        assert [dataset[index].name for index in range(2)] == ["one.jpg", "two.jpg"]
        assert len(dataset) == 2 and dataset[0].labels.tolist() == [1, 0]
    with pytest.raises(DataError, match="no split 'train'.*the split '.' takes all 2 XML files"):
        VOCDataset(folder, "train")
    (images / "one.jpg").unlink()
    with pytest.raises(DataError, match="one.XML: has no image one in .*, which holds 2 images"):
        VOCDataset(folder)


def test_folder_for_each_split(root, tmp_path):
    for part, stem in (("train", "one"), ("valid", "two")):
        (tmp_path / "exported" / part).mkdir(parents=True)
        (root / f"Annotations/{stem}.xml").rename(tmp_path / "exported" / part / f"{stem}.xml")
        (root / f"JPEGImages/{stem}.jpg").rename(tmp_path / "exported" / part / f"{stem}.jpg")
    train = VOCDataset(tmp_path / "exported", "train")
    val = VOCDataset(tmp_path / "exported", "valid")
    assert (train[0].name, val[0].name) == ("train/one.jpg", "valid/two.jpg")
    assert train.classes == val.classes == ("Dog", "cat")
    assert len(VOCDataset(tmp_path / "exported", ["train", "valid"])) == 2
    with pytest.raises(DataError, match="folders: train, valid; .*; did you mean valid?"):
        VOCDataset(tmp_path / "exported", "val")


def test_several_years(root, tmp_path):
    for year, name, box in ((2007, "ant", (1, 2, 5, 8)), (2012, "bee", (3, 4, 9, 9))):
        folder = tmp_path / "devkit" / f"VOC{year}"
        for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (folder / part).mkdir(parents=True)
        add(folder, "000001", item(*box, name=name))
        (folder / "ImageSets/Main/trainval.txt").write_text("000001\n")
    devkit = tmp_path / "devkit"
    for split in (
        ["2007_trainval", "2012_trainval"],
        ((2007, "trainval"), (2012, "trainval")),
        [("VOC2007", "trainval"), ("VOC2012", "trainval")],
    ):
        dataset = VOCDataset(devkit, split, one_based=True)
        assert dataset.classes == ("ant", "bee") and dataset.sizes().tolist() == [[20, 30]] * 2
        assert [labeled.name for labeled in (dataset[0], dataset[1])] == [
            "VOC2007/000001.jpg",
            "VOC2012/000001.jpg",
        ]
        assert dataset[1].boxes.tolist() == [[2, 3, 9, 9]]
    assert len(VOCDataset(devkit, (2012, "trainval"))) == len(VOCDataset(devkit, "2012_trainval"))
    with pytest.raises(DataError, match="VOC2012: no split 'test'"):
        VOCDataset(devkit, ["2007_trainval", "2012_test"])
    with pytest.raises(DataError, match="is listed in .*trainval.txt: line 1 already"):
        VOCDataset(devkit, ["2007_trainval", (2007, "trainval")])
    with pytest.raises(DataError, match="no split 'trainval'.* folders: VOC2007, VOC2012"):
        VOCDataset(devkit, "trainval")


def test_no_classes(root):
    add(root, "one", "")
    with pytest.raises(DataError, match=r"no classes: read 2 XML files in \S+Ann"):
        VOCDataset(root, "train")
    assert len(VOCDataset(root, "train", classes=["cat"])) == 2


def test_wrong_size(root):
    add(root, "one", "", size=SIZE.replace("30", "60"))
    with pytest.raises(
        DataError, match=r"one.jpg: is 30 x 20 pixels, but \S+one.xml states 60 x 20"
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
        DataError, match="holds no masks; use a network of boxes alone, or give a COCO, YOLO or Lab"
    ):
        dataset.with_masks()
