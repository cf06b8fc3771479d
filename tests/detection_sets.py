"""Comparison of detections whose rows may come in another order."""

import numpy as np


def assert_same_detections(found, expected, box_atol=1e-2, score_atol=1e-4, mask_rtol=5e-3):
    """Compare the outputs of two detectors, image by image, as sets.

    Parameters
    ----------
    found, expected : sequence of numpy.ndarray
        ids (B, D, 1), scores (B, D, 1), boxes (B, D, 4) and perhaps masks (B, D, M, M).
    box_atol : float
        The largest difference of corners in pixels.
    score_atol : float
        The largest difference of scores.
    mask_rtol : float
        The largest difference between two masks, as a part of the larger one.
    """
    assert [output.shape for output in found] == [output.shape for output in expected]
    assert (expected[0] >= 0).any(), "there is nothing to compare"
    for image in range(len(expected[0])):
        _assert_same_image(
            [output[image] for output in found],
            [output[image] for output in expected],
            box_atol,
            score_atol,
            mask_rtol,
        )


def _assert_same_image(found, expected, box_atol, score_atol, mask_rtol):
    """Compare the rows of one image."""
    found_ids, found_scores, found_boxes, *found_masks = found
    ids, scores, boxes, *masks = expected
    count = int((ids >= 0).sum())
    found_count = int((found_ids >= 0).sum())
    assert found_count == count, f"there are {found_count} detections in place of {count}"
    assert (found_scores[:-1] >= found_scores[1:]).all(), "the scores do not fall"
    for output in (found_ids, found_scores, found_boxes):
        assert (output[count:] == -1).all(), "the padding is not -1"
    unused = set(range(count))
    for row in range(count):
        pair = _partner(row, unused, found, expected, box_atol, score_atol)
        assert pair is not None, f"nothing is like {ids[row]}, {scores[row]}, {boxes[row]}"
        unused.remove(pair)
        if masks:
            mask = masks[0][row]
            found_mask = found_masks[0][pair]
            difference = np.abs(found_mask - mask).sum()
            limit = mask_rtol * max(mask.sum(), found_mask.sum())
            assert difference <= limit, f"the masks of {boxes[row]} differ by {difference} cells"


def _partner(row, unused, found, expected, box_atol, score_atol):
    """Find the unused row that is closest to one of the expected rows; None if none is close."""
    rows = sorted(unused)
    of_class = (found[0][rows] == expected[0][row]).all(axis=1)
    score_differences = np.abs(found[1][rows] - expected[1][row]).max(axis=1) / score_atol
    box_differences = np.abs(found[2][rows] - expected[2][row]).max(axis=1) / box_atol
    differences = np.maximum(score_differences, box_differences)
    differences[~of_class] = np.inf
    best = int(differences.argmin()) if rows else 0
    return rows[best] if rows and differences[best] <= 1 else None
