"""Data sets in Pascal VOC's format: a folder of XML files, a folder of images, lists of names."""

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from gluonnorm.data.class_labels import ClassLabels
from gluonnorm.data.faults import Faults
from gluonnorm.data.file_dataset import ALL_FILES, AnnotatedFile, FileDataset
from gluonnorm.data.file_index import FileIndex
from gluonnorm.data.images import image_size
from gluonnorm.data.labeled_image import DataError
from gluonnorm.data.object_rows import ObjectRows
from gluonnorm.data.text_files import read_lines
from gluonnorm.data.voc_xml import VOCFile, read_voc_file
from gluonnorm.errors import did_you_mean, first_few
from gluonnorm.types import PathLike

Split = Union[str, Tuple[Union[int, str], str]]

XML_ENDINGS = (".xml",)
ANNOTATION_FOLDERS = ("annotations",)
IMAGE_FOLDERS = ("jpegimages", "images")
# Where the lists are: the official place, and two where tools put them.
LIST_FOLDERS = (os.path.join("ImageSets", "Main"), "ImageSets", "")
YEAR_SPLIT = re.compile(r"(\d{4})_(.+)")
# The second column in the list of one class, such as cat_train.txt: has it, unclear, has it not.
LIST_FLAG = re.compile(r"(.*\S)\s+(?:-1|0|1)")
# PaddleDetection's lists name the image and its XML file.
IMAGE_AND_XML = re.compile(r"(.*\S)\s+(\S+\.xml)", re.IGNORECASE)


class VOCDataset(FileDataset):
    """Images and boxes of a Pascal VOC folder with any classes.

    The images are in ``JPEGImages`` or ``images``, the XML files in ``Annotations``; without these
    folders both are side by side, as labelImg saves them. Class names are matched by exact case.
    Objects marked ``difficult`` are flagged as crowd, and boxes without an area are dropped. The
    constructor reads every annotation of the split and looks for every image, so that all faults
    show before training starts.

    Parameters
    ----------
    root : str or path-like
        The folder of the data set.
    split : str, pair or sequence of them, optional
        Which images are used. A name such as "train" is the list ``ImageSets/Main/train.txt``, or a
        subfolder of ``root`` with images and XML files of its own. "2007_trainval", or the pair
        ``(2007, "trainval")``, is the list "trainval" of the folder ``VOC2007``; a pair of two
        names has any folder. A sequence joins several. None or "." takes every XML file of
        ``root``.
    classes : sequence of str, optional
        Names of the classes to use, in the order of the labels. Objects of other classes are left
        out. None collects the names from every XML file and sorts them, so that all splits agree.
    one_based : bool
        False uses coordinates as they are: x2 and y2 are the outer edges of the last pixels. True
        is for the official VOC files, whose pixels count from 1 and whose boxes include both
        corners: x1 and y1 are reduced by 1.
    skip_bad : bool
        False raises an error for all faults. True leaves out the images that have one, and lists
        the faults in ``skipped``.

    Attributes
    ----------
    classes : tuple of str
        Names of the C classes. A label is an index into this tuple.
    category_ids : tuple of int
        1..C, the category id of each class in ``coco_truth``.
    skipped : tuple of str
        The faults for which an image was left out.

    Raises
    ------
    DataError
        The split is missing or empty, an image is listed twice, no object is of the given classes;
        or, for single images, the image or its XML file is missing, the XML file is broken, an
        object lacks something or has a word that is not known, a class differs from one of
        ``classes`` in case or spaces alone, or a box is outside its image.

    Examples
    --------
    >>> dataset = VOCDataset("VOC2007", "trainval", one_based=True)  # doctest: +SKIP
    >>> image, boxes, labels, *_ = dataset[0]  # doctest: +SKIP
    >>> both = VOCDataset("VOCdevkit", ["2007_trainval", "2012_trainval"])  # doctest: +SKIP
    """

    def __init__(
        self,
        root: PathLike,
        split: Union[Split, Sequence[Split], None] = None,
        classes: Optional[Sequence[str]] = None,
        one_based: bool = False,
        skip_bad: bool = False,
    ) -> None:
        root = os.fspath(root)
        faults = Faults(root, skip_bad)
        sources = [_open_split(root, single) for single in _single_splits(split)]
        xml_files = _XMLFiles(faults)
        if classes is None:
            classes = xml_files.collect_classes(root, sources)
        labels = ClassLabels(classes, root)

        files: List[AnnotatedFile] = []
        for source in sources:
            for entry in _entries(source, xml_files, faults):
                file = _annotated_file(source, entry, labels, one_based, faults)
                if file is not None:
                    files.append(file)
        super().__init__(root, labels.classes, files, faults)
        labels.require_use()


