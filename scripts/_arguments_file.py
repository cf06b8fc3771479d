"""``PREFIX-arguments.json``: what a training run was started with, and whether it ended early."""

import json
import os
import platform
from typing import Any, Dict, Optional

import gluonnorm
from gluonnorm.weight_files import read_description

import mxnet as mx
from _output import write_text

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


def write_arguments(
    prefix: str, flags: Dict[str, Any], choices: Dict[str, Any], spec: Dict[str, Any]
) -> None:
    """Write down what a run was started with.

    Parameters
    ----------
    prefix : str
        The value of ``--save-prefix``.
    flags : dict of str to any
        The value of each flag.
    choices : dict of str to any
        The origin of each value of the schedule, and the reason for it.
    spec : dict of str to any
        The network's description.
    """
    content = {
        "arguments": flags,
        "choices": choices,
        "spec": spec,
        "python": platform.python_version(),
        "mxnet": mx.__version__,
        "gluonnorm": gluonnorm.__version__,
    }
    _write(prefix, content)


def write_last_epoch(prefix: str, epoch: int) -> None:
    """Write down that a run has ended early. ``write_arguments`` of a resumed run forgets it.

    Parameters
    ----------
    prefix : str
        The value of ``--save-prefix``. The run has written its flags.
    epoch : int
        The number of complete epochs.
    """
    content = read_description(arguments_path(prefix))
    _write(prefix, {**content, LAST_EPOCH: epoch})


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
    """
    path = arguments_path(prefix)
    if not os.path.exists(path):
        return None
    content = read_description(path)
    return content.get(LAST_EPOCH, content["arguments"]["epochs"])


def _write(prefix: str, content: Dict[str, Any]) -> None:
    """Write the content of the file."""
    write_text(arguments_path(prefix), json.dumps(content, indent=1))
