"""GluonCV's own data sets go in as they are."""

from gluonnorm.data import AspectGroupSampler, DataError, EvalTransform, GluonCVDataset, Loader
from gluonnorm.data.recordio import open_lst, open_record
from gluonnorm.types import Preprocess

import mxnet as mx
import numpy as np
import pytest
from gluoncv.data import VOCDetection
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


def test_faults(lst, rec, tmp_path):
    with pytest.raises(DataError, match="absent.rec: no such file"):
        open_record(tmp_path / "absent.rec", ["cat"])
    with pytest.raises(DataError, match="absent.lst: cannot be read: No such"):
        open_lst(tmp_path / "absent.lst", tmp_path, ["cat"])
    with pytest.raises(DataError, match=r"RecordFileDetection\[1\]: label 1 is out of range"):
        open_record(rec, ["cat"])[1]
    (tmp_path / "data.idx").unlink()
    with pytest.raises(DataError, match="data.idx: no such file"):
        open_record(rec, ["cat"])
    (tmp_path / "0.png").unlink()
    with pytest.raises(DataError, match="data.lst: line 1: no such image file '0.png'"):
        open_lst(lst, tmp_path, ["cat", "dog"])
