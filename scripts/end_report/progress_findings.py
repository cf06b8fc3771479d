"""What losses and scores over a run say about its length and its learning rate."""

from typing import Callable, List, NamedTuple, Optional, Tuple

from end_report.run_result import RunResult

import numpy as np

# These thresholds were chosen by hand, with a look at a few runs of the drawn shapes, of BCCD and
# of the nuclei. No experiment is behind any of them.
FALL = 0.03  # of a loss from one part of the run to the next, below which it has settled
RISE_AGAIN = 0.2  # of the loss above its lowest part; quarters of an epoch vary by 0.1
LEARNED = 0.1  # of the loss from the first part to the last; a run that learns loses far more
STANDARD_ERRORS = 2.0  # of a difference of means; a smaller one may be chance
FEWEST_STEPS = 5  # of a part; with fewer the standard error itself is chance
SCORE_CHANGE = 0.02  # of the decisive score, twice what it moves by between like epochs
LOW_SCORE = 0.3  # AP50; a run that starts from a trained detector is above it, and loses little
LOWERED = 0.5  # of the highest rate; from here on the schedule counts as having lowered it
# A best score that is older than this share of the run, and at least two epochs, is long ago.
LONG_AGO = 0.25
RATE_FACTOR = 3.0  # half a power of ten: the usual grid of learning rates


class Trend(NamedTuple):
    """How a loss moves over a run.

    The run is divided into parts of equal length: epochs, or quarters of a run of fewer than four.

    Attributes
    ----------
    means : numpy.ndarray
        (P,) float64, the mean of each part; the last part ends with the run.
    errors : numpy.ndarray
        (P,) float64, the standard errors of these means.
    steps : int
        Steps in a part.
    """

    means: np.ndarray
    errors: np.ndarray
    steps: int

    def falls(self, earlier: int, later: int, share: float) -> bool:
        """Tell whether a loss is clearly lower in a later part.

        Parameters
        ----------
        earlier, later : int
            The numbers of two parts.
        share : float
            By how much it must be lower, as a share of the earlier mean.

        Returns
        -------
        bool
            False also for a difference that may be chance.
        """
        difference = self.means[earlier] - self.means[later]
        chance = STANDARD_ERRORS * float(np.hypot(self.errors[earlier], self.errors[later]))
        return bool(difference > max(share * self.means[earlier], chance))


