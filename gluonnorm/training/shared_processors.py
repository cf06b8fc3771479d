"""Notice that other processes use the processors on which a run computes."""

import os
import time
from typing import Optional, Tuple

from gluonnorm._runtime import num_threads
from gluonnorm.training.callback import Callback, RunningLoop, StepRecord
from gluonnorm.training.log import TextLog

STAT = "/proc/stat"
# In clock ticks since the start of the machine, the first numbers of the file are: user, nice,
# system, idle, iowait, irq, softirq, steal. The two between are times without work.
IDLE = slice(3, 5)
KINDS = 8
WINDOW = 20.0  # seconds of training that are looked at together
# Processors that are wanted twice. Loggers and shells stay far below.
MOST_SHARED = 0.5


class SharedProcessorsLog(Callback):
    """Callback that writes one line if the run has more threads than processors are left for it.

    The threads of a layer wait for the last one of them, and in the backward pass of a convolution
    in bfloat16 they do so in code of oneDNN that never sleeps. If the system puts two of them on
    one processor, because another process holds the other, each wait takes a turn of several
    milliseconds. On small images fewer threads are then faster. A run cannot change their number.

    Nothing is written where there is no ``/proc/stat``, and for a run with one thread.

    Parameters
    ----------
    text : TextLog
        Where the line is written.
    """

    def __init__(self, text: TextLog) -> None:
        self.text = text
        self._threads = num_threads()
        # When the window began, and the time that others had worked until then.
        self._start: Optional[Tuple[float, float]] = None
        self._is_done = self._threads < 2 or not os.path.exists(STAT)

    def on_losses(self, loop: RunningLoop, record: StepRecord) -> None:
        """Look at the last seconds, after the first step, which compiles the graph."""
        if self._is_done:
            return
        now = time.perf_counter()
        if self._start is None:
            self._start = now, _seconds_of_others()
            return
        began, worked_before = self._start
        if now - began < WINDOW:
            return
        worked = _seconds_of_others()
        others = (worked - worked_before) / (now - began)
        self._start = now, worked
        processors = os.cpu_count() or 1
        if self._threads + others - processors < MOST_SHARED:
            return
        left = max(1, min(self._threads - 1, round(processors - others)))
        self.text.write(
            f"step {record.step}: other processes keep {others:.1f} of {processors} processors "
            f"busy, and this run computes with {self._threads} threads, which wait for each other. "
            f"If they stay busy, small images train faster with OMP_NUM_THREADS={left}: stop the "
            'run and continue it so (docs/deploy.md, "Shared machines")'
        )
        self._is_done = True


def _seconds_of_others() -> float:
    """The time that processors worked for others than this process, since the machine's start."""
    with open(STAT, encoding="ascii") as file:
        _, *numbers = file.readline().split()
    ticks = [int(number) for number in numbers[:KINDS]]
    working = sum(ticks) - sum(ticks[IDLE])
    return working / os.sysconf("SC_CLK_TCK") - time.process_time()
