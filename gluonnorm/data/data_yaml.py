"""Read ``data.yaml``, the description of a YOLO data set, as far as such files need YAML.

PyYAML is no dependency of this package. The keys that matter hold a text, a list of texts or a
mapping of texts, in block or flow style; everything else in the file is passed over. What goes
beyond that is refused, never guessed.
"""

import json
import re
from typing import Dict, List, Tuple, Union

from gluonnorm.data.labeled_image import DataError
from gluonnorm.data.text_files import Line, read_text
from gluonnorm.types import PathLike

Value = Union[str, List[str], Dict[str, str]]

KNOWN_KEYS = ("path", "train", "val", "valid", "test", "nc", "names", "kpt_shape")
TOP_LEVEL_KEY = re.compile(r"([A-Za-z_][\w.-]*|\"[^\"]*\"|'[^']*')\s*:(?:\s+(.*))?")
DOUBLE_QUOTED = r"\"(?:[^\"\\]|\\.)*\""
SINGLE_QUOTED = r"'(?:[^']|'')*'"
QUOTED_SCALAR = re.compile(rf"({DOUBLE_QUOTED}|{SINGLE_QUOTED})\s*(?:\s#.*)?")
BLOCK_KEY = re.compile(rf"({DOUBLE_QUOTED}|{SINGLE_QUOTED}|[^\s:#\"'][^:#]*?)\s*:(?:\s+(.*))?")
# One token of a flow value: a comment, a quoted text, a sign, or a plain text.
FLOW_TOKEN = re.compile(
    rf"\s*(?:(?P<comment>#[^\n]*)|(?P<quoted>{DOUBLE_QUOTED}|{SINGLE_QUOTED})"
    r"|(?P<sign>[\[\]{},]|:(?=[\s\"'\]},]))"
    r"|(?P<plain>[^\s\[\]{},:#\"'](?:[^\[\]{},:\n#]|(?<!\s)#|:(?=[^\s\],}]))*))"
)
# What begins a value of another kind: a block of text, an anchor, an alias, a tag, a nested value.
OTHER_KINDS = ("|", ">", "&", "*", "!", "%", "@", "`", "[", "]", "{", "}", '"', "'", "- ", "? ")


def read_data_yaml(path: PathLike) -> Dict[str, Value]:
    """Read the keys of a ``data.yaml`` that say where images are and what classes are named.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    dict
        A text, a list of texts or a dictionary of texts for each of ``KNOWN_KEYS`` that the file
        has. Keys without a value are left out.

    Raises
    ------
    DataError
        The file cannot be read, repeats a key, or holds a value that needs more of YAML than this
        reader knows.
    """
    values: Dict[str, Value] = {}
    for key, lines in _entries(path):
        where = f"{path}: line {lines[0].number}"
        if key in values:
            raise DataError(f"{where} has the key {key!r} again; want each key once")
        if key in KNOWN_KEYS:
            value = _read_value(lines, path)
            if value:
                values[key] = value
    return values


def _entries(path: PathLike) -> List[Tuple[str, List[Line]]]:
    """Split the file at its top-level keys. An entry begins with the text behind its key."""
    entries: List[Tuple[str, List[Line]]] = []
    for number, text in enumerate(read_text(path).split("\n"), start=1):
        if text.rstrip() == "...":  # YAML's mark for the end of a document
            break
        match = TOP_LEVEL_KEY.fullmatch(text.rstrip())
        if match is not None:
            entries.append((match.group(1).strip("\"'"), [Line(number, match.group(2) or "")]))
        elif entries:
            entries[-1][1].append(Line(number, text))
        elif text.strip() and not text.startswith(("#", "---", "%")):
            raise DataError(
                f"{path}: line {number} is {text[:40]!r}; want a key, such as names: [cat, dog]"
            )
    return entries


