"""Read the XML files of Pascal VOC's format, as its many writers spell them."""

import os
import re
import xml.etree.ElementTree as ElementTree
from typing import Any, List, NamedTuple, Optional, Tuple
from xml.parsers import expat

from gluonnorm.class_names import composed
from gluonnorm.data.labeled_image import DataError
from gluonnorm.types import PathLike

DIFFICULT_WORDS = ("1", "true", "yes")
# labelImg and its relatives write "Unspecified" for what nobody has set.
NOT_DIFFICULT_WORDS = ("", "0", "false", "no", "none", "null", "unspecified")
# VOC's own largest file has 17 kB. A thousand objects take 300 kB.
LARGEST_FILE = 32 * 2**20
DEEPEST_ELEMENT = 50
# The encodings that the XML parser knows by itself. Python decodes all others.
XML_ENCODINGS = ("utf-8", "utf-16", "iso-8859-1", "us-ascii")
DECLARED_ENCODING = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"']([\w.:-]+)")


class VOCObject(NamedTuple):
    """One object of an XML file.

    Attributes
    ----------
    number : int
        The object's place in the file, from 1.
    name : str
        The name of its class.
    box : tuple of float
        xmin, ymin, xmax and ymax as the file has them.
    difficult : bool
        Whether it is marked ``difficult``.
    """

    number: int
    name: str
    box: Tuple[float, ...]
    difficult: bool


class VOCFile(NamedTuple):
    """The content of an XML file.

    Attributes
    ----------
    path : str
        The file.
    image_name : str
        What the file states in ``<filename>``; "" if it has none.
    size : tuple of int or None
        Height and width that the file states; None if it states none, or zeros.
    names : list of str
        The class of every object that has one.
    objects : list of VOCObject
        The objects.
    faults : list of str
        A message for each object that cannot be read, and for a faulty size.
    """

    path: str
    image_name: str
    size: Optional[Tuple[int, int]]
    names: List[str]
    objects: List[VOCObject]
    faults: List[str]


def read_voc_file(path: PathLike) -> VOCFile:
    """Read an XML file. Names of tags may have a namespace and any case.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    VOCFile
        Its content. What is wrong with single objects is in ``faults``.

    Raises
    ------
    DataError
        The file is missing, broken or too large, declares entities, or is XML of another kind.
    """
    path = os.fspath(path)
    root = _parse_xml(path)
    # Some tools wrap the objects once more, so they may be at any depth.
    items = list(root.iter("object"))
    if root.tag != "annotation" and not items:
        raise DataError(
            f"{path}: is no VOC file: it begins with <{root.tag}> and has no <object>; want "
            "<annotation>"
        )
    objects: List[VOCObject] = []
    faults: List[str] = []
    size = None
    try:
        size = _stated_size(root, path)
    except DataError as error:
        faults.append(str(error))
    for number, item in enumerate(items, start=1):
        try:
            objects.append(_read_object(item, number, f"{path}: object {number}"))
        except DataError as error:
            faults.append(str(error))
    names = [_text(item, "name") for item in items]
    return VOCFile(
        path=path,
        image_name=_text(root, "filename"),
        size=size,
        names=[composed(name) for name in names if name],
        objects=objects,
        faults=faults,
    )


def _parse_xml(path: str) -> ElementTree.Element:
    """Read an XML file into elements whose tags are in small letters and have no namespace."""
    content = _read_content(path)
    builder = ElementTree.TreeBuilder()
    depth = 0

    def start(tag: str, _: Any) -> None:
        """Open an element."""
        nonlocal depth
        depth += 1
        if depth > DEEPEST_ELEMENT:
            raise DataError(f"{path}: has elements nested more than {DEEPEST_ELEMENT} deep")
        builder.start(_plain_tag(tag), {})

    def end(tag: str) -> None:
        """Close an element."""
        nonlocal depth
        depth -= 1
        builder.end(_plain_tag(tag))

    def refuse_entity(*_: Any) -> None:
        """Refuse a declaration, because nested entities can grow to gigabytes of text."""
        raise DataError(f"{path}: declares XML entities, which VOC's format does not have")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse_entity
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is not valid XML: {error}") from error
    return builder.close()


