"""The way into a predictor: photos are read, divided into tiles, prepared and named in messages."""

import os
from typing import Any, Iterable, Iterator, NamedTuple, Optional, Tuple, Union

from gluonnorm.photos.files import ImageError, image_files, source_name
from gluonnorm.photos.prepare import (
    Photo,
    PreparedPhoto,
    is_image_source,
    load_photo,
    prepare_checked,
)
from gluonnorm.photos.tiles import Tiling, Window
from gluonnorm.types import PathLike, Preprocess

import numpy as np


class TilePlace(NamedTuple):
    """Where a tile is.

    Attributes
    ----------
    window : Window
        Its place in the photo.
    photo_size : tuple of int
        Height and width of the photo in pixels.
    """

    window: Window
    photo_size: Tuple[int, int]

    @property
    def is_last(self) -> bool:
        """Whether this is the last tile of its photo, in the lower right corner."""
        return (self.window.bottom, self.window.right) == self.photo_size


class NamedPhoto(NamedTuple):
    """A prepared photo and its name in messages.

    Attributes
    ----------
    prepared : PreparedPhoto
        The network's input, the scale, the photo's size.
    name : str
        The beginning of an error message about this photo, "" for a single array.
    place : TilePlace or None
        Where it is, if it is a tile of a larger photo.
    """

    prepared: PreparedPhoto
    name: str
    place: Optional[TilePlace] = None


class PhotoReader:
    """Read photos and prepare them as a network needs them.

    Parameters
    ----------
    preprocess : Preprocess
        How photos are prepared.
    resize : bool
        Whether photos are resized, unless a call says otherwise.
    tiling : Tiling or None
        How ``read_all`` divides larger photos; None takes them as they are.
    """

    def __init__(self, preprocess: Preprocess, resize: bool, tiling: Optional[Tiling]) -> None:
        self._preprocess = preprocess
        self._resize = resize
        self._tiling = tiling

    def read(self, photo: Photo, resize: Optional[bool], name: str) -> NamedPhoto:
        """Read and prepare a photo as it is, not in tiles.

        Parameters
        ----------
        photo, resize, name
            As for ``Predictor.read``.

        Returns
        -------
        NamedPhoto
            The network's input, and what leads its boxes back to the photo.

        Raises
        ------
        ImageError
            The file cannot be read, or the array is not a photo.
        """
        image = _load(photo, name)
        return NamedPhoto(self._prepare(image, resize), _name_in_messages(photo, name))

    def read_all(
        self, named_photos: Iterable[Tuple[str, Photo]], resize: Optional[bool]
    ) -> Iterator[NamedPhoto]:
        """Read and prepare photos one after the other, large ones tile by tile.

        Parameters
        ----------
        named_photos : iterable of tuple
            Photos as for ``read``, each behind the beginning of an error message about it.
        resize : bool or None
            As for ``read``.

        Yields
        ------
        NamedPhoto
            Each photo, or its tiles, in their order.

        Raises
        ------
        ImageError
            As for ``read``, after all photos before the bad one.
        """
        for name, photo in named_photos:
            if self._tiling is None:
                yield self.read(photo, resize, name)
            else:
                # A generator of its own lets go of the photo before the next one is read.
                yield from self._tiles(photo, resize, name, self._tiling)

    def _tiles(
        self, photo: Photo, resize: Optional[bool], name: str, tiling: Tiling
    ) -> Iterator[NamedPhoto]:
        """Read a photo and prepare its tiles. A photo of one tile is no tile, but a photo."""
        image = _load(photo, name)
        name = _name_in_messages(photo, name)
        height, width = image.shape[:2]
        windows = tiling.windows(height, width)
        for window in windows:
            prepared = self._prepare(window.part_of(image), resize)
            place = TilePlace(window, (height, width)) if len(windows) > 1 else None
            yield NamedPhoto(prepared, name, place)

    def _prepare(self, image: np.ndarray, resize: Optional[bool]) -> PreparedPhoto:
        """Prepare a checked photo, or a part of it."""
        return prepare_checked(image, self._preprocess, self._resize if resize is None else resize)


def with_names(images: Union[PathLike, Iterable[Photo]]) -> Iterator[Tuple[str, Photo]]:
    """Pair each photo with the beginning of an error message about it.

    Parameters
    ----------
    images : path or iterable of photos
        A folder, or photos as for ``Predictor.read``.

    Yields
    ------
    tuple
        What ``PhotoReader.read_all`` takes.

    Raises
    ------
    ImageError
        A folder has no images.
    """
    if isinstance(images, (str, os.PathLike)):
        # The message about a file contains its path already.
        for path in image_files(images):
            yield "", path
        return
    for number, image in enumerate(images):
        yield f"images[{number}]: ", image


def _load(photo: Photo, name: str) -> np.ndarray:
    """Read and check a photo; ``name`` is the beginning of an error message about it."""
    try:
        return load_photo(photo)
    except ImageError as error:
        raise ImageError(f"{name}{error}") from error


def _name_in_messages(photo: Any, name: str) -> str:
    """Add the file of a photo, if it has one, to the beginning of an error message about it."""
    return f"{name}{source_name(photo)}: " if is_image_source(photo) else name
