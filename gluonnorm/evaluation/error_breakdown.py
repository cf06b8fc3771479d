"""Lost average precision, split into the six causes of TIDE (Bolya et al., ECCV 2020)."""

from collections import Counter, defaultdict
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from gluonnorm.errors import InputError
from gluonnorm.evaluation.checks import (
    check_comparison,
    checked_annotations,
)
from gluonnorm.evaluation.coco import index_annotations, sorted_categories
from gluonnorm.evaluation.error_causes import (
    CAUSES,
    ImagePairs,
    Verdicts,
    join_images,
    judge_image,
)
from gluonnorm.evaluation.mended_ap import as_detected, class_aps, mean_ap, mended

import numpy as np
from pycocotools import mask as run_length_codec
from pycocotools.coco import COCO

MAX_DETECTIONS = 100  # of an image, over all classes
BACKGROUND_IOU = 0.1  # the highest of a detection on background, unless the caller says otherwise

Entries = List[Dict[str, Any]]


class ErrorShares(NamedTuple):
    """The errors of all classes or of one, and the AP that they cost.

    Attributes
    ----------
    objects : int
        Objects of the ground truth that count.
    detections : int
        Detections that count: not those on crowd regions, and at most ``MAX_DETECTIONS`` an image.
    ap : float
        Average precision at one IoU, in 0..1; -1 for a class without objects.
    lost : dict of str to float
        The AP that is gained if the errors of one cause alone are mended, for each of ``"class"``,
        ``"location"``, ``"both"``, ``"duplicate"``, ``"background"``, ``"missed"``; and if all
        ``"false_positives"`` or all ``"false_negatives"`` are. These do not add up to the AP that
        is lost in all.
    errors : dict of str to int
        The number of errors, under the same names. A class has those of its detections, and its
        missed objects.
    """

    objects: int
    detections: int
    ap: float
    lost: Dict[str, float]
    errors: Dict[str, int]


class ErrorBreakdown(NamedTuple):
    """What ``explain_errors`` returns.

    Attributes
    ----------
    iou_type : str
        ``"bbox"`` or ``"segm"``: what was compared.
    iou_thresh, background_thresh : float
        The lowest IoU of a correct detection, and the highest one of a detection on background.
    overall : ErrorShares
        Over all classes.
    classes : dict of str to ErrorShares
        By the name of each class, in the order of the categories' ids.
    truncated_images : int
        Images with more than ``MAX_DETECTIONS`` detections, of which only the best count.
    """

    iou_type: str
    iou_thresh: float
    background_thresh: float
    overall: ErrorShares
    classes: Dict[str, ErrorShares]
    truncated_images: int

    def as_json(self) -> Dict[str, Any]:
        """Return the same in types that JSON has.

        Returns
        -------
        dict
            The attributes by their names, and those of each ``ErrorShares`` by theirs.
        """
        classes = {name: shares._asdict() for name, shares in self.classes.items()}
        return {**self._asdict(), "overall": self.overall._asdict(), "classes": classes}


class _Columns(NamedTuple):
    """What is known of each of K classes; every array is (K,), those of dicts too."""

    aps: np.ndarray
    mended_aps: Dict[str, np.ndarray]
    num_objects: np.ndarray
    num_detections: np.ndarray
    num_errors: Dict[str, np.ndarray]


