"""Small pictures of single detections and objects, which a page holds as text."""

import base64
import io
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.class_colors import class_colors
from gluonnorm.data import Dataset, LabeledImage
from gluonnorm.types import Detections
from gluonnorm.visualize import draw
from run_report.html import Html, element, isolated, join

import numpy as np
from PIL import Image
from pycocotools import mask as run_length_codec

SIDE = 300  # pixels of a picture
SMALLEST_CROP = 64  # pixels of the photo
CONTEXT = 2.5  # the crop is so many times as long as the box
JPEG_QUALITY = 78
MOST_NAMED_BOXES = 6  # more names would hide the photo
NAME_HEIGHT = 20  # pixels of a name on a picture; page.css has its letters


class Crop(NamedTuple):
    """A square part of a photo, in its pixels; it may reach out of a small photo."""

    left: int
    top: int
    side: int

    @property
    def region(self) -> Tuple[slice, slice]:
        """Rows and columns."""
        rows = slice(self.top, self.top + self.side)
        return rows, slice(self.left, self.left + self.side)


def crop_around(box: Sequence[float], size: Tuple[int, int]) -> Crop:
    """Choose the part of a photo that shows a box and what is around it.

    Parameters
    ----------
    box : sequence of float
        x, y, width, height in pixels.
    size : (int, int)
        Height and width of the photo.

    Returns
    -------
    Crop
        A square that is inside the photo where this is possible.

    Examples
    --------
    >>> crop_around([0, 150, 20, 40], (200, 300))
    Crop(left=0, top=100, side=100)
    """
    x, y, width, height = box
    photo_height, photo_width = size
    wanted = max(SMALLEST_CROP, CONTEXT * max(width, height))
    # A longer square would show more of nothing than of the photo.
    side = int(min(wanted, max(size)))
    left = _start(x + width / 2, side, photo_width)
    top = _start(y + height / 2, side, photo_height)
    return Crop(left, top, side)


def _start(center: float, side: int, length: int) -> int:
    """The first pixel of a crop along one axis."""
    return max(0, min(round(center - side / 2), length - side))


class Photo:
    """A photo of a data set, of which parts are shown.

    Parameters
    ----------
    labeled : LabeledImage
        The photo.
    classes : sequence of str
        The names of the classes.
    labels : dict of int to int
        The class of each category id.
    """

    def __init__(
        self, labeled: LabeledImage, classes: Sequence[str], labels: Mapping[int, int]
    ) -> None:
        self.image = labeled.image
        self.classes = classes
        self.colors = class_colors(classes)
        self.labels = labels

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def show(
        self, crop: Crop, entries: Sequence[Mapping[str, Any]], focus: Mapping[str, Any], alt: str
    ) -> Html:
        """Draw annotations or results on a part of the photo.

        Parameters
        ----------
        crop : Crop
            The part.
        entries : sequence of mapping
            Annotations or results of this photo. Those outside of the part are left out.
        focus : mapping
            The entry whose box gets a thick line, if it is among them.
        alt : str
            What the picture shows, for those who do not see it.

        Returns
        -------
        Html
            An ``svg`` that holds the picture. Boxes and labels stay sharp at every size.
        """
        part = Image.fromarray(np.ascontiguousarray(self.image[crop.region]))
        scale = SIDE / max(part.size)
        width, height = [max(1, round(length * scale)) for length in part.size]
        pixels = np.array(part.resize((width, height), Image.Resampling.BILINEAR))
        shown = [entry for entry in entries if _overlaps(crop, entry["bbox"])]
        drawn = self._draw_masks(pixels, shown, crop)
        parts = [element("image", href=jpeg_uri(drawn), width=width, height=height)]
        for entry in shown:
            is_focus = entry is focus
            name = self._name(entry) if is_focus or len(shown) <= MOST_NAMED_BOXES else ""
            parts.append(self._box(entry, crop, scale, name, is_focus))
        return element("svg", *parts, viewBox=f"0 0 {width} {height}", role="img", aria_label=alt)

    def _label(self, entry: Mapping[str, Any]) -> int:
        """The label of the class of an annotation or result."""
        return self.labels[entry["category_id"]]

    def _name(self, entry: Mapping[str, Any]) -> str:
        """The class of an annotation, or class and score of a result."""
        name = isolated(self.classes[self._label(entry)])
        if entry.get("iscrowd"):
            return f"{name} (crowd or difficult)"
        return f"{name} {entry['score']:.2f}" if "score" in entry else name

    def _draw_masks(
        self, pixels: np.ndarray, entries: Sequence[Mapping[str, Any]], crop: Crop
    ) -> np.ndarray:
        """Draw the masks of annotations or results on an enlarged crop, if they have any."""
        height, width = pixels.shape[:2]
        masks = _enlarged_masks(entries, crop, (width, height))
        if masks is None:
            return pixels
        detections = Detections(
            np.zeros((len(entries), 4), np.float32),  # the boxes are not drawn here
            np.ones(len(entries), np.float32),
            np.array([self._label(entry) for entry in entries], np.int32),
            masks,
        )
        return draw(pixels, detections, self.classes, boxes=False)

    def _box(
        self, entry: Mapping[str, Any], crop: Crop, scale: float, name: str, is_focus: bool
    ) -> Html:
        """Draw a box, and its name if it has one."""
        x, y, width, height = [scale * number for number in entry["bbox"]]
        left = x - scale * crop.left
        top = y - scale * crop.top
        color = self.colors[self._label(entry)]
        outline = element(
            "rect",
            element("title", self._name(entry)),
            x=round(left, 1),
            y=round(top, 1),
            width=round(width, 1),
            height=round(height, 1),
            class_="focus" if is_focus else None,
            style=f"stroke:rgb{color}",
        )
        if not name:
            return outline
        # The name is above the box, or in it where the picture ends above.
        name_y = top - 5 if top > NAME_HEIGHT else max(top, 0) + NAME_HEIGHT
        if left > SIDE / 2:
            name_x, anchor = min(left + width, SIDE - 2), "end"
        else:
            name_x, anchor = max(left, 2), "start"
        text = element("text", name, x=round(name_x), y=round(name_y), text_anchor=anchor)
        return join([outline, text])


