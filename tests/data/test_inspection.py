import json

from gluonnorm.data import (
    DataError,
    GluonCVDataset,
    ImagesWithBoxes,
    LabelmeDataset,
    LSTDataset,
    VOCDataset,
    YOLODataset,
    inspect,
)
from gluonnorm.rcnn import DetectorConfig
from gluonnorm.types import Preprocess

import numpy as np
import pytest
from PIL import Image

CLASSES = ("cat", "dog")


class Annotated:
    """A data set of annotations alone: what ``inspect`` asks for, and no more."""

    classes = CLASSES
    category_ids = (7, 3)

    def __init__(self, boxes, size=(60, 80), names=None, skipped=None):
        """``boxes`` has a list for each image, of ``(x, y, width, height, label, crowd)``."""
        self._boxes = boxes
        self._size = size
        self._names = names or [f"{number}.jpg" for number in range(len(boxes))]
        if skipped is not None:
            self.skipped = skipped

    def sizes(self):
        return np.array([self._size] * len(self._boxes))

    def coco_truth(self):
        images = [{"id": 10 + n, "file_name": name} for n, name in enumerate(self._names)]
        annotations = []
        for number, boxes in enumerate(self._boxes):
            for *box, label, crowd in boxes:
                entry = {"image_id": 10 + number, "bbox": box, "iscrowd": crowd}
                annotations.append({**entry, "category_id": self.category_ids[label]})
        return {"images": images, "annotations": annotations}


CAT = (10, 10, 20, 30, 0, 0)
DOG = (5, 5, 40, 40, 1, 0)


def test_counts_and_sizes():
    crowd = (0, 0, 50, 50, 0, 1)
    hanging_out = (70, 50, 30, 20, 1, 0)
    empty = (3, 3, 0, 9, 0, 0)
    result = inspect(Annotated([[CAT, DOG, CAT], [crowd], [], [hanging_out, empty]]))
    assert (result.images, result.boxes, result.crowd, result.learnable) == (4, 6, 1, 4)
    assert result.images_without_boxes == 2
    assert result.boxes_of_class == {"cat": 2, "dog": 2}
    assert result.images_of_class == {"cat": 1, "dog": 2}
    assert result.image_sizes.tolist() == [[60, 80]] * 4
    # Height and width of all that is no crowd, inside the image.
    assert result.box_sizes.tolist() == [[30, 20], [40, 40], [30, 20], [10, 10], [9, 0]]
    assert result.problems == result.faults == ()
    result.require_boxes()


@pytest.mark.parametrize(
    "boxes, problem",
    [
        ([[], []], "there is not one box to learn from"),
        ([[(1, 1, 30, 30, 0, 1)], [(1, 1, 9, 9, 1, 1)]], "all 2 boxes are crowd or difficult"),
        ([[(0.1, 0.2, 0.5, 0.4, 0, 0)]], "all 1 boxes are less than a pixel wide or high; are"),
        ([[(1, 1, 0.5, 40, 0, 0)], [(1, 1, 40, 0.9, 0, 0)]], "all 2 boxes are less than a pixel"),
        (
            [[(1, 1, 0.5, 0.5, 0, 0), (1, 1, 40, 40, 0, 1)]],
            "all 1 boxes that are not crowd or difficult are less than a pixel",
        ),
        ([[(79.5, 5, 10, 10, 0, 0)]], "all 1 boxes are less than a pixel wide or high; are"),
    ],
)
def test_sets_without_a_box_to_learn_from(boxes, problem):
    result = inspect(Annotated(boxes))
    assert result.learnable == 0 and result.images_without_boxes == len(boxes)
    assert len(result.problems) == 1 and result.problems[0].startswith(problem)
    with pytest.raises(DataError, match=problem):
        result.require_boxes()


def test_boxes_may_vanish_in_the_network_s_input():
    boxes = [[(10, 10, 3, 3, 0, 0)]]
    assert inspect(Annotated(boxes), Preprocess(short=(60,))).problems == ()
    assert inspect(Annotated(boxes), Preprocess(short=(10, 21))).problems == ()
    result = inspect(Annotated(boxes), Preprocess(short=(10, 15)))
    assert "less than a pixel wide or high after resizing" in result.problems[0]
    # Enlarging does not make a box of half a pixel visible.
    tiny = [[(10, 10, 0.5, 0.5, 0, 0)]]
    assert "fractions" in inspect(Annotated(tiny), Preprocess(short=(800,))).problems[0]


def warnings_of(*arguments, **options):
    return " | ".join(inspect(Annotated(*arguments, **options)).warnings)


