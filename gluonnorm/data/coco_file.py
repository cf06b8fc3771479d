"""Read the entries of a COCO annotation file: its three lists, categories, images, annotations."""

import math
from collections import Counter
from typing import (
    Any,
    Container,
    Dict,
    FrozenSet,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from gluonnorm.class_names import check_class_names, composed
from gluonnorm.data.faults import Faults
from gluonnorm.data.foreign_json import recognize_json
from gluonnorm.data.json_file import (
    read_json,
    required,
    required_integer,
    required_text,
    shorten,
    to_float,
    to_integer,
)
from gluonnorm.data.labeled_image import DataError
from gluonnorm.errors import did_you_mean, first_few
from gluonnorm.types import PathLike

LISTS = ("images", "annotations", "categories")
SHOWN_NAMES = 10  # categories that an error message lists
MAX_PIXELS = 2**28  # of an image; Pillow refuses to decode a larger one
CROWD_FLAGS = {"0": False, "1": True}  # some exporters write the flag as a text
GROUPING_ID = 0  # the id that Roboflow gives to the name of the whole data set


class Categories(NamedTuple):
    """The categories of a file.

    Attributes
    ----------
    names : dict of int to str
        The name of each category id, sorted by id. Names may be repeated.
    groupings : frozenset of int
        The ids of categories that only group others. Roboflow puts a category in front that is the
        name of all others together, and has no annotations. It would be a class that nothing
        belongs to.
    """

    names: Dict[int, str]
    groupings: FrozenSet[int]


class Annotation(NamedTuple):
    """One entry of the file's list ``annotations``.

    Attributes
    ----------
    position : int
        Place of the entry in the list.
    name : object
        The entry's id, or its place in the list if it has none, for messages.
    image_id : int
        The image it belongs to.
    category_id : int
        The category it belongs to.
    box : list of float
        ``x1 y1 x2 y2`` in pixels; not checked against the image.
    area : float
        The area in square pixels that the evaluation sorts by size.
    crowd : bool
        Whether the entry stands for many objects.
    segmentation : any
        The mask as the file has it; None if it has none.
    """

    position: int
    name: object
    image_id: int
    category_id: int
    box: List[float]
    area: float
    crowd: bool
    segmentation: Any


def read_coco_file(path: PathLike) -> Dict[str, Any]:
    """Read a COCO annotation file, and check that it has COCO's three lists.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    dict
        The content of the file.

    Raises
    ------
    DataError
        The file cannot be read, is one of another tool, a list is missing, or it lists no images.
    """
    content = read_json(path)
    is_object = isinstance(content, dict)
    missing = [key for key in LISTS if not (is_object and isinstance(content.get(key), list))]
    if missing:
        foreign = recognize_json(content)
        if foreign is not None:
            raise DataError(
                f"{path}: is {foreign.description}, no COCO annotation file; {foreign.way_out}"
            )
        if not is_object:
            raise DataError(
                f"{path}: is not valid JSON of a data set: its content is {shorten(content)}; want "
                "an object, {...}"
            )
        raise DataError(
            f"{path}: has no list {missing[0]!r}; a COCO annotation file has images, annotations, "
            "categories"
        )
    if not content["images"]:
        raise DataError(f"{path}: is an empty data set: it lists no images")
    return content


def read_categories(content: Dict[str, Any], path: PathLike) -> Categories:
    """Read the file's list ``categories``.

    Parameters
    ----------
    content : dict
        What ``read_coco_file`` returns.
    path : str or path-like
        The file, for messages.

    Returns
    -------
    Categories
        The names, and which of them only group others.

    Raises
    ------
    DataError
        A category lacks its id or name, or has the id of another one.
    """
    faults = Faults(path)
    names: Dict[int, str] = {}
    parents: Dict[int, Any] = {}
    for position, entry in enumerate(content["categories"]):
        where = f"{path}: category {position}"
        with faults.catch():
            number = required_integer(entry, "id", where)
            if number in names:
                raise DataError(
                    f"{where} has the id {number} of another category; every category needs an id "
                    "of its own"
                )
            names[number] = _category_name(entry, where)
            parents[number] = entry.get("supercategory")
    faults.raise_if_any()
    used = {stated_category(entry) for entry in content["annotations"]}
    groupings = _grouping_categories(names, parents, used)
    return Categories({number: names[number] for number in sorted(names)}, groupings)


def select_categories(
    categories: Categories, classes: Optional[Sequence[str]], path: PathLike
) -> Dict[int, str]:
    """Choose the categories of a data set.

    Parameters
    ----------
    categories : Categories
        The categories of the file.
    classes : sequence of str or None
        The names to choose, in the order of the labels. None chooses all that do not only group
        others.
    path : str or path-like
        The file, for messages.

    Returns
    -------
    dict of int to str
        The name of each chosen category id, in the order of the labels.

    Raises
    ------
    DataError
        There is no category, a chosen name is repeated, or the file does not have it.
    """
    members = [item for item in categories.names.items() if item[0] not in categories.groupings]
    wanted = [name for _, name in members] if classes is None else classes
    names = check_class_names(wanted, path, DataError)
    counts = Counter(name for _, name in members)
    # Members come last, so that they replace a group of the same name.
    id_of = {name: number for number, name in [*categories.names.items(), *members]}
    for name in names:
        if counts[name] > 1:
            raise DataError(
                f"{path}: class {name!r} is listed more than once; every class needs a name of "
                "its own"
            )
        if name not in id_of:
            raise DataError(
                f"{path}: has no category {name!r}; it has {first_few(list(id_of), SHOWN_NAMES)}"
                f"{did_you_mean(name, id_of)}"
            )
    return {id_of[name]: name for name in names}


def read_annotation(entry: Any, position: int, path: PathLike) -> Annotation:
    """Read one entry of the file's list ``annotations``.

    Parameters
    ----------
    entry : any
        The entry.
    position : int
        Its place in the list.
    path : str or path-like
        The file, for messages.

    Returns
    -------
    Annotation
        The values of the entry. Absent values, and those that are null, have COCO's defaults: no
        crowd, and width times height as the area. So has an area that is not positive, which
        exporters write for one that they do not know.

    Raises
    ------
    DataError
        A value is missing or of another kind than COCO's.
    """
    name = annotation_name(entry, position)
    where = f"{path}: annotation {name}"
    category_id = required_integer(entry, "category_id", where)
    image_id = required_integer(entry, "image_id", where)
    x, y, width, height = _box(entry, where)
    stated_area = _area(entry, where)
    return Annotation(
        position=position,
        name=name,
        image_id=image_id,
        category_id=category_id,
        box=[x, y, x + width, y + height],
        area=stated_area if stated_area > 0 else width * height,
        crowd=_crowd(entry, where),
        segmentation=entry.get("segmentation"),
    )


def stated_category(entry: Any) -> Optional[int]:
    """Return the category of an annotation, without a check of anything else.

    Parameters
    ----------
    entry : any
        An entry of the file's list ``annotations``.

    Returns
    -------
    int or None
        The category id; None if the entry has none.
    """
    return to_integer(entry.get("category_id")) if isinstance(entry, dict) else None


def stated_size(entry: Dict[str, Any], where: str) -> Optional[Tuple[int, int]]:
    """Return the size that the file states for an image.

    Parameters
    ----------
    entry : dict
        An entry of the file's list ``images``.
    where : str
        The file and the place of the entry. The message begins with it.

    Returns
    -------
    tuple of int or None
        Height and width in pixels; None if the file has none, or none that is positive.

    Raises
    ------
    DataError
        The size is larger than that of any image that can be read.
    """
    height = to_integer(entry.get("height"))
    width = to_integer(entry.get("width"))
    if height is None or width is None or height <= 0 or width <= 0:
        return None
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{where} has a width of {width} and a height of {height}; want at most {MAX_PIXELS} "
            "pixels; correct it, or leave it out to take the image's own"
        )
    return height, width


