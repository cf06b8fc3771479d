"""How the names and layouts of another codebase correspond to ours: the language of the tables in this room.

A source is one table of rules, each from *our* structural name to *their* candidate names. Loading takes the first
candidate that the file has; saving writes the first candidate. So one table serves both ways::

    Rule(r"backbone\\.lateral(?P<level>\\d)\\.conv", ("backbone.fpn.inner_blocks.{level-2}.0.{leaf}",
                                                   "backbone.fpn.inner_blocks.{level-2}.{leaf}"))

``Rule.ours`` is matched against the whole name of a layer (``backbone.lateral2.conv``), and the first rule that
matches counts. In a candidate, ``{level}`` is what the group ``level`` matched, ``{level-2}`` or ``{i/2*3+1}`` is
arithmetic on it, from left to right; ``{leaf}`` is the parameter's own name in the words of the source
(``Source.leaves``: gamma -> weight), and ``{norm}`` what the source calls the layer's norm (``Source.norms``).
"""
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

Shape = Tuple[int, ...]
Shapes = Mapping[str, Shape]  # our structural name -> shape
Arrays = Dict[str, np.ndarray]
Words = Mapping[str, Tuple[str, ...]]

EPSILON = 1e-5  # of every norm layer of this package
LEGACY: Mapping[str, Any] = {"anchors": "legacy", "anchor_order": "ratio", "roi_aligned": False}
TORCH_LEAVES: Words = {
    "weight": ("weight",), "bias": ("bias",), "gamma": ("weight",), "beta": ("bias",),
    "running_mean": ("running_mean",), "running_var": ("running_var",)}


class Change(NamedTuple):
    """What happens to an array on its way: ``load(theirs, our shape) -> ours`` and ``save(ours) -> theirs``.

    ``load`` need not give our shape: what comes out is compared with it afterwards. ``note`` is for the report.
    """
    note: str
    load: Callable[[np.ndarray, Shape], np.ndarray]
    save: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rule:
    """One line of a table: a pattern of our layer names, and templates of their parameter names.

    Parameters
    ----------
    ours : regular expression of a whole layer name, that is a structural name without its last word
    theirs : candidate templates, best first; the first is the one that is saved
    change : what happens to the arrays
    leaves : words for the last part of the name, where they are not those of the source
    """
    ours: str
    theirs: Tuple[str, ...]
    change: Optional[Change] = None
    leaves: Optional[Words] = None


class Harmless(NamedTuple):
    """Names a file may carry although nothing here needs them: a pattern of the whole name, and why.

    ``zero``: only if every value is 0 (the biases of convolutions that have a norm).
    """
    pattern: str
    reason: str
    zero: bool = False


EpsOf = Callable[[Sequence[str], str], Tuple[float, str]]  # names in the file, its file name -> eps, reason


@dataclass(frozen=True)
class Source:
    """Everything that is particular to one codebase's weight files.

    Parameters
    ----------
    name : as in ``load(..., source=name)``
    rules : the table, or a function from our {name: shape} to the table, where it depends on the network
    leaves : our last word of a name -> theirs, best first
    norms : our kinds of norm layer, "bn" (also frozen), "gn", "sn", -> what ``{norm}`` stands for
    affine : pattern of the *scale's* name in the file of layers that are a bare scale and shift; their mean is 0,
        their variance 1 and their eps 0
    harmless : names that may be in a file without being used
    heads : pattern of names outside a backbone, left out when a detector's file goes into a backbone
    looks_like : pattern to search in a file's names that tells this source from the others, for hints
    eps : of BatchNorm layers in the file: (names in the file, file's name) -> (eps, why)
    stride : kind of norm -> "conv1" or "conv2", the convolution that takes the stride in a bottleneck block
    stride_certain : another stride in the network is an error; otherwise only a note
    convention : name of the preset of ``BoxConvention`` that the weights were trained with
    geometry : the fields of it that the weights depend on most; a network with others gets a note
    reduced : 0-based foreground classes that ``num_classes_differ="reduce"`` keeps
    prepare : (arrays of a file, our {name: shape}) -> the arrays the table is for; for what is no change of one array
    extras : (network, arrays to be saved) -> further arrays, or others, of a file of this source
    saves : endings of the files that ``save`` writes; none: it is not offered
    """
    name: str
    rules: Union[Sequence[Rule], Callable[[Shapes], Sequence[Rule]]]
    leaves: Words = field(default_factory=lambda: TORCH_LEAVES)
    norms: Mapping[str, str] = field(default_factory=dict)
    affine: Optional[str] = None
    harmless: Tuple[Harmless, ...] = ()
    heads: str = r"(?!)"
    looks_like: str = r"(?!)"
    eps: EpsOf = lambda names, file_name: (EPSILON, "the default of this source")
    stride: Mapping[str, str] = field(default_factory=dict)
    stride_certain: bool = True
    convention: str = "detectron"
    geometry: Mapping[str, Any] = field(default_factory=lambda: LEGACY)
    reduced: Tuple[int, ...] = ()
    prepare: Callable[[Arrays, Shapes], Arrays] = lambda arrays, shapes: arrays
    extras: Callable[[Any, Arrays], Arrays] = lambda net, arrays: {}
    saves: Tuple[str, ...] = ()


