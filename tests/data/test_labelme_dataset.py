import base64
import io
import json

from gluonnorm.data import DataError, LabelmeDataset

import numpy as np
import pytest
from PIL import Image

RECTANGLE = [[12, 14], [2, 4]]  # the corners may be in any order
TRIANGLE = [[4, 4], [20, 4], [4, 16]]
CIRCLE = [[15, 10], [15, 14]]


def shape(label="cat", kind="polygon", points=None, **more):
    if points is None:
        points = {"rectangle": RECTANGLE, "circle": CIRCLE}.get(kind, TRIANGLE)
    return {"label": label, "shape_type": kind, "points": points, **more}


def add(root, name, *shapes, image="", **more):
    folder = (root / name).parent
    folder.mkdir(parents=True, exist_ok=True)
    image = image or f"{(root / name).name}.jpg"
    Image.new("RGB", (30, 20)).save(folder / image)
    content = {
        "version": "5.2.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": image,
        "imageData": None,
        "imageHeight": 20,
        "imageWidth": 30,
        **more,
    }
    (root / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def test_labeled_images(tmp_path):
    add(tmp_path, "a", shape("dog", "rectangle"), shape("cat"), shape("cat", "circle"))
    add(tmp_path, "b")
    Image.new("RGB", (30, 20)).save(tmp_path / "unlabeled.jpg")
    dataset = LabelmeDataset(tmp_path)
    assert dataset.classes == ("cat", "dog") and dataset.category_ids == (1, 2)
    assert len(dataset) == 2 and dataset.sizes().tolist() == [[20, 30]] * 2
    labeled = dataset[0]
    assert labeled.boxes.tolist() == [[2, 4, 12, 14], [4, 4, 20, 16], [11, 6, 19, 14]]
    assert labeled.labels.tolist() == [1, 0, 0] and labeled.crowd.tolist() == [False] * 3
    assert (labeled.name, labeled.masks) == ("a.jpg", None) and dataset[1].boxes.shape == (0, 4)
    truth = dataset.coco_truth()["annotations"]
    assert [entry["bbox"] for entry in truth][0] == [2, 4, 10, 10] and dataset[-1].image_id == 1


def test_masks(tmp_path):
    square = [[2, 4], [12, 4], [12, 14], [2, 14]]
    add(tmp_path, "a", shape(points=square), shape("dog", "circle", [[15, 10], [15, 17]]))
    dataset = LabelmeDataset(tmp_path).with_masks()
    wanted = np.zeros((20, 30), bool)
    wanted[4:14, 2:12] = True
    square_mask, circle_mask = dataset[0].masks
    np.testing.assert_array_equal(square_mask, wanted)
    y, x = np.mgrid[:20, :30] + 0.5
    distance = np.hypot(x - 15, y - 10)
    assert circle_mask[distance < 6].all() and not circle_mask[distance > 8].any()
    assert dataset.coco_truth()["annotations"][0]["area"] == 100
    add(tmp_path, "b", shape("cat", "rectangle"))
    with pytest.raises(DataError, match="b.json: shape 1 has no segmentation; correct"):
        LabelmeDataset(tmp_path).with_masks()


def pixels(values, first, second=None, **more):
    """A shape of pixels, as Labelme writes it for the tool "AI mask": the second corner is the
    last pixel, or in other versions the one behind it."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint8)).save(buffer, "PNG")
    if second is None:
        second = [first[0] + np.shape(values)[1] - 1, first[1] + np.shape(values)[0] - 1]
    png = base64.b64encode(buffer.getvalue()).decode()
    return shape(kind="mask", points=[first, second], **{"mask": png, **more})


DRAWN = np.array([[0, 0, 0, 0], [0, 255, 1, 0], [0, 255, 0, 0]])


@pytest.mark.parametrize("second", [None, [9, 12], [8.4, 10.6]])
def test_a_mask_is_its_png_at_its_first_corner(tmp_path, second):
    add(tmp_path, "a", pixels(DRAWN, [5, 9], second), shape())
    plain = LabelmeDataset(tmp_path)
    # The box is that of the pixels, not that of the PNG.
    assert plain[0].boxes[0].tolist() == [6, 10, 8, 12]
    labeled = plain.with_masks()[0]
    wanted = np.zeros((20, 30), bool)
    wanted[10, 6:8] = wanted[11, 6] = True
    np.testing.assert_array_equal(labeled.masks[0], wanted)
    assert labeled.boxes.tolist() == plain[0].boxes.tolist() and len(labeled.masks) == 2
    assert plain.with_masks().coco_truth()["annotations"][0]["area"] == 3


def test_what_is_outside_the_image_is_cut_off_a_mask(tmp_path):
    add(tmp_path, "a", pixels(np.ones((6, 8)), [25.6, -2.4]))
    labeled = LabelmeDataset(tmp_path, masks=True)[0]
    # 26 and -2: five columns and two rows are outside.
    assert labeled.boxes.tolist() == [[26, 0, 30, 4]]
    assert labeled.masks.sum() == 4 * 4 and labeled.masks[0, :4, 26:].all()


def test_a_group_may_have_masks_and_outlines(tmp_path):
    square = [[20, 4], [24, 4], [24, 8], [20, 8]]
    add(tmp_path, "a", pixels(DRAWN, [5, 9], group_id=1), shape(points=square, group_id=1))
    labeled = LabelmeDataset(tmp_path, masks=True)[0]
    assert labeled.boxes.tolist() == [[6, 4, 24, 12]] and labeled.masks.sum() == 3 + 16
    add(tmp_path, "a", pixels(DRAWN, [5, 9], group_id=1), shape(kind="rectangle", group_id=1))
    assert LabelmeDataset(tmp_path)[0].boxes.tolist() == [[2, 4, 12, 14]]
    with pytest.raises(DataError, match="a.json: shape 1 has no segmentation"):
        LabelmeDataset(tmp_path, masks=True)


@pytest.mark.parametrize("kind", ["rotation", "oriented_rectangle", "quadrilateral"])
def test_a_rotated_rectangle_is_a_polygon(tmp_path, kind):
    diamond = [[10, 2], [18, 10], [10, 18], [2, 10]]
    add(tmp_path, "a", shape(kind=kind, points=diamond, direction=0.785))
    (tmp_path / "polygon").mkdir()
    add(tmp_path / "polygon", "a", shape(points=diamond))
    labeled = LabelmeDataset(tmp_path, masks=True)[0]
    wanted = LabelmeDataset(tmp_path, "polygon", masks=True)[0]
    assert labeled.boxes.tolist() == [[2, 2, 18, 18]]
    np.testing.assert_array_equal(labeled.masks, wanted.masks)
    y, x = np.mgrid[:20, :30] + 0.5
    distance = abs(x - 10) + abs(y - 10)
    assert labeled.masks[0][distance < 7].all() and not labeled.masks[0][distance > 9].any()


def test_shapes_of_a_group_are_one_object(tmp_path):
    left = [[2, 4], [6, 4], [6, 8], [2, 8]]
    right = [[20, 4], [24, 4], [24, 8], [20, 8]]
    add(
        tmp_path,
        "a",
        shape(points=left, group_id=1),
        shape(points=right, group_id=1, difficult=True),
        shape(points=left, group_id=2),
        shape("dog", points=left, group_id=1),
        shape(points=right, group_id=None),
    )
    labeled = LabelmeDataset(tmp_path).with_masks()[0]
    assert labeled.boxes.tolist() == [
        [2, 4, 24, 8],
        [2, 4, 6, 8],
        [2, 4, 6, 8],
        [20, 4, 24, 8],
    ]
    assert labeled.labels.tolist() == [0, 0, 1, 0]
    assert labeled.crowd.tolist() == [True, False, False, False]
    assert labeled.masks.sum(axis=(1, 2)).tolist() == [32, 16, 16, 16]


def test_difficult(tmp_path):
    add(
        tmp_path,
        "a",
        shape(difficult=True),
        shape(difficult=False),
        shape(flags={"difficult": True}),
        shape(flags={"blurred": True}),
    )
    assert LabelmeDataset(tmp_path)[0].crowd.tolist() == [True, False, True, False]
    add(tmp_path, "a", shape(difficult="yes"))
    with pytest.raises(DataError, match="shape 1 has difficult 'yes'; want true or false"):
        LabelmeDataset(tmp_path)


def test_splits_and_classes(tmp_path):
    add(tmp_path, "train/a", shape("cat"))
    add(tmp_path, "val/b", shape("dog"), shape("line", "linestrip"))
    with pytest.raises(DataError, match="val/b.json: shape 2 is a 'linestrip'; rectangles"):
        LabelmeDataset(tmp_path, "val")
    train = LabelmeDataset(tmp_path, "train")
    assert train.classes == ("cat", "dog", "line") and train[0].name == "train/a.jpg"
    val = LabelmeDataset(tmp_path, "val", ["dog", "cat"])
    assert val[0].labels.tolist() == [0] and len(val) == 1
    assert len(LabelmeDataset(tmp_path, ".", ["dog", "cat"])) == 2
    with pytest.raises(DataError, match="no object is of the classes dogs; all 2 are of dog, line"):
        LabelmeDataset(tmp_path, "val", ["dogs"])
    with pytest.raises(DataError, match="shape 1 is of class 'dog', but the chosen class is"):
        LabelmeDataset(tmp_path, "val", ["Dog"])
    with pytest.raises(
        DataError, match="no JSON files in split 'vla'; .*: train, val; .*all 2; did"
    ):
        LabelmeDataset(tmp_path, "vla")


@pytest.mark.parametrize(
    "image_path, wanted",
    [
        ("..\\images\\a.jpg", "images/a.jpg"),
        ("../images/a.jpg", "images/a.jpg"),
        ("C:\\Users\\x\\images\\a.jpg", "images/a.jpg"),
        ("a.jpeg", "images/a.jpg"),
        (None, "images/a.jpg"),
        ("b.jpg", "labels/b.jpg"),
    ],
)
def test_where_the_image_is(tmp_path, image_path, wanted):
    add(tmp_path, "labels/a", shape(), imagePath=image_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "labels/a.jpg").rename(tmp_path / "images/a.jpg")
    Image.new("RGB", (30, 20)).save(tmp_path / "labels/b.jpg")
    assert LabelmeDataset(tmp_path)[0].name == wanted


def test_missing_and_wrong_images(tmp_path):
    add(tmp_path, "a", shape(), imageData="iVBORw0KGgo=")
    add(tmp_path, "b", shape(), image="a.jpg")
    with pytest.raises(DataError, match="b.json: image a.jpg is listed in .*a.json already"):
        LabelmeDataset(tmp_path)
    (tmp_path / "b.json").unlink()
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"a.json: no such image file 'a.jpg' in .*\(imageData\)"):
        LabelmeDataset(tmp_path)
    add(tmp_path, "a", shape(), imageHeight=30, imageWidth=20)
    with pytest.raises(DataError, match="a.jpg: is 30 x 20 pixels, but .*a.json states 20 x 30"):
        LabelmeDataset(tmp_path)[0]
    add(tmp_path, "a", shape(), imageHeight=None)
    assert LabelmeDataset(tmp_path)[0].image.shape == (20, 30, 3)


@pytest.mark.parametrize(
    "faulty, message",
    [
        (
            shape(kind="point", points=[[1, 2]]),
            "is a 'point'; rectangles, also rotated ones, polygons, circles and masks are read",
        ),
        (shape(kind="mask"), "is a mask of 3 points; want 2"),
        (shape(kind="mask", points=RECTANGLE), "is a mask, and its 'mask' is None; want a PNG"),
        (pixels(np.ones((2, 2)), [7, 9], mask="%%%"), "has a mask that is no PNG in base64"),
        (pixels(np.ones((2, 2)), [7, 9], mask="iVBORw0KGgo="), "has a mask that is no PNG"),
        (
            pixels(np.ones((9, 9)), [7, 9], [9, 11]),
            "has a mask of 9 x 9 pixels in mode L; .* 3 x",
        ),
        (pixels(np.ones((3, 3, 3)), [7, 9]), "has a mask of 3 x 3 pixels in mode RGB; .* gray"),
        (pixels(np.zeros((3, 3)), [7, 9]), "is a mask without a pixel in the image; save"),
        (pixels(np.ones((3, 3)), [40, 9]), "is a mask without a pixel in the image; save"),
        (shape(kind="rotation"), "is a rotation of 3 points; want 4"),
        (shape(kind="cuboid"), "is a 'cuboid'; rectangles, also rotated ones, polygons, circles"),
        (shape(points=[[1, 2], [3, 4]]), "is a polygon of 2 points; want"),
        (shape(kind="circle", points=TRIANGLE), "is a circle of 3 points"),
        (shape(kind="rectangle", points=TRIANGLE), "is a rectangle of 3 points"),
        (shape(points=[[1, 2], [3, "4"], [5, 6]]), r"has the point \[3, '4'\]; want"),
        (shape(points=[[1, 2], [3], [5, 6]]), r"has the point \[3\]; want"),
        (shape(points=[[1, 2, 3]] * 3), "has the point"),
        (shape(points=[[1, float("nan")]] * 3), "has the point"),
        (shape(points="none"), "has the point None; want a list"),
        (shape(points=[[40, 4], [50, 4], [50, 9]]), "box .* is outside the image of 30 x 20"),
        (shape(label=""), "has label ''; want a text"),
        ("cat", "has no 'label'"),
    ],
)
def test_faulty_shapes(tmp_path, faulty, message):
    add(tmp_path, "a", shape(), faulty, shape())
    add(tmp_path, "b", shape())
    with pytest.raises(DataError, match=message) as caught:
        LabelmeDataset(tmp_path)
    assert "a.json: shape 2" in str(caught.value) and "\n" not in str(caught.value)
    dataset = LabelmeDataset(tmp_path, skip_bad=True)
    assert len(dataset) == len(dataset.skipped) == 1 and dataset[0].name == "b.jpg"


def test_all_faults_at_once(tmp_path):
    add(tmp_path, "a", shape(kind="line"), shape(kind="point"))
    add(tmp_path, "b", shape())
    (tmp_path / "coco.json").write_text('{"images": []}')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "._b.json").write_bytes(b"\x00\x05")
    with pytest.raises(DataError, match="4 faults; "):
        LabelmeDataset(tmp_path)
    dataset = LabelmeDataset(tmp_path, skip_bad=True)
    for wanted in (
        "shape 1 is a 'line'",
        "shape 2 is a 'point'",
        "no file of Labelme",
        "not valid",
    ):
        assert sum(wanted in message for message in dataset.skipped) == 1, (wanted, dataset.skipped)


def test_no_labels(tmp_path):
    add(tmp_path, "a")
    with pytest.raises(DataError, match="no classes: read 1 JSON files, and none has a"):
        LabelmeDataset(tmp_path)
    assert len(LabelmeDataset(tmp_path, classes=["cat"])) == 1
    with pytest.raises(DataError, match="absent: cannot be listed"):
        LabelmeDataset(tmp_path / "absent")
