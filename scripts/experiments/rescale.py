"""The rescale layer: weights and pixels that match, and that do not.

The published weights of ResNet-50 v2 expect normalized pixels. The same weights for raw pixels are
made by changing the statistics of their first norm (docs/normalization.md): they compute the same
function of raw pixels.
"""

from typing import List, Tuple

from experiments.fine_tuning import fine_tuning_flags
from experiments.rows import RESNET50_V2, RESNET50_V2_RAW, Experiment, Row

WEIGHTS = {"normalized": RESNET50_V2, "raw": RESNET50_V2_RAW}
# What the loader does, the layer, and what the backbone sees.
CASES = (
    ("normalizes", None, "normalized"),
    ("passes raw pixels", "normalize", "normalized"),
    ("passes raw pixels", None, "raw"),
    ("normalizes", "denormalize", "raw"),
)
NORM_FLAGS = ("--norm", "frozen_bn", "--head-norm", "gn", "--lr", "0.004", "--lr-warmup", "40")


def _make_rows() -> Tuple[Row, ...]:
    """Make the rows: each kind of weights with each kind of pixels, made in two ways."""
    rows: List[Row] = []
    for expected, weights in WEIGHTS.items():
        for loader, layer, seen in CASES:
            normalize = f"normalize={loader == 'normalizes'}"
            flags = [*fine_tuning_flags(weights, normalize), *NORM_FLAGS]
            if layer is not None:
                flags += ["--rescale", layer]
            label = f"{expected}-weights-{seen}-pixels-{'layer' if layer else 'loader'}"
            factors = {
                "weights expect": expected,
                "backbone sees": seen,
                "loader": loader,
                "layer": str(layer),
            }
            rows.append(Row(label, factors, tuple(flags)))
    return tuple(rows)


RESCALE = Experiment(
    name="rescale",
    title="The rescale layer, with weights that match the pixels and that do not",
    rows=_make_rows(),
    scores=("AP", "AP50"),
    panel="weights expect",
    x="backbone sees",
    series="layer",
)
