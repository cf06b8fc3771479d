"""Unusual image files: against OpenCV, and against what was written into them."""

import io
import struct

from gluonnorm.photos.files import IMAGE_SUFFIXES, ImageError, image_files, image_size, read_image
from gluonnorm.photos.prepare import check_image

import cv2
import numpy as np
import pytest
from PIL import Image

WIDE = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_a_channel(tmp_path, ending):
    color, gray, alpha = (str(tmp_path / f"{name}.{ending}") for name in ("color", "gray", "alpha"))
    cv2.imwrite(color, WIDE[:, :, ::-1])
    cv2.imwrite(gray, WIDE[:, :, 0])
    cv2.imwrite(alpha, np.dstack([WIDE[:, :, ::-1], WIDE[:, :, 1]]))
    for path in (color, alpha):
        np.testing.assert_array_equal(read_image(path), WIDE >> 8)
        assert image_size(path) == (5, 7)
    found = read_image(gray)
    assert (
        found.dtype == np.uint8 and np.abs(found - WIDE[:, :, :1] / 257).max() < 1
    )  # 0 and 65535 are 0 and 255
    assert (found == found[:, :, :1]).all()
    np.testing.assert_allclose(found, cv2.imread(gray), rtol=0, atol=1)


def test_16_bit_gray_in_the_other_order_of_bytes(tmp_path):
    Image.fromarray(WIDE[:, :, 0].astype(">u2")).save(tmp_path / "a.tif")
    assert Image.open(tmp_path / "a.tif").mode == "I;16B"
    assert np.abs(read_image(tmp_path / "a.tif") - WIDE[:, :, :1] / 257).max() < 1


def cmyk_file(path):
    """Cyan above; below it black on the left, and a mixture on the right."""
    inks = np.zeros((32, 32, 4), np.uint8)
    inks[:16], inks[16:, :16], inks[16:, 16:] = (255, 0, 0, 0), (0, 0, 0, 255), (0, 128, 255, 64)
    Image.fromarray(inks, "CMYK").save(path, quality=100)
    mixed = [round((255 - ink) * (255 - 64) / 255) for ink in (0, 128, 255)]
    return {(8, 8): (0, 255, 255), (24, 8): (0, 0, 0), (24, 24): mixed}


def test_cmyk_jpeg_is_stored_inverted(tmp_path):
    path = tmp_path / "a.jpg"
    wanted = cmyk_file(path)
    content = path.read_bytes()
    assert b"Adobe" in content and Image.open(path).mode == "CMYK"
    marker = content.index(
        b"\xff\xee"
    )  # Adobe's segment, without which files are inverted all the same
    (length,) = struct.unpack(">H", content[marker + 2 : marker + 4])
    (tmp_path / "b.jpg").write_bytes(content[:marker] + content[marker + 2 + length :])
    for file in (path, tmp_path / "b.jpg"):
        found = read_image(file)
        np.testing.assert_allclose(found, cv2.imread(str(file))[:, :, ::-1], rtol=0, atol=3)
        for place, color in wanted.items():
            np.testing.assert_allclose(found[place], color, rtol=0, atol=2)


def test_cmyk_tiff_is_not_inverted(tmp_path):
    wanted = cmyk_file(tmp_path / "a.tif")
    found = read_image(tmp_path / "a.tif")
    for place, color in wanted.items():
        np.testing.assert_allclose(found[place], color, rtol=0, atol=1)


@pytest.mark.parametrize(
    "name, options", [("a.gif", {}), ("a.png", {}), ("a.webp", {"lossless": True}), ("a.tif", {})]
)
def test_of_an_animation_the_first_frame(tmp_path, name, options):
    first, *others = (Image.new("RGB", (8, 6), color) for color in (RED, GREEN, BLUE))
    first.save(tmp_path / name, save_all=True, append_images=others, **options)
    assert Image.open(tmp_path / name).n_frames == 3
    found = read_image(tmp_path / name)
    assert (
        found.shape == (6, 8, 3) and (found == RED).all() and image_size(tmp_path / name) == (6, 8)
    )


@pytest.mark.parametrize(
    "name, options",
    [
        ("a.png", {}),
        ("a.png", {"transparency": 0}),
        ("a.png", {"transparency": bytes([0, 128])}),
        ("a.gif", {"transparency": 0}),
        ("a.gif", {}),
    ],
)
def test_colors_of_a_palette_are_kept_where_they_are_transparent(tmp_path, name, options):
    palette = Image.fromarray(np.uint8([[0, 1, 1], [1, 1, 0]]), "P")
    palette.putpalette([*RED, *BLUE] + [0] * 762)
    palette.save(tmp_path / name, **options)
    assert Image.open(tmp_path / name).mode == "P"
    assert read_image(tmp_path / name).tolist() == [
        [list(c) for c in row] for row in ((RED, BLUE, BLUE), (BLUE, BLUE, RED))
    ]


@pytest.mark.parametrize(
    "mode, pixel, wanted",
    [
        ("1", 1, (255, 255, 255)),
        ("L", 7, (7, 7, 7)),
        ("LA", (7, 0), (7, 7, 7)),
        ("RGBA", (1, 2, 3, 0), (1, 2, 3)),
    ],
)
def test_one_pixel_of_every_mode(tmp_path, mode, pixel, wanted):
    Image.new(mode, (1, 1), pixel).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == mode
    found = read_image(tmp_path / "a.png")
    assert found.shape == (1, 1, 3) and tuple(found[0, 0]) == wanted