def test_a_class_without_boxes_is_a_warning():
    assert warnings_of([[CAT]]) == "no box to learn from for the classes dog"
    assert warnings_of([[CAT, DOG]]) == ""
    assert "classes dog" in warnings_of([[CAT, (5, 5, 40, 40, 1, 1)]])


def test_some_small_boxes_are_a_warning():
    warning = warnings_of([[CAT, DOG, (1, 1, 0.5, 9, 0, 0)]])
    assert warning.startswith("1 of 3 boxes are less than a pixel wide or high")


def test_boxes_that_are_corners_instead_of_sides():
    corners = (50, 40, 75, 55, 0, 0)
    assert "1 of 2 boxes reach more than 2 pixels out" in warnings_of([[corners, DOG]])
    assert warnings_of([[CAT, DOG, (60, 40, 22, 22, 0, 0)]]) == ""
    others = [(10, 10, 20, 30 + n, n % 2, 0) for n in range(20)]
    assert warnings_of([[corners] + others]) == ""


def test_an_image_that_is_listed_twice():
    warning = warnings_of([[CAT], [DOG]], names=["a.jpg", "a.jpg"])
    assert warning.startswith("1 images are listed more than once, a.jpg")


def test_objects_are_listed_in_the_network_s_input():
    dataset = Annotated([[CAT], [(70, 50, 30, 20, 1, 1), DOG]])
    objects = inspect(dataset, Preprocess(short=(30, 120), max_size=200)).objects
    # 60 x 80 becomes 120 x 160. The second box is cut off at the border of its image.
    assert objects.boxes.tolist() == [[20, 20, 60, 80], [140, 100, 160, 120], [10, 10, 90, 90]]
    assert objects.input_sizes.tolist() == [[120, 160]] * 3
    assert objects.widths.tolist() == [40, 20, 80] and objects.heights.tolist() == [60, 20, 80]
    assert objects.ratios.tolist() == [1.5, 1, 1]
    assert objects.lengths[1:].tolist() == [20, 80]
    assert objects.images.tolist() == [0, 1, 1] and objects.labels.tolist() == [0, 1, 1]
    assert objects.learnable.tolist() == [True, False, True]
    assert inspect(dataset).boxes_of_image.tolist() == [1, 1]
    assert inspect(dataset).objects.boxes[0].tolist() == [10, 10, 30, 40]


PREPROCESS = Preprocess(short=(60,), max_size=80)
# Anchors of 32 and 64 pixels around the corners of cells of 4 and 8 pixels.
ANCHORS = DetectorConfig(anchor_sizes=((32,), (64,)), anchor_ratios=(1,))


def test_reach_of_the_anchors():
    # A cat of 16 pixels fits into an anchor: 256 / 1024. A dog of 32 is an anchor, one is off by 2.
    boxes = [[(20, 20, 16, 16, 0, 0), (16, 16, 32, 32, 1, 0), (18, 16, 32, 32, 1, 0)]]
    result = inspect(Annotated(boxes), PREPROCESS, ANCHORS)
    shifted = 30 * 32 / (2 * 32 * 32 - 30 * 32)
    np.testing.assert_allclose(result.reach.anchors, [0.25, 1, shifted])
    cat, dog = result.reach_of_class["cat"], result.reach_of_class["dog"]
    assert (cat.objects, cat.length, cat.mean_iou) == (1, 16, 0.25)
    assert (cat.positive, cat.reached, cat.proposals) == (0, 0, None)
    assert (dog.objects, dog.length, dog.positive, dog.reached) == (2, 32, 1, 1)
    assert dog.mean_iou == pytest.approx((1 + shifted) / 2)
    (warning,) = result.warnings
    assert warning.startswith("cat: 100 % have no anchor with an IoU of 0.5 or more")
    assert "16 pixels large (median), the anchors 32 to 64: choose smaller anchor_sizes" in warning
    assert inspect(Annotated(boxes), Preprocess(short=(120,)), ANCHORS).warnings == ()
    assert inspect(Annotated(boxes), PREPROCESS).reach is None


def test_objects_between_the_anchors_need_larger_photos():
    """A square of two cells has an IoU of 0.39 with an anchor of its size half a cell off."""
    config = DetectorConfig(anchor_sizes=((8,),), anchor_ratios=(1,))
    # Anchors are centered on multiples of four pixels.
    between = [(14, 14, 8, 8, 0, 0), (34, 26, 8, 8, 0, 0)]
    inspection = inspect(Annotated([between]), PREPROCESS, config, strides=(4,))
    assert inspection.reach.anchors == pytest.approx(36 / (2 * 64 - 36))
    (warning,) = [text for text in inspection.warnings if "no anchor" in text]
    assert "8 pixels large (median), the anchors 8 to 8: choose a longer short, because" in warning
    assert warning.endswith("which are 4 pixels apart")


