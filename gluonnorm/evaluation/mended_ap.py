"""Average precision before and after errors are mended, with the arithmetic of tidecv 1.0.1."""

from typing import Iterator, NamedTuple, Tuple

from gluonnorm.evaluation.error_causes import CAUSES, CORRECT, MISSED, NOTHING, Verdicts

import numpy as np

RECALL_LEVELS = np.arange(101) / 100
NOTHING_LEFT = 1.0  # the AP where mending leaves neither an object nor a detection


class Ranking(NamedTuple):
    """N detections of K classes. Of equal scores of a class the first row is ranked first.

    Attributes
    ----------
    labels : numpy.ndarray
        (N,) int: the class of each detection.
    scores : numpy.ndarray
        (N,) float64.
    correct : numpy.ndarray
        (N,) bool.
    num_objects : numpy.ndarray
        (K,) int: how many objects of each class were to be detected.
    """

    labels: np.ndarray
    scores: np.ndarray
    correct: np.ndarray
    num_objects: np.ndarray


def as_detected(verdicts: Verdicts, num_classes: int) -> Ranking:
    """Rank the detections as they are.

    Parameters
    ----------
    verdicts : Verdicts
        Those of all images.
    num_classes : int
        The number of classes, K.

    Returns
    -------
    Ranking
        Without the detections that are ignored.
    """
    counts = ~verdicts.ignored
    return Ranking(
        labels=verdicts.labels[counts],
        scores=verdicts.scores[counts],
        correct=verdicts.causes[counts] == CORRECT,
        num_objects=np.bincount(verdicts.object_labels, minlength=num_classes),
    )


def mended(verdicts: Verdicts, num_classes: int) -> Iterator[Tuple[str, Ranking]]:
    """Rank the detections again and again, each time with other errors mended.

    Parameters
    ----------
    verdicts : Verdicts
        Those of all images.
    num_classes : int
        The number of classes, K.

    Yields
    ------
    (str, Ranking)
        What is mended, and the ranking then: first each of ``CAUSES`` alone, then
        ``"false_positives"``, which are ranked behind what is correct, and ``"false_negatives"``,
        which are no longer asked for.
    """
    for cause, name in enumerate(CAUSES):
        yield name, _mend_cause(verdicts, num_classes, cause)
    unchanged = _mend_cause(verdicts, num_classes, cause=CORRECT)
    yield "false_positives", unchanged._replace(scores=unchanged.correct.astype(np.float64))
    detected_labels = verdicts.object_labels[verdicts.detected]
    num_detected = np.bincount(detected_labels, minlength=num_classes)
    yield "false_negatives", unchanged._replace(num_objects=num_detected)


def _mend_cause(verdicts: Verdicts, num_classes: int, cause: int) -> Ranking:
    """Mend all errors of one cause, and none if the cause is ``CORRECT``."""
    was_wrong = verdicts.causes != CORRECT
    is_mended = was_wrong & (verdicts.causes == cause)
    labels = np.where(verdicts.ignored, NOTHING, verdicts.labels)
    labels = np.where(is_mended, verdicts.mended_labels, labels)
    # tidecv ranks what was wrong first among equal scores. Images of one network may have many
    # equal scores, and the AP of another order would not be comparable with tidecv's.
    rows = np.argsort(~was_wrong, kind="stable")
    rows = rows[labels[rows] != NOTHING]
    wanted_labels = verdicts.object_labels
    if cause == MISSED:
        wanted_labels = wanted_labels[~verdicts.missed]
    return Ranking(
        labels=labels[rows],
        scores=verdicts.scores[rows],
        correct=(~was_wrong | is_mended)[rows],
        num_objects=np.bincount(wanted_labels, minlength=num_classes),
    )


def class_aps(ranking: Ranking) -> np.ndarray:
    """Compute the average precision of each class.

    Parameters
    ----------
    ranking : Ranking
        Detections of K classes.

    Returns
    -------
    numpy.ndarray
        (K,) float64, in 0..1. A class without objects has 0, and one without objects and detections
        NaN.
    """
    num_classes = len(ranking.num_objects)
    order = np.lexsort((-ranking.scores, ranking.labels))
    borders = np.searchsorted(ranking.labels[order], np.arange(num_classes + 1))
    aps = np.zeros(num_classes)
    for label, num_objects in enumerate(ranking.num_objects):
        correct = ranking.correct[order[borders[label] : borders[label + 1]]]
        if num_objects:
            aps[label] = _average_precision(correct, num_objects)
        elif not len(correct):
            aps[label] = np.nan
    return aps


def mean_ap(aps: np.ndarray) -> float:
    """Average the AP of classes.

    Parameters
    ----------
    aps : numpy.ndarray
        (K,) float64, what ``class_aps`` returns.

    Returns
    -------
    float
        In 0..1. Classes with NaN are left out; if all have it, nothing is left to be wrong, and it
        is 1.
    """
    defined = aps[~np.isnan(aps)]
    return float(defined.mean()) if len(defined) else NOTHING_LEFT


def _average_precision(correct: np.ndarray, num_objects: int) -> float:
    """Mean over 101 recalls of the best precision at that recall or beyond.

    Parameters
    ----------
    correct : numpy.ndarray
        (N,) bool, best score first.
    num_objects : int
        Objects that were to be detected, at least one.

    Returns
    -------
    float
        In 0..1.
    """
    num_correct = np.cumsum(correct)
    recall = num_correct / num_objects
    precision = num_correct / np.arange(1, len(correct) + 1)
    best_precision = np.maximum.accumulate(precision[::-1])[::-1]
    # Beyond the last recall the precision is 0.
    reached = np.searchsorted(recall, RECALL_LEVELS, side="left")
    return float(np.append(best_precision, 0.0)[reached].mean())
