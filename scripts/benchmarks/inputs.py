"""What all rows compute on, and which of their detections are compared.

Interpreters without MXNet import this file, so it needs NumPy alone.
"""

from typing import List, Sequence, Tuple

import numpy as np

MAX_COMPARED = 100
# Detections of a higher score are compared.
MIN_SCORE = 0.05
# ImageNet's mean and standard deviation of RGB in 0..1, as (3, 1, 1).
MEAN = np.array((0.485, 0.456, 0.406), np.float32)[:, None, None]
STD = np.array((0.229, 0.224, 0.225), np.float32)[:, None, None]
BLOCKS_PER_PHOTO = 12
# Photos from which int8 files get their ranges.
CALIBRATION_PHOTOS = 4
NUM_FOREGROUND_CLASSES = 80
NMS_OBJECTS = 60
# SGD of all training rows. The rate is small, so that the drawn weights hardly change.
LEARNING_RATE = 1e-4
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4


def synthetic_photos(count: int, size: Sequence[int], seed: int) -> np.ndarray:
    """Draw photos: waves of gray and color with rectangles on top.

    Parameters
    ----------
    count : int
        Number of photos.
    size : sequence of int
        Height and width.
    seed : int
        The same seed gives the same photos.

    Returns
    -------
    numpy.ndarray
        (count, H, W, 3) uint8 RGB.
    """
    height, width = size
    y, x = np.mgrid[:height, :width]
    photos = []
    for index in range(count):
        random = np.random.RandomState(1000 * seed + index)
        channels = []
        for _ in range(3):
            rows = np.sin(random.uniform(0.01, 0.06) * y + random.uniform(0, 6))
            columns = np.cos(random.uniform(0.01, 0.06) * x + random.uniform(0, 6))
            channels.append(rows + columns)
        waves = np.stack(channels, axis=-1)
        for _ in range(BLOCKS_PER_PHOTO):
            block_height = random.randint(height // 12, height // 2)
            block_width = random.randint(width // 12, width // 2)
            top = random.randint(0, height - block_height)
            left = random.randint(0, width - block_width)
            block = waves[top : top + block_height, left : left + block_width]
            block += random.uniform(-1.5, 1.5, 3)
        photos.append(np.clip(127 + 40 * waves, 0, 255).astype(np.uint8))
    return np.stack(photos)


def network_inputs(count: int, size: Sequence[int], seed: int) -> np.ndarray:
    """Draw photos and normalize them, as all compared networks want their input.

    Parameters
    ----------
    count : int
        Number of photos.
    size : sequence of int
        Height and width.
    seed : int
        The same seed gives the same photos.

    Returns
    -------
    numpy.ndarray
        (count, 3, H, W) float32, RGB, normalized with ImageNet's mean and deviation.
    """
    photos = synthetic_photos(count, size, seed)
    pixels = photos.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return (pixels - MEAN) / STD


def ground_truth(
    count: int, size: Sequence[int], seed: int, objects: int = 8
) -> Tuple[np.ndarray, np.ndarray]:
    """Draw random boxes and classes to train on.

    Parameters
    ----------
    count : int
        Number of images.
    size : sequence of int
        Height and width.
    seed : int
        The same seed gives the same boxes.
    objects : int
        Boxes of each image.

    Returns
    -------
    boxes : numpy.ndarray
        (count, objects, 4) float32, x1 y1 x2 y2 in pixels.
    labels : numpy.ndarray
        (count, objects) int; 0 is the first foreground class.
    """
    random = np.random.RandomState(seed)
    last_pixel = np.array([size[1], size[0]] * 2, np.float32) - 1
    corners = random.uniform(0, 0.6, (count, objects, 2))
    sides = random.uniform(0.08, 0.4, (count, objects, 2))
    boxes = np.concatenate([corners, corners + sides], axis=-1) * last_pixel
    labels = random.randint(0, NUM_FOREGROUND_CLASSES, (count, objects))
    return boxes.astype(np.float32), labels


def nms_candidates(rois: int, classes: int, seed: int) -> Tuple[np.ndarray, np.ndarray]:
    """Draw what the final suppression gets from a detector's heads.

    Many RoIs surround each of a few objects. Most of a RoI's probability belongs to the background
    and to the class of its object, and every other class has a little. No two values are equal.

    Parameters
    ----------
    rois : int
        Number of RoIs.
    classes : int
        Number of foreground classes.
    seed : int
        The same seed gives the same candidates.

    Returns
    -------
    scores : numpy.ndarray
        (rois, classes) float32 probabilities.
    boxes : numpy.ndarray
        (rois, classes, 4) float32, x1 y1 x2 y2 in pixels.
    """
    random = np.random.RandomState(seed)
    logits = random.randn(rois, classes + 1).astype(np.float32)
    roi_objects = random.randint(0, NMS_OBJECTS, rois)
    object_classes = random.randint(1, classes + 1, NMS_OBJECTS)
    logits[:, 0] += 9
    roi_classes = object_classes[roi_objects]
    logits[np.arange(rois), roi_classes] += random.uniform(2, 12, rois).astype(np.float32)
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    centers = random.uniform(60, 540, (NMS_OBJECTS, 2))
    sides = random.uniform(20, 120, (NMS_OBJECTS, 2))
    object_boxes = np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
    roi_shifts = 4 * random.randn(rois, 1, 4)
    class_shifts = random.randn(rois, classes, 4)
    boxes = object_boxes[roi_objects][:, None] + roi_shifts + class_shifts
    return scores[:, 1:], boxes.astype(np.float32)


def best_detections(ids: np.ndarray, scores: np.ndarray, boxes: np.ndarray) -> List[List[float]]:
    """Select the detections of an image that are compared.

    Parameters
    ----------
    ids, scores : numpy.ndarray
        (D,) or (D, 1), as the network returns them; padding has a negative score.
    boxes : numpy.ndarray
        (D, 4).

    Returns
    -------
    list of list of float
        At most ``MAX_COMPARED`` rows ``id, score, x1, y1, x2, y2``, best score first, all with a
        score above ``MIN_SCORE``.
    """
    ids = ids.reshape(-1)
    scores = scores.reshape(-1)
    # GluonCV pads missing proposals with zeros, which become boxes with all corners at -1. They
    # can have a high score, but they are no detections.
    real = (scores > MIN_SCORE) & (boxes != -1).any(axis=1)
    by_score = np.argsort(-scores[real], kind="stable")
    best = np.flatnonzero(real)[by_score][:MAX_COMPARED]
    return np.column_stack([ids, scores, boxes])[best].astype(float).tolist()
