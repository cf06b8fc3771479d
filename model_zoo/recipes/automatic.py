"""The automatic recipe: settings and schedule that follow from data, weights and machine.

Each rule is a function of a ``TrainingCase`` and of the values that are known already, those of the
user among them. There is no search: a rule is a sentence, and its result has the reason in words.
docs/training.md lists the rules with the experiment behind each.
"""

import math
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from gluonnorm.errors import InputError
from gluonnorm.nn import STORED_STATISTICS_NORMS
from model_zoo.recipes.choice import RECIPE, Choice
from model_zoo.recipes.training_case import BACKBONE_WEIGHTS, DETECTOR_WEIGHTS, TrainingCase

import numpy as np

AUTO = "auto"
# The shorter side that a small object should have, in pixels, and in cells of a coarse map.
SMALL_SIDE = 24.0
SMALL_CELLS = 2.5
LARGEST_ENLARGEMENT = 2.0
# The sizes for which COCO's detectors were published.
LARGEST_SHORT = 800
LARGEST_LONG = 1333
# Fewer pixels gain little time.
SMALLEST_SHORT = 320
SHORT_STEP = 32
# The objects that are smaller or larger than these quantiles are left to regression.
RARE = 0.05
# Neighboring anchors of one map differ by this factor at most: two squares in the middle between
# them have an IoU of 0.62.
SIZE_FACTOR = 1.6
LARGEST_ANCHORS = 6
# The finest map of a pyramid has anchors of at most this many cells; its features see no more.
LARGEST_CELLS = 8 * math.sqrt(2)
PROPOSALS_PER_OBJECT = 10
PROPOSALS = (300, 1000)
# An anchor serves objects whose ratio differs from its own by up to this many octaves: with a size
# in the middle between two anchors their IoU is still 0.6.
RATIO_REACH = 0.75
CANDIDATES_PER_PROPOSAL = 6
MOST_CANDIDATES_OF_LEVEL = 2000
# On a single map the objects of all sizes compete for the places before the NMS, and small or rare
# ones get the last. The NMS of 6000 boxes takes 50 ms on a processor.
CANDIDATE_PART = 0.5
MOST_CANDIDATES = 6000
POSITIVE_ROIS = (16, 64)
# Cells of a RoI on a side in a detector without a pyramid, whose objects are not larger.
SMALL_ROI = 7
# The final NMS may lose so many of the objects, because they overlap others of their class.
LOST_IN_NMS = 0.02
# Boxes of one object overlap more than this, except those around a part of it.
LEAST_NMS_THRESH = 0.3
NMS_THRESH_STEP = 0.05
SMALL_PHOTO = 256 * 256  # pixels of the network's input
# The rates of an update of one photo: of the codebases for 16 photos, and for layers that start
# fresh and have little time.
PUBLISHED_RATE = 0.00125
FRESH_RATE = 0.004
LARGEST_RATE = 0.02
# With --lr-mode step the rate falls after these parts of the run, as after 14 and 18 of 20 epochs.
DECAY_PARTS = (0.7, 0.9)
WARMUP_UPDATES = 500
WARMUP_PART = 0.1
PHOTOS_SEEN = 6000
EPOCHS = (12, 50)

Values = Mapping[str, Any]
Rule = Callable[[TrainingCase, Values], Optional[Choice]]


def choose_settings(case: TrainingCase, given: Values) -> Dict[str, Choice]:
    """Choose what does not depend on the number of updates.

    Parameters
    ----------
    case : TrainingCase
        The data set, the network, its weights and the machine.
    given : Mapping of str to object
        Values that are decided already, by the names of flags and of the detector's settings. Later
        rules follow from them.

    Returns
    -------
    dict of str to Choice
        The other values, in the order of ``SETTING_RULES``; what is left to the network is missing.
    """
    values = dict(given)
    choices: Dict[str, Choice] = {}
    for name, rule in SETTING_RULES.items():
        choice = None if name in values else rule(case, values)
        if choice is not None:
            choices[name] = choice
            values[name] = choice.value
    return choices


