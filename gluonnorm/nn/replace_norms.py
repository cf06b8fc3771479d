"""Replace the norms of any Gluon network by another norm, and say what was kept of them."""

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from gluonnorm.errors import InputError, first_line
from gluonnorm.nn.batch_norm import FrozenBatchNorm
from gluonnorm.nn.norm import Norm, make_norm
from gluonnorm.nn.shapes import infer_shapes

import mxnet as mx
from mxnet.gluon import HybridBlock

SCALE_AND_SHIFT = ("gamma", "beta")
RUNNING_STATISTICS = ("running_mean", "running_var")
# The input on which shapes are inferred that a network leaves open until its first image.
IMAGE_SHAPE = (1, 3, 256, 256)


class ReplacedNorm(NamedTuple):
    """One norm that was replaced.

    Attributes
    ----------
    layer : str
        Structural name of the layer, such as "4.0.body.1".
    old, new : str
        Names of the classes of the old and of the new layer.
    channels : int
        Number of channels, C; 0 if it waits for the first input.
    kept : tuple of str
        The arrays whose values the new layer took over: some of "gamma", "beta", "running_mean"
        and "running_var".
    """

    layer: str
    old: str
    new: str
    channels: int
    kept: Tuple[str, ...]


class NormReplacements(List[ReplacedNorm]):
    """What :func:`replace_norms` did: a list with an entry for each layer; ``str`` sums it up."""

    def __str__(self) -> str:
        if not self:
            return "no norms to replace"
        changes: Dict[Tuple[str, str], int] = {}
        for norm in self:
            change = (norm.old, norm.new)
            changes[change] = changes.get(change, 0) + 1
        parts = [f"{count} {old} became {new}" for (old, new), count in changes.items()]
        kept_scales = sum(SCALE_AND_SHIFT[0] in norm.kept for norm in self)
        kept_statistics = sum(RUNNING_STATISTICS[0] in norm.kept for norm in self)
        return (
            f"{', '.join(parts)}; {kept_scales} kept their scale and shift, {kept_statistics} "
            "their statistics"
        )


def replace_norms(net: HybridBlock, norm: Union[str, Norm]) -> NormReplacements:
    """Replace every norm within a network by another one, in place.

    A norm is a layer with parameters ``gamma`` and ``beta`` and no layers within it: Gluon's batch,
    instance and group norms, GluonCV's, and those of this package. The new layer takes over the
    arrays that it has too and whose shapes are equal; its output is the same if it takes over all
    of them, as ``FrozenBatchNorm`` does of a batch norm. An epsilon that differs goes into the
    variance. A scale or shift that does not learn in the old layer does not in the new one. A norm
    of three channels with neither, as the first one of Gluon's ResNet v2, holds statistics of the
    pixels, and becomes a ``FrozenBatchNorm`` whatever ``norm`` is.

    Replace before the network is hybridized, trained or read by a backbone.

    Parameters
    ----------
    net : mxnet.gluon.HybridBlock
        The network. It may have values, on any devices, which it keeps. Numbers of channels that
        wait for the first input are inferred for an image; if the network takes none, the new
        norms wait as well.
    norm : str or callable
        A name for :func:`gluonnorm.nn.make_norm`, or what that returns.

    Returns
    -------
    NormReplacements
        The layers that were replaced, in the order of the network, and what each one kept.

    Raises
    ------
    InputError
        A norm cannot have the channels of a layer, a norm is not over axis 1, or ``net`` is itself
        a norm. Nothing is replaced then.

    Examples
    --------
    >>> from mxnet.gluon.model_zoo import vision
    >>> features = vision.resnet18_v1(prefix="net_").features
    >>> features.initialize()
    >>> print(replace_norms(features, "frozen_bn"))
    20 BatchNorm became FrozenBatchNorm; 20 kept their scale and shift, 20 their statistics
    """
    make = make_norm(norm) if isinstance(norm, str) else norm
    if _is_norm(net):
        raise InputError(f"{net.name} is itself a norm; give the network that holds it")
    places = list(_norms_within(net, ""))
    if any(old.gamma.shape[0] == 0 for _, _, _, old in places):
        _settle_channels(net)

    # All new layers are made before the first one is put in, so that an error changes nothing.
    new_layers: Dict[int, HybridBlock] = {}
    replacements = NormReplacements()
    for layer, _, _, old in places:
        if id(old) in new_layers:
            continue
        # Outside of the parent's name scope: slices of one sequence share its prefix, and each
        # would give the same names to its new layers.
        new = _make_like(old, make, layer)
        new_layers[id(old)] = new
        kept = _take_over(old, new)
        channels = _channels(old)
        old_class, new_class = type(old).__name__, type(new).__name__
        replacements.append(ReplacedNorm(layer, old_class, new_class, channels, kept))
    for _, parent, child_name, old in places:
        _put_in(parent, child_name, old, new_layers[id(old)])
    return replacements


def count_norms(net: HybridBlock) -> int:
    """Count the norms within a network that :func:`replace_norms` would replace.

    Parameters
    ----------
    net : mxnet.gluon.HybridBlock
        Any network.

    Returns
    -------
    int
        The number of layers.
    """
    return len({id(norm) for _, _, _, norm in _norms_within(net, "")})


