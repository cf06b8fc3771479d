"""bfloat16 against float32: whether training in bfloat16 ends with the same score."""

from typing import List, Tuple

from experiments.from_scratch import scratch_flags
from experiments.rows import Experiment, Row

DTYPES = ("float32", "bfloat16")
NORM = "gn"
BATCH_SIZE = 2
# Shorter sides of the images, in pixels.
SIZES = {"nuclei": 256, "blood": 192}


def _make_rows() -> Tuple[Row, ...]:
    """Make the rows of both data sets."""
    rows: List[Row] = []
    for data, short in SIZES.items():
        for dtype in DTYPES:
            flags = [*scratch_flags(data, short, NORM, BATCH_SIZE), "--batch-size", str(BATCH_SIZE)]
            flags += ["--save-interval", "0", "--dtype", dtype]
            rows.append(Row(f"{data}-{dtype}", {"data": data, "dtype": dtype}, tuple(flags)))
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
