"""Find the images, label files and class names of a YOLO data set, in the folders of many tools."""

import os
import re
from itertools import product
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from gluonnorm.class_names import check_class_names
from gluonnorm.data.data_yaml import Value, read_data_yaml
from gluonnorm.data.faults import Faults
from gluonnorm.data.file_dataset import ALL_FILES
from gluonnorm.data.file_index import FileIndex, find_path, shortened_names
from gluonnorm.data.labeled_image import DataError, MissingSplitError
from gluonnorm.data.text_files import read_lines
from gluonnorm.data.yolo_labels import is_label_file
from gluonnorm.errors import did_you_mean, first_few

YAML_ENDINGS = (".yaml", ".yml")
LABEL_ENDINGS = (".txt",)
SPELLED_ENDINGS = (".txt", ".TXT")
CLASS_LISTS = ("classes.txt", "obj.names", "_darknet.labels")
# Where the images of a split are, if no data.yaml says so.
SPLIT_PLACES = ("images/{}", "{}/images", "{}", "{}.txt", "obj_{}_data")
IMAGE_FOLDER = re.compile(r"/(images)(?=/)", re.IGNORECASE)
LABEL_FOLDERS = {"Images": "Labels", "IMAGES": "LABELS"}  # others have "labels"
# The names of one split in different tools.
OTHER_NAMES = {
    "val": ("valid", "validation"),
    "valid": ("val", "validation"),
    "validation": ("val", "valid"),
}


class YOLOImage(NamedTuple):
    """One image of a split.

    Attributes
    ----------
    path : str
        The image file.
    listed_in : str
        The folder, or the list and its line, that the image is in.
    """

    path: str
    listed_in: str


class Description(NamedTuple):
    """What ``data.yaml`` says.

    Attributes
    ----------
    path : str
        The file; "" if there is none.
    values : dict
        The value of each key; empty if there is no file.
    """

    path: str
    values: Dict[str, Value]


def open_root(root: str) -> Tuple[str, Description]:
    """Return the folder of the data set, and what its ``data.yaml`` says.

    Parameters
    ----------
    root : str
        The folder, or the path of its ``data.yaml``.

    Returns
    -------
    folder : str
        The folder.
    description : Description
        The content of ``data.yaml``.

    Raises
    ------
    DataError
        The folder or the file cannot be read, several files describe the data set, or its rows are
        key points.
    """
    if os.path.isfile(root):
        description = Description(root, read_data_yaml(root))
        folder = os.path.dirname(root) or "."
    else:
        description = _find_description(root)
        folder = root
    if "kpt_shape" in description.values:
        raise DataError(
            f"{description.path}: the rows of this data set are key points (kpt_shape); boxes and "
            "polygons are read"
        )
    return folder, description


