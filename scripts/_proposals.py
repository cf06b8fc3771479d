"""How close the proposals of a network come to the objects of a data set."""

from dataclasses import replace
from typing import Iterable, List

from gluonnorm.data import Dataset, EvalTransform, Inspection
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.rcnn.proposal_reach import proposal_ious

import mxnet as mx
import numpy as np

# Of evenly spaced images. A share of 100 images' objects is known to a few percent, and the time is
# less than that of their evaluation.
MOST_PROPOSED_IMAGES = 100


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


def spaced_images(images: np.ndarray) -> List[int]:
    """Choose at most ``MOST_PROPOSED_IMAGES`` of the images with objects, evenly spaced.

    Parameters
    ----------
    images : numpy.ndarray
        (L,) int, the image of each object.

    Returns
    -------
    list of int
        Positions of images in ascending order, each once.
    """
    with_objects = np.unique(images)
    count = min(len(with_objects), MOST_PROPOSED_IMAGES)
    places = np.linspace(0, len(with_objects) - 1, count).round().astype(int)
    return with_objects[places].tolist()