def _overlaps(crop: Crop, box: Sequence[float]) -> bool:
    """Tell whether a part of a box is inside a crop."""
    x, y, width, height = box
    is_beside = x + width <= crop.left or x >= crop.left + crop.side
    return not (is_beside or y + height <= crop.top or y >= crop.top + crop.side)


def _enlarged_masks(
    entries: Sequence[Mapping[str, Any]], crop: Crop, size: Tuple[int, int]
) -> Optional[np.ndarray]:
    """Decode the masks inside a crop, in a picture of a width and height; None without masks."""
    if not entries or "segmentation" not in entries[0]:
        return None
    width, height = size
    masks = np.zeros((len(entries), height, width), bool)
    for number, entry in enumerate(entries):
        mask = np.ascontiguousarray(run_length_codec.decode(entry["segmentation"])[crop.region])
        masks[number] = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)
    return masks


def jpeg_uri(picture: np.ndarray) -> str:
    """Write a picture as an address that holds it.

    Parameters
    ----------
    picture : numpy.ndarray
        (H, W, 3) uint8 RGB.

    Returns
    -------
    str
        A data URI.
    """
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, format="JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


class PhotoShelf:
    """The photos of a data set by their ids; the last one is kept.

    Parameters
    ----------
    dataset : Dataset
        The data set, whose classes are those of the results.
    ground_truth : mapping
        What its ``coco_truth`` returns.
    """

    def __init__(self, dataset: Dataset, ground_truth: Mapping[str, Any]) -> None:
        self._dataset = dataset
        self._labels = {number: label for label, number in enumerate(dataset.category_ids)}
        self._positions: Dict[int, int] = {}
        self._names: Dict[int, str] = {}
        for position, image in enumerate(ground_truth["images"]):
            self._positions[image["id"]] = position
            self._names[image["id"]] = image.get("file_name", f"image {image['id']}")
        self._last: Optional[Tuple[int, Photo]] = None

    def name(self, image_id: int) -> str:
        """Return the file name of a photo."""
        return self._names[image_id]

    def class_name(self, category_id: int) -> str:
        """Return the name of a class, as a part of a text."""
        return isolated(self._dataset.classes[self._labels[category_id]])

    def photo(self, image_id: int) -> Photo:
        """Read a photo.

        Parameters
        ----------
        image_id : int
            Its id.

        Returns
        -------
        Photo
            The photo.

        Raises
        ------
        DataError
            It cannot be read.
        """
        if self._last is None or self._last[0] != image_id:
            labeled = self._dataset[self._positions[image_id]]
            self._last = image_id, Photo(labeled, self._dataset.classes, self._labels)
        return self._last[1]