def _read_value(lines: List[Line], path: PathLike) -> Value:
    """Read the value of a key; "" if there is none."""
    first, *others = lines
    where = f"{path}: line {first.number}"
    if first.text.startswith(("[", "{")):
        return _read_flow("\n".join(line.text for line in lines), where)
    block = [line for line in others if not _is_blank(line.text)]
    if not _is_blank(first.text):
        if block:
            raise _unknown_kind(f"{path}: line {block[0].number}", block[0].text)
        return _scalar(first.text, where)
    if not block:
        return ""
    is_list = block[0].text.lstrip().startswith("-")
    indents = {len(line.text) - len(line.text.lstrip(" ")) for line in block}
    items: List[str] = []
    mapping: Dict[str, str] = {}
    for line in block:
        where = f"{path}: line {line.number}"
        text = line.text.strip()
        match = BLOCK_KEY.fullmatch(text)
        if len(indents) > 1 or text.startswith("-") != is_list or not (is_list or match):
            raise _unknown_kind(where, text)
        if is_list:
            items.append(_scalar(text[1:].strip(), where))
        elif match is not None:
            _add_pair(mapping, _scalar(match.group(1), where), match.group(2) or "", where)
    return items if is_list else mapping


def _add_pair(mapping: Dict[str, str], key: str, text: str, where: str) -> None:
    """Add a key and its value to a mapping."""
    if key in mapping:
        raise DataError(f"{where} has the key {key!r} again; want each key once")
    mapping[key] = _scalar(text, where)


def _is_blank(text: str) -> bool:
    """Tell whether a line has nothing but white space and a comment."""
    return not text.strip() or text.lstrip().startswith("#")


def _scalar(text: str, where: str) -> str:
    """Read a single value: a quoted or a plain text."""
    text = text.strip()
    quoted = QUOTED_SCALAR.fullmatch(text)
    if quoted is not None:
        return _unquote(quoted.group(1), where)
    if text.startswith(OTHER_KINDS) or text == "-":
        raise _unknown_kind(where, text)
    plain = re.split(r"\s#", f" {text}", maxsplit=1)[0].strip()
    if re.search(r":(\s|$)", plain):
        raise _unknown_kind(where, text)
    return "" if plain in ("~", "null") else plain


def _unquote(text: str, where: str) -> str:
    """Return the text between quotes."""
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    try:
        return str(json.loads(text))
    except ValueError as error:
        raise _unknown_kind(where, text) from error


def _read_flow(text: str, where: str) -> Value:
    """Read ``[a, b]`` or ``{0: a, 1: b}``."""
    tokens = _flow_tokens(text, where)
    is_list = tokens[0] == ("sign", "[")
    if tokens[-1] != ("sign", "]" if is_list else "}"):
        raise _unknown_kind(where, text)
    items: List[str] = []
    mapping: Dict[str, str] = {}
    entry: List[Tuple[str, str]] = []
    for token in [*tokens[1:-1], ("sign", ",")]:
        if token != ("sign", ","):
            entry.append(token)
            continue
        kinds = [kind if kind == "text" else value for kind, value in entry]
        texts = [value for kind, value in entry if kind == "text"]
        if is_list and kinds == ["text"]:
            items.append(texts[0])
        elif not is_list and kinds == ["text", ":", "text"]:
            if texts[0] in mapping:
                raise DataError(f"{where} has the key {texts[0]!r} again; want each key once")
            mapping[texts[0]] = texts[1]
        elif entry:
            raise _unknown_kind(where, " ".join(value for _, value in entry))
        entry = []
    return items if is_list else mapping


def _flow_tokens(text: str, where: str) -> List[Tuple[str, str]]:
    """Split a flow value into signs and texts."""
    tokens = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = FLOW_TOKEN.match(text, position)
        if match is None:
            raise _unknown_kind(where, text[position:].strip())
        position = match.end()
        kind = match.lastgroup
        if kind == "sign":
            tokens.append(("sign", match.group(kind)))
        elif kind == "quoted":
            tokens.append(("text", _unquote(match.group(kind), where)))
        elif kind == "plain":
            tokens.append(("text", _scalar(match.group(kind), where)))
    return tokens


def _unknown_kind(where: str, text: str) -> DataError:
    """Make the error for a value that this reader does not know."""
    return DataError(
        f"{where}: {text[:40]!r} needs more of YAML than is read here; write it as a text, as "
        "[a, b], or as a block of '- a' or '0: a' lines"
    )
