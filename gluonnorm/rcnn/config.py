"""The settings of a detector in one frozen record."""

from dataclasses import dataclass, fields, replace
from typing import Any, Dict, Optional, Sequence, Tuple

from gluonnorm.convention import BoxConvention
from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.ops.coder import DELTA_CLIP, DeltaStds
from gluonnorm.rcnn.anchors import cell_anchors
from gluonnorm.rcnn.setting_checks import (
    COUNT,
    COUNT_OR_ALL,
    FLAG,
    FRACTION,
    INTEGER_FROM_0,
    NOT_NEGATIVE,
    POSITIVE_NUMBER,
    POSITIVE_TUPLE,
    Requirement,
    check_anchor_sizes,
    check_setting,
    one_of,
    optional,
    positive_tuple_of,
)
from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD, AnchorGrid, Preprocess

import numpy as np

# Settings that are numbers in 0..1.
FRACTIONS = (
    "rpn_nms_thresh",
    "rpn_pos_iou_thresh",
    "rpn_neg_iou_thresh",
    "rpn_pos_ratio",
    "pos_iou_thresh",
    "pos_ratio",
    "nms_thresh",
    "score_thresh",
)
# Settings that are integers of at least 1.
COUNTS = (
    "fpn_channels",
    "rpn_channels",
    "rpn_train_pre_nms",
    "rpn_train_post_nms",
    "rpn_test_pre_nms",
    "rpn_test_post_nms",
    "rpn_num_sample",
    "roi_size",
    "mask_roi_size",
    "mask_channels",
    "num_sample",
    "max_detections",
    "max_candidates",
)
POSITIVE_NUMBERS = ("rpn_smoothl1_beta", "rcnn_smoothl1_beta", "delta_clip")
# What the values of settings must be. Preprocess checks those of the input, and BoxConvention its
# own fields.
REQUIREMENTS: Dict[str, Requirement] = {
    **dict.fromkeys(FRACTIONS, FRACTION),
    **dict.fromkeys(COUNTS, COUNT),
    **dict.fromkeys(POSITIVE_NUMBERS, POSITIVE_NUMBER),
    "nms_topk": COUNT_OR_ALL,
    "force_nms": FLAG,
    "roi_sample_ratio": INTEGER_FROM_0,
    "rpn_min_size": NOT_NEGATIVE,
    "rpn_convs": one_of(1, 2),
    "freeze_at": optional(INTEGER_FROM_0),
    "box_stds": positive_tuple_of(4),
    "anchor_ratios": POSITIVE_TUPLE,
}
SINGLE_STRIDE = 16  # pixels, of the map of a network without a pyramid