def _find_description(folder: str) -> Description:
    """Read the YAML file in a folder that describes a data set."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
    candidates = [name for name in names if name.lower().endswith(YAML_ENDINGS)]
    preferred = [name for name in candidates if os.path.splitext(name)[0] == "data"]
    described = []
    for name in preferred or candidates:
        path = os.path.join(folder, name)
        values = read_data_yaml(path)
        if "names" in values or "train" in values:
            described.append(Description(path, values))
    if len(described) > 1:
        paths = [description.path for description in described]
        raise DataError(
            f"{folder}: several files describe the data set, {first_few(paths)}; give the path of "
            "one in place of the folder"
        )
    return described[0] if described else Description("", {})


def class_names(
    folder: str, split: str, description: Description, classes: Optional[Sequence[str]]
) -> Sequence[str]:
    """Return the names of the classes 0, 1, 2, ..., and check that all files agree on them.

    Parameters
    ----------
    folder : str
        The folder of the data set.
    split : str
        The name of the split; labelImg writes ``classes.txt`` beside its label files.
    description : Description
        The content of ``data.yaml``.
    classes : sequence of str or None
        The names, if no file has them.

    Returns
    -------
    sequence of str
        The names.

    Raises
    ------
    DataError
        There are no names, files disagree, or numbers are left out.
    """
    named: Dict[str, Sequence[str]] = {}
    if "names" in description.values:
        named[description.path] = _names_of(description)
    # labelImg writes classes.txt beside the label files.
    for subfolder in ("", "labels", split, f"labels/{split}", f"{split}/labels"):
        for name in CLASS_LISTS:
            path = find_path(folder, os.path.normpath(os.path.join(subfolder, name)))
            if path is not None and os.path.isfile(path):
                named[os.path.normpath(path)] = [line.text for line in read_lines(path)]
    if not named:
        if classes is None:
            raise DataError(
                f"{folder}: no class names: there is no data.yaml with names, "
                f"{', '.join(CLASS_LISTS)}; give them as classes="
            )
        return list(classes)
    if len({tuple(names) for names in named.values()}) > 1:
        contents = [f"{path} has {first_few(names)}" for path, names in named.items()]
        raise DataError(
            f"{folder}: files disagree on the classes: {'; '.join(contents)}; correct one of them"
        )
    path, names = next(iter(named.items()))
    return check_class_names(names, path, DataError)


def _names_of(description: Description) -> List[str]:
    """Return the class names in ``data.yaml``, a list or a mapping from numbers."""
    path, values = description
    names = values["names"]
    if isinstance(names, str):
        raise DataError(f"{path}: names is {names[:40]!r}; want a list such as [cat, dog]")
    if isinstance(names, dict):
        numbers = [str(number) for number in range(len(names))]
        if sorted(names) != sorted(numbers):
            raise DataError(
                f"{path}: names has the numbers {first_few(list(names))}; want 0 to "
                f"{len(names) - 1}"
            )
        names = [names[number] for number in numbers]
    count = values.get("nc", str(len(names)))
    if count != str(len(names)):
        raise DataError(f"{path}: nc is {count}, but there are {len(names)} names; correct one")
    return names


def split_images(
    folder: str, description: Description, split: str, faults: Faults
) -> Tuple[List[YOLOImage], List[str]]:
    """List the images of a split.

    Parameters
    ----------
    folder : str
        The folder of the data set.
    description : Description
        The content of ``data.yaml``.
    split : str
        The name of the split, or ``ALL_FILES``.
    faults : Faults
        Gets the lines of lists whose image is missing.

    Returns
    -------
    images : list of YOLOImage
        The images.
    folders : list of str
        The folders all of whose images belong to the split.

    Raises
    ------
    DataError
        There is no such split, or it has no images.
    """
    sources = _split_sources(folder, description, split)
    images: List[YOLOImage] = []
    folders: List[str] = []
    for source in sources:
        if os.path.isdir(source):
            index = FileIndex(source)
            images += [YOLOImage(index.path(name), source) for name in index.names]
            folders.append(source)
        else:
            images += _listed_images(source, folder, faults)
    if not images:
        faults.raise_if_any()
        raise DataError(f"{first_few(sources)}: is an empty data set: there are no images")
    return images, folders


def _split_sources(folder: str, description: Description, split: str) -> List[str]:
    """Return the folders and lists that make up a split."""
    names = (split, *OTHER_NAMES.get(split, ()))
    if split == ALL_FILES:
        images = find_path(folder, "images")
        return [images if images is not None and os.path.isdir(images) else folder]
    for name in names:
        value = description.values.get(name)
        if value is not None:
            if isinstance(value, dict):
                raise DataError(f"{description.path}: {name} is no folder, list or several of them")
            values = [value] if isinstance(value, str) else value
            return [_resolve(single, folder, description) for single in values]
    places = [place.format(name) for name, place in product(names, SPLIT_PLACES)]
    for place in places:
        path = os.path.join(folder, place)
        if os.path.exists(path):
            return [path]
    for place in places:
        spelled = find_path(folder, place)
        if spelled is not None:
            return [spelled]
    known = [key for key in ("train", "val", "valid", "test") if key in description.values]
    raise MissingSplitError(
        f"{folder}: no split {split!r}: no such key in data.yaml, which has {first_few(known)}, "
        f"and no images/{split}, {split}/images, {split} or {split}.txt; the split {ALL_FILES!r} "
        f"takes all images{did_you_mean(split, known)}"
    )


def _resolve(value: str, folder: str, description: Description) -> str:
    """Find the folder or list that ``data.yaml`` names.

    Roboflow writes ``../train/images`` where ``train/images`` is meant, and other exporters write
    paths of their own machine. Leading folders are therefore left out until the rest exists, but
    never the name of the split in front of "images".
    """
    base = str(description.values.get("path", ""))
    tried = [os.path.join(folder, base, value), os.path.join(folder, value)]
    names = shortened_names(value)
    names = [name for name in names if name != "images" or name == names[0]]
    tried += [os.path.join(folder, name) for name in names]
    for path in tried:
        if os.path.exists(path):
            return os.path.normpath(path)
    for name in names:
        spelled = find_path(folder, name)
        if spelled is not None:
            return os.path.normpath(spelled)
    raise DataError(f"{description.path}: names {value!r}, but there is no {tried[0]}")


def _listed_images(list_path: str, folder: str, faults: Faults) -> List[YOLOImage]:
    """Find the images that a list names."""
    index = FileIndex(folder)
    images = []
    for line in read_lines(list_path):
        listed_in = f"{list_path}: line {line.number}"
        with faults.catch():
            name = index.find(line.text)
            if name is None:
                raise DataError(
                    f"{listed_in}: no such image file {line.text!r} in {folder}, which holds "
                    f"{len(index.names)} images; add it or remove the line"
                )
            images.append(YOLOImage(index.path(name), listed_in))
    return images


def _label_folder(image_folder: str) -> str:
    """Replace the last folder "images" of a path with "labels", both in any case."""
    path = os.path.join(".", image_folder, "")
    matches = list(IMAGE_FOLDER.finditer(path))
    if not matches:
        return image_folder
    before, after = path[: matches[-1].start()], path[matches[-1].end() + 1 :].rstrip("/")
    for name in (LABEL_FOLDERS.get(matches[-1].group(1), "labels"), "labels"):
        folder = f"{before}/{name}/{after}".rstrip("/")
        if os.path.isdir(folder):
            return folder
    return find_path(before or "/", f"labels/{after}".rstrip("/")) or folder


def label_path(image_path: str) -> str:
    """Return the path of an image's label file, which need not exist.

    Parameters
    ----------
    image_path : str
        The image file.

    Returns
    -------
    str
        ``labels/a.txt`` for ``images/a.jpg``; ``a.txt`` beside the image where only that exists.
        ``.TXT`` is read as well.
    """
    image_folder, name = os.path.split(image_path)
    stem = os.path.splitext(name)[0]
    folders = (_label_folder(image_folder), image_folder)
    paths = [os.path.join(folder, stem + end) for folder in folders for end in SPELLED_ENDINGS]
    for path in paths:
        if os.path.isfile(path):
            return path
    return paths[0]


def find_labels_without_image(
    image_folders: Iterable[str], label_paths: Iterable[str], faults: Faults
) -> None:
    """Record the label files whose image is missing.

    Parameters
    ----------
    image_folders : iterable of str
        The folders of the images.
    label_paths : iterable of str
        The label files of all images.
    faults : Faults
        Gets a message for each other label file.
    """
    used: Set[str] = set(label_paths)
    for image_folder in image_folders:
        label_folder = _label_folder(image_folder)
        if not os.path.isdir(label_folder):
            label_folder = image_folder
        index = FileIndex(label_folder, LABEL_ENDINGS)
        for name in index.names:
            path = index.path(name)
            if path in used or os.path.basename(name) in CLASS_LISTS:
                continue
            if is_label_file(path):
                faults.add(f"{path}: has no image in {image_folder}; add it or remove the file")
