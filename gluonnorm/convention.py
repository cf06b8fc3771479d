"""The geometric details in which two-stage detectors of different codebases disagree, in one frozen record."""
from dataclasses import dataclass, fields
from typing import Any, Dict

import numpy as np

ANCHORS = ("exact", "rounded", "legacy")
ANCHOR_ORDERS = ("size", "ratio")
ANCHOR_STRIDES = ("nominal", "map")
PROPOSAL_NMS = ("level", "joint")
PROPOSAL_SCORES = ("logit", "sigmoid")
MASK_PASTES = ("sample", "expand", "round")


@dataclass(frozen=True)
class BoxConvention:
    """How boxes are made, read and compared. Weights trained under one convention lose accuracy under another.

    Anchors
        ``anchors``: "exact", ``size / sqrt(ratio)`` by ``size * sqrt(ratio)`` about the origin of the cell
        (Detectron2); "rounded", the same with corners rounded half to even (torchvision: up to half a pixel a
        corner); "legacy", the enumeration of the first Faster R-CNN: sides for each ratio rounded on a window as wide
        as the stride, then scaled, centred on the window and stored with inclusive ends (Detectron, GluonCV: areas
        off by up to a tenth, shifted by half a stride). ``anchor_order``: which of size and ratio varies slowest
        within a cell, where a level has several sizes; a wrong order assigns the RPN's outputs to the wrong anchors.
        ``anchor_stride``: "nominal", 4 to 64 pixels; "map", the padded image's side divided by the map's, whole
        (torchvision: 60 to 62 instead of 64 on the pooled level where the number of its cells was rounded up).
    Boxes
        ``inclusive``: a box's far corner is its last pixel, so that it is ``x2 - x1 + 1`` wide, when it is coded,
        clipped (to side - 1) and suppressed (Detectron: about a pixel a side). ``min_size_offset``: added to a
        proposal's sides before they are compared with ``rpn_min_size`` (GluonCV: 1). ``clip_to_padding``: proposals
        are cut to the padded image (Detectron), not to the image. ``clip_detections``: whether final boxes are cut to
        the image (GluonCV leaves them). ``min_detection_size``: final boxes with a shorter side are dropped
        (torchvision: 0.01).
    Suppression
        ``proposal_nms``: "level", the best ``pre_nms`` of each level compete with their own level; "joint", the best
        ``pre_nms`` of all levels compete with each other (GluonCV). ``proposal_scores``: what they are sorted by,
        "logit" or "sigmoid"; the latter makes large logits equal (beyond 17, all), in an order that no one
        promises (torchvision, Detectron). ``nms_at_threshold``: an IoU equal to the threshold suppresses
        (Detectron).
    RoIs
        The level is ``floor(4 + log2(sqrt(w * h) / 224 + level_eps_inside) + level_eps)``, with ``level_offset``
        added to w and h; RoIs on a boundary change levels with it. ``roi_aligned``: sample at half-pixel centres,
        RoIs of any size (He et al. 2017, Detectron2); otherwise features are read half a cell down and right, and
        RoIs count as at least one cell wide (torchvision, Detectron, GluonCV).
    Masks
        ``mask_paste``: "sample", the mask is read bilinearly at each pixel's centre and kept from 0.5 on (Detectron2);
        "expand", a border of zeros is added, the box grown alike and truncated to whole pixels, the mask resized to it
        and kept above 0.5 (torchvision, Detectron: up to a pixel at the edges); "round", the same with the corners
        rounded and the mask averaged where it shrinks (GluonCV).
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
        for name, choices in (("anchors", ANCHORS), ("anchor_order", ANCHOR_ORDERS), ("mask_paste", MASK_PASTES),
                              ("anchor_stride", ANCHOR_STRIDES), ("proposal_nms", PROPOSAL_NMS),
                              ("proposal_scores", PROPOSAL_SCORES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"BoxConvention.{name} is {getattr(self, name)!r}; give one of {', '.join(choices)}")

    @property
    def offset(self) -> float:
        """What is added to ``x2 - x1`` to get a width: 1 with inclusive corners, else 0."""
        return 1.0 if self.inclusive else 0.0

    def iou_limit(self, thresh: float) -> float:
        """The largest IoU that does not suppress."""
        return float(np.nextafter(np.float32(thresh), np.float32(0))) if self.nms_at_threshold else thresh

    @classmethod
    def of(cls, value: Any) -> "BoxConvention":
        """A preset by its name, a record from its dict (as JSON gives it back), or a record as it is."""
        if isinstance(value, cls):
            return value
        if isinstance(value, str) and value in CONVENTIONS:
            return CONVENTIONS[value]
        if isinstance(value, dict) and set(value) <= {field.name for field in fields(cls)}:
            return cls(**value)
        raise ValueError(f"convention is {value!r}; give a BoxConvention or one of {', '.join(CONVENTIONS)}")


_LEGACY: Dict[str, Any] = {"anchors": "legacy", "anchor_order": "ratio", "min_size_offset": 1.0, "level_offset": 1.0,
           "level_eps_inside": 1e-6, "proposal_scores": "sigmoid", "roi_aligned": False, "mask_paste": "expand"}
CONVENTIONS: Dict[str, BoxConvention] = {
    "modern": BoxConvention(),
    "detectron2": BoxConvention(),
    "torchvision": BoxConvention(anchors="rounded", anchor_order="ratio", anchor_stride="map", min_detection_size=0.01,
                                 proposal_scores="sigmoid",
                                 level_eps_inside=0.0, level_eps=1e-6, roi_aligned=False, mask_paste="expand"),
    "detectron": BoxConvention(inclusive=True, clip_to_padding=True, nms_at_threshold=True, **_LEGACY),
    "gluoncv": BoxConvention(clip_detections=False, proposal_nms="joint", **{**_LEGACY, "mask_paste": "round"}),
}
