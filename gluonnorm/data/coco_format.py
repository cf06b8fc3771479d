"""Write the annotations of a data set in COCO's format, which the evaluation reads."""

from typing import Any, Dict, Iterable, List, Sequence

from gluonnorm.data.annotations import ImageAnnotations
from gluonnorm.data.masks import mask_area, text_run_lengths

import numpy as np


def coco_format(
    classes: Sequence[str],
    names: Sequence[str],
    sizes: np.ndarray,
    annotations: Iterable[ImageAnnotations],
) -> Dict[str, Any]:
    """Write the annotations of a data set in COCO's format.

    Category ids are 1..C, image ids are 0..N-1, and crowd becomes ``iscrowd``.

    Parameters
    ----------
    classes : sequence of str
        Names of the C classes.
    names : sequence of str
        File names of the N images.
    sizes : numpy.ndarray
        (N, 2) int, height and width of each image in pixels.
    annotations : iterable of ImageAnnotations
        The annotations of each image.

    Returns
    -------
    dict
        The content of a COCO annotation file. With masks, ``segmentation`` has compressed run
        lengths, and ``area`` is the area of the mask.

    Examples
    --------
    >>> from gluonnorm.data.annotations import make_annotations
    >>> annotations = make_annotations([[1, 2, 5, 8]], [0], [False], (20, 30), "a.jpg", ["0"])
    >>> content = coco_format(["cell"], ["a.jpg"], np.array([[20, 30]]), [annotations])
    >>> content["annotations"][0]["bbox"]
    [1.0, 2.0, 4.0, 6.0]
    """
    image_entries = []
    for image_id, (name, (height, width)) in enumerate(zip(names, sizes.tolist())):
        image_entries.append({"id": image_id, "file_name": name, "height": height, "width": width})

    box_entries: List[Dict[str, Any]] = []
    for image_id, image_annotations in enumerate(annotations):
        # pycocotools uses annotation id 0 for "not matched", so the ids begin at 1.
        box_entries += _coco_entries(image_annotations, image_id, first_id=len(box_entries) + 1)

    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    return {
        "info": {},
        "images": image_entries,
        "annotations": box_entries,
        "categories": categories,
    }


def _coco_entries(
    annotations: ImageAnnotations, image_id: int, first_id: int
) -> List[Dict[str, Any]]:
    """Write the boxes of one image as entries of COCO's list ``annotations``."""
    entries = []
    boxes = annotations.boxes.tolist()
    labels = annotations.labels.tolist()
    crowd = annotations.crowd.tolist()
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        width = x2 - x1
        height = y2 - y1
        entry: Dict[str, Any] = {
            "id": first_id + number,
            "image_id": image_id,
            "category_id": labels[number] + 1,
            "bbox": [x1, y1, width, height],
            "area": width * height,
            "iscrowd": int(crowd[number]),
        }
        if annotations.masks is not None:
            entry["segmentation"] = text_run_lengths(annotations.masks[number])
            entry["area"] = mask_area(annotations.masks[number])
        entries.append(entry)
    return entries
