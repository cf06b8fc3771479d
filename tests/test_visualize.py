from pathlib import Path

from gluonnorm.class_colors import PALETTE, class_colors
from gluonnorm.errors import InputError
from gluonnorm.types import Detections
from gluonnorm.visualize import draw, grid, open_font

import matplotlib
import numpy as np
import pytest

CLASSES = ("cat", "dog")
CAT, DOG = class_colors(CLASSES)


def detections(*rows):
    """Rows of (x1, y1, x2, y2, score, id)."""
    array = np.array(rows, dtype=np.float32).reshape(-1, 6)
    return Detections(array[:, :4], array[:, 4], array[:, 5].astype(np.int32))


def gray(height=120, width=160):
    return np.full((height, width, 3), 90, dtype=np.uint8)


def test_box_edges_lie_on_the_first_and_last_pixel_of_the_box():
    image = gray()
    drawn = draw(image, detections([40, 50, 100, 90, 0.9, 1]), CLASSES)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    color = np.array(DOG)
    for y, x in ((50, 70), (89, 70), (70, 40), (70, 99)):
        np.testing.assert_array_equal(drawn[y, x], color)
    np.testing.assert_array_equal(drawn[51:89, 41:99], image[51:89, 41:99])  # the inside stays
    np.testing.assert_array_equal(
        drawn[90:], image[90:]
    )  # and so does what lies below and to the right
    np.testing.assert_array_equal(drawn[70, 100:], image[70, 100:])


def test_label_is_written_above_the_box_and_stays_in_the_picture():
    changed = (draw(gray(), detections([40, 50, 100, 90, 0.9, 1]), CLASSES) != gray()).any(axis=2)
    assert changed[30:50, 40:60].any() and not changed[:30].any()
    # At the top and at the right there is no room: the label moves inside.
    for box in ([100, 0, 160, 40], [150, 100, 160, 120]):
        drawn = draw(gray(), detections([*box, 0.9, 1]), CLASSES)
        label = (drawn == DOG).all(axis=2)
        assert label.sum() > 200


def test_text_grows_with_the_picture():
    def painted(scale):
        box = [scale * v for v in (40, 50, 100, 90)]
        image = gray(120 * scale, 160 * scale)
        changed = (draw(image, detections([*box, 0.9, 1]), CLASSES) != image).any(axis=2)
        return np.flatnonzero(
            changed[: 50 * scale].any(axis=1)
        ).size  # height of the label above the box

    assert painted(8) >= 2 * painted(1) >= 20


def test_below_threshold_nothing_is_drawn_and_the_input_is_never_changed():
    image = gray()
    drawn = draw(image, detections([40, 50, 100, 90, 0.49, 1]), CLASSES)
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image
    draw(image, detections([40, 50, 100, 90, 0.5, 1]), CLASSES)
    np.testing.assert_array_equal(image, gray())
    assert (draw(image, detections([40, 50, 100, 90, 0.5, 1]), CLASSES) != image).any()
    np.testing.assert_array_equal(draw(image, detections(), CLASSES), image)


def test_the_best_detection_lies_on_top():
    rows = [[40, 50, 100, 90, 0.9, 0], [40, 50, 100, 90, 0.6, 1]]
    for order in (rows, rows[::-1]):
        np.testing.assert_array_equal(draw(gray(), detections(*order), CLASSES)[89, 70], CAT)


def test_one_pixel_images_and_boxes():
    assert draw(gray(1, 1), detections([0, 0, 1, 1, 0.9, 0]), CLASSES).shape == (1, 1, 3)
    assert draw(gray(), detections([7, 70, 7, 70, 0.9, 0]), CLASSES).shape == (120, 160, 3)
    assert draw(gray(), detections([-50, -50, 500, 500, 0.9, 0]), CLASSES).shape == (120, 160, 3)


def masked(*rows, height=120, width=160):
    """Detections whose masks fill their boxes, of whole pixels."""
    found = detections(*rows)
    masks = np.zeros((len(found.ids), height, width), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, found.boxes.astype(int)):
        mask[y1:y2, x1:x2] = True
    return found._replace(masks=masks)


def test_a_mask_is_half_transparent_with_an_opaque_edge():
    found = masked([40, 50, 100, 90, 0.9, 1])
    found.masks[0, 60:70, 60:80] = False  # a hole
    drawn = draw(gray(), found, CLASSES, boxes=False)
    wanted = gray()
    wanted[50:90, 40:100] = DOG
    wanted[51:89, 41:99] = 45 + np.array(DOG) // 2
    wanted[59:71, 60:80] = wanted[60:70, 59:81] = DOG  # around the hole, without its corners
    wanted[60:70, 60:80] = 90
    np.testing.assert_array_equal(drawn, wanted)


def test_boxes_and_labels_lie_on_the_masks_and_edges_grow_with_the_picture():
    found = masked([40, 50, 100, 90, 0.9, 1])
    np.testing.assert_array_equal(
        (draw(gray(), found, CLASSES) != draw(gray(), found, CLASSES, boxes=False)).any(2),
        (draw(gray(), found._replace(masks=None), CLASSES) != gray()).any(2)
        & ~edge_of(found.masks[0]),
    )
    large = masked([100, 100, 900, 900, 0.9, 1], height=1000, width=1000)
    row = draw(gray(1000, 1000), large, CLASSES, boxes=False)[500]
    assert (row == DOG).all(axis=1).sum() == 8  # four pixels a side


