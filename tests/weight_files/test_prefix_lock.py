"""The lock on a prefix: one run at a time, and no dead process in the way."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from gluonnorm.errors import InputError
from gluonnorm.training import PrefixLock

import pytest
from full_disk import no_file_beyond

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys, time
from gluonnorm.training import PrefixLock
with PrefixLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_folder_is_made_and_the_file_is_removed(tmp_path) -> None:
    prefix = str(tmp_path / "new" / "run")
    with PrefixLock(prefix) as lock:
        assert lock.note is None
        entry = json.loads(Path(f"{prefix}.lock").read_text())
        assert entry["process"] == os.getpid()
    assert os.listdir(tmp_path / "new") == []
    with PrefixLock(prefix), PrefixLock(f"{prefix}-other"):
        pass


def test_a_lock_that_cannot_be_written_is_not_left_behind(tmp_path) -> None:
    prefix = str(tmp_path / "run")
    with no_file_beyond(0):
        with pytest.raises(OSError, match=r"File too large: .*run.lock"), PrefixLock(prefix):
            pass
    assert os.listdir(tmp_path) == []


def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path) -> None:
    prefix = str(tmp_path / "run")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, prefix],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError) as error, PrefixLock(prefix):
            pass
        assert f"{prefix} is in use by process {holder.pid} on host " in str(error.value)
        assert "give another prefix" in str(error.value) and "\n" not in str(error.value)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=60)
    assert os.path.exists(f"{prefix}.lock")  # the killed run could not remove it
    with PrefixLock(prefix) as lock:
        assert lock.note is None
    assert not os.path.exists(f"{prefix}.lock")


def test_a_lock_is_released_when_the_run_fails(tmp_path) -> None:
    prefix = str(tmp_path / "run")
    with pytest.raises(ZeroDivisionError), PrefixLock(prefix):
        raise ZeroDivisionError
    with PrefixLock(prefix):
        pass


def test_a_file_left_by_another_machine_does_not_block_but_is_noted(tmp_path) -> None:
    path = tmp_path / "run.lock"
    path.write_text('{"process": 12, "host": "elsewhere"}')
    with PrefixLock(str(tmp_path / "run")) as lock:
        assert "process 12 on host elsewhere" in lock.note and "stop one of the two" in lock.note


@pytest.mark.parametrize(
    "content", ["", "12", "[]", '{"process": "x", "host": 3}', '{"process": 1e999}', "[" * 999]
)
def test_any_content_is_taken(tmp_path, content) -> None:
    prefix = str(tmp_path / "run")
    Path(f"{prefix}.lock").write_text(content)
    with PrefixLock(prefix) as lock:
        assert lock.note is None
        with open(f"{prefix}.lock", "w") as file:
            file.write(content)
        with pytest.raises(InputError, match="in use by another process"), PrefixLock(prefix):
            pass


def test_a_file_system_without_locks_is_noted(tmp_path, monkeypatch) -> None:
    def refuse(*arguments):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with PrefixLock(str(tmp_path / "run")) as lock:
        assert "has no locks" in lock.note


def test_a_file_that_its_holder_removes_meanwhile_is_not_taken_for_the_lock(
    tmp_path, monkeypatch
) -> None:
    """Between opening and locking, the first holder may remove the file."""
    path = tmp_path / "run.lock"
    real = fcntl.flock
    calls = []

    def remove_first(descriptor, operation):
        calls.append(descriptor)
        if len(calls) == 1:
            path.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with PrefixLock(str(tmp_path / "run")):
        assert len(calls) == 2 and path.exists()


def test_a_folder_that_cannot_be_written(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), PrefixLock(str(tmp_path / "file" / "run")):
        pass
