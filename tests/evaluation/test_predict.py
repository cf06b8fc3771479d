from typing import NamedTuple, Tuple

from gluonnorm.data import EvalTransform, LabeledImage, batchify
from gluonnorm.evaluation import coco_results, predict
from gluonnorm.types import Preprocess

import mxnet as mx
import numpy as np
import pytest


class Sample(NamedTuple):
    scale: np.ndarray
    size: Tuple[int, int]
    image_id: int
    name: str = "photo.jpg"


class Batch(NamedTuple):
    images: mx.nd.NDArray
    samples: list


def sample(image_id, scale=(1.0, 1.0), size=(100, 200)):
    return Sample(np.array(scale, dtype=np.float32), size, image_id)


class FakeNet:
    """Returns D rows (id, score, x1, y1, x2, y2) that depend on the image's first pixel."""

    def __init__(self, rows_by_pixel, depth=3):
        self.rows_by_pixel, self.depth, self.batches = rows_by_pixel, depth, []

    def __call__(self, images):
        self.batches.append(images)
        out = -np.ones((len(images), self.depth, 6), dtype=np.float32)
        for i, pixel in enumerate(images[:, 0, 0, 0].asnumpy()):
            rows = self.rows_by_pixel[int(pixel)]
            out[i, : len(rows)] = rows if rows else out[i, :0]
        return mx.nd.array(out[:, :, :1]), mx.nd.array(out[:, :, 1:2]), mx.nd.array(out[:, :, 2:])


def images(*pixels):
    array = np.zeros((len(pixels), 3, 4, 4), dtype=np.float32)
    array[:, 0, 0, 0] = pixels
    return mx.nd.array(array)


def test_boxes_return_to_the_photo_and_padding_goes():
    net = FakeNet({7: [[2, 0.9, 10, 20, 50, 60], [0, 0.4, 0, 0, 8, 8]]})
    ((image_id, found),) = predict(net, [Batch(images(7), [sample(31, scale=(2.0, 4.0))])])
    assert image_id == 31
    np.testing.assert_array_equal(found.boxes, [[5, 5, 25, 15], [0, 0, 4, 2]])
    np.testing.assert_allclose(found.scores, [0.9, 0.4], rtol=1e-6)
    np.testing.assert_array_equal(found.ids, [2, 0])
    assert (found.boxes.dtype, found.scores.dtype, found.ids.dtype) == (
        np.float32,
        np.float32,
        np.int32,
    )


def test_boxes_are_clipped_to_height_and_width_and_those_in_the_padding_dropped():
    net = FakeNet(
        {1: [[0, 0.9, -5, -6, 500, 600], [1, 0.8, 210, 10, 230, 20], [2, 0.7, 10, 100, 20, 120]]}
    )
    ((_, found),) = predict(net, [Batch(images(1), [sample(1, size=(100, 200))])])
    np.testing.assert_array_equal(found.boxes, [[0, 0, 200, 100]])
    np.testing.assert_array_equal(found.ids, [0])


def test_an_image_without_detections_is_reported_with_none():
    net = FakeNet({0: [], 1: [[0, 0.5, 1, 1, 2, 2]]})
    pairs = list(predict(net, [Batch(images(0, 1), [sample(4), sample(5)])]))
    assert [image_id for image_id, _ in pairs] == [4, 5]
    assert (
        pairs[0][1].boxes.shape == (0, 4)
        and pairs[0][1].scores.shape == (0,)
        and pairs[0][1].ids.shape == (0,)
    )
    assert len(pairs[1][1].ids) == 1


@pytest.mark.parametrize("contexts, parts", [(1, [3]), (2, [1, 2]), (5, [1, 1, 1])])
def test_order_is_kept_when_a_batch_is_split_over_contexts(contexts, parts):
    net = FakeNet({i: [[i, 0.5, i, 0, i + 1, 1]] for i in range(3)})
    pairs = list(
        predict(
            net,
            [Batch(images(0, 1, 2), [sample(10), sample(11), sample(12)])],
            ctx=[mx.cpu(i) for i in range(contexts)],
        )
    )
    assert [
        (image_id, int(found.ids[0]), float(found.boxes[0, 0])) for image_id, found in pairs
    ] == [(10, 0, 0.0), (11, 1, 1.0), (12, 2, 2.0)]
    assert sorted(len(batch) for batch in net.batches) == sorted(parts)
    assert len({batch.context for batch in net.batches}) == len(parts)


