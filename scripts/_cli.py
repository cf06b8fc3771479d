"""What every script needs: how it ends, devices, seeds and NAME=VALUE settings."""

import ast
import random
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence

from gluonnorm.errors import GluonnormError, InputError, one_line
from gluonnorm.training import Interrupted

import mxnet as mx
import numpy as np

FAILED = 2
STOPPED_BY_CTRL_C = 130


def run(main: Callable[[Any], Optional[int]], args: Any) -> None:
    """Call ``main(args)`` and end the process, with one line for errors that the user can mend.

    This is the one place where errors become text:

    - ``GluonnormError`` (a wrong flag, a damaged file, a diverging loss) and ``OSError`` (a missing
      file, a full disk) are printed as one line ``error: ...`` on standard error; the status is 2.
    - ``Interrupted``, the orderly stop of a training run, ends with its own ``exit_code``, and
      Ctrl-C anywhere else with 130.
    - Every other exception is a bug. It keeps its traceback, a plain ``ValueError`` included.

    Parameters
    ----------
    main : callable
        The script's work. It takes ``args`` and returns the exit status; None means 0.
    args : argparse.Namespace
        The parsed command line.
    """
    try:
        sys.exit(main(args))
    # Interrupted is a GluonnormError too, so it must come first.
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)
    except (GluonnormError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(STOPPED_BY_CTRL_C)


def contexts(gpus: str) -> List[mx.Context]:
    """Turn the value of ``--gpus`` into devices.

    Parameters
    ----------
    gpus : str
        Numbers of GPUs with commas between them, such as ``"0,1"``; ``""`` for the CPU.

    Returns
    -------
    list of mx.Context
        One or more devices.

    Raises
    ------
    InputError
        The text is no list of numbers, or MXNet sees no GPU of such a number.

    Examples
    --------
    >>> contexts("")
    [cpu(0)]
    """
    try:
        numbers = [int(number) for number in gpus.split(",") if number.strip()]
    except ValueError:
        raise InputError(
            f"--gpus is {gpus!r}; want numbers with commas between them, or nothing for the CPU"
        ) from None
    visible = mx.context.num_gpus()
    for number in numbers:
        if not 0 <= number < visible:
            raise InputError(
                f"--gpus asks for GPU {number}, but MXNet sees {visible}; "
                "leave it out to use the CPU"
            )
    if not numbers:
        return [mx.cpu()]
    return [mx.gpu(number) for number in numbers]


def seed_everything(seed: int) -> None:
    """Seed the random generators of Python, NumPy and MXNet.

    Parameters
    ----------
    seed : int
        Any non-negative number.
    """
    random.seed(seed)
    np.random.seed(seed)
    mx.random.seed(seed)


def parse_settings(pairs: Sequence[str]) -> Dict[str, Any]:
    """Turn the values of ``--set`` into keyword arguments.

    Parameters
    ----------
    pairs : sequence of str
        Texts ``NAME=VALUE``, where each value is a Python literal.

    Returns
    -------
    dict of str to any
        The value of each name.

    Raises
    ------
    InputError
        A text without ``=``, or a value that is no literal.

    Examples
    --------
    >>> parse_settings(["short=300", "normalize=False"])
    {'short': 300, 'normalize': False}
    """
    values = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise InputError(
                f"--set {pair}: give NAME=VALUE with a number, a tuple, True, False or None"
            ) from None
    return values
