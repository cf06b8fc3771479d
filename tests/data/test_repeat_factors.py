"""How often images of rare classes come in an epoch."""

from collections import Counter
from itertools import chain

from gluonnorm.data import AspectGroupSampler, COCODataset, draw_shapes, repeat_factors
from gluonnorm.data.repeat_factors import draw_counts
from gluonnorm.errors import InputError
from gluonnorm.types import Preprocess

import numpy as np
import pytest


class Truth:
    """The part of a data set that is looked at: 8 images with ids of their own."""

    category_ids = (1, 2, 3)

    def __init__(self, classes_of_images, crowd=(), widths=None):
        self.classes_of_images = classes_of_images
        self.crowd = crowd
        self.widths = widths or {}

    def sizes(self):
        return [(40, 60)] * len(self.classes_of_images)

    def coco_truth(self):
        annotations = []
        for image, classes in enumerate(self.classes_of_images):
            for category in classes:
                is_crowd = int((image, category) in self.crowd)
                annotation = {"image_id": 10 * image, "category_id": category, "iscrowd": is_crowd}
                box = [5, 5, self.widths.get((image, category), 20), 30]
                annotations.append({**annotation, "bbox": box})
        images = [{"id": 10 * image} for image in range(len(self.classes_of_images))]
        return {"images": images, "annotations": annotations}


def test_factors_are_those_of_the_paper():
    dataset = Truth([[1, 1, 1], [1, 2], [1], [1], [1, 3], [1], [3], []])
    # Class 1 is in 6 of 8 images, class 2 in 1, class 3 in 2.
    rare, less_rare, frequent = np.sqrt(0.5 / (1 / 8)), np.sqrt(0.5 / (2 / 8)), 1
    wanted = [frequent, rare, frequent, frequent, less_rare, frequent, less_rare, 1]
    np.testing.assert_allclose(repeat_factors(dataset, 0.5), wanted)
    np.testing.assert_array_equal(repeat_factors(dataset, 0.1), 1)
    crowded = Truth(dataset.classes_of_images, crowd={(1, 2)})
    np.testing.assert_allclose(repeat_factors(crowded, 0.5)[1], 1)
    # What is too small to be trained on does not count either.
    tiny = Truth(dataset.classes_of_images, widths={(1, 2): 0.5, (6, 3): 2})
    np.testing.assert_allclose(repeat_factors(tiny, 0.5)[[1, 4, 6]], [1, less_rare, less_rare])
    factors = repeat_factors(tiny, 0.5, Preprocess(short=(10,)))
    np.testing.assert_allclose(factors[[1, 4, 6]], [1, rare, 1])
    np.testing.assert_array_equal(repeat_factors(Truth([[], []]), 0.5), 1)
    for threshold in (0, 1.5, -1):
        with pytest.raises(InputError, match=f"threshold is {threshold}; want a share"):
            repeat_factors(dataset, threshold)


def test_factors_of_files_are_those_of_their_images(tmp_path):
    draw_shapes(tmp_path, train=12, val=1, size=(48, 64), seed=2)
    folder = tmp_path / "train"
    dataset = COCODataset(tmp_path / "annotations" / "instances_train.json", folder)
    classes = [set(dataset[index].labels.tolist()) for index in range(12)]
    counts = Counter(chain(*classes))
    wanted = []
    for labels in classes:
        shares = [1] + [0.9 / (counts[label] / 12) for label in labels]
        wanted.append(max(shares) ** 0.5)
    assert len(set(wanted)) > 2
    np.testing.assert_allclose(repeat_factors(dataset, 0.9), wanted)


def test_counts_have_the_mean_of_the_factors_and_one_sum():
    rng = np.random.default_rng(0)
    repeats = rng.uniform(1, 4, 50)
    counts = np.array([draw_counts(repeats, rng) for _ in range(3000)])
    total = int(np.ceil(repeats.sum()))
    assert (counts.sum(axis=1) == total).all()
    scaled = repeats * total / repeats.sum()
    assert (counts >= np.floor(scaled)).all() and (counts <= np.ceil(scaled)).all()
    np.testing.assert_allclose(counts.mean(axis=0), scaled, atol=0.05)
    for _ in range(100):
        np.testing.assert_array_equal(draw_counts(np.ones(70), rng), 1)


@pytest.mark.parametrize("num_parts", [1, 3])
def test_a_sampler_repeats_images_and_keeps_the_length_of_an_epoch(num_parts):
    sizes = np.random.default_rng(0).integers(1, 5, (31, 2))
    repeats = np.where(np.arange(31) % 5 == 0, 2.5, 1)
    total = int(np.ceil(repeats.sum()))
    samplers = [
        AspectGroupSampler(sizes, 4, True, 7, part, num_parts, repeats=repeats)
        for part in range(num_parts)
    ]
    totals = Counter()
    for epoch in range(40):
        numbers = []
        for sampler in samplers:
            sampler.set_epoch(epoch)
            batches = list(sampler)
            assert len(batches) == len(sampler) == -(-total // (4 * num_parts))
            assert list(sampler) == batches
            numbers += chain(*batches)
        counts = Counter(number % 31 for number in numbers)
        # Each occurrence of an image has a number of its own, whichever worker loads it.
        for index, count in counts.items():
            own = sorted(number for number in numbers if number % 31 == index)
            assert own == list(range(index, 31 * count, 31))
        assert set(counts) == set(range(31)) and sum(counts.values()) == total
        totals.update(counts)
    assert 2.3 < np.mean([totals[index] for index in range(0, 31, 5)]) / 40 < 2.7


def test_wrong_repeats():
    for repeats in (np.ones(3), np.array([1, 0.5])):
        with pytest.raises(InputError, match="repeats has .* values for 2 images"):
            AspectGroupSampler([(1, 2), (2, 1)], 1, True, 0, repeats=repeats)
