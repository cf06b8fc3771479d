"""Random changes of photos: boxes and masks move as the pixels do, and colors follow formulas."""

from functools import partial

from gluonnorm.errors import InputError
from gluonnorm.photos.annotated import AnnotatedPhoto
from gluonnorm.photos.augment import AUGMENTS, apply_augments, make_augment
from gluonnorm.photos.color_jitter import ColorJitter, change_colors
from gluonnorm.photos.random_crop import CropWindow, RandomCrop, crop
from gluonnorm.photos.turns import QuarterTurn, VerticalFlip, flip_vertically, turn

import numpy as np
import pytest

HEIGHT, WIDTH = 11, 17
BOXES = [(2, 1, 7, 4), (0, 0, 17, 11), (10, 6, 11, 11), (3, 5, 9, 8)]


def photo_of(boxes=BOXES, dtype=np.uint8, crowd=None):
    """A photo of noise; the mask of each object is its box without the left upper corner pixel."""
    rng = np.random.default_rng(3)
    masks = np.zeros((len(boxes), HEIGHT, WIDTH), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[y1:y2, x1:x2] = True
        if (x2 - x1) * (y2 - y1) > 5:
            mask[y1, x1] = False
    return AnnotatedPhoto(
        rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(dtype),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.arange(len(boxes), dtype=np.int32),
        np.zeros(len(boxes), bool) if crowd is None else np.array(crowd),
        masks,
    )


def boxes_of(masks):
    """The smallest box around the pixels of each mask, (N, 4)."""
    boxes = []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return np.array(boxes, np.float32).reshape(-1, 4)


def full_masks(photo):
    """The photo with the complete boxes as masks."""
    masks = np.zeros_like(photo.masks)
    for mask, (x1, y1, x2, y2) in zip(masks, photo.boxes.astype(int)):
        mask[y1:y2, x1:x2] = True
    return photo._replace(masks=masks)


def assert_equal(one, other):
    for name in AnnotatedPhoto._fields:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("quarters", range(-1, 6))
def test_a_turned_photo_has_the_boxes_of_its_turned_masks(quarters):
    photo = full_masks(photo_of())
    turned = turn(photo, quarters)
    np.testing.assert_array_equal(turned.image, np.rot90(photo.image, quarters))
    np.testing.assert_array_equal(turned.boxes, boxes_of(turned.masks))
    for mask, turned_mask in zip(photo.masks, turned.masks):
        # Pixels of an object have the colors that they had.
        np.testing.assert_array_equal(
            np.sort(turned.image[turned_mask], axis=0), np.sort(photo.image[mask], axis=0)
        )
    assert_equal(turn(turned, -quarters), photo)


def test_a_flipped_photo_has_the_boxes_of_its_flipped_masks():
    photo = full_masks(photo_of())
    flipped = flip_vertically(photo)
    np.testing.assert_array_equal(flipped.image[0], photo.image[-1])
    np.testing.assert_array_equal(flipped.boxes, boxes_of(flipped.masks))
    assert flipped.boxes[0].tolist() == [2, HEIGHT - 4, 7, HEIGHT - 1]
    assert_equal(flip_vertically(flipped), photo)
    mirrored = flipped._replace(image=flipped.image[:, ::-1], masks=flipped.masks[:, :, ::-1])
    np.testing.assert_array_equal(turn(photo, 2).image, mirrored.image)
    np.testing.assert_array_equal(turn(photo, 2).masks, mirrored.masks)


def test_fractions_of_pixels_are_kept():
    photo = photo_of()._replace(boxes=np.float32([[0.25, 1.5, 3.75, 2.5]] * 4))
    assert flip_vertically(photo).boxes[0].tolist() == [0.25, 8.5, 3.75, 9.5]
    assert turn(photo, 1).boxes[0].tolist() == [1.5, 13.25, 2.5, 16.75]


def test_a_crop_cuts_boxes_to_what_is_left_of_their_masks():
    photo = photo_of()
    window = CropWindow(left=4, top=2, width=8, height=7)
    part = crop(photo, window, min_visible=0.1)
    np.testing.assert_array_equal(part.image, photo.image[2:9, 4:12])
    # The first keeps 3 x 2 of 5 x 3 pixels, the second 8 x 7 of 17 x 11, the third 1 x 3 of 1 x 5.
    assert part.labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(part.boxes, boxes_of(part.masks))
    np.testing.assert_array_equal(part.masks, photo.masks[:, 2:9, 4:12])
    assert crop(photo, window, 0.39).labels.tolist() == [0, 2, 3]
    assert crop(photo, window, 0.41).labels.tolist() == [2, 3]
    assert crop(photo, window, 0.84).labels.tolist() == []
    without_masks = crop(photo._replace(masks=None), window, 0.1)
    assert without_masks.masks is None
    np.testing.assert_array_equal(
        without_masks.boxes, [[0, 0, 3, 2], [0, 0, 8, 7], [6, 4, 7, 7], [0, 3, 5, 6]]
    )


def test_a_crop_without_cuts_leaves_boxes_alone():
    # The box is larger than its mask, as annotated boxes may be.
    photo = photo_of([(3, 3, 8, 7)])
    part = crop(photo._replace(boxes=np.float32([[2.5, 2.5, 8.5, 7.5]])), CropWindow(2, 2, 7, 7), 1)
    assert part.boxes.tolist() == [[0.5, 0.5, 6.5, 5.5]]


def test_a_cut_object_whose_mask_is_elsewhere_is_removed():
    photo = photo_of([(0, 0, 10, 10)])
    photo.masks[:, :, 5:] = False
    window = CropWindow(left=5, top=0, width=12, height=11)
    assert len(crop(photo, window, 0.2).labels) == 0
    assert len(crop(photo._replace(masks=None), window, 0.2).labels) == 1


def test_a_random_crop_keeps_an_object():
    augment = RandomCrop(min_scale=0.2, probability=1)
    photo = photo_of([(14, 8, 16, 10), (0, 0, 17, 11)], crowd=[False, True])
    sizes = set()
    for seed in range(200):
        part = augment(photo, np.random.default_rng(seed))
        assert (~part.crowd).any() and part.masks.shape == (len(part.labels), *part.image.shape[:2])
        sizes.add(part.image.shape[:2])
        assert part.image.shape[0] >= round(0.2 * HEIGHT)
        assert part.image.shape[1] >= round(0.2 * WIDTH)
    assert len(sizes) > 50
    empty = photo_of([])
    assert augment(empty, np.random.default_rng(0)).image.shape != empty.image.shape
    assert_equal(RandomCrop(probability=0)(photo, np.random.default_rng(0)), photo)


def test_a_random_crop_that_loses_no_object():
    photo = photo_of([(4, 3, 6, 5), (9, 6, 12, 8)])
    whole = RandomCrop(min_scale=0.3, min_visible=1, min_kept=1, probability=1, attempts=200)
    half = RandomCrop(min_scale=0.3, min_visible=1, min_kept=0.5, probability=1, attempts=200)
    kept = []
    for seed in range(100):
        part = whole(photo, np.random.default_rng(seed))
        assert part.labels.tolist() == [0, 1]
        np.testing.assert_array_equal(
            part.boxes[:, 2:] - part.boxes[:, :2], photo.boxes[:, 2:] - photo.boxes[:, :2]
        )
        kept.append(len(half(photo, np.random.default_rng(seed)).labels))
    assert set(kept) == {1, 2}


def slow_colors(image, brightness, contrast, saturation, hue):
    """One change after the other, a pixel at a time, in double precision and without rounding."""
    pixels = [pixel * brightness for pixel in image.reshape(-1, 3).astype(float)]
    mean_gray = np.mean([luma(pixel) for pixel in pixels])
    pixels = [mean_gray + contrast * (pixel - mean_gray) for pixel in pixels]
    pixels = [luma(pixel) + saturation * (pixel - luma(pixel)) for pixel in pixels]
    turned = []
    for pixel in pixels:
        gray = luma(pixel)
        red, blue = pixel[0] - gray, pixel[2] - gray
        color = complex(0.736 * red - 0.268 * blue, 0.478 * red + 0.413 * blue)
        color *= np.exp(2j * np.pi * hue)
        red, blue = np.linalg.solve([[0.736, -0.268], [0.478, 0.413]], [color.real, color.imag])
        # The luma stays, which gives the green.
        green = -(0.299 * red + 0.114 * blue) / 0.587
        turned.append(gray + np.array([red, green, blue]))
    return np.clip(np.array(turned).reshape(image.shape), 0, 255)


def luma(pixel):
    red, green, blue = pixel
    return 0.299 * red + 0.587 * green + 0.114 * blue


@pytest.mark.parametrize(
    "changes",
    [
        (1, 1, 1, 0),
        (1.3, 1, 1, 0),
        (1, 0.4, 1, 0),
        (1, 1, 1.7, 0),
        (1, 1, 1, 0.25),
        (0.8, 1.5, 0.6, -0.1),
    ],
)
def test_colors_equal_the_slow_formula(changes):
    image = photo_of().image
    wanted = slow_colors(image, *changes)
    found = change_colors(image, *changes)
    assert found.dtype == np.uint8 and np.abs(found - wanted).max() <= 0.501
    floats = change_colors(image.astype(np.float32), *changes)
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, wanted, atol=1e-3)


