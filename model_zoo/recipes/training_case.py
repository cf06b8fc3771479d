"""What the automatic recipe looks at: a data set, a network, its weights and the machine."""

from typing import Any, Mapping, NamedTuple, Tuple

from gluonnorm.errors import InputError

import numpy as np

NO_WEIGHTS = "nothing"
BACKBONE_WEIGHTS = "backbone"
DETECTOR_WEIGHTS = "detector"
WEIGHTS = (NO_WEIGHTS, BACKBONE_WEIGHTS, DETECTOR_WEIGHTS)


class TrainingCase(NamedTuple):
    """What the rules of the automatic recipe look at.

    Attributes
    ----------
    boxes : numpy.ndarray
        (M, 2) float, height and width in pixels of each object to learn from, in its photo.
    labels : numpy.ndarray
        (M,) int, their classes.
    images : numpy.ndarray
        (M,) int, the positions of their photos in the data set.
    neighbor_ious : numpy.ndarray
        (M,) float, the largest IoU of each object with another one of its class in its photo.
    image_sizes : numpy.ndarray
        (N, 2) int, height and width in pixels of each photo.
    strides : tuple of int
        The strides of the network's maps in pixels, finest first.
    settings : Mapping of str to object
        The network's own settings, by the names of :class:`gluonnorm.rcnn.DetectorConfig`.
    norm : str
        The network's own norm.
    has_masks : bool
        Whether the network gives masks.
    weights : str
        What it starts from: "nothing", the weights of a "backbone", or those of a "detector".
    has_fresh_norms : bool
        Whether its heads have norms with stored statistics that no file has filled.
    devices : int
        The devices that share an update on this machine.
    is_cpu : bool
        Whether they are processors, and no GPUs.
    bfloat16_is_fast : bool
        Whether the processor computes in bfloat16 without emulating it.

    Raises
    ------
    InputError
        There is no object to learn from.
    """

    boxes: np.ndarray
    labels: np.ndarray
    images: np.ndarray
    neighbor_ious: np.ndarray
    image_sizes: np.ndarray
    strides: Tuple[int, ...]
    settings: Mapping[str, Any]
    norm: str
    has_masks: bool
    weights: str
    has_fresh_norms: bool
    devices: int
    is_cpu: bool
    bfloat16_is_fast: bool

    @property
    def is_pyramid(self) -> bool:
        """Whether the network has several maps."""
        return len(self.strides) > 1

    @property
    def lengths(self) -> np.ndarray:
        """(M,) float, the square roots of the objects' areas, in pixels of their photos."""
        return np.sqrt(self.boxes.prod(axis=1))

    @property
    def ratios(self) -> np.ndarray:
        """(M,) float, heights divided by widths."""
        return self.boxes[:, 0] / self.boxes[:, 1]

    @property
    def shorter_side(self) -> float:
        """The median shorter side of the photos, in pixels."""
        return float(np.median(self.image_sizes.min(axis=1)))

    def input_sides(self, short: int, max_size: int) -> np.ndarray:
        """Compute the sizes of the photos in the network's input.

        Parameters
        ----------
        short : int
            The shorter side of the input, in pixels.
        max_size : int
            The largest longer side, in pixels.

        Returns
        -------
        numpy.ndarray
            (N, 2) float, height and width in pixels.
        """
        shorter, longer = self.image_sizes.min(axis=1), self.image_sizes.max(axis=1)
        scales = np.minimum(short / shorter, max_size / longer)
        return self.image_sizes * scales[:, None]

    def input_scales(self, short: int, max_size: int) -> np.ndarray:
        """Compute how much the objects are enlarged in the network's input.

        Parameters
        ----------
        short, max_size : int
            As for ``input_sides``.

        Returns
        -------
        numpy.ndarray
            (M,) float, length in the input divided by length in the photo.
        """
        scales = self.input_sides(short, max_size) / self.image_sizes
        return scales[self.images, 0]

    def input_lengths(self, short: int, max_size: int) -> np.ndarray:
        """Compute the square roots of the objects' areas in the network's input.

        Parameters
        ----------
        short, max_size : int
            As for ``input_sides``.

        Returns
        -------
        numpy.ndarray
            (M,) float, in pixels.
        """
        return self.lengths * self.input_scales(short, max_size)

    def quantile(self, values: np.ndarray, share: float) -> float:
        """Compute a quantile over the objects in which rare classes are not lost.

        An object counts with one over the square root of the number of objects of its class. So a
        class with 10,000 objects has ten times the weight of one with 100, and not a hundred times.

        Parameters
        ----------
        values : numpy.ndarray
            (M,), a value of each object.
        share : float
            The quantile, 0..1.

        Returns
        -------
        float
            The smallest value up to which the objects have at least this share of the weight.

        Raises
        ------
        InputError
            There are no objects.
        """
        if not len(values):
            raise InputError("the data set has no object to learn from, so nothing follows from it")
        counts = np.bincount(self.labels)
        weights = 1 / np.sqrt(counts[self.labels])
        order = np.argsort(values, kind="stable")
        cumulated = np.cumsum(weights[order])
        place = np.searchsorted(cumulated, share * cumulated[-1])
        return float(values[order][min(place, len(values) - 1)])

    def objects_of_image(self, share: float) -> float:
        """Compute a quantile of the number of objects in a photo.

        Parameters
        ----------
        share : float
            The quantile, 0..1.

        Returns
        -------
        float
            The number of objects.
        """
        return float(np.quantile(np.bincount(self.images, minlength=len(self.image_sizes)), share))
