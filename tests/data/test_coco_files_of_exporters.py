"""COCO files as real exporters, editors and merge scripts write them: read right, or one line."""

import copy
import json
import os
import subprocess
import sys

from gluonnorm.data import COCODataset, DataError
from gluonnorm.evaluation import coco_results, evaluate_coco
from gluonnorm.types import Detections

import numpy as np
import pytest
from PIL import Image

CONTENT = {
    "images": [
        {"id": 1, "file_name": "a.jpg", "height": 60, "width": 80},
        {"id": 2, "file_name": "b.jpg", "height": 60, "width": 80},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "bbox": [10, 10, 20, 20],
            "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]],
        },
        {
            "id": 2,
            "image_id": 2,
            "category_id": 2,
            "bbox": [5, 5, 40, 40],
            "segmentation": [[5, 5, 45, 5, 45, 45, 5, 45]],
        },
    ],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
}


@pytest.fixture
def content():
    return copy.deepcopy(CONTENT)


@pytest.fixture
def open_dataset(tmp_path):
    for name in "ab":
        pixels = np.random.randint(0, 256, (60, 80, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.jpg")

    def write_and_open(content, encoding="utf-8", **options):
        path = tmp_path / "x.json"
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        path.write_bytes(text.encode(encoding))
        return COCODataset(path, tmp_path, **options)

    return write_and_open


def score_of_perfect_detections(dataset):
    """The metrics of detections that are the boxes to train on."""
    detections = []
    for labeled in (dataset[position] for position in range(len(dataset))):
        keep = ~labeled.crowd
        scores = np.full(keep.sum(), 0.9, np.float32)
        found = Detections(labeled.boxes[keep], scores, labeled.labels[keep], None)
        detections.append((labeled.image_id, found))
    return evaluate_coco(dataset.coco_truth(), coco_results(detections, dataset.category_ids))


def set_all(content, **values):
    for entry in content["annotations"]:
        entry.update(values)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings_of_windows(open_dataset, content, encoding):
    content["categories"][0]["name"] = "käfer"
    assert open_dataset(content, encoding).classes == ("käfer", "dog")


@pytest.mark.parametrize(
    "value, crowd",
    [
        (0, False),
        (1, True),
        ("0", False),
        ("1", True),
        (0.0, False),
        (1.0, True),
        (False, False),
        (True, True),
        (None, False),
    ],
)
def test_iscrowd(open_dataset, content, value, crowd):
    set_all(content, iscrowd=value)
    dataset = open_dataset(content)
    assert dataset[0].crowd.tolist() == dataset[1].crowd.tolist() == [crowd]
    assert {entry["iscrowd"] for entry in dataset.coco_truth()["annotations"]} == {int(crowd)}
    assert score_of_perfect_detections(dataset)["AP"] == (-1 if crowd else pytest.approx(1))


@pytest.mark.parametrize(
    "value", ["2", "", "no", "true", 2, -1, 0.5, float("nan"), float("inf"), [], {}, 10**400]
)
def test_iscrowd_that_is_no_flag(open_dataset, content, value):
    set_all(content, iscrowd=value)
    with pytest.raises(DataError, match="annotation 1 has iscrowd .*; want 0 or 1"):
        open_dataset(content)


@pytest.mark.parametrize("value", [None, 0, -1, -1e9, 400])
def test_area_that_is_absent_or_not_positive_is_computed(open_dataset, content, value):
    set_all(content, area=value)
    dataset = open_dataset(content)
    truth = dataset.coco_truth()["annotations"]
    assert [entry["area"] for entry in truth] == ([400, 400] if value == 400 else [400, 1600])
    scores = score_of_perfect_detections(dataset)
    assert scores["AP"] == pytest.approx(1) and scores["APs"] == pytest.approx(1)


@pytest.mark.parametrize(
    "value", ["400", "", True, float("nan"), float("inf"), -float("inf"), [400], 10**400]
)
def test_area_that_is_no_number(open_dataset, content, value):
    set_all(content, area=value)
    with pytest.raises(DataError, match="annotation 1 has area .*; want a number"):
        open_dataset(content)


@pytest.mark.parametrize(
    "ids", [("u-1", "u-2"), ("u-1", 7), (None, None), (1.0, 2.0), (True, 2), (-1, 1), ([], {})]
)
def test_annotation_ids_of_any_kind_are_renumbered(open_dataset, content, ids):
    for entry, value in zip(content["annotations"], ids):
        entry["id"] = value
    dataset = open_dataset(content)
    assert [entry["id"] for entry in dataset.coco_truth()["annotations"]] == [1, 2]
    assert score_of_perfect_detections(dataset)["AP"] == pytest.approx(1)


def test_whole_numbers_written_as_floats_are_ids(open_dataset, content):
    for section in ("images", "categories"):
        for entry in content[section]:
            entry["id"] = float(entry["id"])
    set_all(content, image_id=2.0, category_id=1.0)
    dataset = open_dataset(content)
    assert [len(dataset[0].boxes), len(dataset[1].boxes)] == [0, 2]
    assert score_of_perfect_detections(dataset)["AP"] == pytest.approx(1)
    truth = dataset.coco_truth()
    ids = [entry["id"] for entry in [*truth["images"], *truth["categories"]]]
    assert ids == [1, 2, 1, 2] and all(isinstance(number, int) for number in ids)


@pytest.mark.parametrize(
    "value", ["1", "cat", None, True, 1.5, float("nan"), float("inf"), 2**70, [1]]
)
@pytest.mark.parametrize("section", ["images", "categories"])
def test_ids_that_are_no_integers(open_dataset, content, section, value):
    content[section][0]["id"] = value
    with pytest.raises(DataError, match=f"{section[:3]}.* 0 has id .*; want an integer"):
        open_dataset(content)


@pytest.mark.parametrize("value", ["1", None, True, 1.5, float("nan"), {}])
@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_references_that_are_no_integers(open_dataset, content, key, value):
    content["annotations"][0][key] = value
    with pytest.raises(DataError, match=f"annotation 1 has {key} .*; want an integer"):
        open_dataset(content)


@pytest.mark.parametrize("value", [True, "10", None, [10], {}])
def test_boxes_that_are_no_numbers(open_dataset, content, value):
    content["annotations"][0]["bbox"] = [value, 10, 20, 20]
    with pytest.raises(DataError, match="annotation 1 has bbox .*; want four numbers"):
        open_dataset(content)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_boxes_that_are_not_finite(open_dataset, content, value):
    content["annotations"][0]["bbox"] = [10, 10, value, 20]
    with pytest.raises(DataError, match="a.jpg, annotation 1: box .* is not finite"):
        open_dataset(content)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("x", [1e9, -1e9, 1e30, 1e200])
def test_boxes_far_outside_do_not_vanish(open_dataset, content, x):
    content["annotations"][0]["bbox"] = [x, 10, 20 + abs(x) * 1e-3, 20]
    with pytest.raises(DataError, match="annotation 1: box .* is outside the image"):
        open_dataset(content)


@pytest.mark.parametrize("name", ["", "  ", None, 5, ["a.jpg"], True])
def test_file_names_that_are_no_texts(open_dataset, content, name):
    content["images"][0]["file_name"] = name
    with pytest.raises(DataError, match="image 0 has file_name .*; want a text"):
        open_dataset(content)


@pytest.mark.parametrize("name", ["", None, ["cat"], {}, True])
def test_category_names_that_are_no_texts(open_dataset, content, name):
    content["categories"][0]["name"] = name
    with pytest.raises(DataError, match="category 0 has name .*; want a text"):
        open_dataset(content)


def test_a_number_is_a_category_name(open_dataset, content):
    content["categories"][0]["name"] = 7
    assert open_dataset(content).classes == ("7", "dog")


@pytest.mark.parametrize("name", ["images\\a.jpg", "C:\\x\\a.jpg", "data/a.jpg", "./a.jpg"])
def test_the_path_of_another_machine(open_dataset, content, name):
    content["images"][0]["file_name"] = name
    labeled = open_dataset(content)[0]
    assert labeled.name == name and labeled.image.shape == (60, 80, 3)


def test_two_names_of_one_file_are_not_two_images(open_dataset, content):
    content["images"][0]["file_name"] = "day/a.jpg"
    content["images"][1]["file_name"] = "night/a.jpg"
    with pytest.raises(DataError, match="only .*a.jpg for the images day/a.jpg and night/a.jpg"):
        open_dataset(content)


def test_an_image_with_two_ids_would_be_background_to_itself(open_dataset, content):
    """Programs that join files write an image once for each of them."""
    content["images"].append({"id": 3, "file_name": "a.jpg", "width": 80, "height": 60})
    content["annotations"].append({"id": 9, "image_id": 3, "category_id": 2, "bbox": [9, 9, 5, 5]})
    with pytest.raises(DataError, match="image 2: image a.jpg is listed in .*image 0 already"):
        open_dataset(content)
    dataset = open_dataset(content, skip_bad=True)
    assert len(dataset) == 2 and len(dataset.skipped) == 1
    assert [entry["id"] for entry in dataset.coco_truth()["images"]] == [1, 2]
    assert {entry["image_id"] for entry in dataset.coco_truth()["annotations"]} == {1, 2}


def test_missing_images_are_counted_when_the_set_is_opened(open_dataset, content):
    content["images"][1]["file_name"] = "gone.jpg"
    with pytest.raises(DataError, match="x.json: image 1: .*/gone.jpg: no such image file"):
        open_dataset(content)
    content["images"] += [{"id": 3 + i, "file_name": f"gone{i}.jpg"} for i in range(9)]
    with pytest.raises(DataError, match="x.json: 10 faults; .*/gone.jpg: .*and 5 more"):
        open_dataset(content)
    content["images"][0]["file_name"] = "gone too.jpg"
    with pytest.raises(DataError, match="none of its 11 images is in .*gone too.jpg, gone.jpg"):
        open_dataset(content, skip_bad=True)


def test_repeated_image_ids_name_both_places(open_dataset, content):
    content["images"][1]["id"] = 1
    with pytest.raises(DataError, match="image 1 has the id 1 of image 0"):
        open_dataset(content)


def test_annotations_of_unknown_images_and_categories(open_dataset, content):
    content["annotations"] += [
        {"id": 7, "image_id": 99, "category_id": 1, "bbox": [1, 1, 5, 5]},
        {"id": 8, "image_id": 1, "category_id": 77, "bbox": [1, 1, 5, 5]},
    ]
    with pytest.raises(DataError, match="2 faults.*annotation 7 has image_id 99.*category_id 77"):
        open_dataset(content)
    dataset = open_dataset(content, skip_bad=True)
    assert len(dataset.skipped) == 2 and len(dataset.coco_truth()["annotations"]) == 2


GROUP = {"id": 0, "name": "pets", "supercategory": "none"}


@pytest.mark.parametrize("parent", [None, "pets"])
def test_the_grouping_category_of_roboflow_is_no_class(open_dataset, content, parent):
    content["categories"].insert(0, GROUP)
    if parent is not None:
        for entry in content["categories"][1:]:
            entry["supercategory"] = parent
    dataset = open_dataset(content)
    assert dataset.classes == ("cat", "dog") and dataset.category_ids == (1, 2)
    assert [entry["id"] for entry in dataset.coco_truth()["categories"]] == [1, 2]
    # A network that was trained with the group as a class still opens the file.
    assert open_dataset(content, classes=["pets", "dog", "cat"]).category_ids == (0, 2, 1)


def test_a_grouping_category_with_the_name_of_a_class(open_dataset, content):
    content["categories"] = [
        {"id": 0, "name": "cat", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "cat"},
        {"id": 2, "name": "dog", "supercategory": "cat"},
    ]
    assert open_dataset(content).category_ids == (1, 2)
    assert open_dataset(content, classes=["cat"]).category_ids == (1,)


def test_a_supercategory_with_annotations_is_a_class(open_dataset, content):
    content["categories"].insert(0, GROUP)
    content["annotations"][0]["category_id"] = 0
    assert open_dataset(content).classes == ("pets", "cat", "dog")


@pytest.mark.parametrize("parents", [("none", "none"), ("", ""), ("cat", "dog"), (None, None)])
def test_a_class_without_annotations_stays_a_class(open_dataset, content, parents):
    content["annotations"] = content["annotations"][1:]
    content["categories"] = [
        {"id": number, "name": name, "supercategory": parent}
        for number, (name, parent) in enumerate(zip(("cat", "dog"), parents))
    ]
    content["annotations"][0]["category_id"] = 1
    assert open_dataset(content).classes == ("cat", "dog")


def test_only_chosen_classes_are_checked(open_dataset, content):
    content["categories"] += [{"id": 3, "name": "bird"}, {"id": 4, "name": "bird"}]
    content["annotations"].append({"id": 3, "image_id": 99, "category_id": 3, "bbox": "none"})
    dataset = open_dataset(content, classes=["dog", "cat"])
    assert dataset.classes == ("dog", "cat") and dataset[0].labels.tolist() == [1]
    assert score_of_perfect_detections(dataset)["AP"] == pytest.approx(1)
    with pytest.raises(DataError, match="class 'bird' is listed more than once"):
        open_dataset(content)
    with pytest.raises(DataError, match="class 'bird' is listed more than once"):
        open_dataset(content, classes=["bird"])


def test_all_faults_are_reported_at_once(open_dataset, content):
    content["images"].append({"id": 3, "file_name": "gone.jpg"})
    content["annotations"] += [
        {"id": 3, "image_id": 1, "category_id": 1, "bbox": [500, 1, 5, 5]},
        {"id": 4, "image_id": 1, "category_id": 1, "bbox": [9, 1, -5, 5]},
        {"id": 5, "image_id": 1, "category_id": 1, "bbox": [9, 1, 5]},
        {"id": 6, "image_id": 2, "category_id": 1, "bbox": [9, 1, 5, 5], "iscrowd": "x"},
    ]
    with pytest.raises(DataError) as caught:
        open_dataset(content)
    message = str(caught.value)
    assert "5 faults" in message and "\n" not in message
    for part in ("gone.jpg", "annotation 3: box", "annotation 4: box", "bbox", "iscrowd 'x'"):
        assert part in message


def test_skipping_goes_on_without_what_is_faulty(open_dataset, content, tmp_path):
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:700])
    content["images"] += [
        {"id": 3, "file_name": "gone.jpg"},
        {"id": 4, "file_name": "cut.jpg", "height": 60, "width": 80},
        {"id": 5, "file_name": "a.jpg", "height": 80, "width": 60},
    ]
    content["annotations"] += [
        {"id": 3, "image_id": 1, "category_id": 1, "bbox": [500, 1, 5, 5]},
        {"id": 4, "image_id": 3, "category_id": 1, "bbox": [9, 1, 5, 5]},
        {"id": 5, "image_id": 4, "category_id": 1, "bbox": [9, 1, 5, 5]},
        {"id": 6, "image_id": 1, "category_id": 2, "bbox": [9, 1, 0, 5]},
    ]
    dataset = open_dataset(content, skip_bad=True)
    assert len(dataset) == 2 and dataset.sizes().tolist() == [[60, 80], [60, 80]]
    assert len(dataset.skipped) == 4
    assert [len(dataset[0].boxes), len(dataset[1].boxes)] == [1, 1]
    truth = dataset.coco_truth()
    assert [entry["id"] for entry in truth["images"]] == [1, 2]
    # The box without an area is no fault. It stays in the ground truth.
    assert [entry["id"] for entry in truth["annotations"]] == [1, 2, 6]


