"""Learning rates as pure functions of the step.

``step`` counts from 0: ``rate(0)`` is the rate of the first update. Bind the other arguments to get
the function that a ``Loop`` takes.

>>> from functools import partial
>>> rate = partial(warmup_multistep, base=0.02, milestones=(60000, 80000), warmup_steps=500)
>>> rate(500)
0.02
"""

import math
from typing import Sequence

from gluonnorm.errors import InputError


def scale_for_batch(lr: float, batch_size: int, reference_batch: int) -> float:
    """Scale a learning rate linearly to another batch size.

    The linear scaling rule of Goyal et al. 2017 (arXiv:1706.02677):
    ``lr * batch_size / reference_batch``.

    Parameters
    ----------
    lr : float
        The learning rate that suits ``reference_batch`` images.
    batch_size : int
        Images in a batch, at least 1.
    reference_batch : int
        Images in a batch at which ``lr`` was tuned, at least 1.

    Returns
    -------
    float
        The learning rate for ``batch_size`` images.

    Raises
    ------
    InputError
        A batch size is less than 1.

    Examples
    --------
    >>> scale_for_batch(0.02, batch_size=8, reference_batch=16)
    0.01
    """
    if batch_size < 1 or reference_batch < 1:
        raise InputError(
            f"batch sizes are {batch_size} and {reference_batch} (reference); both must be at "
            "least 1"
        )
    return lr * batch_size / reference_batch


def warmup_multistep(
    step: int,
    base: float,
    milestones: Sequence[int],
    decay: float = 0.1,
    warmup_steps: int = 0,
    warmup_factor: float = 1e-3,
) -> float:
    """Compute a learning rate that drops at milestones, with a linear warm-up.

    Parameters
    ----------
    step : int
        The step, from 0.
    base : float
        The rate after the warm-up and before the first milestone.
    milestones : sequence of int
        Steps in ascending order. The step ``milestones[0]`` is the first with the lower rate.
    decay : float
        The factor at each milestone.
    warmup_steps : int
        Steps of the warm-up.
    warmup_factor : float
        The fraction of the rate at step 0 of the warm-up, 0..1.

    Returns
    -------
    float
        The learning rate of the step.

    Raises
    ------
    InputError
        The milestones are not in ascending order, or a warm-up argument is out of range.
    """
    if list(milestones) != sorted(milestones):
        raise InputError(f"milestones are {list(milestones)}; give them in ascending order")
    reached = sum(step >= milestone for milestone in milestones)
    return base * decay**reached * _warmup(step, warmup_steps, warmup_factor)


def cosine(
    step: int, base: float, total: int, warmup_steps: int = 0, warmup_factor: float = 1e-3
) -> float:
    """Compute a learning rate that falls along half a cosine, with a linear warm-up.

    ``base * (1 + cos(pi * step / total)) / 2`` (Loshchilov and Hutter 2017, arXiv:1608.03983,
    without restarts).

    Parameters
    ----------
    step : int
        The step, from 0.
    base : float
        The rate at step 0 if there is no warm-up.
    total : int
        The step at which the rate is 0, and stays so; at least 1.
    warmup_steps : int
        Steps of the warm-up.
    warmup_factor : float
        The fraction of the rate at step 0 of the warm-up, 0..1.

    Returns
    -------
    float
        The learning rate of the step.

    Raises
    ------
    InputError
        ``total`` is less than 1, or a warm-up argument is out of range.
    """
    if total < 1:
        raise InputError(f"total is {total} steps; it must be at least 1")
    progress = min(step / total, 1.0)
    half_cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
    return base * half_cosine * _warmup(step, warmup_steps, warmup_factor)


def _warmup(step: int, warmup_steps: int, warmup_factor: float) -> float:
    """Rise from ``warmup_factor`` at step 0 to 1 at step ``warmup_steps``, and stay there."""
    if warmup_steps < 0 or not 0 <= warmup_factor <= 1:
        raise InputError(
            f"warm-up has {warmup_steps} steps from factor {warmup_factor}; want steps >= 0 and a "
            "factor in 0..1"
        )
    if step >= warmup_steps:
        return 1.0
    return warmup_factor + (1.0 - warmup_factor) * step / warmup_steps
