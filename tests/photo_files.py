"""Files of one picture in every form in which JPEG and PNG can hold it."""

import struct
import zlib
from pathlib import Path
from typing import Dict, List

import cv2
import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # the EXIF tag
BLOCK = 7  # pixels of one color along each side
# Adam7: the first row and column of each pass over an interlaced PNG, and the steps.
PASSES = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def write_photo_files(folder: Path) -> List[Path]:
    """Write a picture as JPEG and PNG of every kind, and pictures of other sizes.

    Parameters
    ----------
    folder : pathlib.Path
        Where the files go.

    Returns
    -------
    list of pathlib.Path
        The files.
    """
    pixels = colored_blocks(90, 130)
    picture = Image.fromarray(pixels)
    for name, image in _pictures(picture).items():
        image.save(folder / f"{name}.png")
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        ending = "jpg" if orientation % 2 else "png"
        picture.save(folder / f"turned{orientation}.{ending}", exif=exif)
    picture.save(folder / "fine.jpg", quality=95, subsampling=0)
    picture.save(folder / "progressive.jpg", progressive=True)
    picture.convert("L").save(folder / "gray.jpg")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    _write_with_xmp(folder / "xmp.jpg", (folder / "fine.jpg").read_bytes())
    wide = pixels.astype(np.uint16) * 257 + 3
    cv2.imwrite(str(folder / "wide_rgb.png"), np.minimum(wide, 65535))
    cv2.imwrite(str(folder / "wide_gray.png"), wide[:, :, 0] // 2)
    (folder / "interlaced.png").write_bytes(interlaced_png(pixels))
    # One is enlarged to twice its size, one is halved, one is narrow, one is cut by max_size.
    for height, width in ((32, 48), (128, 192), (150, 9), (40, 200), (211, 173), (64, 96)):
        Image.fromarray(colored_blocks(height, width)).save(folder / f"{height}x{width}.png")
    return sorted(folder.iterdir())


def colored_blocks(height: int, width: int) -> np.ndarray:
    """Draw blocks of random colors, (height, width, 3) uint8, with some noise in them."""
    rng = np.random.default_rng(height)
    rows = -(-height // BLOCK)
    columns = -(-width // BLOCK)
    colors = rng.integers(0, 250, (rows, columns, 3), dtype=np.uint8)
    pixels = colors.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)[:height, :width]
    return pixels + rng.integers(0, 6, pixels.shape, dtype=np.uint8)


def interlaced_png(pixels: np.ndarray) -> bytes:
    """Encode (H, W, 3) uint8 as an interlaced PNG, which Pillow and OpenCV do not write."""
    height, width = pixels.shape[:2]
    rows = []
    for top, left, row_step, column_step in PASSES:
        for row in pixels[top::row_step, left::column_step]:
            rows.append(b"\0" + row.tobytes())
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        content += struct.pack(">I", len(data)) + kind + data + checksum
    return content


def _pictures(picture: Image.Image) -> Dict[str, Image.Image]:
    """Convert a picture to the modes that PNG has."""
    gray = picture.convert("L")
    alpha = gray.point(lambda level: 255 - level)
    see_through = picture.copy()
    see_through.putalpha(alpha)
    palette = picture.quantize(50)
    with_hole = palette.copy()
    with_hole.info["transparency"] = 3
    return {
        "rgb": picture,
        "rgba": see_through,
        "gray": gray,
        "gray_alpha": Image.merge("LA", (gray, alpha)),
        "two_levels": gray.convert("1"),
        "palette": palette,
        "palette_of_16": picture.quantize(16),
        "palette_with_hole": with_hole,
    }


def _write_with_xmp(path: Path, jpeg: bytes) -> None:
    """Write a JPEG whose orientation is in its XMP data alone."""
    data = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    segment = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
    path.write_bytes(jpeg[:2] + segment + jpeg[2:])