@dataclass(frozen=True)
class DetectorConfig:
    """Every setting of a two-stage detector that is not its architecture.

    Settings that also exist in GluonCV have GluonCV's names. Lists become tuples. A wrong value
    raises InputError when the record is made.

    Attributes
    ----------
    convention : BoxConvention or str
        The geometric details in which codebases disagree: a record, or the name of a preset.
    short : tuple of int
        Lengths of the shorter side after resizing, in pixels, each at least 1. Training draws one
        of them, inference takes the last. A single int becomes a tuple of one.
        :class:`gluonnorm.types.Preprocess` explains this setting and all down to ``multiple``.
    max_size : int
        Largest length of the longer side after resizing, in pixels; at least the largest of
        ``short``.
    normalize : bool, optional
        Whether the input is normalized before the network. None means that it is, unless the
        network has a rescale layer that normalizes.
    mean, std : tuple of float
        Mean and standard deviation of red, green and blue, in 0..255; the second are positive.
    order : str
        The order of the channels: "RGB" or "BGR".
    resize : str
        How pixels are interpolated: "pixel", "float" or "antialias".
    rounding : str
        How the lengths of the sides are rounded to integers: "nearest", "even" or "floor".
    multiple : int, optional
        The network pads both sides to multiples of this number of pixels, at least 1. None means
        the coarsest stride, but at most 32.
    freeze_at : int, optional
        How much is frozen: 0 nothing, 1 the stem, 2 stage 1 as well, and so on. None means
        2 if pretrained weights were loaded, else 0; a frozen stem with random weights costs about
        3 AP (Detectron, commit f8ffc87).
    fpn_channels : int
        Channels of the maps of a pyramid.
    anchor_sizes : tuple of tuple of float
        For each feature map the square roots of the anchors' areas, in pixels; all equally long.
    anchor_ratios : tuple of float
        Heights of the anchors divided by their widths.
    rpn_channels : int
        Channels of the hidden layers of the RPN.
    rpn_convs : int
        3x3 convolutions of the RPN: 1 or 2.
    rpn_train_pre_nms, rpn_test_pre_nms : int
        Boxes of each level that enter the NMS of the proposals, in training and in inference.
    rpn_train_post_nms, rpn_test_post_nms : int
        Proposals of an image, over all levels, in training and in inference.
    rpn_nms_thresh : float
        IoU in 0..1 above which the better proposal suppresses the other.
    rpn_min_size : float
        Proposals with a side shorter than this are dropped; in pixels.
    rpn_num_sample : int
        Anchors of an image that the losses of the RPN read.
    rpn_pos_iou_thresh : float
        Anchors with at least this IoU are positive; in 0..1.
    rpn_neg_iou_thresh : float
        Anchors with a smaller IoU are negative; in 0..1, at most ``rpn_pos_iou_thresh``.
    rpn_pos_ratio : float
        The largest part of the sampled anchors that is positive, in 0..1.
    rpn_smoothl1_beta : float
        Beta of the smooth L1 loss of the RPN's deltas.
    roi_size : int
        Cells on a side of the features of a RoI.
    roi_sample_ratio : int
        Samples in such a cell along each axis; 0 takes one for each cell of the feature map.
    mask_roi_size : int
        Cells on a side of the features of a RoI that the mask head reads.
    mask_channels : int
        Channels of the hidden layers of the mask head.
    num_sample : int
        RoIs of an image that the losses of the heads read.
    pos_iou_thresh : float
        RoIs with at least this IoU are positive, all others are negative; in 0..1.
    pos_ratio : float
        The largest part of the sampled RoIs that is positive, in 0..1.
    box_stds : tuple of float
        Standard deviations by which the four deltas of a box are divided.
    delta_clip : float
        The largest logarithm of the factor by which a box grows in one decoding.
    rcnn_smoothl1_beta : float
        Beta of the smooth L1 loss of the box head's deltas.
    nms_thresh : float
        IoU in 0..1 above which the better detection of a class suppresses the other.
    nms_topk : int
        The most candidates of each class that enter the NMS of the detections; -1 for all.
    force_nms : bool
        Whether detections of different classes suppress each other. ``nms_topk`` then counts the
        candidates of all classes together.
    score_thresh : float
        Detections have scores above it; in 0..1.
    max_detections : int
        Rows that the network returns for each image.
    max_candidates : int
        (RoI, class) pairs of an image that enter the NMS of the detections.

    Examples
    --------
    >>> config = DetectorConfig(short=600, nms_thresh=0.3)
    >>> config.short, config.override(nms_thresh=0.5).nms_thresh
    ((600,), 0.5)
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
    box_stds: DeltaStds = (0.1, 0.1, 0.2, 0.2)
    delta_clip: float = DELTA_CLIP
    rcnn_smoothl1_beta: float = 1.0
    nms_thresh: float = 0.5
    nms_topk: int = -1
    force_nms: bool = False
    score_thresh: float = 0.05
    max_detections: int = 100
    max_candidates: int = 1000

    def __post_init__(self) -> None:
        object.__setattr__(self, "convention", BoxConvention.of(self.convention))
        # JSON has lists where this record has tuples, and a command line gives a bare number. A
        # number or an array of NumPy could not be written to a checkpoint or a manifest.
        for field in fields(self):
            value = getattr(self, field.name)
            object.__setattr__(self, field.name, _plain(value))
        if isinstance(self.short, int):
            object.__setattr__(self, "short", (self.short,))
        self._check_input()
        self._check_requirements()
        self._check_anchors()

    def override(self, **changes: Any) -> "DetectorConfig":
        """Copy the settings with some of them changed.

        Parameters
        ----------
        **changes
            Fields and their new values.

        Returns
        -------
        DetectorConfig
            The changed copy.

        Raises
        ------
        InputError
            There is no setting of that name, or a value is wrong.
        """
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                hint = did_you_mean(name, known) or f"; the settings are {', '.join(known)}"
                raise InputError(f"a detector has no setting {name!r}{hint}")
        return replace(self, **changes)

    def preprocess(self, normalize: bool, multiple: int) -> Preprocess:
        """Collect what happens to a photo before the network sees it.

        Parameters
        ----------
        normalize : bool
            The value in place of a setting ``normalize`` that is None.
        multiple : int
            The value in place of a setting ``multiple`` that is None; in pixels.

        Returns
        -------
        gluonnorm.types.Preprocess
            The rules for the network's input.

        Raises
        ------
        InputError
            A setting of the input is wrong.
        """
        return Preprocess(
            short=self.short,
            max_size=self.max_size,
            normalize=normalize if self.normalize is None else self.normalize,
            mean=self.mean,
            std=self.std,
            order=self.order,
            resize=self.resize,
            rounding=self.rounding,
            multiple=multiple if self.multiple is None else self.multiple,
            inclusive=self.convention.inclusive,
        )

    def anchor_grids(self, strides: Optional[Sequence[int]] = None) -> Tuple[AnchorGrid, ...]:
        """Compute the anchors of a cell of each feature map.

        Parameters
        ----------
        strides : sequence of int, optional
            The strides of the backbone's maps in pixels. None takes 4, 8, 16, ... for a pyramid,
            and 16 for a single map.

        Returns
        -------
        tuple of AnchorGrid
            One for each entry of ``anchor_sizes``.

        Raises
        ------
        InputError
            There are more or fewer strides than entries of ``anchor_sizes``.

        Examples
        --------
        >>> grids = DetectorConfig().anchor_grids()
        >>> [grid.stride for grid in grids], grids[0].anchors[1].tolist()
        ([4, 8, 16, 32, 64], [-16.0, -16.0, 16.0, 16.0])
        """
        levels = len(self.anchor_sizes)
        if strides is None:
            strides = [SINGLE_STRIDE] if levels == 1 else [4 << level for level in range(levels)]
        if len(strides) != levels:
            raise InputError(
                f"{len(strides)} strides for {levels} levels of anchor_sizes; give one for each"
            )
        grids = []
        for stride, sizes in zip(strides, self.anchor_sizes):
            anchors = cell_anchors(stride, sizes, self.anchor_ratios, self.convention)
            # The far corners of an AnchorGrid are exclusive, those of some conventions inclusive.
            anchors[:, 2:] += self.convention.offset
            spans_input = self.convention.anchor_stride == "map"
            grids.append(AnchorGrid(stride, anchors, spans_input))
        return tuple(grids)

    def _check_input(self) -> None:
        """Check the settings of the network's input: Preprocess raises InputError for them."""
        self.preprocess(normalize=True, multiple=1)

    def _check_requirements(self) -> None:
        """Check the settings that have a requirement of their own."""
        for name, requirement in REQUIREMENTS.items():
            check_setting(name, getattr(self, name), requirement)

    def _check_anchors(self) -> None:
        """Check the anchors, and the thresholds that make them positive or negative."""
        check_anchor_sizes(self.anchor_sizes)
        if self.rpn_neg_iou_thresh > self.rpn_pos_iou_thresh:
            raise InputError(
                f"rpn_neg_iou_thresh is {self.rpn_neg_iou_thresh}, above rpn_pos_iou_thresh "
                f"{self.rpn_pos_iou_thresh}; an anchor cannot be both negative and positive"
            )


def _plain(value: Any) -> Any:
    """Turn lists into tuples, also nested ones, and NumPy's numbers and arrays into Python's."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return value
    return tuple(_plain(item) for item in value)
