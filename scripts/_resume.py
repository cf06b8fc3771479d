"""Which checkpoint a training run continues from."""

import os
from typing import Optional, Union

from gluonnorm import training
from gluonnorm.errors import InputError
from gluonnorm.training.checkpoint import FILE_ENDINGS


def checkpoint_to_resume(prefix: str, resume: Union[bool, str]) -> Optional[str]:
    """Find the checkpoint to continue from, and keep a run away from the files of an earlier one.

    Parameters
    ----------
    prefix : str
        The value of ``--save-prefix``.
    resume : bool or str
        The value of ``--resume``: a file of a checkpoint, or whether to take the newest one.

    Returns
    -------
    str or None
        The checkpoint's ``.json``; None for a fresh run.

    Raises
    ------
    InputError
        There is no such checkpoint, or the run would mix its files with those of an earlier run.
    """
    newest = training.latest(prefix)
    if isinstance(resume, str) and resume:
        chosen = checkpoint_of_file(resume)
        # Pruning keeps the checkpoints of the highest steps, which would be those of the other run.
        if newest is not None and os.path.realpath(newest) != os.path.realpath(chosen):
            raise InputError(
                f"--resume {resume}: {newest} exists, and the run would mix its checkpoints with "
                "it; give another --save-prefix, or delete the checkpoints that you do not want"
            )
        return chosen
    if resume and newest is None:
        raise InputError(f"--resume: no checkpoint under {prefix!r}; leave it out to start afresh")
    if newest is not None and not resume:
        raise InputError(
            f"{newest} is of an earlier run; --resume continues it, another "
            "--save-prefix leaves it alone"
        )
    return newest


def checkpoint_of_file(path: str) -> str:
    """Find the header of a checkpoint by one of its files.

    Parameters
    ----------
    path : str
        The ``.json``, ``.params`` or ``.states``, or what the three have in common.

    Returns
    -------
    str
        The ``.json``, which exists.

    Raises
    ------
    InputError
        There is no such checkpoint.
    """
    stem, ending = os.path.splitext(path)
    if ending[1:] not in FILE_ENDINGS:
        stem = path
    header = f"{stem}.{FILE_ENDINGS[-1]}"
    if os.path.isfile(header):
        return header
    if os.path.isfile(f"{stem}.params"):
        raise InputError(
            f"--resume {path}: {header} is missing, and weights alone cannot continue a run; "
            f"--pretrained {stem}.params starts a new run from them"
        )
    newest = training.latest(path)
    if newest is not None:
        raise InputError(
            f"--resume {path}: no such checkpoint; --save-prefix {path} --resume continues {newest}"
        )
    raise InputError(
        f"--resume {path}: no such checkpoint; give its .json, such as run-0001200.json"
    )