def choose_schedule(
    weights: str,
    photos: int,
    batch_size: int,
    epochs: Optional[int],
    epoch_steps: Optional[int],
) -> Dict[str, Choice]:
    """Choose learning rate, warm-up and length.

    Parameters
    ----------
    weights : str
        What the network starts from, one of ``training_case.WEIGHTS``.
    photos : int
        The photos of the training set, for all machines together.
    batch_size : int
        The photos of an update, on all machines together.
    epochs : int or None
        The length, if it is decided already.
    epoch_steps : int or None
        The updates of an epoch, if they are fewer than the data set has.

    Returns
    -------
    dict of str to Choice
        "epochs", "lr", "lr_mode", "lr_decay_epoch" (read only if the user chooses another mode),
        "lr_warmup" and "clip_gradient".
    """
    length = _epochs(photos)
    updates = (epochs or length.value) * (epoch_steps or math.ceil(photos / batch_size))
    rate = PUBLISHED_RATE if weights == DETECTOR_WEIGHTS else FRESH_RATE
    reason = f"{rate:g} for each photo of an update, at most {LARGEST_RATE:g}"
    warmup = max(1, min(WARMUP_UPDATES, round(WARMUP_PART * updates)))
    decays = ",".join(f"{part * (epochs or length.value):g}" for part in DECAY_PARTS)
    return {
        "epochs": length,
        "lr": _choice(min(rate * batch_size, LARGEST_RATE), reason),
        "lr_mode": _choice("cosine", "it falls to 0 at the end, however long the run is"),
        "lr_decay_epoch": _choice(decays, "as by default after 70 % and 90 % of the run"),
        "lr_warmup": _choice(warmup, f"a tenth of {updates} updates, at most {WARMUP_UPDATES}"),
        "clip_gradient": _choice(10.0, "a photo that is all wrong should not undo the others"),
    }


def _choice(value: Any, reason: str) -> Choice:
    """Make a choice of this recipe."""
    return Choice(value, RECIPE, reason)


def _epochs(photos: int) -> Choice:
    """Show each network 6000 photos, but each photo 12 to 50 times."""
    low, high = EPOCHS
    epochs = min(max(round(PHOTOS_SEEN / photos), low), high)
    return _choice(epochs, f"{PHOTOS_SEEN} photos in all, each {low} to {high} times; no --minutes")


