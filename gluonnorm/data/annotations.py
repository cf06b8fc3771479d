"""What every reader does with the boxes and names it has read."""
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

from gluonnorm.data.labeled_image import DataError, Record
from gluonnorm.data.masks import Runs, decode_masks
from gluonnorm.photos.boxes import clip_boxes, valid_boxes

import numpy as np

Rows = Union[Sequence[Any], np.ndarray]


class Truth(NamedTuple):
    """The G annotations of one image, as in ``Record``."""
    boxes: np.ndarray  # (G, 4) float32
    labels: np.ndarray  # (G,) int32
    crowd: np.ndarray  # (G,) bool
    masks: Optional[List[Runs]] = None  # compressed, since most of them wait

    def record(self, image: np.ndarray, image_id: int, name: str) -> Record:
        """The record of ``image``, (H, W, 3) uint8, with this truth."""
        masks = None if self.masks is None else decode_masks(self.masks, (image.shape[0], image.shape[1]))
        return Record(image, self.boxes, self.labels, self.crowd, image_id, name, masks)


def make_truth(boxes: Rows, labels: Rows, crowd: Rows, size: Tuple[int, int], where: str,
               row_names: Sequence[Any], read_mask: Optional[Callable[[int], Runs]] = None) -> Truth:
    """Arrays from what was read about one image: boxes are cut to the image, those without an area dropped.

    ``boxes`` are G rows x1 y1 x2 y2 in pixels, ``size`` is the image's (height, width); ``where`` and the annotation's
    entry in ``row_names`` begin a message. ``read_mask`` gives the mask of a row, and is asked for those that stay;
    without it there are none. Raises DataError for coordinates that are not finite, for corners in the
    wrong order, and for a box that lies wholly outside the image.
    """
    read = np.array(boxes, np.float32).reshape(-1, 4)
    height, width = size
    clipped = clip_boxes(read, height, width)
    has_area = valid_boxes(clipped)
    inverted = (read[:, 2:] < read[:, :2]).any(axis=1)
    for faulty, reason in (
        (~np.isfinite(read).all(axis=1), "is not finite"),
        (inverted, "has its corners in the wrong order; want x1 <= x2 and y1 <= y2"),
        (valid_boxes(read) & ~has_area, f"lies outside the image of {width} x {height} pixels"),
    ):
        if faulty.any():
            row = int(faulty.argmax())
            corners = ", ".join(f"{value:g}" for value in read[row])
            raise DataError(f"{where} {row_names[row]}: box ({corners}) {reason}; correct or remove it")
    masks = None if read_mask is None else [read_mask(row) for row in np.flatnonzero(has_area).tolist()]
    return Truth(clipped[has_area], np.array(labels, np.int32)[has_area], np.array(crowd, bool)[has_area], masks)


def check_classes(classes: Iterable[str], where: object) -> Tuple[str, ...]:
    """The class names as a tuple. Raises DataError if there are none or one stands twice."""
    names = tuple(classes)
    if not names:
        raise DataError(f"{where}: no classes; name at least one")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{where}: class {name!r} stands more than once; every class needs a name of its own")
    return names


def coco_format(classes: Sequence[str], names: Sequence[str], sizes: np.ndarray,
                truths: Iterable[Truth]) -> Dict[str, Any]:
    """The content of a COCO annotation file: category ids 1..C, image ids 0..N-1, crowd as ``iscrowd``.

    ``names`` are the N files, ``sizes`` (N, 2) their heights and widths, ``truths`` one per image.
    """
    images = [{"id": index, "file_name": name, "height": int(height), "width": int(width)}
              for index, (name, (height, width)) in enumerate(zip(names, sizes))]
    annotations: List[Dict[str, Any]] = []
    for image_id, truth in enumerate(truths):
        for box, label, crowd in zip(truth.boxes.tolist(), truth.labels.tolist(), truth.crowd.tolist()):
            width, height = box[2] - box[0], box[3] - box[1]
            annotations.append({
                "id": len(annotations) + 1,  # pycocotools takes id 0 for "not matched"
                "image_id": image_id, "category_id": label + 1, "bbox": [box[0], box[1], width, height],
                "area": width * height, "iscrowd": int(crowd),
            })
    categories = [{"id": index, "name": name} for index, name in enumerate(classes, start=1)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}
