"""What is wrong with each detection, and which objects are missed: the six causes of TIDE.

Daniel Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020.
Where the paper leaves something open, the rules are those of its program, tidecv 1.0.1.
"""

from typing import NamedTuple, Sequence, Tuple

import numpy as np

CAUSES = ("class", "location", "both", "duplicate", "background", "missed")
CLASS, LOCATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(len(CAUSES))
CORRECT = -1  # in place of a cause
NOTHING = -1  # in place of an object or a label


class ImagePairs(NamedTuple):
    """The detections of one image, best score first, and how they overlap its ground truth.

    Attributes
    ----------
    labels, scores : numpy.ndarray
        (N,) int and (N,) float64: class and score of each detection.
    object_labels : numpy.ndarray
        (M,) int: the class of each object that counts.
    ious : numpy.ndarray
        (N, M): IoU of detections and objects.
    crowd_labels : numpy.ndarray
        (K,) int: the class of each crowd region.
    crowd_ious : numpy.ndarray
        (N, K): the part of each detection that is inside of each crowd region.
    """

    labels: np.ndarray
    scores: np.ndarray
    object_labels: np.ndarray
    ious: np.ndarray
    crowd_labels: np.ndarray
    crowd_ious: np.ndarray


class Verdicts(NamedTuple):
    """What became of N detections and M objects, of one image or of several.

    Attributes
    ----------
    labels, scores : numpy.ndarray
        (N,) int and (N,) float64: class and score of each detection.
    causes : numpy.ndarray
        (N,) int: an index into ``CAUSES``, or ``CORRECT``.
    ignored : numpy.ndarray
        (N,) bool: the detection is on a crowd region and counts neither for nor against the
        network. It has a cause all the same, because it may be what detects an object once its
        error is mended.
    mended_labels : numpy.ndarray
        (N,) int: the class of which the detection is a correct one once its error is mended;
        ``NOTHING`` if it then goes away.
    object_labels : numpy.ndarray
        (M,) int: the class of each object.
    detected : numpy.ndarray
        (M,) bool: a correct detection belongs to the object.
    missed : numpy.ndarray
        (M,) bool: the object is not detected, and no mended error would detect it.
    """

    labels: np.ndarray
    scores: np.ndarray
    causes: np.ndarray
    ignored: np.ndarray
    mended_labels: np.ndarray
    object_labels: np.ndarray
    detected: np.ndarray
    missed: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        """(N,) bool: the detection lowers the precision."""
        return (self.causes != CORRECT) & ~self.ignored


def judge_image(pairs: ImagePairs, iou_thresh: float, background_thresh: float) -> Verdicts:
    """Find the cause of every error in one image.

    A detection is correct if it is the first one on an object of its class, best score first. The
    first rule that holds names the cause of each other detection:

    ============  ================================================================================
    location      its best IoU with an object of its class is in background_thresh..iou_thresh
    class         its IoU with an object of another class is at least iou_thresh
    duplicate     its IoU with a detected object of its class is at least iou_thresh
    background    its IoU with every object is at most background_thresh
    both          none of these
    ============  ================================================================================

    An object is missed if it has no correct detection and no error of class or location.

    Parameters
    ----------
    pairs : ImagePairs
        The detections and how they overlap the ground truth.
    iou_thresh : float
        The lowest IoU of a correct detection, in 0..1.
    background_thresh : float
        The highest IoU of a detection on background, above 0 and below ``iou_thresh``.

    Returns
    -------
    Verdicts
        The rows are in the order of ``pairs``.
    """
    same_class = pairs.labels[:, None] == pairs.object_labels
    class_ious = np.where(same_class, pairs.ious, 0)
    other_ious = np.where(same_class, 0, pairs.ious)
    matches = _match(class_ious, iou_thresh)
    correct = matches != NOTHING
    detected = np.zeros(len(pairs.object_labels), bool)
    detected[matches[correct]] = True

    nearest_of_class, class_iou = _nearest(class_ious)
    nearest_of_others, other_iou = _nearest(other_ious)
    _, detected_iou = _nearest(class_ious * detected)
    _, any_iou = _nearest(pairs.ious)
    # The first rule that holds counts.
    rules = {
        CORRECT: correct,
        LOCATION: (background_thresh <= class_iou) & (class_iou <= iou_thresh),
        CLASS: other_iou >= iou_thresh,
        DUPLICATE: detected_iou >= iou_thresh,
        BACKGROUND: any_iou <= background_thresh,
    }
    causes = np.select(list(rules.values()), list(rules), default=BOTH)
    blamed = np.where(causes == LOCATION, nearest_of_class, NOTHING)
    blamed = np.where(causes == CLASS, nearest_of_others, blamed)
    mended_objects, mended_rows = _first_on_each_object(blamed, detected)
    return Verdicts(
        labels=pairs.labels,
        scores=pairs.scores,
        causes=causes,
        ignored=~correct & _is_crowd(pairs, iou_thresh),
        mended_labels=_mended_labels(pairs, mended_objects, mended_rows),
        object_labels=pairs.object_labels,
        detected=detected,
        missed=~detected & ~np.isin(np.arange(len(detected)), mended_objects),
    )


