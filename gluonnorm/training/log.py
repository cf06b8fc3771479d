"""Logs of a run: running means, a text file for people, and JSON lines for programs."""

import json
import os
import time
import warnings
from collections import deque
from typing import Any, Deque, Dict, List, Tuple

from gluonnorm.errors import InputError
from gluonnorm.training.callback import Callback, RunningLoop, StepRecord
from gluonnorm.training.loss_scale import LossScale

from tqdm import tqdm


class RunningMeans:
    """Means of the most recent values of several names.

    The values are Python numbers, so computing a mean never waits for a device.

    Parameters
    ----------
    window : int
        How many values of each name count, at least 1.

    Examples
    --------
    >>> means = RunningMeans(window=2)
    >>> for loss in (5.0, 2.0, 4.0):
    ...     means.update({"loss": loss})
    >>> means.values()
    {'loss': 3.0}
    """

    def __init__(self, window: int = 20) -> None:
        if window < 1:
            raise InputError(f"window is {window}; want at least 1 value")
        self.window = window
        self._recent_values: Dict[str, Deque[float]] = {}

    def update(self, values: Dict[str, float]) -> None:
        """Add one value to each name.

        Parameters
        ----------
        values : dict of str to float
            The values. A new name starts a history of its own.
        """
        for name, value in values.items():
            recent = self._recent_values.setdefault(name, deque(maxlen=self.window))
            recent.append(value)

    def values(self) -> Dict[str, float]:
        """Compute the means.

        Returns
        -------
        dict of str to float
            The mean of each name, in the order in which the names first came.
        """
        means = {}
        for name, recent in self._recent_values.items():
            means[name] = sum(recent) / len(recent)
        return means


class TextLog(Callback):
    """Callback that writes a log file for people.

    It writes one line with a time stamp and smoothed losses every ``every`` steps, and the lines
    that a program gives to ``write``. A line that cannot be written costs a warning, not the run.

    Parameters
    ----------
    path : str
        The file. An existing one is continued; a missing folder is made.
    every : int
        Steps from one line to the next, at least 1. The losses of these steps are averaged.
    echo : bool
        Whether the lines also go to standard output, above the progress bar.
    """

    def __init__(self, path: str, every: int = 20, echo: bool = False) -> None:
        if every < 1:
            raise InputError(f"TextLog.every is {every}; want at least 1 step")
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self.path = path
        self.every = every
        self.echo = echo
        self._means = RunningMeans(every)

    def write(self, line: str) -> None:
        """Append a line, with the time in front.

        Parameters
        ----------
        line : str
            The text, without a newline.
        """
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        try:
            _append_line(self.path, f"{stamp} {line}")
        except OSError as error:
            _warn_of_gap(error)
        if self.echo:
            tqdm.write(line)

    def on_losses(self, loop: RunningLoop, record: StepRecord) -> None:
        """Take the losses of a step, and write a line if one is due."""
        self._means.update({**record.losses, "images/s": record.images_per_second})
        if record.step % self.every != 0:
            return
        parts = [f"epoch {record.epoch + 1}", f"step {record.step}", f"lr {record.rate:.4g}"]
        for name, value in self._means.values().items():
            parts.append(f"{name} {value:.4g}")
        self.write("  ".join(parts))


class OverflowLog(Callback):
    """Callback that writes a line for people whenever a loss scale has skipped an update.

    Parameters
    ----------
    text : TextLog
        Where the line is written.
    loss_scale : LossScale
        The loss scale of the training step.
    """

    def __init__(self, text: TextLog, loss_scale: LossScale) -> None:
        self.text = text
        self.loss_scale = loss_scale
        self._seen = loss_scale.skipped

    def on_step_end(self, loop: RunningLoop) -> None:
        """Write a line if the last step made no update."""
        if self.loss_scale.skipped > self._seen:
            self._seen = self.loss_scale.skipped
            self.text.write(
                f"step {loop.step}: gradients overflowed, so this step made no update; the loss "
                f"scale is now {self.loss_scale.value:g}"
            )


class MetricsLog(Callback):
    """Callback that writes a log file for programs, one JSON object a line.

    The row of a training step has ``step``, ``epoch``, ``lr``, ``losses``, ``images_per_second``
    and ``time`` (seconds since 1970). Other rows go through ``write``; ``plot.plot_curves`` draws
    the rows that have a dictionary of metrics as ``eval``. The row of a step that cannot be written
    costs a warning, not the run.

    Parameters
    ----------
    path : str
        The file. An existing one is continued; a missing folder is made.
    """

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self.path = path
        _drop_cut_line(path)

    def write(self, row: Dict[str, Any]) -> None:
        """Append a row. The file is closed after each one, so a kill loses no earlier row.

        Parameters
        ----------
        row : dict
            A dictionary that JSON can hold, with at least ``step``. ``time`` is added.

        Raises
        ------
        OSError
            The row cannot be written. The file is then as it was.
        """
        _append_line(self.path, json.dumps({**row, "time": time.time()}))

    def on_losses(self, loop: RunningLoop, record: StepRecord) -> None:
        """Write the row of a training step."""
        row = {
            "step": record.step,
            "epoch": record.epoch,
            "lr": record.rate,
            "losses": record.losses,
            "images_per_second": record.images_per_second,
        }
        try:
            self.write(row)
        except OSError as error:
            _warn_of_gap(error)


def read_metrics(path: str) -> List[Dict[str, Any]]:
    """Read the rows of a ``MetricsLog`` file.

    A last line without its newline is left out: the run was killed, or is writing it now. If the
    steps jump back, the run was resumed from an earlier checkpoint; the rows that had been written
    after that checkpoint are dropped.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    list of dict
        The rows, steps ascending; the evaluation of a step comes after its losses.

    Raises
    ------
    InputError
        A line is no row of metrics; the message has the line's number.
    OSError
        The file cannot be read.
    """
    rows: List[Dict[str, Any]] = []
    # Editors on Windows put a mark of the encoding in front, which is no JSON.
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                break
            try:
                row = json.loads(line)
                position = _position(row)
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path}, line {number}: not a metrics row ({error}); remove the line"
                ) from error
            while rows and _position(rows[-1]) >= position:
                rows.pop()
            rows.append(row)
    return rows


def _position(row: Dict[str, Any]) -> Tuple[int, bool]:
    """Return the sort key of a row: its step; an evaluation comes after the losses of its step."""
    return row["step"], "eval" in row


def _append_line(path: str, line: str) -> None:
    """Append a line to a file completely or not at all."""
    # The folder may have been moved away during the run.
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        unwritten = f"{line}\n".encode()
        try:
            while unwritten:
                unwritten = unwritten[file.write(unwritten) :]
        except OSError as error:
            # A full disk may have taken a part of the line, and later lines would follow it.
            file.truncate(size)
            error.filename = path
            raise


def _warn_of_gap(error: OSError) -> None:
    """Say that a log has a gap; Python shows the same warning only once."""
    warnings.warn(f"{error}; this log has a gap, the run goes on", stacklevel=3)


def _drop_cut_line(path: str) -> None:
    """Remove the text after the last newline of a file, which a killed run did not finish."""
    if not os.path.exists(path):
        return
    with open(path, "rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
