"""The description of one published file of weights."""

import os
from dataclasses import dataclass
from typing import Optional, Tuple

from gluonnorm.nn import STORED_STATISTICS_NORMS
from gluonnorm.types import IMAGENET_STD

GLUONCV_REPO = "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/"
# The norms that may take stored batch statistics: some only apply a scale and a shift.
BATCH_STATISTICS = (*STORED_STATISTICS_NORMS, "bn", "sync_bn")
GROUP_NORM = ("gn",)
# The deviation by which the pixels of 0..255 were divided, for each order of the channels.
STD = {"RGB": IMAGENET_STD, "BGR": (1.0, 1.0, 1.0)}


@dataclass(frozen=True)
class PublishedWeights:
    """A published file: its address, its checksum, its terms, and the models that it fits.

    Attributes
    ----------
    key : str
        The name of the file in ``PUBLISHED_WEIGHTS``, for example "torchvision/resnet50".
    file : str
        The name of its copy in the cache.
    url : str
        Its address. A ``.zip`` contains ``file``.
    source : str
        The codebase, as :data:`gluonnorm.conversion.SOURCES` names it.
    checksum : str or None
        The algorithm and the leading hexadecimal digits that the publisher states, for example
        "sha1:0ecdba34". For a ``.zip`` it is the checksum of the file in it. None: not stated.
    size : int or None
        The number of bytes; None: unknown.
    license : str or None
        None: the publisher states no license beside the file.
    metric : str or None
        The accuracy that the publisher states.
    models : tuple of str
        The names of the catalogue whose detectors the file fills completely.
    backbones : tuple of str
        The names of the backbones that the file fills.
    norms : tuple of str
        The norms that the stored statistics fit.
    order : str
        The channels of the training images. "RGB": minus the mean of ImageNet and divided by its
        deviation. "BGR": 0..255 minus the mean.
    eps : float or None
        The epsilon that belongs to the stored batch statistics; None: the conversion decides.

    Examples
    --------
    >>> PublishedWeights(
    ...     key="torchvision/resnet50",
    ...     file="resnet50-0676ba61.pth",
    ...     url="https://download.pytorch.org/models/resnet50-0676ba61.pth",
    ...     source="torchvision",
    ...     checksum="sha256:0676ba61",
    ...     backbones=("resnet50_v1b",),
    ... ).order
    'RGB'
    """

    key: str
    file: str
    url: str
    source: str
    checksum: Optional[str] = None
    size: Optional[int] = None
    license: Optional[str] = None
    metric: Optional[str] = None
    models: Tuple[str, ...] = ()
    backbones: Tuple[str, ...] = ()
    norms: Tuple[str, ...] = BATCH_STATISTICS
    order: str = "RGB"
    eps: Optional[float] = None

    def address(self) -> str:
        """Return the address from which the file is fetched.

        Returns
        -------
        str
            ``url``. If the environment variable ``MXNET_GLUON_REPO`` names a mirror, GluonCV's
            files are fetched from it, as MXNet does.
        """
        mirror = os.environ.get("MXNET_GLUON_REPO")
        if mirror and self.url.startswith(GLUONCV_REPO):
            return mirror.rstrip("/") + "/" + self.url[len(GLUONCV_REPO) :]
        return self.url


def coco_metric(box_ap: str, mask_ap: Optional[str]) -> str:
    """Write the accuracy of a detector on COCO.

    Parameters
    ----------
    box_ap : str
        The box AP, with the digits that the publisher states.
    mask_ap : str or None
        The mask AP; None for a detector without masks.

    Returns
    -------
    str
        Both in words.

    Examples
    --------
    >>> coco_metric("37.9", "34.6")
    'box AP 37.9, mask AP 34.6 on COCO val2017'
    """
    if mask_ap is None:
        return f"box AP {box_ap} on COCO val2017"
    return f"box AP {box_ap}, mask AP {mask_ap} on COCO val2017"
