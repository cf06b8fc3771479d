import os
import time

from gluonnorm.training import SharedProcessorsLog, StepRecord, TextLog, shared_processors

import pytest

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of four processors, and a clock, that go on as a test says."""

    class Machine:
        now = 1000.0
        own = 50.0
        stat = tmp_path / "stat"
        # user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice
        ticks = [900, 10, 60, 5000, 70, 3, 2, 1, 400, 0]

        def go_on(self, seconds, own, others):
            """Let ``own`` processors work for this process, and ``others`` for other ones."""
            self.now += seconds
            self.own += own * seconds
            self.ticks[0] += round(own * seconds * TICKS)
            self.ticks[2] += round(others * seconds * TICKS)
            self.ticks[3] += round((4 - own - others) * seconds * TICKS)
            self.ticks[4] += 17
            self.stat.write_text(f"cpu  {' '.join(map(str, self.ticks))}\ncpu0 1 2 3 4\n")

    machine = Machine()
    machine.go_on(0, 0, 0)
    monkeypatch.setattr(shared_processors, "STAT", str(machine.stat))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(time, "perf_counter", lambda: machine.now)
    monkeypatch.setattr(time, "process_time", lambda: machine.own)
    return machine


def said(path, machine, windows, monkeypatch, threads="4"):
    """What a log says of these windows, each of 25 seconds: processors of its own and of others."""
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    log = SharedProcessorsLog(TextLog(str(path)))
    log.on_losses(None, StepRecord(1, 0, 0.1, {}, (), 1.0))
    for step, (own, others) in enumerate(windows, 2):
        machine.go_on(25, own, others)
        log.on_losses(None, StepRecord(step, 0, 0.1, {}, (), 1.0))
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    "threads, windows",
    [
        ("4", [(3.9, 0.1), (1.2, 0.4), (3.5, 0.3)]),  # others need little
        ("2", [(2.0, 2.0)]),  # and here there is room for them
        ("1", [(0.5, 4.0)]),  # one thread waits for no other
    ],
)
def test_nothing_is_said(machine, monkeypatch, tmp_path, threads, windows):
    assert said(tmp_path / "log", machine, windows, monkeypatch, threads) == []


@pytest.mark.parametrize(
    "threads, others, advice",
    [
        ("4", 1.0, "OMP_NUM_THREADS=3"),
        ("4", 0.6, "OMP_NUM_THREADS=3"),
        ("4", 2.9, "OMP_NUM_THREADS=1"),
        ("4", 4.0, "OMP_NUM_THREADS=1"),
        ("3,1", 2.0, "OMP_NUM_THREADS=2"),
    ],
)
def test_others_are_noticed_once(machine, monkeypatch, tmp_path, threads, others, advice):
    windows = [(4.0, 0.0) if threads == "4" else (3.0, 0.0), (1.0, others), (1.0, others)]
    (line,) = said(tmp_path / "log", machine, windows, monkeypatch, threads)
    assert f"step 3: other processes keep {others:.1f} of 4 processors busy" in line
    assert advice in line


def test_no_statistics_of_the_system(monkeypatch, tmp_path):
    monkeypatch.setattr(shared_processors, "STAT", str(tmp_path / "stat"))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    log = SharedProcessorsLog(TextLog(str(tmp_path / "log")))
    log.on_losses(None, StepRecord(1, 0, 0.1, {}, (), 1.0))
    assert not (tmp_path / "log").exists()