@pytest.mark.parametrize(
    "box, way_out",
    [
        ((0, 0, 80, 60, 0, 0), "closer to its boxes"),
        ((5, 5, 70, 9, 0, 0), "choose smaller anchor_sizes"),
    ],
)
def test_the_way_out_depends_on_the_sizes(box, way_out):
    config = DetectorConfig(anchor_sizes=((30,), (100,)), anchor_ratios=(1,))
    warnings = inspect(Annotated([[box, DOG]]), PREPROCESS, config).warnings
    assert any(way_out in text and text.startswith("cat") for text in warnings), warnings


def test_proposals_of_a_trained_network():
    boxes = [[CAT] * 1 + [(10, 10, 20, 30 + n, 0, 0) for n in range(1, 10)], [DOG]]
    inspection = inspect(Annotated(boxes), PREPROCESS, ANCHORS)
    assert inspection.learnable == 11
    candidates = np.array([0.9] * 9 + [0.4, 0.8])
    proposals = np.array([0.9] * 6 + [0.1] * 3 + [0.4, 0.8])
    result = inspection.with_proposals(candidates, proposals)
    cat = result.reach_of_class["cat"]
    assert (cat.candidates, cat.proposals) == (0.9, 0.6)
    assert result.reach_of_class["dog"].proposals == 1
    sentence = "cat: 60 % of its objects have a proposal with an IoU of 0.5, 90 % before the NMS"
    assert [text for text in result.warnings if text.startswith(sentence)]
    assert len(result.warnings) == len(inspection.warnings) + 1
    # Without candidates there is nothing to be lost by the NMS.
    poor = inspection.with_proposals(np.full(11, 0.2), np.full(11, 0.2)).warnings
    assert sum("have no candidate with an IoU of 0.5" in text for text in poor) == 2
    with pytest.raises(DataError, match="want one IoU for each of the 11 objects"):
        inspection.with_proposals(candidates[:3], proposals)
    with pytest.raises(DataError, match="the inspection has no anchors"):
        inspect(Annotated(boxes)).with_proposals(candidates, proposals)


def test_boxes_that_are_annotated_twice():
    assert warnings_of([[CAT, CAT, DOG], [DOG]]).startswith("1 boxes repeat another box of their")


def test_faults_of_a_reader_are_passed_on():
    assert inspect(Annotated([[CAT, DOG]], skipped=("a.jpg is gone",))).faults == ("a.jpg is gone",)


def test_a_gluoncv_data_set():
    image = np.zeros((60, 80, 3), np.uint8)
    label = np.array([[10, 10, 30, 40, 1]])
    result = inspect(GluonCVDataset([(image, label)], classes=CLASSES))
    assert result.boxes_of_class == {"cat": 0, "dog": 1} and result.faults == ()


def voc_object(name, x1, y1, x2, y2):
    corners = f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"


def voc_folder(root, *objects):
    Image.new("RGB", (80, 60)).save(root / "a.jpg")
    (root / "a.xml").write_text(f"<annotation>{''.join(objects)}</annotation>")
    return root


def labelme_folder(root, *shapes):
    """``shapes`` are ``(label, corner, corner)``."""
    Image.new("RGB", (80, 60)).save(root / "a.jpg")
    rectangles = []
    for label, *points in shapes:
        rectangles.append({"label": label, "points": points, "shape_type": "rectangle"})
    content = {"imagePath": "a.jpg", "imageHeight": 60, "imageWidth": 80, "shapes": rectangles}
    (root / "a.json").write_text(json.dumps(content))
    return root


def voc_set(root):
    objects = (voc_object("cat", 4, 4, 20, 30), voc_object("cat", 9, 9, 9, 9))
    return VOCDataset(voc_folder(root, *objects))


def labelme_set(root):
    return LabelmeDataset(labelme_folder(root, ("cat", [4, 4], [20, 30]), ("cat", [9, 9], [9, 30])))


def yolo_set(root):
    Image.new("RGB", (80, 60)).save(root / "a.jpg")
    (root / "a.txt").write_text("0 0.5 0.5 0.25 0.5\n0 0.5 0.5 0 0.5\n")
    return YOLODataset(root, classes=["cat"])


def lst_set(root):
    Image.new("RGB", (80, 60)).save(root / "a.jpg")
    numbers = (0, 2, 5, 0, 0.1, 0.2, 0.5, 0.6, 0, 0.1, 0.2, 0.1, 0.6)
    (root / "a.lst").write_text("\t".join([*map(str, numbers), "a.jpg"]))
    return LSTDataset(root / "a.lst", root, ["cat"])


