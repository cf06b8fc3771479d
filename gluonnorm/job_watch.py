"""Notice that a process of a distributed run is gone, say which, and end the others.

MXNet's parameter server waits for ever for a worker, a server or a scheduler that died, deep inside
of a call that no signal interrupts. So the processes of a run hold a second connection: all of them
to the scheduler, at the port after its own. The system closes a connection when its process ends,
however it ends, and gives it up when the other machine answers no more.

This file knows no MXNet, because scheduler and servers spend their life inside ``import mxnet``.
"""

import atexit
import json
import os
import socket
import sys
import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional

from gluonnorm.errors import InputError, first_line

ROLE = "DMLC_ROLE"
ROLES = ("worker", "server", "scheduler")
LONGEST_SILENCE = 30  # seconds; a machine that does not answer for longer counts as gone
PROBES = 4  # that ask an idle machine for an answer in this time
LONGEST_START = 120  # seconds that a process looks for the scheduler
REMINDER = 30  # seconds between two notes on processes that have not started
LONGEST_GATHERING = 600  # seconds that the scheduler waits for all workers and servers
LONGEST_FAREWELL = 10  # seconds between the end of the first and of the last worker
FAILED = 2
HELP_FLAGS = {"-h", "--help"}


class Job(NamedTuple):
    """What the environment says of a distributed run.

    Attributes
    ----------
    role : str
        What this process is: worker, server or scheduler.
    host : str
        Address of the scheduler.
    port : int
        The scheduler's port. The watch uses the next one.
    worker_count, server_count : int
        How many there are in the run.
    """

    role: str
    host: str
    port: int
    worker_count: int
    server_count: int

    @classmethod
    def from_environment(cls) -> Optional["Job"]:
        """Read the variables that MXNet's launcher sets for each process.

        Returns
        -------
        Job or None
            None if ``DMLC_ROLE`` is not set, so the process is alone.

        Raises
        ------
        InputError
            A variable is missing or has no usable value.
        """
        role = os.environ.get(ROLE)
        if role is None:
            return None
        if role not in ROLES:
            raise InputError(f"{ROLE} is {role!r}; want one of {', '.join(ROLES)}")
        return cls(
            role=role,
            host=_host("DMLC_PS_ROOT_URI"),
            port=_number("DMLC_PS_ROOT_PORT"),
            worker_count=_number("DMLC_NUM_WORKER"),
            server_count=_number("DMLC_NUM_SERVER"),
        )


def _variable(name: str) -> str:
    """Read a variable of the environment."""
    value = os.environ.get(name)
    if not value:
        raise InputError(
            f"{ROLE} is {os.environ[ROLE]}, but {name} is not set; start all processes with the "
            "variables of docs/distributed.md"
        )
    return value


def _host(name: str) -> str:
    """Read a variable of the environment that holds the name or the address of a machine."""
    text = _variable(name)
    try:
        text.encode("idna")
    except UnicodeError as error:
        # Python looks up no such name, and its error would be no OSError.
        raise InputError(
            f"{name} is {text!r} ({first_line(error)}); want the name or the address of a machine"
        ) from error
    return text


def _number(name: str) -> int:
    """Read a variable of the environment that holds a number of at least 1."""
    text = _variable(name)
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{name} is {text!r}; want a number of at least 1")
    return int(text)


class Connection:
    """Send and receive messages, one JSON object a line.

    Parameters
    ----------
    stream : socket.socket
        A connected socket.
    """

    def __init__(self, stream: socket.socket) -> None:
        # The system itself probes an idle connection, so a process that is busy for minutes is no
        # dead one.
        seconds = LONGEST_SILENCE // (PROBES + 1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LONGEST_SILENCE * 1000)
        stream.settimeout(None)
        self._stream = stream
        self._lines = stream.makefile("r", encoding="utf-8")
        self._lock = threading.Lock()

    def send(self, **message: Any) -> None:
        """Send a message; a closed connection is noticed by ``receive`` alone.

        Parameters
        ----------
        **message
            Its fields.
        """
        try:
            with self._lock:
                self._stream.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass

    def receive(self) -> Dict[str, Any]:
        """Wait for the next message.

        Returns
        -------
        dict
            The fields.

        Raises
        ------
        EOFError
            The other side is gone.
        """
        try:
            line = self._lines.readline()
        except OSError:
            line = ""
        if not line.endswith("\n"):
            raise EOFError("the connection is closed")
        return json.loads(line)


