from dataclasses import replace

from gluonnorm.data import (
    MASK_SIZE,
    DataError,
    EvalTransform,
    LabeledImage,
    TrainTransform,
    resize_size,
)
from gluonnorm.errors import InputError
from gluonnorm.photos.annotated import AnnotatedPhoto
from gluonnorm.photos.boxes import flip_boxes
from gluonnorm.photos.turns import VerticalFlip, flip_vertically, turn
from gluonnorm.types import Preprocess

import numpy as np
import pytest
from reference.resizing import bilinear

RAW = Preprocess(short=(24,), max_size=100, normalize=False)


def labeled_image_of(image, boxes=(), labels=(), crowd=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    crowd = np.zeros(len(boxes), bool) if crowd is None else np.array(crowd)
    return LabeledImage(image, boxes, np.array(labels, np.int32), crowd, 5, "a.jpg")


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(16, 20), (31, 24), (48, 70)])
def test_resizing_is_bilinear(size):
    image = noise(*size)
    sample = EvalTransform(RAW)(labeled_image_of(image))
    wanted = bilinear(image, *resize_size(*size, 24, 100))
    assert sample.image.dtype == np.float32 and sample.image.flags.c_contiguous
    assert np.abs(sample.image.transpose(1, 2, 0) - wanted).max() < 1  # 8-bit arithmetic


def test_normalize_and_raw():
    image = noise(24, 30)
    normalized = Preprocess(short=(24,), max_size=100, mean=(10, 20, 30), std=(2, 4, 5))
    np.testing.assert_array_equal(
        EvalTransform(RAW)(labeled_image_of(image)).image, image.transpose(2, 0, 1)
    )
    np.testing.assert_allclose(
        EvalTransform(normalized)(labeled_image_of(image)).image,
        ((image - np.array([10.0, 20, 30])) / [2, 4, 5]).transpose(2, 0, 1),
        rtol=1e-6,
    )


def test_boxes_scale_by_axis_and_metadata_stays():
    sample = EvalTransform(Preprocess(short=(25,), max_size=100))(
        labeled_image_of(noise(10, 33), [[1, 2, 30, 9]], [4])
    )
    assert sample.image.shape == (3, 25, 83)  # 82.5 rounded up
    np.testing.assert_allclose(sample.scale, [83 / 33, 2.5], rtol=1e-6)
    np.testing.assert_allclose(sample.boxes, [[83 / 33, 5, 30 * 83 / 33, 22.5]], rtol=1e-6)
    assert sample.size.tolist() == [10, 33] and (sample.image_id, sample.name) == (5, "a.jpg")
    assert sample.labels.tolist() == [4] and sample.boxes.dtype == np.float32


def test_flip_moves_pixels_and_boxes_together():
    image = np.zeros((24, 40, 3), np.uint8)
    image[5:12, 3:10] = 255
    sample = TrainTransform(RAW, flip=1)(
        labeled_image_of(image, [[3, 5, 10, 12]], [0]), np.random.default_rng(0)
    )
    rows, columns = np.nonzero(sample.image[0])
    assert sample.boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    assert sample.boxes[0, 0] == 30


def test_crowd_and_empty_boxes_are_left_out():
    labeled = labeled_image_of(
        noise(24, 30), [[1, 1, 5, 5], [2, 2, 9, 9], [3, 3, 3, 9]], [0, 1, 2], [True, False, False]
    )
    for sample in (
        EvalTransform(RAW)(labeled),
        TrainTransform(RAW)(labeled, np.random.default_rng(0)),
    ):
        assert sample.labels.tolist() == [1] and sample.boxes.shape == (1, 4)


def test_no_boxes_and_one_pixel():
    sample = TrainTransform(RAW, flip=1)(labeled_image_of(noise(1, 1)), np.random.default_rng(0))
    assert (
        sample.image.shape == (3, 24, 24)
        and sample.boxes.shape == (0, 4)
        and sample.labels.shape == (0,)
    )


def test_train_draws_every_length_and_flips_as_often_as_told():
    transform = TrainTransform(
        Preprocess(short=(8, 12, 16), max_size=100, normalize=False), flip=0.25
    )
    labeled = labeled_image_of(noise(8, 10), [[0, 0, 2, 8]], [0])
    rng = np.random.default_rng(0)
    samples = [transform(labeled, rng) for _ in range(400)]
    assert {sample.image.shape[1] for sample in samples} == {8, 12, 16}
    assert 70 < sum(sample.boxes[0, 0] > 0 for sample in samples) < 130
    assert EvalTransform(Preprocess(short=(8, 12, 16), max_size=100))(labeled).image.shape[1] == 16


