"""The directive ``settings-table``: a record of settings as a table, made of its own docstring.

    .. settings-table:: gluonnorm.rcnn.DetectorConfig
       :ranges: gluonnorm.rcnn.config.REQUIREMENTS gluonnorm.types.PREPROCESS_CHOICES

Each row has a setting, its default, its allowed values and its meaning. The meaning is that of the
section ``Attributes``. The allowed values are those of the mappings that the record itself checks
its values with, or else the type of the section ``Attributes``.
"""

import dataclasses
import importlib
import inspect
import re
import textwrap
from typing import Any, Dict, List, NamedTuple

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ENTRY = re.compile(
    r"^(?P<names>\w[\w, ]*) : (?P<type>.+)\n(?P<meaning>(?:(?: .*)?\n)*)", re.MULTILINE
)
SECTION = re.compile(r"^Attributes\n-+\n(?P<text>(?:(?!\w.*\n-+\n).*\n)*)", re.MULTILINE)


class Attribute(NamedTuple):
    """What a docstring says about one attribute."""

    type: str
    meaning: str


def attributes_of(record: type) -> Dict[str, Attribute]:
    """Read the section ``Attributes`` of a class.

    Parameters
    ----------
    record : type
        The class, whose docstring follows numpydoc.

    Returns
    -------
    dict of str to Attribute
        The type and meaning of each attribute, in the docstring's order.
    """
    section = SECTION.search((inspect.getdoc(record) or "") + "\n")
    found = {}
    for entry in ENTRY.finditer(section["text"] if section else ""):
        attribute = Attribute(entry["type"], textwrap.dedent(entry["meaning"]).strip())
        for name in entry["names"].split(", "):
            found[name] = attribute
    return found


def allowed_values(name: str, type_name: str, ranges: Dict[str, Any]) -> str:
    """Say in words which values a setting may have.

    Parameters
    ----------
    name : str
        The setting.
    type_name : str
        Its type in the docstring.
    ranges : dict of str to object
        What the record checks: requirements with their words in ``wanted``, or tuples of choices.

    Returns
    -------
    str
        The words.
    """
    allowed = ranges.get(name)
    if allowed is None:
        return type_name
    if isinstance(allowed, tuple):
        return ", ".join(f'"{choice}"' for choice in allowed)
    return allowed.wanted


class SettingsTable(SphinxDirective):
    """The table of one record of settings."""

    required_arguments = 1
    option_spec = {"ranges": directives.unchanged_required}

    def run(self) -> List[nodes.Node]:
        """Write the table as a ``list-table``, so that Sphinx reads the meanings as it reads
        docstrings; in every build, because the record changes while the page does not."""
        self.env.note_reread()
        record = object_of(self.arguments[0])
        ranges: Dict[str, Any] = {}
        for full_name in self.options["ranges"].split():
            ranges.update(object_of(full_name))
        lines = [".. list-table::", "   :header-rows: 1", "   :class: settings", ""]
        lines += row_of(["setting", "default", "allowed", "meaning"])
        attributes = attributes_of(record)
        for field in dataclasses.fields(record):
            if field.name not in attributes:
                raise self.error(f"the docstring of {record.__name__} lacks {field.name}")
            attribute = attributes[field.name]
            allowed = allowed_values(field.name, attribute.type, ranges)
            default = default_of(field)
            lines += row_of([f"``{field.name}``", default, allowed, attribute.meaning])
        holder = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.arguments[0]), 0, holder)
        return holder.children


def object_of(full_name: str) -> Any:
    """Import the object of a dotted name."""
    module, _, name = full_name.rpartition(".")
    return getattr(importlib.import_module(module), name)


def default_of(field: Any) -> str:
    """Write the default of a field; a record of its own is only named."""
    if dataclasses.is_dataclass(field.default):
        return f"``{type(field.default).__name__}()``"
    default = field.default
    return f"``{round(default, 4) if isinstance(default, float) else default!r}``"


def row_of(cells: List[str]) -> List[str]:
    """Write one row of a ``list-table``."""
    lines = []
    for number, cell in enumerate(cells):
        first, *others = cell.splitlines()
        lines.append(f"   {' ' if number else '*'} - {first}")
        lines += [f"       {line}" if line else "" for line in others]
    return lines


def setup(app: Sphinx) -> Dict[str, Any]:
    """Register the directive, as Sphinx asks for it."""
    app.add_directive("settings-table", SettingsTable)
    return {"parallel_read_safe": True}
