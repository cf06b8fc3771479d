"""Norms by name: ``make_norm`` is the one place that knows their names.

Every norm is called as ``norm(channels, center=True, scale=True, zero_gamma=False)`` and makes a
layer that maps (N, C, H, W) to the same shape, so a network takes any of them without an ``if``.
The parameters are ``gamma``, ``beta``, ``running_mean`` and ``running_var``, each of shape (C,).
``SwitchNorm`` adds ``mean_weight`` and ``var_weight``.
"""

import functools
import inspect
from typing import Any, Callable, Dict, Tuple

from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.nn.batch_norm import BatchNorm, FrozenBatchNorm, SyncBatchNorm
from gluonnorm.nn.group_norm import GroupNorm
from gluonnorm.nn.switch_norm import SwitchNorm

from mxnet.gluon import HybridBlock

# Called as norm(channels, center=True, scale=True, zero_gamma=False); returns the layer.
Norm = Callable[..., HybridBlock]

_NORMS: Dict[str, Norm] = {
    "frozen_bn": FrozenBatchNorm,
    "global_bn": functools.partial(BatchNorm, use_global_stats=True),
    "bn": BatchNorm,
    "sync_bn": SyncBatchNorm,
    "gn": GroupNorm,
    "sn": SwitchNorm,
    "sn_nobn": functools.partial(SwitchNorm, use_bn=False),
}
NORM_NAMES: Tuple[str, ...] = tuple(_NORMS)


def make_norm(name: str, **settings) -> Norm:
    """Return the norm with a name, as a callable that makes a layer for a number of channels.

    Parameters
    ----------
    name : str
        One of ``NORM_NAMES``: "frozen_bn", "global_bn", "bn", "sync_bn", "gn", "sn", "sn_nobn".
    **settings
        Further arguments of the layer, the same for all layers that the callable makes.

    Returns
    -------
    callable
        Called as ``norm(channels, center=True, scale=True, zero_gamma=False)``.

    Raises
    ------
    InputError
        No norm has this name, or the layer has no such setting.

    Examples
    --------
    >>> norm = make_norm("gn", num_groups=16)
    >>> norm(64).gamma.shape
    (64,)
    """
    norm = _norm_by_name(name)
    known_settings = set(inspect.signature(norm).parameters) - {"kwargs"}
    unknown_settings = sorted(set(settings) - known_settings)
    if unknown_settings:
        raise InputError(
            f"norm {name!r} has no setting {', '.join(unknown_settings)}; "
            f"it has: {', '.join(sorted(known_settings))}"
        )
    return functools.partial(norm, **settings)


def used_in_heads(name: str) -> bool:
    """Tell whether neck and heads have a norm when the backbone has it, unless told otherwise.

    Parameters
    ----------
    name : str
        One of ``NORM_NAMES``.

    Returns
    -------
    bool
        The attribute ``used_in_heads`` of the layer's class.

    Raises
    ------
    InputError
        No norm has this name.

    Examples
    --------
    >>> used_in_heads("gn"), used_in_heads("frozen_bn")
    (True, False)
    """
    norm = _norm_by_name(name)
    layer_class: Any = norm.func if isinstance(norm, functools.partial) else norm
    return layer_class.used_in_heads


def _norm_by_name(name: str) -> Norm:
    """Look a norm up; raise InputError for an unknown name."""
    if name not in _NORMS:
        raise InputError(
            f"no norm is called {name!r}; give one of {', '.join(NORM_NAMES)}"
            f"{did_you_mean(name, NORM_NAMES)}"
        )
    return _NORMS[name]
