"""RecordIO and LST files, and GluonCV's own data sets of the same files."""

import io

from gluonnorm.data import AspectGroupSampler, DataError, EvalTransform, GluonCVDataset, Loader
from gluonnorm.data.recordio import open_lst, open_record
from gluonnorm.types import Preprocess

import mxnet as mx
import numpy as np
import pytest
from gluoncv.data import LstDetection, RecordFileDetection, VOCDetection
from PIL import Image

BOXES = [
    np.array([[0, 1.0, 2, 5, 8], [1, 10, 4, 28, 18]]),
    np.array([[1, 0, 0, 30.0, 20]]),
]  # class, corners


def flat_label(boxes):
    """Pack boxes as im2rec does: a header, then rows of class and corners as fractions.

    The header has two numbers: its own length, and the length of a row.
    """
    return np.concatenate([[2, 5], (boxes / [1, 30, 20, 30, 20]).ravel()])


@pytest.fixture
def lst(tmp_path):
    lines = []
    for index, boxes in enumerate(BOXES):
        Image.fromarray(np.full((20, 30, 3), 100 * index, np.uint8)).save(tmp_path / f"{index}.png")
        lines.append(
            "\t".join([str(index), *map(repr, flat_label(boxes).tolist()), f"{index}.png"])
        )
    (tmp_path / "data.lst").write_text("\n".join(lines) + "\n")
    return tmp_path / "data.lst"


@pytest.fixture
def rec(tmp_path):
    writer = mx.recordio.MXIndexedRecordIO(
        str(tmp_path / "data.idx"), str(tmp_path / "data.rec"), "w"
    )
    for index in range(40):
        header = mx.recordio.IRHeader(0, flat_label(BOXES[index % 2]).astype(np.float32), index, 0)
        image = np.full((20, 30, 3), index, np.uint8)
        writer.write_idx(index, mx.recordio.pack_img(header, image, img_fmt=".png"))
    writer.close()
    return tmp_path / "data.rec"


def check_boxes(dataset):
    for index, wanted in enumerate(BOXES):
        np.testing.assert_allclose(dataset[index].boxes, wanted[:, 1:], atol=1e-5)
        assert dataset[index].labels.tolist() == wanted[:, 0].tolist()


def test_lst(lst):
    dataset = open_lst(lst, lst.parent, ["cat", "dog"])
    check_boxes(dataset)
    assert (dataset[1].image == 100).all() and len(dataset) == 2


def test_record(rec):
    dataset = open_record(rec, ["cat", "dog"])
    check_boxes(dataset)
    assert (dataset[3].image == 3).all() and len(dataset) == 40


def test_threads_share_one_record_file(rec):
    """Every image arrives whole and in its place, though the file has a single read position."""
    dataset = open_record(rec, ["cat", "dog"])
    transform = EvalTransform(Preprocess(short=(20,), max_size=30, normalize=False))
    sampler = AspectGroupSampler(dataset.sizes(), 2, shuffle=False, seed=0)
    loader = Loader(dataset, transform, sampler, (0, 0, 0), 0, train=False, workers=4)
    seen = [image.mean() for batch in loader for image in batch.images.asnumpy()]
    assert seen == list(range(40))


def test_voc(tmp_path):
    folder = tmp_path / "VOC2007"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    (folder / "ImageSets/Main/val.txt").write_text("a\nb\n")
    size = "<size><width>30</width><height>20</height></size>"
    item = (
        "<object><name>dog</name><difficult>1</difficult>"
        "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax>"
        "<ymax>11</ymax></bndbox></object>"
    )
    for stem, objects in (("a", item), ("b", "")):
        (folder / f"Annotations/{stem}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
        Image.new("RGB", (30, 20)).save(folder / f"JPEGImages/{stem}.jpg")
    dataset = GluonCVDataset(VOCDetection(root=str(tmp_path), splits=[(2007, "val")]))
    assert len(dataset.classes) == 20
    assert dataset[0].boxes.tolist() == [[1, 2, 8, 10]] and dataset[0].crowd.tolist() == [True]
    assert dataset.classes[dataset[0].labels[0]] == "dog"
    assert dataset[1].boxes.shape == (0, 4)


def write_records(path, *labels, image=b""):
    """Write records of the given labels; all have the same image, by default a gray one."""
    if not image:
        content = io.BytesIO()
        Image.new("RGB", (30, 20), (9, 9, 9)).save(content, "JPEG")
        image = content.getvalue()
    writer = mx.recordio.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "w")
    for key, label in enumerate(labels, start=5):
        header = mx.recordio.IRHeader(0, label, key, 0)
        writer.write_idx(key, mx.recordio.pack(header, image))
    writer.close()
    return path


ROW = [0, 0.1, 0.2, 0.5, 0.6]


