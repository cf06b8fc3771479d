"""Data sets as annotation tools and their users' machines leave them."""

import json
import os
import unicodedata

from gluonnorm.data import COCODataset, DataError, LabelmeDataset, VOCDataset, YOLODataset

import numpy as np
import pytest
from PIL import Image

COMPOSED = unicodedata.normalize("NFC", "caf\u00e9")
DECOMPOSED = unicodedata.normalize("NFD", "caf\u00e9")


def write_image(path, size=(80, 60), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 30)).save(path, **options)


def write_coco(folder, file_name="a.jpg", classes=("cat",), size=(80, 60)):
    width, height = size
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}
    content = {
        "images": [{"id": 1, "file_name": file_name, "width": width, "height": height}],
        "annotations": [box],
        "categories": [{"id": n, "name": name} for n, name in enumerate(classes, start=1)],
    }
    (folder / "x.json").write_text(json.dumps(content))
    return folder / "x.json"


def voc_text(name="cat", box=(1, 1, 20, 20)):
    corners = "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box)
    )
    item = f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"
    return f"<annotation>{item}</annotation>"


def write_labelme(folder, shapes, image_path="a.jpg"):
    entries = []
    for label, kind, points in shapes:
        entries.append({"label": label, "shape_type": kind, "points": points})
    content = {"shapes": entries, "imagePath": image_path, "imageHeight": 60, "imageWidth": 80}
    (folder / "a.json").write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path):
    write_image(tmp_path / "a.jpg")
    return tmp_path


@pytest.fixture
def yolo(tmp_path):
    """Make a YOLO data set of one image from the text of its files."""

    def write(row="0 0.5 0.5 0.2 0.2\n", data_yaml="train: train/images\nnames: [cat, dog]\n"):
        write_image(tmp_path / "train" / "images" / "a.jpg")
        labels = tmp_path / "train" / "labels"
        labels.mkdir(exist_ok=True)
        (labels / "a.txt").write_text(row, encoding="utf-8")
        (tmp_path / "data.yaml").write_text(data_yaml, encoding="utf-8")
        return tmp_path

    return write


