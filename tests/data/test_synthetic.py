import json

from gluonnorm.data import COCODataset, draw_shapes
from gluonnorm.errors import InputError
from gluonnorm.photos.boxes import box_iou

import numpy as np
import pytest
from pycocotools.coco import COCO


def test_layout_and_reading_back(shapes_root, shapes):
    assert shapes.classes == ("circle", "square", "triangle")
    assert len(shapes) == 7 and shapes.sizes().tolist() == [[96, 128]] * 7
    assert [len(labeled.boxes) > 0 for labeled in shapes] == [True] * 6 + [False]
    assert (
        len(COCODataset(shapes_root / "annotations/instances_val.json", shapes_root / "val")) == 2
    )


def test_masks_fit_boxes_and_areas(shapes_root):
    truth = COCO(str(shapes_root / "annotations/instances_train.json"))
    assert truth.anns
    for entry in truth.anns.values():
        mask = truth.annToMask(entry)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        x, y, width, height = entry["bbox"]
        assert [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] == [x, y, x + width, y + height]
        assert entry["area"] == mask.sum()
    for image_id in truth.imgs:  # what covers hides: no pixel belongs to two
        masks = [truth.annToMask(entry) for entry in truth.imgToAnns[image_id]]
        assert not masks or np.sum(masks, axis=0).max() == 1


def test_masks_read_back_as_drawn(shapes_root):
    path = shapes_root / "annotations/instances_train.json"
    truth = COCO(str(path))
    for labeled in COCODataset(path, shapes_root / "train", masks=True):
        wanted = [truth.annToMask(entry) for entry in truth.imgToAnns[labeled.image_id]]
        np.testing.assert_array_equal(labeled.masks, np.reshape(wanted, (-1, 96, 128)))


def test_pixels_inside_a_mask_have_one_color(shapes_root, shapes):
    truth = COCO(str(shapes_root / "annotations/instances_train.json"))
    for labeled in shapes:
        for entry in truth.imgToAnns[labeled.image_id]:
            inside = labeled.image[truth.annToMask(entry).astype(bool)]
            # the drawn noise has a deviation of 12; JPEG blurs the outline's colors
            assert (
                np.percentile(inside, 75, axis=0) - np.percentile(inside, 25, axis=0)
            ).max() < 30


def test_count_size_and_overlap(tmp_path):
    draw_shapes(tmp_path, train=30, val=1, size=(128, 160), seed=1)
    dataset = COCODataset(tmp_path / "annotations/instances_train.json", tmp_path / "train")
    counts, sides, labels = set(), [], set()
    for index in range(29):
        labeled = dataset[index]
        counts.add(len(labeled.boxes))
        labels.update(labeled.labels.tolist())
        sides += (labeled.boxes[:, 2:] - labeled.boxes[:, :2]).max(axis=1).tolist()
        iou = box_iou(labeled.boxes, labeled.boxes)
        assert (iou[~np.eye(len(iou), dtype=bool)] < 0.25).all()
    assert counts == {1, 2, 3, 4, 5} and labels == {0, 1, 2}
    assert (
        min(sides) >= 20 and max(sides) <= 81
    )  # a covered shape loses a few pixels, rounding may add one


def test_seed_decides(tmp_path, shapes_root):
    draw_shapes(tmp_path / "same", train=7, val=2, size=(96, 128), seed=3)
    draw_shapes(tmp_path / "other", train=7, val=2, size=(96, 128), seed=4)
    for name in ("train/000003.jpg", "val/000000.jpg", "annotations/instances_val.json"):
        wanted = (shapes_root / name).read_bytes()
        assert (tmp_path / "same" / name).read_bytes() == wanted
        assert (tmp_path / "other" / name).read_bytes() != wanted
    assert (tmp_path / "same/val/000000.jpg").read_bytes() != (
        tmp_path / "same/train/000000.jpg"
    ).read_bytes()


def test_a_split_of_one_has_objects(tmp_path):
    draw_shapes(tmp_path, train=1, val=1, size=(64, 48))
    assert json.loads((tmp_path / "annotations/instances_train.json").read_text())["annotations"]


def test_bad_arguments(tmp_path):
    with pytest.raises(InputError, match=r"size is \(40, 160\); want at least 48"):
        draw_shapes(tmp_path, size=(40, 160))
    with pytest.raises(InputError, match="train is 0"):
        draw_shapes(tmp_path, train=0)