def test_the_generator_decides():
    transform = TrainTransform(Preprocess(short=tuple(range(8, 30)), max_size=100))
    labeled = labeled_image_of(noise(8, 10), [[0, 0, 2, 8]], [0])
    first, again = (transform(labeled, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.boxes, again.boxes)


def test_flip_must_be_a_probability():
    with pytest.raises(InputError, match="flip is 2"):
        TrainTransform(RAW, flip=2)


def test_an_image_that_is_no_photo_is_named():
    labeled = labeled_image_of(noise(24, 30).astype(np.int32))
    with pytest.raises(DataError, match="^a.jpg: image is of int32"):
        EvalTransform(RAW)(labeled)


def masked_image():
    """Make an image of three boxes: a normal one, a crowd, and one without an area.

    The first mask is the left half of its box.
    """
    masks = np.zeros((3, 24, 40), bool)
    masks[0, 4:20, 10:20] = masks[1:] = True
    return labeled_image_of(
        noise(24, 40),
        [[10, 4, 30, 20], [2, 2, 9, 9], [3, 3, 3, 9]],
        [0, 1, 2],
        [False, True, False],
    )._replace(masks=masks)


@pytest.mark.parametrize("short", [12, 24, 50])
def test_masks_are_cut_to_their_boxes_whatever_the_size(short):
    sample = EvalTransform(Preprocess(short=(short,), max_size=100))(masked_image())
    assert sample.masks.shape == (1, MASK_SIZE, MASK_SIZE) and sample.masks.dtype == np.float32
    inside = sample.masks[0, 4:-4] > 0.5  # corners are round, as bilinear interpolation has it
    assert inside[:, : MASK_SIZE // 2].all() and not inside[:, MASK_SIZE // 2 :].any()


def test_masks_are_mirrored_with_the_image():
    labeled = masked_image()
    plain, mirrored = (
        TrainTransform(RAW, flip=flip)(labeled, np.random.default_rng(0)).masks for flip in (0, 1)
    )
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])
    assert (
        mirrored[0, :, :50].max() < 0.5 < mirrored[0, 4:-4, 60:].min()
        and mirrored.flags.c_contiguous
    )


def test_no_masks_and_none_left():
    labeled = masked_image()
    assert EvalTransform(RAW)(labeled._replace(masks=None)).masks is None
    none = labeled._replace(crowd=np.ones(3, bool))
    assert EvalTransform(RAW)(none).masks.shape == (0, MASK_SIZE, MASK_SIZE)


INCLUSIVE = Preprocess(short=(48,), max_size=200, inclusive=True)
BOXES = np.float32([[3, 5, 10, 12], [20, 0, 40, 24], [7, 7, 8, 20], [0, 4, 30, 4.5]])


def labeled_boxes(masks=None):
    """An image of 24 x 40 pixels; the last two boxes are a pixel wide and half a pixel high."""
    return labeled_image_of(noise(24, 40), BOXES, [0, 1, 2, 3])._replace(masks=masks)


def test_inclusive_boxes_end_at_their_last_pixel_before_the_resizing():
    """Detectron reads x + width - 1, scales that, and drops boxes of one pixel."""
    sample = EvalTransform(INCLUSIVE)(labeled_boxes())
    expected = [[2 * 3, 2 * 5, 2 * 9, 2 * 11], [2 * 20, 0, 2 * 39, 2 * 23]]
    np.testing.assert_allclose(sample.boxes, expected, rtol=1e-6)
    assert sample.labels.tolist() == [0, 1]
    assert sample.inclusive and not EvalTransform(RAW)(labeled_boxes()).inclusive


def test_a_mirrored_inclusive_box_covers_the_mirrored_pixels():
    sample = TrainTransform(INCLUSIVE, flip=1)(labeled_boxes(), np.random.default_rng(0))
    # Of 40 columns, 3 .. 9 become 30 .. 36, and 20 .. 39 become 0 .. 19; the scale is 2.
    expected = [[2 * 30, 2 * 5, 2 * 36, 2 * 11], [0, 0, 2 * 19, 2 * 23]]
    np.testing.assert_allclose(sample.boxes, expected, rtol=1e-6)