def test_nothing_is_skipped_in_a_sound_set(open_dataset, content):
    assert open_dataset(content).skipped == open_dataset(content, skip_bad=True).skipped == ()


def test_annotations_without_masks_are_counted(open_dataset, content):
    faulty = [None, [], [[]], [[1, 1, 5, 5]], [[10, 10, 30, 10, 30, 30], [1, 1, 5, 5]], "text"]
    for number, segmentation in enumerate(faulty, start=10):
        box = {"id": number, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}
        content["annotations"].append({**box, "segmentation": segmentation})
    with pytest.raises(DataError, match="x.json: 6 faults; .*annotation 10 has no segmentation"):
        open_dataset(content, masks=True)
    assert len(open_dataset(content)[0].boxes) == 7
    dataset = open_dataset(content, masks=True, skip_bad=True)
    assert len(dataset.skipped) == 6 and dataset[0].masks.sum((1, 2)).tolist() == [400]
    assert len(dataset.coco_truth()["annotations"]) == 2
    again = open_dataset(content, skip_bad=True).with_masks()
    assert again.skipped == dataset.skipped


def test_the_truth_of_masks_has_a_mask_for_every_annotation(open_dataset, content):
    first, second = content["annotations"]
    first["segmentation"] = first["segmentation"][0]
    second["bbox"] = [5, 5, 0, 40]
    second["segmentation"] = [[5, 5, 5, 45]]
    dataset = open_dataset(content, masks=True)
    truth = dataset.coco_truth()
    detections = Detections(dataset[0].boxes, np.float32([0.9]), np.int32([0]), dataset[0].masks)
    results = coco_results([(1, detections)], dataset.category_ids)
    scores = evaluate_coco(truth, results, "segm")
    assert scores["AP/cat"] == pytest.approx(1) and scores["AP/dog"] == 0
    json.dumps(truth)


