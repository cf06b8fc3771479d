"""What every script needs: how it ends, plugins, seeds and NAME=VALUE settings.

This file needs no MXNet, because demo.py draws what an ONNX file finds without it.
"""

import argparse
import ast
import importlib
import io
import os
import random
import sys
import traceback
import warnings
from types import ModuleType
from typing import Any, Callable, Dict, Optional, Sequence, Type, Union

from gluonnorm.errors import (
    GluonnormError,
    InputError,
    Interrupted,
    did_you_mean,
    first_line,
    one_line,
)

import numpy as np

DEFAULT_SEED = 233
FAILED = 2
STOPPED_BY_CTRL_C = 130
LARGEST_SEED = 2**32 - 1  # of NumPy
READER_GONE = 141  # as a program ends that SIGPIPE stops
# Options of get_model that are no settings of a detector, and the flags that give them.
FLAGS_OF_OPTIONS = {
    "name": "--network",
    "base_network_name": "--base-network",
    "norm": "--norm",
    "head_norm": "--head-norm",
    "rescale": "--rescale",
    "classes": "--classes",
    "pretrained": "--pretrained",
    "pretrained_base": "--pretrained-base",
    "ctx": "--gpus",
}
STANDARD_STREAMS = 3  # input, output and error have the descriptors 0, 1 and 2


def run(main: Callable[[Any], Optional[int]], args: Any) -> None:
    """Call ``main(args)`` and end the process, with one line for errors that the user can mend.

    The modules of ``--plugin`` are imported first, so that ``main`` knows what they register.
    This is the one place where errors become text:

    - ``GluonnormError`` (a wrong flag, a damaged file, a diverging loss) and ``OSError`` (a missing
      file, a full disk) are printed as one line ``error: ...`` on standard error; the status is 2.
    - ``Interrupted``, the orderly stop of a training run, ends with its own ``exit_code``, and
      Ctrl-C anywhere else with 130.
    - If the reader of standard output has gone, as with ``| head -1``, the script ends in silence
      with the status 141.
    - A file name that the locale's encoding does not have is one line, too.
    - Every other exception is a bug. It keeps its traceback, a plain ``ValueError`` included.

    Characters that the terminal cannot print are written as ``\\uXXXX``.

    Parameters
    ----------
    main : callable
        The script's work. It takes ``args`` and returns the exit status; None means 0.
    args : argparse.Namespace
        The parsed command line.
    """
    warnings.formatwarning = _format_warning
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A class name in Chinese must not end a run after hours because the terminal is ASCII.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        import_plugins(getattr(args, "plugin", []))
        status = main(args)
        # What is still in the buffer fails here, not in the interpreter's last moments.
        sys.stdout.flush()
        sys.exit(status)
    # Interrupted is a GluonnormError too, so it must come first.
    except Interrupted as stop:
        print(f"{stop}; --resume continues the run", file=sys.stderr)
        sys.exit(stop.exit_code)
    except BrokenPipeError:
        # The interpreter flushes standard output once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(READER_GONE)
    except (GluonnormError, OSError) as error:
        print(f"error: {one_line(error)}{_locale_hint(str(error))}", file=sys.stderr)
        sys.exit(FAILED)
    except UnicodeEncodeError as error:
        if error.encoding not in (sys.getfilesystemencoding(), "utf-8"):
            raise
        hint = _locale_hint(error.object)
        print(
            f"error: {error.object!r} cannot be written in {error.encoding}{hint}", file=sys.stderr
        )
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(STOPPED_BY_CTRL_C)


def _open_closed_streams() -> None:
    """Open the standard streams that are closed, as by ``>&-``, on the null device.

    The next file would get the descriptor of the closed stream, and with it every line that MXNet
    prints.
    """
    for descriptor in range(STANDARD_STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))


def _locale_hint(message: str) -> str:
    """Say how to have other file names, where the locale does not use UTF-8; "" elsewhere."""
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8" or message.isascii():
        return ""
    return f"; this locale has file names in {encoding}, and PYTHONUTF8=1 has them in UTF-8"


def _format_warning(
    message: Union[Warning, str],
    category: Type[Warning],
    filename: str,
    lineno: int,
    line: Optional[str] = None,
) -> str:
    """Write a warning as one line; a place in the source says nothing to the user of a script."""
    return f"{'note' if category is UserWarning else category.__name__}: {message}\n"


def add_seed_argument(
    parser: "argparse._ActionsContainer", seeded: str = "every random choice"
) -> None:
    """Add the flag of the seed; ``seed_everything`` takes its value.

    Parameters
    ----------
    parser : argparse.ArgumentParser or argument group
        The script's parser, or a group of it.
    seeded : str
        What the seed decides, for the help.
    """
    parser.add_argument(
        "--seed",
        type=int,
        default=DEFAULT_SEED,
        help=f"seed of {seeded} (default: {DEFAULT_SEED})",
    )


