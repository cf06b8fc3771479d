"""Detections as the entries of COCO's result files. This file needs no MXNet."""

from typing import Any, Dict, Iterable, List, Sequence, Tuple

from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.errors import InputError
from gluonnorm.photos.boxes import exclusive_corners
from gluonnorm.types import Detections

import numpy as np
from pycocotools import mask as run_length_codec


def coco_results(
    detections: Iterable[Tuple[int, Detections]], category_ids: Sequence[int]
) -> List[Dict[str, Any]]:
    """Convert detections to COCO's result entries, ready for ``json.dump`` and for evaluation.

    Parameters
    ----------
    detections : iterable of (int, Detections)
        Pairs of image id and detections, as ``predict`` yields them. They are taken one at a time,
        so the masks of only one image are in memory.
    category_ids : sequence of int
        COCO category id of each class: entry ``i`` belongs to foreground class ``i``.

    Returns
    -------
    list of dict
        ``{image_id, category_id, bbox, score}`` for each detection; ``bbox`` is x, y, width, height
        in pixels. The width is ``x2 - x1``, or ``x2 - x1 + 1`` if the detections are ``inclusive``.
        Detections with masks have ``segmentation`` as well: ``size`` and the compressed
        run lengths as text.

    Raises
    ------
    InputError
        A class id has no entry in ``category_ids``: network and data set differ in their classes.

    Examples
    --------
    >>> detections = Detections(np.float32([[1, 2, 4, 8]]), np.float32([0.75]), np.int32([1]))
    >>> coco_results([(9, detections)], category_ids=(1, 3))
    [{'image_id': 9, 'category_id': 3, 'bbox': [1.0, 2.0, 3.0, 6.0], 'score': 0.75}]
    """
    results = []
    for image_id, image_detections in detections:
        _check_class_ids(image_id, image_detections.ids, len(category_ids))
        # In float32 the width and the height would be rounded once more.
        corners = image_detections.boxes.astype(np.float64)
        if image_detections.inclusive:
            corners = exclusive_corners(corners)
        sides = corners[:, 2:] - corners[:, :2]
        boxes = np.concatenate([corners[:, :2], sides], axis=1)
        for row, class_id in enumerate(image_detections.ids):
            result = {
                "image_id": int(image_id),
                "category_id": int(category_ids[class_id]),
                "bbox": boxes[row].tolist(),
                "score": float(image_detections.scores[row]),
            }
            if image_detections.masks is not None:
                one_mask = CroppedMasks.of(image_detections.masks[row : row + 1])
                result["segmentation"] = _run_lengths(one_mask)
            results.append(result)
    return results


def _check_class_ids(image_id: int, class_ids: np.ndarray, num_classes: int) -> None:
    """Raise InputError if a detection has a class that the data set does not have."""
    if len(class_ids) and not 0 <= class_ids.min() <= class_ids.max() < num_classes:
        raise InputError(
            f"image {image_id} has detections of classes {class_ids.min()} to {class_ids.max()}, "
            f"but the data set has {num_classes} classes; evaluate on the classes the network "
            "was trained for"
        )


def _run_lengths(one_mask: CroppedMasks) -> Dict[str, Any]:
    """Encode one mask in COCO's compressed run lengths, in types that JSON has.

    The run lengths go down the columns of the photo. Only the columns of the crop are looked at:
    the complete mask of a large photo would take most of the time.
    """
    _, height, width = one_mask.shape
    rows, columns = one_mask.crops[0].region
    # A pixel outside the mask before the strip and one after it end the runs at its ends.
    pixels = np.zeros((columns.stop - columns.start) * height + 2, bool)
    pixels[1:-1].reshape(-1, height)[:, rows] = one_mask.crops[0].pixels.T
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    starts = changes + columns.start * height
    starts = starts[starts < height * width]
    # Runs of 0 and of 1 alternate, and the first one is of 0.
    lengths = np.diff(np.concatenate([[0], starts, [height * width]]))
    uncompressed = {"size": [height, width], "counts": lengths.tolist()}
    encoded = run_length_codec.frPyObjects(uncompressed, height, width)
    return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}