def annotation_name(entry: Any, position: int) -> object:
    """Name an annotation for messages: its id, or its place in the list if it has none.

    Parameters
    ----------
    entry : any
        An entry of the file's list ``annotations``.
    position : int
        Its place in the list.

    Returns
    -------
    object
        A number or text.
    """
    annotation_id = entry.get("id") if isinstance(entry, dict) else None
    is_name = isinstance(annotation_id, (int, float, str))
    return annotation_id if is_name and len(str(annotation_id)) < 60 else f"number {position}"


def usable_ids(ids: Sequence[Any]) -> bool:
    """Tell whether pycocotools can use the annotation ids of a file.

    It uses the id 0 for "not matched", so a detection of annotation 0 would count as wrong.

    Parameters
    ----------
    ids : sequence
        The values of ``id``, in any form.

    Returns
    -------
    bool
        Whether they are distinct integers of at least 1.
    """
    numbers = [value for value in ids if isinstance(value, int) and not isinstance(value, bool)]
    if len(numbers) < len(ids) or len(set(numbers)) < len(numbers):
        return False
    return min(numbers, default=1) >= 1


def _category_name(entry: Dict[str, Any], where: str) -> str:
    """Return the name of a category; a number counts as a name."""
    number = to_float(required(entry, "name", where))
    if number is not None:
        return str(entry["name"])
    return composed(required_text(entry, "name", where))


def _grouping_categories(
    names: Dict[int, str], parents: Dict[int, Any], used: Container[Optional[int]]
) -> FrozenSet[int]:
    """Find the categories that only group others: no annotation has them."""
    groupings = set()
    for number, name in names.items():
        other_parents = [parent for other, parent in parents.items() if other != number]
        is_parent = name in other_parents
        # Some exporters do not name the group in its members.
        is_root = number == GROUPING_ID and parents[number] == "none"
        is_only_root = is_root and bool(other_parents) and "none" not in other_parents
        if number not in used and (is_parent or is_only_root):
            groupings.add(number)
    return frozenset(groupings)


def _box(entry: Dict[str, Any], where: str) -> List[float]:
    """Return ``x y width height`` of an annotation; the numbers may be NaN or infinite."""
    values = required(entry, "bbox", where)
    numbers = [to_float(value) for value in values] if isinstance(values, list) else []
    box = [number for number in numbers if number is not None]
    if len(box) != 4 or len(numbers) != 4:
        raise DataError(
            f"{where} has bbox {shorten(values)}; want four numbers x, y, width, height"
        )
    return box


def _area(entry: Dict[str, Any], where: str) -> float:
    """Return the area that an annotation states; 0 if it states none."""
    value = entry.get("area")
    if value is None:
        return 0.0
    area = to_float(value)
    if area is None or not math.isfinite(area):
        raise DataError(
            f"{where} has area {shorten(value)}; want a number of square pixels, or nothing"
        )
    return area


def _crowd(entry: Dict[str, Any], where: str) -> bool:
    """Return the flag ``iscrowd`` of an annotation; False if it has none."""
    value = entry.get("iscrowd")
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    flag = CROWD_FLAGS.get(value) if isinstance(value, str) else None
    number = to_integer(value)
    if flag is None and number not in (0, 1):
        raise DataError(f"{where} has iscrowd {shorten(value)}; want 0 or 1")
    return bool(number) if flag is None else flag
