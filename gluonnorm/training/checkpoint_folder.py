"""Find the newest checkpoint of a run, delete the oldest ones, and keep the best one."""

import os
import re
import shutil
from typing import List, NamedTuple, Optional

from gluonnorm.errors import InputError
from gluonnorm.training.checkpoint import FILE_ENDINGS, CheckpointError
from gluonnorm.weight_files import atomic_files, remove_if_exists

HEADER_ENDING = FILE_ENDINGS[-1]


class _CheckpointFile(NamedTuple):
    """A file of a checkpoint, finished or temporary."""

    step: int
    ending: str


def latest(prefix: str) -> Optional[str]:
    """Find the newest checkpoint, which is that of the highest step.

    Parameters
    ----------
    prefix : str
        The prefix under which the checkpoints were saved.

    Returns
    -------
    str or None
        The path of its header, a ``.json``; None without checkpoints.
    """
    steps = _complete_steps(_list_files(prefix))
    if not steps:
        return None
    return f"{prefix}-{steps[-1]:07d}.{HEADER_ENDING}"


def prune(prefix: str, keep: int) -> None:
    """Delete all but the newest checkpoints, and the unfinished files of killed runs.

    Parameters
    ----------
    prefix : str
        The prefix under which the checkpoints were saved.
    keep : int
        How many checkpoints stay, at least 1.

    Raises
    ------
    InputError
        ``keep`` is less than 1.
    """
    check_keep(keep)
    files = _list_files(prefix)
    kept_steps = _complete_steps(files)[-keep:]
    headers = []
    others = []
    for file in files:
        is_temporary = file.ending.endswith(".tmp")
        if file.step in kept_steps and not is_temporary:
            continue
        path = f"{prefix}-{file.step:07d}.{file.ending}"
        if file.ending == HEADER_ENDING:
            headers.append(path)
        else:
            others.append(path)
    # A checkpoint exists if its header does. So the header is deleted first: a kill in between
    # leaves no header without its files.
    for path in headers + others:
        remove_if_exists(path)


def check_keep(keep: int) -> None:
    """Raise an error if a number of checkpoints to keep is less than 1.

    Parameters
    ----------
    keep : int
        How many checkpoints stay.

    Raises
    ------
    InputError
        ``keep`` is less than 1.
    """
    if keep < 1:
        raise InputError(f"keep is {keep}; want at least 1, for the newest checkpoint")


def mark_best(path: str) -> str:
    """Keep the weights of a checkpoint as ``<prefix>-best.params``, safe from ``prune``.

    Parameters
    ----------
    path : str
        The header of the checkpoint, a ``.json``.

    Returns
    -------
    str
        The path of the kept weights.

    Raises
    ------
    CheckpointError
        The file cannot be written, or the checkpoint has no weights.
    """
    stem = os.path.splitext(path)[0]
    prefix = stem.rpartition("-")[0]
    weights_path = f"{stem}.params"
    best_path = f"{prefix}-best.params"
    try:
        if _is_same_file(weights_path, best_path):
            # os.replace does nothing if both names are hard links to one file, so the temporary
            # name would stay.
            return best_path
        with atomic_files(best_path) as (temporary,):
            # A killed run may have left the temporary file, and os.link refuses an existing name.
            remove_if_exists(temporary)
            _link_or_copy(weights_path, temporary)
    except OSError as error:
        raise CheckpointError(f"cannot write {best_path}: {error}") from error
    return best_path


def _link_or_copy(source: str, target: str) -> None:
    """Give a file a second name, or copy it if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _is_same_file(path: str, other: str) -> bool:
    """Whether two names exist and are of the same file."""
    return os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)


def _complete_steps(files: List[_CheckpointFile]) -> List[int]:
    """Steps of the checkpoints that have a header, in ascending order."""
    return sorted(file.step for file in files if file.ending == HEADER_ENDING)


def _list_files(prefix: str) -> List[_CheckpointFile]:
    """List the files of all checkpoints under a prefix."""
    folder, name = os.path.split(prefix)
    folder = folder or "."
    if not os.path.isdir(folder):
        return []
    endings = "|".join(FILE_ENDINGS)
    pattern = re.compile(re.escape(name) + rf"-(\d{{7,}})\.((?:{endings})(?:\.tmp)?)")
    files = []
    for file_name in os.listdir(folder):
        match = pattern.fullmatch(file_name)
        if match:
            files.append(_CheckpointFile(int(match[1]), match[2]))
    return files
