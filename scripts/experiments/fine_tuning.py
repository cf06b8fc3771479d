"""Fine-tuning from ImageNet weights: which norm in the backbone, and which in the fresh head.

Detectron, GluonCV and torchvision freeze the norms of a pretrained backbone when a device has one
or two images; "Group Normalization" (arXiv 1803.08494) puts group norm into the head. The backbone
is ResNet-50 v2, the head its last stage, which starts fresh in all rows.
"""

import shlex
from typing import List, Tuple

from experiments.data_sets import BCCD_FLAGS
from experiments.rows import RESNET50_V2, Experiment, Row

SCHEDULE_FLAGS = """
    --epochs 2 --val-interval 2 --save-interval 0 --lr-mode cosine --clip-gradient 10
    --dtype bfloat16
"""
SETTINGS = """
    short=192 max_size=256 roi_size=7 rpn_channels=256 num_sample=32 pos_ratio=0.5
    rpn_pos_iou_thresh=0.5 rpn_train_pre_nms=1500 rpn_train_post_nms=300 rpn_test_pre_nms=1500
    rpn_test_post_nms=200 'anchor_sizes=((12, 19, 30, 48, 77),)' anchor_ratios=(1.0,)
"""
RATE_PER_IMAGE = 0.004
WARMUP_UPDATES = 40
# The norm of the backbone, that of the head, and images a batch.
CASES = (
    ("frozen_bn", "frozen_bn", 1),
    ("frozen_bn", "gn", 1),
    ("frozen_bn", "gn", 2),
    ("frozen_bn", "sn", 1),
    ("frozen_bn", "bn", 1),
    ("frozen_bn", "bn", 2),
    ("global_bn", "gn", 1),
    ("bn", "gn", 1),
    ("bn", "gn", 2),
    ("bn", "bn", 1),
    ("bn", "bn", 2),
)


def fine_tuning_flags(weights: str, *settings: str) -> List[str]:
    """List the flags of a run that fine-tunes on the blood cells.

    Parameters
    ----------
    weights : str
        The weights of the backbone.
    *settings : str
        Further settings of the detector, such as ``"normalize=False"``.

    Returns
    -------
    list of str
        Flags of the training script, without those of norms, batch and rate.
    """
    network = ("--network", "faster_rcnn_resnet50_v2_custom", "--pretrained-base", weights)
    schedule = shlex.split(SCHEDULE_FLAGS)
    return [*network, *BCCD_FLAGS, *schedule, "--set", *shlex.split(SETTINGS), *settings]


def _make_rows() -> Tuple[Row, ...]:
    """Make the rows; the rate follows the linear rule."""
    rows: List[Row] = []
    for norm, head_norm, batch_size in CASES:
        factors = {"backbone": norm, "head": head_norm, "images a batch": str(batch_size)}
        flags = [*fine_tuning_flags(RESNET50_V2), "--norm", norm, "--head-norm", head_norm]
        flags += ["--batch-size", str(batch_size), "--lr", f"{RATE_PER_IMAGE * batch_size:g}"]
        flags += ["--lr-warmup", str(WARMUP_UPDATES // batch_size)]
        rows.append(Row(f"{norm}-{head_norm}-{batch_size}", factors, tuple(flags)))
    return tuple(rows)


FINE_TUNING = Experiment(
    name="fine_tuning",
    title="Norms in fine-tuning from ImageNet weights",
    rows=_make_rows(),
    scores=("AP", "AP50"),
    panel="images a batch",
    x="backbone",
    series="head",
)
