"""A program that trains until a signal stops it. test_loop runs it.

usage: interrupted_program.py PREFIX step|data

It prints "ready" when the signal may come: during a step, or while the loop waits for data.
"""

import sys
import time
from typing import Any, Dict, Iterator

from gluonnorm.training import Callback, CheckpointSaver, Interrupted, RunningLoop

from training import tiny

READY_STEP = 8


class Announcer(Callback):
    """Prints "ready" after a step, and makes every step slow."""

    def on_step_end(self, loop: RunningLoop) -> None:
        """Print "ready" if this is the step."""
        if loop.step == READY_STEP:
            print("ready", flush=True)
        time.sleep(0.05)


def slow_batches(epoch: int, skip: int) -> Iterator[Dict[str, Any]]:
    """Yield the batches of an epoch; in the second epoch print "ready" and wait for a minute."""
    for batch in tiny.batches(epoch, skip):
        yield batch
        if epoch == 1:
            print("ready", flush=True)
            time.sleep(60)


def main(prefix: str, moment: str) -> int:
    """Train, and return the exit code after a signal.

    Parameters
    ----------
    prefix : str
        The prefix of the checkpoints.
    moment : str
        "step" or "data": when "ready" is printed.
    """
    net, step = tiny.build()
    saver = CheckpointSaver(prefix, net, step.trainer, tiny.SPEC)
    if moment == "step":
        loop = tiny.make_loop(step, [Announcer(), saver])
    else:
        loop = tiny.make_loop(step, [saver], batches=slow_batches)
    try:
        loop.fit(epochs=1000)
    except Interrupted as stop:
        print(stop)
        return stop.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