def test_gray_stays_gray_and_a_turn_of_the_circle_changes_nothing():
    gray = np.arange(256, dtype=np.uint8).reshape(1, -1, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(change_colors(gray, 1, 1, 1.9, 0.3), gray)
    image = photo_of().image
    np.testing.assert_array_equal(change_colors(image, 1, 1, 1, 1), image)
    without_color = change_colors(image, 1, 1, 0, 0)
    assert (without_color == without_color[:, :, :1]).all()


def test_color_jitter_draws_within_its_settings():
    image = np.full((1, 1, 3), 100, np.float32)
    photo = AnnotatedPhoto(image, np.zeros((0, 4), np.float32), np.int32([]), np.zeros(0, bool))
    augment = ColorJitter(brightness=0.2, contrast=0, saturation=0, hue=0, probability=1)
    levels = [augment(photo, np.random.default_rng(seed)).image[0, 0, 0] for seed in range(300)]
    assert 79.9 < min(levels) < 81 and 119 < max(levels) < 120.1
    half = ColorJitter(brightness=0.2, contrast=0, saturation=0, hue=0)
    changed = [
        half(photo, np.random.default_rng(seed)).image[0, 0, 0] != 100 for seed in range(300)
    ]
    assert 120 < sum(changed) < 180


@pytest.mark.parametrize("name", AUGMENTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_augment_follows_from_its_generator_and_leaves_its_photo_alone(name, dtype):
    photo = photo_of(dtype=dtype)
    before = AnnotatedPhoto(*map(np.copy, photo))
    augment = make_augment(name)
    images = set()
    for seed in range(30):
        one, other = (apply_augments(photo, [augment], np.random.default_rng(seed)) for _ in "ab")
        assert_equal(one, other)
        assert one.image.dtype == dtype
        images.add(one.image.tobytes())
    assert len(images) > 1
    assert_equal(photo, before)


def test_probabilities():
    photo = photo_of()
    for augment, share in ((VerticalFlip(0.3), 0.3), (QuarterTurn(), 0.75)):
        rng = np.random.default_rng(0)
        changed = [augment(photo, rng).image is not photo.image for _ in range(1000)]
        assert abs(np.mean(changed) - share) < 0.05
    rng = np.random.default_rng(0)
    shapes = [QuarterTurn(probability=1)(photo, rng).image.shape for _ in range(900)]
    assert abs(shapes.count((WIDTH, HEIGHT, 3)) - 600) < 60


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("vertical_flips", {}, "no change of photos is called 'vertical_flips'; .*vertical_flip?"),
        ("quarter_turn", {"propability": 1}, "has no setting 'propability'.*mean probability"),
        ("vertical_flip", {"probability": 1.5}, "probability is 1.5; want a number from 0 to 1"),
        ("vertical_flip", {"probability": "no"}, "probability is 'no'"),
        ("vertical_flip", {"probability": True}, "probability is True"),
        ("color_jitter", {"hue": 0.6}, "hue is 0.6; want a share of a full turn"),
        ("color_jitter", {"contrast": -1}, "contrast is -1"),
        ("random_crop", {"min_scale": 0}, "min_scale and min_visible must be more than 0"),
        ("random_crop", {"attempts": 0}, "attempts is 0"),
        ("random_crop", {"attempts": 2.5}, "attempts is 2.5; want an integer of at least 1"),
        ("random_crop", {"attempts": "x"}, "attempts is 'x'; want an integer"),
        ("color_jitter", {"hue": None}, "hue is None; want a number from 0 to 1"),
    ],
)
def test_wrong_settings(name, settings, message):
    with pytest.raises(InputError, match=message):
        make_augment(name, **settings)


