"""One rule of what is learned, and one reading of a data set's files."""

import importlib
import json
from types import SimpleNamespace

from gluonnorm.data import (
    COCODataset,
    EvalTransform,
    GluonCVDataset,
    ImagesWithBoxes,
    inspect,
    repeat_factors,
)
from gluonnorm.data.listing import listing_of
from gluonnorm.errors import InputError
from gluonnorm.types import Preprocess

import numpy as np
import pytest
from in_process import SCRIPTS

CROWD = 4  # the position of the crowd box below
BOXES = np.float32(
    [
        [2, 2, 12, 12],
        [3.3, 2, 4.3, 30],  # a pixel wide
        [2, 5, 30, 5.5],  # half a pixel high
        [5, 5, 7, 25],  # two pixels wide
        [5, 5, 35, 35],
        [38.5, 1, 40, 9],  # a pixel and a half, at the border
    ]
)


@pytest.mark.parametrize(
    "short, inclusive, learned",
    [
        (40, False, [0, 1, 3, 5]),
        (80, False, [0, 1, 3, 5]),  # enlarging shows nothing that is not in the photo
        (25, False, [0, 3]),  # 0.625 of the photo's sides
        (12, False, [0]),
        (40, True, [0, 3, 5]),  # x2 = x1 in the box of a pixel
        (25, True, [0, 3]),
    ],
)
def test_training_learns_what_the_inspection_counts(short, inclusive, learned):
    preprocess = Preprocess(short=(short,), inclusive=inclusive)
    label = np.column_stack([BOXES, np.arange(len(BOXES)), np.arange(len(BOXES)) == CROWD])
    photo = np.zeros((40, 40, 3), np.uint8)
    dataset = GluonCVDataset([(photo, label)], classes=list("abcdef"), difficult=True)
    inspection = inspect(dataset, preprocess)
    assert np.flatnonzero(inspection.objects.learnable).tolist() == learned
    assert EvalTransform(preprocess)(dataset[0]).labels.tolist() == learned
    sizes = "no more than a pixel wide or high" if inclusive else "less than a pixel wide or high"
    left_out = f"{5 - len(learned)} of 5 boxes are {sizes}, in the image or in the network's input"
    assert any(warning.startswith(left_out) for warning in inspection.warnings)


def test_a_pixel_far_from_the_origin_is_a_pixel():
    """In float32, 8192.1 - 8191.1 is 0.9995."""
    photo = np.zeros((2, 10000, 3), np.uint8)
    dataset = GluonCVDataset([(photo, np.array([[8191.1, 0, 8192.1, 2, 0]]))], classes=["a"])
    assert inspect(dataset).learnable == len(ImagesWithBoxes(dataset)) == 1
    preprocess = Preprocess(short=(2,), max_size=10000)
    assert len(EvalTransform(preprocess)(dataset[0]).boxes) == 1


@pytest.fixture
def reads(monkeypatch):
    """The number of times that a COCO file was read again, which grows."""
    counts = [0]
    read = COCODataset.coco_truth

    def counted(self):
        counts[0] += 1
        return read(self)

    monkeypatch.setattr(COCODataset, "coco_truth", counted)
    return counts


def test_a_start_reads_the_annotations_once(shapes_root, reads, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    distributed = importlib.import_module("_distributed")
    annotation_file = shapes_root / "annotations" / "instances_train.json"
    dataset = COCODataset(annotation_file, shapes_root / "train")
    workers = SimpleNamespace(count=2, gather_objects=lambda facts: [facts, facts])
    with_boxes = ImagesWithBoxes(dataset)
    distributed.require_same_data(workers, with_boxes)
    assert inspect(with_boxes, Preprocess()).learnable > 0
    assert len(repeat_factors(with_boxes, 0.5)) == len(with_boxes)
    assert reads == [1]


def test_workers_with_other_boxes_are_told_so(shapes_root, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    distributed = importlib.import_module("_distributed")
    original = json.loads((shapes_root / "annotations" / "instances_train.json").read_text())
    facts = []

    def changed(entry):
        content = json.loads(json.dumps(original))
        content["annotations"][0].update(entry)
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(content))
        return COCODataset(path, shapes_root / "train")

    first = SimpleNamespace(count=2, gather_objects=lambda own: [own, own])
    for entry in ({}, {"bbox": [1, 2, 30, 40]}, {"iscrowd": 1}):
        workers = SimpleNamespace(count=2, gather_objects=lambda own: facts.append(own) or [own])
        distributed.require_same_data(workers, changed(entry))
    distributed.require_same_data(first, changed({}))
    for other in facts[1:]:
        workers = SimpleNamespace(count=2, gather_objects=lambda own, other=other: [own, other])
        with pytest.raises(InputError, match="checksum of the annotations is .* on worker 0"):
            distributed.require_same_data(workers, changed({}))


def test_a_data_set_of_the_user_may_change(shapes):
    class Own:
        classes, category_ids = shapes.classes, shapes.category_ids
        kept = 3

        def sizes(self):
            return shapes.sizes()[: self.kept]

        def coco_truth(self):
            truth = shapes.coco_truth()
            images = [{"id": image["id"]} for image in truth["images"][: self.kept]]
            ids = {image["id"] for image in images}
            own = [entry for entry in truth["annotations"] if entry["image_id"] in ids]
            return {"images": images, "annotations": own}

    dataset = Own()
    assert inspect(dataset).images == 3 and len(repeat_factors(dataset, 0.5)) == 3
    assert not any("more than once" in text for text in inspect(dataset).warnings)
    dataset.kept = 5
    assert inspect(dataset).images == 5 == len(listing_of(dataset).image_names)
    np.testing.assert_array_equal(
        listing_of(dataset).file_boxes, shapes.listing.of_images(np.arange(5)).file_boxes
    )
