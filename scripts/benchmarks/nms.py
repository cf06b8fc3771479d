"""What final suppression gets from a detector's heads: a thousand RoIs around fewer objects, and their scores."""
from typing import Tuple

import numpy as np

OBJECTS = 60


def candidates(rois: int, classes: int, seed: int) -> Tuple[np.ndarray, np.ndarray]:
    """Probabilities (rois, classes) and boxes (rois, classes, 4), float32, no two alike.

    Most of a RoI's probability is the background's and its object's class's, and every other class has a little.
    """
    rng = np.random.RandomState(seed)
    logits = rng.randn(rois, classes + 1).astype(np.float32)
    of_object = rng.randint(0, OBJECTS, rois)
    object_class = rng.randint(1, classes + 1, OBJECTS)
    logits[:, 0] += 9
    logits[np.arange(rois), object_class[of_object]] += rng.uniform(2, 12, rois).astype(np.float32)
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    centres, sides = rng.uniform(60, 540, (OBJECTS, 2)), rng.uniform(20, 120, (OBJECTS, 2))
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)[of_object]
    boxes = corners[:, None] + 4 * rng.randn(rois, 1, 4) + rng.randn(rois, classes, 4)
    return scores[:, 1:], boxes.astype(np.float32)
