"""Norms by name: ``make_norm`` is the one place that knows their names.

Every norm is called as ``norm(channels, center=True, scale=True, zero_gamma=False)`` and makes a
layer that maps (N, C, H, W) to the same shape, so a network takes any of them without an ``if``.
The parameters of the package's norms are ``gamma``, ``beta``, ``running_mean`` and
``running_var``, each of shape (C,). ``SwitchNorm`` adds ``mean_weight`` and ``var_weight``.

:func:`register_norm` adds a norm of the user.
"""

import functools
import inspect
from typing import Any, Callable, List, Tuple, Union

from gluonnorm.errors import InputError, first_line
from gluonnorm.nn.batch_norm import BatchNorm, FrozenBatchNorm, SyncBatchNorm
from gluonnorm.nn.group_norm import GroupNorm
from gluonnorm.nn.switch_norm import SwitchNorm
from gluonnorm.registry import Registry, callable_name

from mxnet.gluon import HybridBlock

#: Called as norm(channels, center=True, scale=True, zero_gamma=False); returns the layer.
Norm = Callable[..., HybridBlock]

CALL_SHAPE = "norm(channels, center=True, scale=True, zero_gamma=False)"
_NORMS: Registry[Norm] = Registry(
    "norm",
    {
        "frozen_bn": FrozenBatchNorm,
        "global_bn": functools.partial(BatchNorm, use_global_stats=True),
        "bn": BatchNorm,
        "sync_bn": SyncBatchNorm,
        "gn": GroupNorm,
        "sn": SwitchNorm,
        "sn_nobn": functools.partial(SwitchNorm, use_bn=False),
    },
)
#: The norms of the package; norm_names() has those of the user as well.
NORM_NAMES: Tuple[str, ...] = tuple(_NORMS)
#: Those that always normalize by stored statistics, which a network without weights does not have.
STORED_STATISTICS_NORMS: Tuple[str, ...] = ("frozen_bn", "global_bn")


def register_norm(name: str, build: Norm) -> None:
    """Give a norm of your own a name; the name then works wherever a norm is named.

    Files store the name alone: import the module that registers it before a file is opened, in a
    script with ``--plugin MODULE``.

    Parameters
    ----------
    name : str
        The name, such as "my_norm".
    build : callable
        Makes the layer for a number of channels, called as
        ``build(channels, center=True, scale=True, zero_gamma=False)``. Arguments that have these
        defaults are not passed, so ``build(channels)`` is enough for a norm that ignores them. The
        layer maps (N, C, H, W) to the same shape. If ``build`` has an attribute ``used_in_heads``
        that is False, neck and heads have the norm only when ``head_norm`` asks for it.

    Raises
    ------
    InputError
        The name stands for another norm already, or ``build`` cannot be called so.

    Examples
    --------
    >>> def small_groups(channels, **settings):
    ...     return GroupNorm(channels, num_groups=4, **settings)
    >>> register_norm("small_groups", small_groups)
    >>> make_norm("small_groups")(8).gamma.shape
    (8,)
    """
    _check_call_shape(build)
    _NORMS.register(name, build)


def norm_names() -> List[str]:
    """List the names of all norms: those of the package, then the registered ones.

    Returns
    -------
    list of str
        What :func:`make_norm` takes.
    """
    return list(_NORMS)


def norm_name(norm: Union[str, Norm], option: str = "norm") -> str:
    """Return the name of a norm; a callable that has none is registered under its own.

    Parameters
    ----------
    norm : str or callable
        A known name, or a callable as :func:`register_norm` takes it.
    option : str
        The argument that holds the norm, for messages.

    Returns
    -------
    str
        The name, by which files know the norm. A function has its ``__name__``, a
        ``functools.partial`` also its arguments: "GroupNorm(num_groups=8)".

    Raises
    ------
    InputError
        No norm has this name, or the callable cannot be a norm or has no name.

    Examples
    --------
    >>> norm_name(GroupNorm)
    'gn'
    """
    if isinstance(norm, str):
        _norm_by_name(norm, option)
        return norm
    for name, known in _NORMS.items():
        if known is norm:
            return name
    if not callable(norm):
        raise InputError(
            f"{option} is {norm!r}; give one of {', '.join(_NORMS)}, or a callable {CALL_SHAPE}"
        )
    name = callable_name(norm)
    if not name:
        raise InputError(
            f"{norm!r} has no name by which files could know it; call "
            "gluonnorm.nn.register_norm('my_norm', ...) and give norm='my_norm'"
        )
    register_norm(name, norm)
    return name