def _norm(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Without weights there are no statistics to store: group norm."""
    if case.weights in (BACKBONE_WEIGHTS, DETECTOR_WEIGHTS):
        return None
    if case.norm not in STORED_STATISTICS_NORMS:
        return None
    return _choice("gn", f"{case.norm} needs the statistics of pretrained weights")


def _head_norm(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Heads that start fresh get group norm in place of norms with stored statistics."""
    if not case.has_fresh_norms or "norm" in values:
        return None
    return _choice("gn", f"the heads start fresh, and {case.norm} has no statistics for them")


def _freeze_at(case: TrainingCase, values: Values) -> Choice:
    """Freeze what published detectors freeze, and nothing that starts fresh."""
    if case.weights in (BACKBONE_WEIGHTS, DETECTOR_WEIGHTS):
        return _choice(2, "the stem and the first stage keep their weights, as in all sources")
    return _choice(0, "nothing is pretrained")


def _short(case: TrainingCase, values: Values) -> Choice:
    """Show the smallest tenth of the objects large enough, but enlarge photos at most twice."""
    wanted = max(SMALL_SIDE, SMALL_CELLS * case.strides[0])
    sides = case.boxes.min(axis=1)
    # Photos of all sizes get the same shorter side, so an object counts by its share of it.
    share = case.quantile(sides / case.image_sizes.min(axis=1)[case.images], 0.1)
    own = case.shorter_side
    low, high = min(own, SMALLEST_SHORT), min(LARGEST_ENLARGEMENT * own, LARGEST_SHORT)
    short = min(max(wanted / share, low), high)
    short = max(SHORT_STEP, round(short / SHORT_STEP) * SHORT_STEP)
    # A longer side of the user's is no shorter than the shorter one.
    short = min(short, values.get("max_size", short))
    max_size = values.get("max_size", _longest_side(case, short))
    reached = case.quantile(sides * case.input_scales(short, max_size), 0.1)
    reason = (
        f"a tenth of the objects has a side below {case.quantile(sides, 0.1):.0f} pixels in photos "
        f"of {own:.0f}; here below {reached:.0f}, wanted {wanted:.0f}"
    )
    return _choice(short, reason)


def _max_size(case: TrainingCase, values: Values) -> Choice:
    """Keep COCO's proportion, or more where the photos are longer."""
    short = _largest_short(values)
    length = _longest_side(case, short)
    longest = _proportion(case)
    if longest <= LARGEST_LONG / LARGEST_SHORT:
        return _choice(length, "5/3 of short, as 1333 of 800")
    reason = f"the photos are up to {longest:.1f} times as long as wide"
    if length < round(short * longest):
        reason += f", so their shorter sides have only {length / longest:.0f} pixels here"
    return _choice(length, reason)


def _longest_side(case: TrainingCase, short: int) -> int:
    """Compute COCO's proportion, or what nine tenths of the photos need."""
    usual = short * LARGEST_LONG / LARGEST_SHORT
    return round(max(min(short * _proportion(case), LARGEST_LONG), usual))


def _proportion(case: TrainingCase) -> float:
    """Return how many times as long as wide nine tenths of the photos are at most."""
    return float(np.quantile(case.image_sizes.max(axis=1) / case.image_sizes.min(axis=1), 0.9))


def _anchor_sizes(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Spread the anchors' sizes over those of the objects in the network's input."""
    if case.weights == DETECTOR_WEIGHTS:
        return None
    lengths = case.input_lengths(_largest_short(values), values["max_size"])
    small, median, large = (case.quantile(lengths, share) for share in (RARE, 0.5, 1 - RARE))
    span = f"nine tenths of the objects have {small:.0f} to {large:.0f} pixels"
    if not case.is_pyramid:
        return _choice((_even_sizes(small, large),), f"{span} in the network's input")
    levels = len(case.strides)
    finest = _finest_size(small, median, case.strides[0])
    coarsest = max(finest * 2 ** (levels - 1), large / math.sqrt(SIZE_FACTOR))
    sizes = tuple((round(float(size), 1),) for size in np.geomspace(finest, coarsest, levels))
    return _choice(sizes, f"{span}, half of them up to {median:.0f}; one size a level")


def _even_sizes(small: float, large: float) -> Tuple[float, ...]:
    """Space sizes evenly, as logarithms, from the small objects to the large ones."""
    middle, reach = math.sqrt(small * large), math.sqrt(max(large / small, SIZE_FACTOR))
    count = math.ceil(2 * math.log(reach) / math.log(SIZE_FACTOR) - 1e-9) + 1
    sizes = np.geomspace(middle / reach, middle * reach, min(count, LARGEST_ANCHORS))
    return tuple(round(float(size), 1) for size in sizes)


def _finest_size(small: float, median: float, stride: int) -> float:
    """Halve the median until small objects have an anchor, and the finest map can see it."""
    limit = min(small * math.sqrt(2), LARGEST_CELLS * stride)
    return median / 2 ** max(0, math.ceil(math.log2(median / limit)))


def _anchor_ratios(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Take the fewest powers of two that serve the objects' ratios."""
    if case.weights == DETECTOR_WEIGHTS:
        return None
    flat, usual, tall = (case.quantile(case.ratios, share) for share in (RARE, 0.5, 1 - RARE))
    middle = round(math.log2(usual))
    lowest = min(middle, math.floor(math.log2(flat) + RATIO_REACH))
    highest = max(middle, math.ceil(math.log2(tall) - RATIO_REACH))
    exponents = range(lowest, highest + 1)
    reason = f"nine tenths of the objects are {flat:.2f} to {tall:.2f} times as high as wide"
    return _choice(tuple(2.0**exponent for exponent in exponents), reason)


def _rpn_pos_iou_thresh(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Let an anchor be positive that a fresh RPN can learn to move onto its object."""
    if case.weights == DETECTOR_WEIGHTS:
        return None
    return _choice(0.5, "with 0.7 most objects would have their best anchor alone")


def _rpn_test_post_nms(case: TrainingCase, values: Values) -> Choice:
    """Ten proposals for each object of a crowded photo."""
    objects = case.objects_of_image(1 - RARE)
    wanted = math.ceil(PROPOSALS_PER_OBJECT * objects / 100) * 100
    low, high = PROPOSALS
    return _choice(min(max(wanted, low), high), f"10 for each of {objects:.0f} objects in a photo")


def _rpn_train_post_nms(case: TrainingCase, values: Values) -> Choice:
    """Twice as many in training, where proposals are worse."""
    count = min(2 * values["rpn_test_post_nms"], case.settings["rpn_train_post_nms"])
    return _choice(count, "twice those in inference, at most the network's own")


def _pre_nms(case: TrainingCase, values: Values) -> Choice:
    """Let so many boxes of a map enter the NMS that one crowd cannot fill them."""
    if case.is_pyramid:
        count = min(CANDIDATES_PER_PROPOSAL * values["rpn_test_post_nms"], MOST_CANDIDATES_OF_LEVEL)
        return _choice(count, f"six for each proposal, at most {MOST_CANDIDATES_OF_LEVEL}")
    anchors = _anchors_of_map(case, values)
    wanted = math.ceil(CANDIDATE_PART * anchors / 100) * 100
    least = CANDIDATES_PER_PROPOSAL * values["rpn_test_post_nms"]
    count = min(max(wanted, least), MOST_CANDIDATES)
    if wanted < least:
        return _choice(count, f"six for each proposal, more than half of {anchors} anchors")
    return _choice(
        count, f"half of {anchors} anchors, at most {MOST_CANDIDATES}: all sizes compete"
    )


def _anchors_of_map(case: TrainingCase, values: Values) -> int:
    """Count the anchors of a photo of usual size on the finest map."""
    known = {**case.settings, **values}
    sides = case.input_sides(_largest_short(values), values["max_size"])
    cells = float(np.median((sides / case.strides[0]).prod(axis=1)))
    return round(cells * len(known["anchor_sizes"][0]) * len(known["anchor_ratios"]))


def _pos_ratio(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Let half of the RoIs be objects where each RoI is expensive."""
    if case.is_pyramid and not case.has_masks:
        return None
    return _choice(0.5, "a RoI is expensive in this head, so half of them are objects")


def _num_sample(case: TrainingCase, values: Values) -> Choice:
    """One positive RoI for each object of a crowded photo."""
    objects = case.objects_of_image(0.9)
    low, high = POSITIVE_ROIS
    positive = min(max(2 ** math.ceil(math.log2(max(objects, 1))), low), high)
    ratio = values.get("pos_ratio", case.settings["pos_ratio"])
    if ratio == 0:
        raise InputError("pos_ratio is 0, so no RoI would be an object; give more than 0")
    reason = f"{positive} of them are objects at most; nine tenths of the photos have {objects:.0f}"
    return _choice(round(positive / ratio), reason)


def _roi_size(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Halve the grid of a RoI where it is finer than the map."""
    if case.is_pyramid or case.weights == DETECTOR_WEIGHTS:
        return None
    large = case.quantile(case.input_lengths(_largest_short(values), values["max_size"]), 1 - RARE)
    cells = large / case.strides[0]
    if case.settings["roi_size"] <= SMALL_ROI or cells > 2 * SMALL_ROI + 2:
        return None
    return _choice(
        SMALL_ROI, f"even large objects have only {cells:.0f} cells of the map on a side"
    )


def _rpn_channels(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Halve the channels of the RPN on a processor."""
    return _half_of("rpn_channels", case)


def _fpn_channels(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Halve the channels of a pyramid on a processor."""
    return _half_of("fpn_channels", case) if case.is_pyramid else None


def _mask_channels(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Halve the channels of the mask head on a processor."""
    return _half_of("mask_channels", case) if case.has_masks else None


def _half_of(name: str, case: TrainingCase) -> Optional[Choice]:
    """Halve the channels of layers that start fresh, where they would take most of the time."""
    if case.weights == DETECTOR_WEIGHTS or not case.is_cpu:
        return None
    own = case.settings[name]
    return _choice(own // 2, f"{own} take up to four times as long on a processor")


def _nms_thresh(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Let the final NMS remove what overlaps more than objects of a class do."""
    overlap = case.quantile(case.neighbor_ious, 1 - LOST_IN_NMS)
    above = math.ceil(round(overlap / NMS_THRESH_STEP, 6)) * NMS_THRESH_STEP
    thresh = round(max(above, LEAST_NMS_THRESH), 2)
    if thresh >= case.settings["nms_thresh"]:
        return None
    reason = f"98 % of the objects overlap others of their class by at most {overlap:.2f}"
    return _choice(thresh, reason)


def _max_detections(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Allow half as many detections again as a photo has objects."""
    most = int(case.objects_of_image(1.0))
    if 1.5 * most <= case.settings["max_detections"]:
        return None
    return _choice(math.ceil(1.5 * most), f"a photo has {most} objects")


def _dtype(case: TrainingCase, values: Values) -> Optional[Choice]:
    """Compute in bfloat16 where the processor does so without emulation."""
    if not (case.is_cpu and case.bfloat16_is_fast):
        return None
    return _choice("bfloat16", "this processor is faster in it")


def _batch_size(case: TrainingCase, values: Values) -> Choice:
    """One photo a device makes the most updates; of small photos, two."""
    sides = case.input_sides(_largest_short(values), values["max_size"])
    if float(np.median(sides.prod(axis=1))) <= SMALL_PHOTO:
        return _choice(2 * case.devices, "two small photos a device, as an update takes its time")
    return _choice(case.devices, "one photo a device makes the most updates")


def _largest_short(values: Values) -> int:
    """Return the shorter side of the input, the largest if there are several, as in ``inspect``."""
    short = values["short"]
    return short if isinstance(short, int) else max(short)


SETTING_RULES: Dict[str, Rule] = {
    "norm": _norm,
    "head_norm": _head_norm,
    "freeze_at": _freeze_at,
    "short": _short,
    "max_size": _max_size,
    "anchor_sizes": _anchor_sizes,
    "anchor_ratios": _anchor_ratios,
    "rpn_pos_iou_thresh": _rpn_pos_iou_thresh,
    "rpn_test_post_nms": _rpn_test_post_nms,
    "rpn_train_post_nms": _rpn_train_post_nms,
    "rpn_test_pre_nms": _pre_nms,
    "rpn_train_pre_nms": _pre_nms,
    "pos_ratio": _pos_ratio,
    "num_sample": _num_sample,
    "roi_size": _roi_size,
    "rpn_channels": _rpn_channels,
    "fpn_channels": _fpn_channels,
    "mask_channels": _mask_channels,
    "nms_thresh": _nms_thresh,
    "max_detections": _max_detections,
    "dtype": _dtype,
    "batch_size": _batch_size,
}
