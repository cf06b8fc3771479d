import copy
import json

from gluonnorm.data import COCODataset, DataError

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

CONTENT = {
    "images": [
        {"id": 30, "file_name": "b.png", "height": 20, "width": 30},
        {"id": 10, "file_name": "a.png", "height": 20, "width": 30},
    ],
    "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "Dog"}],
    "annotations": [
        {"id": 1, "image_id": 10, "category_id": 7, "bbox": [1, 2, 3.5, 4]},
        {
            "id": 2,
            "image_id": 10,
            "category_id": 3,
            "bbox": [-5, 10, 10, 100],
            "iscrowd": 1,
            "area": 9,
        },
        {"id": 3, "image_id": 10, "category_id": 3, "bbox": [4, 4, 0, 5]},
    ],
}


@pytest.fixture
def content():
    return copy.deepcopy(CONTENT)


@pytest.fixture
def open_dataset(tmp_path):
    for name in "ab":
        Image.new("RGB", (30, 20), (200, 0, 0)).save(tmp_path / f"{name}.png")

    def write_and_open(content, **options):
        path = tmp_path / "truth.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return COCODataset(path, tmp_path, **options)

    return write_and_open


def test_labeled_images(open_dataset, content):
    dataset = open_dataset(content)
    assert dataset.classes == ("Dog", "cat") and dataset.category_ids == (3, 7)
    assert len(dataset) == 2 and dataset.sizes().tolist() == [[20, 30], [20, 30]]
    without, labeled = dataset[0], dataset[1]
    assert without.boxes.shape == (0, 4) and without.labels.shape == without.crowd.shape == (0,)
    assert (without.image_id, without.name) == (30, "b.png")
    assert labeled.image.shape == (20, 30, 3) and labeled.image[0, 0].tolist() == [200, 0, 0]
    # no "+1"; the crowd box cut to the image; the box without area gone
    np.testing.assert_array_equal(labeled.boxes, np.float32([[1, 2, 4.5, 6], [0, 10, 5, 20]]))
    assert labeled.labels.tolist() == [1, 0] and labeled.crowd.tolist() == [False, True]
    assert (labeled.boxes.dtype, labeled.labels.dtype, labeled.crowd.dtype) == (
        np.float32,
        np.int32,
        bool,
    )


def test_chosen_classes_in_the_order_given(open_dataset, content):
    dataset = open_dataset(content, classes=["cat"])
    assert dataset.category_ids == (7,)
    assert dataset[1].labels.tolist() == [0] and len(dataset) == 2
    truth = dataset.coco_truth()
    assert [entry["id"] for entry in truth["categories"]] == [7]
    assert [entry["id"] for entry in truth["annotations"]] == [1]
    assert open_dataset(content, classes=["cat", "Dog"])[1].labels.tolist() == [0, 1]


def test_truth_is_the_file_with_gaps_filled(open_dataset, content):
    truth = open_dataset(content).coco_truth()
    filled = copy.deepcopy(CONTENT["annotations"])
    filled[0].update(area=14, iscrowd=0)
    filled[2].update(area=0, iscrowd=0)
    assert truth == {**CONTENT, "annotations": filled}


@pytest.mark.parametrize("ids", [(0, 1, 2), (5, 5, 6), (None, None, None), ("a", "b", 3)])
def test_unfit_annotation_ids_are_renumbered(open_dataset, content, ids):
    for entry, number in zip(content["annotations"], ids):
        entry["id"] = number
        if number is None:
            del entry["id"]
    truth = open_dataset(content).coco_truth()
    assert [entry["id"] for entry in truth["annotations"]] == [1, 2, 3]


def test_size_comes_from_the_image_where_the_file_has_none(open_dataset, content):
    for entry in content["images"]:
        del entry["height"], entry["width"]
    assert open_dataset(content).sizes().tolist() == [[20, 30], [20, 30]]


def change(*path, value):
    def apply(content):
        target = content
        for key in path[:-1]:
            target = target[key]
        if value is None:
            del target[path[-1]]
        else:
            target[path[-1]] = value

    return apply


