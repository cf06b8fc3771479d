"""The rules of the automatic recipe, each left out in turn.

A row gives one value by hand, that of the codebases for COCO, where the recipe would follow a rule.
All other values follow from the rules. The data set is drawn. Its photos are small, so the rules
keep their size, and a run takes few minutes. All rows but one see the same number of photos.
"""

from typing import Dict, Tuple

from experiments.rows import SHAPES, Experiment, Row

SHARED_FLAGS = f"""
    --network faster_rcnn_fpn_resnet18_v1b_custom
    --dataset coco --data-root {SHAPES} --train-split train --val-split val
    --recipe auto --epochs 4 --val-interval 4 --save-interval 0
""".split()
# What a row gives in place of a rule.
REPLACED: Dict[str, Tuple[str, ...]] = {
    "nothing": (),
    "anchor sizes 32 to 512": ("--set", "anchor_sizes=((32,),(64,),(128,),(256,),(512,))"),
    "anchor ratios 0.5, 1, 2": ("--set", "anchor_ratios=(0.5,1,2)"),
    "positive anchors from 0.7": ("--set", "rpn_pos_iou_thresh=0.7"),
    "1000 proposals": (
        "--set",
        "rpn_train_pre_nms=2000",
        "rpn_train_post_nms=2000",
        "rpn_test_pre_nms=1000",
        "rpn_test_post_nms=1000",
    ),
    "512 RoIs": ("--set", "num_sample=512"),
    "final NMS from 0.5": ("--set", "nms_thresh=0.5"),
    "short side 96": ("--set", "short=96"),
    "short side 192": ("--set", "short=192"),
    # What such photos have in the time of the others.
    "short side 192, two thirds of the updates": ("--set", "short=192", "--epoch-steps", "80"),
    # The recipe's is 0.008, for two photos an update.
    "rate 0.0025": ("--lr", "0.0025"),
    "no warm-up": ("--lr-warmup", "0"),
    "rate in two steps": ("--lr-mode", "step", "--lr-decay-epoch", "2.7,3.6"),
    "gradients not clipped": ("--clip-gradient", "0"),
    "norms in the backbone alone": ("--head-norm", "frozen_bn"),
}


def _make_row(name: str, flags: Tuple[str, ...]) -> Row:
    """Make a row."""
    label = name.replace(",", "").replace(" ", "-")
    return Row(label, {"data": "shapes", "in place of a rule": name}, (*SHARED_FLAGS, *flags))


RULES = Experiment(
    name="rules",
    title="The rules of the automatic recipe, each left out in turn",
    rows=tuple(_make_row(name, flags) for name, flags in REPLACED.items()),
    scores=("AP", "AP50"),
    panel="data",
    x="in place of a rule",
    series="in place of a rule",
)