# macOS writes an accented letter as two characters.
@pytest.mark.parametrize("written", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("asked", [COMPOSED, DECOMPOSED])
def test_both_forms_of_accents_are_one_class(folder, written, asked):
    (folder / "a.xml").write_text(voc_text(written), encoding="utf-8")
    write_labelme(folder, [(written, "rectangle", [[5, 5], [25, 25]])])
    (folder / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "data.yaml").write_text(f"names: [{written}]\n", encoding="utf-8")
    datasets = [VOCDataset(folder, classes=[asked]), YOLODataset(folder, classes=[asked])]
    datasets.append(LabelmeDataset(folder, classes=[asked]))
    os.remove(folder / "a.json")
    datasets.append(COCODataset(write_coco(folder, classes=(written,)), folder, [asked]))
    for dataset in datasets:
        assert dataset.classes == (COMPOSED,)
        assert dataset[0].labels.tolist() == [0]
        assert dataset.coco_truth()["categories"][0]["name"] == COMPOSED


def test_both_forms_of_accents_are_not_two_classes(folder):
    path = write_coco(folder, classes=(COMPOSED, DECOMPOSED))
    with pytest.raises(DataError, match="class .* is listed more than once"):
        COCODataset(path, folder)
    (folder / "a.xml").write_text(voc_text(COMPOSED), encoding="utf-8")
    write_image(folder / "b.jpg")
    (folder / "b.xml").write_text(voc_text(DECOMPOSED), encoding="utf-8")
    assert VOCDataset(folder).classes == (COMPOSED,)


def test_both_forms_of_accents_name_one_file(tmp_path):
    write_image(tmp_path / f"{DECOMPOSED}.jpg")
    dataset = COCODataset(write_coco(tmp_path, f"{COMPOSED}.jpg"), tmp_path)
    assert dataset[0].image.shape == (60, 80, 3)


@pytest.mark.parametrize("name", ["a.jpg\n", " a.jpg", "C:\\photos\\a.jpg\r\n", "../x/a.jpg"])
def test_white_space_and_folders_of_another_machine(folder, name):
    assert len(COCODataset(write_coco(folder, name), folder)) == 1


def test_a_line_break_in_a_name_leaves_the_message_on_one_line(folder):
    with pytest.raises(DataError) as caught:
        COCODataset(write_coco(folder, "a\nb.jpg"), folder)
    assert "\n" not in str(caught.value) and "a\\nb.jpg" in str(caught.value)


def test_boxes_of_a_photo_before_its_orientation_are_refused(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6  # the camera was turned by 90 degrees
    write_image(tmp_path / "a.jpg", exif=exif.tobytes())
    with pytest.raises(DataError, match="60 x 80 .* states 80 x 60; .* EXIF orientation"):
        COCODataset(write_coco(tmp_path), tmp_path)[0]
    turned = COCODataset(write_coco(tmp_path, size=(60, 80)), tmp_path)
    assert turned[0].image.shape == (80, 60, 3)


def test_links(tmp_path):
    write_image(tmp_path / "real" / "a.jpg")
    (tmp_path / "linked").mkdir()
    os.symlink(tmp_path / "real" / "a.jpg", tmp_path / "linked" / "a.jpg")
    assert len(COCODataset(write_coco(tmp_path), tmp_path / "linked")) == 1
    os.remove(tmp_path / "real" / "a.jpg")
    with pytest.raises(DataError, match="no such image file: a.jpg"):
        COCODataset(write_coco(tmp_path), tmp_path / "linked")


def test_images_and_xml_files_in_another_case(folder):
    os.rename(folder / "a.jpg", folder / "IMG_1.JPG")
    (folder / "img_1.xml").write_text(voc_text())
    assert VOCDataset(folder)[0].boxes.tolist() == [[1, 1, 20, 20]]
    # Two files that differ only in case are two files.
    write_image(folder / "img_1.jpg")
    write_image(folder / "Img_2.jpg")
    write_image(folder / "iMG_2.jpg")
    (folder / "img_2.xml").write_text(voc_text())
    with pytest.raises(DataError, match="img_2.xml: has no image img_2"):
        VOCDataset(folder)
    os.remove(folder / "img_2.xml")
    assert VOCDataset(folder)[0].name.endswith("img_1.jpg")


def test_xml_files_that_are_refused_together(folder):
    """CVAT's own format, a rotated box, a decimal comma, and corners in the wrong order."""
    faulty = {
        "b": "<annotations><image name='b.jpg'><box label='cat'/></image></annotations>",
        "c": "<annotation><object><name>cat</name><robndbox><cx>9</cx></robndbox></object>"
        "</annotation>",
        "d": voc_text(box=("1,5", 1, 20, 20)),
        "e": voc_text(box=(20, 20, 1, 1)),
    }
    (folder / "a.xml").write_text(voc_text())
    for name, text in faulty.items():
        write_image(folder / f"{name}.jpg")
        (folder / f"{name}.xml").write_text(text)
    with pytest.raises(DataError) as caught:
        VOCDataset(folder)
    message = str(caught.value)
    for part in ("4 faults", "begins with <annotations>", "<robndbox>", "'1,5'", "wrong order"):
        assert part in message
    assert len(VOCDataset(folder, skip_bad=True)) == 1


@pytest.mark.parametrize(
    "data_yaml",
    [
        "train: ../train/images\nval: ../valid/images\n\nnc: 2\nnames: ['cat', 'dog']\n\n"
        "roboflow:\n  workspace: x\n  version: 1\n",
        "path: ../datasets/coco8  # root\ntrain: train/images\nval: train/images\ntest:\n\n"
        "names:\n  0: cat\n  1: dog\n\ndownload: |\n  names: [a]\n  print(1)\n",
        "train: C:\\Users\\me\\set\\train\\images\nnames: [cat, dog]\n",
        "\ufefftrain: train/images\r\nnames: ['cat', 'dog']\r\n",
        "%YAML 1.2\n---\ntrain: train/images\nnames: ['cat', 'dog']\n...\n",
        "train:\n- train/images\nnames:\n- cat\n- dog\n",
    ],
    ids=["v5 roboflow", "v8", "windows path", "byte order mark", "document marks", "lists"],
)
def test_descriptions_of_many_versions(yolo, data_yaml):
    dataset = YOLODataset(yolo(data_yaml=data_yaml), "train")
    assert dataset.classes == ("cat", "dog")
    np.testing.assert_allclose(dataset[0].boxes, [[32, 24, 48, 36]], rtol=1e-6)


@pytest.mark.parametrize(
    "row, boxes",
    [
        ("\ufeff0.0 5e-1 5e-1 2e-1 2e-1\r\n\r\n", [[32, 24, 48, 36]]),
        ("0 0.1 0.1 0.3 0.1 0.3 0.3 0.1 0.3", [[8, 6, 24, 18]]),
        ("0 0.02 0.5 0.2 0.2", [[0, 24, 9.6, 36]]),
        ("0 0.5 0.5 0 0.2", []),
        ("\n \n", []),
    ],
    ids=["numbers", "rotated box", "over the border", "no width", "blank"],
)
def test_rows_that_are_read(yolo, row, boxes):
    dataset = YOLODataset(yolo(row), "train")
    np.testing.assert_allclose(dataset[0].boxes, np.reshape(boxes, (-1, 4)), rtol=1e-5)


@pytest.mark.parametrize(
    "row, message",
    [
        ("0 0.5 0.5 0.2 0.2 0.9", "has 6 numbers; want 5"),
        ("0 40 30 10 10", "has coordinate 40; want fractions"),
        ("0, 0.5, 0.5, 0.2, 0.2", "want numbers"),
        ("0 0,5 0,5 0,2 0,2", "want numbers"),
        ("cat 0.5 0.5 0.2 0.2", "want numbers"),
        ("-1 0.5 0.5 0.2 0.2", "is of class -1; want 0..1"),
        ("0 nan 0.5 0.2 0.2", "has coordinate nan"),
        ("0 0.5 0.5 -0.2 0.2", "has coordinate -0.2"),
    ],
)
def test_rows_that_are_refused(yolo, row, message):
    with pytest.raises(DataError, match=f"a.txt: line 1 .*{message}"):
        YOLODataset(yolo(row), "train")


def test_label_files_in_capital_letters(yolo):
    labels = yolo() / "train" / "labels"
    os.rename(labels / "a.txt", labels / "a.TXT")
    assert len(YOLODataset(labels.parent.parent, "train")[0].boxes) == 1


def test_two_images_with_one_label_file(yolo):
    root = yolo()
    write_image(root / "train" / "images" / "a.png")
    with pytest.raises(DataError, match="a.txt: is the label file of both .*a.jpg and .*a.png"):
        YOLODataset(root, "train")


def test_darknet_folder_of_cvat(tmp_path):
    write_image(tmp_path / "obj_train_data" / "a.jpg")
    (tmp_path / "obj_train_data" / "a.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    (tmp_path / "obj.data").write_text("classes = 2\ntrain = data/train.txt\n")
    (tmp_path / "train.txt").write_text("data/obj_train_data/a.jpg\n")
    for split in ("train", None):
        dataset = YOLODataset(tmp_path, split)
        assert dataset.classes == ("cat", "dog") and dataset[0].labels.tolist() == [1]


@pytest.mark.parametrize(
    "kind, points, message",
    [
        ("line", [[1, 1], [9, 9]], "is a 'line'; rectangles, also rotated ones, polygons, circ"),
        ("point", [[5, 5]], "is a 'point'"),
        ("linestrip", [[1, 1], [3, 9], [9, 9]], "is a 'linestrip'"),
        ("mask", [[5, 5], [20, 25]], "is a mask, and its 'mask' is None"),
        ("oriented_rectangle", [[1, 1], [9, 1], [9, 5]], "is a oriented_rectangle of 3 points"),
        ("polygon", [[1, 1], [9, 9]], "is a polygon of 2 points"),
        ("circle", [[1, 1]], "is a circle of 1 points"),
    ],
)
def test_shapes_that_are_no_objects(folder, kind, points, message):
    write_labelme(folder, [("cat", "rectangle", [[5, 5], [25, 25]]), ("cat", kind, points)])
    with pytest.raises(DataError, match=f"a.json: shape 2 {message}"):
        LabelmeDataset(folder)


def test_shapes_of_labelme_that_are_read(folder):
    shapes = [
        ("cat", "rectangle", [[30, 30], [10, 10]]),  # drawn from right to left
        ("cat", "circle", [[20, 20], [30, 20]]),  # center and border
        ("cat", "rectangle", [[-3, 10], [90, 30]]),
        ("cat", "rectangle", [[10, 10], [10, 30]]),  # a click without a drag has no width
    ]
    write_labelme(folder, shapes, image_path="..\\photos\\a.jpg")
    boxes = LabelmeDataset(folder)[0].boxes.tolist()
    assert boxes == [[10, 10, 30, 30], [10, 10, 30, 30], [0, 10, 80, 30]]


REGION = {"shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}}
VIA_IMAGE = {"filename": "a.jpg", "size": 123, "regions": [REGION], "file_attributes": {}}
TASK = {"id": 1, "annotations": [{"id": 7, "result": []}], "data": {"image": "/data/a.jpg"}}
SHORT_TASK = {"image": "a.jpg", "id": 1, "annotator": 1, "annotation_id": 7, "lead_time": 2.5}
COORDINATES = {"x": 1, "y": 2, "width": 3, "height": 4}
VIA = (
    "VIA, no COCO annotation file; in VIA choose Annotation, Export Annotations .COCO format., and"
)
LABEL_STUDIO = (
    "is a file of Label Studio, no COCO annotation file; export it as COCO there, and give"
)


@pytest.mark.parametrize(
    "content, message",
    [
        ({"a.jpg123": VIA_IMAGE}, f"is a file of {VIA}"),
        ({"a.jpg123": {**VIA_IMAGE, "fileref": "", "regions": {"0": REGION}}}, f"file of {VIA}"),
        ({"_via_settings": {}, "_via_img_metadata": {}}, f"is a project of {VIA}"),
        (
            {"project": {"pid": 1}, "config": {}, "attribute": {}, "metadata": {}, "view": {}},
            "is a project of VIA 3, no COCO",
        ),
        ([TASK], LABEL_STUDIO),
        ([{"id": 1, "data": {"image": "a.jpg"}}], LABEL_STUDIO),
        ([{**TASK, "completions": []}], LABEL_STUDIO),
        ([SHORT_TASK], LABEL_STUDIO),
        (TASK, LABEL_STUDIO),
        ({"shapes": [], "imagePath": "a.jpg"}, "is a file of Labelme, .*; give --dataset labelme"),
        ({"description": "", "objects": [], "size": {"height": 6}}, "is a file of Supervisely"),
        (
            [{"image": "a.jpg", "annotations": [{"coordinates": COORDINATES}]}],
            "is a file of CreateML",
        ),
        ([{"data_row": {"id": "x"}, "projects": {}}], "is a file of Labelbox"),
        ([{"name": "a.jpg", "labels": [{"box2d": {}}]}], "is a file of Scalabel .BDD100K."),
        ({"info": {}, "categories": {}, "items": [{"annotations": []}]}, "is a file of Datumaro"),
        ({"version": "2.0", "item": {}, "annotations": []}, "is a file of Darwin .V7."),
        (
            [{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}],
            "is a list of detections, COCO's results, .*; give the annotation file that",
        ),
        (
            {"images": [], "annotations": [{"image_id": 1, "caption": "a cat"}]},
            "is a file of COCO's captions, .*; give the instances_",
        ),
        ({"info": {}, "licenses": []}, "has no list 'images'; a COCO annotation file has images"),
        ({"images": [], "annotations": [], "categories": {}}, "has no list 'categories'"),
        ([], r"its content is \[\]; want an object"),
        (3, "its content is 3; want an object"),
    ],
)
def test_json_of_other_tools_is_named(folder, content, message):
    (folder / "x.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message) as caught:
        COCODataset(folder / "x.json", folder)
    assert "\n" not in str(caught.value)


def test_a_file_with_cocos_lists_is_read_whatever_else_it_has(folder):
    annotation = {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 30, 40], "caption": "x"}
    content = {
        "shapes": [],
        "imagePath": "",
        "images": [{"id": 1, "file_name": "a.jpg", "labels": [], "data": {}}],
        "annotations": [annotation],
        "categories": [{"id": 2, "name": "cat"}],
    }
    Image.new("RGB", (80, 60)).save(folder / "a.jpg")
    (folder / "x.json").write_text(json.dumps(content))
    assert len(COCODataset(folder / "x.json", folder)[0].boxes) == 1


def test_json_of_supervisely_is_no_labelme_file(folder):
    content = {"description": "", "size": {"height": 60, "width": 80}, "objects": []}
    (folder / "a.jpg.json").write_text(json.dumps(content))
    message = "is no file of Labelme: it has no list 'shapes' and is a file of Supervisely; move it"
    with pytest.raises(DataError, match=message):
        LabelmeDataset(folder)
    coco = {"images": [{"file_name": "a.jpg"}], "annotations": [{"bbox": []}], "categories": []}
    for content, origin in ((coco, " and is a COCO file"), ([], ""), ({}, "")):
        (folder / "a.jpg.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match=f"has no list 'shapes'{origin}; move it away"):
            LabelmeDataset(folder)
