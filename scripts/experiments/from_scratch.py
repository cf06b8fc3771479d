"""Detectors from scratch on real images, small enough for a few minutes on one core."""

from typing import List, NamedTuple, Tuple

from experiments.data_sets import BCCD_FLAGS, NUCLEI_FLAGS

EPOCHS = 4
RATE_PER_IMAGE = 0.0025
WARMUP_SHARE = 0.1
SHARED_FLAGS = (
    f"--epochs {EPOCHS} --val-interval {EPOCHS} --lr-mode cosine --clip-gradient 10".split()
)
SHARED_SETTINGS = """
    freeze_at=0 fpn_channels=64 rpn_channels=64 num_sample=64 rpn_train_pre_nms=1000
    rpn_train_post_nms=300 rpn_test_pre_nms=1000 rpn_test_post_nms=300 rpn_pos_iou_thresh=0.5
""".split()


class ScratchData(NamedTuple):
    """A data set, and a detector that learns it from scratch.

    Attributes
    ----------
    network : str
        The name of the detector.
    flags : list of str
        Flags that read the data set.
    settings : tuple of str
        Settings that only this detector needs.
    num_images : int
        Images of the training set, for the length of the warm-up.
    longer_side : float
        The longer side of an image, in shorter sides.
    smallest_anchor : float
        The side of the smallest anchors, in shorter sides. Each level's are twice as long.
    """

    network: str
    flags: List[str]
    settings: Tuple[str, ...]
    num_images: int
    longer_side: float
    smallest_anchor: float


DATA = {
    "nuclei": ScratchData(
        network="mask_rcnn_fpn_resnet18_v1b_custom",
        flags=NUCLEI_FLAGS,
        settings=("mask_channels=64",),
        num_images=200,
        longer_side=1,
        smallest_anchor=1 / 32,
    ),
    "blood": ScratchData(
        network="faster_rcnn_fpn_resnet18_v1b_custom",
        flags=BCCD_FLAGS,
        settings=(),
        num_images=205,
        longer_side=4 / 3,
        smallest_anchor=1 / 16,
    ),
}
LEVELS = 5


def scratch_flags(data: str, short: int, norm: str, images_of_update: int) -> Tuple[str, ...]:
    """List the flags of a run that sees a data set four times.

    Parameters
    ----------
    data : str
        A key of ``DATA``.
    short : int
        The shorter side of the images, in pixels.
    norm : str
        The norm of the backbone. ``bn`` and ``frozen_bn`` leave pyramid and heads without norms.
    images_of_update : int
        Images of an update. Rate and warm-up follow from it, by the linear rule.

    Returns
    -------
    tuple of str
        Flags of the training script, without those of the batch and of the number type.
    """
    detector = DATA[data]
    sides = [round(short * detector.smallest_anchor * 2**level) for level in range(LEVELS)]
    anchors = ",".join(f"({side},)" for side in sides)
    updates = EPOCHS * detector.num_images / images_of_update
    return (
        "--network",
        detector.network,
        *detector.flags,
        "--set",
        *SHARED_SETTINGS,
        f"short={short}",
        f"max_size={round(short * detector.longer_side)}",
        *detector.settings,
        f"anchor_sizes=({anchors})",
        *SHARED_FLAGS,
        "--norm",
        norm,
        "--lr",
        f"{RATE_PER_IMAGE * images_of_update:g}",
        "--lr-warmup",
        str(round(WARMUP_SHARE * updates)),
    )
