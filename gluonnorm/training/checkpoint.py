"""Checkpoints that appear completely or not at all, and are checked before anything is loaded.

A checkpoint of step 1200 under the prefix ``run/blood`` is three files:
``run/blood-0001200.params`` (weights by structural names), ``.states`` (the trainer's optimizer
with its momentum) and ``.json``, the header. The header describes the network, and holds the loop's
state and the checksums of the other two files and of itself. It is written last: a checkpoint
exists if and only if its header does.

MXNet writes ``.states`` as a pickle, which can run code when it is loaded: resume only from
checkpoints you trust.
"""

import hashlib
import json
import os
import re
from typing import Any, Callable, Dict, List, Optional

from gluonnorm.errors import GluonnormError, first_few, first_line
from gluonnorm.training.checkpoint_mismatch import spec_mismatches, trainer_mismatches
from gluonnorm.training.parameters import trainer_parameter_names
from gluonnorm.weight_files import atomic_files, compare, file_digest, read_description

import mxnet as mx
import numpy as np
from mxnet import gluon

FILE_ENDINGS = ("params", "states", "json")  # in the order in which they appear
HEADER_TYPES = {"spec": dict, "state": dict, "trained": list, "files": dict}
HEADER_DIGEST_KEY = "sha256"  # headers of version 0.1 do not have it
RIGHT_FILE = "give the .json that was saved beside the .params"
UNTOUCHED = "Older checkpoints are untouched"


class CheckpointError(GluonnormError, RuntimeError):
    """A checkpoint cannot be written or read, or does not belong to this network."""


class DamagedCheckpoint(CheckpointError):
    """A file of a checkpoint is missing, cut off or altered.

    Parameters
    ----------
    fault : str
        What is wrong with which file.
    way_out : str
        What the user can do.

    Attributes
    ----------
    fault : str
        What is wrong with which file.
    """

    def __init__(self, fault: str, way_out: str = "use an earlier checkpoint") -> None:
        self.fault = fault
        super().__init__(f"{fault}; {way_out}")


def save(
    prefix: str,
    net: gluon.Block,
    trainer: gluon.Trainer,
    state: Dict[str, Any],
    spec: Dict[str, Any],
) -> str:
    """Write a checkpoint.

    Parameters
    ----------
    prefix : str
        Folder and beginning of the file names. A missing folder is made.
    net : gluon.Block
        The network whose weights are saved.
    trainer : gluon.Trainer
        The trainer whose optimizer is saved.
    state : dict
        What ``load`` will return, such as ``Loop.state()``. JSON can hold it. Its ``step`` is the
        number of updates made, and becomes a part of the file names.
    spec : dict
        A description of the network that JSON can hold. ``load`` can compare it with another.

    Returns
    -------
    str
        The path of the header, a ``.json``.

    Raises
    ------
    CheckpointError
        A file cannot be written, or weights are not finite; the message names the file and the
        cause. Then no file of this checkpoint remains, and the others are unchanged.
    """
    stem = f"{prefix}-{state['step']:07d}"
    paths = [f"{stem}.{ending}" for ending in FILE_ENDINGS]
    params_path, states_path, header_path = paths
    trained = trainer_parameter_names(net, trainer)
    header: Dict[str, Any] = {"spec": spec, "state": state, "trained": trained, "files": {}}
    try:
        os.makedirs(os.path.dirname(prefix) or ".", exist_ok=True)
        with atomic_files(*paths) as (params_temporary, states_temporary, header_temporary):
            _write(params_path, net.save_parameters, params_temporary)
            _check_weights(params_path, params_temporary)
            _write(states_path, trainer.save_states, states_temporary)
            header["files"]["params"] = _fingerprint(params_temporary)
            header["files"]["states"] = _fingerprint(states_temporary)
            header[HEADER_DIGEST_KEY] = _header_digest(header)
            with open(header_temporary, "w", encoding="utf-8") as file:
                json.dump(header, file, indent=1)
    except OSError as error:
        raise CheckpointError(
            f"cannot save the checkpoint {header_path}: {error}. {UNTOUCHED}"
        ) from error
    return header_path


def read(path: str) -> Dict[str, Any]:
    """Read the header of a checkpoint.

    Parameters
    ----------
    path : str
        The ``.json`` of the checkpoint.

    Returns
    -------
    dict
        ``spec`` and ``state`` as they were saved, ``trained`` (the names of the trainer's
        parameters) and ``files`` (the size and SHA-256 of the other files by their ending).

    Raises
    ------
    DamagedCheckpoint
        The file cannot be read, was altered, or is not the header of a checkpoint.
    """
    try:
        header = read_description(path)
    except (OSError, ValueError) as error:
        raise DamagedCheckpoint(
            f"{path} cannot be read as a checkpoint's .json ({first_line(error)})", RIGHT_FILE
        ) from error
    fault = _header_fault(header)
    if fault:
        raise DamagedCheckpoint(f"{path} is JSON but not of a checkpoint ({fault})", RIGHT_FILE)
    if HEADER_DIGEST_KEY in header and header[HEADER_DIGEST_KEY] != _header_digest(header):
        raise DamagedCheckpoint(
            f"{path} was altered since it was written (its own SHA-256 differs)",
            f"copy it again, or take the field {HEADER_DIGEST_KEY!r} out if you mean the change",
        )
    return header


