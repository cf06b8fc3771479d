"""What keeps single classes down: the training set, the anchors, the proposals or the heads."""

import shlex
from typing import Callable, List, Optional, Sequence, Tuple

from end_report.progress_findings import (
    is_head_loss,
    is_rpn_loss,
    longer_run,
    longer_run_for,
)
from end_report.run_result import ClassResult, Remedy, RunResult
from gluonnorm.data.reachable import LOSS, MANY
from gluonnorm.errors import first_few

import numpy as np

# MANY and LOSS are those of the inspection of data sets. The other thresholds were chosen without
# an experiment of their own, on the classes of BCCD and of the drawn shapes.
HEAD_GAP = 0.25  # between what the proposals reach and AP50; false detections alone may cost 0.2
MASK_GAP = 0.1  # between the AP50 of boxes and of masks; with good masks they are nearly equal
CROWDED = 0.01  # of the objects, that no detection is left for
FEW_POSITIVE = 0.5  # of the objects with a positive anchor
# A class is rare if the most frequent one is in four times as many images: repeating the rare one
# twice (the square root of four) then leaves the frequent one as it is.
RARE = 4
FEWEST_OBJECTS = 5  # with proposals; with fewer one object more or less is a fifth of the share
SHOWN_CLASSES = 3  # of each kind of finding; the other classes are named only
CLASS_WEIGHT = 2
LARGER_INPUT = 1.5  # of the short side

# The share of a class that is lost, and the sentence about it.
Finding = Tuple[float, str]


def class_findings(result: RunResult) -> List[str]:
    """Say what keeps the scores of classes down.

    Parameters
    ----------
    result : RunResult
        The run.

    Returns
    -------
    list of str
        Sentences, the first causes first: no training images, more objects than detections, no
        anchors, no proposals, wrong classes, bad masks. A class whose score is good is left out.
    """
    findings = _classes_without_training(result)
    findings += _crowded_images(result)
    findings += _unreached_classes(result)
    for describe in (_proposal_finding, _head_finding, _mask_finding):
        findings += _worst(result, describe)
    return findings


def _classes_without_training(result: RunResult) -> List[str]:
    """Name the classes that validation has and training has not."""
    sentences = []
    unlearned = [entry for entry in result.classes if entry.objects and not entry.train_objects]
    if unlearned:
        names = first_few([entry.name for entry in unlearned])
        count = sum(entry.objects for entry in unlearned)
        sentences.append(
            f"{names}: {count} {result.split} objects, and not one in the training set to learn "
            "from; move images of them to the training set, or leave them out with --classes"
        )
    if result.unknown_classes:
        sentences.append(
            f"{first_few(result.unknown_classes)}: classes of the {result.split} files that the "
            "training set does not have; their objects are not scored, and detections on them "
            "count as wrong; choose the same --classes for both"
        )
    return sentences


def _crowded_images(result: RunResult) -> List[str]:
    """Name the limits that some images exceed."""
    config = result.config
    counts = result.objects_of_image
    if config is None or not counts.sum():
        return []
    most = int(counts.max())
    limits = (
        (config.max_detections, f"max_detections={most}", "detections"),
        (
            config.rpn_test_post_nms,
            f"rpn_train_post_nms={max(2 * most, config.rpn_train_post_nms)} "
            f"rpn_test_post_nms={2 * most}",
            "proposals",
        ),
    )
    sentences = []
    for limit, setting, noun in limits:
        lost = np.maximum(counts - limit, 0).sum() / counts.sum()
        if lost > CROWDED:
            sentences.append(
                f"{int((counts > limit).sum())} of {len(counts)} {result.split} images have more "
                f"than {limit} objects, the most {noun} of an image; {percent(lost)} of all "
                f"objects cannot be found; try --set {setting}"
            )
    return sentences


def _worst(
    result: RunResult, describe: Callable[[RunResult, ClassResult], Optional[Finding]]
) -> List[str]:
    """Describe the classes that lose most for one reason, and name the other ones."""
    found = []
    for entry in result.classes:
        finding = describe(result, entry) if _is_explained(entry) else None
        if finding is not None:
            found.append((*finding, entry.name))
    found.sort(key=_lost_share, reverse=True)
    sentences = [sentence for _, sentence, _ in found[:SHOWN_CLASSES]]
    others = [name for _, _, name in found[SHOWN_CLASSES:]]
    if others:
        sentences[-1] += f" (likewise {first_few(others)})"
    return sentences


