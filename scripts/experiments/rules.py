"""The rules of the automatic recipe, each left out in turn.

A row gives one value by hand, that of the codebases for COCO, where the recipe would follow a rule.
All else follows from the rules. All rows of a data set see the same number of photos, at sizes that
train in minutes.
"""

from typing import Dict, List, Tuple

from experiments.from_scratch import DATA, EPOCHS
from experiments.rows import Experiment, Row

# Shorter sides of the images, in pixels.
SIZES = {"blood": 128, "nuclei": 192}
NOTHING = "nothing"
# What a row gives in place of a rule: settings, and other flags.
REPLACED: Dict[str, Tuple[Tuple[str, ...], Tuple[str, ...]]] = {
    NOTHING: ((), ()),
    "anchor sizes 32 to 512": (("anchor_sizes=((32,),(64,),(128,),(256,),(512,))",), ()),
    "anchor ratios 0.5, 1, 2": (("anchor_ratios=(0.5,1,2)",), ()),
    "positive anchors from 0.7": (("rpn_pos_iou_thresh=0.7",), ()),
    "1000 proposals": (
        (
            "rpn_train_pre_nms=2000",
            "rpn_train_post_nms=2000",
            "rpn_test_pre_nms=1000",
            "rpn_test_post_nms=1000",
        ),
        (),
    ),
    "512 RoIs, a quarter positive": (("num_sample=512", "pos_ratio=0.25"), ()),
    "final NMS from 0.5": (("nms_thresh=0.5",), ()),
    "rate 0.00125 a photo": ((), ("--lr", "0.0025")),
    "no warm-up": ((), ("--lr-warmup", "0")),
    "rate in steps": ((), ("--lr-mode", "step", "--lr-decay-epoch", "2.7,3.6")),
    "gradients not clipped": ((), ("--clip-gradient", "0")),
}
# Other sizes than the base, in its shorter sides: what small objects gain by pixels.
OTHER_SIZES = {"half the size": 0.5, "one and a half times the size": 1.5}


def _make_rows() -> Tuple[Row, ...]:
    """Make the rows of both data sets."""
    rows: List[Row] = []
    for data, short in SIZES.items():
        for name, (settings, flags) in REPLACED.items():
            rows.append(_make_row(data, name, short, settings, flags))
        for name, factor in OTHER_SIZES.items():
            rows.append(_make_row(data, name, round(short * factor), (), ()))
    return tuple(rows)


def _make_row(
    data: str, name: str, short: int, settings: Tuple[str, ...], flags: Tuple[str, ...]
) -> Row:
    """Make a row."""
    detector = DATA[data]
    max_size = round(short * detector.longer_side)
    all_flags = (
        "--network",
        detector.network,
        *detector.flags,
        "--recipe",
        "auto",
        "--epochs",
        str(EPOCHS),
        "--val-interval",
        str(EPOCHS),
        "--save-interval",
        "0",
        "--set",
        f"short={short}",
        f"max_size={max_size}",
        *settings,
        *flags,
    )
    label = f"{data}-{name.replace(',', '').replace(' ', '-')}"
    return Row(label, {"data": data, "in place of a rule": name}, all_flags)


RULES = Experiment(
    name="rules",
    title="The rules of the automatic recipe, each left out in turn",
    rows=_make_rows(),
    scores=("AP", "AP50", "segm/AP", "segm/AP50", "AP50/Platelets"),
    panel="data",
    x="in place of a rule",
    series="in place of a rule",
)
