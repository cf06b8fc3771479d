"""Several processes that answer requests on one port."""

import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Callable, Dict, List, NamedTuple

from gluonnorm._runtime import num_threads
from gluonnorm.deploy.bundle import BUNDLE_SUFFIXES, FILE_SUFFIXES
from gluonnorm.errors import GluonnormError, InputError, one_line
from service.metrics import SHARED_FOLDER_VARIABLE
from service.server import serve
from service.settings import ServiceSettings

from _cli import import_plugins
from prometheus_client.multiprocess import mark_process_dead

# Processes are started anew: a copy of one that has run MXNet would hang.
SPAWN = multiprocessing.get_context("spawn")
READY = ""  # what a worker reports before its first request; an error otherwise
TICK = 0.2  # seconds between two looks at signals
RESTART_PAUSE = 1.0  # seconds, so that a worker that fails again and again does not take all time


class _Worker(NamedTuple):
    """A process that answers requests.

    Attributes
    ----------
    process : multiprocessing.Process
        The process.
    reports : multiprocessing.connection.Connection
        Says ``READY``, or why the process could not start.
    """

    process: SpawnProcess
    reports: Connection


class WorkerGroup:
    """Start workers, start again those that end, and drain all of them at a signal.

    A worker keeps the network that it has loaded. One that is started after the exported files were
    replaced has another network than the others, and says so.

    Parameters
    ----------
    settings : ServiceSettings
        Everything that the command line decides.
    listener : socket.socket
        The bound socket, on which all workers listen.
    """

    def __init__(self, settings: ServiceSettings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._write_times = write_times(settings.exported)
        self._workers: List[_Worker] = []
        self._signals: List[int] = []

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or Ctrl-C, and until all workers have answered what they accepted.

        Parameters
        ----------
        on_ready : callable
            Is called without arguments when all workers answer requests.

        Raises
        ------
        InputError
            A worker cannot start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take_signal)
        folder = tempfile.mkdtemp(prefix="gluonnorm-metrics-")
        os.environ[SHARED_FOLDER_VARIABLE] = folder
        # The workers share the cores.
        threads = num_threads() // self._settings.workers
        os.environ["OMP_NUM_THREADS"] = str(max(1, threads))
        try:
            self._workers = [self._start() for _ in range(self._settings.workers)]
            self._require_ready()
            if not self._signals:
                on_ready()
            while not self._signals:
                self._replace_ended()
        finally:
            self._listener.close()
            self._drain()
            shutil.rmtree(folder, ignore_errors=True)

    def _take_signal(self, number: int, frame: Any) -> None:
        """Note the signal; the second one ends the workers at once."""
        self._signals.append(number)

    def _start(self) -> _Worker:
        """Start a worker."""
        reports, reports_of_worker = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(
            target=run_worker,
            args=(self._settings, self._listener, reports_of_worker, self._write_times),
        )
        process.start()
        reports_of_worker.close()
        return _Worker(process, reports)

    def _require_ready(self) -> None:
        """Wait until all workers answer requests."""
        for worker in self._workers:
            while not self._signals and not worker.reports.poll(TICK):
                pass
            if self._signals:
                return
            try:
                problem = worker.reports.recv()
            except EOFError:
                problem = "a worker ended while it started; run with --workers 1 to see why"
            if problem != READY:
                raise InputError(problem)

    def _replace_ended(self) -> None:
        """Wait a moment for the end of a worker, and start another one in its place."""
        wait([worker.process.sentinel for worker in self._workers], TICK)
        for index, worker in enumerate(self._workers):
            if self._signals or worker.process.is_alive():
                continue
            pid = worker.process.pid
            reason = _reported_problem(worker) or f"status {worker.process.exitcode}"
            print(f"worker {pid} ended ({reason}); starting another one", file=sys.stderr)
            mark_process_dead(pid)
            time.sleep(RESTART_PAUSE)
            if not self._signals:
                self._workers[index] = self._start()

    def _drain(self) -> None:
        """Let all workers finish what they have accepted."""
        # Ctrl-C remains Ctrl-C, which has no grace. After an error there was no signal.
        number = self._signals[0] if self._signals else signal.SIGTERM
        for worker in self._workers:
            if worker.process.is_alive():
                assert worker.process.pid is not None
                os.kill(worker.process.pid, number)
        for worker in self._workers:
            while worker.process.is_alive():
                worker.process.join(TICK)
                if len(self._signals) > 1:
                    worker.process.kill()


def _reported_problem(worker: _Worker) -> str:
    """Read why a worker that has ended could not start; "" if it did."""
    problem = READY
    try:
        while worker.reports.poll():
            problem = worker.reports.recv()
    except EOFError:
        pass
    return problem


def write_times(prefix: str) -> Dict[str, int]:
    """Tell when the files of an export were written.

    Parameters
    ----------
    prefix : str
        The prefix of the files.

    Returns
    -------
    dict of str to int
        Nanoseconds since 1970, by the path of each file that exists.
    """
    times = {}
    for suffix in (*FILE_SUFFIXES.values(), BUNDLE_SUFFIXES[-1]):
        path = f"{prefix}{suffix}"
        try:
            times[path] = os.stat(path).st_mtime_ns
        except OSError:
            # A worker that needs this file says what is wrong with it.
            continue
    return times


def run_worker(
    settings: ServiceSettings,
    listener: socket.socket,
    reports: Connection,
    first_write_times: Dict[str, int],
) -> None:
    """Answer requests; the work of one process.

    Parameters
    ----------
    settings : ServiceSettings
        Everything that the command line decides.
    listener : socket.socket
        The socket that all workers share.
    reports : multiprocessing.connection.Connection
        Takes ``READY``, or the text of an error.
    first_write_times : dict of str to int
        What ``write_times`` returned when the service began.
    """

    def report_ready() -> None:
        """Tell the parent that requests are taken, and the log if the network is a later one."""
        if write_times(settings.exported) != first_write_times:
            print(
                f"worker {os.getpid()} answers with new files of {settings.exported}, and workers "
                "that began before answer with the old ones; restart the service",
                file=sys.stderr,
                flush=True,
            )
        reports.send(READY)

    # Ctrl-C reaches all processes of a terminal's group. The parent alone takes it, and tells its
    # workers when to end. Until they serve, they end at once and without a traceback.
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        import_plugins(settings.plugin)
        serve(settings, listener, on_ready=report_ready)
    except (GluonnormError, OSError) as error:
        reports.send(one_line(error))


def _end_with_parent() -> None:
    """End this process in order when its parent is gone, which could not tell it to."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
