"""Data sets in Pascal VOC's format: a folder of XML files, a folder of images, lists of names."""

import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Union

from gluonnorm.data.class_labels import ClassLabels
from gluonnorm.data.faults import Faults
from gluonnorm.data.file_dataset import AnnotatedFile, FileDataset
from gluonnorm.data.images import image_size
from gluonnorm.data.labeled_image import DataError
from gluonnorm.data.object_rows import ObjectRows
from gluonnorm.data.text_files import read_lines
from gluonnorm.data.voc_folder import (
    Split,
    VOCSource,
    files_of_line,
    image_of_xml,
    open_split,
    single_splits,
    stated_image,
)
from gluonnorm.data.voc_xml import VOCFile, read_voc_file
from gluonnorm.errors import first_few
from gluonnorm.types import PathLike


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
        sources = [open_split(root, single) for single in single_splits(split)]
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
        super().__init__(root, labels.classes, files, faults, misnamed_classes=labels.misnamed())
        labels.require_use()


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

    def collect_classes(self, root: str, sources: Sequence[VOCSource]) -> List[str]:
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


def _entries(source: VOCSource, xml_files: _XMLFiles, faults: Faults) -> List[_Entry]:
    """List the images of a split, and record those that lack a file."""
    entries = []
    if source.list_path is None:
        for name in source.xml_files.names:
            with faults.catch():
                content = xml_files.read(source.xml_files.path(name))
                if content is not None:
                    image = image_of_xml(source.images, name, content)
                    entries.append(_Entry(image, content, content.path))
        return entries
    lines = read_lines(source.list_path)
    if not lines:
        raise DataError(f"{source.list_path}: is an empty data set: it lists no images")
    for line in lines:
        listed_in = f"{source.list_path}: line {line.number}"
        with faults.catch():
            image, xml = files_of_line(source, line.text, listed_in)
            image_path = source.images.path(image)
            content = xml_files.read_for(source.xml_files.path(xml), image_path)
            if content is not None:
                if os.path.splitext(image)[1] not in line.text:
                    image = stated_image(source.images, image, content)
                entries.append(_Entry(image, content, listed_in))
    return entries


def _annotated_file(
    source: VOCSource, entry: _Entry, labels: ClassLabels, one_based: bool, faults: Faults
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
