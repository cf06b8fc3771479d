"""What a row of the catalogue says."""
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple


@dataclass(frozen=True)
class Model:
    """A detector of the catalogue.

    ``neck`` is "c4" (one map of stride 16, res5 on every RoI) or "fpn"; ``head`` is "res5", "2fc", "pool2fc" (an
    average over 3x3 first, GluonCV's Mask R-CNN), "1conv1fc" or "4conv1fc"; ``mask_convs`` is the number of
    convolutions of the mask head, None for a detector without one; ``normed``: neck and heads have the backbone's
    norm, whichever it is; ``fpn_extra`` says how the coarsest level is made ("pool", or "conv" as GluonCV does).
    ``classes`` None means that the caller names them. ``settings`` are the fields of ``DetectorConfig`` that differ
    from its defaults.
    """
    name: str
    backbone: str
    neck: str
    head: str
    classes: Optional[Tuple[str, ...]]
    norm: str = "frozen_bn"
    fpn_extra: str = "pool"
    mask_convs: Optional[int] = None
    normed: bool = False
    settings: Dict[str, Any] = field(default_factory=dict)
