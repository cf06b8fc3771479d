"""Measure a group: start the rows' processes, ask them in turn, and write down the answers."""

import contextlib
import subprocess
import sys
import tempfile
import time
from typing import Iterator, Optional, Sequence

from benchmarks.groups import Group, Row, Task
from benchmarks.machine import Machine
from benchmarks.results import GroupResult, RowResult
from benchmarks.row_client import RowFailed, RowProcess

from tqdm import tqdm

# Seconds between two runs. The threads of the process that ran spin for a while before they sleep.
REST = 0.3
# A process that computes until it is ended, or until the process that started it is gone.
BUSY_PROGRAM = """
import os
parent = os.getppid()
while os.getppid() == parent:
    sum(range(10000))
"""
# By default MXNet executes several operators as one, and a profile then has one entry for them all.
NO_BULK_EXECUTION = {"MXNET_EXEC_BULK_EXEC_INFERENCE": "0", "MXNET_EXEC_BULK_EXEC_TRAIN": "0"}


def measure(
    group: Group, machine: Machine, rounds: int, bar: tqdm, profile: Sequence[str] = ()
) -> GroupResult:
    """Measure the rows of a group in turn, and profile some of them afterwards.

    Parameters
    ----------
    group : Group
        The rows.
    machine : Machine
        Interpreters, image size and seed.
    rounds : int
        How many times each row is measured; with 0 rows are only profiled.
    bar : tqdm
        The progress bar; it moves with each start and each measurement.
    profile : sequence of str
        Labels of rows to profile. Rows of this package that miss their target are profiled too.

    Returns
    -------
    GroupResult
        The measurements; a row that fails has an error instead.
    """
    row_results = [RowResult(row, machine.missing(row.program)) for row in group.rows]
    result = GroupResult(group, row_results)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        settings = {"folder": folder, "size": machine.size, "seed": machine.seed}
        _write_weights(result, settings, machine, bar)
        if rounds:
            _time_rounds(result, settings, machine, rounds, bar)
        # Rows are profiled after all rounds: without bulk execution a process is slower.
        for row_result in result.rows:
            row = row_result.row
            missed = row.program == "gluonnorm" and result.reached(row_result) is False
            # What a row loses by waiting is in no operator.
            missed = missed and not row.environment
            if (row.label in profile or missed) and not row_result.error:
                bar.set_description(f"{group.name}: operators of {row.label}")
                _profile(row_result, settings, machine)
    return result


def _write_weights(result: GroupResult, settings: Task, machine: Machine, bar: tqdm) -> None:
    """Write the files that the rows read; rows whose files could not be written get an error."""
    exported_prefixes = {row.task.get("prefix") for row in result.group.rows}
    for task in result.group.weights:
        readers = [row_result for row_result in result.rows if _reads(row_result, task)]
        if not readers:
            continue
        bar.set_description(f"{result.group.name}: weights")
        # A part of a group does not need every type; int8 alone takes a calibration.
        stem = task["stem"]
        dtypes = [dtype for dtype in task["dtypes"] if f"{stem}-{dtype}" in exported_prefixes]
        task = {**task, "dtypes": dtypes}
        row = Row("weights", task.get("program", "gluonnorm"), task)
        process = RowProcess(row, {**settings, **task}, machine)
        export_errors = {}
        failure = ""
        try:
            export_errors = process.answer()["errors"]
        except RowFailed as error:
            failure = f"no weights: {error}"
        finally:
            process.close()
        for row_result in readers:
            prefix = row_result.row.task.get("prefix", "")
            row_result.error = export_errors.get(prefix, failure)


def _reads(row_result: RowResult, task: Task) -> bool:
    """Tell whether a row that can run reads a file that a task writes."""
    row_task = row_result.row.task
    same_stem = row_task.get("stem") == task["stem"]
    is_exported = row_task.get("prefix", "").startswith(f"{task['stem']}-")
    return not row_result.error and (same_stem or is_exported)


def _time_rounds(
    result: GroupResult, settings: Task, machine: Machine, rounds: int, bar: tqdm
) -> None:
    """Start all processes, and measure one row after the other, round after round."""
    with contextlib.ExitStack() as stack:
        _ask_corrected_row(result, settings, machine, bar, stack)
        processes = []
        for row_result in result.rows:
            processes.append(_start(row_result, result.group, settings, machine, bar, stack))
        bar.set_description(result.group.name)
        for _ in range(rounds):
            for process, row_result in zip(processes, result.rows):
                bar.update()
                if process is not None and not row_result.error:
                    time.sleep(REST)
                    _time(process, row_result)


def _ask_corrected_row(
    result: GroupResult,
    settings: Task,
    machine: Machine,
    bar: tqdm,
    stack: contextlib.ExitStack,
) -> None:
    """Ask the group's corrected row for its detections, if there is such a row."""
    row = result.group.corrected
    if row is None or machine.missing(row.program):
        return
    bar.set_description(f"{result.group.name}: {row.label}")
    process = RowProcess(row, {**settings, **row.task}, machine)
    stack.callback(process.close)
    # If it fails, the rows are compared with the reference.
    with contextlib.suppress(RowFailed):
        result.corrected_detections = process.answer()["detections"]


def _start(
    row_result: RowResult,
    group: Group,
    settings: Task,
    machine: Machine,
    bar: tqdm,
    stack: contextlib.ExitStack,
) -> Optional[RowProcess]:
    """Start a row's process and wait until it is warm; None for a row that has an error."""
    row = row_result.row
    bar.set_description(f"{group.name}: {row.label}")
    bar.update()
    if row_result.error:
        return None
    process = RowProcess(row, {**settings, **row.task}, machine)
    stack.callback(process.close)
    try:
        row_result.facts = process.answer()
    except RowFailed as failure:
        row_result.error = str(failure)
    return process


def _time(process: RowProcess, row_result: RowResult) -> None:
    """Measure a row once."""
    try:
        with _busy_processes(row_result.row.busy, row_result.row.other_login):
            answer = process.ask("run")
    except RowFailed as failure:
        row_result.error = str(failure)
        row_result.seconds = []
        return
    task = row_result.row.task
    images = task.get("images", 1) if task["job"] == "detector" else 1
    row_result.seconds.append(answer["seconds"] / images)
    row_result.memory = answer["memory"]


@contextlib.contextmanager
def _busy_processes(count: int, other_login: bool) -> Iterator[None]:
    """Keep processes busy, which take their share of the processors."""
    command = [sys.executable, "-c", BUSY_PROGRAM]
    # To Linux a new session is a new login.
    processes = [subprocess.Popen(command, start_new_session=other_login) for _ in range(count)]
    try:
        if processes:
            time.sleep(REST)  # until they compute
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _profile(row_result: RowResult, settings: Task, machine: Machine) -> None:
    """Measure each operator of a row, in a process of its own."""
    row = row_result.row
    process = RowProcess(row, {**settings, **row.task}, machine, **NO_BULK_EXECUTION)
    try:
        process.answer()
        row_result.operators = process.ask("profile")["operators"]
    except RowFailed as failure:
        row_result.error = str(failure)
    finally:
        process.close()