def explain_errors(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    iou_type: str = "bbox",
    iou_thresh: float = 0.5,
    background_thresh: float = BACKGROUND_IOU,
) -> ErrorBreakdown:
    """Split the AP that a detector loses into its causes, as TIDE does.

    The numbers are those of the package tidecv 1.0.1, divided by 100. Each error is mended alone: a
    detection of a wrong class gets the right one, one that is badly placed is moved onto its
    object, all others go away, and missed objects are no longer asked for. What the AP gains is
    the share of the cause. All false positives are mended by ranking them last, and all false
    negatives by asking for the detected objects only.

    The AP has 101 recall levels, like COCO's AP50. It differs from that one where an image has more
    than 100 detections over all classes (COCO: of each class); where a class has detections and no
    objects: its AP is 0 here, and COCO leaves the class out; and where a recall is 0.7 or another
    of ten levels that pycocotools rounds up by the last digit, so that it asks for a little more.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict: ``images``, ``annotations``, ``categories``. Detections on crowd regions are
        ignored. It is not changed.
    results : sequence of mapping
        COCO result entries. With ``iou_type="segm"`` each has a run-length encoded
        ``segmentation``, otherwise a ``bbox``. They are not changed.
    iou_type : str
        ``"bbox"`` compares boxes, ``"segm"`` masks.
    iou_thresh : float
        The lowest IoU of a correct detection.
    background_thresh : float
        The highest IoU of a detection on background, above 0 and below ``iou_thresh``.

    Returns
    -------
    ErrorBreakdown
        The AP and its losses, over all classes and for each class.

    Raises
    ------
    InputError
        As for ``evaluate_coco``; thresholds out of order; a ground truth without an object that
        counts.

    Examples
    --------
    >>> truth = {
    ...     "images": [{"id": 1}],
    ...     "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    ...     "annotations": [
    ...         {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]},
    ...         {"image_id": 1, "category_id": 2, "bbox": [50, 0, 10, 10]},
    ...     ],
    ... }
    >>> cat = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10], "score": 0.9}
    >>> shifted_dog = {"image_id": 1, "category_id": 2, "bbox": [55, 0, 10, 10], "score": 0.8}
    >>> breakdown = explain_errors(truth, [cat, shifted_dog])
    >>> breakdown.overall.ap, breakdown.overall.lost["location"]
    (0.5, 0.5)
    >>> breakdown.classes["dog"].errors["location"]
    1
    """
    if not 0 < background_thresh < iou_thresh <= 1:
        raise InputError(
            f"background_thresh is {background_thresh} and iou_thresh {iou_thresh}; want "
            "0 < background_thresh < iou_thresh <= 1"
        )
    check_comparison(ground_truth, results, iou_type)
    names = [category["name"] for category in sorted_categories(ground_truth)]
    verdicts = _judge(ground_truth, results, iou_type, iou_thresh, background_thresh)
    if not len(verdicts.object_labels):
        raise InputError(
            "the ground truth has no object that counts: there is none, or all are crowd or "
            "difficult; without objects no AP is lost, so choose a split that has some"
        )
    columns = _compute_columns(verdicts, len(names))
    classes = {}
    for label, name in enumerate(names):
        classes[name] = _shares(columns, slice(label, label + 1))
    overall = _shares(columns, slice(None))
    counts = Counter(result["image_id"] for result in results)
    truncated = sum(count > MAX_DETECTIONS for count in counts.values())
    return ErrorBreakdown(iou_type, iou_thresh, background_thresh, overall, classes, truncated)


