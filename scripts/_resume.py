"""Which checkpoint a training run continues from, and what it says about it."""

import os
import sys
from typing import Any, Dict, List, Optional, Union

from gluonnorm import training
from gluonnorm.errors import InputError, first_few
from gluonnorm.training.checkpoint import FILE_ENDINGS
from gluonnorm.weight_files import read_description

import mxnet as mx
from _arguments_file import arguments_path
from _cli import flag_of

SHOWN_CHANGES = 6
# Flags that do not change what is learned, and those that have a note of their own. A checkpoint of
# other settings than those of --set is refused.
NEUTRAL_FLAGS = (
    "resume",
    "save_prefix",
    "save_interval",
    "save_steps",
    "log_interval",
    "val_interval",
    "val_split",
    "num_workers",
    "font",
    "plugin",
    "seed",
    "set",
    "minutes",
    "momentum",
    "wd",
)
# Flags that change what is scored alone.
SCORED_FLAGS = ("val_split",)
# Settings that come back with the optimizer's state, and their flags.
KEPT_SETTINGS = {"momentum": "--momentum", "wd": "--wd"}


def check_resume(prefix: str, resume: Union[bool, str]) -> Optional[str]:
    """Check ``--resume`` against the files that are there, before any work begins.

    Parameters
    ----------
    prefix : str
        The value of ``--save-prefix``.
    resume : bool or str
        The value of ``--resume``: a file of a checkpoint, or whether to take the newest one.

    Returns
    -------
    str or None
        The ``.json`` of the checkpoint that ``--resume`` names; None if it names none.

    Raises
    ------
    InputError
        There is no such checkpoint, or the run would mix its files with those of an earlier run.
    """
    newest = training.latest(prefix)
    chosen = checkpoint_of_file(resume) if isinstance(resume, str) and resume else None
    continues_prefix = bool(resume) if chosen is None else _is_under(prefix, chosen)
    # Pruning keeps the checkpoints of the highest steps, which would be those of the earlier run.
    if newest is not None and not continues_prefix:
        raise InputError(
            f"{newest} is of an earlier run; --resume continues it, another "
            "--save-prefix leaves it alone"
        )
    if resume and newest is None and chosen is None:
        raise InputError(f"--resume: no checkpoint under {prefix!r}; leave it out to start afresh")
    return chosen


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
    files = [f"{stem}.{file_ending}" for file_ending in FILE_ENDINGS]
    missing = [file for file in files if not os.path.isfile(file)]
    if not missing:
        return files[-1]
    if os.path.isfile(f"{stem}.params"):
        raise InputError(
            f"--resume {path}: {missing[-1]} is missing, and weights alone cannot continue a run; "
            f"use an earlier checkpoint, or --pretrained {stem}.params starts a new run from them"
        )
    newest = training.latest(path)
    if newest is not None:
        raise InputError(
            f"--resume {path}: no such checkpoint; --save-prefix {path} --resume continues {newest}"
        )
    raise InputError(
        f"--resume {path}: no such checkpoint; give its .json, such as run-0001200.json"
    )


def load_checkpoint(
    prefix: str,
    chosen: Optional[str],
    net: mx.gluon.Block,
    trainer: mx.gluon.Trainer,
    spec: Dict[str, Any],
) -> Dict[str, Any]:
    """Load the checkpoint that a run continues, and say which others were set aside.

    Parameters
    ----------
    prefix : str
        The value of ``--save-prefix``.
    chosen : str or None
        What ``check_resume`` returns. None takes the newest sound checkpoint of the prefix.
    net : mx.gluon.Block
        The network that takes the weights.
    trainer : mx.gluon.Trainer
        The trainer that takes the optimizer.
    spec : dict
        The network's description.

    Returns
    -------
    dict
        The state of the loop.

    Raises
    ------
    CheckpointError
        The named checkpoint, or every one of the prefix, is damaged or does not fit.
    """
    asked = {name: getattr(trainer.optimizer, name) for name in KEPT_SETTINGS}
    if chosen is not None:
        state = training.load(chosen, net, trainer, spec)
        _leave_newer_ones(prefix, chosen, state["step"])
    else:
        state = _load_newest(prefix, net, trainer, spec)
    for name, flag in KEPT_SETTINGS.items():
        kept = getattr(trainer.optimizer, name)
        if kept != asked[name]:
            _note(f"{flag} {asked[name]} has no effect; the checkpoint's optimizer keeps {kept}")
    return state


def note_changes(saved: Dict[str, Any], current: Dict[str, Any]) -> None:
    """Say what makes a continued run differ from one that was never stopped.

    Parameters
    ----------
    saved : dict
        The state of the checkpoint.
    current : dict
        The state of the loop that continues from it.
    """
    changes = []
    for name, value in current.items():
        if saved.get(name, value) != value:
            changes.append(f"{name} was {saved[name]} and is {value}")
    if changes:
        _note(
            f"--resume: {', '.join(changes)}; the run will not repeat one that was never stopped "
            "(an epoch follows from --batch-size and the data set)"
        )


