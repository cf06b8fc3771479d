"""A distributed run ends when one of its processes does, and says which."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from gluonnorm import job_watch
from gluonnorm.errors import InputError
from gluonnorm.job_watch import Job

import pytest
from cluster import Cluster, free_port

PROGRAM = Path(__file__).parent / "watched_program.py"


def start(folder, *leaves):
    """A cluster of one worker for each pair of seconds and status; () stays."""
    commands = []
    for number, leave in enumerate(leaves):
        own_folder = folder / str(number)
        own_folder.mkdir(parents=True)
        commands.append([PROGRAM, own_folder, *leave])
    return Cluster(folder, commands)


def wait_until_all_stay(cluster):
    deadline = time.monotonic() + 60
    while len(list(cluster.folder.glob("?/*[0-9]"))) < len(cluster.processes):
        assert time.monotonic() < deadline, cluster.outputs()
        time.sleep(0.05)
    time.sleep(0.3)  # the names travel


@pytest.mark.parametrize(
    "victim, said",
    [
        ("worker 0", "worker 0 (process {} on host {}) is gone"),
        ("server", "server (process {} on host {}) is gone"),
        ("scheduler", "the scheduler on 127.0.0.1:"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_end_of_one_is_the_end_of_all(tmp_path, victim, said, number):
    with start(tmp_path, (), ()) as cluster:
        wait_until_all_stay(cluster)
        process = cluster.processes[victim].pid
        cluster.signal(victim, number)
        statuses = cluster.wait(20)
    assert statuses.pop(victim) == -number
    assert set(statuses.values()) == {2}
    for name in statuses:
        assert said.format(process, socket.gethostname()) in cluster.output(name)
        assert cluster.output(name).count("error: ") == 1


@pytest.mark.parametrize("status", [0, 130])
def test_workers_that_end_together_end_the_run_in_order(tmp_path, status):
    with start(tmp_path, (0.2, status), (1, status)) as cluster:
        assert set(cluster.wait(30).values()) == {status}
        assert "error" not in cluster.outputs()


@pytest.mark.slow
def test_a_worker_that_ends_alone_ends_the_run(tmp_path):
    with start(tmp_path, (0.2, 2), ()) as cluster:
        statuses = cluster.wait(40)
        assert statuses == {"scheduler": 2, "server": 2, "worker 0": 2, "worker 1": 2}
        message = "ended with status 2 before the others; its output says why"
        assert "worker 0 (process" in cluster.output("worker 1")
        assert message in cluster.output("worker 1") and message in cluster.output("server")
        assert "error" not in cluster.output("worker 0")


def test_messages_come_whole_or_not_at_all():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        other = socket.create_connection(listener.getsockname())
        connection = job_watch.Connection(listener.accept()[0])
    other.sendall(b'{"left": 0}\n{"gone": "work')
    assert connection.receive() == {"left": 0}
    other.sendall(b'er 1"}\n{"gone": "worker 2')
    assert connection.receive() == {"gone": "worker 1"}
    other.close()
    with pytest.raises(EOFError):
        connection.receive()


ENVIRONMENT = {
    "DMLC_ROLE": "worker",
    "DMLC_PS_ROOT_URI": "127.0.0.1",
    "DMLC_PS_ROOT_PORT": "9091",
    "DMLC_NUM_WORKER": "2",
    "DMLC_NUM_SERVER": "1",
}


@pytest.fixture
def environment(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_environment_is_read(environment):
    assert Job.from_environment() == Job("worker", "127.0.0.1", 9091, 2, 1)
    environment.delenv("DMLC_ROLE")
    assert Job.from_environment() is None


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("DMLC_ROLE", "master", "DMLC_ROLE is 'master'; want one of worker, server, scheduler"),
        ("DMLC_PS_ROOT_URI", "a..b", "DMLC_PS_ROOT_URI is 'a..b' .*; want the name"),
        ("DMLC_NUM_WORKER", "two", "DMLC_NUM_WORKER is 'two'; want a number of at least 1"),
        ("DMLC_NUM_SERVER", "0", "DMLC_NUM_SERVER is '0'; want a number of at least 1"),
        ("DMLC_PS_ROOT_URI", "", "but DMLC_PS_ROOT_URI is not set"),
    ],
)
def test_a_wrong_environment_is_refused(environment, name, value, message):
    environment.setenv(name, value)
    with pytest.raises(InputError, match=message):
        Job.from_environment()


@pytest.mark.parametrize("role", ["scheduler", "server"])
def test_a_wrong_environment_ends_a_server_with_one_line(role):
    done = subprocess.run(
        [sys.executable, "-c", "import gluonnorm"],
        env={**os.environ, "DMLC_ROLE": role},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "DMLC_PS_ROOT_URI is not set" in done.stderr


def test_a_port_in_use_is_named():
    port = free_port()
    with socket.socket() as other:
        other.bind(("", port + 1))
        other.listen()
        with pytest.raises(InputError, match=f"port {port + 1}, the one after DMLC_PS_ROOT_PORT"):
            job_watch.Hub(Job("scheduler", "127.0.0.1", port, 1, 1))


def test_no_scheduler_is_an_error(monkeypatch):
    monkeypatch.setattr(job_watch, "LONGEST_START", 0.5)
    with pytest.raises(InputError, match="the scheduler on 127.0.0.1:.* does not answer"):
        job_watch.Member(Job("worker", "127.0.0.1", free_port(), 1, 1))


@pytest.mark.parametrize("role", ["scheduler", "server"])
def test_help_is_not_answered_by_waiting(environment, role):
    environment.setenv("DMLC_ROLE", role)
    environment.setattr(sys, "argv", ["train.py", "--help"])
    job_watch.watch_servers()
    assert os.environ["DMLC_ROLE"] == "worker"