def test_numbers_of_numpy_are_numbers():
    assert make_augment("vertical_flip", probability=np.float32(0.25)).probability == 0.25


def changed_by(photo, rng, **fields):
    return photo._replace(**fields)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"image": np.zeros((5, 5), np.uint8)}, r"an image of shape \(5, 5\) and type uint8"),
        ({"boxes": np.zeros((3, 4), np.float32)}, r"boxes of shape \(3, 4\).*want \(4, 4\), fl"),
        ({"boxes": np.zeros((4, 4), int)}, "boxes of shape .* int64"),
        ({"boxes": np.full((4, 4), np.nan)}, r"the box \[nan, .* 17 x 11 pixels; cut boxes with"),
        ({"boxes": np.float32([[0, 0, 17.1, 3]] * 4)}, "the box .* for a photo of 17 x 11"),
        ({"masks": np.zeros((4, 5, 5), bool)}, r"masks of shape \(4, 5, 5\)"),
        ({"image": np.zeros((5, 5, 3), np.uint8)}, r"masks of shape \(4, 11, 17\)"),
    ],
)
def test_what_a_function_of_the_user_returns_is_checked(fields, message):
    augment = partial(changed_by, **fields)
    with pytest.raises(InputError, match=f"changed_by: it returned {message}"):
        apply_augments(photo_of(), [augment], np.random.default_rng(0))
    with pytest.raises(InputError, match="it returned ndarray; want photo._replace"):
        apply_augments(photo_of(), [lambda photo, rng: photo.image], np.random.default_rng(0))
