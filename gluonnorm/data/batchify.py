"""Samples to a batch: padded and stacked. Knows no network and no anchors."""
from typing import List, NamedTuple, Optional, Sequence

from gluonnorm.data.transforms import Sample

import mxnet as mx
import numpy as np


class SampleInfo(NamedTuple):
    """What a batch remembers of a sample; the fields are those of ``Sample``."""
    scale: np.ndarray
    size: np.ndarray
    image_id: int
    name: str


class Batch(NamedTuple):
    """B images of one size, each with up to G >= 1 boxes."""
    images: mx.nd.NDArray  # (B, 3, H, W) float32, each image at the top left of its frame
    boxes: mx.nd.NDArray  # (B, G, 4) float32, padded with -1
    labels: mx.nd.NDArray  # (B, G) float32, padded with -1
    samples: List[SampleInfo]
    masks: Optional[mx.nd.NDArray] = None  # (B, G, S, S) float32 in 0..1 over each box, padded with 0; None: no masks


def batchify(samples: Sequence[Sample], pad_value: Sequence[float]) -> Batch:
    """One batch of B >= 1 samples, on the CPU.

    The images' right and bottom are filled with the colour ``pad_value`` up to the largest height and width. Multiples
    of the backbone's stride are the network's own affair.
    """
    if not samples:
        raise ValueError("batchify got no samples; want at least one")
    height, width = (max(sample.image.shape[axis] for sample in samples) for axis in (1, 2))
    depth = max(1, *(len(sample.boxes) for sample in samples))
    images = np.empty((len(samples), 3, height, width), np.float32)
    images[:] = np.array(pad_value, np.float32).reshape(3, 1, 1)
    boxes = np.full((len(samples), depth, 4), -1, np.float32)
    labels = np.full((len(samples), depth), -1, np.float32)
    for row, sample in enumerate(samples):
        images[row, :, :sample.image.shape[1], :sample.image.shape[2]] = sample.image
        boxes[row, :len(sample.boxes)] = sample.boxes
        labels[row, :len(sample.labels)] = sample.labels
    cpu = mx.cpu()
    masks = _pad_masks(samples, depth)
    return Batch(mx.nd.array(images, ctx=cpu), mx.nd.array(boxes, ctx=cpu), mx.nd.array(labels, ctx=cpu),
                 [SampleInfo(sample.scale, sample.size, sample.image_id, sample.name) for sample in samples],
                 None if masks is None else mx.nd.array(masks, ctx=cpu))


def _pad_masks(samples: Sequence[Sample], depth: int) -> Optional[np.ndarray]:
    """(B, ``depth``, S, S) float32, or None where the samples have no masks."""
    masks = [sample.masks for sample in samples if sample.masks is not None]
    if not masks:
        return None
    if len(masks) < len(samples):
        raise ValueError(f"{len(masks)} of {len(samples)} samples have masks; batch those of one data set")
    padded = np.zeros((len(samples), depth, *masks[0].shape[1:]), np.float32)
    for row, mask in zip(padded, masks):
        row[:len(mask)] = mask
    return padded
