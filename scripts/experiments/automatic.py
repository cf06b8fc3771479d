"""The automatic recipe in a given time: one command, and the score at its end."""

from experiments.data_sets import BCCD_FLAGS, NUCLEI_FLAGS
from experiments.rows import RESNET50_V2, Experiment, Row

BLOOD_ROW = Row(
    "blood",
    {"data": "blood", "minutes": "45"},
    (
        *("--network", "faster_rcnn_resnet50_v2_custom", "--pretrained-base", RESNET50_V2),
        *BCCD_FLAGS,
        *("--recipe", "auto", "--minutes", "45"),
    ),
)
NUCLEI_ROW = Row(
    "nuclei",
    {"data": "nuclei", "minutes": "30"},
    (
        *("--network", "mask_rcnn_fpn_resnet18_v1b_custom"),
        *NUCLEI_FLAGS,
        *("--recipe", "auto", "--minutes", "30"),
    ),
)

AUTOMATIC_RECIPE = Experiment(
    name="automatic",
    title="The automatic recipe in a given time",
    rows=(BLOOD_ROW, NUCLEI_ROW),
    scores=("AP", "AP50", "segm/AP", "segm/AP50", "AP50/Platelets"),
    panel="data",
    x="minutes",
    series="data",
)
