"""Rewrite the norms of GluonCV's models with SyncBatchNorm as layers that gluonnorm has.

- The norms of their pyramid are symbol operators with MXNet's defaults: an epsilon of 1e-3 and
  ``fix_gamma``, so that gamma counts as 1 whatever is stored. gluonnorm's norms have an epsilon of
  1e-5 and use their gamma.
- In the Mask R-CNN among them, convolutions before a norm have a bias, and a norm follows the
  deconvolution of the mask head. gluonnorm has neither.

In inference a norm computes ``gamma * (x + bias - mean) / sqrt(variance + epsilon) + beta``. So a
bias can be moved into the mean, a larger epsilon into the variance, and a norm into the
deconvolution before it: the function is the same. Loading rewrites the arrays of a file that way,
saving does the reverse.
"""

import re
from typing import Iterator, Tuple

from gluonnorm.conversion.codebase import EPSILON
from gluonnorm.conversion.layouts import Arrays
from gluonnorm.conversion.rules import Shapes

import numpy as np

PYRAMID_EPSILON = 1e-3  # the default of MXNet's operator SyncBatchNorm
# Each convolution of the pyramid, and the norm after it.
PYRAMID_LAYERS = (
    ("features.P2_conv_lat", "features.P2_conv1_bn"),
    ("features.P3_conv_lat", "features.P3_conv1_bn"),
    ("features.P4_conv_lat", "features.P4_conv1_bn"),
    ("features.P5_conv_lat", "features.P5_lat_bn"),
    ("features.P6_conv1", "features.P6_pre_bn"),
    ("features.P2_conv1", "features.P2_bn"),
    ("features.P3_conv1", "features.P3_bn"),
    ("features.P4_conv1", "features.P4_bn"),
    ("features.P5_conv1", "features.P5_bn"),
)
HEAD_NORM = re.compile(r"(?P<head>box_features|mask\.deconv)\.(?P<position>\d+)\.gamma")
DECONV_WEIGHT = re.compile(r"mask\.deconv\.(?P<position>\d+)\.weight")
DECONV_KERNEL = (2, 2)


def rewrite_norms(arrays: Arrays, shapes: Shapes) -> Arrays:
    """Rewrite the arrays of a file as those of gluonnorm's layers.

    Arrays that are missing or malformed are left as they are, so that the comparison with the
    network reports them.

    Parameters
    ----------
    arrays : dict of str to numpy.ndarray
        The arrays of a file of GluonCV. They are not changed.
    shapes : mapping of str to tuple of int
        The shapes of the network's parameters by name.

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays for gluonnorm, by GluonCV's names.
    """
    arrays = dict(arrays)
    for conv, norm in PYRAMID_LAYERS:
        _rewrite_pyramid_norm(arrays, conv, norm)
    for conv, norm in list(_head_layers(arrays)):
        is_deconv = arrays[f"{conv}.weight"].shape[2:] == DECONV_KERNEL
        if is_deconv and "mask_head.deconv.weight" in shapes:
            _fold_norm_into_deconv(arrays, conv, norm)
        else:
            _move_bias_into_mean(arrays, f"{conv}.bias", f"{norm}.running_mean")
    return arrays


def _rewrite_pyramid_norm(arrays: Arrays, conv: str, norm: str) -> None:
    """Move the excess of epsilon into the variance, and the convolution's bias into the mean."""
    gamma_name = f"{norm}_gamma"
    variance_name = f"{norm}_moving_var"
    if not _are_alike(arrays, gamma_name, variance_name):
        return
    variance = arrays[variance_name].astype(np.float32)
    arrays[gamma_name] = np.ones_like(arrays[gamma_name])
    arrays[variance_name] = variance + np.float32(PYRAMID_EPSILON - EPSILON)
    _move_bias_into_mean(arrays, f"{conv}_bias", f"{norm}_moving_mean")


def _move_bias_into_mean(arrays: Arrays, bias_name: str, mean_name: str) -> None:
    """Remove the bias of a convolution, and subtract it from the mean of the norm after it."""
    if not _are_alike(arrays, bias_name, mean_name):
        return
    bias = arrays.pop(bias_name).astype(np.float64)
    arrays[mean_name] = (arrays[mean_name] - bias).astype(np.float32)


