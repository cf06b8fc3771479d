"""The loss scale of training in float16: it grows until gradients overflow, and then halves."""

import math
from typing import Any, Dict, Sequence

from gluonnorm.errors import GluonnormError, InputError

import mxnet as mx

# The values of MXNet's AMP (mxnet.contrib.amp.loss_scaler.LossScaler in 1.9.1).
FIRST_SCALE = 2.0**16
LARGEST_SCALE = 2.0**24
GROWTH_STEPS = 2000
LEAST_SCALE = 1.0
MOST_ARRAYS = 200  # that MXNet's multi_all_finite takes in one call


class NonFiniteGradient(GluonnormError, RuntimeError):
    """Gradients are not finite without any scale, so that no update can be made.

    The weights are those of the last update, which was finite.
    """


class LossScale:
    """A factor for the losses, which keeps small gradients in the range of float16.

    Float16 has no numbers between 0 and 6e-8, where many gradients are, and none above 65504.
    ``TrainStep`` multiplies the losses by the scale before the backward pass, and divides the
    gradients by it in the update, where they are float32. If a gradient is not finite, it skips the
    update, and the scale halves. After ``growth_steps`` updates in a row the scale doubles.
    Multiplying by a power of two rounds nothing, so the updates are those without a scale.

    MXNet's own ``LossScaler`` has the same rules, with two differences. It halves one step late,
    so that every overflow costs two updates, and a checkpoint cannot hold its state.

    Parameters
    ----------
    value : float
        The first scale, a power of two of at least 1.
    growth_steps : int
        Updates without an overflow after which the scale doubles, at least 1.

    Attributes
    ----------
    value : float
        The scale of the next step, from 1 to 2 ** 24.
    good_steps : int
        Updates since the scale has changed.
    skipped : int
        Updates that this object has skipped.

    Raises
    ------
    InputError
        An argument is out of range.

    Examples
    --------
    >>> scale = LossScale(value=1024, growth_steps=2)
    >>> for is_finite in (False, True, True):
    ...     scale.update(is_finite)
    ...     print(scale.value)
    512.0
    512.0
    1024.0
    """

    def __init__(self, value: float = FIRST_SCALE, growth_steps: int = GROWTH_STEPS) -> None:
        _check_value(value)
        if growth_steps < 1:
            raise InputError(f"growth_steps is {growth_steps}; give at least 1")
        self.value = float(value)
        self.growth_steps = growth_steps
        self.good_steps = 0
        self.skipped = 0

    def update(self, is_finite: bool) -> None:
        """Change the scale after a step.

        Parameters
        ----------
        is_finite : bool
            Whether all gradients of the step are finite.

        Raises
        ------
        NonFiniteGradient
            They are not, and the scale is 1 already.
        """
        if not is_finite:
            if self.value == LEAST_SCALE:
                raise NonFiniteGradient(
                    "the gradients are not finite, and the loss scale is 1 already, so it is not "
                    "the scale that makes them overflow; resume from the last checkpoint with a "
                    "lower learning rate, or in float32"
                )
            self.skipped += 1
            self.good_steps = 0
            self.value /= 2
            return
        self.good_steps += 1
        if self.good_steps >= self.growth_steps:
            self.good_steps = 0
            self.value = min(2 * self.value, LARGEST_SCALE)

    def state(self) -> Dict[str, Any]:
        """Return what a checkpoint must hold.

        Returns
        -------
        dict of str to float
            ``value`` and ``good_steps``.
        """
        return {"value": self.value, "good_steps": self.good_steps}

    def restore(self, state: Dict[str, Any]) -> None:
        """Take over the state of an earlier run.

        Parameters
        ----------
        state : dict of str to float
            What ``state`` has returned.

        Raises
        ------
        InputError
            The value is none that a scale can have.
        """
        _check_value(state["value"])
        self.value = float(state["value"])
        self.good_steps = int(state["good_steps"])


def are_finite(arrays: Sequence[mx.nd.NDArray]) -> bool:
    """Tell whether arrays hold neither NaN nor infinity; this waits for their device.

    Parameters
    ----------
    arrays : sequence of NDArray
        One or more arrays of one device.

    Returns
    -------
    bool
        True if all numbers are finite.
    """
    flag = mx.nd.ones((1,), ctx=arrays[0].context)
    for begin in range(0, len(arrays), MOST_ARRAYS):
        some = arrays[begin : begin + MOST_ARRAYS]
        # Without an initial value, the operator only ever clears the flag.
        mx.nd.multi_all_finite(*some, num_arrays=len(some), init_output=False, out=flag)
    return bool(flag.asscalar())


def _check_value(value: float) -> None:
    """Raise InputError unless a value is a power of two within the bounds."""
    is_within = LEAST_SCALE <= value <= LARGEST_SCALE
    if not is_within or math.frexp(value)[0] != 0.5:
        raise InputError(
            f"the loss scale is {value}; give a power of two from {LEAST_SCALE:g} to "
            f"{LARGEST_SCALE:g}"
        )
