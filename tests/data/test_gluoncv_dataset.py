from gluonnorm.data import DataError, GluonCVDataset

import mxnet as mx
import numpy as np
import pytest
from gluoncv.data import MixupDetection

IMAGE = np.zeros((20, 30, 3), np.uint8)


class Items(list):
    """A GluonCV data set reduced to what is asked of it."""

    classes = ("cat", "dog")


def test_labeled_images():
    label = np.array([[1, 2, 5, 8, 1, 0], [3, 3, 40, 9, 0, 1], [4, 4, 4, 4, 0, 0]])
    dataset = GluonCVDataset(
        Items([(mx.nd.array(IMAGE + 7, dtype="uint8"), label), (IMAGE, np.array([]))]),
        difficult=True,
    )
    assert (
        dataset.classes == ("cat", "dog") and dataset.category_ids == (1, 2) and len(dataset) == 2
    )
    labeled, without = dataset[0], dataset[1]
    assert labeled.image.dtype == np.uint8 and (labeled.image == 7).all()
    np.testing.assert_array_equal(labeled.boxes, np.float32([[1, 2, 5, 8], [3, 3, 30, 9]]))
    assert labeled.labels.tolist() == [1, 0] and labeled.crowd.tolist() == [False, True]
    assert labeled.labels.dtype == np.int32 and (labeled.image_id, labeled.name) == (0, "Items[0]")
    assert without.boxes.shape == (0, 4)
    assert dataset.sizes().tolist() == [[20, 30], [20, 30]]
    assert dataset.coco_truth()["annotations"][1] == {
        "id": 2,
        "image_id": 0,
        "category_id": 1,
        "bbox": [3, 3, 27, 6],
        "area": 162,
        "iscrowd": 1,
    }


def test_five_columns_have_no_crowd():
    labeled = GluonCVDataset([(IMAGE, np.array([[1, 2, 5, 8, 0]]))], classes=["cell"])[0]
    assert labeled.crowd.tolist() == [False]


def test_labels_are_numbers():
    dataset = GluonCVDataset([(IMAGE, np.array([["1", "2", "5", "8", "0"]]))], classes=["cell"])
    with pytest.raises(DataError, match=r"\[0\]: label has type <U1; want numbers"):
        dataset[0]


@pytest.mark.parametrize("wrong", [2, -1, 0.5, np.nan])
def test_label_out_of_range(wrong):
    dataset = GluonCVDataset(
        Items([(IMAGE, np.zeros((0, 5))), (IMAGE, np.array([[1, 2, 5, 8, wrong]]))])
    )
    with pytest.raises(
        DataError, match=r"Items\[1\]: label \S+ is out of range; want 0..1 for the 2 classes"
    ):
        dataset[1]


@pytest.mark.parametrize(
    "item, message",
    [
        ((IMAGE, np.zeros((1, 4))), r"label has shape \(1, 4\); want"),
        ((IMAGE, np.arange(5)), r"label has shape \(5,\); want"),
        (
            (IMAGE.astype(np.float32), np.zeros((0, 5))),
            "want .* uint8: wrap the data set before any transform",
        ),
        ((IMAGE.transpose(2, 0, 1), np.zeros((0, 5))), "image has shape"),
        ((IMAGE, np.array([[31, 2, 35, 8, 0]])), "row 0: box .* outside the image"),
        (IMAGE, "is a ndarray; want a pair"),
    ],
)
def test_faults_name_the_item(item, message):
    with pytest.raises(DataError, match=message) as caught:
        GluonCVDataset(Items([item]))[0]
    assert str(caught.value).startswith("Items[0]: ")


def test_what_the_data_set_raises_names_the_item():
    class Broken(Items):
        def __getitem__(self, index):
            raise mx.MXNetError("cannot open file\nStack trace:\n ...")

    with pytest.raises(DataError, match=r"^Broken\[0\]: cannot be read: cannot open file$"):
        GluonCVDataset(Broken([None]))[0]


