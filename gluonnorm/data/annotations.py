"""Check the annotations of an image, which every reader does, and write them in COCO's format."""

from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from gluonnorm.data.labeled_image import DataError, LabeledImage
from gluonnorm.data.masks import RunLengths, decode_masks
from gluonnorm.photos.boxes import clip_boxes, valid_boxes

import numpy as np

Rows = Union[Sequence[Any], np.ndarray]


class ImageAnnotations(NamedTuple):
    """The G checked annotations of one image. Masks stay compressed until the image is read.

    Attributes
    ----------
    boxes : numpy.ndarray
        (G, 4) float32, rows ``x1 y1 x2 y2`` in pixels, inside the image and with an area.
    labels : numpy.ndarray
        (G,) int32, 0-based foreground class of each box.
    crowd : numpy.ndarray
        (G,) bool, COCO's ``iscrowd`` or VOC's ``difficult``.
    masks : list of dict or None
        COCO's compressed run lengths of each box's mask; None without masks.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    masks: Optional[List[RunLengths]] = None

    def labeled_image(self, image: np.ndarray, image_id: int, name: str) -> LabeledImage:
        """Join these annotations with their image, and decode the masks.

        Parameters
        ----------
        image : numpy.ndarray
            (H, W, 3) uint8, RGB.
        image_id : int
            The image's id in ``Dataset.coco_truth``.
        name : str
            The image's file name, for messages.

        Returns
        -------
        LabeledImage
            The image with its boxes, labels and masks.
        """
        masks = None
        if self.masks is not None:
            height, width = image.shape[:2]
            masks = decode_masks(self.masks, (height, width))
        return LabeledImage(image, self.boxes, self.labels, self.crowd, image_id, name, masks)


def make_annotations(
    boxes: Rows,
    labels: Rows,
    crowd: Rows,
    size: Tuple[int, int],
    where: str,
    row_names: Sequence[Any],
    read_mask: Optional[Callable[[int], RunLengths]] = None,
) -> ImageAnnotations:
    """Check the annotations of one image and convert them to arrays.

    Boxes are clipped to the image, and boxes without an area are dropped.

    Parameters
    ----------
    boxes : sequence
        G rows ``x1 y1 x2 y2`` in pixels.
    labels : sequence
        G 0-based foreground classes.
    crowd : sequence
        G flags: COCO's ``iscrowd`` or VOC's ``difficult``.
    size : tuple of int
        Height and width of the image in pixels.
    where : str
        The file or image that the annotations come from. Error messages begin with it.
    row_names : sequence
        A name for each of the G annotations. It follows ``where`` in an error message.
    read_mask : callable, optional
        ``read_mask(row)`` returns the mask of a row. It is called for the rows that are kept.
        None: the annotations have no masks.

    Returns
    -------
    ImageAnnotations
        The annotations whose boxes have an area inside the image.

    Raises
    ------
    DataError
        A coordinate is not finite, corners are in the wrong order, or a box with an area is
        outside the image.
    """
    raw_boxes = np.array(boxes, np.float32).reshape(-1, 4)
    height, width = size
    clipped = clip_boxes(raw_boxes, height, width)
    has_area = valid_boxes(clipped)

    not_finite = ~np.isfinite(raw_boxes).all(axis=1)
    inverted = (raw_boxes[:, 2:] < raw_boxes[:, :2]).any(axis=1)
    outside = valid_boxes(raw_boxes) & ~has_area
    faults = (
        (not_finite, "is not finite"),
        (inverted, "has its corners in the wrong order; want x1 <= x2 and y1 <= y2"),
        (outside, f"is outside the image of {width} x {height} pixels"),
    )
    for faulty, reason in faults:
        if faulty.any():
            row = int(faulty.argmax())
            corners = ", ".join(f"{value:g}" for value in raw_boxes[row])
            name = f"{where} {row_names[row]}"
            raise DataError(f"{name}: box ({corners}) {reason}; correct or remove it")

    masks = None
    if read_mask is not None:
        masks = [read_mask(row) for row in np.flatnonzero(has_area).tolist()]
    return ImageAnnotations(
        boxes=clipped[has_area],
        labels=np.array(labels, np.int32)[has_area],
        crowd=np.array(crowd, bool)[has_area],
        masks=masks,
    )


def check_classes(classes: Iterable[str], where: object) -> Tuple[str, ...]:
    """Check the class names of a data set.

    Parameters
    ----------
    classes : iterable of str
        Names of the foreground classes.
    where : object
        The file or data set that they belong to. Error messages begin with it.

    Returns
    -------
    tuple of str
        The names, in the same order.

    Raises
    ------
    DataError
        There are no names, or a name is repeated.

    Examples
    --------
    >>> check_classes(["cell", "dust"], "train.json")
    ('cell', 'dust')
    """
    names = tuple(classes)
    if not names:
        raise DataError(f"{where}: no classes; name at least one")
    for name in names:
        if names.count(name) > 1:
            raise DataError(
                f"{where}: class {name!r} is listed more than once; every class needs a name of "
                "its own"
            )
    return names


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
        The content of a COCO annotation file, without masks.

    Examples
    --------
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
        entries.append(
            {
                "id": first_id + number,
                "image_id": image_id,
                "category_id": labels[number] + 1,
                "bbox": [x1, y1, width, height],
                "area": width * height,
                "iscrowd": int(crowd[number]),
            }
        )
    return entries