def _is_explained(entry: ClassResult) -> bool:
    """Tell whether a class can be learned, and its score is to be explained."""
    return bool(entry.objects and entry.train_objects and not entry.is_good)


def _lost_share(row: Tuple[float, str, str]) -> float:
    """Return the share that a class loses, for sorting."""
    return row[0]


def _unreached_classes(result: RunResult) -> List[str]:
    """Name the classes of which the anchors miss many objects, and what would reach them."""
    if result.reach is None:
        return []
    missed = [entry for entry in result.classes if _is_explained(entry) and _is_unreached(entry)]
    if not missed:
        return []
    missed.sort(key=_anchor_reach)
    facts = []
    for entry in missed[:SHOWN_CLASSES]:
        length = 0.0 if entry.reach is None else entry.reach.length
        facts.append(
            f"{percent(1 - _anchor_reach(entry))} of {entry.objects} objects of {entry.name} "
            f"({length:.0f} pixels large)"
        )
    names = [entry.name for entry in missed]
    if names[SHOWN_CLASSES:]:
        facts.append(f"likewise of {first_few(names[SHOWN_CLASSES:])}")
    tries = [_anchor_try(remedy, names[:SHOWN_CLASSES]) for remedy in result.remedies]
    advice = "choose anchor_sizes and anchor_ratios closer to the boxes"
    if tries:
        advice = f"try {', or '.join(tries)}"
    smallest = result.reach.anchor_lengths.min()
    largest = result.reach.anchor_lengths.max()
    return [
        f"the anchors are {smallest:.0f} to {largest:.0f} pixels large in the network's input, and "
        f"none has an IoU of {result.reach.reached:g} or more with {', '.join(facts)} in the "
        f"{result.split} set; {advice}"
    ]


def _anchor_try(remedy: Remedy, names: Sequence[str]) -> str:
    """Name settings, and what share of some classes they leave without an anchor."""
    left = [percent(1 - remedy.reached.get(name, 0.0)) for name in names]
    return f"--set {remedy.settings}, which leaves {', '.join(left)} without one"


def _is_unreached(entry: ClassResult) -> bool:
    """Tell whether the anchors miss many objects of a class, and so do the proposals."""
    if entry.reach is None or entry.reach.reached >= 1 - MANY:
        return False
    # A trained RPN may move distant anchors far enough.
    return not _has_proposals(entry) or _proposed(entry) < 1 - MANY


def _anchor_reach(entry: ClassResult) -> float:
    """Return the share that the anchors reach, for sorting."""
    return 1.0 if entry.reach is None else entry.reach.reached


def _proposal_finding(result: RunResult, entry: ClassResult) -> Optional[Finding]:
    """Say that the proposals miss objects of a class that the anchors reach."""
    reach = entry.reach
    if reach is None or reach.candidates is None or not _has_proposals(entry):
        return None
    proposals = _proposed(entry)
    lost = reach.reached - proposals
    if proposals >= 1 - MANY or lost <= LOSS:
        return None
    tries = longer_run_for(result, "the RPN", is_rpn_loss)
    if reach.candidates < 1 - MANY:
        tries += _candidate_tries(result, entry)
    if reach.candidates - proposals > LOSS:
        tries += _suppression_tries(result)
    sentence = (
        f"{entry.name}: anchors reach {percent(reach.reached)} of its objects, the boxes that "
        f"enter the NMS of the proposals {percent(reach.candidates)}, the proposals "
        f"{percent(proposals)}; try {', or '.join(tries or [longer_run(result)])}"
    )
    return lost, sentence


