"""The parent's side of a row: start its process, send requests, read answers."""

import contextlib
import json
import subprocess
import tempfile
from typing import Any, Dict

from benchmarks.groups import Row, Task
from benchmarks.machine import SCRIPTS_FOLDER, Machine, row_environment


class RowFailed(Exception):
    """A row's process ended without an answer; the message is the last line that it printed."""


class RowProcess:
    """The process of a row, which answers each request with a line of JSON.

    Parameters
    ----------
    row : Row
        Its program is run.
    task : dict
        What the process is told.
    machine : Machine
        It knows the program's interpreter.
    **environment
        Further environment variables.
    """

    def __init__(self, row: Row, task: Task, machine: Machine, **environment: str) -> None:
        python = machine.pythons[row.program]
        # The log is a file and not a pipe, which would block the process once it is full.
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [python, "-m", f"benchmarks.row_{row.program}", json.dumps(task)],
            cwd=SCRIPTS_FOLDER,
            env={**row_environment(row.program), **row.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
        )

    def answer(self) -> Dict[str, Any]:
        """Wait for the next answer.

        Returns
        -------
        dict of str to any
            The answer.

        Raises
        ------
        RowFailed
            The process has ended.
        """
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if line:
            return json.loads(line)
        status = self._process.wait()
        self._log.seek(0)
        lines = [text.strip() for text in self._log.read().splitlines() if text.strip()]
        message = lines[-1] if lines else "no message"
        raise RowFailed(f"ended with status {status}: {message}")

    def ask(self, request: str) -> Dict[str, Any]:
        """Send a request and wait for its answer.

        Parameters
        ----------
        request : str
            ``"run"`` or ``"profile"``; see ``row_server.serve``.

        Returns
        -------
        dict of str to any
            The answer.

        Raises
        ------
        RowFailed
            The process has ended.
        """
        # If the process has ended, the pipe is broken, and waiting for the answer tells why.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(request + "\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        return self.answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        self._log.close()