class Member:
    """A worker or server in the watch of its scheduler.

    Parameters
    ----------
    job : Job
        The run.

    Raises
    ------
    InputError
        No scheduler answers.
    """

    def __init__(self, job: Job) -> None:
        self._scheduler = f"the scheduler on {job.host}:{job.port}"
        self._connection = Connection(self._connect(job))
        self._has_left = threading.Event()
        self._is_finished = threading.Event()
        self._exits_when_finished = job.role == "server"
        self.name(job.role)
        if self._exits_when_finished:
            # The server of a program that takes no part in the watch ends by itself.
            atexit.register(self._connection.send, ended=True)
        threading.Thread(target=self._follow, daemon=True).start()

    def name(self, name: str) -> None:
        """Tell the scheduler what to call this process.

        Parameters
        ----------
        name : str
            Such as "worker 1"; process and host are added.
        """
        place = f"process {os.getpid()} on host {socket.gethostname()}"
        self._connection.send(name=f"{name} ({place})", role=name.split()[0])

    def leave(self, status: int) -> None:
        """Say that this worker ends, and wait until all workers do.

        Parameters
        ----------
        status : int
            The status that the process is about to end with.
        """
        self._has_left.set()
        self._connection.send(left=status)
        self._is_finished.wait(2 * LONGEST_FAREWELL)

    def _connect(self, job: Job) -> socket.socket:
        """Connect to the scheduler, which may start later than this process."""
        deadline = time.monotonic() + LONGEST_START
        while True:
            try:
                return socket.create_connection((job.host, job.port + 1), LONGEST_FAREWELL)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise InputError(
                        f"{self._scheduler} does not answer at port {job.port + 1} ({error}); start"
                        " it with this script too, and let the port through"
                    ) from error
            time.sleep(0.2)

    def _follow(self) -> None:
        """End the process when the scheduler says so, or is gone."""
        while True:
            try:
                message = self._connection.receive()
            except EOFError:
                return self._end(f"{self._scheduler} is gone")
            if "gone" in message:
                return self._end(message["gone"])
            if "finished" in message:
                return self._finish(message["finished"])

    def _finish(self, status: int) -> None:
        """All workers have left."""
        self._is_finished.set()
        if self._exits_when_finished:
            _exit(status)

    def _end(self, reason: str) -> None:
        """End this process, unless it is ending already."""
        if self._has_left.is_set():
            self._is_finished.set()
            return
        _exit(FAILED, reason)


class Hub:
    """The watch of the scheduler, to which all other processes are connected.

    Parameters
    ----------
    job : Job
        The run.

    Raises
    ------
    InputError
        The port is in use.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._lock = threading.Lock()
        self._members: Dict[Connection, str] = {}
        self._roles: Dict[Connection, str] = {}
        self._statuses: List[int] = []
        self._is_over = False
        self._listener = _listen(job.port + 1)
        for target in (self._accept, self._await_all):
            threading.Thread(target=target, daemon=True).start()

    def _accept(self) -> None:
        """Follow everybody who connects."""
        while True:
            stream, _ = self._listener.accept()
            threading.Thread(target=self._follow, args=(Connection(stream),), daemon=True).start()

    def _await_all(self) -> None:
        """End the run if a process never starts; it would wait for it for ever."""
        started = time.monotonic()
        while True:
            time.sleep(REMINDER)
            with self._lock:
                roles = list(self._roles.values())
            missing = (
                f"{roles.count('worker')} of {self._job.worker_count} workers and "
                f"{roles.count('server')} of {self._job.server_count} servers have started"
            )
            if len(roles) >= self._job.worker_count + self._job.server_count:
                return
            if time.monotonic() - started > LONGEST_GATHERING:
                # The workers of a program of the user's own may not take part in the watch.
                if "worker" not in roles:
                    return
                self._end(f"only {missing} in {LONGEST_GATHERING} seconds")
            print(f"note: {missing}", file=sys.stderr, flush=True)

    def _follow(self, connection: Connection) -> None:
        """Listen to one process until it ends."""
        has_left = False
        while True:
            try:
                message = connection.receive()
            except EOFError:
                if not has_left and connection in self._members:
                    self._end(f"{self._members[connection]} is gone")
                return
            if "name" in message:
                with self._lock:
                    self._members[connection] = message["name"]
                    self._roles[connection] = message["role"]
            if "ended" in message:
                has_left = True
            if "left" in message:
                has_left = True
                self._note_farewell(self._members[connection], message["left"])

    def _note_farewell(self, name: str, status: int) -> None:
        """Count a worker that ended by itself; finish after the last one."""
        self._statuses.append(status)
        if len(self._statuses) == self._job.worker_count:
            self._finish(max(self._statuses))
        elif len(self._statuses) == 1:
            reason = f"{name} ended with status {status} before the others; its output says why"
            timer = threading.Timer(LONGEST_FAREWELL, self._end, [reason])
            timer.daemon = True
            timer.start()

    def _finish(self, status: int) -> None:
        """Tell all processes that the run has ended, and end this one."""
        self._is_over = True
        self._tell_all(finished=status)
        _exit(status)

    def _end(self, reason: str) -> None:
        """Tell all processes who is gone, and end this one."""
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
        self._tell_all(gone=reason)
        _exit(FAILED, reason)

    def _tell_all(self, **message: Any) -> None:
        """Send a message to all processes."""
        for connection in list(self._members):
            connection.send(**message)
        # Their threads read it before this process closes the connections.
        time.sleep(1)


def _listen(port: int) -> socket.socket:
    """Open the port of the watch on all addresses of this machine."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("", port))
    except OSError as error:
        raise InputError(
            f"port {port}, the one after DMLC_PS_ROOT_PORT, cannot be used ({error}); choose "
            "another DMLC_PS_ROOT_PORT"
        ) from error
    listener.listen()
    return listener


def _exit(status: int, reason: str = "") -> None:
    """End the process at once, with a reason on standard error.

    MXNet would wait for the other processes in its own way out, so it gets none.
    """
    if reason:
        print(
            f"error: {reason}; this process ends too, and --resume continues from the newest "
            "checkpoint",
            file=sys.stderr,
        )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def watch_servers() -> None:
    """Start the watch in a scheduler or server process, which ``import mxnet`` never gives back.

    A process that is only asked for help becomes a worker, so that its script can answer.
    """
    role = os.environ.get(ROLE)
    if role not in ("scheduler", "server"):
        return
    if HELP_FLAGS & set(sys.argv[1:]):
        os.environ[ROLE] = "worker"
        return
    try:
        job = Job.from_environment()
        assert job is not None, "the role was just read"
        _KEPT.append(Hub(job) if role == "scheduler" else Member(job))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(FAILED)


# What must live as long as the process.
_KEPT: List[Any] = []