def gluoncv_set(_):
    boxes = np.array([[4, 4, 20, 30, 0], [9, 9, 20, 9, 0]])
    return GluonCVDataset([(np.zeros((60, 80, 3), np.uint8), boxes)], classes=["cat"])


@pytest.mark.parametrize(
    "make, place",
    [
        (voc_set, "a.xml: object 2"),
        (labelme_set, "a.json: shape 2"),
        (yolo_set, "a.txt: line 2"),
        (lst_set, "a.lst: line 1: row 1"),
        (gluoncv_set, "list[0]: row 1"),
    ],
)
def test_boxes_without_an_area_are_counted(tmp_path, make, place):
    dataset = make(tmp_path)
    for same_boxes in (dataset, ImagesWithBoxes(dataset)):
        (warning,) = inspect(same_boxes).warnings
        assert warning.startswith("boxes without an area are left out (1): ")
        assert warning.endswith(f"{place}; correct or remove them")


def test_a_set_of_boxes_without_an_area_says_so(tmp_path):
    dataset = VOCDataset(voc_folder(tmp_path, voc_object("cat", 9, 9, 9, 9)))
    result = inspect(dataset)
    assert "not one box" in result.problems[0] and "without an area" in result.warnings[0]


CAT_AND_PLATELETS = (("cat", 4, 4, 20, 30), ("Platelets", 4, 4, 9, 9), ("Platelets", 40, 4, 49, 9))


def voc_cells(root, classes):
    return VOCDataset(
        voc_folder(root, *[voc_object(*one) for one in CAT_AND_PLATELETS]), classes=classes
    )


def labelme_cells(root, classes):
    shapes = [(name, [x1, y1], [x2, y2]) for name, x1, y1, x2, y2 in CAT_AND_PLATELETS]
    return LabelmeDataset(labelme_folder(root, *shapes), classes=classes)


@pytest.mark.parametrize("read", [voc_cells, labelme_cells])
def test_a_class_whose_name_is_probably_wrong_is_a_problem(tmp_path, read):
    dataset = read(tmp_path, ["cat", "Platelet"])
    for same_classes in (dataset, ImagesWithBoxes(dataset)):
        result = inspect(same_classes)
        (problem,) = result.problems
        assert "no object is of the class 'Platelet'" in problem
        assert "left out: 2 of Platelets;" in problem
        assert problem.endswith("did you mean Platelets?")
        with pytest.raises(DataError, match="did you mean Platelets"):
            result.require_boxes()
    of_validation = inspect(dataset, validation=True)
    assert of_validation.problems == () and of_validation.warnings[-1] == problem
    # What the anchors reach is known all the same.
    assert inspect(dataset, PREPROCESS, ANCHORS).reach is not None


@pytest.mark.parametrize("read", [voc_cells, labelme_cells])
@pytest.mark.parametrize("absent", ["unicorn", "plate", "planets"])
def test_a_class_may_be_absent(tmp_path, read, absent):
    result = inspect(read(tmp_path, ["cat", absent]))
    assert result.problems == ()
    assert result.warnings == (f"no box to learn from for the classes {absent}",)
    # A chosen class that objects have is right, though the files have a similar one.
    assert inspect(read(tmp_path, ["cat", "Platelets", "Platelet"])).problems == ()


def test_classes_that_differ_only_in_case_or_spaces(tmp_path):
    objects = [voc_object("WBC", 4 * n, 4, 4 * n + 3, 9) for n in range(5)]
    objects += [voc_object(name, 4, 30, 20, 40) for name in ("WBc", "RBC", "t cell", "t  Cell")]
    objects.append(voc_object("tall", 4, 30, 20, 40))
    # The names of classes are sorted, capital letters first.
    of_wbc, of_t_cells = inspect(VOCDataset(voc_folder(tmp_path, *objects))).warnings
    assert of_t_cells.startswith("the classes 't  Cell' (boxes: 1) and 't cell' (boxes: 1) differ")
    assert of_wbc.startswith("the classes 'WBC' (boxes: 5) and 'WBc' (boxes: 1) differ only in")


def test_spaces_around_a_class_of_a_list():
    image = np.zeros((60, 80, 3), np.uint8)
    label = np.array([[4, 4, 20, 30, 0], [4, 40, 20, 50, 1], [40, 40, 50, 50, 1]])
    (warning,) = inspect(GluonCVDataset([(image, label)], classes=["cell", "cell "])).warnings
    assert warning.startswith("the classes 'cell' (boxes: 1) and 'cell ' (boxes: 2) differ only in")
