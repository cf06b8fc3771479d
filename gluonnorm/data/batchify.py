"""Pad the samples of a batch to one size, and stack them."""

from typing import List, NamedTuple, Optional, Sequence

from gluonnorm.data.transforms import Sample
from gluonnorm.errors import InputError

import mxnet as mx
import numpy as np


class SampleInfo(NamedTuple):
    """The fields of a ``Sample`` that a batch keeps as they are.

    Attributes
    ----------
    scale : numpy.ndarray
        (2,) float32, resized length divided by original length, along x and along y.
    size : numpy.ndarray
        (2,) int32, height and width of the original image in pixels.
    image_id : int
        The image's id in ``Dataset.coco_truth``.
    name : str
        The image's file name, for messages.
    inclusive : bool
        Whether the far corner of a box is its last pixel.
    """

    scale: np.ndarray
    size: np.ndarray
    image_id: int
    name: str
    inclusive: bool = False


class Batch(NamedTuple):
    """B images of one size, each with up to G boxes. G is at least 1.

    Attributes
    ----------
    images : mx.nd.NDArray
        (B, 3, H, W) float32. Each image is at the top left of its frame.
    boxes : mx.nd.NDArray
        (B, G, 4) float32, rows ``x1 y1 x2 y2`` in pixels of ``images``, padded with -1.
    labels : mx.nd.NDArray
        (B, G) float32, 0-based foreground classes, padded with -1.
    samples : list of SampleInfo
        The scale, original size, id and name of each image. Empty if the images only stand in for
        an empty share of a batch, and must not count.
    masks : mx.nd.NDArray or None
        (B, G, S, S) float32 in 0..1, each mask over its box, padded with 0. None without masks.
    """

    images: mx.nd.NDArray
    boxes: mx.nd.NDArray
    labels: mx.nd.NDArray
    samples: List[SampleInfo]
    masks: Optional[mx.nd.NDArray] = None


def batchify(samples: Sequence[Sample], pad_value: Sequence[float]) -> Batch:
    """Pad samples to one size, and stack them to a batch on the CPU.

    Images are padded at the right and at the bottom, to the largest height and width among them.
    They are not padded to multiples of the backbone's stride: the network does that itself.

    Parameters
    ----------
    samples : sequence of Sample
        B samples, at least one.
    pad_value : sequence of float
        Three values, the color of the padding in the network's own scale and channel order.

    Returns
    -------
    Batch
        The padded images, boxes, labels and masks.

    Raises
    ------
    InputError
        There are no samples, or some of them have masks and others have none.

    Examples
    --------
    >>> image = np.zeros((3, 20, 30), np.float32)
    >>> boxes = np.float32([[1, 2, 5, 8]])
    >>> sample = Sample(image, boxes, np.int32([4]), np.ones(2), np.array([20, 30]), 7, "a.jpg")
    >>> batch = batchify([sample, sample], pad_value=(0, 0, 0))
    >>> batch.images.shape, batch.labels.asnumpy().tolist()
    ((2, 3, 20, 30), [[4.0], [4.0]])
    """
    if not samples:
        raise InputError("batchify got no samples; want at least one")
    # MXNet 1.9.1 takes a length of 0 in a shape for an unknown length, so a batch without boxes
    # gets one row of padding.
    box_count = max(1, *(len(sample.boxes) for sample in samples))
    boxes = np.full((len(samples), box_count, 4), -1, np.float32)
    labels = np.full((len(samples), box_count), -1, np.float32)
    infos = []
    for row, sample in enumerate(samples):
        boxes[row, : len(sample.boxes)] = sample.boxes
        labels[row, : len(sample.labels)] = sample.labels
        info = SampleInfo(
            scale=sample.scale,
            size=sample.size,
            image_id=sample.image_id,
            name=sample.name,
            inclusive=sample.inclusive,
        )
        infos.append(info)
    masks = _pad_masks(samples, box_count)
    return Batch(
        images=_on_cpu(_pad_images(samples, pad_value)),
        boxes=_on_cpu(boxes),
        labels=_on_cpu(labels),
        samples=infos,
        masks=None if masks is None else _on_cpu(masks),
    )


def _on_cpu(array: np.ndarray) -> mx.nd.NDArray:
    """Copy a float32 array to MXNet's CPU memory, whatever the current context is."""
    return mx.nd.array(array, ctx=mx.cpu())


def _pad_images(samples: Sequence[Sample], pad_value: Sequence[float]) -> np.ndarray:
    """Stack the images at the top left of frames of one size: (B, 3, H, W) float32."""
    height = max(sample.image.shape[1] for sample in samples)
    width = max(sample.image.shape[2] for sample in samples)
    images = np.empty((len(samples), 3, height, width), np.float32)
    images[:] = np.array(pad_value, np.float32).reshape(3, 1, 1)
    for frame, sample in zip(images, samples):
        _, sample_height, sample_width = sample.image.shape
        frame[:, :sample_height, :sample_width] = sample.image
    return images


def _pad_masks(samples: Sequence[Sample], box_count: int) -> Optional[np.ndarray]:
    """Stack the masks, padded with empty ones: (B, box_count, S, S) float32; None without masks."""
    masks = [sample.masks for sample in samples if sample.masks is not None]
    if not masks:
        return None
    if len(masks) < len(samples):
        raise InputError(
            f"{len(masks)} of {len(samples)} samples have masks; batch samples of one data set"
        )
    mask_shape = masks[0].shape[1:]
    padded = np.zeros((len(samples), box_count, *mask_shape), np.float32)
    for row, sample_masks in zip(padded, masks):
        row[: len(sample_masks)] = sample_masks
    return padded