class FakeMaskNet(FakeNet):
    """Gives masks too: row i is full in its first i + 1 columns of four."""

    def __call__(self, images):
        columns = np.arange(4) <= np.arange(self.depth)[:, None]
        masks = np.broadcast_to(columns[None, :, None], (len(images), self.depth, 4, 4))
        return (*super().__call__(images), mx.nd.array(masks.astype(np.float32)))


MASKED = {
    0: [[1, 0.9, 210, 10, 230, 20], [0, 0.8, 20, 40, 60, 80]],
    1: [],
}  # the first lies in the padding


@pytest.mark.parametrize("contexts", [1, 2])
def test_masks_are_pasted_into_the_photo(contexts):
    samples = [sample(1, scale=(2.0, 4.0), size=(25, 50)), sample(2, size=(7, 9))]
    pairs = list(
        predict(
            FakeMaskNet(MASKED),
            [Batch(images(0, 1), samples)],
            [mx.cpu(i) for i in range(contexts)],
        )
    )
    found, none = (detections for _, detections in pairs)
    np.testing.assert_array_equal(found.boxes, [[10, 10, 30, 20]])
    wanted = np.zeros((1, 25, 50), bool)
    wanted[0, 10:20, 10:20] = True  # the left half of the box of row 1
    wanted[0, [10, 10, 19, 19], [10, 19, 10, 19]] = False  # interpolation rounds corners
    np.testing.assert_array_equal(found.masks, wanted)
    assert none.masks.shape == (0, 7, 9) and none.masks.dtype == bool


def test_how_masks_are_pasted_can_be_chosen():
    batch = Batch(images(0), [sample(1, scale=(2.0, 4.0), size=(25, 50))])
    (_, sampled), (_, expanded) = (
        next(predict(FakeMaskNet(MASKED), [batch], mask_paste=way)) for way in ("sample", "expand")
    )
    assert 0 < (sampled.masks != expanded.masks).sum() < 60
    ((_, without),) = predict(FakeMaskNet(MASKED), [batch], mask_paste=None)
    assert without.masks is None and len(without.ids) == 1


def test_a_network_without_masks_gives_none():
    ((_, found),) = predict(FakeNet({1: [[0, 0.5, 1, 1, 2, 2]]}), [Batch(images(1), [sample(1)])])
    assert found.masks is None


def test_no_batches_give_no_detections():
    assert list(predict(FakeNet({}), [])) == []


@pytest.mark.parametrize("inclusive", [False, True])
def test_ground_truth_that_comes_back_as_detections_is_itself(inclusive):
    """What a perfect network learns from a sample becomes the annotation's own box again."""
    boxes = np.float32([[3, 5, 10, 12], [20, 0, 41, 23]])
    image = np.zeros((23, 41, 3), np.uint8)
    labeled = LabeledImage(image, boxes, np.int32([2, 0]), np.zeros(2, bool), 31, "a.png")
    preprocess = Preprocess(short=(37,), max_size=200, inclusive=inclusive)
    batch = batchify([EvalTransform(preprocess)(labeled)], (0, 0, 0))
    learned = batch.boxes.asnumpy()[0].tolist()
    net = FakeNet({0: [[2, 0.9, *learned[0]], [0, 0.8, *learned[1]]]})
    (pair,) = predict(net, [batch._replace(images=images(0))])
    assert pair[1].inclusive is inclusive
    results = coco_results([pair], category_ids=(1, 2, 3))
    np.testing.assert_allclose(results[0]["bbox"], [3, 5, 7, 7], atol=1e-4)
    np.testing.assert_allclose(results[1]["bbox"], [20, 0, 21, 23], atol=1e-4)
