"""Find the images and XML files of a VOC split: its folders, its list, and what a line names."""

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from gluonnorm.data.file_dataset import ALL_FILES
from gluonnorm.data.file_index import FileIndex
from gluonnorm.data.labeled_image import DataError, MissingSplitError
from gluonnorm.data.text_files import read_lines
from gluonnorm.data.voc_xml import VOCFile
from gluonnorm.errors import did_you_mean, first_few

Split = Union[str, Tuple[Union[int, str], str]]

XML_ENDINGS = (".xml",)
ANNOTATION_FOLDERS = ("annotations",)
IMAGE_FOLDERS = ("jpegimages", "images")
# Where the lists are: the official place, and two where tools put them.
LIST_FOLDERS = (os.path.join("ImageSets", "Main"), "ImageSets", "")
LIST_ENDING = ".txt"
YEAR_SPLIT = re.compile(r"(\d{4})_(.+)")
# The second column in the list of one class, such as cat_train.txt: has it, unclear, has it not.
LIST_FLAG = re.compile(r"(.*\S)\s+(?:-1|0|1)")
# PaddleDetection's lists name the image and its XML file.
IMAGE_AND_XML = re.compile(r"(.*\S)\s+(\S+\.xml)", re.IGNORECASE)


class VOCSource(NamedTuple):
    """Where the images of one split are.

    Attributes
    ----------
    prefix : str
        What the images' names in messages begin with.
    images : FileIndex
        The images.
    xml_files : FileIndex
        The XML files.
    list_path : str or None
        The list of the split; None if every XML file names an image.
    class_files : FileIndex
        The XML files that classes are collected from.
    """

    prefix: str
    images: FileIndex
    xml_files: FileIndex
    list_path: Optional[str]
    class_files: FileIndex


def single_splits(split: Union[Split, Sequence[Split], None]) -> List[Split]:
    """List the single splits.

    Parameters
    ----------
    split : str, pair or sequence of them, or None
        What the caller of ``VOCDataset`` gave.

    Returns
    -------
    list of str or pair
        At least one split.

    Raises
    ------
    DataError
        The value is of another kind, or an empty sequence.
    """
    if split is None:
        return [ALL_FILES]
    if isinstance(split, str):
        return [split]
    if isinstance(split, int):
        raise DataError(f"split {split}: want a name, or a pair such as ({split}, 'trainval')")
    parts: List[Any] = list(split)
    # GluonCV writes a single year as (2007, "trainval") too.
    if parts and isinstance(parts[0], int):
        parts = [parts]
    for part in parts:
        is_pair = isinstance(part, (tuple, list)) and len(part) == 2
        if not isinstance(part, str) and not is_pair:
            raise DataError(f"split {part!r}: want a name, or a pair such as (2007, 'trainval')")
    if not parts:
        raise DataError("no split is named; want at least one")
    return parts


def open_split(root: str, split: Split) -> VOCSource:
    """Find the folders and the list of one split.

    Parameters
    ----------
    root : str
        The folder of the data set.
    split : str or pair
        The split.

    Returns
    -------
    VOCSource
        Where its files are.

    Raises
    ------
    DataError
        There is no such split, or a folder cannot be listed.
    """
    if not isinstance(split, str):
        folder, list_name = split
        prefix = f"VOC{folder}" if isinstance(folder, int) else folder
        return _open_list(root, prefix, list_name)
    if _list_path(root, split) is not None:
        return _open_list(root, "", split)
    year_split = YEAR_SPLIT.fullmatch(split)
    if year_split is not None:
        year, list_name = year_split.groups()
        if os.path.isdir(os.path.join(root, f"VOC{year}")):
            return _open_list(root, f"VOC{year}", list_name)
    if os.path.isdir(os.path.join(root, split)):
        prefix = "" if split == ALL_FILES else split
        source = _open_folder(root, prefix)
        # All splits of the data set have the same classes.
        return source._replace(class_files=FileIndex(root, XML_ENDINGS)) if prefix else source
    raise _no_such_split(root, split)


def files_of_line(source: VOCSource, text: str, where: str) -> Tuple[str, str]:
    """Find the image and the XML file that a line of a list names.

    Parameters
    ----------
    source : VOCSource
        The split.
    text : str
        The line, in any of the forms that tools write.
    where : str
        The list and the number of the line. A message begins with it.

    Returns
    -------
    image : str
        The name of the image in ``source.images``.
    xml : str
        The name of the XML file in ``source.xml_files``.

    Raises
    ------
    DataError
        One of the two files does not exist.
    """
    images = source.images
    image = images.find(text)
    xml_reference = None
    with_xml = IMAGE_AND_XML.fullmatch(text)
    flagged = LIST_FLAG.fullmatch(text)
    if image is None and with_xml is not None:
        image = images.find(with_xml.group(1))
        xml_reference = with_xml.group(2)
    elif image is None and flagged is not None:
        image = images.find(flagged.group(1))
    if image is None:
        raise DataError(
            f"{where}: no such image file {text!r} in {images.folder}, which holds "
            f"{len(images.names)} images; add it or remove the line"
        )
    xml = source.xml_files.find(xml_reference or os.path.splitext(image)[0])
    if xml is None:
        raise DataError(
            f"{where}: image {image} has no XML file in {source.xml_files.folder}, which holds "
            f"{len(source.xml_files.names)}; add it or remove the line"
        )
    return image, xml


