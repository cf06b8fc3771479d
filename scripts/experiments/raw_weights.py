"""Weights of ResNet v2 for raw pixels, made of those for normalized pixels."""

from typing import Dict

from gluonnorm.errors import InputError
from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD
from gluonnorm.weight_files import read_arrays, write_arrays

import numpy as np

# The epsilon of Gluon's batch norms.
EPSILON = 1e-5
MEAN_NAME, VARIANCE_NAME = "batchnorm0_running_mean", "batchnorm0_running_var"


def write_raw_weights(source: str, target: str) -> None:
    """Write weights that compute of raw pixels what others compute of normalized ones.

    ResNet v2 begins with a batch norm on the image. With stored statistics it computes
    ``(x - mean) / sqrt(var + epsilon)``. Of ``x = (p - m) / s`` this is the same norm of the pixels
    p with the mean ``s * mean + m`` and the variance ``s**2 * (var + epsilon) - epsilon``.

    Parameters
    ----------
    source : str
        Weights for normalized pixels, with Gluon's names.
    target : str
        The file to write.

    Raises
    ------
    InputError
        The weights have no norm on the image.
    """
    arrays: Dict[str, np.ndarray] = dict(read_arrays(source))
    if MEAN_NAME not in arrays or VARIANCE_NAME not in arrays:
        raise InputError(
            f"{source} has no {MEAN_NAME} and {VARIANCE_NAME}; want weights of ResNet v2 with "
            "Gluon's names"
        )
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    raw_mean = std * arrays[MEAN_NAME] + mean
    raw_variance = std**2 * (arrays[VARIANCE_NAME].astype(np.float64) + EPSILON) - EPSILON
    arrays[MEAN_NAME] = raw_mean.astype(np.float32)
    arrays[VARIANCE_NAME] = raw_variance.astype(np.float32)
    write_arrays(target, arrays)
