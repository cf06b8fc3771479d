"""Detections as a data set in COCO's format, for tools that open such files."""

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from gluonnorm.coco_results import coco_results
from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.detection_formats.object_rows import objects_inside
from gluonnorm.errors import InputError
from gluonnorm.types import Detections

# What an image is in these formats: file name, (height, width) in pixels, and what is found on it.
DetectedImage = Tuple[str, Tuple[int, int], Detections]


def coco_data(
    images: Iterable[DetectedImage],
    classes: Sequence[str],
    category_ids: Optional[Sequence[int]] = None,
) -> Dict[str, Any]:
    """Write detections as the annotations of a data set, with the names of images and classes.

    The file opens wherever COCO's annotation files do, ``data.COCODataset`` included. Each
    annotation also has a ``score``, so its list is that of COCO's results. For results that belong
    to a data set's own file, use ``coco_results``.

    Parameters
    ----------
    images : iterable of (str, (int, int), Detections)
        The file name of each image, its height and width in pixels, and its detections. They are
        taken one at a time, so the masks of only one image are in memory.
    classes : sequence of str
        The name of each class id.
    category_ids : sequence of int or None
        COCO category id of each class, such as ``dataset.category_ids``; None for 1 to C.

    Returns
    -------
    dict
        ``images`` with the ids 0 to N - 1, ``categories`` and ``annotations``. Boxes are clipped to
        their image; ``segmentation`` has compressed run lengths if there are masks.

    Raises
    ------
    InputError
        A class id has no name, there are more or fewer category ids than classes, or masks do not
        have the size of their image.

    Examples
    --------
    >>> import numpy as np
    >>> detections = Detections(np.float32([[1, 2, 4, 8]]), np.float32([0.75]), np.int32([1]))
    >>> content = coco_data([("a.jpg", (20, 30), detections)], ["cat", "dog"])
    >>> content["categories"][1], content["annotations"][0]["bbox"]
    ({'id': 2, 'name': 'dog'}, [1.0, 2.0, 3.0, 6.0])
    """
    if category_ids is None:
        category_ids = range(1, len(classes) + 1)
    if len(category_ids) != len(classes):
        raise InputError(
            f"there are {len(classes)} classes and {len(category_ids)} category ids; want one for "
            "each class, in the same order"
        )
    entries: List[Dict[str, Any]] = []
    annotations: List[Dict[str, Any]] = []
    for image_id, (name, (height, width), detections) in enumerate(images):
        entries.append({"id": image_id, "file_name": name, "height": height, "width": width})
        inside = objects_inside(detections, (height, width))
        results = coco_results([(image_id, inside)], category_ids)
        for result, area in zip(results, _areas(inside)):
            # pycocotools takes the id 0 for "not matched".
            number = len(annotations) + 1
            annotations.append({"id": number, **result, "area": area, "iscrowd": 0})
    categories = []
    for category_id, class_name in zip(category_ids, classes):
        categories.append({"id": int(category_id), "name": class_name})
    return {"images": entries, "categories": categories, "annotations": annotations}


def _areas(detections: Detections) -> List[float]:
    """Count the pixels of each mask, or of each box if there are no masks."""
    if detections.masks is not None:
        return [float(crop.pixels.sum()) for crop in CroppedMasks.of(detections.masks).crops]
    sides = detections.boxes[:, 2:].astype(float) - detections.boxes[:, :2]
    return sides.prod(axis=1).tolist()