def test_records_without_boxes(tmp_path):
    path = write_records(tmp_path / "a.rec", [2, 5], [2, 5, *[-1] * 5], [4, 5, 30, 20, *ROW])
    dataset = open_record(path, ["cat"])
    assert [len(dataset[index].boxes) for index in range(3)] == [0, 0, 1]
    np.testing.assert_allclose(dataset[2].boxes, [[3, 4, 15, 12]], rtol=1e-6)
    assert dataset.sizes().tolist() == [[20, 30]] * 3 and dataset[0].image.shape == (20, 30, 3)
    assert len(dataset.coco_truth()["annotations"]) == 1


def test_sixth_column(tmp_path):
    path = write_records(tmp_path / "a.rec", [2, 6, *ROW, 1], [2, 6, *ROW, 0])
    with pytest.raises(DataError, match="a.rec: rows have 6 numbers; .*difficult=True"):
        open_record(path, ["cat"])
    dataset = open_record(path, ["cat"], difficult=True)
    assert [dataset[index].crowd.tolist() for index in range(2)] == [[True], [False]]
    assert open_record(path, ["cat"], difficult=False)[0].crowd.tolist() == [False]


def test_pixels(tmp_path):
    path = write_records(tmp_path / "a.rec", [2, 5, 0, 3, 4, 15, 12])
    assert open_record(path, ["cat"], normalized=False)[0].boxes.tolist() == [[3, 4, 15, 12]]
    with pytest.raises(DataError, match="record 5: row 0 has coordinate 3; want fractions"):
        open_record(path, ["cat"])


def test_all_faults_at_once(tmp_path):
    path = write_records(tmp_path / "a.rec", [1.0], [2, 5, 3, *ROW[1:]], [2, 5, *ROW])
    message = "a.rec: 2 faults; .*record 5: label has 1 number.*record 6: row 0: label 3 is out of"
    with pytest.raises(DataError, match=message):
        open_record(path, ["cat"])
    dataset = open_record(path, ["cat"], skip_bad=True)
    assert len(dataset) == 1 and len(dataset.skipped) == 2 and dataset[0].name == "7"


def test_records_that_are_no_images(tmp_path):
    path = write_records(tmp_path / "a.rec", [2, 5, *ROW], image=b"GIF, or perhaps not")
    with pytest.raises(DataError, match="a.rec: record 5: .*cannot be read as an image"):
        open_record(path, ["cat"])


def test_truncated_image(tmp_path):
    content = io.BytesIO()
    noise = np.random.RandomState(0).randint(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(content, "JPEG")
    half = content.getvalue()[: len(content.getvalue()) // 2]
    path = write_records(tmp_path / "a.rec", [2, 5, *ROW], image=half)
    with pytest.raises(DataError, match="a.rec: record 5: .*cannot be read as an image.*truncated"):
        open_record(path, ["cat"])[0]


def test_index_of_another_file(tmp_path):
    path = write_records(tmp_path / "a.rec", [2, 5, *ROW])
    path.with_suffix(".idx").write_text("5\t4\n")
    with pytest.raises(DataError, match="a.rec: record 5: cannot be read: .*; is the .idx file"):
        open_record(path, ["cat"])
    path.with_suffix(".idx").write_text("5\t99999\n")
    with pytest.raises(DataError, match="record 5: cannot be read: the file ends before it; is"):
        open_record(path, ["cat"])
    path.with_suffix(".idx").write_text("5 0\n")
    with pytest.raises(DataError, match="a.idx: line 1 is '5 0'; want a key and a position"):
        open_record(path, ["cat"])
    path.with_suffix(".idx").write_text("5\t²\n", encoding="utf-8")
    with pytest.raises(DataError, match="a.idx: line 1 is .*; want a key and a position"):
        open_record(path, ["cat"])
    path.with_suffix(".idx").write_text("")
    with pytest.raises(DataError, match="a.idx: is an empty data set"):
        open_record(path, ["cat"])


def test_faults(lst, rec, tmp_path):
    with pytest.raises(DataError, match="absent.rec: no such file"):
        open_record(tmp_path / "absent.rec", ["cat"])
    with pytest.raises(DataError, match="absent.lst: cannot be read: No such"):
        open_lst(tmp_path / "absent.lst", tmp_path, ["cat"])
    with pytest.raises(DataError, match=r"record 1: row 0: label 1 is out of range"):
        open_record(rec, ["cat"])
    (tmp_path / "data.idx").unlink()
    with pytest.raises(DataError, match="data.idx: no such file; .*rec2idx.py makes it"):
        open_record(rec, ["cat"])
    (tmp_path / "0.png").unlink()
    with pytest.raises(DataError, match="data.lst: line 1: no such image file '0.png'"):
        open_lst(lst, tmp_path, ["cat", "dog"])


def test_gluoncv_reads_the_same(lst, rec):
    """GluonCV's own readers, wrapped, give the same boxes."""
    for dataset in (
        GluonCVDataset(LstDetection(str(lst), root=str(lst.parent)), ["cat", "dog"]),
        GluonCVDataset(RecordFileDetection(str(rec)), ["cat", "dog"]),
    ):
        check_boxes(dataset)
