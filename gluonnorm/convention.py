"""The geometric details in which two-stage detectors of different codebases disagree."""

from dataclasses import dataclass, fields
from typing import Any, Dict, Tuple

from gluonnorm.errors import InputError, did_you_mean

import numpy as np

# The allowed values of those fields of a BoxConvention that are words.
FIELD_CHOICES: Dict[str, Tuple[str, ...]] = {
    "anchors": ("exact", "rounded", "legacy"),
    "anchor_order": ("size", "ratio"),
    "anchor_stride": ("nominal", "map"),
    "proposal_nms": ("level", "joint"),
    "proposal_scores": ("logit", "sigmoid"),
    "mask_paste": ("sample", "expand", "round"),
}


@dataclass(frozen=True)
class BoxConvention:
    """How a detector makes, reads and compares boxes.

    Weights are trained under one convention. Under another one the network detects less accurately.
    ``CONVENTIONS`` has a preset for each codebase; the defaults are those of Detectron2.

    Attributes
    ----------
    anchors : str
        How the anchors of a cell are computed.
        "exact": ``size / sqrt(ratio)`` wide and ``size * sqrt(ratio)`` high, centered on the origin
        of the cell (Detectron2).
        "rounded": the same, with corners rounded half to even, which moves a corner by up to half a
        pixel (torchvision).
        "legacy": the enumeration of the first Faster R-CNN (Detectron, GluonCV). The sides for each
        ratio are rounded on a window as wide as the stride, then scaled, centered on the window and
        stored with inclusive ends. Areas are off by up to a tenth, and centers are shifted by half
        a stride.
    anchor_order : str
        "size" or "ratio": which of the two varies slowest within a cell. It matters on levels with
        several sizes. A wrong order assigns the outputs of the RPN to the wrong anchors.
    anchor_stride : str
        "nominal": the strides of the levels, 4 to 64 pixels.
        "map": the integer quotient of the side of the padded image and the side of the map
        (torchvision). On the pooled level it is 60 to 62 instead of 64 if the number of cells was
        rounded up.
    inclusive : bool
        Whether the far corner of a box is its last pixel, so that the box is ``x2 - x1 + 1`` wide
        (Detectron). This applies where boxes are coded, clipped (to side - 1), matched and
        suppressed, and makes a difference of about a pixel a side. It is passed on as
        ``Preprocess.inclusive``, by which ground truth is read as ``x + width - 1``, and as
        ``Detections.inclusive``, by which COCO's rows are written with ``x2 - x1 + 1``.
    min_size_offset : float
        Pixels added to the sides of a proposal before they are compared with ``rpn_min_size``
        (GluonCV and Detectron: 1).
    clip_to_padding : bool
        Whether proposals are clipped to the padded image (Detectron) instead of the image itself.
    clip_detections : bool
        Whether final boxes are clipped to the image. GluonCV does not clip them.
    min_detection_size : float
        Final boxes with a shorter side, in pixels, are dropped (torchvision: 0.01).
    proposal_nms : str
        "level": the best ``pre_nms`` proposals of each level are suppressed within their level.
        "joint": the best ``pre_nms`` proposals of all levels are suppressed together (GluonCV).
    proposal_scores : str
        What proposals are sorted by: "logit" or "sigmoid" (torchvision, Detectron, GluonCV). The
        sigmoid rounds different large logits to the same number, whose order is then undefined.
    nms_at_threshold : bool
        Whether an IoU equal to the threshold suppresses (Detectron), or only a larger one.
    level_offset : float
        Pixels added to the width ``w`` and height ``h`` of a RoI before its level is computed as
        ``floor(4 + log2(sqrt(w * h) / 224 + level_eps_inside) + level_eps)``. The three numbers
        decide the level of RoIs on a boundary.
    level_eps_inside : float
        The small number inside the logarithm of that formula.
    level_eps : float
        The small number outside the logarithm of that formula.
    roi_aligned : bool
        True: RoIAlign samples at half-pixel centers, and RoIs have any size (He et al. 2017,
        Detectron2). False: features are read half a cell further down and right, and a RoI counts
        as at least one cell wide and high (torchvision, Detectron, GluonCV).
    mask_paste : str
        How a mask becomes pixels of the image.
        "sample": the mask is read bilinearly at the center of each pixel and thresholded at >= 0.5
        (Detectron2).
        "expand": the mask gets a border of zeros, its box grows accordingly and is truncated to
        integer pixels, and the mask is resized to the box and thresholded at > 0.5 (torchvision,
        Detectron). Edges differ by up to a pixel.
        "round": the same, but corners are rounded, and a mask that shrinks is averaged (GluonCV).

    Raises
    ------
    InputError
        A field has a value that is not among its choices.
    """

    anchors: str = "exact"
    anchor_order: str = "size"
    anchor_stride: str = "nominal"
    inclusive: bool = False
    min_size_offset: float = 0.0
    clip_to_padding: bool = False
    clip_detections: bool = True
    min_detection_size: float = 0.0
    proposal_nms: str = "level"
    proposal_scores: str = "logit"
    nms_at_threshold: bool = False
    level_offset: float = 0.0
    level_eps_inside: float = 1e-8
    level_eps: float = 0.0
    roi_aligned: bool = True
    mask_paste: str = "sample"

    def __post_init__(self) -> None:
        for name, choices in FIELD_CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise InputError(
                    f"BoxConvention.{name} is {value!r}; give one of {', '.join(choices)}"
                )

    @property
    def offset(self) -> float:
        """Pixels added to ``x2 - x1`` for a width: 1 with inclusive corners, else 0."""
        return 1.0 if self.inclusive else 0.0

    def iou_limit(self, thresh: float) -> float:
        """Compute the largest IoU that does not suppress.

        Parameters
        ----------
        thresh : float
            The threshold of the non-maximum suppression, in 0..1.

        Returns
        -------
        float
            ``thresh``, or the float32 number just below it if an equal IoU suppresses.
        """
        if not self.nms_at_threshold:
            return thresh
        return float(np.nextafter(np.float32(thresh), np.float32(0)))

    @classmethod
    def of(cls, value: Any) -> "BoxConvention":
        """Turn any description of a convention into a ``BoxConvention``.

        Parameters
        ----------
        value : BoxConvention, str or dict
            A convention, which is returned as it is; the name of a preset in ``CONVENTIONS``; or
            the fields as a dictionary, as JSON returns them.

        Returns
        -------
        BoxConvention
            The convention.

        Raises
        ------
        InputError
            The value is none of these, or the dictionary has an unknown or wrong field.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str) and value in CONVENTIONS:
            return CONVENTIONS[value]
        if isinstance(value, dict):
            field_names = [field.name for field in fields(cls)]
            for name in value:
                if name not in field_names:
                    hint = did_you_mean(name, field_names)
                    hint = hint or f"; the fields are {', '.join(field_names)}"
                    raise InputError(f"a BoxConvention has no field {name!r}{hint}")
            return cls(**value)
        raise InputError(
            f"convention is {value!r}; give a BoxConvention or one of {', '.join(CONVENTIONS)}"
        )


#: The presets by name. "modern" is that of this package's own models, and has the geometry of
#: Detectron2.
CONVENTIONS: Dict[str, BoxConvention] = {
    "modern": BoxConvention(),
    "detectron2": BoxConvention(),
    "torchvision": BoxConvention(
        anchors="rounded",
        anchor_order="ratio",
        anchor_stride="map",
        min_detection_size=0.01,
        proposal_scores="sigmoid",
        level_eps_inside=0.0,
        level_eps=1e-6,
        roi_aligned=False,
        mask_paste="expand",
    ),
    "detectron": BoxConvention(
        anchors="legacy",
        anchor_order="ratio",
        inclusive=True,
        min_size_offset=1.0,
        clip_to_padding=True,
        proposal_scores="sigmoid",
        nms_at_threshold=True,
        level_offset=1.0,
        level_eps_inside=1e-6,
        roi_aligned=False,
        mask_paste="expand",
    ),
    "gluoncv": BoxConvention(
        anchors="legacy",
        anchor_order="ratio",
        min_size_offset=1.0,
        clip_detections=False,
        proposal_nms="joint",
        proposal_scores="sigmoid",
        level_offset=1.0,
        level_eps_inside=1e-6,
        roi_aligned=False,
        mask_paste="round",
    ),
}
