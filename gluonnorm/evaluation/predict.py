"""From padded batches to detections in each photo's own pixels."""
from typing import Any, Callable, Iterable, Iterator, Sequence, Tuple, Union

from gluonnorm.ops.numpy_ops import clip_boxes, valid_boxes
from gluonnorm.types import Detections

import mxnet as mx
import numpy as np


def predict(
    net: Callable, batches: Iterable[Any], ctx: Union[mx.Context, Sequence[mx.Context]] = mx.cpu()
) -> Iterator[Tuple[int, Detections]]:
    """Run ``net`` over ``batches`` and yield ``(image_id, Detections)``, one pair an image, in the batches' order.

    Parameters
    ----------
    net
        Anything that maps images (B, 3, H, W) to ``ids`` (B, D, 1), ``scores`` (B, D, 1) and ``boxes`` (B, D, 4)
        in the pixels of its input, rows padded with -1: a network, or the block ``deploy.load`` returns.
        Further outputs are ignored.
    batches
        ``data.Batch`` objects: ``images`` and, an image each, ``samples`` with ``scale``, ``size`` and ``image_id``.
    ctx
        Where ``net``'s parameters are. A batch is split over several contexts, which then work side by side.

    Yields
    ------
    The boxes are divided by the sample's ``scale`` and clipped to its original ``size``; a box of which nothing
    is left (it lay in the padding) is dropped.
    """
    contexts = [ctx] if isinstance(ctx, mx.Context) else list(ctx)
    for batch in batches:
        used = contexts[:len(batch.samples)]
        parts = mx.gluon.utils.split_and_load(batch.images, used, even_split=False)
        outputs = [net(part)[:3] for part in parts]  # all contexts are busy before the first result is waited for
        ids, scores, boxes = (np.concatenate([array.asnumpy() for array in column]) for column in zip(*outputs))
        for i, sample in enumerate(batch.samples):
            found = Detections(boxes=boxes[i], scores=scores[i, :, 0], ids=ids[i, :, 0].astype(np.int32))
            yield int(sample.image_id), _to_original(found, sample.scale, sample.size)


def _to_original(padded: Detections, scale: np.ndarray, size: Sequence[int]) -> Detections:
    """Rows without padding, boxes divided by ``scale`` (x, y) and clipped to ``size`` (height, width)."""
    height, width = size
    boxes = clip_boxes(padded.boxes / np.tile(scale, 2), height, width)
    keep = (padded.ids >= 0) & valid_boxes(boxes)
    return Detections(boxes=boxes[keep], scores=padded.scores[keep], ids=padded.ids[keep])
