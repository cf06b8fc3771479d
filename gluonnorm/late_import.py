"""Modules that are imported by their name when they are needed, because their package is optional.

Imports are at the beginning of a file everywhere else. A module that needs a package which may be
missing, or which takes seconds to import, is imported here, and a missing package is an error that
says what to install.
"""

import importlib
from typing import Any, Type

from gluonnorm.errors import GluonnormError, first_line


def import_late(module: str, error_class: Type[GluonnormError], need: str, install: str) -> Any:
    """Import a module whose package may be missing.

    Parameters
    ----------
    module : str
        The full name of the module.
    error_class : type
        What is raised if it cannot be imported.
    need : str
        The beginning of the error's message: what needs the package.
    install : str
        The end of the message: what to do, such as ``"install it with pip install onnxruntime"``.

    Returns
    -------
    module
        The module. It is Any for a type checker, which would ask for the package.

    Raises
    ------
    GluonnormError
        An error of ``error_class``: the package is missing, or cannot be imported beside others.
    ImportError
        The module or its package uses an attribute that does not exist.

    Examples
    --------
    >>> import_late("math", GluonnormError, "math is needed", "install Python").sqrt(4)
    2.0
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise error_class(f"{need} ({first_line(error)}); {install}") from error
    except AttributeError as error:
        # Python takes an AttributeError that leaves a module's __getattr__ for a missing name, and
        # hides what it says: MXNet 1.9.1 uses names that NumPy 2 no longer has.
        raise ImportError(f"{module} cannot be imported: {first_line(error)}") from error
