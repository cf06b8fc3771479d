"""The number types that a detector can be trained in, and the devices that have them."""

from typing import Sequence

from gluonnorm.errors import InputError
from gluonnorm.graph.layer_casts import NARROW_TYPES
from gluonnorm.processor import can_compute, processor_instructions, slowness

import mxnet as mx

#: The number types in which networks are trained.
TRAINING_DTYPES = ("float32", *NARROW_TYPES)
# MXNet 1.9.1 has layers in bfloat16 on the CPU only, and layers in float16 on GPUs only.
DEVICE_TYPES = {"bfloat16": "cpu", "float16": "gpu"}


def check_training_dtype(dtype: str, devices: Sequence[mx.Context]) -> None:
    """Check that devices can train in a number type.

    Parameters
    ----------
    dtype : str
        What convolutions and fully connected layers are to compute in.
    devices : sequence of mxnet.Context
        The devices of the network.

    Raises
    ------
    InputError
        There is no such type, or a device does not have it.
    """
    if dtype not in TRAINING_DTYPES:
        raise InputError(f"dtype is {dtype!r}; give one of {', '.join(TRAINING_DTYPES)}")
    if dtype == "float32":
        return
    for device in devices:
        if device.device_type != DEVICE_TYPES[dtype]:
            others = [name for name in NARROW_TYPES if DEVICE_TYPES[name] == device.device_type]
            raise InputError(
                f"{dtype} cannot train on {device}, since MXNet has its layers for a "
                f"{DEVICE_TYPES[dtype]} only; give {' or '.join([*others, 'float32'])}"
            )
    instructions = processor_instructions()
    if DEVICE_TYPES[dtype] == "cpu" and not can_compute(dtype, instructions):
        raise InputError(f"{slowness(dtype, instructions)}; give float32")


def slow_dtype(dtype: str) -> str:
    """Explain why training in a number type is slow on this processor.

    Parameters
    ----------
    dtype : str
        One of ``TRAINING_DTYPES``, which the devices have.

    Returns
    -------
    str
        A sentence without a period; "" if it is not slow, or if GPUs compute in it.
    """
    if DEVICE_TYPES.get(dtype) != "cpu":
        return ""
    return slowness(dtype, processor_instructions())
