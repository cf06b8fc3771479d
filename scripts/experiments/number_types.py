"""bfloat16 against float32: whether training in bfloat16 ends with the same score."""

from typing import Tuple

from experiments.data_sets import BCCD_FLAGS, NUCLEI_FLAGS
from experiments.rows import RESNET50_V2, Experiment, Row

DTYPES = ("float32", "bfloat16")
EPOCHS = "2"
# Everything else is the automatic recipe's choice, which is the same in both types.
SHARED_FLAGS = (
    "--recipe",
    "auto",
    "--epochs",
    EPOCHS,
    "--val-interval",
    EPOCHS,
    "--save-interval",
    "0",
)
DATA = {
    "blood": (
        "--network",
        "faster_rcnn_resnet50_v2_custom",
        "--pretrained-base",
        RESNET50_V2,
        *BCCD_FLAGS,
        *SHARED_FLAGS,
        "--set",
        "short=320",
        "max_size=533",
    ),
    "nuclei": ("--network", "mask_rcnn_fpn_resnet18_v1b_custom", *NUCLEI_FLAGS, *SHARED_FLAGS),
}


def _make_rows() -> Tuple[Row, ...]:
    """Make the rows of both data sets."""
    rows = []
    for data, flags in DATA.items():
        for dtype in DTYPES:
            factors = {"data": data, "dtype": dtype}
            rows.append(Row(f"{data}-{dtype}", factors, (*flags, "--dtype", dtype)))
    return tuple(rows)


NUMBER_TYPES = Experiment(
    name="number_types",
    title="Training in bfloat16 and in float32",
    rows=_make_rows(),
    scores=("AP", "AP50", "segm/AP", "segm/AP50"),
    panel="data",
    x="dtype",
    series="dtype",
)