def _candidate_tries(result: RunResult, entry: ClassResult) -> List[str]:
    """List what may bring the RPN to rank boxes of a class among the first."""
    tries: List[str] = []
    config = result.config
    if config is None or entry.reach is None:
        return tries
    positive = entry.reach.positive
    if positive < FEW_POSITIVE and config.rpn_pos_iou_thresh > config.pos_iou_thresh:
        tries.append(
            f"--set rpn_pos_iou_thresh={config.pos_iou_thresh:g}, as only {percent(positive)} "
            f"have an anchor with an IoU of {config.rpn_pos_iou_thresh:g}, from which the RPN "
            "learns"
        )
    if config.rpn_test_pre_nms < result.anchors_of_level:
        tries.append(
            f"--set rpn_train_pre_nms={2 * config.rpn_train_pre_nms} "
            f"rpn_test_pre_nms={2 * config.rpn_test_pre_nms}, as only {config.rpn_test_pre_nms} of "
            f"{result.anchors_of_level} boxes enter"
        )
    return tries


def _suppression_tries(result: RunResult) -> List[str]:
    """List what may keep boxes of a class in the NMS of the proposals."""
    config = result.config
    if config is None:
        return []
    counts = (
        f"--set rpn_train_post_nms={2 * config.rpn_train_post_nms} "
        f"rpn_test_post_nms={2 * config.rpn_test_post_nms} (now {config.rpn_test_post_nms} after "
        "the NMS)"
    )
    return [counts]


def _head_finding(result: RunResult, entry: ClassResult) -> Optional[Finding]:
    """Say that a class is proposed and not recognized."""
    if not _has_proposals(entry) or entry.box_score is None:
        return None
    gap = _proposed(entry) - entry.box_score
    if gap <= HEAD_GAP:
        return None
    facts = f"it is in {entry.train_images} of {result.train_images} training images"
    sentence = (
        f"{entry.name}: proposals reach {percent(_proposed(entry))} of its objects, and its AP50 "
        f"is {entry.box_score:.3f}, so the box head confuses or misses it; {facts}; try "
        f"{', or '.join(_head_tries(result, entry))}"
    )
    return gap, sentence


def _head_tries(result: RunResult, entry: ClassResult) -> List[str]:
    """List what may help the box head to recognize a class."""
    tries = []
    flags = result.flags
    most = max(other.train_images for other in result.classes)
    if RARE * entry.train_images <= most:
        threshold = RARE * entry.train_images / result.train_images
        if flags.repeat_threshold is None or flags.repeat_threshold < threshold:
            tries.append(f"--repeat-threshold {threshold:.2g}, which shows it twice as often")
        if entry.name not in flags.weighted_classes:
            weight = shlex.quote(f"{entry.name}={CLASS_WEIGHT}")
            tries.append(f"--class-weights {weight}")
    tries += longer_run_for(result, "the heads", is_head_loss)
    if tries:
        return tries
    if not flags.augments:
        tries.append("--augment color_jitter random_crop")
    elif result.config is not None:
        tries.append(f"--set short={round(LARGER_INPUT * max(result.config.short))}")
    return [*tries, "more training images of it"]


def _mask_finding(result: RunResult, entry: ClassResult) -> Optional[Finding]:
    """Say that the masks of a class are worse than its boxes."""
    if entry.mask_score is None or entry.box_score is None:
        return None
    gap = entry.box_score - entry.mask_score
    if gap <= MASK_GAP:
        return None
    tries = longer_run_for(result, "the heads", is_head_loss)
    if result.config is not None:
        size = result.config.mask_roi_size
        tries.append(f"--set mask_roi_size={2 * size} (now {size})")
    sentence = (
        f"{entry.name}: the AP50 of its boxes is {entry.box_score:.3f}, that of its masks "
        f"{entry.mask_score:.3f}; try {', or '.join(tries or [longer_run(result)])}"
    )
    return gap, sentence


def _has_proposals(entry: ClassResult) -> bool:
    """Tell whether the share that the proposals reach is known well enough."""
    return entry.proposal_reach is not None and entry.num_proposed >= FEWEST_OBJECTS


def _proposed(entry: ClassResult) -> float:
    """Return the share that the proposals reach; 0 if it is not known."""
    return entry.proposal_reach or 0.0


def percent(share: float) -> str:
    """Write a share as a percentage.

    Parameters
    ----------
    share : float
        In 0..1.

    Returns
    -------
    str
        Such as "62 %".
    """
    return f"{100 * share:.0f} %"
