"""Detections of an evaluation depend neither on the size of its batches nor on the devices."""

import importlib

from gluonnorm.data import EqualSizeSampler, LabeledImage
from gluonnorm.errors import InputError
from gluonnorm.evaluation import predict
from gluonnorm.photos.prepare import resized_size

import mxnet as mx
import numpy as np
import pytest
from in_process import SCRIPTS
from tiny_detector import tiny_detector

SETTINGS = {"short": 64, "max_size": 96, "score_thresh": 0.0}
# Equal ones are apart; (50, 77) and (100, 154) have one size after resizing.
SIZES = [(50, 77), (64, 96), (90, 41), (100, 154), (64, 96), (48, 36), (50, 77), (90, 41), (50, 77)]


class PhotosWithoutBoxes:
    """A data set of random photos of ``SIZES``, as far as a loader asks."""

    def __len__(self):
        return len(SIZES)

    def sizes(self):
        return np.array(SIZES)

    def __getitem__(self, index):
        height, width = SIZES[index]
        blocks = np.random.default_rng(index).integers(0, 256, (26, 26, 3), dtype=np.uint8)
        image = blocks.repeat(6, axis=0).repeat(6, axis=1)[:height, :width]
        none = np.zeros(0)
        boxes = np.zeros((0, 4), np.float32)
        return LabeledImage(image, boxes, none.astype(int), none.astype(bool), index, "photo")


@pytest.fixture(scope="module")
def evaluation_loader():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield importlib.import_module("_data").evaluation_loader


@pytest.mark.parametrize("kind", ["fpn", "c4", "mask_fpn"])
def test_batch_size_and_devices_do_not_change_detections(kind, evaluation_loader):
    net = tiny_detector(kind, **SETTINGS)
    contexts = [mx.cpu(0), mx.cpu(1)]
    net.collect_params().reset_ctx(contexts)
    dataset = PhotosWithoutBoxes()
    runs = []
    for batch_size, devices in ((1, 1), (2, 1), (4, 1), (1, 2), (2, 2), (3, 2)):
        loader = evaluation_loader(dataset, net.preprocess, batch_size, threads=2)
        mask_paste = "sample" if net.has_masks else None
        runs.append(dict(predict(net, loader, contexts[:devices], mask_paste)))
    alone = runs[0]
    assert sorted(alone) == list(range(len(SIZES)))
    assert min(len(detections.ids) for detections in alone.values()) > 3
    for run in runs[1:]:
        assert sorted(run) == sorted(alone)
        for image_id, detections in alone.items():
            np.testing.assert_array_equal(run[image_id].ids, detections.ids)
            np.testing.assert_allclose(run[image_id].scores, detections.scores, atol=1e-5)
            np.testing.assert_allclose(run[image_id].boxes, detections.boxes, atol=2e-3)
            if net.has_masks:
                assert (run[image_id].masks != detections.masks).mean() < 1e-3


@pytest.mark.parametrize("rounding", ["nearest", "even", "floor"])
def test_images_of_one_size_share_batches_and_no_others(rounding, evaluation_loader):
    preprocess = tiny_detector("c4", **SETTINGS, rounding=rounding).preprocess
    dataset = PhotosWithoutBoxes()
    loader = evaluation_loader(dataset, preprocess, 3, threads=1)
    sizes = [resized_size(*size, preprocess) for size in SIZES]
    full_batches = 0
    for batch in loader:
        expected = {sizes[sample.image_id] for sample in batch.samples}
        assert expected == {batch.images.shape[2:]}
        full_batches += len(batch.samples) == 3
    assert len(loader) == 5 and full_batches == 1


def test_equal_sizes_are_grouped_whatever_their_order():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 4, (200, 2))
    batches = list(EqualSizeSampler(sizes, batch_size=7))
    assert sorted(index for batch in batches for index in batch) == list(range(200))
    counts = np.unique(sizes, axis=0, return_counts=True)[1]
    assert len(batches) == sum(-(-counts // 7))  # no batch more than the sizes need
    for batch in batches:
        assert len(np.unique(sizes[batch], axis=0)) == 1


def test_no_images_and_no_batch_size():
    assert list(EqualSizeSampler(np.zeros((0, 2)), batch_size=2)) == []
    with pytest.raises(InputError, match="batch_size is 0; want at least 1"):
        EqualSizeSampler([(2, 3)], batch_size=0)
