"""Running a network over a data set: from padded batches to detections in each photo's pixels."""

from typing import Any, Callable, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from gluonnorm.photos.paste import detections_in_photo
from gluonnorm.types import Detections

import mxnet as mx
import numpy as np

OUTPUTS_WITHOUT_MASKS = 3  # ids, scores, boxes
OUTPUTS_WITH_MASKS = 4


def predict(
    net: Callable,
    batches: Iterable[Any],
    ctx: Union[mx.Context, Sequence[mx.Context]] = mx.cpu(),
    mask_paste: Optional[str] = "sample",
) -> Iterator[Tuple[int, Detections]]:
    """Run a network over batches and yield the detections of each image.

    Parameters
    ----------
    net : callable
        A network, or the block that ``deploy.load`` returns: it maps images (B, 3, H, W) to ``ids``
        (B, D, 1), ``scores`` (B, D, 1), ``boxes`` (B, D, 4) in pixels of its input, and optionally
        ``masks`` (B, D, M, M). Rows are padded with -1. Further outputs are ignored.
    batches : iterable of data.Batch
        Each has ``images`` and ``samples``: one entry an image, with ``scale``, ``size``,
        ``image_id``, and ``inclusive`` (False if it is missing). The images of a batch should have
        one size: padding beside an image changes its detections. ``data.EqualSizeSampler`` makes
        such batches.
    ctx : mx.Context or sequence of mx.Context
        The devices of the network's parameters. A batch is split over them, and they work at the
        same time.
    mask_paste : str or None
        The method of ``photos.paste.paste_masks``: the ``mask_paste`` of the network's convention.
        None leaves masks out.

    Yields
    ------
    (int, Detections)
        Image id and detections in the photo's own pixels, in the order of the batches.
    """
    contexts = [ctx] if isinstance(ctx, mx.Context) else list(ctx)
    num_outputs = OUTPUTS_WITHOUT_MASKS if mask_paste is None else OUTPUTS_WITH_MASKS
    for batch in batches:
        outputs = _run(net, batch, contexts, num_outputs)
        for index, sample in enumerate(batch.samples):
            ids, scores, boxes, *masks = [output[index] for output in outputs]
            detections = detections_in_photo(
                ids,
                scores,
                boxes,
                masks=masks[0] if masks else None,
                scale=sample.scale,
                size=sample.size,
                mask_paste=mask_paste or "sample",
                inclusive=getattr(sample, "inclusive", False),
            )
            yield int(sample.image_id), detections


def _run(
    net: Callable, batch: Any, contexts: Sequence[mx.Context], num_outputs: int
) -> List[np.ndarray]:
    """Run a network on one batch, split over the contexts; return the first outputs, joined."""
    used_contexts = contexts[: len(batch.samples)]
    parts = mx.gluon.utils.split_and_load(batch.images, used_contexts, even_split=False)
    # MXNet runs asynchronously: with all calls made before the first ``asnumpy``, every context is
    # busy at the same time.
    outputs_of_parts = [net(part)[:num_outputs] for part in parts]
    joined = []
    for outputs in zip(*outputs_of_parts):
        joined.append(np.concatenate([output.asnumpy() for output in outputs]))
    return joined
