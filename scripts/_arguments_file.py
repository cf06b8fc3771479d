"""``PREFIX-arguments.json``: what a training run was started with, and whether it ended early."""

import glob
import json
import os
import platform
from dataclasses import asdict, replace
from typing import Any, Dict, List, Optional

import gluonnorm
from gluonnorm.errors import InputError, did_you_mean, first_few, one_line
from gluonnorm.weight_files import read_description
from model_zoo.recipes import Choice
from model_zoo.recipes.choice import Choices

import mxnet as mx
from _output import write_text
from _schedule import check_stored_schedule

LISTS_OF_TEXTS = ("set", "plugin")  # flags that may be repeated
LAST_EPOCH = "last_epoch"  # of a run that ended before its last epoch; absent from others


def arguments_path(prefix: str) -> str:
    """Name the file that holds the flags of a run.

    Parameters
    ----------
    prefix : str
        The value of ``--save-prefix``.

    Returns
    -------
    str
        The path of a ``.json``, which need not exist.
    """
    return f"{prefix}-arguments.json"


def run_prefixes(folder: str) -> List[str]:
    """List the runs whose files are in a folder.

    Parameters
    ----------
    folder : str
        The folder.

    Returns
    -------
    list of str
        The value of ``--save-prefix`` of each run, sorted.
    """
    ending = arguments_path("")
    paths = glob.glob(os.path.join(glob.escape(folder), f"*{ending}"))
    return sorted(path[: -len(ending)] for path in paths)


def other_runs(prefix: str) -> str:
    """Name the runs that may be meant by the prefix of one that is not there.

    Parameters
    ----------
    prefix : str
        The prefix; it may be a folder or a file of a run, too.

    Returns
    -------
    str
        The end of a message; "" if there are no runs where the prefix leads.
    """
    folder, name = os.path.split(prefix)
    prefixes = run_prefixes(folder or ".")
    # Without their folder, which would make all names alike.
    suggestion = did_you_mean(name, map(os.path.basename, prefixes))
    if suggestion:
        return suggestion
    if name and os.path.isdir(prefix):
        prefixes += run_prefixes(prefix)
    return f"; there is {first_few(prefixes)}" if prefixes else ""


def write_arguments(
    prefix: str, flags: Dict[str, Any], choices: Choices, spec: Dict[str, Any]
) -> None:
    """Write down what a run was started with.

    Parameters
    ----------
    prefix : str
        The value of ``--save-prefix``.
    flags : dict of str to any
        The value of each flag.
    choices : dict of str to Choice
        Each value of the schedule, its origin and the reason for it.
    spec : dict of str to any
        The network's description.
    """
    content = {
        "arguments": flags,
        "choices": stored_choices(choices),
        "spec": spec,
        "python": platform.python_version(),
        "mxnet": mx.__version__,
        "gluonnorm": gluonnorm.__version__,
    }
    _write(prefix, content)


def read_arguments(prefix: str) -> Dict[str, Any]:
    """Read what a run was started with.

    Parameters
    ----------
    prefix : str
        The prefix of its files.

    Returns
    -------
    dict
        "arguments" and, as far as its version wrote them, what ``write_arguments`` writes.

    Raises
    ------
    InputError
        The file is damaged, or of something else than a training run.
    OSError
        There is no such file, or it cannot be read.
    """
    path = arguments_path(prefix)
    try:
        content = read_description(path)
    except ValueError as error:
        raise InputError(
            f"{path} cannot be read ({one_line(error)}); start the run again, which writes it anew"
        ) from error
    arguments = content.get("arguments")
    if not isinstance(arguments, dict) or "network" not in arguments:
        raise InputError(
            f"{path} has no arguments of a training run, but {', '.join(content) or 'nothing'}; "
            "give the --save-prefix of train_faster_rcnn.py"
        )
    for name in LISTS_OF_TEXTS:
        texts = arguments.get(name) or []
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise _damaged(path, f"arguments.{name}", texts, "a list of texts")
    for name in ("choices", "spec"):
        if not isinstance(content.get(name, {}), dict):
            raise _damaged(path, name, content[name], "an object")
    for name, choice in content.get("choices", {}).items():
        if not isinstance(choice, dict):
            raise _damaged(path, f"choices.{name}", choice, "value, origin and reason")
    config = content.get("spec", {}).get("config", {})
    if not isinstance(config, dict):
        raise _damaged(path, "spec.config", config, "an object")
    return content


def _damaged(path: str, field: str, value: Any, wanted: str) -> InputError:
    """Make the error for a field of a wrong type."""
    return InputError(
        f"{path} is damaged: {field} is {value!r}; want {wanted}; start the run again, which "
        "writes it anew"
    )


def read_choices(prefix: str) -> Choices:
    """Read what a run decided.

    Parameters
    ----------
    prefix : str
        The prefix of its files.

    Returns
    -------
    dict of str to Choice
        {} if the run has no ``PREFIX-arguments.json``, or one of a version without choices.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path = arguments_path(prefix)
    if not os.path.exists(path):
        return {}
    try:
        choices = restored_choices(read_description(path).get("choices", {}))
        check_stored_schedule({name: choice.value for name, choice in choices.items()})
        return choices
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} should hold the decisions of the run that is continued, and is damaged "
            f"({error}); delete it, and give --recipe again if the run had one"
        ) from error


def stored_choices(choices: Choices) -> Dict[str, Any]:
    """Turn choices into what JSON can hold.

    Parameters
    ----------
    choices : dict of str to Choice
        What ``choose`` returns.

    Returns
    -------
    dict of str to dict
        What ``restored_choices`` takes.
    """
    return {name: asdict(choice) for name, choice in choices.items()}


def restored_choices(stored: Dict[str, Any]) -> Choices:
    """Make choices of what ``stored_choices`` returned, after a trip through JSON.

    Parameters
    ----------
    stored : dict of str to dict
        The fields of each choice.

    Returns
    -------
    dict of str to Choice
        The same choices.
    """
    choices = {}
    for name, content in stored.items():
        choice = Choice(**content)
        choices[name] = replace(choice, value=_as_setting(choice.value))
    return choices


def _as_setting(value: Any) -> Any:
    """Turn the lists of JSON into the tuples that settings are."""
    return tuple(map(_as_setting, value)) if isinstance(value, list) else value


def write_last_epoch(prefix: str, epoch: int) -> None:
    """Write down that a run has ended early. ``write_arguments`` of a resumed run forgets it.

    Parameters
    ----------
    prefix : str
        The value of ``--save-prefix``. The run has written its flags.
    epoch : int
        The number of complete epochs.
    """
    _write(prefix, {**read_arguments(prefix), LAST_EPOCH: epoch})


def read_last_epoch(prefix: str) -> Optional[int]:
    """Read after how many epochs a run ends, or has ended.

    Parameters
    ----------
    prefix : str
        The value of ``--save-prefix``.

    Returns
    -------
    int or None
        The number of complete epochs; None if the run has not begun.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path = arguments_path(prefix)
    if not os.path.exists(path):
        return None
    content = read_arguments(prefix)
    epochs = content.get(LAST_EPOCH, content["arguments"].get("epochs"))
    if not isinstance(epochs, int):
        raise _damaged(path, "the number of epochs", epochs, "an integer")
    return epochs


def _write(prefix: str, content: Dict[str, Any]) -> None:
    """Write the content of the file."""
    write_text(arguments_path(prefix), json.dumps(content, indent=1))
