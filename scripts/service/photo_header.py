"""Open an uploaded image whose kind and size, known from its first bytes, are allowed."""

import io

from service.multipart_form import Upload
from service.refusal import Refusal

from PIL import Image, UnidentifiedImageError

# Pillow knows many more formats. Some of them start other programs (EPS), or are read by code that
# nobody has tried on hostile files.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


def open_upload(upload: Upload, max_pixels: int) -> Image.Image:
    """Open a file that is an image of a usual format and not too large, without decoding it.

    The image must be decoded from what this returns. A file may be an image of two formats, and
    Pillow, if it is asked again, may take the one that was not checked.

    Parameters
    ----------
    upload : Upload
        The file.
    max_pixels : int
        The most pixels.

    Returns
    -------
    PIL.Image.Image
        The image.

    Raises
    ------
    Refusal
        415: it is no image of these formats. 413: it has too many pixels. 400: its header is
        damaged.
    """
    try:
        image = Image.open(io.BytesIO(upload.content), formats=FORMATS)
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
    width, height = image.size
    if width * height > max_pixels:
        raise Refusal(
            413,
            f"{upload.name} has {width} x {height} pixels, more than {max_pixels}; make it smaller",
        )
    return image