def test_long_and_thin(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (20000, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_half_a_file_is_an_error(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(
        path
    )
    content = path.read_bytes()
    for part in (content[: len(content) // 2], content[:20], content[:3], b""):
        path.write_bytes(part)
        with pytest.raises(
            ImageError, match=rf"a.{ending}: cannot be read as an image: "
        ) as caught:
            read_image(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field_type", [2, 5, 7, 11, 12])
def test_a_tiff_whose_positions_are_no_integers(field_type):
    """The types ASCII, RATIONAL, UNDEFINED, FLOAT and DOUBLE; Pillow hands the values to seek."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((24, 30), np.uint8)).save(file, "TIFF")
    damaged = bytearray(file.getvalue())
    # An entry is its tag, its type, the number of values, and one value or the place of several.
    strip_offsets = struct.pack("<HHL", 273, 4, 1)
    place = damaged.index(strip_offsets)
    damaged[place + 2] = field_type
    with pytest.raises(ImageError, match="image of .* bytes: cannot be read as an image: "):
        read_image(bytes(damaged))


@pytest.mark.parametrize("read", [read_image, image_size])
def test_a_dds_file_of_an_unknown_variant(read):
    size_and_shape = struct.pack("<7L", 124, 0x1007, 8, 8, 0, 0, 0)
    no_pixel_format = struct.pack("<8L", 32, 0, 0, 0, 0, 0, 0, 0)
    content = b"DDS " + size_and_shape + bytes(44) + no_pixel_format + bytes(20) + bytes(256)
    with pytest.raises(ImageError, match="cannot be read as an image: .*pixel format"):
        read(content)


def test_a_picture_beyond_all_measure(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (30, 30)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="a.png: cannot be read as an image: .* exceeds limit"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("read", [read_image, image_size])
def test_a_folder_and_a_name_that_cannot_be(tmp_path, read):
    with pytest.raises(ImageError, match="is a folder; want an image file"):
        read(tmp_path)
    with pytest.raises(ImageError, match="cannot be read as an image: .*null byte"):
        read("a\0b.jpg")


def test_the_images_of_a_folder(tmp_path):
    names = sorted(
        f"{number}{suffix}"
        for number, suffix in enumerate([*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES)])
    )
    for name in [*reversed(names), ".hidden.png", "notes.txt", "png", "a.png.part"]:
        (tmp_path / name).touch()  # what is in them is not looked at
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "folder.jpg" / "inside.jpg").touch()
    assert (
        image_files(tmp_path) == image_files(str(tmp_path)) == [tmp_path / name for name in names]
    )


def test_folders_that_have_no_images(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        ImageError, match=r"no images in this folder; looked for \.bmp, \.gif, .*\.webp$"
    ):
        image_files(tmp_path)
    with pytest.raises(ImageError, match="absent: cannot be listed: No such file or directory"):
        image_files(tmp_path / "absent")
    with pytest.raises(ImageError, match="notes.txt: cannot be listed: Not a directory"):
        image_files(tmp_path / "notes.txt")
    with pytest.raises(ImageError, match="cannot be listed: .*null byte"):
        image_files("a\0b")


@pytest.mark.parametrize(
    "image, message",
    [
        (np.full((4, 5, 3), 7, object), "image is of object; want uint8"),
        (np.zeros((4, 5, 3), bool), "of bool"),
        (np.zeros((4, 5, 3), complex), "of complex128"),
        (np.zeros((4, 5, 3), np.uint16), "of uint16"),
        (np.zeros((4, 5, 2), np.uint8), r"shape \(4, 5, 2\)"),
        (np.zeros((4, 5, 4), np.uint8), r"shape \(4, 5, 4\); .*; leave out the fourth channel"),
        (np.zeros((3, 4, 5), np.uint8), r"shape \(3, 4, 5\); .*; move the channels to the end"),
        (np.zeros((1, 4, 5, 3), np.uint8), r"shape \(1, 4, 5, 3\); .*; give .* as a list"),
        (np.zeros(3, np.uint8), r"shape \(3,\)"),
        (np.zeros((4, 0, 3)), "at least one pixel"),
        (np.array(["a", "b"]), r"shape \(2,\)"),
        ([[1, 2, 3]], "image is a list; want a path or an array"),
        (3, "image is a int; want a path or an array"),
    ],
)
def test_arrays_and_others_that_are_no_picture(image, message):
    with pytest.raises(ImageError, match=message):
        check_image(image)


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", "<f8"])
def test_floats_of_every_kind(dtype):
    image = check_image(np.array([[[0, 128, 255]]], dtype))
    assert image.dtype == np.float32 and image.tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize(
    "low, high", [(0, 1), (0, 1.02), (-1, 1), (-0.5, 0.5), (-2.1, 2.64), (0, 1e-6), (-1, 0)]
)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_in_0_to_1_and_normalized_ones_are_no_picture(low, high, dtype):
    image = np.linspace(low, high, 60).reshape(4, 5, 3).astype(dtype)
    with pytest.raises(ImageError, match="which are black in 0..255; multiply .* by 255"):
        check_image(image)


def test_a_black_picture_is_one_in_any_range():
    for dtype in (np.uint8, np.float32):
        image = np.zeros((4, 5, 3), dtype)
        assert check_image(image) is image


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_gray_arrays(dtype):
    gray = np.arange(20).reshape(4, 5).astype(dtype)
    for image in (gray, gray[:, :, None]):
        checked = check_image(image)
        assert checked.shape == (4, 5, 3)
        assert checked.dtype == ("uint8" if dtype == "uint8" else "float32")
        assert (checked == gray[:, :, None]).all()
    with pytest.raises(ImageError, match=r"shape \(0, 5, 1\)"):
        check_image(np.zeros((0, 5)))