@pytest.mark.parametrize(
    "fault, message",
    [
        (change("images", value=None), "has no list 'images'"),
        (change("annotations", value={}), "has no list 'annotations'"),
        (change("images", value=[]), "empty data set"),
        (change("categories", value=[]), "no classes"),
        (change("categories", 1, "name", value="cat"), "class 'cat' is listed more than once"),
        (change("categories", 1, "id", value=7), "category 1 has the id 7 of another category"),
        (change("images", 0, "file_name", value=None), "image 0 has no 'file_name'"),
        (change("images", 0, "id", value="x"), "image 0 has id 'x'; want an integer"),
        (change("images", 0, "id", value=10), "two images have the same id"),
        (
            change("annotations", 0, "category_id", value=99),
            "annotation 1 has category_id 99.*categories 3, 7",
        ),
        (change("annotations", 0, "image_id", value=99), "annotation 1 has image_id 99"),
        (change("annotations", 0, "bbox", value=None), "annotation 1 has no 'bbox'"),
        (
            change("annotations", 0, "bbox", value=[1, 2, 3]),
            "annotation 1 has bbox .*want four numbers",
        ),
        (
            change("annotations", 0, "bbox", value=[1, 2, "3", 4]),
            "annotation 1 has bbox .*want four numbers",
        ),
        (
            change("annotations", 0, "bbox", value=[1, 2, float("nan"), 4]),
            "annotation 1: box .* is not finite",
        ),
        (change("annotations", 0, "bbox", value=[5, 5, -2, 4]), "annotation 1: box .* wrong order"),
        (
            change("annotations", 0, "bbox", value=[30, 5, 4, 4]),
            "a.png, annotation 1: box .* outside the image of 30 x 20",
        ),
        (change("annotations", 0, value="text"), "annotation number 0 has no 'category_id'"),
    ],
)
def test_faults(open_dataset, content, fault, message):
    fault(content)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(content)
    assert "truth.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", '{"images": [', "[]", "3"])
def test_broken_json(open_dataset, text):
    with pytest.raises(DataError, match=r"truth.json: (is not valid JSON|has no list)"):
        open_dataset(text)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="absent.json: cannot be read: No such file"):
        COCODataset(tmp_path / "absent.json", tmp_path)


def test_unknown_class(open_dataset, content):
    with pytest.raises(
        DataError, match="has no category 'dog'; it has Dog, cat; did you mean Dog?"
    ):
        open_dataset(content, classes=["dog"])


def test_missing_image_and_wrong_size(open_dataset, content, tmp_path):
    content["images"][1]["width"] = 40
    dataset = open_dataset(content)
    (tmp_path / "b.png").unlink()
    with pytest.raises(DataError, match="b.png: no such image file"):
        dataset[0]
    with pytest.raises(DataError, match="a.png: is 30 x 20 pixels, but .* states 40 x 20"):
        dataset[1]


def polygon(x1, y1, x2, y2):
    return [[x1, y1, x2, y1, x2, y2, x1, y2]]


@pytest.fixture
def masked(content):
    """The content with a mask of each kind; the box without an area has none."""
    first, second, _ = content["annotations"]
    first["segmentation"] = polygon(1, 2, 4, 6)
    second["segmentation"] = {
        "size": [20, 30],
        "counts": [13, 4, 583],
    }  # rows 13 to 16 of the first column
    return content


def test_masks_are_those_of_the_boxes_that_stay(open_dataset, masked):
    dataset = open_dataset(masked, masks=True)
    assert dataset[0].masks.shape == (0, 20, 30)
    labeled = dataset[1]
    wanted = np.zeros((2, 20, 30), bool)
    wanted[0, 2:6, 1:4] = wanted[1, 13:17, 0] = True
    assert labeled.masks.dtype == bool and labeled.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(labeled.masks, wanted)
    np.testing.assert_array_equal(
        open_dataset(masked, masks=True, classes=["Dog"])[1].masks, wanted[1:]
    )


def test_masks_only_if_asked_for(open_dataset, masked):
    dataset = open_dataset(masked, classes=["cat"])
    assert dataset[1].masks is None
    again = dataset.with_masks()
    assert again.classes == ("cat",) and again[1].masks.sum() == 12 and dataset[1].masks is None


def test_truth_keeps_masks_and_has_sizes(open_dataset, masked):
    wanted = copy.deepcopy(masked)
    for entry in masked["images"]:
        del entry["height"]
    truth = open_dataset(masked).coco_truth()
    assert truth["images"] == wanted["images"]  # pycocotools needs them to read polygons
    assert [entry.get("segmentation") for entry in truth["annotations"]] == [
        entry.get("segmentation") for entry in wanted["annotations"]
    ]


