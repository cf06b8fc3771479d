"""Start the processes of a distributed run on this machine, as MXNet's launcher does."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
LONGEST_RUN = 240  # seconds


def free_port() -> int:
    """Return a port that is free together with the next one."""
    while True:
        port = random.SystemRandom().randrange(20000, 30000)
        try:
            for number in (port, port + 1):
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", number))
            return port
        except OSError:
            continue


class Cluster:
    """Context manager of a run with a scheduler, servers and workers on loopback.

    No process outlives it.

    Parameters
    ----------
    folder : path
        Gets the output of each process as ``<name>.txt``.
    commands : sequence of sequence
        The command line of each worker; scheduler and servers get the first one.
    servers : int
        How many servers there are; they are named "server", "server 2" and so on.
    **variables
        More of the environment.

    Attributes
    ----------
    processes : dict of str to subprocess.Popen
        By name: "scheduler", "server", "worker 0" and so on. The numbers are those of the commands;
        ranks may differ.
    """

    def __init__(
        self, folder: Path, commands: Sequence[Sequence[Any]], servers: int = 1, **variables: Any
    ) -> None:
        self.folder = folder
        self.processes: Dict[str, subprocess.Popen] = {}
        self._commands = commands
        self._servers = servers
        self._environment = {
            **os.environ,
            "DMLC_PS_ROOT_URI": "127.0.0.1",
            "DMLC_PS_ROOT_PORT": str(free_port()),
            "DMLC_NUM_SERVER": str(servers),
            "DMLC_NUM_WORKER": str(len(commands)),
            "DMLC_NODE_HOST": "127.0.0.1",
            "DMLC_INTERFACE": "lo",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}",
            **{name: str(value) for name, value in variables.items()},
        }

    def __enter__(self) -> "Cluster":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._start("scheduler", "scheduler", self._commands[0])
        self._start("server", "server", self._commands[0])
        for number in range(2, self._servers + 1):
            self._start(f"server {number}", "server", self._commands[0])
        for number, command in enumerate(self._commands):
            self._start(f"worker {number}", "worker", command)
        return self

    def __exit__(self, *exception: Any) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def _start(self, name: str, role: str, command: Sequence[Any]) -> None:
        """Start one process."""
        with open(self.folder / f"{name}.txt", "wb") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *map(str, command)],
                env={**self._environment, "DMLC_ROLE": role},
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )

    def output(self, name: str) -> str:
        """Return what a process has printed."""
        return (self.folder / f"{name}.txt").read_text()

    def outputs(self) -> str:
        """Return what all processes have printed, for the message of a failed test."""
        return "\n".join(f"--- {name}\n{self.output(name)}" for name in self.processes)

    def wait(self, seconds: float = LONGEST_RUN) -> Dict[str, int]:
        """Wait for the end of all processes, and return the status of each."""
        deadline = time.monotonic() + seconds
        statuses = {}
        for name, process in self.processes.items():
            try:
                statuses[name] = process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                raise AssertionError(
                    f"{name} still runs after {seconds} seconds\n{self.outputs()}"
                ) from None
        return statuses

    def wait_for(self, path: Path, seconds: float = LONGEST_RUN) -> None:
        """Wait until a file exists."""
        deadline = time.monotonic() + seconds
        while not path.exists():
            assert time.monotonic() < deadline, f"no {path.name}\n{self.outputs()}"
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            assert not ended, f"{ended} ended early\n{self.outputs()}"
            time.sleep(0.05)

    def signal(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process."""
        self.processes[name].send_signal(number)
