"""Pictures of more than 8 bits, of floats and of transparency: right, or an error, never black."""

import struct

from gluonnorm.photos.files import ImageError, read_image

import cv2
import numpy as np
import pytest
from PIL import Image

RAMP = np.tile(np.linspace(0, 1, 80), (60, 1))
COLOR = np.dstack([RAMP, RAMP / 2, RAMP / 4])
GRAY_LEVELS = RAMP * 255


def tiff(path, bits, pixels, photometric=1, sample_format=1):
    """Write an uncompressed gray TIFF file with the tags given, which Pillow would not write."""
    height, width = RAMP.shape
    entries = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8 + 2 + 12 * 10 + 4),  # the pixels follow the tags
        (277, 3, 1),
        (278, 4, height),
        (279, 4, len(pixels)),
        (339, 3, sample_format),
    ]
    tags = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    header = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    path.write_bytes(header + tags + struct.pack("<I", 0) + pixels)


def pack_12_bits(values):
    first, second = values.ravel()[0::2], values.ravel()[1::2]
    triples = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    return triples.astype(np.uint8).tobytes()


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("name", ["a.tif", "a.png"])
@pytest.mark.parametrize("picture", [RAMP, COLOR, np.dstack([COLOR, RAMP])])
def test_fewer_bits_in_16_are_refused(tmp_path, bits, name, picture):
    path = tmp_path / name
    cv2.imwrite(str(path), (picture * (2**bits - 1)).astype(np.uint16))
    with pytest.raises(ImageError, match=rf"{name}: image has 16 bits a channel, but no value abo"):
        read_image(path)


@pytest.mark.parametrize("brightest", [1 << 14, 40000, 65535])
def test_16_bits_that_use_their_range_are_read(tmp_path, brightest):
    for name in ("a.tif", "a.png"):
        cv2.imwrite(str(tmp_path / name), (RAMP * brightest).astype(np.uint16))
        expected = (RAMP * brightest).astype(np.uint16)[:, :, None] // 257
        assert (read_image(tmp_path / name) == expected).all()


def test_black_of_16_bits_is_black(tmp_path):
    Image.fromarray(np.zeros((4, 5), np.uint16)).save(tmp_path / "a.png")
    assert not read_image(tmp_path / "a.png").any()


def test_a_file_that_states_12_bits_is_read(tmp_path):
    values = np.rint(RAMP * 4095).astype(int)
    tiff(tmp_path / "a.tif", 12, pack_12_bits(values))
    assert (read_image(tmp_path / "a.tif") == (values * 255 // 4095)[:, :, None]).all()
    # PGM states its white as a number.
    header = b"P5 80 60 4095\n"
    (tmp_path / "a.pgm").write_bytes(header + (values // 9).astype(">u2").tobytes())
    found = read_image(tmp_path / "a.pgm")
    np.testing.assert_allclose(found[:, :, 1], values // 9 / 4095 * 255, rtol=0, atol=1)


@pytest.mark.parametrize("bits", [8, 16])
def test_white_is_zero(tmp_path, bits):
    values = np.rint(RAMP * (2**bits - 1)).astype(f"<u{bits // 8}")
    tiff(tmp_path / "a.tif", bits, values.tobytes(), photometric=0)
    found = read_image(tmp_path / "a.tif")
    np.testing.assert_allclose(found[:, :, 1], 255 - GRAY_LEVELS, rtol=0, atol=1)


@pytest.mark.parametrize(
    "bits, sample_format, values, message",
    [
        (8, 2, (RAMP * 200 - 100).astype("<i1"), "signed integers"),
        (16, 2, (RAMP * 30000).astype("<i2"), "signed integers"),
        (32, 2, (RAMP * 255).astype("<i4"), "signed integers"),
        (32, 1, (RAMP * 255).astype("<u4"), "32-bit integers"),
        (32, 1, (RAMP * 4e9).astype("<u4"), "32-bit integers"),
        (32, 3, RAMP.astype("<f4"), "values from 0 to 1, which are black"),
        (32, 3, (RAMP * 4 - 2).astype("<f4"), "values from -2 to 2, which are black"),
        (32, 3, (RAMP * 3000 - 500).astype("<f4"), "values from -500 to 2500"),
        (32, 3, (RAMP * 65535).astype("<f4"), "values from 0 to 65535"),
        (32, 3, np.full_like(RAMP, np.nan).astype("<f4"), "NaN or infinity"),
        (32, 3, np.where(RAMP < 0.9, GRAY_LEVELS, np.inf).astype("<f4"), "NaN or infinity"),
    ],
)
def test_numbers_without_a_known_white_are_refused(tmp_path, bits, sample_format, values, message):
    path = tmp_path / "a.tif"
    tiff(path, bits, values.tobytes(), sample_format=sample_format)
    with pytest.raises(ImageError, match=f"a.tif: image holds {message}") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_floats_in_0_to_255_are_rounded(tmp_path):
    tiff(tmp_path / "a.tif", 32, GRAY_LEVELS.astype("<f4").tobytes(), sample_format=3)
    expected = np.rint(GRAY_LEVELS.astype(np.float32))[:, :, None]
    assert (read_image(tmp_path / "a.tif") == expected).all()


@pytest.mark.parametrize("mode, color", [("RGBA", (9, 9, 9)), ("LA", (0,)), ("P", None)])
def test_shapes_in_the_transparency_alone_are_refused(tmp_path, mode, color):
    path = tmp_path / "a.png"
    if mode == "P":
        image = Image.fromarray(np.uint8([[0, 1], [1, 0]]), "P")
        image.putpalette([7, 7, 7] * 256)
        image.save(path, transparency=0)
    else:
        image = Image.new(mode, (8, 6), (*color, 0))
        image.paste((*color, 255), (2, 2, 5, 5))
        image.save(path)
    with pytest.raises(ImageError, match="a.png: image has one color everywhere, and its shapes"):
        read_image(path)


def test_one_color_with_one_transparency_is_a_picture(tmp_path):
    Image.new("RGBA", (8, 6), (3, 4, 5, 0)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == (3, 4, 5)).all()
