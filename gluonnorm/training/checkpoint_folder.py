"""Find and load the newest checkpoint of a run, delete the oldest ones, and keep the best one."""

import os
import re
import shutil
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.errors import InputError, first_few
from gluonnorm.training.checkpoint import (
    FILE_ENDINGS,
    CheckpointError,
    DamagedCheckpoint,
    load,
)
from gluonnorm.weight_files import atomic_files, remove_if_exists

from mxnet import gluon

HEADER_ENDING = FILE_ENDINGS[-1]
ASIDE_ENDING = ".aside"


class _CheckpointFile(NamedTuple):
    """A file of a checkpoint, finished or temporary."""

    step: int
    ending: str


class LoadedCheckpoint(NamedTuple):
    """What ``load_newest`` has loaded.

    Attributes
    ----------
    path : str
        The header of the checkpoint, a ``.json``.
    state : dict
        The ``state`` that was saved.
    faults : tuple of str
        What is wrong with the newer checkpoints, newest first. Their files now end in ``.aside``.
    """

    path: str
    state: Dict[str, Any]
    faults: Tuple[str, ...]


def load_newest(
    prefix: str, net: gluon.Block, trainer: gluon.Trainer, spec: Dict[str, Any]
) -> Optional[LoadedCheckpoint]:
    """Load the newest checkpoint that is not damaged.

    The damaged ones that are newer are renamed, so that ``prune`` does not count them.

    Parameters
    ----------
    prefix : str
        The prefix under which the checkpoints were saved.
    net, trainer, spec
        As for ``checkpoint.load``.

    Returns
    -------
    LoadedCheckpoint or None
        What was loaded; None without checkpoints.

    Raises
    ------
    CheckpointError
        All checkpoints are damaged, or the newest sound one does not fit. Nothing is then renamed,
        and the network and the trainer are unchanged.
    """
    damaged = []
    faults = []
    for path in newest_first(prefix):
        try:
            state = load(path, net, trainer, spec)
        except DamagedCheckpoint as error:
            damaged.append(path)
            faults.append(error.fault)
            continue
        set_aside(damaged)
        return LoadedCheckpoint(path, state, tuple(faults))
    if faults:
        raise CheckpointError(
            f"no checkpoint under {prefix} can be continued: {first_few(faults)}; start afresh "
            "with another prefix"
        )
    return None


def newest_first(prefix: str) -> List[str]:
    """List the checkpoints of a run, those of the highest steps first.

    Parameters
    ----------
    prefix : str
        The prefix under which the checkpoints were saved.

    Returns
    -------
    list of str
        The paths of their headers, each a ``.json``.
    """
    steps = _complete_steps(_list_files(prefix))
    return [checkpoint_path(prefix, step) for step in reversed(steps)]


def checkpoint_path(prefix: str, step: int) -> str:
    """Name the header of a checkpoint.

    Parameters
    ----------
    prefix : str
        The prefix under which the checkpoint is saved.
    step : int
        The number of updates made.

    Returns
    -------
    str
        The path of a ``.json``, which need not exist.
    """
    return f"{prefix}-{step:07d}.{HEADER_ENDING}"


def set_aside(paths: Sequence[str]) -> None:
    """Rename the files of checkpoints so that a run neither continues nor deletes them.

    Parameters
    ----------
    paths : sequence of str
        The headers of the checkpoints. The names of all their files get the ending ``.aside``.

    Raises
    ------
    CheckpointError
        A file cannot be renamed.
    """
    for path in paths:
        stem = os.path.splitext(path)[0]
        # The header goes first, so that a kill in between leaves no header without its files.
        for ending in reversed(FILE_ENDINGS):
            file = f"{stem}.{ending}"
            try:
                if os.path.lexists(file):
                    os.replace(file, file + ASIDE_ENDING)
            except OSError as error:
                raise CheckpointError(f"cannot rename {file}: {error}") from error


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
    return next(iter(newest_first(prefix)), None)


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
    removed = []
    for file in files:
        is_temporary = file.ending.endswith(".tmp")
        if file.step not in kept_steps or is_temporary:
            removed.append(file)
    _remove_files(prefix, removed)


