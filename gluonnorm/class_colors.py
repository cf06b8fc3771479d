"""The color that belongs to a class, in pictures and in labeling tools."""

import zlib
from typing import List, Sequence, Tuple

Color = Tuple[int, int, int]  # red, green and blue in 0..255


def _read_colors(text: str) -> Tuple[Color, ...]:
    """Read colors in hexadecimal with white space between them."""
    colors = []
    for word in text.split():
        red, green, blue = bytes.fromhex(word)
        colors.append((red, green, blue))
    return tuple(colors)


#: Bright colors. They were chosen one after another, each as far as possible in Oklab
#: (https://bottosson.github.io/posts/oklab) from those before it. So the first ones differ most,
#: and no two look alike.
PALETTE = _read_colors(
    """
    ff3c2d 0f2dff 00ff00 007800 5ac3ff e100ff ffc35a 873c87
    ff96e1 78b41e 0078b4 9678ff a53c00 78f0c3 8700f0 d25aa5
    c3872d 00c3a5 c3005a 0096ff b4e13c ff8778 5a5ae1 78871e
    """
)

NEIGHBORS = 10  # classes before a class whose colors it does not take
# Another number gives other colors. With this one, the names that the lists of PASCAL VOC and COCO
# share have the same color in both, except for one.
SEED = 36940


def class_colors(classes: Sequence[str]) -> List[Color]:
    """Choose the color of each class by its name.

    A name has the same color in every picture, process and model. There are more names than colors
    that can be told apart, so there is one exception: a class whose color already belongs to one of
    the ten classes before it in the list takes the next color that does not.

    Parameters
    ----------
    classes : sequence of str
        The names of the C classes in the order of their ids.

    Returns
    -------
    list of tuple of int
        C colors of ``PALETTE``: red, green and blue in 0..255.

    Examples
    --------
    >>> cat, dog = class_colors(["cat", "dog"])
    >>> cat == class_colors(["horse", "cat"])[1]
    True
    """
    colors: List[Color] = []
    for name in classes:
        # Python's own hash of a text differs from process to process.
        number = zlib.crc32(f"{SEED} {name}".encode())
        while PALETTE[number % len(PALETTE)] in colors[-NEIGHBORS:]:
            number += 1
        colors.append(PALETTE[number % len(PALETTE)])
    return colors


def hex_color(color: Color) -> str:
    """Write a color as web pages do.

    Parameters
    ----------
    color : tuple of int
        Red, green and blue in 0..255.

    Returns
    -------
    str
        A text such as ``"#ff8000"``.

    Examples
    --------
    >>> hex_color((255, 128, 0))
    '#ff8000'
    """
    return "#{:02x}{:02x}{:02x}".format(*color)


def letters_on(color: Color) -> Color:
    """Choose black or white letters for a background, whichever are easier to read.

    Parameters
    ----------
    color : tuple of int
        The background.

    Returns
    -------
    tuple of int
        Black or white. On every background their contrast is at least 4.5, which is what WCAG 2.1
        asks for (https://www.w3.org/TR/WCAG21/#contrast-minimum).

    Examples
    --------
    >>> letters_on((0, 210, 0)), letters_on((120, 0, 0))
    ((0, 0, 0), (255, 255, 255))
    """
    luminance = _luminance(color)
    with_white = (1 + 0.05) / (luminance + 0.05)
    with_black = (luminance + 0.05) / 0.05
    return (0, 0, 0) if with_black > with_white else (255, 255, 255)


def _luminance(color: Color) -> float:
    """Relative luminance of a color in 0..1, by the definition of WCAG 2.1."""
    linear = []
    for channel in color:
        share = channel / 255
        linear.append(share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4)
    red, green, blue = linear
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