def _norms_within(
    block: HybridBlock, prefix: str
) -> Iterator[Tuple[str, HybridBlock, str, HybridBlock]]:
    """Yield structural name, parent, name in the parent and layer of each norm in a block."""
    for name, child in block._children.items():
        if _is_norm(child):
            yield prefix + name, block, name, child
        else:
            yield from _norms_within(child, f"{prefix}{name}.")


def _is_norm(layer: HybridBlock) -> bool:
    """Tell whether a layer is a norm: it owns a scale and a shift, and nothing is within it."""
    return set(SCALE_AND_SHIFT) <= set(layer._reg_params) and not layer._children


def _make_like(old: HybridBlock, make: Norm, layer: str) -> HybridBlock:
    """Make the norm that takes the place of an old one."""
    if isinstance(old, mx.gluon.nn.LayerNorm) or _attributes(old).get("axis", 1) != 1:
        raise InputError(f"{layer} ({type(old).__name__}) is no norm over axis 1, the channels")
    has_scale, has_center = _has_scale(old), _has_center(old)
    has_statistics = set(RUNNING_STATISTICS) <= set(old._reg_params)
    if _channels(old) == IMAGE_SHAPE[1] and has_statistics and not (has_scale or has_center):
        # The first norm of Gluon's ResNet v2 holds the statistics of pixels.
        make = FrozenBatchNorm
    try:
        return make(_channels(old), center=has_center, scale=has_scale)
    except (InputError, TypeError) as error:
        raise InputError(
            f"{layer} has {_channels(old)} channels, and the norm cannot take its place: "
            f"{first_line(error)}"
        ) from error


def _has_scale(norm: HybridBlock) -> bool:
    """Tell whether a norm was made with a scale that learns, or that a published network froze."""
    attributes = _attributes(norm)
    if "fix_gamma" in attributes:
        return not attributes["fix_gamma"]
    return attributes.get("scale", norm.gamma._differentiable)


def _has_center(norm: HybridBlock) -> bool:
    """Tell whether a norm was made with a shift that learns, or that a published network froze."""
    is_frozen = isinstance(norm, FrozenBatchNorm)
    return is_frozen or _attributes(norm).get("center", norm.beta._differentiable)


def _settle_channels(net: HybridBlock) -> None:
    """Infer how many channels the norms have, if the network takes an image."""
    try:
        infer_shapes(net, IMAGE_SHAPE)
    except InputError:
        # The last layers of a network read no image. Their new norms wait for the first input.
        pass


def _channels(norm: HybridBlock) -> int:
    """Return the number of channels of a norm; 0 if its arrays do not tell."""
    # Gluon's layer has one gamma a group.
    return 0 if isinstance(norm, mx.gluon.nn.GroupNorm) else norm.gamma.shape[0]


def _attributes(layer: HybridBlock) -> Dict[str, Any]:
    """Return what a norm passes to its operator, under the operator's names."""
    for name in ("_kwargs", "_attributes"):
        if hasattr(layer, name):
            return getattr(layer, name)
    return {"eps": layer._epsilon} if hasattr(layer, "_epsilon") else {}


def _take_over(old: HybridBlock, new: HybridBlock) -> Tuple[str, ...]:
    """Give a new norm the devices and the values of an old one; return the names of the arrays."""
    parameters = old._reg_params
    if any(parameter._data is None for parameter in parameters.values()):
        return ()
    ctx = old.gamma.list_ctx()
    new.initialize(ctx=ctx)
    kept: List[str] = []
    for names in (SCALE_AND_SHIFT, RUNNING_STATISTICS):
        # One of a pair alone would be worth nothing.
        if all(_has_same_shape(parameters.get(name), new._reg_params.get(name)) for name in names):
            kept += names
    has_fixed_scale = _attributes(old).get("fix_gamma", False)
    for name in kept:
        value = parameters[name].data(ctx[0])
        if name == "gamma" and has_fixed_scale:
            value = mx.nd.ones_like(value)
        if name == "running_var":
            value = value + _epsilon_difference(old, new)
        new._reg_params[name].set_data(value)
    return tuple(kept)


def _has_same_shape(
    parameter: Optional[mx.gluon.Parameter], other: Optional[mx.gluon.Parameter]
) -> bool:
    """Tell whether both parameters exist and have one shape."""
    if parameter is None or other is None:
        return False
    return parameter.shape == other.shape


def _epsilon_difference(old: HybridBlock, new: HybridBlock) -> float:
    """Compute what a variance gains so that the new epsilon makes the same of it."""
    old_epsilon = _attributes(old).get("eps")
    new_epsilon = _attributes(new).get("eps")
    if old_epsilon is None or new_epsilon is None:
        return 0.0
    return float(old_epsilon) - float(new_epsilon)


def _put_in(parent: HybridBlock, name: str, old: HybridBlock, new: HybridBlock) -> None:
    """Put a layer in the place of another one, wherever its parent keeps that."""
    parent._children[name] = new
    # Gluon refuses to assign a layer of another class to an attribute, so that is set directly.
    for attribute, value in vars(parent).items():
        if value is old:
            vars(parent)[attribute] = new
        elif isinstance(value, list):
            value[:] = [new if item is old else item for item in value]
    parent._clear_cached_op()