def image_of_xml(images: FileIndex, name: str, content: VOCFile) -> str:
    """Find the image of an XML file, by the file's own name or by what it states.

    Parameters
    ----------
    images : FileIndex
        The images of the split.
    name : str
        The name of the XML file in its index.
    content : VOCFile
        The content of the XML file.

    Returns
    -------
    str
        The name of the image in ``images``.

    Raises
    ------
    DataError
        There is no such image.
    """
    stem = os.path.splitext(name)[0]
    image = images.find(stem)
    if image is None and content.image_name:
        image = images.find(content.image_name)
    if image is None:
        raise DataError(
            f"{content.path}: has no image {stem} in {images.folder}, which holds "
            f"{len(images.names)} images; add it or remove the XML file"
        )
    return stated_image(images, image, content)


def stated_image(images: FileIndex, image: str, content: VOCFile) -> str:
    """Choose among images that differ in their endings, as a.jpg and a.png, by the XML file.

    Parameters
    ----------
    images : FileIndex
        The images of the split.
    image : str
        The name of one of them.
    content : VOCFile
        The content of its XML file.

    Returns
    -------
    str
        The image with the ending that the file states, if there is one.
    """
    stem = os.path.splitext(image)[0]
    stated_stem, stated_ending = os.path.splitext(content.image_name)
    stated_name = stated_stem.replace("\\", "/").rpartition("/")[2]
    if stated_name != os.path.basename(stem):
        return image
    return images.find(stem + stated_ending) or image


def _open_list(root: str, prefix: str, list_name: str) -> VOCSource:
    """Open a folder of the data set with one of its lists."""
    list_path = _list_path(os.path.join(root, prefix), list_name)
    if list_path is None:
        raise _no_such_split(os.path.join(root, prefix), list_name)
    return _open_folder(root, prefix)._replace(list_path=list_path)


def _open_folder(root: str, prefix: str) -> VOCSource:
    """Find the images and the XML files in a folder of the data set."""
    folder = os.path.join(root, prefix)
    subfolders = {name.lower(): name for name in _list_folder(folder)}
    xml_files = FileIndex(_first_folder(folder, subfolders, ANNOTATION_FOLDERS), XML_ENDINGS)
    return VOCSource(
        prefix=prefix,
        images=FileIndex(_first_folder(folder, subfolders, IMAGE_FOLDERS)),
        xml_files=xml_files,
        list_path=None,
        class_files=xml_files,
    )


def _first_folder(folder: str, subfolders: Dict[str, str], names: Sequence[str]) -> str:
    """Return the first subfolder with one of the names, or the folder itself."""
    for name in names:
        path = os.path.join(folder, subfolders.get(name, name))
        if os.path.isdir(path):
            return path
    return folder


def _list_folder(folder: str) -> List[str]:
    """List the names in a folder, sorted."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be read: {error.strerror}; a VOC folder holds Annotations, "
            "JPEGImages and ImageSets/Main"
        ) from error


def _list_path(folder: str, list_name: str) -> Optional[str]:
    """Return the path of a list, or None if there is none of this name."""
    for list_folder in LIST_FOLDERS:
        path = os.path.join(folder, list_folder, list_name + LIST_ENDING)
        if os.path.isfile(path):
            return path
    return None


def _no_such_split(folder: str, split: str) -> MissingSplitError:
    """Make the error for a split that is neither a list nor a folder."""
    names = _list_folder(folder)
    lists = _names_of_lists(folder)
    parts = [name for name in names if os.path.isdir(os.path.join(folder, name))]
    xml_count = len(FileIndex(folder, XML_ENDINGS).names)
    places = ", ".join(place for place in LIST_FOLDERS if place)
    return MissingSplitError(
        f"{folder}: no split {split!r}: no list {split}.txt in {places} or the folder itself, and "
        f"no folder {split}; lists there: {first_few(lists)}; folders: {first_few(parts)}; the "
        f"split {ALL_FILES!r} takes all {xml_count} XML files{did_you_mean(split, lists + parts)}"
    )


def _names_of_lists(folder: str) -> List[str]:
    """Name the lists in a folder of the data set that may be a split."""
    source = _open_folder(folder, "")
    names: List[str] = []
    for list_folder in LIST_FOLDERS:
        path = os.path.join(folder, list_folder)
        for name in _list_folder(path) if os.path.isdir(path) else []:
            stem, ending = os.path.splitext(name)
            if ending == LIST_ENDING and name[0] != ".":
                # Beside the images, a text file may as well be a note.
                if list_folder or _begins_with_image(source, os.path.join(path, name)):
                    names.append(stem)
    return list(dict.fromkeys(names))


def _begins_with_image(source: VOCSource, path: str) -> bool:
    """Tell whether the first line of a text file names an image."""
    try:
        files_of_line(source, read_lines(path)[0].text, path)
    except (DataError, IndexError):
        return False
    return True