def join_images(verdicts: Sequence[Verdicts]) -> Verdicts:
    """Put the verdicts of several images together, in their order.

    Parameters
    ----------
    verdicts : sequence of Verdicts
        One entry an image, at least one.

    Returns
    -------
    Verdicts
        Those of all images.
    """
    return Verdicts(*map(np.concatenate, zip(*verdicts)))


def _match(class_ious: np.ndarray, iou_thresh: float) -> np.ndarray:
    """Give each detection, best first, the free object of its class that it overlaps most.

    Returns (N,) int, the object or ``NOTHING``.
    """
    num_detections, num_objects = class_ious.shape
    matches = np.full(num_detections, NOTHING)
    if not num_objects:
        return matches
    free_ious = class_ious.copy()
    for row in range(num_detections):
        best = int(free_ious[row].argmax())
        if free_ious[row, best] >= iou_thresh:
            matches[row] = best
            free_ious[:, best] = 0
    return matches


def _nearest(ious: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return the object that each detection overlaps most, and their IoU; (N,) each.

    Without objects the IoUs are 0, and the object means nothing.
    """
    if not ious.shape[1]:
        return np.zeros(len(ious), int), np.zeros(len(ious))
    return ious.argmax(axis=1), ious.max(axis=1)


def _is_crowd(pairs: ImagePairs, iou_thresh: float) -> np.ndarray:
    """Tell which detections are on a crowd region of their class, (N,) bool."""
    same_class = pairs.labels[:, None] == pairs.crowd_labels
    return (same_class & (pairs.crowd_ious > iou_thresh)).any(axis=1)


def _first_on_each_object(
    blamed: np.ndarray, detected: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Choose which error is mended on each object that is not detected.

    An object can be detected only once, so of all errors on it the one with the best score is
    mended and the other ones go away.

    Parameters
    ----------
    blamed : numpy.ndarray
        (N,) int: the object on which each detection fails, or ``NOTHING``.
    detected : numpy.ndarray
        (M,) bool.

    Returns
    -------
    objects, rows : numpy.ndarray
        (L,) int each: the objects, and the first detection that fails on each of them.
    """
    objects, rows = np.unique(blamed, return_index=True)
    usable = objects != NOTHING
    usable[usable] = ~detected[objects[usable]]
    return objects[usable], rows[usable]


def _mended_labels(pairs: ImagePairs, objects: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The class of each detection once its error is mended, (N,) int; ``NOTHING`` if it goes."""
    mended_labels = np.full(len(pairs.labels), NOTHING)
    mended_labels[rows] = pairs.object_labels[objects]
    return mended_labels
