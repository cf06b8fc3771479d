"""The kind and the size of an uploaded image, known from its first bytes."""

import io

from service.multipart_form import Upload
from service.refusal import Refusal

from PIL import Image, UnidentifiedImageError

# Pillow knows many more formats. Some of them start other programs (EPS), or are read by code that
# nobody has tried on hostile files.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


def check_header(upload: Upload, max_pixels: int) -> None:
    """Check that a file is an image of a usual format and not too large, before it is decoded.

    Parameters
    ----------
    upload : Upload
        The file.
    max_pixels : int
        The most pixels.

    Raises
    ------
    Refusal
        415: it is no image of these formats. 413: it has too many pixels. 400: its header is
        damaged.
    """
    try:
        with Image.open(io.BytesIO(upload.content), formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        raise Refusal(
            413, f"{upload.name} has more than {max_pixels} pixels; make it smaller"
        ) from None
    except UnidentifiedImageError:
        raise Refusal(
            415, f"{upload.name} is no image of a known format; send {', '.join(FORMATS)}"
        ) from None
    # What Pillow raises on damaged files is not documented, and is of many classes.
    except Exception:
        raise Refusal(400, f"{upload.name} is a damaged image; send it again") from None
    if width * height > max_pixels:
        raise Refusal(
            413,
            f"{upload.name} has {width} x {height} pixels, more than {max_pixels}; make it smaller",
        )