def _judge(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    iou_type: str,
    iou_thresh: float,
    background_thresh: float,
) -> Verdicts:
    """Find the errors of all images, in the order of the ground truth's list of images."""
    index = index_annotations(ground_truth, checked_annotations(ground_truth))
    category_ids = [category["id"] for category in sorted_categories(ground_truth)]
    labels = {category_id: label for label, category_id in enumerate(category_ids)}
    results_of_image: Dict[int, List[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        results_of_image[result["image_id"]].append(result)
    verdicts = [_no_verdicts()]
    for image in ground_truth["images"]:
        best_first = sorted(results_of_image[image["id"]], key=_descending_score)
        annotations = index.imgToAnns.get(image["id"], [])
        pairs = _pair(index, best_first[:MAX_DETECTIONS], annotations, labels, iou_type)
        verdicts.append(judge_image(pairs, iou_thresh, background_thresh))
    return join_images(verdicts)


def _no_verdicts() -> Verdicts:
    """Make the verdicts of no image at all, so that there is something to join."""
    integers = np.zeros(0, int)
    booleans = np.zeros(0, bool)
    return Verdicts(
        labels=integers,
        scores=np.zeros(0),
        causes=integers,
        ignored=booleans,
        mended_labels=integers,
        object_labels=integers,
        detected=booleans,
        missed=booleans,
    )


def _descending_score(result: Mapping[str, Any]) -> float:
    """The key that sorts results best score first."""
    return -result["score"]


def _pair(
    index: COCO,
    results: Sequence[Mapping[str, Any]],
    annotations: Entries,
    labels: Mapping[int, int],
    iou_type: str,
) -> ImagePairs:
    """Compare the results of one image with its annotations."""
    objects = [annotation for annotation in annotations if not annotation["iscrowd"]]
    crowd = [annotation for annotation in annotations if annotation["iscrowd"]]
    if iou_type == "segm":
        # Results may be uncompressed run lengths, too.
        detected_shapes = [index.annToRLE(result) for result in results]
        object_shapes = [index.annToRLE(annotation) for annotation in objects]
        crowd_shapes = [index.annToRLE(annotation) for annotation in crowd]
    else:
        detected_shapes = [result["bbox"] for result in results]
        object_shapes = [annotation["bbox"] for annotation in objects]
        crowd_shapes = [annotation["bbox"] for annotation in crowd]
    return ImagePairs(
        labels=_labels_of(results, labels),
        scores=np.array([result["score"] for result in results], np.float64),
        object_labels=_labels_of(objects, labels),
        ious=_ious(detected_shapes, object_shapes, is_crowd=False),
        crowd_labels=_labels_of(crowd, labels),
        crowd_ious=_ious(detected_shapes, crowd_shapes, is_crowd=True),
    )


def _labels_of(entries: Sequence[Mapping[str, Any]], labels: Mapping[int, int]) -> np.ndarray:
    """The label of each result or annotation, (N,) int."""
    return np.array([labels[entry["category_id"]] for entry in entries], int)


def _ious(detected: List[Any], annotated: List[Any], is_crowd: bool) -> np.ndarray:
    """IoU of N boxes or run lengths with M; with crowd the part of each detection inside of it."""
    if not detected or not annotated:
        return np.zeros((len(detected), len(annotated)))
    if not isinstance(detected[0], Mapping):
        # pycocotools takes boxes as one array.
        detected_boxes = np.array(detected, np.float64)
        boxes = np.array(annotated, np.float64)
        return run_length_codec.iou(detected_boxes, boxes, [is_crowd] * len(annotated))
    return run_length_codec.iou(detected, annotated, [is_crowd] * len(annotated))


def _compute_columns(verdicts: Verdicts, num_classes: int) -> _Columns:
    """Compute the AP of each class before and after each kind of error is mended, and count."""
    rankings = mended(verdicts, num_classes)
    return _Columns(
        aps=class_aps(as_detected(verdicts, num_classes)),
        mended_aps={name: class_aps(ranking) for name, ranking in rankings},
        num_objects=np.bincount(verdicts.object_labels, minlength=num_classes),
        num_detections=np.bincount(verdicts.labels[~verdicts.ignored], minlength=num_classes),
        num_errors=_count_errors(verdicts, num_classes),
    )


def _shares(columns: _Columns, rows: slice) -> ErrorShares:
    """Put together what is known of some classes."""
    num_objects = int(columns.num_objects[rows].sum())
    ap = -1.0
    lost = dict.fromkeys(columns.mended_aps, 0.0)
    if num_objects:
        ap = mean_ap(columns.aps[rows])
        for key, mended_aps in columns.mended_aps.items():
            lost[key] = _gain(key, ap, mean_ap(mended_aps[rows]))
    return ErrorShares(
        objects=num_objects,
        detections=int(columns.num_detections[rows].sum()),
        ap=ap,
        lost=lost,
        errors={key: int(counts[rows].sum()) for key, counts in columns.num_errors.items()},
    )


def _gain(key: str, ap: float, mended_ap: float) -> float:
    """What the AP gains when errors are mended."""
    gain = float(mended_ap - ap)
    # At equal scores mending may cost more than it gains, see mended_ap. As in tidecv the gain of a
    # cause is then 0, and that of a total is not.
    return max(gain, 0.0) if key in CAUSES else gain


def _count_errors(verdicts: Verdicts, num_classes: int) -> Dict[str, np.ndarray]:
    """Count the errors of each class, (K,) int each."""
    counted = {}
    for cause, name in enumerate(CAUSES):
        counted[name] = verdicts.labels[verdicts.wrong & (verdicts.causes == cause)]
    counted["missed"] = verdicts.object_labels[verdicts.missed]
    counted["false_positives"] = verdicts.labels[verdicts.wrong]
    counted["false_negatives"] = verdicts.object_labels[~verdicts.detected]
    return {name: np.bincount(labels, minlength=num_classes) for name, labels in counted.items()}
