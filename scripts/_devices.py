"""The devices of MXNet that a command line names."""

from typing import List

from gluonnorm.errors import InputError

import mxnet as mx
from _gpus import gpu_numbers


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
    numbers = gpu_numbers(gpus)
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