def test_huge_polygons_take_no_memory(open_dataset, content, tmp_path):
    for entry, reach in zip(content["annotations"], (1e7, 1e9)):
        entry["segmentation"] = [[0, 0, reach, 0, reach, reach, 0, reach]]
    assert len(open_dataset(content)) == 2
    # In a process of its own, because pycocotools would end it.
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))\n"
        "import gluonnorm.data as data\n"
        "try:\n    data.COCODataset(sys.argv[1], sys.argv[2], masks=True)\n"
        "except data.DataError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "x.json"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0 and done.stdout.count("\n") == 1
    assert "2 faults" in done.stdout and done.stdout.count("pixels long") == 2


def test_an_impossible_size_is_refused(open_dataset, content):
    content["images"][0].update(height=10**9, width=10**9)
    with pytest.raises(DataError, match="image 0 has a width of 1000000000.*want at most"):
        open_dataset(content)


@pytest.mark.parametrize("size", [-1, 0, None, "60", True, float("inf"), 60.5])
def test_a_size_that_is_none_comes_from_the_image(open_dataset, content, size):
    content["images"][0]["height"] = size
    assert open_dataset(content).sizes().tolist() == [[60, 80], [60, 80]]


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "the file is empty"),
        ("[1, 2]", "its content is \\[1, 2\\]"),
        ('{"images": ' * 100000, "nested too deeply"),
        ('{"images": [], "images": []}', "has the key 'images' more than once"),
    ],
)
def test_files_that_are_no_coco_files(open_dataset, text, reason):
    with pytest.raises(DataError, match=f"x.json: is not valid JSON.*{reason}"):
        open_dataset(text)


def test_the_file_may_not_change_while_it_is_used(open_dataset, content, tmp_path):
    dataset = open_dataset(content)
    dataset.coco_truth()
    (tmp_path / "x.json").write_text(json.dumps(content) + " ")
    with pytest.raises(DataError, match="x.json: was changed after it was opened"):
        dataset.coco_truth()