def tell_if_over(step: int, epochs: int, steps_per_epoch: int) -> None:
    """Say that a run that is continued has made all of its updates.

    Parameters
    ----------
    step : int
        Updates that it has made.
    epochs, steps_per_epoch : int
        How many epochs it shall have, and the updates of each.
    """
    if step >= epochs * steps_per_epoch:
        print(
            f"nothing is left to train: the run has made {step} updates, and --epochs {epochs} are "
            f"{epochs * steps_per_epoch}; more --epochs continue it"
        )


def earlier_prefix(prefix: str, chosen: Optional[str]) -> str:
    """Find the prefix of the run that is continued.

    Parameters
    ----------
    prefix : str
        The value of ``--save-prefix``.
    chosen : str or None
        What ``check_resume`` returns.

    Returns
    -------
    str
        The prefix of the checkpoint that ``--resume`` names; ``prefix`` if it names none.
    """
    return prefix if chosen is None else os.path.splitext(chosen)[0].rpartition("-")[0]


def note_changed_flags(prefix: str, flags: Dict[str, Any]) -> None:
    """Say which flags of a continued run are not those of the earlier run.

    Parameters
    ----------
    prefix : str
        What ``earlier_prefix`` returns.
    flags : dict of str to any
        The value of each flag. They are compared with those in the ``-arguments.json`` of the run
        that is continued, if it has one.
    """
    try:
        content = read_description(arguments_path(prefix))
        earlier = content["arguments"]
        # Flags of other versions are in one of the two only.
        names = [name for name in flags if name in earlier]
        if "choices" not in content:
            # A version without choices wrote None for the default rate.
            earlier["lr"] = flags["lr"] if earlier["lr"] is None else earlier["lr"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    scored = []
    for name in SCORED_FLAGS:
        if name in names and earlier[name] != flags[name]:
            scored.append(f"{flag_of(name)} was {earlier[name]} and is {flags[name]}")
    if scored and flags["val_interval"]:
        _note(
            f"--resume: {', '.join(scored)}; the scores before and after are of other images, and "
            "the best weights are chosen among both"
        )
    neutral = NEUTRAL_FLAGS if flags["lr_mode"] == "cosine" else (*NEUTRAL_FLAGS, "epochs")
    changes = []
    for name in names:
        if name not in neutral and earlier[name] != flags[name]:
            changes.append(f"{flag_of(name)} was {earlier[name]} and is {flags[name]}")
    if changes:
        _note(
            f"--resume: {first_few(changes, SHOWN_CHANGES)}; the run goes on with the new values, "
            "and will not repeat one that was never stopped"
        )


def _load_newest(
    prefix: str, net: mx.gluon.Block, trainer: mx.gluon.Trainer, spec: Dict[str, Any]
) -> Dict[str, Any]:
    """Load the newest sound checkpoint, and return the state of the loop."""
    loaded = training.load_newest(prefix, net, trainer, spec)
    assert loaded is not None, "check_resume has seen a checkpoint"
    if loaded.faults:
        later_best = _later_best(prefix, loaded.state["step"])
        training.set_aside(later_best)
        also = f" and the best weights of later steps, {first_few(later_best)}," * bool(later_best)
        _note(
            f"{first_few(loaded.faults)}; continuing from {loaded.path}, and the damaged "
            f"checkpoints{also} now end in .aside"
        )
    return loaded.state


def _leave_newer_ones(prefix: str, chosen: str, step: int) -> None:
    """Set the checkpoints aside that the run goes back behind, and best weights of such steps."""
    newer: List[str] = []
    for path in training.newest_first(prefix):
        if os.path.realpath(path) == os.path.realpath(chosen):
            break
        newer.append(path)
    newer += _later_best(prefix, step)
    training.set_aside(newer)
    if newer:
        _note(f"going back to {chosen}; the newer {first_few(newer)} now end in .aside")


def _later_best(prefix: str, step: int) -> List[str]:
    """List the best weights of a prefix, if they are of a step that the run goes back behind.

    They belong to a part that is no longer one of the run, and their score is forgotten with it.
    """
    path = training.best_path(prefix)
    try:
        return [path] if training.read(path)["state"]["step"] > step else []
    except training.DamagedCheckpoint:  # also if there are none
        return []


def _is_under(prefix: str, path: str) -> bool:
    """Whether a checkpoint is one of those under a prefix."""
    checkpoints = map(os.path.realpath, training.newest_first(prefix))
    return os.path.realpath(path) in checkpoints


def _note(text: str) -> None:
    """Print a line that is no error."""
    print(f"note: {text}", file=sys.stderr)
