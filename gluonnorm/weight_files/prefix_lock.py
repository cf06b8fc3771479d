"""Keep two processes from writing under the same prefix."""

import errno
import fcntl
import json
import os
import socket
from typing import Any, NamedTuple, Optional

from gluonnorm.errors import InputError

# What the systems say of a file system that has no locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
LONGEST_ENTRY = 1000  # bytes


class _Holder(NamedTuple):
    """The process that holds a lock, as the file says."""

    process: int
    host: str

    def __str__(self) -> str:
        return f"process {self.process} on host {self.host}"


class PrefixLock:
    """Context manager that holds the files of a prefix for this process.

    The lock is the system's lock (``flock``) on ``<prefix>.lock``. The system releases it when the
    process ends, however it ends, so a dead process never blocks a prefix. The file says who
    holds it, and is removed at the end.

    Parameters
    ----------
    prefix : str
        Folder and beginning of the file names. A missing folder is made.

    Attributes
    ----------
    note : str or None
        A doubt that the user should know of, while the lock is held: the file system has no locks,
        or the run of another machine did not remove its file.

    Raises
    ------
    InputError
        Another process holds the lock; the message names it. Raised by the ``with`` statement.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> with PrefixLock("runs/blood"):  # doctest: +SKIP
    ...     loop.fit(epochs=10)
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.path = f"{prefix}.lock"
        self.note: Optional[str] = None
        self._descriptor = -1

    def __enter__(self) -> "PrefixLock":
        os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        self._descriptor = self._lock()
        try:
            self._sign()
        except OSError as error:
            self.__exit__()
            error.filename = self.path
            raise
        return self

    def __exit__(self, *exception: Any) -> None:
        # The file is removed before the lock is released, so nobody can hold it meanwhile.
        if _is_file_of(self._descriptor, self.path):
            os.remove(self.path)
        os.close(self._descriptor)

    def _sign(self) -> None:
        """Write this process into the file, and note a doubt about the one that it names."""
        holder = _read_holder(self._descriptor)
        own_host = socket.gethostname()
        if self.note is None and holder is not None and holder.host != own_host:
            self.note = (
                f"{self.path} was left by {holder}, whose run did not end in order; if "
                "it still runs, stop one of the two"
            )
        entry = json.dumps(_Holder(os.getpid(), own_host)._asdict())
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, entry.encode(), 0)

    def _lock(self) -> int:
        """Open the file and lock it; return its descriptor."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _read_holder(descriptor) or "another process"
                os.close(descriptor)
                raise InputError(
                    f"{self.prefix} is in use by {holder}, which holds {self.path}; wait for its "
                    "end, stop it, or give another prefix"
                ) from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    os.close(descriptor)
                    raise
                self.note = (
                    f"the file system of {self.path} has no locks; see to it that no other run "
                    "writes under this prefix"
                )
            # The holder of before may have removed the file after it was opened here.
            if _is_file_of(descriptor, self.path):
                return descriptor
            os.close(descriptor)


def _is_file_of(descriptor: int, path: str) -> bool:
    """Whether an open file is the one that has a name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _read_holder(descriptor: int) -> Optional[_Holder]:
    """Read who holds a lock; None if the file does not say."""
    try:
        entry = json.loads(os.pread(descriptor, LONGEST_ENTRY, 0))
        return _Holder(int(entry["process"]), str(entry["host"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
