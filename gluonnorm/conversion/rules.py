"""The rules that translate parameter names of gluonnorm into those of another codebase.

A codebase has a table of rules. A rule goes from the name of a gluonnorm layer to candidate names
in the codebase's files. Loading takes the first candidate that the file contains; saving writes the
first candidate. So one table serves both directions::

    Rule(
        r"backbone\\.lateral(?P<level>\\d)\\.conv",
        (
            "backbone.fpn.inner_blocks.{level-2}.0.{leaf}",
            "backbone.fpn.inner_blocks.{level-2}.{leaf}",
        ),
    )

A parameter name such as ``backbone.lateral2.conv.weight`` consists of the name of its layer
(``backbone.lateral2.conv``) and its leaf (``weight``). The pattern of a rule matches the complete
name of the layer, and the first rule that matches is used. In a candidate,

- ``{level}`` is the text that the group ``level`` of the pattern matched;
- ``{level-2}`` or ``{i/2*3+1}`` is integer arithmetic on it, evaluated from left to right, without
  precedence: for i = 6, ``{i/2*3+1}`` is ((6 // 2) * 3) + 1 = 10. Layers are counted differently in
  different codebases: gluonnorm's heads have a ReLU in every second place, where others may have
  none, or a norm in between;
- ``{leaf}`` is the leaf in the codebase's words (gamma -> weight in PyTorch);
- ``{norm}`` is the codebase's word for the type of the norm layer (bn -> batchnorm in GluonCV).
"""

import re
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Sequence, Tuple

from gluonnorm.conversion.layouts import SAME_LAYOUT, LayoutChange
from gluonnorm.types import Shape

Shapes = Mapping[str, Shape]  # parameter name in gluonnorm -> shape
LeafNames = Mapping[str, Tuple[str, ...]]  # leaf in gluonnorm -> words of a codebase, best first

PYTORCH_LEAVES: LeafNames = {
    "weight": ("weight",),
    "bias": ("bias",),
    "gamma": ("weight",),
    "beta": ("bias",),
    "running_mean": ("running_mean",),
    "running_var": ("running_var",),
}
# Patterns of gluonnorm's names for the layers of a ResNet. The prefix is empty in a bare ResNet,
# one "backbone." in a C4 detector, two with a pyramid. Stage 4 is the head of a C4 detector.
RESNET_PREFIX = r"(?:backbone\.){0,2}"
STAGE_BLOCK = RESNET_PREFIX + r"layer(?P<stage>\d)\.(?P<block>\d+)\."
HEAD_BLOCK = r"box_head\.stage\.(?:layer4\.)?(?P<block>\d+)\."

TEMPLATE_FIELD = re.compile(r"\{(\w+)((?:[-+*/]\d+)*)\}")  # {name}, or {name-2}, {name/2*3+1}
OPERATION = re.compile(r"([-+*/])(\d+)")


@dataclass(frozen=True)
class Rule:
    """One line of a table: which layers it is for, and their parameter names in the codebase.

    Attributes
    ----------
    layer : str
        Regular expression of the complete name of a gluonnorm layer.
    templates : tuple of str
        Candidate names of a parameter of that layer, best first. The first one is saved.
    layout : LayoutChange
        How the stored array differs from the parameter.
    leaves : mapping of str to tuple of str, or None
        Words for the leaf of the name, if they differ from those of the codebase.
    """

    layer: str
    templates: Tuple[str, ...]
    layout: LayoutChange = SAME_LAYOUT
    leaves: Optional[LeafNames] = None


def with_endings(names: Sequence[str], ending: str) -> Tuple[str, ...]:
    """Append one ending to several names.

    Parameters
    ----------
    names : sequence of str
        Beginnings of templates.
    ending : str
        What is appended to each.

    Returns
    -------
    tuple of str
        The templates, in the same order.
    """
    return tuple(name + ending for name in names)


def norm_kinds(shapes: Shapes) -> Dict[str, str]:
    """Find the norm layers of a network and the type of each.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The shapes of the parameters by name.

    Returns
    -------
    dict of str to str
        The name of each norm layer -> "sn" (switchable norm), "bn" (a norm with stored statistics)
        or "gn".
    """
    kinds = {}
    for name in shapes:
        layer, _, leaf = name.rpartition(".")
        if leaf != "gamma":
            continue
        if f"{layer}.mean_weight" in shapes:
            kinds[layer] = "sn"
        elif f"{layer}.running_mean" in shapes:
            kinds[layer] = "bn"
        else:
            kinds[layer] = "gn"
    return kinds


def count_convs(shapes: Shapes, head: str) -> int:
    """Count the convolutions of a head.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The shapes of the parameters by name.
    head : str
        "box_head" or "mask_head".

    Returns
    -------
    int
        The number of convolutions in ``<head>.convs``; 0 if there are none.
    """
    pattern = re.compile(head + r"\.convs\.\d\.conv\.weight")
    return sum(pattern.fullmatch(name) is not None for name in shapes)


def is_detector(shapes: Shapes) -> bool:
    """Tell a detector from a bare backbone.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The shapes of the parameters by name.

    Returns
    -------
    bool
        Whether there is a region proposal network.
    """
    return any(name.startswith("rpn.") for name in shapes)


def fill_template(template: str, words: Mapping[str, str]) -> str:
    """Replace the fields of a template.

    Parameters
    ----------
    template : str
        A candidate name with fields in braces, see the top of this file.
    words : mapping of str to str
        The name of each field -> its text. Fields with arithmetic need the text of an integer.

    Returns
    -------
    str
        The name.

    Examples
    --------
    >>> fill_template("box_features.{i/2*3+1}.{leaf}", {"i": "6", "leaf": "gamma"})
    'box_features.10.gamma'
    """

    def field_text(field_match: "re.Match[str]") -> str:
        name, arithmetic = field_match.groups()
        if not arithmetic:
            return words[name]
        number = int(words[name])
        for operator, operand in OPERATION.findall(arithmetic):
            number = _apply(operator, number, int(operand))
        return str(number)

    return TEMPLATE_FIELD.sub(field_text, template)


def _apply(operator: str, left: int, right: int) -> int:
    """Apply one of the four operations of the templates; the division is that of integers."""
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    return left // right