class _Source(NamedTuple):
    """Where the images of one split are."""

    prefix: str  # of the images' names in messages
    images: FileIndex
    xml_files: FileIndex
    list_path: Optional[str]  # None: every XML file names an image
    class_files: FileIndex  # the XML files that classes are collected from


class _Entry(NamedTuple):
    """One image of a split, by its name in the index, with its XML file and what lists it."""

    image: str
    content: VOCFile
    listed_in: str


class _XMLFiles:
    """Read every XML file once, and record the faults of those that cannot be read."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._image_of: Dict[str, str] = {}
        self._contents: Dict[str, Optional[VOCFile]] = {}

    def read(self, path: str) -> Optional[VOCFile]:
        """Return the content of a file; None if it cannot be read."""
        if path not in self._contents:
            self._contents[path] = None
            with self._faults.catch():
                self._contents[path] = read_voc_file(path)
        return self._contents[path]

    def read_for(self, path: str, image_path: str) -> Optional[VOCFile]:
        """Return the content of the file that belongs to an image; it may belong to no other."""
        other = self._image_of.setdefault(path, image_path)
        if other != image_path:
            raise DataError(
                f"{path}: is the XML file of both {other} and {image_path}; give each its own"
            )
        return self.read(path)

    def collect_classes(self, root: str, sources: Sequence[_Source]) -> List[str]:
        """Collect the class names in all XML files, sorted."""
        names: Set[str] = set()
        for source in sources:
            for name in source.class_files.names:
                content = self.read(source.class_files.path(name))
                if content is not None:
                    names.update(content.names)
        if names:
            return sorted(names)
        for content in filter(None, self._contents.values()):
            for message in content.faults:
                self._faults.add(message)
        self._faults.raise_if_any()
        folders = [source.class_files for source in sources]
        counts = [f"{len(files.names)} XML files in {files.folder}" for files in folders]
        raise DataError(
            f"{root}: no classes: read {first_few(counts)}, and none has an object; if this is the "
            "data set's folder, give the names as classes="
        )


def _single_splits(split: Union[Split, Sequence[Split], None]) -> List[Split]:
    """List the single splits."""
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


def _open_split(root: str, split: Split) -> _Source:
    """Find the folders and the list of one split."""
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


def _open_list(root: str, prefix: str, list_name: str) -> _Source:
    """Open a folder of the data set with one of its lists."""
    list_path = _list_path(os.path.join(root, prefix), list_name)
    if list_path is None:
        raise _no_such_split(os.path.join(root, prefix), list_name)
    return _open_folder(root, prefix)._replace(list_path=list_path)


def _open_folder(root: str, prefix: str) -> _Source:
    """Find the images and the XML files in a folder of the data set."""
    folder = os.path.join(root, prefix)
    subfolders = {name.lower(): name for name in _list_folder(folder)}
    xml_files = FileIndex(_first_folder(folder, subfolders, ANNOTATION_FOLDERS), XML_ENDINGS)
    return _Source(
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
        path = os.path.join(folder, list_folder, list_name + ".txt")
        if os.path.isfile(path):
            return path
    return None


def _no_such_split(folder: str, split: str) -> DataError:
    """Make the error for a split that is neither a list nor a folder."""
    names = _list_folder(folder)
    lists = os.path.join(folder, LIST_FOLDERS[0])
    known = []
    if os.path.isdir(lists):
        known = [os.path.splitext(name)[0] for name in _list_folder(lists) if name[0] != "."]
    parts = [name for name in names if os.path.isdir(os.path.join(folder, name))]
    xml_count = len(FileIndex(folder, XML_ENDINGS).names)
    return DataError(
        f"{folder}: no split {split!r}: neither {os.path.join(*LIST_FOLDERS[:1], split)}.txt nor "
        f"a folder {split}; lists there: {first_few(known)}; folders: {first_few(parts)}; without "
        f"lists, the split {ALL_FILES!r} takes all {xml_count} XML files"
        f"{did_you_mean(split, known + parts)}"
    )


def _entries(source: _Source, xml_files: _XMLFiles, faults: Faults) -> List[_Entry]:
    """List the images of a split, and record those that lack a file."""
    entries = []
    if source.list_path is None:
        for name in source.xml_files.names:
            with faults.catch():
                content = xml_files.read(source.xml_files.path(name))
                if content is not None:
                    image = _image_of_xml(source.images, name, content)
                    entries.append(_Entry(image, content, content.path))
        return entries
    lines = read_lines(source.list_path)
    if not lines:
        raise DataError(f"{source.list_path}: is an empty data set: it lists no images")
    for line in lines:
        listed_in = f"{source.list_path}: line {line.number}"
        with faults.catch():
            image, xml = _files_of_line(source, line.text, listed_in)
            image_path = source.images.path(image)
            content = xml_files.read_for(source.xml_files.path(xml), image_path)
            if content is not None:
                if os.path.splitext(image)[1] not in line.text:
                    image = _stated_image(source.images, image, content)
                entries.append(_Entry(image, content, listed_in))
    return entries


def _image_of_xml(images: FileIndex, name: str, content: VOCFile) -> str:
    """Find the image of an XML file, by the file's own name or by what it states."""
    stem = os.path.splitext(name)[0]
    image = images.find(stem)
    if image is None and content.image_name:
        image = images.find(content.image_name)
    if image is None:
        raise DataError(
            f"{content.path}: has no image {stem} in {images.folder}, which holds "
            f"{len(images.names)} images; add it or remove the XML file"
        )
    return _stated_image(images, image, content)


