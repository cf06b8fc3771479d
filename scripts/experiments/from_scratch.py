"""Detectors from scratch on real images, small enough for a few minutes on one core."""

from typing import Tuple

from experiments.data_sets import BCCD_FLAGS, NUCLEI_FLAGS

EPOCHS = 4
RATE_PER_IMAGE = 0.0025
# Images of the training sets, for the length of the warm-up.
NUM_IMAGES = {"nuclei": 200, "blood": 205}
WARMUP_SHARE = 0.1
SHARED_FLAGS = (
    "--epochs",
    str(EPOCHS),
    "--val-interval",
    str(EPOCHS),
    "--lr-mode",
    "cosine",
    "--clip-gradient",
    "10",
)
SHARED_SETTINGS = (
    "freeze_at=0",
    "fpn_channels=64",
    "rpn_channels=64",
    "num_sample=64",
    "rpn_train_pre_nms=1000",
    "rpn_train_post_nms=300",
    "rpn_test_pre_nms=1000",
    "rpn_test_post_nms=300",
    "rpn_pos_iou_thresh=0.5",
)
DATA = {
    "nuclei": (
        "--network",
        "mask_rcnn_fpn_resnet18_v1b_custom",
        *NUCLEI_FLAGS,
        "--set",
        *SHARED_SETTINGS,
        "short=256",
        "max_size=256",
        "mask_channels=64",
        "anchor_sizes=((8,),(16,),(32,),(64,),(128,))",
    ),
    "blood": (
        "--network",
        "faster_rcnn_fpn_resnet18_v1b_custom",
        *BCCD_FLAGS,
        "--set",
        *SHARED_SETTINGS,
        "short=192",
        "max_size=256",
        "anchor_sizes=((12,),(24,),(48,),(96,),(192,))",
    ),
}


def scratch_flags(data: str, norm: str, images_of_update: int) -> Tuple[str, ...]:
    """List the flags of a run that sees a data set four times.

    Parameters
    ----------
    data : str
        A key of ``DATA``.
    norm : str
        The norm of all layers.
    images_of_update : int
        Images of an update. Rate and warm-up follow from it, by the linear rule.

    Returns
    -------
    tuple of str
        Flags of the training script, without those of the batch and of the number type.
    """
    updates = EPOCHS * NUM_IMAGES[data] / images_of_update
    return (
        *DATA[data],
        *SHARED_FLAGS,
        "--norm",
        norm,
        "--lr",
        f"{RATE_PER_IMAGE * images_of_update:g}",
        "--lr-warmup",
        str(round(WARMUP_SHARE * updates)),
    )
