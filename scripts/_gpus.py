"""The GPUs that a command line names. This file needs no MXNet."""

from typing import List

from gluonnorm.errors import InputError


def gpu_numbers(gpus: str) -> List[int]:
    """Read the value of ``--gpus``.

    Parameters
    ----------
    gpus : str
        Numbers of GPUs with commas between them, such as ``"0,1"``; ``""`` for the CPU.

    Returns
    -------
    list of int
        The numbers.

    Raises
    ------
    InputError
        The text is no list of numbers.

    Examples
    --------
    >>> gpu_numbers("0,1")
    [0, 1]
    """
    try:
        return [int(number) for number in gpus.split(",") if number.strip()]
    except ValueError:
        raise InputError(
            f"--gpus is {gpus!r}; want numbers with commas between them, or nothing for the CPU"
        ) from None


def refuse_several_gpus(gpus: str) -> None:
    """Check ``--gpus`` of a script that runs the network on one device, photo after photo.

    Parameters
    ----------
    gpus : str
        The value of ``--gpus``.

    Raises
    ------
    InputError
        The text is no list of numbers, or names more than one GPU.
    """
    if len(gpu_numbers(gpus)) > 1:
        raise InputError(
            f"--gpus is {gpus!r}; want one number, because this script runs the network on one "
            "GPU: start a process for each of them"
        )
