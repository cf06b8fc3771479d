"""Exported files of the tiny detectors."""
from gluonnorm.deploy import export

import numpy as np
from tiny_detector import images, tiny_detector


def exported(folder, kind, dtype="float32", norm="frozen_bn"):
    """The prefix of the files."""
    photos = list(np.clip(images(3).asnumpy().transpose(0, 2, 3, 1) * 57 + 115, 0, 255).astype(np.uint8))
    prefix = str(folder / "tiny")
    export(tiny_detector(kind, short=64, max_size=96, norm=norm), prefix, dtype=dtype,
           calibration=photos if dtype == "int8" else None)
    return prefix
