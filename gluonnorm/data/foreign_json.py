"""Recognize JSON files of annotation tools that no reader of this package reads."""

from itertools import islice
from typing import Any, FrozenSet, NamedTuple, Optional, Set

FIRST_KEYS = 50  # of an object that are looked at; a file may have a key for each image
DEPTH = 2  # objects inside objects that are looked at

VIA_EXPORT = "in VIA choose Annotation, Export Annotations (COCO format), and give that file"
COCO_EXPORT = "export it as COCO there, and give that file"
LABELME_FOLDER = "give --dataset labelme and its folder (LabelmeDataset)"


class ForeignJson(NamedTuple):
    """A kind of JSON file.

    Attributes
    ----------
    names : frozenset of str
        What its files have, as ``_names`` writes it.
    description : str
        What the file is.
    way_out : str
        What to do.
    """

    names: FrozenSet[str]
    description: str
    way_out: str


def _kind(names: str, description: str, way_out: str) -> ForeignJson:
    """Make an entry of the table below from names with spaces between them."""
    return ForeignJson(frozenset(names.split()), description, way_out)


# The first entry of which a file has all names is taken. ``[]`` is the first entry of a list, and
# ``*`` the first value of an object with any keys.
FOREIGN_FILES = (
    _kind("._via_img_metadata", "a project of VIA", VIA_EXPORT),
    _kind(".*.regions .*.filename", "a file of VIA", VIA_EXPORT),
    _kind(".project .metadata .view", "a project of VIA 3", VIA_EXPORT),
    _kind("[].id [].data", "a file of Label Studio", COCO_EXPORT),
    _kind("[].annotation_id [].lead_time", "a file of Label Studio", COCO_EXPORT),
    _kind(".data .annotations[].result", "a file of Label Studio", COCO_EXPORT),
    _kind(".shapes .imagePath", "a file of Labelme", LABELME_FOLDER),
    _kind(".objects .size", "a file of Supervisely", COCO_EXPORT),
    _kind("[].annotations[].coordinates", "a file of CreateML", COCO_EXPORT),
    _kind("[].data_row", "a file of Labelbox", COCO_EXPORT),
    _kind("[].name [].labels", "a file of Scalabel (BDD100K)", COCO_EXPORT),
    _kind(".frames[].labels", "a file of Scalabel (BDD100K)", COCO_EXPORT),
    _kind(".items[].annotations .categories", "a file of Datumaro", COCO_EXPORT),
    _kind(".item .annotations .version", "a file of Darwin (V7)", COCO_EXPORT),
    _kind(
        "[].image_id [].category_id",
        "a list of detections, COCO's results",
        "give the annotation file that they were made for",
    ),
    _kind(
        ".images .annotations[].caption",
        "a file of COCO's captions",
        "give the instances_*.json of the same images",
    ),
    _kind(
        ".images[].file_name .annotations[].bbox .categories",
        "a COCO file",
        "give --dataset coco (COCODataset)",
    ),
)


def recognize_json(content: Any) -> Optional[ForeignJson]:
    """Find out which tool has written a file.

    Parameters
    ----------
    content : any
        The content of a JSON file.

    Returns
    -------
    ForeignJson or None
        What it is; None if that is not known.

    Examples
    --------
    >>> recognize_json([{"id": 1, "data": {"image": "a.jpg"}, "annotations": []}]).description
    'a file of Label Studio'
    """
    names = _names(content, "", DEPTH)
    for kind in FOREIGN_FILES:
        if kind.names <= names:
            return kind
    return None


def _names(value: Any, place: str, depth: int) -> Set[str]:
    """List the keys in the first entries of lists and objects, such as ``.images[].id``."""
    names: Set[str] = set()
    if isinstance(value, list):
        for entry in value[:1]:
            names |= _names(entry, f"{place}[]", depth)
    if isinstance(value, dict) and depth:
        for position, (key, member) in enumerate(islice(value.items(), FIRST_KEYS)):
            names.add(f"{place}.{key}")
            names |= _names(member, f"{place}.{key}", depth - 1)
            if position == 0:
                names |= _names(member, f"{place}.*", depth - 1)
    return names
