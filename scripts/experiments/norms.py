"""Norms from scratch: which ones learn with one, two and eight images a batch.

The claim of Group Normalization (arXiv 1803.08494), Switchable Normalization (arXiv 1806.10779) and
"Rethinking ImageNet Pre-training" (arXiv 1811.08883) is that batch statistics of one or two images
do not suffice, and that group and switchable norms do not mind. All rows of a data set see the same
number of images, and their learning rate follows the linear rule.

Of a network with ``bn`` or ``frozen_bn`` only the backbone has norms, as in the codebases. With the
others the pyramid and the heads have them as well. So ``bn`` is also tried in all layers, and
``gn`` in the backbone alone.
"""

from typing import List, Optional, Tuple

from experiments.from_scratch import scratch_flags
from experiments.rows import Experiment, Row

NORMS = ("bn", "gn", "sn", "sn_nobn", "frozen_bn")
BATCH_SIZES = (1, 2, 8)
# Shorter sides of the images, in pixels: small, so that all rows with three seeds fit in a night.
SIZES = {"nuclei": 192, "blood": 128}
# Batches of exact averages that replace the running statistics of bn.
RECALIBRATION_BATCHES = "100"
# Where a norm is, if not where its name puts it, and the norm of pyramid and heads that does this.
# A frozen norm without statistics does nothing.
HEAD_NORMS = {"all": "bn", "backbone": "frozen_bn"}
PLACES = {"all": "in all layers", "backbone": "in the backbone alone"}


def _make_row(
    data: str,
    norm: str,
    batch_size: int,
    accumulate: int = 1,
    recalibrated: bool = False,
    place: Optional[str] = None,
) -> Row:
    """Make a row; ``place`` is a key of ``PLACES``."""
    flags = [*scratch_flags(data, SIZES[data], norm, batch_size * accumulate)]
    flags += ["--batch-size", str(batch_size), "--dtype", "bfloat16"]
    label = f"{data}-{norm}-{batch_size}"
    name = norm
    images = str(batch_size)
    if accumulate > 1:
        flags += ["--accumulate", str(accumulate)]
        label += f"x{accumulate}"
        images += f", {accumulate} batches an update"
    if recalibrated:
        flags += ["--recalibrate", RECALIBRATION_BATCHES]
        label += "-recalibrated"
        name += ", recalibrated"
    if place is not None:
        flags += ["--head-norm", HEAD_NORMS[place]]
        label += f"-{place}"
        name += f", {PLACES[place]}"
    if norm.startswith("sn"):
        # The mixing weights of each epoch are read from its checkpoint.
        flags += ["--save-interval", "1"]
    else:
        flags += ["--save-interval", "0"]
    return Row(label, {"data": data, "norm": name, "images a batch": images}, tuple(flags))


def _make_rows() -> Tuple[Row, ...]:
    """Make the rows of both data sets."""
    rows: List[Row] = []
    for data in SIZES:
        for norm in NORMS:
            for batch_size in BATCH_SIZES:
                rows.append(_make_row(data, norm, batch_size))
        for batch_size in BATCH_SIZES:
            rows.append(_make_row(data, "bn", batch_size, recalibrated=True))
            rows.append(_make_row(data, "bn", batch_size, place="all"))
            rows.append(_make_row(data, "gn", batch_size, place="backbone"))
        # Eight images an update, whose statistics are those of one.
        for norm in ("bn", "gn"):
            rows.append(_make_row(data, norm, 1, accumulate=8))
    return tuple(rows)


NORMS_FROM_SCRATCH = Experiment(
    name="norms",
    title="Norms from scratch, by images a batch",
    rows=_make_rows(),
    scores=("AP", "AP50", "segm/AP", "segm/AP50"),
    panel="data",
    x="images a batch",
    series="norm",
)