def _fold_norm_into_deconv(arrays: Arrays, conv: str, norm: str) -> None:
    """Remove the norm after a deconvolution, and scale and shift the deconvolution instead."""
    leaves = ("gamma", "beta", "running_mean", "running_var")
    names = [f"{norm}.{leaf}" for leaf in leaves]
    if not _are_alike(arrays, f"{conv}.bias", *names):
        return
    gamma, beta, mean, variance = (arrays.pop(name).astype(np.float64) for name in names)
    scale = gamma / np.sqrt(variance + EPSILON)
    # The weight of a deconvolution is (in, out, height, width).
    weight = arrays[f"{conv}.weight"] * scale[:, None, None]
    bias = (arrays[f"{conv}.bias"] - mean) * scale + beta
    arrays[f"{conv}.weight"] = weight.astype(np.float32)
    arrays[f"{conv}.bias"] = bias.astype(np.float32)


def _head_layers(arrays: Arrays) -> Iterator[Tuple[str, str]]:
    """Find the pairs of convolution and norm in the heads."""
    for name in sorted(arrays):
        norm_match = HEAD_NORM.fullmatch(name)
        if norm_match is None:
            continue
        head = norm_match.group("head")
        position = int(norm_match.group("position"))
        conv = f"{head}.{position - 1}"
        if f"{conv}.weight" in arrays:
            yield conv, f"{head}.{position}"


def _are_alike(arrays: Arrays, *names: str) -> bool:
    """Tell whether all these arrays exist, have the same shape and are floats."""
    if not all(name in arrays for name in names):
        return False
    first_shape = arrays[names[0]].shape
    for name in names:
        array = arrays[name]
        if array.shape != first_shape or not np.issubdtype(array.dtype, np.floating):
            return False
    return True


def sync_norm_additions(arrays: Arrays) -> Arrays:
    """Make the arrays of GluonCV's models with SyncBatchNorm that gluonnorm does not have.

    Parameters
    ----------
    arrays : dict of str to numpy.ndarray
        The arrays of a detector by GluonCV's names, as gluonnorm uses them.

    Returns
    -------
    dict of str to numpy.ndarray
        The pyramid's layers with a gamma of 1; for Mask R-CNN, biases of zeros, and a norm after
        the deconvolution that changes nothing. Empty for a model without norms in the pyramid.
    """
    more: Arrays = {}
    for conv, norm in PYRAMID_LAYERS:
        if f"{norm}_gamma" in arrays:
            more.update(_with_unit_gamma(arrays, conv, norm))
    if not more or "mask.mask.weight" not in arrays:
        return more
    for conv, _ in PYRAMID_LAYERS:
        more[f"{conv}_bias"] = _zero_bias(arrays[f"{conv}_weight"])
    for conv, _ in _head_layers(arrays):
        more[f"{conv}.bias"] = _zero_bias(arrays[f"{conv}.weight"])
    more.update(_identity_norm_after_deconv(arrays))
    return more


def _with_unit_gamma(arrays: Arrays, conv: str, norm: str) -> Arrays:
    """Write a convolution and its norm with a gamma of 1 and GluonCV's epsilon.

    The variance becomes smaller by the difference of the epsilons, but not below 0. The rest of the
    norm's scale, and gamma, are multiplied into the convolution.
    """
    gamma = arrays[f"{norm}_gamma"].astype(np.float64)
    mean = arrays[f"{norm}_moving_mean"].astype(np.float64)
    variance = arrays[f"{norm}_moving_var"].astype(np.float64)
    stored_variance = np.maximum(variance + EPSILON - PYRAMID_EPSILON, 0)
    scale = gamma * np.sqrt((stored_variance + PYRAMID_EPSILON) / (variance + EPSILON))
    weight = arrays[f"{conv}_weight"] * scale[:, None, None, None]
    return {
        f"{conv}_weight": weight.astype(np.float32),
        f"{norm}_gamma": np.ones_like(gamma).astype(np.float32),
        f"{norm}_moving_mean": (mean * scale).astype(np.float32),
        f"{norm}_moving_var": stored_variance.astype(np.float32),
    }


def _zero_bias(weight: np.ndarray) -> np.ndarray:
    """Make the bias of a convolution, all zeros."""
    return np.zeros(weight.shape[0], np.float32)


def _identity_norm_after_deconv(arrays: Arrays) -> Arrays:
    """Make a norm that changes nothing, for the one after the deconvolution of the mask head."""
    positions = []
    for name in arrays:
        weight_match = DECONV_WEIGHT.fullmatch(name)
        if weight_match is not None:
            positions.append(int(weight_match.group("position")))
    deconv = max(positions)  # the last layer of the sequence
    zeros = np.zeros_like(arrays[f"mask.deconv.{deconv}.bias"])
    norm = f"mask.deconv.{deconv + 1}"
    return {
        f"{norm}.gamma": zeros + 1,
        f"{norm}.beta": zeros,
        f"{norm}.running_mean": zeros,
        f"{norm}.running_var": zeros + np.float32(1 - EPSILON),
    }
