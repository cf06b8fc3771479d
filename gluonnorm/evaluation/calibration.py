"""How far the scores of detections can be trusted: the share that is right, score by score."""

from typing import Any, Mapping, NamedTuple, Sequence

from gluonnorm.evaluation.matches import IGNORED, RIGHT, Matches

import numpy as np

NUM_BINS = 10


class Calibration(NamedTuple):
    """Scores and the share of right detections in B bins of the score.

    Attributes
    ----------
    edges : numpy.ndarray
        (B + 1,) float64, from 0 to 1. A bin has its lower edge, and the last one both.
    counts : numpy.ndarray
        (B,) int, detections.
    scores : numpy.ndarray
        (B,) float64, their mean score; NaN in an empty bin.
    right : numpy.ndarray
        (B,) float64, the share of them that is right; NaN in an empty bin.
    error : float
        The mean of the differences between both, weighted by the counts (the expected calibration
        error); NaN without detections.
    """

    edges: np.ndarray
    counts: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    error: float


def calibrate(
    results: Sequence[Mapping[str, Any]], matches: Matches, num_bins: int = NUM_BINS
) -> Calibration:
    """Compare the scores of detections with the share of them that is right.

    Parameters
    ----------
    results : sequence of mapping
        COCO result entries with scores in 0..1.
    matches : Matches
        What ``match_detections`` returns for them. Ignored detections are left out.
    num_bins : int
        Bins of equal width.

    Returns
    -------
    Calibration
        Counts, mean scores and shares.
    """
    judged = matches.verdicts != IGNORED
    scores = np.array([result["score"] for result in results], np.float64)[judged]
    is_right = matches.verdicts[judged] == RIGHT
    # linspace would make the edge 0.3 a little higher than 0.3, and this score fall below it.
    edges = np.arange(num_bins + 1) / num_bins
    bins = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    score_sums = np.bincount(bins, weights=scores, minlength=num_bins)
    right_sums = np.bincount(bins, weights=is_right, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        mean_scores = score_sums / counts
        shares = right_sums / counts
    error = float("nan")
    if len(scores):
        error = float(np.abs(score_sums - right_sums).sum() / len(scores))
    return Calibration(edges, counts, mean_scores, shares, error)
