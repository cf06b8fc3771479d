"""The overlap of objects of one class."""

import tracemalloc

from gluonnorm.data.neighbors import neighbor_ious
from gluonnorm.data.objects import ObjectTable

import numpy as np


def table(rows):
    """Make objects of ``(image, label, x1, y1, x2, y2)`` in photos of 100 x 100 pixels."""
    rows = np.array(rows, float).reshape(-1, 6)
    sizes = np.full((len(rows), 2), 100)
    everywhere = np.ones(len(rows), bool)
    return ObjectTable(
        images=rows[:, 0].astype(int),
        labels=rows[:, 1].astype(int),
        crowd=~everywhere,
        file_boxes=rows[:, 2:],
        image_sizes=sizes,
        boxes=rows[:, 2:],
        input_sizes=sizes,
        learnable=everywhere,
    )


def test_the_nearest_object_of_the_same_class_and_image_counts():
    objects = table(
        [
            (1, 0, 0, 0, 10, 10),
            (0, 0, 0, 0, 10, 10),  # alone in its image
            (1, 0, 5, 0, 15, 10),  # 50 of 150 pixels with the first, 80 of 120 with the next
            (1, 0, 7, 0, 17, 10),
            (1, 1, 0, 0, 10, 10),  # of another class
        ]
    )
    expected = [50 / 150, 0, 80 / 120, 80 / 120, 0]
    np.testing.assert_allclose(neighbor_ious(objects), expected, rtol=1e-6)


def test_thousands_of_objects_in_a_photo_need_little_memory():
    """1500 pairs of neighbors that share half of each: an IoU of a third."""
    places = 20.0 * np.arange(1500)
    rows = []
    for shift in (0, 5):
        zeros = np.zeros_like(places)
        left = places + shift
        rows.append(np.stack([zeros, zeros, left, zeros, left + 10, zeros + 10], axis=1))
    objects = table(np.concatenate(rows))
    tracemalloc.start()
    ious = neighbor_ious(objects)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(ious, 1 / 3, rtol=1e-6)
    assert peak < 100e6


def test_no_objects_have_no_neighbors():
    assert neighbor_ious(table([])).shape == (0,)
