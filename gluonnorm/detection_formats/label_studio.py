"""Detections as predictions of Label Studio, where they are corrected by hand.

The format is described at https://labelstud.io/guide/predictions and
https://labelstud.io/guide/task_format.
"""

import re
import zlib
from typing import Any, Dict, List, Sequence, Tuple
from xml.sax.saxutils import quoteattr

from gluonnorm.class_colors import class_colors, hex_color
from gluonnorm.cropped_masks import Crop, CroppedMasks
from gluonnorm.detection_formats.brush_runs import brush_runs
from gluonnorm.detection_formats.object_rows import class_names, objects_inside
from gluonnorm.errors import InputError
from gluonnorm.types import Detections

import numpy as np

# How the labeling interface calls its parts, by which predictions find them.
LABELS_NAME = "label"
IMAGE_NAME = "image"
# All but the characters of XML 1.0 (https://www.w3.org/TR/xml/#charsets).
NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def label_studio_config(classes: Sequence[str], masks: bool = False) -> str:
    """Write the labeling interface of a project for detections.

    Parameters
    ----------
    classes : sequence of str
        The names of the classes.
    masks : bool
        Whether objects are painted with a brush (masks), or boxes.

    Returns
    -------
    str
        The XML for Settings, Labeling Interface, Code. The labels have the colors of
        ``visualize.draw``.

    Raises
    ------
    InputError
        A name has a character that XML cannot hold.

    Examples
    --------
    >>> print(label_studio_config(["cell"]))
    <View>
      <Image name="image" value="$image" zoom="true"/>
      <RectangleLabels name="label" toName="image">
        <Label value="cell" background="#e100ff"/>
      </RectangleLabels>
    </View>
    """
    for name in classes:
        unwritable = NO_XML.search(name)
        if unwritable:
            raise InputError(
                f"class {name!r} has {unwritable.group()!r}, which no XML file can hold, and Label "
                "Studio reads its labels from one; export the network with another name"
            )
    tag = "BrushLabels" if masks else "RectangleLabels"
    lines = [
        "<View>",
        f'  <Image name="{IMAGE_NAME}" value="${IMAGE_NAME}" zoom="true"/>',
        f'  <{tag} name="{LABELS_NAME}" toName="{IMAGE_NAME}">',
    ]
    for name, color in zip(classes, class_colors(classes)):
        lines.append(f'    <Label value={quoteattr(name)} background="{hex_color(color)}"/>')
    lines += [f"  </{tag}>", "</View>"]
    return "\n".join(lines)


def label_studio_task(
    url: str,
    size: Tuple[int, int],
    detections: Detections,
    classes: Sequence[str],
    model_version: str = "gluonnorm",
) -> Dict[str, Any]:
    """Write an image and its detections as a task with a prediction.

    A JSON file with a list of tasks is imported into a project whose labeling interface is
    ``label_studio_config(classes, masks)``.

    Parameters
    ----------
    url : str
        Where Label Studio gets the image, such as ``"https://example.org/a.jpg"``, or
        ``"/data/local-files/?d=photos/a.jpg"`` for a file on its own machine.
    size : tuple of int
        Height and width of the image in pixels.
    detections : Detections
        What is found. Detections with masks become brush regions, others rectangles.
    classes : sequence of str
        The name of each class id.
    model_version : str
        The name under which Label Studio shows the predictions of this network.

    Returns
    -------
    dict
        ``data`` and ``predictions``. Rectangles are clipped to the image and in percent of its
        sides, as Label Studio counts them. The prediction's ``score`` is the mean of its
        detections, by which Label Studio sorts tasks.

    Raises
    ------
    InputError
        ``classes`` has no name for an id, or masks do not have the size of the image.

    Examples
    --------
    >>> detections = Detections(np.float32([[3, 2, 6, 12]]), np.float32([0.75]), np.int32([0]))
    >>> task = label_studio_task("https://example.org/a.jpg", (20, 30), detections, ["cell"])
    >>> value = task["predictions"][0]["result"][0]["value"]
    >>> value["x"], value["y"], value["width"], value["height"], value["rectanglelabels"]
    (10.0, 10.0, 10.0, 50.0, ['cell'])
    """
    height, width = size
    inside = objects_inside(detections, size)
    masks = None if inside.masks is None else CroppedMasks.of(inside.masks)
    scores = [float(score) for score in inside.scores]
    percent = 100 / np.array([width, height, width, height], np.float64)
    corners = (inside.boxes * percent).tolist()
    # Label Studio wants every region to have an id of its own.
    prefix = f"{zlib.crc32(url.encode()):08x}"
    regions: List[Dict[str, Any]] = []
    for row, name in enumerate(class_names(inside, classes)):
        if masks is None:
            shape = _rectangle(corners[row], name)
        else:
            shape = _brush(masks.crops[row], size, name)
        region = {
            "id": f"{prefix}-{row}",
            "from_name": LABELS_NAME,
            "to_name": IMAGE_NAME,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "score": scores[row],
        }
        regions.append({**region, **shape})
    prediction: Dict[str, Any] = {"model_version": model_version, "result": regions}
    if scores:
        prediction["score"] = sum(scores) / len(scores)
    return {"data": {IMAGE_NAME: url}, "predictions": [prediction]}


def _rectangle(corners: Sequence[float], name: str) -> Dict[str, Any]:
    """Describe a box by its corners in percent of the image's sides."""
    x1, y1, x2, y2 = corners
    value = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "rotation": 0}
    return {"type": "rectanglelabels", "value": {**value, "rectanglelabels": [name]}}


def _brush(crop: Crop, size: Tuple[int, int], name: str) -> Dict[str, Any]:
    """Describe a mask by its run lengths."""
    value = {"format": "rle", "rle": brush_runs(crop, *size), "brushlabels": [name]}
    return {"type": "brushlabels", "value": value}
