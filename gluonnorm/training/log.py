"""What a run leaves to read: smoothed values, a text log, and metrics as JSON lines."""
import json
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, List

from gluonnorm.training.callback import Callback, StepRecord

from tqdm import tqdm

if TYPE_CHECKING:  # the loop imports this file; only annotations look back
    from gluonnorm.training.loop import Loop


class RunningMeans:
    """Mean of the last ``window`` values of each name. Takes plain numbers, so it never waits for a device."""

    def __init__(self, window: int = 20) -> None:
        if window < 1:
            raise ValueError(f"window is {window}; it must hold at least one value")
        self.window = window
        self._recent: Dict[str, Deque[float]] = {}

    def update(self, values: Dict[str, float]) -> None:
        """Add one value to each name; a new name starts its own history."""
        for name, value in values.items():
            self._recent.setdefault(name, deque(maxlen=self.window)).append(value)

    def values(self) -> Dict[str, float]:
        """{name: mean}, in the order the names first came."""
        return {name: sum(recent) / len(recent) for name, recent in self._recent.items()}


class TextLog(Callback):
    """Log file for people: one line with a time stamp every ``every`` steps, smoothed, and whatever is written to it.

    The file at ``path`` is appended to. With ``echo`` the lines also go to standard output, past the progress bar.
    """

    def __init__(self, path: str, every: int = 20, echo: bool = False) -> None:
        if every < 1:
            raise ValueError(f"TextLog.every is {every}; it must be at least 1 step")
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self.path = path
        self.every = every
        self.echo = echo
        self._means = RunningMeans(every)

    def write(self, line: str) -> None:
        """Append ``line``, stamped with the time."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        if self.echo:
            tqdm.write(line)

    def on_losses(self, loop: "Loop", record: StepRecord) -> None:
        self._means.update({**record.losses, "images/s": record.images_per_second})
        if record.step % self.every == 0:
            values = "  ".join(f"{name} {value:.4g}" for name, value in self._means.values().items())
            self.write(f"epoch {record.epoch + 1}  step {record.step}  lr {record.rate:.4g}  {values}")


class MetricsLog(Callback):
    """File for programs: one JSON object a line, appended and flushed at once.

    A training row has ``step, epoch, lr, losses, images_per_second, time`` (seconds since 1970). Rows of other kinds
    go through ``write``; those with an ``eval`` dict of metrics are drawn by ``plot.plot_curves``.
    """

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self.path = path
        _drop_cut_line(path)

    def write(self, row: Dict[str, Any]) -> None:
        """Append ``row``, a JSON-able dict with at least ``step``; ``time`` is added."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({**row, "time": time.time()}) + "\n")

    def on_losses(self, loop: "Loop", record: StepRecord) -> None:
        self.write({"step": record.step, "epoch": record.epoch, "lr": record.rate, "losses": record.losses,
                    "images_per_second": record.images_per_second})


def _drop_cut_line(path: str) -> None:
    """Remove what follows the last newline of a file, the trace of a run killed while writing."""
    if not os.path.exists(path):
        return
    with open(path, "rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def read_metrics(path: str) -> List[Dict[str, Any]]:
    """Rows of a ``MetricsLog`` file, steps ascending.

    A last line without its newline is ignored: the run died, or is writing it now. Where the steps jump back, the
    run was resumed from an earlier checkpoint, and the rows it repeated are dropped. A broken line elsewhere raises
    ``ValueError`` with its number.
    """
    rows: List[Dict[str, Any]] = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                break
            try:
                row = json.loads(line)
                order = (row["step"], "eval" in row)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: not a metrics row ({error}); remove the line") from error
            while rows and (rows[-1]["step"], "eval" in rows[-1]) >= order:
                rows.pop()
            rows.append(row)
    return rows