@pytest.mark.parametrize(
    "segmentation, message",
    [
        (None, "has no segmentation"),
        ([], "has an empty or faulty polygon"),
        (
            {"size": [30, 20], "counts": [0, 600]},
            r"has a mask of size \[30, 20\], but the image is \[20, 30\]",
        ),
    ],
)
def test_a_faulty_mask_names_its_annotation(open_dataset, masked, segmentation, message):
    change("annotations", 1, "segmentation", value=segmentation)(masked)
    with pytest.raises(DataError, match=f"truth.json: image a.png, annotation 2 {message}"):
        open_dataset(masked, masks=True)
    assert len(open_dataset(masked)) == 2  # without masks nobody looks at them


@pytest.fixture
def real_file(shared, tmp_path):
    """COCO's own annotations of 100 images, and a folder with an empty file for each image."""
    path = shared / "data" / "coco_eval_parity" / "instances_val2014_100.json"
    for entry in json.loads(path.read_text())["images"]:
        (tmp_path / entry["file_name"]).touch()
    return path


def test_real_coco_truth_gives_the_official_numbers(real_file, tmp_path):
    folder = real_file.parent
    dataset = COCODataset(real_file, tmp_path)
    assert len(dataset) == 100 and len(dataset.classes) == 80 and dataset.category_ids[-1] == 90
    truth = COCO()
    truth.dataset = dataset.coco_truth()
    truth.createIndex()
    result = truth.loadRes(str(folder / "instances_val2014_fakebbox100_results.json"))
    evaluation = COCOeval(truth, result, "bbox")
    evaluation.params.imgIds = sorted(truth.getImgIds())
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    np.testing.assert_allclose(evaluation.stats[:3], [0.5046, 0.6970, 0.5730], atol=5e-5)


def test_real_micrographs(shared):
    folder = shared / "data" / "nuclei"
    dataset = COCODataset(
        folder / "annotations" / "instances_train.json", folder / "images", masks=True
    )
    labeled = dataset[0]
    assert dataset.classes == ("nucleus",) and len(dataset) == 250
    assert labeled.image.shape == (256, 256, 3)  # RGBA on disk
    assert labeled.boxes[0].tolist() == [46, 180, 64, 200]
    assert labeled.masks.shape == (len(labeled.boxes), 256, 256)
    for mask, box in zip(labeled.masks, labeled.boxes):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] == box.tolist()


def test_real_polygons_and_crowds(real_file, tmp_path):
    dataset = COCODataset(real_file, tmp_path, masks=True)
    truth = COCO()
    truth.dataset = json.loads(real_file.read_text())
    truth.createIndex()
    for position, entry in enumerate(truth.dataset["images"][:20]):
        image = np.zeros((entry["height"], entry["width"], 3), np.uint8)
        labeled = dataset._files[position].annotations.labeled_image(image, entry["id"], "")
        wanted = [truth.annToMask(annotation) for annotation in truth.imgToAnns[entry["id"]]]
        np.testing.assert_array_equal(labeled.masks, np.reshape(wanted, (-1, *image.shape[:2])))


def test_real_masks_are_scored_as_those_of_the_file(real_file, tmp_path):
    def segm_scores(ground_truth):
        truth = COCO()
        truth.dataset = ground_truth
        truth.createIndex()
        results = []
        for entry in official["annotations"]:
            mask = np.roll(official_truth.annToMask(entry), 3, axis=1)
            encoded = rle.encode(np.asfortranarray(mask))
            results.append(
                {
                    "image_id": entry["image_id"],
                    "category_id": entry["category_id"],
                    "score": 0.5,
                    "segmentation": encoded,
                }
            )
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return evaluation.stats

    official = json.loads(real_file.read_text())
    official_truth = COCO()
    official_truth.dataset = official
    official_truth.createIndex()
    ours = segm_scores(COCODataset(real_file, tmp_path, masks=True).coco_truth())
    np.testing.assert_array_equal(ours, segm_scores(json.loads(real_file.read_text())))
    assert 0.3 < ours[0] < 0.99
