"""Which other anchors, or which other input size, would reach more objects."""

import math
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from end_report.run_result import Remedy
from gluonnorm.data.anchor_reach import best_anchor_ious
from gluonnorm.data.objects import ObjectTable
from gluonnorm.data.reachable import LOSS, MANY
from gluonnorm.rcnn import DetectorConfig

import numpy as np

Sizes = Tuple[Tuple[float, ...], ...]

# From an eighth to eight times, a quarter of an octave apart: an anchor reaches objects of half to
# twice its area, so finer steps hardly reach more.
FACTORS = tuple(2.0 ** (step / 4) for step in range(-12, 13))
# Twice the sides of the input are four times the time of a step.
LARGEST_ENLARGEMENT = 2.0
# Of the mean share of a class. Among changes that differ by less, the simplest is the best.
ENOUGH = 0.05


class _Trial(NamedTuple):
    """Settings, and the shares of the classes that they reach.

    Attributes
    ----------
    settings : dict of str to any
        Settings of the network that differ from those it has.
    shares : dict of str to float
        For each class with objects, the share that has an anchor with the IoU that is needed.
    value : float
        The mean of the shares; -1 if a class loses many objects.
    mean_iou : float
        The mean over all objects of the best IoU with an anchor.
    """

    settings: Dict[str, Any]
    shares: Dict[str, float]
    value: float
    mean_iou: float


class _Anchors(NamedTuple):
    """The objects that anchors are tried on, and the network that has the anchors."""

    objects: ObjectTable
    classes: Sequence[str]
    config: DetectorConfig
    strides: Sequence[int]
    multiple: int

    def attempt(
        self, settings: Dict[str, Any], now: Dict[str, float], scale: float = 1.0
    ) -> _Trial:
        """Try other settings, in an input that is ``scale`` larger; ``now`` is what is reached."""
        ious = self.ious(settings, scale)
        shares = self.shares(ious)
        losses = [now[name] - share for name, share in shares.items()]
        value = -1.0 if max(losses) > LOSS else float(np.mean(list(shares.values())))
        return _Trial(settings, shares, value, float(ious.mean()))

    def ious(self, settings: Dict[str, Any], scale: float = 1.0) -> np.ndarray:
        """Return the best IoU of each object with an anchor."""
        # The scale says all about the input.
        anchors = {name: value for name, value in settings.items() if name.startswith("anchor")}
        return best_anchor_ious(
            self.objects.boxes * scale,
            np.round(self.objects.input_sizes * scale).astype(int),
            self.config.override(**anchors).anchor_grids(self.strides),
            self.multiple,
        )

    def shares(self, ious: np.ndarray) -> Dict[str, float]:
        """Return the share of each class with objects that is reached."""
        shares = {}
        for label, name in enumerate(self.classes):
            own = self.objects.labels == label
            if own.any():
                shares[name] = float((ious[own] >= self.config.pos_iou_thresh).mean())
        return shares


def anchor_remedies(
    objects: ObjectTable,
    classes: Sequence[str],
    config: DetectorConfig,
    strides: Sequence[int],
    multiple: int,
) -> Tuple[Remedy, ...]:
    """Find changes that bring many more objects into the reach of the anchors.

    Tried are anchors that are larger or smaller by one factor, in place of those that are there or
    beside them, one more ratio, and a larger or smaller input. Each class counts alike, and none
    may lose many objects.

    Parameters
    ----------
    objects : ObjectTable
        The objects to learn from, at least one.
    classes : sequence of str
        The names of the classes, in the order of the labels.
    config : DetectorConfig
        The settings of the network.
    strides : sequence of int
        The strides of the network's maps.
    multiple : int
        The network pads its input to multiples of this number of pixels.

    Returns
    -------
    tuple of Remedy
        The best change of the anchors, then the best one of the input; only what some class gains
        much from, and not the one that is much worse than the other.
    """
    anchors = _Anchors(objects, classes, config, strides, multiple)
    now = anchors.shares(anchors.ious({}))
    remedies = []
    trials = [_other_anchors(anchors, now), _other_input(anchors, now)]
    for trial in trials:
        gains = [trial.shares[name] - share for name, share in now.items()]
        if max(gains) > LOSS and trial.value > max(trials[0].value, trials[1].value) - MANY:
            remedies.append(Remedy(_as_settings(trial.settings), trial.shares))
    return tuple(remedies)


def _other_anchors(anchors: _Anchors, now: Dict[str, float]) -> _Trial:
    """Choose the simplest change of the anchors among those that reach enough."""
    ratios = _ratios(anchors)
    trials = []
    for keep in (False, True):
        attempts = []
        for factor in FACTORS:
            attempts.append(anchors.attempt(_sizes(anchors.config, factor, keep), now))
        sized = max(_enough(attempts), key=_mean_iou)
        # Replaced sizes alone, a ratio alone, both, added sizes alone, both.
        trials.append(sized)
        if not keep:
            trials.append(anchors.attempt(ratios, now))
        trials.append(anchors.attempt({**sized.settings, **ratios}, now))
    return _enough(trials)[0]


def _sizes(config: DetectorConfig, factor: float, keep: bool) -> Dict[str, Sizes]:
    """Make the anchors of every map larger by a factor, and perhaps keep the old ones as well."""
    levels = []
    for sizes in config.anchor_sizes:
        scaled = [max(1, round(factor * size)) for size in sizes]
        levels.append(tuple(sorted([*sizes, *scaled] if keep else scaled)))
    return {"anchor_sizes": tuple(levels)}


def _ratios(anchors: _Anchors) -> Dict[str, Tuple[float, ...]]:
    """Add the median ratio of the objects whose ratio is farthest from those of the anchors."""
    present = np.log(anchors.config.anchor_ratios)
    logarithms = np.log(anchors.objects.ratios)
    distances = np.abs(logarithms[:, None] - present).min(axis=1)
    far = logarithms[distances >= np.median(distances)]
    added = float(f"{math.exp(np.median(far)):.2g}")
    return {"anchor_ratios": tuple(sorted({*anchors.config.anchor_ratios, added}))}


def _enough(trials: List[_Trial]) -> List[_Trial]:
    """Select the trials that reach nearly as much as the best one."""
    limit = max(trial.value for trial in trials) - ENOUGH
    return [trial for trial in trials if trial.value >= limit]


def _other_input(anchors: _Anchors, now: Dict[str, float]) -> _Trial:
    """Choose the input closest in size to today's with which the anchors reach enough."""
    config = anchors.config
    trials = []
    for factor in sorted(FACTORS, key=_octaves):
        short = max(1, round(min(factor, LARGEST_ENLARGEMENT) * max(config.short)))
        scale = short / max(config.short)
        settings = {"short": short, "max_size": math.ceil(scale * config.max_size)}
        trials.append(anchors.attempt(settings, now, scale))
    return _enough(trials)[0]


def _octaves(factor: float) -> float:
    """Return how far a factor is from 1, for sorting."""
    return abs(math.log2(factor))


def _mean_iou(trial: _Trial) -> float:
    """Return how well anchors fit, for sorting."""
    return trial.mean_iou


def _as_settings(settings: Dict[str, Any]) -> str:
    """Write settings as a shell takes them."""
    texts = []
    for name, value in settings.items():
        text = f"{name}={value!r}".replace(" ", "")
        texts.append(f'"{text}"' if "(" in text else text)
    return " ".join(texts)
