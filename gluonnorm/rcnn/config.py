"""The numbers of a detector in one frozen record, and what a file needs to say to rebuild it."""
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Dict, Optional, Tuple

from gluonnorm.convention import BoxConvention
from gluonnorm.ops.coder import DELTA_CLIP, Stds
from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class DetectorConfig:
    """Every setting of a two-stage detector that is not its architecture; names are GluonCV's where it has one.

    ``convention``: the geometry, a :class:`BoxConvention` or the name of a preset.
    Input: ``short`` to ``rounding`` as in :class:`gluonnorm.types.Preprocess`; ``normalize`` None means "unless the
    network's own rescale layer does it"; ``multiple`` None is the coarsest stride, at most 32.
    Anchors: ``anchor_sizes`` holds, for each feature level, the square roots of the anchors' areas in pixels;
    ``anchor_ratios`` are height / width.
    Proposals: per level the ``pre_nms`` best are decoded and suppressed, over all levels ``post_nms`` survive.
    Sampling: ``rpn_num_sample`` anchors and ``num_sample`` RoIs an image, at most ``*_pos_ratio`` of them positive.
    Detection: as in :func:`gluonnorm.ops.nms.per_class_nms`.
    ``freeze_at``: 0 trains everything, 1 freezes the stem, 2 the first stage as well, and so on; None means 2 where
    pretrained weights were loaded and 0 otherwise (a frozen random stem costs about 3 AP, Detectron f8ffc87).
    """
    convention: BoxConvention = BoxConvention()
    short: Tuple[int, ...] = (800,)
    max_size: int = 1333
    normalize: Optional[bool] = None
    mean: Tuple[float, float, float] = IMAGENET_MEAN
    std: Tuple[float, float, float] = IMAGENET_STD
    order: str = "RGB"
    resize: str = "pixel"
    rounding: str = "nearest"
    multiple: Optional[int] = None
    freeze_at: Optional[int] = None
    fpn_channels: int = 256
    anchor_sizes: Tuple[Tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    anchor_ratios: Tuple[float, ...] = (0.5, 1.0, 2.0)
    rpn_channels: int = 256
    rpn_convs: int = 1
    rpn_train_pre_nms: int = 2000
    rpn_train_post_nms: int = 1000
    rpn_test_pre_nms: int = 1000
    rpn_test_post_nms: int = 1000
    rpn_nms_thresh: float = 0.7
    rpn_min_size: float = 0.0
    rpn_num_sample: int = 256
    rpn_pos_iou_thresh: float = 0.7
    rpn_neg_iou_thresh: float = 0.3
    rpn_pos_ratio: float = 0.5
    rpn_smoothl1_beta: float = 1.0 / 9.0
    roi_size: int = 7
    roi_sample_ratio: int = 2
    mask_roi_size: int = 14
    mask_channels: int = 256
    num_sample: int = 512
    pos_iou_thresh: float = 0.5
    pos_ratio: float = 0.25
    box_stds: Stds = (0.1, 0.1, 0.2, 0.2)
    delta_clip: float = DELTA_CLIP
    rcnn_smoothl1_beta: float = 1.0
    nms_thresh: float = 0.5
    score_thresh: float = 0.05
    max_detections: int = 100
    max_candidates: int = 1000

    def __post_init__(self) -> None:
        object.__setattr__(self, "convention", BoxConvention.of(self.convention))
        for field in fields(self):  # JSON and shells give lists and bare numbers where tuples are meant
            object.__setattr__(self, field.name, _as_tuples(getattr(self, field.name)))
        if isinstance(self.short, int):
            object.__setattr__(self, "short", (self.short,))
        for name in ("rpn_nms_thresh", "nms_thresh", "score_thresh", "pos_iou_thresh", "pos_ratio", "rpn_pos_ratio",
                     "rpn_pos_iou_thresh", "rpn_neg_iou_thresh"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and 0 <= value <= 1):
                raise ValueError(f"{name} is {value!r}; it must lie in 0..1")
        for name in ("max_detections", "max_candidates", "roi_size", "mask_roi_size", "mask_channels", "rpn_channels",
                     "num_sample", "rpn_num_sample", "rpn_train_pre_nms", "rpn_train_post_nms", "rpn_test_pre_nms",
                     "rpn_test_post_nms"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
        for name in ("rpn_smoothl1_beta", "rcnn_smoothl1_beta", "delta_clip"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and value > 0):
                raise ValueError(f"{name} is {value!r}; it must be a positive number")
        if self.rpn_convs not in (1, 2):
            raise ValueError(f"rpn_convs is {self.rpn_convs!r}; the RPN's head has 1 or 2 convolutions")
        if self.rpn_neg_iou_thresh > self.rpn_pos_iou_thresh:
            raise ValueError(f"rpn_neg_iou_thresh is {self.rpn_neg_iou_thresh}, above rpn_pos_iou_thresh "
                             f"{self.rpn_pos_iou_thresh}; an anchor cannot be both")
        sizes_per_map = {len(sizes) if isinstance(sizes, tuple) else 0 for sizes in self.anchor_sizes}
        if len(sizes_per_map) != 1 or 0 in sizes_per_map:  # the maps share the RPN's weights, one row of them an anchor
            raise ValueError(f"anchor_sizes is {self.anchor_sizes!r}; give one tuple of sizes a map, all equally long")

    def override(self, **changes: Any) -> "DetectorConfig":
        """A copy with some fields changed; an unknown name raises TypeError with the nearest right ones."""
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                nearest = ", ".join(get_close_matches(name, known, n=3, cutoff=0.4)) or ", ".join(known)
                raise TypeError(f"no option {name!r}; nearest: {nearest}")
        return replace(self, **changes)


@dataclass(frozen=True)
class ModelSpec:
    """What must be known to build the same network again; ``dataclasses.asdict`` of it goes into every file."""
    model: str
    norm: str
    head_norm: Optional[str]
    rescale: Optional[str]
    classes: Tuple[str, ...]
    config: DetectorConfig

    @classmethod
    def from_dict(cls, record: Dict[str, Any]) -> "ModelSpec":
        """The inverse of ``dataclasses.asdict``, also after a trip through JSON."""
        return cls(model=record["model"], norm=record["norm"], head_norm=record["head_norm"],
                   rescale=record["rescale"], classes=tuple(record["classes"]),
                   config=DetectorConfig().override(**record["config"]))


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value