def add_plugin_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag of the user's own modules; :func:`run` imports them.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser.
    """
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="import this module of yours first, from the current folder or an installed package; "
        "it registers norms, backbones and models (docs/extending.md). May be repeated",
    )


def import_plugins(modules: Sequence[str]) -> None:
    """Import modules of the user, which register norms, backbones and models.

    Parameters
    ----------
    modules : sequence of str
        Names of modules, such as ``"my_parts"`` for ``my_parts.py`` in the current folder.

    Raises
    ------
    InputError
        A module cannot be imported.
    """
    for module in modules:
        import_user_module(module, "--plugin")


def import_user_module(module: str, flag: str) -> ModuleType:
    """Import a module of the user from the current folder or from Python's path.

    Only a name that the user gives on the command line may come here, never one from a file.

    Parameters
    ----------
    module : str
        The name of the module.
    flag : str
        The flag that names it, for messages.

    Returns
    -------
    types.ModuleType
        The module.

    Raises
    ------
    InputError
        There is no such module, or it fails while it is imported.
    """
    # Python puts the script's folder on its path, not the current one, where the user's files are.
    folder = os.getcwd()
    if sys.path[0] != folder:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(module)
    except GluonnormError:
        raise
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise _failed_import(flag, module, error) from error
        raise InputError(
            f"{flag} {module}: no such module; give the name of a module without .py, in the "
            f"current folder {folder!r} or in an installed package"
        ) from error
    except Exception as error:
        raise _failed_import(flag, module, error) from error


def import_user_function(place: str, flag: str) -> Callable[..., Any]:
    """Import a function of the user.

    Parameters
    ----------
    place : str
        Module and function with a colon between them, such as ``"my_parts:giou"``.
    flag : str
        The flag that names it, for messages.

    Returns
    -------
    callable
        The function.

    Raises
    ------
    InputError
        There is no such module or function, or the module fails while it is imported.
    """
    module_name, _, name = place.partition(":")
    if not module_name or not name:
        raise InputError(f"{flag} is {place!r}; give MODULE:FUNCTION, a function of your own file")
    module = import_user_module(module_name, flag)
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(
            f"{flag} {place}: {module_name} has no function {name!r}"
            f"{did_you_mean(name, vars(module))}"
        )
    return function


def _failed_import(flag: str, module: str, error: Exception) -> InputError:
    """Make the error for a module that fails while it is imported; it names the place."""
    kind = type(error).__name__
    place = ""
    # The message of a SyntaxError names the place already.
    if not isinstance(error, SyntaxError):
        last_frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f" ({last_frame.filename}, line {last_frame.lineno})"
    return InputError(f"{flag} {module}: the module fails: {kind}: {first_line(error)}{place}")


def seed_everything(seed: int) -> None:
    """Seed the random generators of Python, NumPy and, in a script that imports it, MXNet.

    Parameters
    ----------
    seed : int
        The value of ``--seed``.

    Raises
    ------
    InputError
        NumPy has no such seed.
    """
    check_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    if "mxnet" in sys.modules:
        sys.modules["mxnet"].random.seed(seed)


def check_seed(seed: int) -> None:
    """Refuse a seed that NumPy does not take.

    Parameters
    ----------
    seed : int
        The value of ``--seed``.

    Raises
    ------
    InputError
        It is negative, or has more than 32 bits.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"--seed is {seed}; want 0 to {LARGEST_SEED}")


def flag_of(name: str) -> str:
    """Return the flag of a value in the parsed command line.

    Parameters
    ----------
    name : str
        Its name there.

    Returns
    -------
    str
        The flag.

    Examples
    --------
    >>> flag_of("lr_warmup")
    '--lr-warmup'
    """
    return "--" + name.replace("_", "-")


def require_positive(args: argparse.Namespace, *names: str) -> None:
    """Refuse counts below 1, before any work begins.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    *names : str
        The names of the counts in it. One that is None is not given.

    Raises
    ------
    InputError
        A count is below 1.
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and value < 1:
            raise InputError(f"{flag_of(name)} is {value}; want at least 1")


def parse_settings(pairs: Sequence[str]) -> Dict[str, Any]:
    """Turn the values of ``--set`` into keyword arguments.

    Parameters
    ----------
    pairs : sequence of str
        Texts ``NAME=VALUE``, where each value is a Python literal.

    Returns
    -------
    dict of str to any
        The value of each name.

    Raises
    ------
    InputError
        A text without ``=``, a value that is no literal, or an option that has a flag of its own.

    Examples
    --------
    >>> parse_settings(["short=300", "normalize=False"])
    {'short': 300, 'normalize': False}
    """
    values = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name in FLAGS_OF_OPTIONS:
            raise InputError(
                f"--set {pair}: {name} is no setting of a detector; give {FLAGS_OF_OPTIONS[name]}"
            )
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise InputError(
                f"--set {pair}: give NAME=VALUE with a number, a tuple, True, False, None or a "
                "text in quotes, such as \"order='BGR'\""
            ) from None
    return values
