"""Where the tiles of a large photo are."""

import math
from dataclasses import dataclass
from typing import List, NamedTuple

from gluonnorm.errors import InputError
from gluonnorm.types import is_number, is_positive_integer

import numpy as np

DEFAULT_OVERLAP = 0.2
MOST_OVERLAP = 0.9  # at 1, the tiles would never come to the end of the photo


class Window(NamedTuple):
    """A rectangle of whole pixels in a photo.

    Attributes
    ----------
    top, left : int
        Its first row and column.
    bottom, right : int
        The row and the column after its last ones.
    """

    top: int
    left: int
    bottom: int
    right: int

    def part_of(self, image: np.ndarray) -> np.ndarray:
        """Return the pixels of a photo that are in the window.

        Parameters
        ----------
        image : numpy.ndarray
            (H, W, 3).

        Returns
        -------
        numpy.ndarray
            (bottom - top, right - left, 3), a view of ``image``.
        """
        return image[self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True)
class Tiling:
    """How large photos are divided into tiles of one size that overlap each other.

    A wrong value raises InputError when the object is made.

    Attributes
    ----------
    tile : int
        Side of a tile in pixels of the photo, at least 1.
    overlap : float
        The least share of a tile's side that it has in common with its neighbor, in 0..0.9. An
        object that is shorter than the common part is whole in one of the tiles.

    Examples
    --------
    >>> Tiling(tile=100, overlap=0.2).windows(height=80, width=180)
    [Window(top=0, left=0, bottom=80, right=100), Window(top=0, left=80, bottom=80, right=180)]
    """

    tile: int
    overlap: float = DEFAULT_OVERLAP

    def __post_init__(self) -> None:
        if not is_positive_integer(self.tile):
            raise InputError(
                f"tile is {self.tile!r}; want the side of a tile in pixels, an integer of at "
                "least 1, or None for photos without tiles"
            )
        object.__setattr__(self, "tile", int(self.tile))
        # NaN is not in the range either.
        if not is_number(self.overlap) or not 0 <= self.overlap <= MOST_OVERLAP:
            raise InputError(
                f"overlap is {self.overlap!r}; want the share of a tile that its neighbor sees "
                f"too, from 0 to {MOST_OVERLAP}, such as 0.2"
            )

    def windows(self, height: int, width: int) -> List[Window]:
        """Divide a photo into tiles.

        Parameters
        ----------
        height, width : int
            Size of the photo in pixels.

        Returns
        -------
        list of Window
            The tiles, row by row. All have the same size: ``tile``, or the photo's own where it is
            smaller. Together they cover the photo.
        """
        tile_height = min(self.tile, height)
        tile_width = min(self.tile, width)
        windows = []
        for top in self._starts(height):
            for left in self._starts(width):
                windows.append(Window(top, left, top + tile_height, left + tile_width))
        return windows

    def _starts(self, length: int) -> List[int]:
        """First pixels of the tiles along a side of the photo.

        The tiles are as few as the overlap allows. What they have in common beyond that is shared
        out evenly, so that no place of the photo is near the edges of all tiles that see it.
        """
        last_start = length - min(self.tile, length)
        least_overlap = min(math.ceil(self.tile * self.overlap), self.tile - 1)
        num_steps = -(-last_start // (self.tile - least_overlap))
        if num_steps == 0:
            return [0]
        return [last_start * number // num_steps for number in range(num_steps + 1)]
