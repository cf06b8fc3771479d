"""The records of training targets and of ground truth, and their form at the border of a graph.

A hybridized block of MXNet takes and returns flat lists of arrays, never records. :func:`flatten`
and :func:`restore` convert between the two at that border; everywhere else targets are records.
"""

from typing import List, NamedTuple, Optional, Sequence

from gluonnorm.errors import InputError
from gluonnorm.rcnn.sampler import SampledRows
from gluonnorm.types import Tensor


class GroundTruth(NamedTuple):
    """The labeled objects of a batch, G for each image; images with fewer are padded.

    Attributes
    ----------
    boxes : Tensor
        (B, G, 4) in pixels of the network's input, -1 in padding.
    labels : Tensor
        (B, G), the foreground class, from 0; -1 in padding.
    masks : Tensor, optional
        (B, G, S, S) in 0..1, the mask of each object on a grid over its box; 0 in padding.
    """

    boxes: Tensor
    labels: Tensor
    masks: Optional[Tensor] = None


class RPNTargets(NamedTuple):
    """What the RPN learns at S sampled anchors of each image.

    Attributes
    ----------
    sampled : SampledRows
        The anchors, numbered over all levels.
    deltas : Tensor
        (B, S, 4), the deltas to the ground-truth box; they have a meaning for positive anchors
        only.
    """

    sampled: SampledRows
    deltas: Tensor


class RoITargets(NamedTuple):
    """What the heads learn at S sampled RoIs of each image; positive RoIs come first.

    Attributes
    ----------
    rois : Tensor
        (B, S, 4) in pixels.
    labels : Tensor
        (B, S), 0 for background, the foreground class + 1 for an object.
    deltas : Tensor
        (B, S, 4), the deltas to the ground-truth box; they have a meaning for positive RoIs only.
    positive : Tensor
        (B, S), 1 for a positive RoI, else 0.
    weight : Tensor
        (B, S), 1 for a positive or negative RoI, 0 for padding.
    """

    rois: Tensor
    labels: Tensor
    deltas: Tensor
    positive: Tensor
    weight: Tensor


class TrainingTargets(NamedTuple):
    """Everything that a detector learns from a batch.

    Attributes
    ----------
    rpn : RPNTargets
        The targets of the RPN.
    roi : RoITargets
        The targets of the box head.
    masks : Tensor, optional
        (B, P, M, M) of 0 and 1, the masks of the P first RoIs, which include all positive ones.
        None without a mask head.
    """

    rpn: RPNTargets
    roi: RoITargets
    masks: Optional[Tensor] = None


def flatten(targets: TrainingTargets) -> List[Tensor]:
    """Convert targets to the flat list that a hybridized block can take and return.

    Parameters
    ----------
    targets : TrainingTargets
        The targets of a batch.

    Returns
    -------
    list of Tensor
        All fields in their order; the masks, if there are any, come last.
    """
    tensors = [*targets.rpn.sampled, targets.rpn.deltas, *targets.roi]
    if targets.masks is not None:
        tensors.append(targets.masks)
    return tensors


def restore(tensors: Sequence[Tensor], has_masks: bool) -> TrainingTargets:
    """Convert a flat list of tensors back to targets; the inverse of :func:`flatten`.

    Parameters
    ----------
    tensors : sequence of Tensor
        What :func:`flatten` returned.
    has_masks : bool
        Whether the targets have masks.

    Returns
    -------
    TrainingTargets
        The targets of a batch.

    Raises
    ------
    InputError
        The number of tensors is not that of such targets.
    """
    num_sampled = len(SampledRows._fields)
    num_roi = len(RoITargets._fields)
    expected = num_sampled + 1 + num_roi + int(has_masks)
    if len(tensors) != expected:
        raise InputError(
            f"training targets have {len(tensors)} tensors; {expected} were expected "
            f"{'with' if has_masks else 'without'} masks: give what flatten returned"
        )
    remaining = list(tensors)
    masks = remaining.pop() if has_masks else None
    roi = RoITargets(*remaining[-num_roi:])
    sampled = SampledRows(*remaining[:num_sampled])
    rpn = RPNTargets(sampled=sampled, deltas=remaining[num_sampled])
    return TrainingTargets(rpn=rpn, roi=roi, masks=masks)
