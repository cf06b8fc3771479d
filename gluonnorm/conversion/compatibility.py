"""Differences between a network and a codebase that parameter shapes do not show."""

from typing import List, Sequence

from gluonnorm.convention import CONVENTIONS, BoxConvention
from gluonnorm.conversion.codebase import Codebase
from gluonnorm.conversion.layouts import Arrays
from gluonnorm.conversion.network import stride_conv
from gluonnorm.conversion.rules import Shapes, is_detector, norm_kinds

from mxnet.gluon import Block

RPN_SCORE = "rpn.score.weight"
CONV_DESCRIPTIONS = {"conv1": "first 1x1", "conv2": "3x3"}


def stride_difference(net: Block, codebase: Codebase, shapes: Shapes) -> str:
    """Compare the stride of the bottleneck blocks with that of a codebase.

    Parameters
    ----------
    net : Block
        The network.
    codebase : Codebase
        The codebase.
    shapes : mapping of str to tuple of int
        The shapes of the network's parameters by name.

    Returns
    -------
    str
        The difference in words; "" if there is none, or if either has no bottleneck blocks.
    """
    stem_norm_kind = ""
    for layer, kind in norm_kinds(shapes).items():
        if layer.endswith("bn1"):
            stem_norm_kind = kind
            break
    network_conv = stride_conv(net)
    codebase_conv = codebase.stride_conv.get(stem_norm_kind)
    if network_conv is None or codebase_conv is None or network_conv == codebase_conv:
        return ""
    return (
        "the bottleneck blocks of this network have their stride in the "
        f"{CONV_DESCRIPTIONS[network_conv]} convolution, those of {codebase.name} "
        f"({stem_norm_kind}) in the {CONV_DESCRIPTIONS[codebase_conv]}"
    )


def anchor_count_hint(values: Arrays, shapes: Shapes) -> str:
    """Say what to do about a file whose RPN has another number of anchors in a cell.

    Parameters
    ----------
    values : dict of str to numpy.ndarray
        The arrays of the file by the names of the parameters.
    shapes : mapping of str to tuple of int
        The shapes of the network's parameters by name.

    Returns
    -------
    str
        The end of an error message; "" if the numbers are equal, or if there is no RPN.
    """
    if RPN_SCORE not in values or RPN_SCORE not in shapes:
        return ""
    file_count = len(values[RPN_SCORE])
    network_count = shapes[RPN_SCORE][0]
    if file_count == network_count:
        return ""
    return (
        f". The file's RPN has {file_count} anchors in a cell, the network's {network_count}: "
        "build the network as the weights were trained, with the row of their model and classes=, "
        "or with their anchor_sizes and anchor_ratios (docs/weights.md)"
    )


def convention_difference(net: Block, codebase: Codebase, shapes: Shapes) -> str:
    """Compare the box convention of a detector with the one that the weights were trained under.

    Only the fields in ``codebase.noted_fields`` are compared.

    Parameters
    ----------
    net : Block
        The network.
    codebase : Codebase
        The codebase.
    shapes : mapping of str to tuple of int
        The shapes of the network's parameters by name.

    Returns
    -------
    str
        The differences in words, and what to do; "" if there are none, or for a bare backbone.
    """
    config = getattr(net, "config", None)
    if config is None or not is_detector(shapes):
        return ""
    names = list(codebase.noted_fields)
    # The order within a cell only matters if a level has several sizes.
    if len(config.anchor_sizes[0]) < 2 and "anchor_order" in names:
        names.remove("anchor_order")
    preset = CONVENTIONS[codebase.convention]
    differences = []
    for name in differing_fields(config.convention, preset, names):
        value = getattr(config.convention, name)
        preset_value = getattr(preset, name)
        differences.append(f"{name}={value!r} (not {preset_value!r})")
    if not differences:
        return ""
    return (
        f"the network's convention differs from {codebase.name}'s: {', '.join(differences)}; "
        f"build it with convention={codebase.convention!r} to detect as {codebase.name} does"
    )


def differing_fields(
    convention: BoxConvention, other: BoxConvention, names: Sequence[str]
) -> List[str]:
    """Compare some fields of two conventions.

    Parameters
    ----------
    convention, other : BoxConvention
        The two conventions.
    names : sequence of str
        The names of the fields to compare.

    Returns
    -------
    list of str
        The names of the fields that differ.
    """
    return [name for name in names if getattr(convention, name) != getattr(other, name)]
