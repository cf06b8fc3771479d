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
