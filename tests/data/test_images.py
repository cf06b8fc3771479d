from gluonnorm.data import DataError, image_size, read_image

import numpy as np
import pytest
from PIL import Image, ImageFile

GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)


def saved(tmp_path, image, name="image.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_rgb_is_read_as_it_is(tmp_path):
    image = read_image(saved(tmp_path, Image.fromarray(RGB)))
    assert image.dtype == np.uint8 and image.flags.writeable
    np.testing.assert_array_equal(image, RGB)


@pytest.mark.parametrize(
    "pixels, wanted",
    [
        (GRAY, np.stack([GRAY] * 3, 2)),
        (GRAY > 100, np.stack([(GRAY > 100) * 255] * 3, 2)),
        (np.dstack([RGB, GRAY]), RGB),
        (np.dstack([GRAY, 255 - GRAY]), np.stack([GRAY] * 3, 2)),
        (GRAY.astype(np.uint16) * 257, np.stack([GRAY] * 3, 2)),
    ],
    ids=["L", "1", "RGBA", "LA", "I;16"],
)
def test_other_modes_become_rgb(tmp_path, pixels, wanted):
    image = read_image(saved(tmp_path, Image.fromarray(pixels)))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, wanted)


def test_palette_with_transparency(tmp_path):
    palette = Image.fromarray(RGB).quantize(12)
    image = read_image(saved(tmp_path, palette, transparency=bytes([0] * 6)))
    np.testing.assert_array_equal(image, np.asarray(palette.convert("RGB")))


def test_cmyk_and_float(tmp_path):
    assert (
        read_image(saved(tmp_path, Image.new("CMYK", (4, 3)), "a.tif")).tolist()
        == [[[255] * 3] * 4] * 3
    )
    assert (
        read_image(saved(tmp_path, Image.new("F", (4, 3), 7.0), "b.tif")).tolist()
        == [[[7] * 3] * 4] * 3
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(RGB), exif=exif)
    image = read_image(path)
    turned = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.transpose(1, 0, 2),
        6: np.rot90(RGB, -1),
        7: np.rot90(RGB, 2).transpose(1, 0, 2),
        8: np.rot90(RGB),
    }
    np.testing.assert_array_equal(image, turned[orientation])
    assert image_size(path) == image.shape[:2]


@pytest.mark.parametrize("read", [read_image, image_size])
def test_not_an_image(tmp_path, read):
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    for path in (tmp_path / "absent.jpg", text, empty, tmp_path):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_truncated(tmp_path, monkeypatch, kind, part):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as after importing GluonCV
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), "image." + kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DataError, match=f"image.{kind}: cannot be read as an image"):
        read_image(path)


def test_corrupt_png(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB))
    content = bytearray(path.read_bytes())
    content[40] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_image(path)