def make_norm(name: str, **settings) -> Norm:
    """Return the norm with a name, as a callable that makes a layer for a number of channels.

    Parameters
    ----------
    name : str
        One of :func:`norm_names`: "frozen_bn", "global_bn", "bn", "sync_bn", "gn", "sn",
        "sn_nobn", or a name of :func:`register_norm`.
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
    parameters = inspect.signature(norm).parameters
    takes_any_setting = name not in NORM_NAMES and _has_keywords(parameters.values())
    known_settings = set(parameters) - {"kwargs"}
    unknown_settings = sorted(set(settings) - known_settings)
    if unknown_settings and not takes_any_setting:
        raise InputError(
            f"norm {name!r} has no setting {', '.join(unknown_settings)}; "
            f"it has: {', '.join(sorted(known_settings))}"
        )
    if name not in NORM_NAMES:
        return functools.partial(_make_layer, name, **settings)
    return functools.partial(norm, **settings)


def used_in_heads(name: str) -> bool:
    """Tell whether neck and heads have a norm when the backbone has it, unless told otherwise.

    Parameters
    ----------
    name : str
        One of :func:`norm_names`.

    Returns
    -------
    bool
        The attribute ``used_in_heads`` of the layer's class, or of what a user registered; True
        for a registered norm without it.

    Raises
    ------
    InputError
        No norm has this name.

    Examples
    --------
    >>> used_in_heads("gn"), used_in_heads("frozen_bn")
    (True, False)
    """
    norm: Any = _norm_by_name(name)
    if isinstance(norm, functools.partial) and not hasattr(norm, "used_in_heads"):
        norm = norm.func
    return bool(getattr(norm, "used_in_heads", True))


def _norm_by_name(name: str, option: str = "norm") -> Norm:
    """Look a norm up; raise InputError for an unknown name."""
    if name not in _NORMS:
        raise InputError(
            f"no {option} is called {name!r}; give one of {', '.join(_NORMS)}{_NORMS.way_out(name)}"
        )
    return _NORMS[name]


def _has_keywords(parameters: Any) -> bool:
    """Tell whether a function takes any keyword argument."""
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _check_call_shape(build: Any) -> None:
    """Refuse what cannot be called with a number of channels as its first argument."""
    if not callable(build):
        raise InputError(f"a norm is {build!r}; give a callable {CALL_SHAPE}")
    layer_class = build.func if isinstance(build, functools.partial) else build
    if not isinstance(layer_class, type):
        return
    first = next(iter(inspect.signature(build).parameters), "")
    # Gluon's layers have the axis or the number of groups first, and would take the channels for
    # it without a word.
    if "channels" not in first and "features" not in first:
        raise InputError(
            f"{callable_name(build)} has {first!r} as its first argument, where a norm is called "
            f"as {CALL_SHAPE}; give a function that takes the channels and returns the layer"
        )


def _make_layer(
    name: str,
    channels: int,
    center: bool = True,
    scale: bool = True,
    zero_gamma: bool = False,
    **settings: Any,
) -> HybridBlock:
    """Make a layer of a registered norm, and check that it is one."""
    if not center:
        settings["center"] = False
    if not scale:
        settings["scale"] = False
    if zero_gamma:
        settings["zero_gamma"] = True
    build = _NORMS[name]
    try:
        inspect.signature(build).bind(channels, **settings)
    except TypeError as error:
        raise InputError(
            f"norm {name!r} cannot be called with channels={channels} and {settings}: "
            f"{first_line(error)}; it is called as {CALL_SHAPE}"
        ) from error
    layer = build(channels, **settings)
    if not isinstance(layer, HybridBlock):
        raise InputError(f"norm {name!r} makes {layer!r}; it must return a HybridBlock")
    return layer
