"""A training schedule as data, and how it changes with the batch and the data set."""

import math
from dataclasses import dataclass, replace
from typing import Optional, Tuple

from gluonnorm.errors import InputError
from gluonnorm.training import scale_for_batch
from gluonnorm.types import is_number

UNITS = ("iterations", "epochs")
# Each of these means nothing below its limit.
SMALLEST = {
    "batch_size": 1,
    "images": 1,
    "lr": 0,
    "length": 0,
    "lr_decay": 0,
    "lr_warmup": 0,
    "lr_warmup_factor": 0,
    "momentum": 0,
    "wd": 0,
    "norm_wd": 0,
    "bias_wd": 0,
    "bias_lr_factor": 0,
}


@dataclass(frozen=True)
class Recipe:
    """A training schedule of SGD, stated for one size of the batch and one data set.

    :meth:`scale` states it for another batch and another data set. Fields that are also flags of
    ``scripts/train_faster_rcnn.py`` have the flags' names.

    Attributes
    ----------
    name : str
        The name that ``get_recipe`` takes.
    source : str
        Where its values were read: the codebase with its commit, and the file.
    batch_size : int
        Images of an update, on all devices together.
    images : int
        Images of the data set that it was written for.
    lr : float
        The learning rate after the warm-up, for ``batch_size`` images.
    unit : str
        The unit of ``length`` and ``decay_at``: "iterations", which are updates, or "epochs".
    length : float
        How long the training is.
    decay_at : tuple of float
        When the learning rate falls, ascending. A point at or behind the end has no effect.
    lr_decay : float
        The factor by which it falls.
    lr_warmup : int
        Updates of the linear warm-up.
    lr_warmup_factor : float
        The fraction of the learning rate with which the warm-up begins, 0..1.
    momentum : float
        The momentum of SGD.
    wd : float
        The weight decay of weights.
    norm_wd : float
        The weight decay of all parameters of norms: scales, shifts and mixing weights.
    bias_wd : float
        The weight decay of biases.
    bias_lr_factor : float
        The learning rate of biases and of the norms' shifts, divided by that of weights.
    short : tuple of int
        Lengths of the photos' shorter side, one of which each photo gets; () leaves it to the
        network.
    max_size : int or None
        The largest length of the longer side; None leaves it to the network.
    freeze_at : int or None
        Stages that do not learn (:class:`gluonnorm.rcnn.DetectorConfig`); None freezes the stem
        and the first stage of a backbone with pretrained weights.
    from_scratch : bool
        Whether it was written for a network without pretrained weights.
    norms : tuple of str
        The norms that it was written for; () for any.

    Raises
    ------
    InputError
        A number is out of range, or ``unit`` is none of the two.

    Examples
    --------
    >>> recipe = Recipe(
    ...     name="short", source="the user", batch_size=16, images=118287, lr=0.02,
    ...     unit="iterations", length=90000, decay_at=(60000, 80000), lr_warmup=500,
    ...     lr_warmup_factor=1 / 3, wd=1e-4, norm_wd=0.0, bias_wd=1e-4,
    ... )
    >>> round(recipe.epochs, 2)
    12.17
    >>> half = recipe.scale(batch_size=8)
    >>> half.lr, half.length, half.decay_at, half.lr_warmup
    (0.01, 180000, (120000, 160000), 1000)
    """

    name: str
    source: str
    batch_size: int
    images: int
    lr: float
    unit: str
    length: float
    decay_at: Tuple[float, ...]
    lr_warmup: int
    lr_warmup_factor: float
    wd: float
    norm_wd: float
    bias_wd: float
    bias_lr_factor: float = 1.0
    momentum: float = 0.9
    lr_decay: float = 0.1
    short: Tuple[int, ...] = ()
    max_size: Optional[int] = None
    freeze_at: Optional[int] = None
    from_scratch: bool = False
    norms: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise InputError(
                f"recipe {self.name!r}: unit is {self.unit!r}; give one of {', '.join(UNITS)}"
            )
        for name, smallest in SMALLEST.items():
            value = getattr(self, name)
            if not is_number(value) or not smallest <= value < math.inf:
                raise InputError(
                    f"recipe {self.name!r}: {name} is {value!r}; give a number of at least "
                    f"{smallest}"
                )
        if not self.length or list(self.decay_at) != sorted(self.decay_at):
            raise InputError(
                f"recipe {self.name!r}: length is {self.length} and decay_at {self.decay_at}; give "
                "a length above 0, and points in ascending order"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Updates in which each image of the data set is seen once."""
        return math.ceil(self.images / self.batch_size)

    @property
    def epochs(self) -> float:
        """How often each image is seen, as a number that need not be whole."""
        return self._in_epochs(self.length)

    @property
    def decay_epochs(self) -> Tuple[float, ...]:
        """The epochs after which the learning rate falls, which need not be whole."""
        return tuple(map(self._in_epochs, self.decay_at))

    def scale(self, batch_size: int, images: Optional[int] = None) -> "Recipe":
        """State the schedule for another batch and another data set.

        The rule for the batch is the linear one (Goyal et al. 2017, arXiv:1706.02677), as
        Detectron2's ``auto_scale_workers`` applies it: the learning rate grows in proportion to the
        batch, and iterations shrink in proportion, those of the warm-up included. So each image is
        seen as often as before.

        For a data set of another size, the schedule keeps its epochs, and so it is shorter on a
        smaller data set. The warm-up then keeps its updates, but is never longer than an epoch,
        which is torchvision's rule.

        Parameters
        ----------
        batch_size : int
            Images of an update, on all devices together; at least 1.
        images : int or None
            Images of the data set; None is the one that the recipe was written for.

        Returns
        -------
        Recipe
            The same schedule with ``batch_size`` and ``images``. Its unit is "epochs" if the data
            set has another size.

        Raises
        ------
        InputError
            A size is less than 1.
        """
        images = self.images if images is None else images
        if images < 1:
            raise InputError(f"the data set has {images} images; want at least 1")
        lr = scale_for_batch(self.lr, batch_size, self.batch_size)
        shrink = self.batch_size / batch_size
        length, decay_at, unit = self.length, self.decay_at, self.unit
        if images != self.images:
            length, decay_at, unit = self.epochs, self.decay_epochs, "epochs"
        elif unit == "iterations":
            length = round(length * shrink)
            decay_at = tuple(round(point * shrink) for point in decay_at)
        return replace(
            self,
            batch_size=batch_size,
            images=images,
            lr=lr,
            unit=unit,
            length=length,
            decay_at=decay_at,
            lr_warmup=min(round(self.lr_warmup * shrink), math.ceil(images / batch_size)),
        )

    def in_whole_epochs(self, epochs: Optional[int] = None) -> Tuple[int, Tuple[float, ...]]:
        """Round the length to whole epochs; the learning rate falls at the same part of it.

        Parameters
        ----------
        epochs : int or None
            Another length; None is the recipe's own.

        Returns
        -------
        epochs : int
            The length, at least 1.
        decay_epochs : tuple of float
            The epochs after which the learning rate falls, to two decimals.

        Examples
        --------
        >>> get_recipe("detectron_1x").in_whole_epochs()  # doctest: +SKIP
        (12, (8.0, 10.67))
        """
        whole = max(1, round(self.epochs)) if epochs is None else epochs
        part = whole / self.epochs
        return whole, tuple(round(epoch * part, 2) for epoch in self.decay_epochs)

    def check_network(
        self, norm: Optional[str], freeze_at: Optional[int], pretrained: bool
    ) -> None:
        """Refuse a network that contradicts the recipe.

        Parameters
        ----------
        norm : str or None
            The norm of the network's backbone.
        freeze_at : int or None
            Stages of the network that do not learn; None for the recipe's own number.
        pretrained : bool
            Whether the network starts from pretrained weights.

        Raises
        ------
        InputError
            A recipe from scratch with frozen stages or with pretrained weights, or a recipe for
            other norms.
        """
        if self.norms and norm not in self.norms:
            raise InputError(
                f"recipe {self.name} was written for networks with norm {' or '.join(self.norms)}, "
                f"and this one has {norm}; give --norm {self.norms[0]}, or another recipe"
            )
        if not self.from_scratch:
            return
        if pretrained:
            raise InputError(
                f"recipe {self.name} trains from scratch; leave out --pretrained and "
                "--pretrained-base, or choose a recipe without 'scratch' in its name"
            )
        if freeze_at:
            raise InputError(
                f"recipe {self.name} trains from scratch, and freeze_at={freeze_at} would freeze "
                "stages with random weights, which cost Detectron 3.3 AP (commit f8ffc87); leave "
                "freeze_at out or give freeze_at=0"
            )

    def _in_epochs(self, point: float) -> float:
        """Convert a point of the schedule to epochs."""
        return point if self.unit == "epochs" else point * self.batch_size / self.images