def remove_checkpoints(prefix: str) -> None:
    """Delete all checkpoints under a prefix, and the unfinished files of killed processes.

    Parameters
    ----------
    prefix : str
        The prefix under which the checkpoints were saved. Those of other prefixes that begin alike
        stay.

    Raises
    ------
    OSError
        A file cannot be deleted.
    """
    _remove_files(prefix, _list_files(prefix))


def _remove_files(prefix: str, files: Sequence[_CheckpointFile]) -> None:
    """Delete files of checkpoints."""
    headers = []
    others = []
    for file in files:
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


def best_path(prefix: str) -> str:
    """Name the header of the best weights of a run.

    Parameters
    ----------
    prefix : str
        The prefix under which the checkpoints are saved.

    Returns
    -------
    str
        The path of a ``.json``, which need not exist. The weights beside it end in ``.params``;
        version 0.1 wrote them alone.
    """
    return f"{prefix}-best.{HEADER_ENDING}"


def mark_best(path: str) -> str:
    """Keep the weights of a checkpoint as ``<prefix>-best``, safe from ``prune``.

    ``<prefix>-best.params`` and its header ``<prefix>-best.json`` open like any checkpoint. They
    have no optimizer beside them, so no run continues from them.

    Parameters
    ----------
    path : str
        The header of the checkpoint, a ``.json``.

    Returns
    -------
    str
        The path of the kept weights, ``<prefix>-best.params``.

    Raises
    ------
    CheckpointError
        The files cannot be written, or the checkpoint has no weights.
    """
    stem = os.path.splitext(path)[0]
    best_header = best_path(stem.rpartition("-")[0])
    best_weights = f"{os.path.splitext(best_header)[0]}.params"
    try:
        with atomic_files(best_weights, best_header) as temporaries:
            for source, temporary in zip((f"{stem}.params", path), temporaries):
                # A killed run may have left it, and os.link refuses an existing name.
                remove_if_exists(temporary)
                _link_or_copy(source, temporary)
    except OSError as error:
        raise CheckpointError(f"cannot write {best_weights}: {error}") from error
    return best_weights


def keep_weights(path: str, prefix: str) -> str:
    """Give the weights of a checkpoint a second name, so that the run may delete the checkpoint.

    Parameters
    ----------
    path : str
        The header of the checkpoint, a ``.json``.
    prefix : str
        Folder and beginning of the new names.

    Returns
    -------
    str
        The header of a checkpoint with the same weights and state, and without the optimizer.
        ``remove_checkpoint`` deletes it.

    Raises
    ------
    FileNotFoundError
        The checkpoint was deleted meanwhile. Nothing remains under the new names.
    OSError
        The files cannot be written. Nothing remains under the new names either.
    """
    stem = os.path.splitext(path)[0]
    step = stem.rpartition("-")[2]
    kept = f"{prefix}-{step}.{HEADER_ENDING}"
    remove_checkpoint(kept)
    try:
        # A header is deleted before its weights: if it is still there, the weights were complete.
        for ending in ("params", HEADER_ENDING):
            _link_or_copy(f"{stem}.{ending}", f"{prefix}-{step}.{ending}")
    except OSError:
        remove_checkpoint(kept)
        raise
    return kept


def remove_checkpoint(path: str) -> None:
    """Delete the files of a checkpoint, as far as there are any.

    Parameters
    ----------
    path : str
        Its header, a ``.json``.

    Raises
    ------
    OSError
        A file cannot be deleted.
    """
    stem = os.path.splitext(path)[0]
    # A checkpoint exists if its header does, so the header goes first.
    for ending in reversed(FILE_ENDINGS):
        remove_if_exists(f"{stem}.{ending}")


def _link_or_copy(source: str, target: str) -> None:
    """Give a file a second name, or copy it if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


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