def _read_content(path: str) -> Any:
    """Read the bytes of an XML file; text, if its encoding is one that only Python knows."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > LARGEST_FILE:
        raise DataError(
            f"{path}: has more than {LARGEST_FILE >> 20} MB; a VOC file has some kB for one image"
        )
    declared = DECLARED_ENCODING.match(content)
    encoding = declared.group(1).decode().lower() if declared else "utf-8"
    if encoding in XML_ENCODINGS:
        return content
    try:
        return content.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(f"{path}: is not valid XML: {error}") from error


def _plain_tag(tag: str) -> str:
    """Return a tag in small letters, without its namespace."""
    return tag.rpartition(":")[2].lower()


def _stated_size(root: ElementTree.Element, path: str) -> Optional[Tuple[int, int]]:
    """Return the height and width that an XML file states, or None."""
    sides = []
    for tag in ("height", "width"):
        text = _text(root, f"size/{tag}") or "0"
        try:
            side = float(text)
        except ValueError:
            side = -1
        if not 0 <= side < 2**31 or side != int(side):
            raise DataError(
                f"{path}: states {tag} {text[:40]!r}; want the image's {tag} in pixels, or remove "
                "<size>"
            )
        sides.append(int(side))
    height, width = sides
    # Some annotation tools write 0 x 0 for a size that they do not know.
    return (height, width) if height and width else None


def _read_object(item: ElementTree.Element, number: int, where: str) -> VOCObject:
    """Read one object."""
    name = composed(_required_text(item, "name", where))
    if item.find("bndbox") is None:
        tags = ", ".join(f"<{child.tag}>" for child in item)
        raise DataError(
            f"{where} has no <bndbox>, only {tags}; boxes with xmin, ymin, xmax, ymax are read, "
            "polygons and rotated boxes are not"
        )
    box = [
        _required_number(item, f"bndbox/{corner}", where)
        for corner in ("xmin", "ymin", "xmax", "ymax")
    ]
    return VOCObject(number, name, tuple(box), _is_difficult(item, where))


def _is_difficult(item: ElementTree.Element, where: str) -> bool:
    """Read the mark ``difficult``, which tools write as a number or a word."""
    text = _text(item, "difficult", where)
    word = text.lower()
    try:
        # Programs that keep annotations in tables of numbers write 0.0 and 1.0.
        word = f"{float(word):g}"
    except ValueError:
        pass
    if word not in DIFFICULT_WORDS + NOT_DIFFICULT_WORDS:
        raise DataError(f"{where} has difficult {text!r}; want 0 or 1")
    return word in DIFFICULT_WORDS


def _text(item: ElementTree.Element, tag: str, where: str = "") -> str:
    """Return the text of a tag, or "". With ``where``, a repeated tag is a DataError."""
    if where:
        parent = item
        for name in tag.split("/"):
            children = parent.findall(name)
            if len(children) > 1:
                raise DataError(
                    f"{where} has {len(children)} times <{name}>; want one, so make two objects or "
                    "remove one"
                )
            if not children:
                return ""
            parent = children[0]
    return (item.findtext(tag) or "").strip()


def _required_text(item: ElementTree.Element, tag: str, where: str) -> str:
    """Return the text of a tag that an element must have."""
    text = _text(item, tag, where)
    if not text:
        raise DataError(f"{where} has no <{tag.replace('/', '><')}>; add it, or remove the object")
    return text


def _required_number(item: ElementTree.Element, tag: str, where: str) -> float:
    """Return the number in a tag that an element must have."""
    text = _required_text(item, tag, where)
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{where} has {tag} {text[:40]!r}; want a number") from error
