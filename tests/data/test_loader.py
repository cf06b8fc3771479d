import shutil
import threading

from gluonnorm.data import AspectGroupSampler, COCODataset, EvalTransform, Loader, TrainTransform
from gluonnorm.errors import InputError
from gluonnorm.types import Preprocess

import numpy as np
import pytest

PREPROCESS = Preprocess(short=(40, 48, 56), max_size=100)


class Counting:
    """Passes a data set on and notes what is asked of it."""

    def __init__(self, dataset, fail_at=None, error=None):
        self._dataset = dataset
        self._fail_at = fail_at
        self._error = error
        self.asked = []
        self.sizes = dataset.sizes

    def __len__(self):
        return len(self._dataset)

    def __getitem__(self, index):
        self.asked.append(index)
        if index == self._fail_at:
            raise self._error
        return self._dataset[index]


def make_loader(dataset, batch_size=2, shuffle=True, workers=2):
    sampler = AspectGroupSampler(dataset.sizes(), batch_size, shuffle, seed=0)
    return Loader(
        dataset, TrainTransform(PREPROCESS), sampler, (0, 0, 0), seed=0, train=True, workers=workers
    )


def content(batches):
    return [
        (
            batch.images.asnumpy(),
            batch.boxes.asnumpy(),
            batch.labels.asnumpy(),
            [entry.name for entry in batch.samples],
        )
        for batch in batches
    ]


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second):
        for left, right in zip(one, other):
            np.testing.assert_array_equal(left, right)


def test_an_epoch(shapes):
    loader = make_loader(shapes)
    batches = list(loader)
    assert len(batches) == len(loader) == 4
    assert sorted(entry.image_id for batch in batches for entry in batch.samples) == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
    ]
    for batch in batches:
        count = (batch.labels.asnumpy() >= 0).sum(axis=1)
        truth = {entry.image_id: len(entry.boxes) for entry in shapes}
        assert count.tolist() == [truth[entry.image_id] for entry in batch.samples]


def test_threads_change_nothing(shapes):
    assert_equal(content(make_loader(shapes, workers=1)), content(make_loader(shapes, workers=4)))


def test_epochs_differ_and_repeat(shapes):
    loader = make_loader(shapes, batch_size=1, shuffle=False)
    first = content(loader)
    loader.set_epoch(1)
    second = content(loader)
    assert any(not np.array_equal(one[0], other[0]) for one, other in zip(first, second))
    loader.set_epoch(0)
    assert_equal(content(loader), first)


def test_resuming_gives_the_same_batches_without_decoding_the_rest(shapes):
    dataset = Counting(shapes)
    loader = make_loader(dataset)
    whole = content(loader)
    dataset.asked.clear()
    assert_equal(content(loader.iterate(start=2)), whole[2:])
    assert len(dataset.asked) == sum(len(names) for *_, names in whole[2:])
    assert list(loader.iterate(start=4)) == []


def test_an_image_that_is_repeated_is_changed_in_another_way_each_time(shapes):
    repeats = np.array([6.0, *[1.0] * (len(shapes) - 1)])

    def load(**flags):
        sampler = AspectGroupSampler(shapes.sizes(), 1, True, seed=0, **flags)
        transform = TrainTransform(Preprocess(short=tuple(range(40, 56)), max_size=100))
        loader = Loader(shapes, transform, sampler, (0, 0, 0), seed=0, train=True)
        return [(batch.samples[0].name, batch.images.asnumpy()) for batch in loader]

    repeated = load(repeats=repeats)
    first_name = shapes[0].name
    lengths = {images.shape[2] for name, images in repeated if name == first_name}
    assert [name for name, _ in repeated].count(first_name) == 6
    assert len(lengths) > 2  # of six draws from 16 lengths
    # The first occurrence, and every other image, is what it is without repetition.
    for name, images in load():
        others = [other for other_name, other in repeated if other_name == name]
        assert sum(np.array_equal(images, other) for other in others) >= 1


def test_looks_ahead_but_not_far(shapes):
    dataset = Counting(shapes)
    batches = iter(make_loader(dataset, batch_size=1, workers=1))
    next(batches)
    batches.close()
    assert len(dataset.asked) <= 3 and threading.active_count() < 20


def test_eval_transform_gets_no_generator(shapes):
    sampler = AspectGroupSampler(shapes.sizes(), 1, shuffle=False, seed=0)
    loader = Loader(shapes, EvalTransform(PREPROCESS), sampler, (0, 0, 0), 0, train=False)
    assert [batch.images.shape for batch in loader] == [(1, 3, 56, 75)] * 7


def test_masks_come_through(shapes_root, shapes):
    dataset = COCODataset(
        shapes_root / "annotations/instances_train.json", shapes_root / "train", masks=True
    )
    for batch in make_loader(dataset):
        boxes = batch.labels.asnumpy() >= 0
        assert batch.masks.shape[:2] == boxes.shape
        np.testing.assert_array_equal(batch.masks.asnumpy().mean(axis=(2, 3)) > 0.3, boxes)
    assert all(batch.masks is None for batch in make_loader(shapes))


def test_a_faulty_file_is_named(shapes_root, tmp_path):
    folder = shutil.copytree(shapes_root / "train", tmp_path / "train")
    dataset = COCODataset(shapes_root / "annotations/instances_train.json", folder)
    (folder / "000002.jpg").unlink()
    with pytest.raises(ValueError, match=r"000002.jpg: no such image file"):
        list(make_loader(dataset, batch_size=1, shuffle=False))


def test_errors_of_the_package_pass_through_as_they_are(shapes):
    error = InputError("read me")
    with pytest.raises(InputError) as caught:
        list(make_loader(Counting(shapes, fail_at=3, error=error)))
    assert caught.value is error


def test_any_other_error_names_the_image(shapes):
    dataset = Counting(shapes, fail_at=3, error=KeyError("x"))
    with pytest.raises(RuntimeError, match="image 3 of the data set: KeyError: 'x'"):
        list(make_loader(dataset))

    def transform(labeled, rng):
        raise ZeroDivisionError("division by zero")

    sampler = AspectGroupSampler(shapes.sizes(), 1, shuffle=False, seed=0)
    with pytest.raises(RuntimeError, match="000000.jpg: ZeroDivisionError: division by zero"):
        list(Loader(shapes, transform, sampler, (0, 0, 0), 0, train=True))


def test_needs_a_thread(shapes):
    with pytest.raises(InputError, match="workers is 0"):
        make_loader(shapes, workers=0)


def test_an_empty_share_gets_an_image_that_stands_in(shapes):
    last = len(shapes) - 1
    shares = [[last], []]
    loader = Loader(shapes, EvalTransform(PREPROCESS), shares, (0, 0, 0), seed=0, train=False)
    batch, stand_in = loader.iterate()
    assert [entry.name for entry in batch.samples] == [shapes[last].name]
    assert stand_in.images.shape[0] == 1 and stand_in.samples == []
