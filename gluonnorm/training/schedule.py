"""Learning rates as pure functions of the step.

``step`` counts from 0: ``rate(0)`` is the rate of the first update. Bind the other arguments to get what a
``Loop`` wants::

    rate = functools.partial(warmup_multistep, base=0.02, milestones=(60000, 80000), warmup_steps=500)
"""
import math
from typing import Sequence


def scale_for_batch(lr: float, batch_size: int, reference_batch: int) -> float:
    """Learning rate for ``batch_size`` images, given the one that suits ``reference_batch`` images.

    The linear scaling rule of Goyal et al. 2017 (arXiv:1706.02677): ``lr * batch_size / reference_batch``.
    """
    if batch_size < 1 or reference_batch < 1:
        raise ValueError(f"batch sizes are {batch_size} and {reference_batch} (reference); both must be at least 1")
    return lr * batch_size / reference_batch


def _warmup(step: int, steps: int, factor: float) -> float:
    """Linear ramp from ``factor`` at step 0 to 1 at step ``steps`` and after."""
    if steps < 0 or not 0 <= factor <= 1:
        raise ValueError(f"warm-up has {steps} steps from factor {factor}; want steps >= 0 and a factor in 0..1")
    if step >= steps:
        return 1.0
    return factor + (1.0 - factor) * step / steps


def warmup_multistep(step: int, base: float, milestones: Sequence[int], decay: float = 0.1,
                     warmup_steps: int = 0, warmup_factor: float = 1e-3) -> float:
    """``base``, multiplied by ``decay`` once for each milestone reached, with a linear warm-up.

    ``milestones`` are steps in ascending order; the update number ``milestones[0]`` is the first at the lower rate.
    """
    if list(milestones) != sorted(milestones):
        raise ValueError(f"milestones are {list(milestones)}; give them in ascending order")
    reached = sum(step >= milestone for milestone in milestones)
    return base * decay ** reached * _warmup(step, warmup_steps, warmup_factor)


def cosine(step: int, base: float, total: int, warmup_steps: int = 0, warmup_factor: float = 1e-3) -> float:
    """Half a cosine from ``base`` at step 0 to 0 at step ``total``, with a linear warm-up.

    ``base * (1 + cos(pi * step / total)) / 2`` (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts).
    """
    if total < 1:
        raise ValueError(f"total is {total} steps; it must be at least 1")
    progress = min(step / total, 1.0)
    return base * 0.5 * (1.0 + math.cos(math.pi * progress)) * _warmup(step, warmup_steps, warmup_factor)
