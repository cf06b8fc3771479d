"""A detector that finds connected areas of red, green or blue: a run time without a network."""

from gluonnorm.deploy.backends.backend import Outputs
from gluonnorm.types import Preprocess

import numpy as np
from scipy import ndimage

CLASSES = ("red", "green", "blue")
BRIGHT = 128  # a channel above it belongs to an object
MASK_SIDE = 28
MOST = 50  # detections of an image
# Pixels are fed as they are. A tile of 128 pixels becomes one of 160.
PREPROCESS = Preprocess(short=(160,), max_size=320, normalize=False)


class ColorDetector:
    """Stands for a network in a run time, see ``deploy.backends.backend.Backend``.

    Attributes
    ----------
    shapes : list of tuple
        The shape of every batch so far.
    """

    net = None
    has_masks = True
    run_errors = ()

    def __init__(self):
        self.shapes = []

    def run(self, pixels):
        """Find the areas in a batch; those of more pixels have a better score."""
        self.shapes.append(pixels.shape)
        outputs = [_detect(image) for image in pixels]
        return Outputs([np.stack(arrays) for arrays in zip(*outputs)], None)


def _detect(image):
    """ids (D, 1), scores (D, 1), boxes (D, 4) and masks (D, M, M) of an image (3, H, W)."""
    found = []
    for class_id, channel in enumerate(image > BRIGHT):
        labels, _ = ndimage.label(channel)
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
            area = labels[rows, columns] == number
            score = 0.5 + 0.5 * area.sum() / image[0].size
            box = columns.start, rows.start, columns.stop, rows.stop
            found.append((score, class_id, box, _mask_of(area)))
    found.sort(key=lambda entry: -entry[0])
    ids = np.full((MOST, 1), -1, np.float32)
    scores = np.full((MOST, 1), -1, np.float32)
    boxes = np.full((MOST, 4), -1, np.float32)
    masks = np.zeros((MOST, MASK_SIDE, MASK_SIDE), np.float32)
    for row, (score, class_id, box, mask) in enumerate(found[:MOST]):
        ids[row], scores[row], boxes[row], masks[row] = class_id, score, box, mask
    return ids, scores, boxes, masks


def _mask_of(area):
    """Sample an (h, w) area at the centers of the cells of a mask."""
    centers = (np.arange(MASK_SIDE) + 0.5) / MASK_SIDE
    height, width = area.shape
    rows = (centers * height).astype(int)
    columns = (centers * width).astype(int)
    return area[rows][:, columns].astype(np.float32)
