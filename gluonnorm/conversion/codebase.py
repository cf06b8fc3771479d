"""``Codebase``: the names and peculiarities of one codebase's weight files."""

import re
from dataclasses import dataclass, field
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from gluonnorm.conversion.layouts import SAME_LAYOUT, Arrays, LayoutChange
from gluonnorm.conversion.rules import (
    PYTORCH_LEAVES,
    LeafNames,
    Rule,
    Shapes,
    fill_template,
    norm_kinds,
)

EPSILON = 1e-5  # of every norm layer of gluonnorm
NEVER = r"(?!)"  # a regular expression that matches nothing
Rules = Sequence[Rule]

# A network that differs from its weights in one of these fields detects much worse.
GEOMETRY_FIELDS = ("anchors", "anchor_order", "roi_aligned")


class IgnoredTensor(NamedTuple):
    """Tensors that a file may contain although no parameter needs them.

    Attributes
    ----------
    pattern : str
        Regular expression of the complete name in the file.
    reason : str
        Why it is not needed, for the report.
    only_if_zero : bool
        Whether it may only be ignored if all its values are 0.
    repeats : str or None
        The name of the tensor that it repeats, as a replacement for ``re.sub`` with the groups of
        ``pattern``. It may only be ignored if the file has that tensor with the same values.
    """

    pattern: str
    reason: str
    only_if_zero: bool = False
    repeats: Optional[str] = None


class FileEpsilon(NamedTuple):
    """The epsilon that a BatchNorm layer has in the codebase of a file.

    Attributes
    ----------
    value : float
        The epsilon, 0 or a small positive number.
    reason : str
        How it is known, for the report.
    """

    value: float
    reason: str


EpsilonFunction = Callable[[Sequence[str], str], FileEpsilon]


class SourceName(NamedTuple):
    """What a codebase calls one parameter, and in which layout it stores it.

    Attributes
    ----------
    candidates : tuple of str
        Names in the codebase's files, best first. Empty if the codebase has no such parameter.
    layout : LayoutChange
        How the stored array differs from the parameter.
    """

    candidates: Tuple[str, ...]
    layout: LayoutChange


def _default_epsilon(names: Sequence[str], file_name: str) -> FileEpsilon:
    """Return gluonnorm's own epsilon, which is the default of most codebases."""
    return FileEpsilon(EPSILON, "the default of this codebase")


def _file_as_it_is(arrays: Arrays, shapes: Shapes) -> Arrays:
    """Return the arrays of a file unchanged."""
    return arrays


def _no_remarks(net: Any, arrays: Arrays) -> List[str]:
    """Say nothing about a file."""
    return []


def _no_additions(net: Any, arrays: Arrays) -> Arrays:
    """Add nothing to the arrays of a file."""
    return {}