def _stated_image(images: FileIndex, image: str, content: VOCFile) -> str:
    """Choose among images that differ in their endings, as a.jpg and a.png, by the XML file."""
    stem = os.path.splitext(image)[0]
    stated_stem, stated_ending = os.path.splitext(content.image_name)
    stated_name = stated_stem.replace("\\", "/").rpartition("/")[2]
    if stated_name != os.path.basename(stem):
        return image
    return images.find(stem + stated_ending) or image


def _files_of_line(source: _Source, text: str, where: str) -> Tuple[str, str]:
    """Find the image and the XML file that a line of a list names."""
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


def _annotated_file(
    source: _Source, entry: _Entry, labels: ClassLabels, one_based: bool, faults: Faults
) -> Optional[AnnotatedFile]:
    """Check the objects of one image; None if there is a fault."""
    content = entry.content
    rows = ObjectRows(f"{content.path}: object")
    for message in content.faults:
        rows.add_fault(message)
    for item in content.objects:
        with rows.catch():
            where = f"{content.path}: object {item.number}"
            label = labels.find(item.name, where)
            if label is not None:
                x1, y1, x2, y2 = item.box
                if one_based:
                    _require_one_based(x1, y1, where)
                box = [x1 - one_based, y1 - one_based, x2, y2]
                rows.add(item.number, box, label, item.difficult)

    path = source.images.path(entry.image)
    with faults.catch():
        size = content.size or image_size(path)
        annotations = rows.check(size, faults)
        if annotations is not None:
            return AnnotatedFile(
                path=path,
                name=os.path.join(source.prefix, entry.image),
                size=size,
                annotations=annotations,
                listed_in=entry.listed_in,
                size_source=content.path,
            )
    return None


def _require_one_based(x1: float, y1: float, where: str) -> None:
    """Raise a DataError for a corner that is only possible where pixels count from 0."""
    if 0 <= x1 < 1 or 0 <= y1 < 1:
        raise DataError(
            f"{where} has xmin {x1:g} and ymin {y1:g}, which are below 1, so the pixels of this "
            "file count from 0; leave out one_based (--one-based)"
        )
