"""Checkpoints: written whole or not at all, checked before anything is loaded from them.

A checkpoint of step 1200 under the prefix ``run/blood`` is three files: ``run/blood-0001200.params`` (weights by
structural names), ``.states`` (the trainer's optimizer, momentum included) and ``.json``, which names the network,
holds the loop's state and the checksums of the other two. The ``.json`` is written last: a checkpoint exists if and
only if its ``.json`` does.

``.states`` is a pickle, as MXNet makes it: resume only from checkpoints you trust.
"""
import hashlib
import json
import os
import re
import shutil
from typing import Any, Callable, Dict, List, Optional, Tuple

from gluonnorm.errors import GluonnormError
from gluonnorm.training.checkpoint_mismatch import some, spec_misfits, trained_names, trainer_misfits, weight_misfits

import mxnet as mx
import numpy as np
from mxnet import gluon

_KINDS = ("params", "states", "json")  # in the order they come into being


class CheckpointError(GluonnormError, RuntimeError):
    """A checkpoint could not be written, read, or does not belong to this network."""


def save(prefix: str, net: gluon.Block, trainer: gluon.Trainer, state: Dict[str, Any], spec: Dict[str, Any]) -> str:
    """Write a checkpoint and return the path of its ``.json``.

    Parameters
    ----------
    prefix : str
        Folder and beginning of the file names; the folder is made if missing.
    net, trainer
        What to save.
    state : dict
        JSON-able, with the number of updates as ``step``; ``Loop.state()`` gives one. Comes back from ``load``.
    spec : dict
        JSON-able description of the network; ``load`` can compare it.

    Raises ``CheckpointError`` that names file and cause, for a full disk as for weights that are not finite. Then no
    file of this checkpoint is left, and no other checkpoint was touched.
    """
    stem = f"{prefix}-{state['step']:07d}"
    record: Dict[str, Any] = {"spec": spec, "state": state, "trained": trained_names(net, trainer), "files": {}}
    try:
        _make_folder(prefix)
        record["files"]["params"] = _write(f"{stem}.params", net.save_parameters, check=_check_weights)
        record["files"]["states"] = _write(f"{stem}.states", trainer.save_states)
        _write(f"{stem}.json", lambda path: _write_json(path, record))
        # Everything is on the disk; from here on only names change. A checkpoint of the same step ceases to exist
        # before its files are replaced, so that no .json ever describes files that are not its own.
        _remove(f"{stem}.json")
        for kind in _KINDS:
            os.replace(f"{stem}.{kind}.tmp", f"{stem}.{kind}")
        _sync_folder(prefix)
    except BaseException as error:
        for kind in _KINDS:
            _remove(f"{stem}.{kind}.tmp")
        if not os.path.exists(f"{stem}.json"):
            _remove(f"{stem}.params")
            _remove(f"{stem}.states")
        if isinstance(error, OSError):
            raise CheckpointError(f"cannot save the checkpoint {stem}.json: {error}") from error
        raise
    return f"{stem}.json"


def read(path: str) -> Dict[str, Any]:
    """The record in a checkpoint's ``.json``: ``spec``, ``state``, ``trained`` and ``files``."""
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint's .json ({error}); "
                              "give the .json that was saved beside the .params") from error
    if not isinstance(record, dict) or not {"spec", "state", "trained", "files"} <= set(record):
        raise CheckpointError(f"{path} is JSON but not of a checkpoint; give the .json saved beside the .params")
    return record