@dataclass(frozen=True)
class Codebase:
    """The names of one codebase's parameters, and every other peculiarity of its weight files.

    Attributes
    ----------
    name : str
        The name in ``conversion.load(..., source=name)``.
    rules : sequence of Rule, or callable
        The table of names. If the table depends on the network, a function that takes the shapes
        of the network's parameters by name, and returns the table.
    leaves : mapping of str to tuple of str
        The last part of a gluonnorm name -> the codebase's words for it, best first.
    norm_words : mapping of str to str
        Type of norm layer, "bn" (also frozen), "gn" or "sn" -> the text for ``{norm}`` in a
        template. A type without an entry is its own text.
    bare_scale : str or None
        Regular expression of the name of the scale of a layer that may be a bare scale and shift.
        Its mean is then 0, its variance 1 and its epsilon 0. None: there are no such layers.
    ignored : tuple of IgnoredTensor
        What a file may contain although no parameter needs it.
    detector_part : str
        Regular expression of names that do not belong to a backbone. They are left out when the
        file of a detector is loaded into a backbone.
    name_hint : str
        Regular expression that finds a name typical of this codebase, to recognize its files.
    epsilon : callable
        ``epsilon(names in the file, name of the file)`` returns the ``FileEpsilon`` of the file's
        BatchNorm layers.
    stride_conv : mapping of str to str
        Type of norm layer -> "conv1" or "conv2", the convolution of a bottleneck block with the
        stride.
    stride_certain : bool
        True: a network with another stride is an error. False: it is only noted.
    convention : str
        The preset of ``CONVENTIONS`` under which the weights were trained.
    noted_fields : tuple of str
        Fields of that preset on which the weights depend most. If a network differs in one, the
        report has a note.
    kept_classes : tuple of int
        The 0-based foreground classes that ``num_classes_differ="reduce"`` keeps; empty if it is
        not offered.
    rewrite_file : callable
        ``rewrite_file(arrays of a file, shapes of the network)`` returns the arrays that the table
        of names expects. It is for differences that concern several arrays together.
    inspect_file : callable
        ``inspect_file(network, arrays of a file)`` returns sentences for the report about what the
        shapes do not show. It raises ConversionError if the file is another network's.
    additions : callable
        ``additions(network, arrays to be saved)`` returns arrays that are added to a saved file.
        They replace arrays of the same name.
    save_endings : tuple of str
        Endings of the file names that ``save`` accepts; empty if saving is not offered.
    """

    name: str
    rules: Union[Rules, Callable[[Shapes], Rules]]
    leaves: LeafNames = field(default_factory=lambda: PYTORCH_LEAVES)
    norm_words: Mapping[str, str] = field(default_factory=dict)
    bare_scale: Optional[str] = None
    ignored: Tuple[IgnoredTensor, ...] = ()
    detector_part: str = NEVER
    name_hint: str = NEVER
    epsilon: EpsilonFunction = _default_epsilon
    stride_conv: Mapping[str, str] = field(default_factory=dict)
    stride_certain: bool = True
    convention: str = "modern"
    noted_fields: Tuple[str, ...] = GEOMETRY_FIELDS
    kept_classes: Tuple[int, ...] = ()
    rewrite_file: Callable[[Arrays, Shapes], Arrays] = _file_as_it_is
    inspect_file: Callable[[Any, Arrays], List[str]] = _no_remarks
    additions: Callable[[Any, Arrays], Arrays] = _no_additions
    save_endings: Tuple[str, ...] = ()

    def rules_for(self, shapes: Shapes) -> Rules:
        """Return the table of names for a network.

        Parameters
        ----------
        shapes : mapping of str to tuple of int
            The shapes of the network's parameters by name.

        Returns
        -------
        sequence of Rule
            The rules, in the order in which they are tried.
        """
        return self.rules(shapes) if callable(self.rules) else self.rules


def source_names(codebase: Codebase, shapes: Shapes) -> Dict[str, SourceName]:
    """Translate the names of a network's parameters into those of a codebase.

    Parameters
    ----------
    codebase : Codebase
        The codebase.
    shapes : mapping of str to tuple of int
        The shapes of the network's parameters by name.

    Returns
    -------
    dict of str to SourceName
        What the codebase calls each parameter. The order is that of ``shapes``.
    """
    rules = codebase.rules_for(shapes)
    patterns = [re.compile(rule.layer) for rule in rules]
    kinds = norm_kinds(shapes)
    names = {}
    for name in shapes:
        layer, _, leaf = name.rpartition(".")
        names[name] = SourceName((), SAME_LAYOUT)
        for pattern, rule in zip(patterns, rules):
            layer_match = pattern.fullmatch(layer)
            if layer_match is None:
                continue
            words = layer_match.groupdict()
            if layer in kinds:
                words["norm"] = codebase.norm_words.get(kinds[layer], kinds[layer])
            leaves = codebase.leaves if rule.leaves is None else rule.leaves
            candidates = _candidates(rule, words, leaves.get(leaf, ()))
            names[name] = SourceName(candidates, rule.layout)
            break
    return names


def known_names(codebase: Codebase, shapes: Shapes) -> Set[str]:
    """Collect all names that a codebase may have for the parameters of a network.

    Parameters
    ----------
    codebase : Codebase
        The codebase.
    shapes : mapping of str to tuple of int
        The shapes of the network's parameters by name.

    Returns
    -------
    set of str
        The candidates of all parameters.
    """
    names: Set[str] = set()
    for source_name in source_names(codebase, shapes).values():
        names.update(source_name.candidates)
    return names


def _candidates(rule: Rule, words: Mapping[str, str], leaf_words: Sequence[str]) -> Tuple[str, ...]:
    """Fill the templates of a rule, each with every word for the leaf."""
    candidates: List[str] = []
    for template in rule.templates:
        # The shortcut of a ResNet v1d begins with a pooling, so downsample.1 is its convolution. In
        # a ResNet v1b it is the norm, so templates with {norm} do not apply to this convolution.
        if "{norm}" in template and "norm" not in words:
            continue
        for leaf_word in leaf_words:
            candidates.append(fill_template(template, {**words, "leaf": leaf_word}))
    return tuple(candidates)
