"""Exports of the tiny detectors."""

from gluonnorm.deploy import export

import numpy as np
from tiny_detector import images, tiny_detector


def exported(folder, kind, dtype="float32", norm="frozen_bn", format="mxnet"):
    """Export a tiny detector.

    Parameters
    ----------
    folder : pathlib.Path
        Where the three files go.
    kind : str
        A key of ``tiny_detector.MODELS``.
    dtype : str
        What the network computes in.
    norm : str
        The norm of the network.
    format : str
        The format of the files.

    Returns
    -------
    str
        The prefix of the files.
    """
    prefix = str(folder / "tiny")
    net = tiny_detector(kind, short=64, max_size=96, norm=norm)
    calibration = _photos() if dtype == "int8" else None
    export(net, prefix, dtype=dtype, calibration=calibration, format=format)
    return prefix


def _photos():
    """Three photos whose normalized pixels are about those of ``tiny_detector.images``."""
    normalized = images(3).asnumpy().transpose(0, 2, 3, 1)
    pixels = np.clip(normalized * 57 + 115, 0, 255)
    return list(pixels.astype(np.uint8))
