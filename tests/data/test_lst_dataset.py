from gluonnorm.data import DataError
from gluonnorm.data.recordio import open_lst

import numpy as np
import pytest
from PIL import Image

ROW = [0, 0.1, 0.2, 0.5, 0.6]  # class, corners as fractions
PADDING = [-1] * 5


def line(*rows, name="a.png", header=(2, 5), separator="\t"):
    numbers = [0, *header]
    for row in rows:
        numbers += row
    return separator.join([*map(str, numbers), name])


@pytest.fixture
def root(tmp_path):
    (tmp_path / "photos").mkdir()
    for index, name in enumerate(("a.png", "b c.png", "photos/d.png")):
        Image.fromarray(np.full((20, 30, 3), 50 * index, np.uint8)).save(tmp_path / name)
    return tmp_path


def read(root, *lines, **options):
    (root / "data.lst").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return open_lst(root / "data.lst", root, ["cat", "dog"], **options)


def test_labeled_images(root):
    dataset = read(
        root,
        line(ROW, [1, 0, 0, 1, 1]),
        line(name="photos/d.png"),
        line(PADDING, ROW, PADDING, name="b c.png", header=(4, 5, 640, 480)),
    )
    assert len(dataset) == 3 and dataset.sizes().tolist() == [[20, 30]] * 3
    labeled = dataset[0]
    np.testing.assert_allclose(labeled.boxes, [[3, 4, 15, 12], [0, 0, 30, 20]], rtol=1e-6)
    assert labeled.labels.tolist() == [0, 1] and labeled.crowd.tolist() == [False, False]
    assert dataset[1].boxes.shape == (0, 4) and (dataset[1].image == 100).all()
    np.testing.assert_allclose(dataset[-1].boxes, [[3, 4, 15, 12]], rtol=1e-6)
    assert (dataset[2].image == 50).all() and dataset[-1].image_id == 2
    assert [entry["image_id"] for entry in dataset.coco_truth()["annotations"]] == [0, 0, 2]


def test_pixels(root):
    dataset = read(root, line([1, 3, 4, 15, 12]), normalized=False)
    assert dataset[0].boxes.tolist() == [[3, 4, 15, 12]] and dataset[0].labels.tolist() == [1]
    with pytest.raises(DataError, match="line 1: row 0 has coordinate 3; want fractions .*0 to 1"):
        read(root, line([1, 3, 4, 15, 12]))
    with pytest.raises(DataError, match="data.lst: no coordinate is beyond 1; they are fractions"):
        read(root, line(ROW), line(name="b c.png"), normalized=False)


def test_box_a_little_over_the_border(root):
    box = read(root, line([0, -0.01, 0.5, 1.002, 1]))[0].boxes
    np.testing.assert_allclose(box, [[0, 10, 30, 20]])


def test_sixth_column(root):
    lines = [line([*ROW, 1], [*ROW, 0], header=(2, 6)), line(header=(2, 6), name="b c.png")]
    with pytest.raises(DataError, match="data.lst: rows have 6 numbers; .*difficult=True, and dif"):
        read(root, *lines)
    assert read(root, *lines, difficult=True)[0].crowd.tolist() == [True, False]
    assert read(root, *lines, difficult=False)[0].crowd.tolist() == [False, False]
    with pytest.raises(DataError, match="row 0 has difficult 0.7; want 0 or 1"):
        read(root, line([*ROW, 0.7], header=(2, 6)), difficult=True)
    with pytest.raises(DataError, match="a row has 5 numbers; difficult=True wants a sixth"):
        read(root, line(ROW), difficult=True)


@pytest.mark.parametrize(
    "text, message",
    [
        (line(ROW, separator=" "), "has no tabs; the columns"),
        (line(ROW, name="gone.png"), "no such image file 'gone.png'"),
        ("0\t1\ta.png", r"label has 1 number\(s\), as for classification"),
        ("0\ta.png", r"label has 0 number\(s\)"),
        ("0\tx\t5\ta.png", "is not a line of an LST file: could not convert"),
        (line(ROW, header=(5, 2)), "label begins with 5 2; want the length of its header"),
        (line(ROW, header=(1, 5)), "label begins with 1 5"),
        (line(ROW, header=("nan", 5)), "label begins with nan 5"),
        (line(ROW, header=(99, 5)), "label begins with 99 5"),
        (line([*ROW, 7]), "label has 6 numbers after its header; want rows of 5"),
        (line(ROW, [2, 0, 0, 1, 1]), "row 1: label 2 is out of range; want 0..1 .* cat, dog"),
        (line([0.5, 0, 0, 1, 1]), "row 0: label 0.5 is out of range"),
        (line([-1, 0, 0, 1, 1]), "row 0: label -1 is out of range"),
        (line([0, 0.5, 0, 0.1, 1]), "row 0: box .* has its corners in the wrong order"),
        (line([0, 0, 0, "nan", 1]), "row 0 has coordinate nan; want fractions"),
    ],
)
def test_faults(root, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read(root, "", text, line(name="b c.png"))
    assert "data.lst: line 2" in str(caught.value) and "\n" not in str(caught.value)
    dataset = read(root, "", text, line(name="b c.png"), skip_bad=True)
    assert len(dataset) == 1 and len(dataset.skipped) == 1 and dataset[0].name == "b c.png"


def test_all_faults_at_once(root):
    with pytest.raises(DataError, match="data.lst: 4 faults; .*gone.png.*label 7.*label 8.*line 4"):
        read(root, line(ROW), line(name="gone.png"), line([7, *ROW[1:]], [8, *ROW[1:]]), line(ROW))


def test_wrong_folder_of_images(root):
    (root / "data.lst").write_text("\n".join([line(ROW), line(name="b c.png")]))
    with pytest.raises(DataError, match="none of its 2 images is in .*photos; .*: a.png, b c.png;"):
        open_lst(root / "data.lst", root / "photos", ["cat"])
    # Lines without tabs have no names.
    with pytest.raises(DataError, match="2 faults; .* has no tabs"):
        read(root, line(ROW, separator=" "), line(ROW, separator=" "))


def test_faults_of_the_file(root):
    with pytest.raises(DataError, match="data.lst: is an empty data set"):
        read(root, "")
    with pytest.raises(DataError, match="absent.lst: cannot be read: No such file"):
        open_lst(root / "absent.lst", root, ["cat"])
    with pytest.raises(DataError, match="'cat' is listed more than once"):
        open_lst(root / "data.lst", root, ["cat", "cat"])
    (root / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="a.png: cannot be read as an image"):
        read(root, line(ROW))


def test_windows_file(root):
    (root / "data.lst").write_bytes(b"\xef\xbb\xbf" + (line(ROW) + "\r\n").encode())
    assert len(open_lst(root / "data.lst", root, ["cat"])) == 1