def edge_of(mask):
    """Pixels of a rectangle that have a neighbor outside of it."""
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return mask & ~inner


def test_colors_by_instance():
    rows = [10, 50, 40, 90, 0.6, 1], [50, 50, 80, 90, 0.9, 1], [90, 50, 120, 90, 0.7, 1]
    by_class, by_instance = (
        draw(gray(), masked(*rows), CLASSES, boxes=False, color_by=way)
        for way in ("class", "instance")
    )
    assert {tuple(by_class[50, x]) for x in (25, 65, 105)} == {DOG}
    assert [tuple(by_instance[50, x]) for x in (25, 65, 105)] == list(PALETTE[:3])
    with pytest.raises(ValueError, match="color_by is 'score'; want one of class, instance"):
        draw(gray(), detections(), CLASSES, color_by="score")


def test_masks_below_the_threshold_empty_ones_and_none_at_all():
    found = masked([40, 50, 100, 90, 0.4, 1], [40, 50, 40, 50, 0.9, 0])
    np.testing.assert_array_equal(draw(gray(), found, CLASSES, boxes=False), gray())
    np.testing.assert_array_equal(draw(gray(), masked(), CLASSES), gray())


def test_the_best_mask_lies_on_top():
    rows = [[40, 50, 100, 90, 0.9, 0], [40, 50, 100, 90, 0.6, 1]]
    for order in (rows, rows[::-1]):
        drawn = draw(gray(), masked(*order), CLASSES, boxes=False)
        assert tuple(drawn[50, 70]) == CAT
        assert abs(drawn[70, 70].astype(int) - np.array(CAT) // 2).max() <= 90


def test_bad_masks_are_refused():
    found = masked([40, 50, 100, 90, 0.9, 1])
    for masks in (
        found.masks[:, 1:],
        found.masks[0],
        found.masks.astype(np.float32),
        found.masks[:0],
    ):
        with pytest.raises(ValueError, match=r"masks are .*want \(1, 120, 160\) of bool"):
            draw(gray(), found._replace(masks=masks), CLASSES)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        [[1, 2, 3]],
    ],
)
def test_bad_images_are_refused(image):
    with pytest.raises(ValueError, match=r"image is .*want \(H, W, 3\) of uint8"):
        draw(image, detections(), CLASSES)
    with pytest.raises(ValueError, match=r"image is .*want \(H, W, 3\) of uint8"):
        grid([image])


def test_bad_detections_are_refused():
    good = detections([0, 0, 9, 9, 0.9, 1])
    for bad in (
        good._replace(boxes=good.boxes[0]),
        good._replace(scores=good.scores[:0]),
        good._replace(ids=good.ids[None]),
    ):
        with pytest.raises(ValueError, match="detections have boxes"):
            draw(gray(), bad, CLASSES)
    for class_id in (2, -1):
        with pytest.raises(ValueError, match="2 class names"):
            draw(gray(), detections([0, 0, 9, 9, 0.9, class_id]), CLASSES)


def test_grid_places_images_row_by_row_with_white_gaps():
    images = [np.full((4, 6, 3), value, dtype=np.uint8) for value in (10, 20, 30)] + [
        np.zeros((2, 2, 3), np.uint8)
    ]
    page = grid(images, columns=2, gap=1)
    assert page.shape == (9, 13, 3) and page.dtype == np.uint8
    assert (page[:4, :6] == 10).all() and (page[:4, 7:] == 20).all() and (page[5:, :6] == 30).all()
    assert (page[4] == 255).all() and (page[:, 6] == 255).all()
    assert (page[6:8, 9:11] == 0).all() and (
        page[5:, 7:] == 0
    ).sum() == 2 * 2 * 3  # the small one is centered


def test_grid_is_about_square_and_refuses_nothing():
    assert grid([gray(4, 4)] * 5, gap=0).shape == (8, 12, 3)
    assert grid([gray(4, 4)], columns=7).shape == (4, 4, 3)
    with pytest.raises(ValueError, match="no images"):
        grid([])
    with pytest.raises(ValueError, match="columns=0"):
        grid([gray(4, 4)], columns=0)


DEJAVU = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def drawn_name(name, font=None):
    """The picture of one box whose class has this name, in the same color for every name."""
    found = detections([40, 150, 100, 190, 0.9, 0])
    return draw(gray(300, 900), found, [name], font=font, color_by="instance")


@pytest.mark.parametrize("name", ["猫", "قطة", "😀", "кот 猫", "line\nbreak", "\u200b", "🇩🇪"])
def test_characters_that_the_font_lacks_are_drawn_as_their_codes(name, recwarn):
    """Pillow's font has Latin letters; the picture equals that of the codes typed out."""
    codes = "".join(
        character if character.isascii() and character.isprintable() else escaped(character)
        for character in name
    )
    assert codes != name
    np.testing.assert_array_equal(drawn_name(name), drawn_name(codes))
    assert not recwarn.list


