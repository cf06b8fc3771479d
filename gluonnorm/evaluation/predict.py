"""From padded batches to detections in each photo's own pixels."""
from typing import Any, Callable, Iterable, Iterator, Optional, Sequence, Tuple, Union

from gluonnorm.photos.paste import to_photo
from gluonnorm.types import Detections

import mxnet as mx
import numpy as np


def predict(
    net: Callable, batches: Iterable[Any], ctx: Union[mx.Context, Sequence[mx.Context]] = mx.cpu(),
    mask_paste: Optional[str] = "sample",
) -> Iterator[Tuple[int, Detections]]:
    """Run ``net`` over ``batches`` and yield ``(image_id, Detections)``, one pair an image, in the batches' order.

    Parameters
    ----------
    net
        Anything that maps images (B, 3, H, W) to ``ids`` (B, D, 1), ``scores`` (B, D, 1) and ``boxes`` (B, D, 4)
        in the pixels of its input, rows padded with -1, and perhaps ``masks`` (B, D, M, M): a network, or the block
        ``deploy.load`` returns. Further outputs are ignored.
    batches
        ``data.Batch`` objects: ``images`` and, an image each, ``samples`` with ``scale``, ``size`` and ``image_id``.
    ctx
        Where ``net``'s parameters are. A batch is split over several contexts, which then work side by side.
    mask_paste
        How masks come to lie on the photo: the ``mask_paste`` of the network's convention. None leaves masks out.

    Yields
    ------
    What ``photos.paste.to_photo`` makes of each image's rows, with the sample's ``scale`` and original ``size``.
    """
    contexts = [ctx] if isinstance(ctx, mx.Context) else list(ctx)
    for batch in batches:
        used = contexts[:len(batch.samples)]
        parts = mx.gluon.utils.split_and_load(batch.images, used, even_split=False)
        kept = 3 if mask_paste is None else 4
        outputs = [net(part)[:kept] for part in parts]  # all contexts are busy before the first result is waited for
        columns = [np.concatenate([array.asnumpy() for array in column]) for column in zip(*outputs)]
        for i, sample in enumerate(batch.samples):
            ids, scores, boxes, masks = [column[i] for column in columns] + [None] * (4 - len(columns))
            yield int(sample.image_id), to_photo(ids, scores, boxes, masks, sample.scale, sample.size,
                                                 mask_paste or "sample")
