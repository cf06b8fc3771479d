"""The row's side of the benchmark: prepare one computation, then run it whenever the parent asks.

Interpreters without MXNet import this file, so it needs the standard library alone.
"""

import json
import math
import os
import re
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

Run = Callable[[], Any]
Task = Dict[str, Any]
Facts = Dict[str, Any]

# Seconds. A computation that takes less is repeated, and the average is reported.
MIN_MEASURED_TIME = 0.2


def serve(
    prepare: Callable[[Task], Tuple[Optional[Run], Facts]],
    profile: Optional[Callable[[Run], Dict[str, List[float]]]] = None,
) -> None:
    """Do the task of the command line, and answer requests with a line of JSON each.

    The first answer is the facts. The request ``run`` is answered with ``seconds`` and ``memory``
    (the most that the process has held so far, in bytes), and ``profile`` with ``operators``. A
    task without a computation has no further answers.

    Parameters
    ----------
    prepare : callable
        ``prepare(task)`` returns the computation, which it has run once, and facts about its
        result. The computation waits for its result. It is None for a task that is done.
    profile : callable or None
        ``profile(run)`` returns seconds and calls of each operator.
    """
    # Libraries print to standard output too. The answers get a copy of it, and everything else goes
    # to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    run, facts = prepare(json.loads(sys.argv[1]))
    if run is None:
        answer(**facts)
        return
    # This is also the second run of the warm-up.
    repeats = max(1, math.ceil(MIN_MEASURED_TIME / measure_seconds(run)))
    answer(**facts)
    for request in sys.stdin:
        if request.strip() == "profile" and profile is not None:
            answer(operators=profile(run))
        else:
            answer(seconds=measure_seconds(run, repeats), memory=peak_memory())


def measure_seconds(run: Run, repeats: int = 1) -> float:
    """Measure the time that one run takes.

    Parameters
    ----------
    run : callable
        The computation; it waits for its result.
    repeats : int
        How many runs are averaged.

    Returns
    -------
    float
        Seconds of one run.
    """
    start_time = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start_time) / repeats


def peak_memory() -> int:
    """Read the most memory that this process has held.

    Returns
    -------
    int
        Bytes; 0 where the system does not tell.
    """
    # getrusage would not do: its number starts with that of the process this one was forked from.
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            status = file.read()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match.group(1)) * 1024 if match else 0