def escaped(character):
    number = ord(character)
    if character == "\n":
        return "\\n"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


@pytest.mark.parametrize("name", ["кот", "γάτα", "gät é", "قطة"])
def test_a_font_that_has_the_characters_draws_them(name, recwarn):
    with_font = drawn_name(name, DEJAVU)
    codes = "".join(map(escaped, name))
    # The label of the codes is more than twice as wide.
    assert (with_font != drawn_name(codes, DEJAVU)).any()
    assert 2 * label_width(with_font) < label_width(drawn_name(codes, DEJAVU))
    assert label_width(with_font) > label_width(drawn_name("", DEJAVU))
    np.testing.assert_array_equal(with_font, drawn_name(name, str(DEJAVU)))
    assert not recwarn.list


def label_width(picture):
    """Columns that are covered above the box."""
    return (picture[100:148] != gray(300, 900)[100:148]).any(axis=(0, 2)).sum()


def test_a_font_lacks_only_what_it_lacks():
    np.testing.assert_array_equal(drawn_name("кот 猫", DEJAVU), drawn_name("кот \\u732b", DEJAVU))


def test_a_file_that_is_no_font_is_an_error(tmp_path):
    (tmp_path / "a.ttf").write_text("no font")
    for path in (tmp_path / "a.ttf", tmp_path / "absent.ttf", tmp_path):
        with pytest.raises(InputError, match=f"font {path}: cannot be read .*; give a TrueType"):
            drawn_name("cat", path)
        with pytest.raises(InputError, match="give a TrueType"):
            open_font(path)


def crowd(count=40, pitch=12):
    """Boxes of both classes so close that each label would cover the next one; worst first."""
    rows = []
    for number in range(count):
        x, y = 20 + pitch * (number % 8), 30 + pitch * (number // 8)
        rows.append([x, y, x + 10, y + 10, 0.5 + 0.01 * number, number % 2])
    return detections(*rows)


def test_a_label_never_covers_the_label_of_a_better_detection():
    """With and without the worse detections, the pixels of the best one's label are the same."""
    found = crowd()
    drawn = draw(gray(), found, CLASSES)
    best_alone = draw(gray(), detections([*found.boxes[-1], found.scores[-1], 1]), CLASSES)
    x, y = found.boxes[-1, :2].astype(int)
    label = (best_alone[y - 11 : y] == DOG).all(axis=2) | (best_alone[y - 11 : y] == 0).all(axis=2)
    assert label.sum() > 200
    np.testing.assert_array_equal(drawn[y - 11 : y][label], best_alone[y - 11 : y][label])


def test_labels_that_have_room_are_all_drawn():
    rows = [10, 30, 40, 60, 0.6, 0], [90, 30, 120, 60, 0.9, 1], [10, 90, 40, 115, 0.7, 1]
    together = draw(gray(), detections(*rows), CLASSES)
    for row in rows:
        alone = (draw(gray(), detections(row), CLASSES) != gray()).any(axis=2)
        assert (together != gray()).any(axis=2)[alone].all()


def test_a_legend_counts_the_drawn_classes_below_the_photo():
    rows = [10, 50, 40, 90, 0.6, 1], [50, 50, 80, 90, 0.9, 1], [90, 50, 120, 90, 0.4, 0]
    plain = draw(gray(), detections(*rows), CLASSES)
    picture = draw(gray(), detections(*rows), CLASSES, legend=True)
    np.testing.assert_array_equal(picture[:120], plain)
    strip = picture[120:]
    assert strip.shape[1] == 160 and strip.dtype == np.uint8 and 10 < len(strip) < 40
    assert (strip == DOG).all(axis=2).sum() >= 8 * 8
    assert not (strip == CAT).all(axis=2).any()  # no cat is drawn
    assert (strip.max(axis=2) < 120).any()  # letters
    both = draw(gray(), detections(*rows), CLASSES, 0.4, legend=True)[120:]
    assert (both == CAT).all(axis=2).any()


def test_a_legend_wraps_and_leaves_out_squares_that_mean_nothing():
    names = [f"a long class name {number}" for number in range(6)]
    rows = [[10, 20 * n, 40, 20 * n + 9, 0.9, n] for n in range(6)]
    strip = draw(gray(), detections(*rows), names, legend=True)[120:]
    colors = class_colors(names)
    tops = [np.argwhere((strip == color).all(axis=2))[0, 0] for color in colors]
    assert tops == sorted(tops) and len(set(tops)) == 6  # only one fits into a row
    by_instance = draw(gray(), detections(*rows), names, legend=True, color_by="instance")[120:]
    assert (by_instance.max(axis=2) == by_instance.min(axis=2)).mean() == 1  # gray letters alone
    assert draw(gray(), detections(), CLASSES, legend=True).shape == gray().shape
    assert draw(gray(1, 1), detections([0, 0, 1, 1, 0.9, 0]), CLASSES, legend=True).shape[1] == 1