def load(path: str, net: gluon.Block, trainer: Optional[gluon.Trainer] = None,
         spec: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    """Load the checkpoint at ``path``, a ``.json``, into ``net`` and ``trainer``, and return its ``state``.

    Files, ``spec`` (only the fields given, nested ones too), names, shapes and types are all checked before anything
    is changed; whatever does not fit is listed in a ``CheckpointError``. The trainer gets the saved optimizer as it
    was: momentum, update counts, weight decay and learning rate.
    """
    record = read(path)
    misfits = spec_misfits(record["spec"], json.loads(json.dumps(spec or {})))  # tuples become lists, as in the file
    if misfits:
        raise CheckpointError(f"{path} is a checkpoint of another network: {'; '.join(misfits)}. "
                              "Build the network with the checkpoint's values, or start without it")
    stem = os.path.splitext(path)[0]
    for kind in ("params", "states") if trainer is not None else ("params",):
        _verify(f"{stem}.{kind}", record["files"][kind])
    misfits = weight_misfits(mx.nd.load(f"{stem}.params"), net)
    if trainer is not None:
        misfits += trainer_misfits(record["trained"], trained_names(net, trainer))
    if misfits:
        raise CheckpointError(f"{path} does not fit the network: {'; '.join(misfits)}")
    net.load_parameters(f"{stem}.params")
    if trainer is not None:
        trainer.load_states(f"{stem}.states")
    return record["state"]


def latest(prefix: str) -> Optional[str]:
    """Path of the ``.json`` of the newest checkpoint (highest step) under ``prefix``, or None."""
    steps = [step for step, kind in _files(prefix) if kind == "json"]
    return f"{prefix}-{max(steps):07d}.json" if steps else None


def prune(prefix: str, keep: int) -> None:
    """Delete all but the newest ``keep`` checkpoints under ``prefix``, and what killed runs left of unfinished ones."""
    if keep < 1:
        raise ValueError(f"keep is {keep}; at least the newest checkpoint must stay")
    files = _files(prefix)
    kept = sorted(step for step, kind in files if kind == "json")[-keep:]
    doomed = [(step, kind) for step, kind in files if step not in kept or kind.endswith(".tmp")]
    for step, kind in sorted(doomed, key=lambda file: file[1] != "json"):  # a .json goes before the files it describes
        _remove(f"{prefix}-{step:07d}.{kind}")


def mark_best(path: str) -> str:
    """Keep the weights of the checkpoint at ``path`` as ``<prefix>-best.params``, safe from ``prune``."""
    stem = os.path.splitext(path)[0]
    best = f"{stem.rpartition('-')[0]}-best.params"
    try:
        _remove(f"{best}.tmp")
        try:
            os.link(f"{stem}.params", f"{best}.tmp")
        except OSError:  # a file system without hard links
            shutil.copyfile(f"{stem}.params", f"{best}.tmp")
        os.replace(f"{best}.tmp", best)
    except OSError as error:
        _remove(f"{best}.tmp")
        raise CheckpointError(f"cannot write {best}: {error}") from error
    return best


def _write(path: str, write: Callable[[str], None],
           check: Callable[[str, str], None] = lambda temporary, path: None) -> Dict[str, Any]:
    """Write ``path + ".tmp"`` through ``write(name)``, bring it to the disk, and return its size and checksum."""
    temporary = f"{path}.tmp"
    try:
        write(temporary)
        check(temporary, path)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        return _fingerprint(temporary)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error}. Older checkpoints are untouched") from error
    except mx.base.MXNetError as error:  # a stack trace whose last line says what happened, but not why
        cause = str(error).strip().splitlines()[-1]
        raise CheckpointError(f"cannot write {path} whole ({cause}); is the disk full? "
                              "Older checkpoints are untouched") from error


def _write_json(path: str, record: Dict[str, Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)


def _check_weights(temporary: str, path: str) -> None:
    """Read a written .params back: MXNet closes a file without asking whether its last bytes reached the disk."""
    bad = [name for name, array in mx.nd.load(temporary).items() if not np.isfinite(array.asnumpy()).all()]
    if bad:
        raise CheckpointError(f"not saved to {path}: {some(bad)} hold NaN or infinity. Older checkpoints are "
                              "untouched; resume from the last with a lower learning rate")


def _fingerprint(path: str) -> Dict[str, Any]:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return {"size": os.path.getsize(path), "sha256": digest.hexdigest()}


def _make_folder(prefix: str) -> None:
    os.makedirs(os.path.dirname(prefix) or ".", exist_ok=True)


def _sync_folder(prefix: str) -> None:
    """Bring the new names themselves to the disk."""
    folder = os.open(os.path.dirname(prefix) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.remove(path)


def _files(prefix: str) -> List[Tuple[int, str]]:
    """(step, ending) of every file a checkpoint under ``prefix`` consists of, finished or temporary."""
    folder, name = os.path.split(prefix)
    pattern = re.compile(re.escape(name) + r"-(\d{7,})\.((?:params|states|json)(?:\.tmp)?)")
    folder = folder or "."
    matches = [pattern.fullmatch(file) for file in os.listdir(folder)] if os.path.isdir(folder) else []
    return [(int(match[1]), match[2]) for match in matches if match]


def _verify(path: str, expected: Dict[str, Any]) -> None:
    try:
        found = _fingerprint(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error}); use an earlier checkpoint") from error
    if found["size"] != expected["size"]:
        raise CheckpointError(f"{path} is damaged: {found['size']} bytes, {expected['size']} were written; "
                              "use an earlier checkpoint")
    if found["sha256"] != expected["sha256"]:
        raise CheckpointError(f"{path} was altered since it was written (SHA-256 differs); use an earlier checkpoint")