def load(
    path: str,
    net: gluon.Block,
    trainer: Optional[gluon.Trainer] = None,
    spec: Optional[Dict[str, Any]] = None,
) -> Dict[str, Any]:
    """Load a checkpoint into a network and a trainer, after everything was checked.

    Parameters
    ----------
    path : str
        The header of the checkpoint, a ``.json``.
    net : gluon.Block
        The network that takes the weights. It need not be initialized.
    trainer : gluon.Trainer, optional
        The trainer that takes the optimizer: momentum, update counts, weight decay, learning rate.
    spec : dict, optional
        The description of the network. Each of its fields, nested ones too, must be the same in
        the checkpoint's ``spec``, which may have more.

    Returns
    -------
    dict
        The ``state`` that was saved.

    Raises
    ------
    DamagedCheckpoint
        A file is missing, cut off or altered. The network and the trainer are then unchanged.
    CheckpointError
        The checkpoint does not fit; the message lists everything that does not. The network and the
        trainer are then unchanged.
    """
    header = read(path)
    # JSON makes lists of tuples, so the description is compared in the form it has in the file.
    expected_spec = json.loads(json.dumps(spec or {}))
    problems = spec_mismatches(header["spec"], expected_spec)
    if problems:
        raise CheckpointError(
            f"{path} is a checkpoint of another network: {'; '.join(problems)}. Build the network "
            "with the checkpoint's values, or start without the checkpoint"
        )
    stem = os.path.splitext(path)[0]
    step = header["state"]["step"]
    if trainer is not None and _step_in_name(stem) not in (None, step):
        raise DamagedCheckpoint(
            f"{path} holds the state of step {step}, which is not the step of its name",
            "give the files of the checkpoint their names again",
        )
    params_path = f"{stem}.params"
    states_path = f"{stem}.states"
    _verify(params_path, header["files"]["params"])
    if trainer is not None:
        _verify(states_path, header["files"]["states"])
    problems = _weight_mismatches(params_path, net)
    if trainer is not None:
        problems += trainer_mismatches(header["trained"], trainer_parameter_names(net, trainer))
    if problems:
        raise CheckpointError(f"{path} does not fit the network: {'; '.join(problems)}")
    net.load_parameters(params_path)
    if trainer is not None:
        trainer.load_states(states_path)
    return header["state"]


def _write(path: str, write: Callable[[str], None], temporary: str) -> None:
    """Write a file under its temporary name; error messages give it its final name, ``path``."""
    try:
        write(temporary)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error}. {UNTOUCHED}") from error
    except mx.base.MXNetError as error:
        raise _incomplete(path, error) from error


def _check_weights(path: str, temporary: str) -> None:
    """Read written weights back, and refuse those that are not finite."""
    try:
        # MXNet 1.9.1 closes a file without checking that its last bytes reached the disk, so a full
        # disk shows only when the file is read back.
        arrays = mx.nd.load(temporary)
    except mx.base.MXNetError as error:
        raise _incomplete(path, error) from error
    not_finite = [name for name, array in arrays.items() if not np.isfinite(array.asnumpy()).all()]
    if not_finite:
        raise CheckpointError(
            f"not saved to {path}: {first_few(not_finite)} hold NaN or infinity. {UNTOUCHED}; "
            "resume from the last one with a lower learning rate"
        )


def _incomplete(path: str, error: mx.base.MXNetError) -> CheckpointError:
    """Make the error for a file that MXNet could not write completely."""
    return CheckpointError(
        f"cannot write {path} completely ({first_line(error)}); is the disk full? {UNTOUCHED}"
    )


def _weight_mismatches(params_path: str, net: gluon.Block) -> List[str]:
    """List the weights in a file that do not fit a network."""
    mismatches = compare(
        stored=mx.nd.load(params_path),
        expected=net._collect_params_with_prefix(),
        check_dtypes=True,
    )
    return [str(mismatches)] if mismatches else []


def _step_in_name(stem: str) -> Optional[int]:
    """The step in the name of a checkpoint; None if the files were given another name."""
    match = re.search(r"-(\d{7,})$", stem)
    return int(match[1]) if match else None


def _fingerprint(path: str) -> Dict[str, Any]:
    """Size and checksum of a file, as the header holds them."""
    return {"size": os.path.getsize(path), "sha256": file_digest(path, "sha256")}


def _verify(path: str, expected: Dict[str, Any]) -> None:
    """Compare a file with the size and checksum that the header holds."""
    try:
        # The size comes first: what stands in for the file may be a device without an end.
        size = os.path.getsize(path)
        if size != expected["size"]:
            raise DamagedCheckpoint(
                f"{path} is damaged: {size} bytes, {expected['size']} were written"
            )
        digest = file_digest(path, "sha256")
    except OSError as error:
        raise DamagedCheckpoint(f"{path} cannot be read ({error})") from error
    if digest != expected["sha256"]:
        raise DamagedCheckpoint(f"{path} was altered since it was written (SHA-256 differs)")


def _header_fault(header: Dict[str, Any]) -> str:
    """Say which field of a header is missing or of a wrong type; "" if it is complete."""
    for name, expected_type in HEADER_TYPES.items():
        if not isinstance(header.get(name), expected_type):
            return f"{name} is missing or of a wrong type"
    if not _is_count(header["state"].get("step")):
        return "state.step is no number of updates"
    if not all(isinstance(name, str) for name in header["trained"]):
        return "trained holds something else than names"
    for ending in FILE_ENDINGS[:2]:
        fingerprint = header["files"].get(ending)
        if not isinstance(fingerprint, dict):
            return f"files.{ending} is missing or of a wrong type"
        if not _is_count(fingerprint.get("size")) or not isinstance(fingerprint.get("sha256"), str):
            return f"files.{ending} has no size and sha256"
    return ""


def _is_count(value: Any) -> bool:
    """Whether a value of a JSON file is an integer of at least 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _header_digest(header: Dict[str, Any]) -> str:
    """Compute the checksum of everything in a header except for this checksum itself."""
    # The trip through JSON turns tuples into the lists that a reader gets.
    content = json.loads(json.dumps(header))
    content.pop(HEADER_DIGEST_KEY, None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