def loss_trend(
    result: RunResult, belongs: Callable[[str], bool] = lambda name: True
) -> Optional[Trend]:
    """Compute how the sum of some losses moves over a run.

    Parameters
    ----------
    result : RunResult
        The run.
    belongs : callable
        ``belongs(name)`` tells whether a loss is added; by default all are.

    Returns
    -------
    Trend or None
        None if the run has too few steps, or no such loss.
    """
    chosen = [values for name, values in result.losses.items() if belongs(name)]
    count = len(result.rates)
    steps = min(result.steps_per_epoch, count // 4)
    if not chosen or steps < FEWEST_STEPS:
        return None
    total = np.sum(chosen, axis=0)
    parts = total[count % steps :].reshape(-1, steps)
    errors = parts.std(axis=1, ddof=1) / np.sqrt(steps)
    return Trend(parts.mean(axis=1), errors, steps)


def is_rpn_loss(name: str) -> bool:
    """Tell whether a loss is one of the RPN.

    Parameters
    ----------
    name : str
        The name of a loss.

    Returns
    -------
    bool
        True for ``rpn_class`` and ``rpn_box``.
    """
    return name.startswith("rpn")


def is_head_loss(name: str) -> bool:
    """Tell whether a loss is one of the box head or the mask head.

    Parameters
    ----------
    name : str
        The name of a loss.

    Returns
    -------
    bool
        True for what is not of the RPN.
    """
    return not is_rpn_loss(name)


def rate_was_lowered(result: RunResult) -> bool:
    """Tell whether the learning rate was low in the last part of a run.

    Parameters
    ----------
    result : RunResult
        The run.

    Returns
    -------
    bool
        False for a run without steps.
    """
    count = max(1, min(result.steps_per_epoch, len(result.rates) // 4))
    last = result.rates[-count:]
    return bool(len(last) and last.mean() < LOWERED * result.rates.max())


def losses_still_fall(
    result: RunResult, belongs: Callable[[str], bool] = lambda name: True
) -> bool:
    """Tell whether losses would fall on if the run were longer.

    Parameters
    ----------
    result : RunResult
        The run.
    belongs : callable
        ``belongs(name)`` tells whether a loss is meant; by default all are.

    Returns
    -------
    bool
        True if they fell from the last part but one to the last part, at a rate that had not been
        lowered: losses also fall because the rate does. False if the score has fallen meanwhile.
    """
    trend = loss_trend(result, belongs)
    scores = [score for _, score in result.evaluations]
    if trend is None or rate_was_lowered(result):
        return False
    if scores and max(scores) - scores[-1] > SCORE_CHANGE:
        return False
    return trend.falls(-2, -1, FALL)


def score_still_rises(result: RunResult) -> bool:
    """Tell whether the last evaluation was clearly the best one.

    Parameters
    ----------
    result : RunResult
        The run.

    Returns
    -------
    bool
        False for fewer than two evaluations.
    """
    scores = [score for _, score in result.evaluations]
    return len(scores) > 1 and scores[-1] - max(scores[:-1]) > SCORE_CHANGE


def longer_run_for(result: RunResult, noun: str, belongs: Callable[[str], bool]) -> List[str]:
    """Name the flag that gives a part of the network more time, if it needs that.

    Parameters
    ----------
    result : RunResult
        The run.
    noun : str
        The part of the network.
    belongs : callable
        ``belongs(name)`` tells whether a loss is one of this part.

    Returns
    -------
    list of str
        The flag with its reason; empty if neither losses nor scores ask for more time.
    """
    if losses_still_fall(result, belongs):
        return [f"{longer_run(result)}, as the losses of {noun} were still falling"]
    if score_still_rises(result):
        return [f"{longer_run(result)}, as {result.decisive} was still rising"]
    return []


def longer_run(result: RunResult) -> str:
    """Name the flag that makes a run longer.

    Parameters
    ----------
    result : RunResult
        The run.

    Returns
    -------
    str
        The flag with twice its value.
    """
    flags = result.flags
    if result.epochs < flags.epochs and flags.patience:
        return f"--patience {2 * flags.patience} (now {flags.patience})"
    if flags.minutes is not None:
        return f"--minutes {2 * flags.minutes:g} (now {flags.minutes:g})"
    return f"--epochs {2 * result.epochs} (now {result.epochs})"


def progress_findings(result: RunResult) -> List[str]:
    """Say what losses and scores show of the run as a whole.

    Parameters
    ----------
    result : RunResult
        The run.

    Returns
    -------
    list of str
        At most one sentence: the first of these that holds. The rate was wrong; the network has
        learned the training images by heart; the run was too short; the rate was never lowered.
    """
    if result.is_good:
        return []
    trend = loss_trend(result)
    findings = (
        _wrong_rate(result, trend),
        _learned_by_heart(result),
        _too_short(result, trend),
        _rate_never_lowered(result, trend),
    )
    return [finding for finding in findings if finding][:1]


def _wrong_rate(result: RunResult, trend: Optional[Trend]) -> Optional[str]:
    """Say that the losses did not fall, or that they rose again."""
    if trend is None:
        return None
    lr = result.flags.lr
    usual = result.flags.usual_lr
    lowest = int(trend.means.argmin())
    last = len(trend.means) - 1
    lower = f"--lr {_below(lr, usual):.3g} (now {lr:.3g})"
    rise = trend.means[-1] - trend.means[lowest]
    chance = STANDARD_ERRORS * float(np.hypot(trend.errors[-1], trend.errors[lowest]))
    # A loss may well be lowest in the first steps, in which no RoI is positive yet.
    if 0 < lowest < last and rise > max(RISE_AGAIN * trend.means[lowest], chance):
        return (
            f"the losses rose again, from {trend.means[lowest]:.3g} in an earlier part of the run "
            f"to {trend.means[-1]:.3g} in the last {trend.steps} steps: the learning rate is too "
            f"high; try {lower}, or --clip-gradient 10"
        )
    is_high = result.scores.get("AP50", 0.0) >= LOW_SCORE
    # A run that was continued under another prefix has the losses of its later part only.
    is_complete = len(result.rates) >= result.epochs * result.steps_per_epoch
    if is_high or not is_complete or trend.falls(0, last, LEARNED):
        return None
    advice = f"try {lower} or --lr {RATE_FACTOR * lr:.3g}"
    if lr * RATE_FACTOR < usual:
        advice = f"the learning rate is low; try --lr {usual:.3g} (now {lr:.3g})"
    elif lr > RATE_FACTOR * usual:
        advice = f"the learning rate is high; try {lower}"
    return (
        f"the losses did not fall: their sum is {trend.means[0]:.3g} in the first {trend.steps} "
        f"steps and {trend.means[-1]:.3g} in the last; {advice}"
    )


def _below(lr: float, usual: float) -> float:
    """Choose a lower rate: the usual one, if that is a step lower or more."""
    return usual if usual * RATE_FACTOR <= lr else lr / RATE_FACTOR


def _learned_by_heart(result: RunResult) -> Optional[str]:
    """Say that the best score came long before the end."""
    if not result.evaluations:
        return None
    epoch, best = max(result.evaluations, key=_score)
    last_epoch, last = result.evaluations[-1]
    is_long_ago = last_epoch - epoch >= max(2.0, LONG_AGO * last_epoch)
    if not is_long_ago or best - last <= SCORE_CHANGE:
        return None
    tries = []
    if not result.flags.augments:
        tries.append("--augment color_jitter random_crop")
    if not result.flags.patience:
        tries.append("--patience 3, which ends such a run earlier")
    tries.append(f"--epochs {epoch} with a rate that falls within them")
    return (
        f"{result.decisive} was best after epoch {epoch} ({best:.3f}) and has fallen to {last:.3f} "
        f"since, as if the training images were learned by heart; -best.params has the weights of "
        f"epoch {epoch}; try {_either(tries)}"
    )


def _too_short(result: RunResult, trend: Optional[Trend]) -> Optional[str]:
    """Say that losses or scores were still improving."""
    facts = []
    if trend is not None and losses_still_fall(result):
        facts.append(
            f"the losses were still falling (a sum of {trend.means[-1]:.3g} in the last "
            f"{trend.steps} steps, {trend.means[-2]:.3g} in those before) at a learning rate that "
            "had not been lowered"
        )
    if score_still_rises(result):
        earlier_epoch, earlier = result.evaluations[-2]
        epoch, last = result.evaluations[-1]
        facts.append(
            f"{result.decisive} was still rising ({earlier:.3f} after epoch {earlier_epoch}, "
            f"{last:.3f} after epoch {epoch})"
        )
    tries = [longer_run(result)]
    flags = result.flags
    if flags.lr * RATE_FACTOR < flags.usual_lr:
        tries.insert(0, f"--lr {flags.usual_lr:.3g} (now {flags.lr:.3g})")
    return f"{', and '.join(facts)}; try {_either(tries)}" if facts else None


def _rate_never_lowered(result: RunResult, trend: Optional[Trend]) -> Optional[str]:
    """Say that the run ended before its schedule lowered the rate."""
    if trend is None or not result.evaluations or rate_was_lowered(result):
        return None
    decay = f" or --lr-decay-epoch {0.75 * result.epochs:.3g}" if result.epochs > 1 else ""
    return (
        f"the learning rate was never lowered ({result.rates[-1]:.3g} to the end), and a high one "
        f"keeps the weights moving; try --lr-mode cosine{decay}"
    )


def _score(evaluation: Tuple[int, float]) -> float:
    """Return the score of an evaluation, for ``max``."""
    return evaluation[1]


def _either(tries: List[str]) -> str:
    """Join things to try."""
    return ", or ".join(tries)