class Named(NamedTuple):
    """What a source calls one parameter of ours, best name first (none: it has no name for it), and the change."""
    names: Tuple[str, ...]
    change: Change


def _rows(array: np.ndarray, count: int) -> np.ndarray:
    """``count`` rows of zeros to go with ``array``."""
    return np.zeros((count, *array.shape[1:]), array.dtype)


def _to_all_classes(array: np.ndarray, shape: Shape) -> np.ndarray:
    """Class-agnostic boxes, four rows, become those of every class."""
    return np.concatenate([array] * (shape[0] // 4)) if array.shape[:1] == (4,) and shape[:1] != (4,) else array


AS_IS = Change("", lambda theirs, shape: theirs, lambda ours: ours)
FLAT = Change("", lambda theirs, shape: theirs.reshape(-1) if theirs.size == max(theirs.shape, default=1) else theirs,
              lambda ours: ours)
SCORE_LAST = Change("background row from last to first", lambda theirs, shape: np.roll(theirs, 1, axis=0),
                    lambda ours: np.roll(ours, -1, axis=0))
LOC = Change("", _to_all_classes, lambda ours: ours)
LOC_WITH_BACKGROUND = Change("4 background rows dropped", lambda theirs, shape: _to_all_classes(theirs[4:], shape),
                             lambda ours: np.concatenate([_rows(ours, 4), ours]))
MASK_WITH_BACKGROUND = Change("background channel dropped", lambda theirs, shape: theirs[1:],
                              lambda ours: np.concatenate([_rows(ours, 1), ours]))


def norm_kinds(shapes: Shapes) -> Dict[str, str]:
    """Our norm layers by name, and the kind of each: "bn" (with stored statistics), "sn" or "gn"."""
    kinds = {}
    for name in shapes:
        layer, _, leaf = name.rpartition(".")
        if leaf == "gamma":
            kinds[layer] = ("sn" if f"{layer}.mean_weight" in shapes else
                            "bn" if f"{layer}.running_mean" in shapes else "gn")
    return kinds


def theirs(source: Source, shapes: Shapes) -> Dict[str, Named]:
    """What ``source`` calls each of our parameters."""
    rules = source.rules(shapes) if callable(source.rules) else source.rules
    patterns = [(re.compile(rule.ours), rule) for rule in rules]
    kinds = norm_kinds(shapes)
    found = {}
    for name in shapes:
        layer, _, leaf = name.rpartition(".")
        match, rule = next(((match, rule) for match, rule in
                            ((pattern.fullmatch(layer), rule) for pattern, rule in patterns) if match), (None, None))
        if match is None or rule is None:
            found[name] = Named((), AS_IS)
            continue
        words: Dict[str, Any] = dict(match.groupdict())
        if layer in kinds:
            words["norm"] = source.norms.get(kinds[layer], kinds[layer])
        leaves = (rule.leaves or source.leaves).get(leaf, ())
        found[name] = Named(tuple(_fill(template, {**words, "leaf": word}) for template in rule.theirs
                                  for word in leaves), rule.change or AS_IS)
    return found


_FIELD = re.compile(r"\{(\w+)((?:[-+*/]\d+)*)\}")
_OPERATIONS: Dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a // b}


def _fill(template: str, words: Mapping[str, str]) -> str:
    """``template`` with its fields replaced."""
    def value(field_: "re.Match[str]") -> str:
        text = words[field_.group(1)]
        if not field_.group(2):
            return text
        number = int(text)
        for operation, operand in re.findall(r"([-+*/])(\d+)", field_.group(2)):
            number = _OPERATIONS[operation](number, int(operand))
        return str(number)
    return _FIELD.sub(value, template)
