"""The benchmark's parent: starts the rows' processes, asks them in turn, and notes what they say."""
import contextlib
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Dict, List, Optional, Sequence

from benchmarks.groups import Group, Row, Task
from benchmarks.machine import FOLDER, Machine

from tqdm import tqdm

REST = 0.3  # seconds between two runs: the threads of the process that ran spin for a while before they sleep
BY_OPERATOR = {"MXNET_EXEC_BULK_EXEC_INFERENCE": "0", "MXNET_EXEC_BULK_EXEC_TRAIN": "0"}  # or a profile lumps them


@dataclass
class RowResult:
    """What is known of a row; ``error`` says why there is no more."""
    row: Row
    error: str = ""
    seconds: List[float] = field(default_factory=list)  # of each round, for one image where a row has several
    memory: int = 0  # bytes
    facts: Dict[str, Any] = field(default_factory=dict)
    operators: Dict[str, List[float]] = field(default_factory=dict)  # name: seconds, calls


@dataclass
class GroupResult:
    """A group's rows, and what the judge found, if there was one."""
    group: Group
    rows: List[RowResult]
    judged: Optional[List[List[float]]] = None

    def reference(self, result: RowResult) -> Optional[RowResult]:
        """The row that ``result`` is compared with; None for that row itself, and where it has no numbers."""
        label = result.row.against or self.group.reference
        return next((other for other in self.rows if other.row.label == label and other is not result
                     and other.seconds), None)

    def ratio(self, result: RowResult) -> Optional[float]:
        """How many times as fast as its reference: the median over the rounds."""
        other = self.reference(result)
        if other is None or not result.seconds:
            return None
        return median(theirs / own for theirs, own in zip(other.seconds, result.seconds))

    def reached(self, result: RowResult) -> Optional[bool]:
        """Whether the target is; None where there is none, or nothing to tell by."""
        target, ratio = result.row.target, self.ratio(result)
        if target is None or not result.seconds:
            return None
        if target.kind == "seconds":
            return median(result.seconds) <= target.value
        if ratio is None:
            return None
        if target.kind == "slower":
            return 1 / ratio <= target.value
        other = self.reference(result)
        lean = target.kind != "step" or other is None or result.memory <= other.memory
        return ratio >= target.value and lean


class RowFailed(Exception):
    """A row's process ended without an answer; the message is what it said last."""


class Process:
    """One row's process, and the conversation with it."""

    def __init__(self, row: Row, task: Task, machine: Machine, **environment: str) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [machine.pythons[row.program], "-m", f"benchmarks.{row.program}", json.dumps(task)], cwd=FOLDER,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, encoding="utf-8",
            env={**machine.environment(), **environment})

    def answer(self) -> Dict[str, Any]:
        """The next one. Raises RowFailed where the process has ended instead."""
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if line:
            return json.loads(line)
        status = self._process.wait()
        self._log.seek(0)
        said = [text.strip() for text in self._log.read().splitlines() if text.strip()]
        raise RowFailed(f"ended with status {status}: {said[-1] if said else 'no message'}")

    def ask(self, request: str) -> Dict[str, Any]:
        """Send a request and wait for its answer."""
        with contextlib.suppress(BrokenPipeError):  # it has ended; waiting for the answer says why
            self._process.stdin.write(request + "\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        return self.answer()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        self._log.close()


def measure(group: Group, machine: Machine, rounds: int, bar: tqdm, profile: Sequence[str] = ()) -> GroupResult:
    """A group's rows in turn, ``rounds`` times.

    After that the operators of the rows labelled in ``profile``, and of those of ours that miss their target.
    """
    result = GroupResult(group, [RowResult(row, machine.missing(row.program)) for row in group.rows])
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        settings = {"folder": folder, "size": machine.size, "seed": machine.seed}
        _write_weights(result, settings, machine, bar)
        with contextlib.ExitStack() as stack:
            processes = _start(result, settings, machine, bar, stack) if rounds else []
            for _ in range(rounds):
                for process, row in zip(processes, result.rows):
                    bar.update()
                    if process is not None and not row.error:
                        time.sleep(REST)
                        _time(process, row)
        for row in result.rows:
            wanted = row.row.label in profile or (row.row.program == "ours" and result.reached(row) is False)
            if wanted and not row.error:
                bar.set_description(f"{group.name}: operators of {row.row.label}")
                _profile(row, settings, machine)
    return result


def _write_weights(result: GroupResult, settings: Task, machine: Machine, bar: tqdm) -> None:
    if all(row.error for row in result.rows):
        return
    for task in result.group.weights:
        bar.set_description(f"{result.group.name}: weights")
        process = Process(Row("weights", "ours", task), {**task, **settings}, machine)
        errors, whole = {}, ""
        try:
            errors = process.answer()["errors"]
        except RowFailed as failure:
            whole = f"no weights: {failure}"
        finally:
            process.close()
        for row in result.rows:
            prefix = row.row.task.get("prefix", "")
            needed = row.row.task.get("stem") == task["stem"] or prefix.startswith(f"{task['stem']}-")
            row.error = row.error or errors.get(prefix, "") or (whole if needed else "")


def _start(result: GroupResult, settings: Task, machine: Machine, bar: tqdm,
           stack: contextlib.ExitStack) -> List[Optional[Process]]:
    """A process for each row, warm, one after the other; the judge, if there is one, is asked first."""
    judge = result.group.judge
    if judge is not None and not machine.missing(judge.program):
        bar.set_description(f"{result.group.name}: judge")
        process = Process(judge, {**judge.task, **settings}, machine)
        stack.callback(process.close)
        with contextlib.suppress(RowFailed):  # then the first row is compared with
            result.judged = process.answer()["detections"]
    processes: List[Optional[Process]] = []
    for row in result.rows:
        processes.append(None)
        bar.set_description(f"{result.group.name}: {row.row.label}")
        bar.update()
        if not row.error:
            processes[-1] = process = Process(row.row, {**row.row.task, **settings}, machine)
            stack.callback(process.close)
            try:
                row.facts = process.answer()
            except RowFailed as failure:
                row.error = str(failure)
    bar.set_description(result.group.name)
    return processes


def _time(process: Process, row: RowResult) -> None:
    try:
        answer = process.ask("run")
    except RowFailed as failure:
        row.error, row.seconds = str(failure), []
        return
    task = row.row.task
    row.seconds.append(answer["seconds"] / (task.get("images", 1) if task["kind"] == "detector" else 1))
    row.memory = answer["memory"]


def _profile(row: RowResult, settings: Task, machine: Machine) -> None:
    process = Process(row.row, {**row.row.task, **settings}, machine, **BY_OPERATOR)
    try:
        process.answer()
        row.operators = process.ask("profile")["operators"]
    except RowFailed as failure:
        row.error = str(failure)
    finally:
        process.close()
