"""Images as paths, bytes, open files and images of Pillow; their orientation; those too large."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

from gluonnorm.errors import InputError
from gluonnorm.photos.files import ImageError, image_size, read_image

import numpy as np
import pytest
from PIL import Image

ORIENTATION = 0x0112
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(image, file_format="PNG", **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def test_all_sources_give_the_pixels_of_the_file(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    content = path.read_bytes()
    sources = [path, str(path), content, bytearray(content), memoryview(content)]
    sources += [io.BytesIO(content), Image.open(path), Image.fromarray(PIXELS)]
    for source in sources:
        np.testing.assert_array_equal(read_image(source), PIXELS)
    with open(path, "rb") as file:
        np.testing.assert_array_equal(read_image(file), PIXELS)
        with pytest.raises(ImageError, match=r"a.png: is empty, or .* before; seek\(0\)"):
            read_image(file)
        file.seek(0)
        assert image_size(file) == (6, 9)
    with open(path, encoding="latin1") as file, pytest.raises(ImageError, match="a file of text"):
        read_image(file)
    assert image_size(content) == image_size(Image.open(path)) == (6, 9)


def test_an_image_of_pillow_is_not_changed():
    image = Image.fromarray(PIXELS)
    image.getexif()[ORIENTATION] = 6
    assert read_image(image).shape == (9, 6, 3) and image_size(image) == (9, 6)
    assert image.size == (9, 6) and image.getexif()[ORIENTATION] == 6


@pytest.mark.parametrize(
    "source, message",
    [
        (b"", "image of 0 bytes: is empty"),
        (b"photo.jpg", "image of 9 bytes: cannot be read as an image: it is of no format"),
        (io.BytesIO(b"GIF89a"), "image file: cannot be read as an image"),
        (Image.new("RGB", (0, 4)), "image: is 0 x 4 pixels; want at least one"),
        (Image.new("I", (4, 4)), "image: image holds 32-bit integers"),
        (Image.new("F", (4, 4), 0.5), "image: image holds values from 0.5 to 0.5, which are black"),
    ],
)
def test_sources_without_an_image(source, message):
    with pytest.raises(ImageError, match=message):
        read_image(source)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_orientation(file_format, orientation):
    """The size of the header is that of the array, and the corners are where EXIF puts them."""
    corners = np.zeros((32, 48, 3), np.uint8)
    corners[:16, :24], corners[:16, 24:], corners[16:, :24] = 240, 160, 80
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"quality": 95} if file_format in ("JPEG", "WEBP") else {}
    content = encoded(Image.fromarray(corners), file_format, exif=exif, **options)
    # Where the file's first row and first column are on the upright picture, from EXIF's standard.
    upright = {
        2: corners[:, ::-1],
        3: corners[::-1, ::-1],
        4: corners[::-1],
        5: corners.transpose(1, 0, 2),
        6: corners[::-1].transpose(1, 0, 2),
        7: corners[::-1, ::-1].transpose(1, 0, 2),
        8: corners[:, ::-1].transpose(1, 0, 2),
    }.get(orientation, corners)
    found = read_image(content)
    assert image_size(content) == found.shape[:2] == upright.shape[:2]
    np.testing.assert_allclose(found.astype(int), upright, rtol=0, atol=8)


def bomb(side):
    """A PNG of black squares: a few kilobytes that become ``side * side`` pixels."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (side + 7) // 8) * side), 9)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


READ = """
import resource, sys
from gluonnorm.photos.files import ImageError, image_size, read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read in (read_image, image_size):
    try:
        print(read(sys.argv[1]))
    except ImageError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("side", [9460, 13300, 30000])
def test_a_decompression_bomb_is_one_line_and_takes_no_memory(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side))
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert done.stderr == ""
    *messages, megabytes = done.stdout.splitlines()
    assert len(messages) == 2 and int(megabytes) < 30
    for message in messages:
        assert message.startswith(f"{path}: cannot be read as an image: ")
        assert "exceeds limit of" in message and "GLUONNORM_MAX_PIXELS=" in message


def test_the_limit_can_be_raised_and_lowered(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # restored at the end
    content = encoded(Image.fromarray(PIXELS))
    for source in (content, Image.fromarray(PIXELS)):
        with pytest.raises(ImageError, match="9 x 6 pixels exceeds limit of 40 .*_PIXELS=54"):
            read_image(source)
    monkeypatch.setenv("GLUONNORM_MAX_PIXELS", "54")
    assert read_image(content).shape == (6, 9, 3)
    for text in ("0", "-1", "many", "1e6", "", "²"):
        monkeypatch.setenv("GLUONNORM_MAX_PIXELS", text)
        with pytest.raises(InputError, match="GLUONNORM_MAX_PIXELS is .*; want a number of pixels"):
            read_image(content)


def test_a_pipe_is_refused_at_once(tmp_path):
    """Opening it would wait for ever."""
    os.mkfifo(tmp_path / "a.png")
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match="a.png: is a pipe or a device; want an image file"):
            read(tmp_path / "a.png")


def test_addresses_and_content_in_place_of_a_path():
    with pytest.raises(ImageError, match="no such image file; an address is not fetched, but url"):
        read_image("https://example.org/a.jpg")
    with pytest.raises(ImageError, match="AAAA[.]{3}: ") as caught:
        read_image("A" * 100_000)
    assert len(str(caught.value)) < 200
