"""Which objects of each class the anchors and the proposals reach, as shares and in words."""

from typing import Dict, List, NamedTuple, Optional, Sequence

from gluonnorm.data.objects import ObjectTable

import numpy as np

# A class is mentioned if more of its objects than this are out of reach.
MANY = 0.2
# A stage is blamed if it loses more of the objects than this.
LOSS = 0.1
# Objects of fewer cells of the finest map lie between its anchors, whatever the anchors' sizes.
FEW_CELLS = 3


class Reach(NamedTuple):
    """How close the boxes of each stage come to the L objects to learn from.

    Attributes
    ----------
    positive : float
        The IoU from which an anchor is positive (``rpn_pos_iou_thresh``).
    reached : float
        The IoU from which a proposal is positive (``pos_iou_thresh``), and an object is reached.
    anchor_lengths : numpy.ndarray
        (A,) float64, square roots of the areas of a cell's anchors on all maps, in pixels of the
        network's input.
    finest_stride : int
        Pixels of the network's input between neighboring anchors of the finest map.
    anchors : numpy.ndarray
        (L,) float64, the best IoU of each object with the anchors of its image.
    candidates : numpy.ndarray or None
        (L,), the best IoU with the boxes that enter the NMS of a trained network's proposals; NaN
        for objects of images that the network did not see.
    proposals : numpy.ndarray or None
        (L,), the best IoU with its proposals, in the same way.
    """

    positive: float
    reached: float
    anchor_lengths: np.ndarray
    finest_stride: int
    anchors: np.ndarray
    candidates: Optional[np.ndarray] = None
    proposals: Optional[np.ndarray] = None


class ClassReach(NamedTuple):
    """The reachable recall of one class.

    Attributes
    ----------
    objects : int
        The number of objects to learn from.
    length : float
        The median square root of their areas, in pixels of the network's input.
    mean_iou : float
        The mean of the best IoU with an anchor.
    positive : float
        The share of objects with a positive anchor. Each of the others is learned from its best
        anchor alone.
    reached : float
        The share of objects with an anchor from which a proposal would be positive without any
        regression.
    candidates : float or None
        The share that is reached by the boxes that enter the NMS of a trained network's proposals.
    proposals : float or None
        The share that is reached by its proposals: no detector behind them can have more recall.
    """

    objects: int
    length: float
    mean_iou: float
    positive: float
    reached: float
    candidates: Optional[float] = None
    proposals: Optional[float] = None


def reach_of_classes(
    objects: ObjectTable, reach: Reach, classes: Sequence[str]
) -> Dict[str, ClassReach]:
    """Compute the reachable recall of each class.

    Parameters
    ----------
    objects : ObjectTable
        The L objects to learn from.
    reach : Reach
        The best IoU of each of them.
    classes : sequence of str
        The names of the classes.

    Returns
    -------
    dict of str to ClassReach
        The shares of each class that has objects.
    """
    shares = {}
    for label, name in enumerate(classes):
        rows = objects.labels == label
        if rows.any():
            best = reach.anchors[rows]
            shares[name] = ClassReach(
                objects=int(rows.sum()),
                length=float(np.median(objects.lengths[rows])),
                mean_iou=float(best.mean()),
                positive=float((best >= reach.positive).mean()),
                reached=float((best >= reach.reached).mean()),
                candidates=_share(reach.candidates, rows, reach.reached),
                proposals=_share(reach.proposals, rows, reach.reached),
            )
    return shares


def _share(ious: Optional[np.ndarray], rows: np.ndarray, limit: float) -> Optional[float]:
    """Return the share of some objects whose IoU is at least ``limit``; None without IoUs."""
    known = np.zeros(0) if ious is None else ious[rows][~np.isnan(ious[rows])]
    return float((known >= limit).mean()) if len(known) else None


def reach_warnings(shares: Dict[str, ClassReach], reach: Reach) -> List[str]:
    """Say which classes will hardly be learned, why, and what to change.

    Parameters
    ----------
    shares : dict of str to ClassReach
        What ``reach_of_classes`` returns.
    reach : Reach
        The best IoUs.

    Returns
    -------
    list of str
        One sentence for each class and stage that loses many of its objects.
    """
    warnings = []
    for name, share in shares.items():
        if share.reached < 1 - MANY:
            warnings.append(_anchor_warning(name, share, reach))
        if share.candidates is None or share.proposals is None:
            continue
        if share.candidates < 1 - MANY:
            warnings.append(
                f"{name}: {_percent(1 - share.candidates)} of its objects have no candidate with "
                f"an IoU of {reach.reached:g} before the NMS of the proposals; train on, give "
                "anchors of their size, or raise rpn_train_pre_nms and rpn_test_pre_nms"
            )
        if share.candidates - share.proposals > LOSS:
            warnings.append(
                f"{name}: {_percent(share.proposals)} of its objects have a proposal with an IoU "
                f"of {reach.reached:g}, {_percent(share.candidates)} before the NMS; raise "
                "rpn_train_post_nms and rpn_test_post_nms, or rpn_nms_thresh"
            )
    return warnings


def _anchor_warning(name: str, share: ClassReach, reach: Reach) -> str:
    """Say how many objects of a class no anchor reaches."""
    smallest = reach.anchor_lengths.min()
    largest = reach.anchor_lengths.max()
    few_cells = FEW_CELLS * reach.finest_stride
    way_out = "choose anchor_sizes and anchor_ratios closer to its boxes"
    if share.length < few_cells and smallest <= few_cells:
        way_out = (
            "choose a longer short, because boxes as small as this lie between the anchors, which "
            f"are {reach.finest_stride} pixels apart"
        )
    elif share.length < smallest:
        way_out = "choose smaller anchor_sizes, or a longer short"
    elif share.length > largest:
        way_out = "choose larger anchor_sizes, or a shorter short"
    return (
        f"{name}: {_percent(1 - share.reached)} have no anchor with an IoU of {reach.reached:g} or "
        f"more; in the network's input its boxes are {share.length:.0f} pixels large (median), the "
        f"anchors {smallest:.0f} to {largest:.0f}: {way_out}"
    )


def _percent(share: float) -> str:
    """Write a share as a percentage."""
    return f"{100 * share:.0f} %"
