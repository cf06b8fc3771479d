"""How close the proposals of a network come to the objects of a data set."""

from dataclasses import replace
from typing import Iterable

from gluonnorm.data import Dataset, EvalTransform, Inspection
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.rcnn.proposal_reach import proposal_ious

import mxnet as mx
import numpy as np


def judge_proposals(
    net: FasterRCNN,
    dataset: Dataset,
    inspection: Inspection,
    images: Iterable[int],
    ctx: mx.Context = mx.cpu(),
) -> Inspection:
    """Add the proposals of a trained network to what is known of a data set.

    Parameters
    ----------
    net : FasterRCNN
        The network with its weights.
    dataset : Dataset
        The data set.
    inspection : Inspection
        What ``inspect`` returns for them.
    images : iterable of int
        The positions of the images that the network looks at.
    ctx : mxnet.Context
        A device that holds the network's weights.

    Returns
    -------
    Inspection
        The same with the proposals; those of the other images are NaN.
    """
    preprocess = replace(net.preprocess, short=(max(net.preprocess.short),))
    transform = EvalTransform(preprocess)
    objects = inspection.learnable_objects
    before = np.full(len(objects.labels), np.nan)
    after = before.copy()
    for index in images:
        rows = objects.images == index
        image = mx.nd.array(transform(dataset[index]).image, ctx=ctx).expand_dims(0)
        before[rows], after[rows] = proposal_ious(net, image, objects.boxes[rows])
    return inspection.with_proposals(before, after)
