"""A program that trains until a signal stops it: ``interrupted_program.py PREFIX step|data``. Run by test_loop."""
import sys
import time

from gluonnorm.training import Callback, CheckpointSaver, Interrupted

from training import tiny


class Announce(Callback):
    def on_step_end(self, loop) -> None:
        if loop.step == 8:
            print("ready", flush=True)
        time.sleep(0.05)


def slow_batches(epoch, skip):
    for batch in tiny.batches(epoch, skip):
        yield batch
        if epoch == 1:
            print("ready", flush=True)
            time.sleep(60)


def main(prefix: str, where: str) -> int:
    net, step = tiny.build()
    callbacks = [CheckpointSaver(prefix, net, step.trainer, tiny.SPEC)]
    if where == "step":
        loop = tiny.make_loop(step, [Announce()] + callbacks)
    else:
        loop = tiny.make_loop(step, callbacks, batches=slow_batches)
    try:
        loop.fit(epochs=1000)
    except Interrupted as stop:
        print(stop)
        return stop.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
