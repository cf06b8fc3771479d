"""Detections in JSON's types, as ``demo.py --json`` and the service write them."""

from typing import Any, Dict, List, Sequence

from gluonnorm.coco_results import coco_results
from gluonnorm.types import Detections


def json_document(
    images: Sequence[Dict[str, Any]], classes: Sequence[str], inclusive: bool
) -> Dict[str, Any]:
    """Describe the detections of several images.

    Parameters
    ----------
    images : sequence of dict
        What :func:`json_image` returns, or for an image without detections ``file`` and ``error``.
    classes : sequence of str
        The name of each class id.
    inclusive : bool
        Whether the far corner of a box is its last pixel.

    Returns
    -------
    dict
        ``classes``, ``inclusive`` and ``images``.
    """
    return {"classes": list(classes), "inclusive": inclusive, "images": list(images)}


def json_image(
    name: str, height: int, width: int, detections: List[Dict[str, Any]]
) -> Dict[str, Any]:
    """Describe an image and its detections.

    Parameters
    ----------
    name : str
        The image's file.
    height, width : int
        The image's size in pixels.
    detections : list of dict
        What :func:`json_detections` returns.

    Returns
    -------
    dict
        ``file``, ``height``, ``width`` and ``detections``.
    """
    return {"file": name, "height": height, "width": width, "detections": detections}


def json_detections(detections: Detections, classes: Sequence[str]) -> List[Dict[str, Any]]:
    """Describe the detections of one image.

    Parameters
    ----------
    detections : Detections
        N detections, best first.
    classes : sequence of str
        The name of each class id.

    Returns
    -------
    list of dict
        For each detection ``class``, ``id``, ``score``, ``box`` (x1 y1 x2 y2 in pixels), and
        ``mask`` (COCO's run lengths) if there are masks.
    """
    results = coco_results([(0, detections)], range(len(classes)))
    rows = []
    for result, box in zip(results, detections.boxes.tolist()):
        class_id = result["category_id"]
        row = {"class": classes[class_id], "id": class_id, "score": result["score"], "box": box}
        if "segmentation" in result:
            row["mask"] = result["segmentation"]
        rows.append(row)
    return rows
