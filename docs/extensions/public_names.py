"""Choose what the pages of the API show, and find the comments of constants.

Autodoc reads the comment ``#:`` of a constant only in the module that defines it. The rooms export
constants of their files, whose comments are looked up here.
"""

import inspect
import sys
from types import ModuleType
from typing import Any, Dict, Iterator, List, Optional

from sphinx.application import Sphinx
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer

OUR_PACKAGES = ("gluonnorm", "model_zoo")


def our_modules() -> Iterator[ModuleType]:
    """The imported modules of this repository, in the order of their names."""
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] in OUR_PACKAGES:
            yield module


def comment_of(name: str, value: Any) -> Optional[List[str]]:
    """Find the comment ``#:`` of a constant.

    Parameters
    ----------
    name : str
        Its name.
    value : object
        Its value.

    Returns
    -------
    list of str or None
        The lines of the comment; None if the constant has none.
    """
    for module in our_modules():
        if getattr(module, name, None) is not value:
            continue
        try:
            comments = ModuleAnalyzer.for_module(module.__name__).find_attr_docs()
        except PycodeError:
            continue
        if ("", name) in comments:
            return comments[("", name)]
    return None


def describe_constant(
    app: Sphinx, kind: str, full_name: str, value: Any, options: Any, lines: List[str]
) -> None:
    """Replace the docstring of a constant, which is that of its type, by its comment."""
    if kind == "data":
        lines[:] = comment_of(full_name.rpartition(".")[2], value) or [""]


def is_ours(thing: Any) -> bool:
    """Tell whether a class or function was written in this repository."""
    module = getattr(thing, "__module__", None) or ""
    return module.split(".")[0] in OUR_PACKAGES


def leave_out(
    app: Sphinx, kind: str, name: str, member: Any, skip: bool, options: Any
) -> Optional[bool]:
    """Keep the methods and properties of a class that have a docstring and are no other package's.

    Fields of named tuples and data classes are described in the docstring of their class. Methods
    of internal base classes belong to the public class, but those of Gluon would fill the pages.
    """
    if kind == "module":
        return None
    function = member.fget if isinstance(member, property) else member
    is_method = callable(function) and not inspect.isclass(function)
    return None if is_method and function.__doc__ and is_ours(function) else True


def has_a_page(base: type) -> bool:
    """Tell whether a class of ours is shown: internal classes are in no ``__all__``."""
    room = sys.modules[".".join(base.__module__.split(".")[:2])]
    return base.__name__ in getattr(room, "__all__", [base.__name__])


def name_public_bases(app: Sphinx, name: str, record: type, options: Any, bases: List[Any]) -> None:
    """Replace each internal base of a class by the nearest public class that it is made from."""
    for index, base in enumerate(bases):
        base = getattr(base, "__origin__", base)  # Mapping of Mapping[str, Entry]
        if is_ours(base):
            bases[index] = next(b for b in base.__mro__ if not is_ours(b) or has_a_page(b))
        else:
            bases[index] = base


def setup(app: Sphinx) -> Dict[str, Any]:
    """Register the extension, as Sphinx asks for it."""
    app.connect("autodoc-process-docstring", describe_constant)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("autodoc-process-bases", name_public_bases)
    return {"parallel_read_safe": True}