def test_masks_are_cropped_to_the_inclusive_box():
    masks = np.zeros((4, 24, 40), bool)
    masks[1, :, 20:30] = True  # of the columns 20 .. 39
    sample = EvalTransform(INCLUSIVE)(labeled_boxes(masks))
    # The crop spans 19 pixels, of which the mask covers 10.
    assert sample.masks[1].mean() == pytest.approx(10 / 19, abs=0.01)


def mark_corner(photo, rng, value=9):
    """An augment of a user: it paints the first pixel, and makes the box one pixel."""
    photo.image[0, 0] = value
    photo.boxes[:] = [0, 0, 1, 1]
    return photo


def test_augments_change_the_photo_before_it_is_resized():
    labeled = labeled_image_of(noise(12, 20), [[4, 2, 14, 9]], [3])
    turned = labeled._replace(image=np.rot90(labeled.image, 2), boxes=np.float32([[6, 3, 16, 10]]))
    transform = TrainTransform(RAW, flip=0, augments=[VerticalFlip(1), mirror])
    found = transform(labeled, np.random.default_rng(0))
    wanted = TrainTransform(RAW, flip=0)(turned, np.random.default_rng(0))
    np.testing.assert_array_equal(found.image, wanted.image)
    np.testing.assert_array_equal(found.boxes, wanted.boxes)
    assert found.labels.tolist() == [3] and found.name == "a.jpg"
    painted = TrainTransform(RAW, flip=0, augments=[mark_corner])(labeled, np.random.default_rng(0))
    assert painted.image[:, 0, 0].tolist() == [9, 9, 9] and painted.boxes.tolist() == [[0, 0, 2, 2]]
    # It wrote into its own copy.
    np.testing.assert_array_equal(labeled.image, noise(12, 20))
    assert labeled.boxes.tolist() == [[4, 2, 14, 9]]


def mirror(photo, rng):
    boxes = flip_boxes(photo.boxes, photo.image.shape[1])
    return photo._replace(image=photo.image[:, ::-1], boxes=boxes)


def test_without_augments_the_same_numbers_are_drawn_as_before():
    labeled = labeled_image_of(noise(12, 20), [[4, 2, 14, 9]], [3])
    sizes = Preprocess(short=(24, 30, 36), max_size=100)
    for seed in range(20):
        plain, jittered = (
            TrainTransform(sizes, augments=augments)(labeled, np.random.default_rng(seed))
            for augments in ([], [VerticalFlip(0)])
        )
        np.testing.assert_array_equal(plain.image, jittered.image)
        np.testing.assert_array_equal(plain.boxes, jittered.boxes)


def test_an_augment_that_returns_rubbish_is_named_with_the_image():
    transform = TrainTransform(RAW, augments=[lambda photo, rng: None])
    with pytest.raises(InputError, match="a.jpg: <lambda>: it returned NoneType"):
        transform(labeled_image_of(noise(12, 20)), np.random.default_rng(0))


def square_masks(labeled):
    """The image with masks: the upper half of each box, which no flip leaves alone."""
    masks = np.zeros((len(labeled.boxes), *labeled.image.shape[:2]), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, labeled.boxes.astype(int)):
        mask[y1 : (y1 + y2) // 2, x1:x2] = True
    return labeled._replace(masks=masks)


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize(
    "augment", [flip_vertically, lambda photo: turn(photo, 1), lambda photo: turn(photo, 3)]
)
def test_masks_of_a_changed_photo_are_those_of_a_photo_that_was_so_before(augment, inclusive):
    preprocess = replace(RAW, inclusive=inclusive)
    labeled = square_masks(
        labeled_image_of(noise(30, 40), [[4, 2, 14, 12], [20, 5, 31, 28]], [3, 1])
    )
    changed = augment(AnnotatedPhoto(*labeled[:4], labeled.masks))
    copied = labeled._replace(
        image=changed.image.copy(), boxes=changed.boxes.copy(), masks=changed.masks.copy()
    )
    transform = TrainTransform(preprocess, augments=[lambda photo, rng: augment(photo)])
    for seed in range(4):  # with and without the mirror of the transform itself
        found = transform(labeled, np.random.default_rng(seed))
        wanted = TrainTransform(preprocess)(copied, np.random.default_rng(seed))
        for name in ("image", "boxes", "labels", "masks"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert found.masks.shape == (2, MASK_SIZE, MASK_SIZE)
    if not inclusive:  # such boxes end a pixel earlier
        # The mask covers half of its box, whichever way the photo is turned.
        np.testing.assert_allclose(found.masks.mean(axis=(1, 2)), 0.5, atol=0.06)
