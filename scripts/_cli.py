"""What all scripts share: how they end, which devices they use, and their seed."""
import ast
import random
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence

from gluonnorm.deploy import DeployError
from gluonnorm.training import CheckpointError, Interrupted, NonFiniteLoss

import mxnet as mx
import numpy as np


def run(main: Callable[[Any], Optional[int]], args: Any) -> None:
    """Call ``main(args)`` and end the process with the status it returns (None is 0).

    What the user can cause, a wrong option, a damaged file, a full disk, a diverging loss, becomes one line
    ``error: ...`` on standard error and status 2; Ctrl-C gives 130. Anything else is a fault of the program and
    keeps its traceback.
    """
    try:
        sys.exit(main(args))
    except (ValueError, OSError, CheckpointError, DeployError, NonFiniteLoss) as error:  # DataError is a ValueError
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def one_line(error: BaseException) -> str:
    """The message of ``error`` without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def contexts(gpus: str) -> List[mx.Context]:
    """The devices of ``--gpus``: ``"0,1"`` are two GPUs, ``""`` is the CPU. Raises ValueError for any other."""
    try:
        numbers = [int(number) for number in gpus.split(",") if number.strip()]
    except ValueError:
        raise ValueError(f"--gpus is {gpus!r}; want numbers with commas between them, or nothing for the CPU") from None
    there = mx.context.num_gpus()
    for number in numbers:
        if not 0 <= number < there:
            raise ValueError(f"--gpus asks for GPU {number}, but MXNet sees {there}; leave it out to use the CPU")
    return [mx.gpu(number) for number in numbers] or [mx.cpu()]


def seed_everything(seed: int) -> None:
    """Set the random states of Python, NumPy and MXNet."""
    random.seed(seed)
    np.random.seed(seed)
    mx.random.seed(seed)


def settings(pairs: Sequence[str]) -> Dict[str, Any]:
    """``["short=300", "normalize=False"]`` as keyword arguments; values are Python literals."""
    values = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise ValueError(f"--set {pair}: give NAME=VALUE with a number, a tuple, True, False or None") from None
    return values