def test_constructor():
    with pytest.raises(DataError, match="list has no attribute 'classes'; give the names"):
        GluonCVDataset([(IMAGE, np.zeros((0, 5)))])
    with pytest.raises(DataError, match="empty data set"):
        GluonCVDataset(Items())
    with pytest.raises(IndexError):
        GluonCVDataset(Items([(IMAGE, np.zeros((0, 5)))]))[1]


def test_index_from_the_end():
    dataset = GluonCVDataset(Items([(IMAGE, np.array([])), (IMAGE + 1, np.array([]))]))
    assert dataset[-1].image_id == 1 and dataset[-1].image[0, 0, 0] == 1


def test_there_are_no_masks():
    dataset = GluonCVDataset(Items([(IMAGE, np.array([[1, 2, 5, 8, 1]]))]))
    assert dataset[0].masks is None
    with pytest.raises(
        DataError, match="Items: its labels hold no masks; use a network of boxes alone, or give"
    ):
        dataset.with_masks()


ROW = [1, 2, 5, 8, 1]


@pytest.mark.parametrize("sixth", [0, 1, 0.3])
def test_sixth_column_of_unknown_meaning(sixth):
    items = Items([(IMAGE, np.array([[*ROW, sixth]]))])
    with pytest.raises(DataError, match=r"Items\[0\]: label has 6 columns; .*difficult=True"):
        GluonCVDataset(items)[0]
    assert GluonCVDataset(items, difficult=False)[0].crowd.tolist() == [False]


def test_difficult_is_0_or_1():
    items = Items([(IMAGE, np.array([[*ROW, 0], [*ROW, 0.3]]))])
    with pytest.raises(DataError, match="label has difficult 0.3; want 0 or 1"):
        GluonCVDataset(items, difficult=True)[0]
    items = Items([(IMAGE, np.array([[*ROW, 0, 1]]))])
    with pytest.raises(DataError, match="label has 7 columns"):
        GluonCVDataset(items, difficult=True)[0]


def test_ratio_of_mixup_is_not_difficult():
    """GluonCV's mixup adds a column, which is 1 while mixup is switched off."""
    items = MixupDetection(Items([(IMAGE, np.array([ROW]))]))
    with pytest.raises(DataError, match=r"MixupDetection\[0\]: label has 6 columns"):
        GluonCVDataset(items, classes=["cat", "dog"])[0]
    assert GluonCVDataset(items, ["cat", "dog"], difficult=False)[0].crowd.tolist() == [False]


def test_rows_of_minus_one_are_left_out():
    """COCODetection returns such a row for an image without boxes, LstDetection scales them."""
    label = np.array([[-1.0] * 5, ROW, [-30, -20, -30, -20, -1]])
    dataset = GluonCVDataset(Items([(IMAGE, label), (IMAGE, label[:1])]))
    assert dataset[0].boxes.tolist() == [[1, 2, 5, 8]] and dataset[1].boxes.shape == (0, 4)


def test_all_faults_at_once():
    wrong = np.array([[1, 2, 5, 8, 2]])
    items = Items([(IMAGE, wrong), (IMAGE, np.array([ROW])), IMAGE, (IMAGE, np.array([ROW]))])
    with pytest.raises(DataError, match=r"Items: 2 faults; .*label 2 .*Items\[2\]: is a"):
        GluonCVDataset(items).sizes()
    dataset = GluonCVDataset(items, skip_bad=True)
    assert len(dataset) == 2 and dataset[1].name == "Items[3]" and dataset[-1].image_id == 1
    assert len(dataset.skipped) == 2 and dataset.sizes().tolist() == [[20, 30]] * 2
    assert [entry["file_name"] for entry in dataset.coco_truth()["images"]] == [
        "Items[1]",
        "Items[3]",
    ]
    with pytest.raises(DataError, match="Items: every item is faulty: Items"):
        GluonCVDataset(Items([(IMAGE, wrong)]), skip_bad=True)
