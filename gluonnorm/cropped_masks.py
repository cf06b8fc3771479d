"""Masks of a large photo, of which only the part around each object is kept in memory."""

from typing import Any, Iterator, List, NamedTuple, Sequence, Tuple, Union

import numpy as np


class Crop(NamedTuple):
    """The part of a mask that may hold pixels of the object.

    Attributes
    ----------
    top, left : int
        Its first row and column in the photo.
    pixels : numpy.ndarray
        (h, w) bool. Either side may be 0.
    """

    top: int
    left: int
    pixels: np.ndarray

    @property
    def region(self) -> Tuple[slice, slice]:
        """The rows and columns of the photo that the crop covers."""
        height, width = self.pixels.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


class CroppedMasks(np.lib.mixins.NDArrayOperatorsMixin):
    """N masks of one photo, which take the memory of their crops and not of N photos.

    They can be used like an (N, H, W) array of bool. ``masks[index]`` makes the (H, W) mask of one
    object; a slice, or an array of indices or of bool, selects some of the masks, still as crops.
    All other attributes and operators of an array work too, on the complete array, which is made
    for this purpose and takes N x H x W bytes.

    Parameters
    ----------
    crops : sequence of Crop
        The N crops, each inside the photo.
    height, width : int
        Size of the photo in pixels.

    Attributes
    ----------
    crops : list of Crop
        The N crops.
    shape : tuple of int
        (N, H, W).

    Examples
    --------
    >>> masks = CroppedMasks([Crop(1, 2, np.ones((1, 2), bool))], height=2, width=4)
    >>> masks.shape, masks[0].tolist()
    ((1, 2, 4), [[False, False, False, False], [False, False, True, True]])
    """

    dtype = np.dtype(bool)
    ndim = 3

    def __init__(self, crops: Sequence[Crop], height: int, width: int) -> None:
        self.crops: List[Crop] = list(crops)
        self.shape: Tuple[int, int, int] = (len(self.crops), height, width)

    @classmethod
    def of(cls, masks: Union[np.ndarray, "CroppedMasks"]) -> "CroppedMasks":
        """Crop masks to the objects in them.

        Parameters
        ----------
        masks : numpy.ndarray or CroppedMasks
            (N, H, W) bool.

        Returns
        -------
        CroppedMasks
            The argument itself if it is cropped already. The crops of an array share its memory.
        """
        if isinstance(masks, CroppedMasks):
            return masks
        height, width = masks.shape[1:]
        return cls([_crop_of(mask) for mask in masks], height, width)

    def __len__(self) -> int:
        return len(self.crops)

    def __iter__(self) -> Iterator[np.ndarray]:
        for index in range(len(self)):
            yield self._complete(index)

    def __getitem__(self, index: Any) -> Any:
        # NumPy decides what the index means: numbers, slices, bool, negative or out of range.
        chosen = np.arange(len(self))[index] if not isinstance(index, tuple) else None
        if chosen is None or chosen.ndim > 1:
            return np.asarray(self)[index]
        if chosen.ndim == 0:
            return self._complete(int(chosen))
        return CroppedMasks([self.crops[number] for number in chosen], *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        complete = np.zeros(self.shape, bool)
        for mask, crop in zip(complete, self.crops):
            mask[crop.region] = crop.pixels
        return complete if dtype is None else complete.astype(dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = []
        for operand in inputs:
            arrays.append(np.asarray(operand) if isinstance(operand, CroppedMasks) else operand)
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        # Private names stay unknown: copying and pickling ask for some that an array has.
        if name.startswith("_") or name not in dir(np.ndarray):
            raise AttributeError(f"CroppedMasks has no attribute {name!r}")
        return getattr(np.asarray(self), name)

    def __repr__(self) -> str:
        return f"CroppedMasks of shape {self.shape}"

    def _complete(self, index: int) -> np.ndarray:
        """Make the (H, W) mask of one object."""
        mask = np.zeros(self.shape[1:], bool)
        crop = self.crops[index]
        mask[crop.region] = crop.pixels
        return mask


def _crop_of(mask: np.ndarray) -> Crop:
    """Find the smallest part of an (H, W) mask that holds all of its pixels."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Crop(0, 0, mask[:0, :0])
    inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Crop(int(rows[0]), int(columns[0]), inside)
