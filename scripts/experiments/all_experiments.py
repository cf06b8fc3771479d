"""The experiments by name."""

from typing import Dict

from experiments.automatic import AUTOMATIC_RECIPE
from experiments.fine_tuning import FINE_TUNING
from experiments.norms import NORMS_FROM_SCRATCH
from experiments.number_types import NUMBER_TYPES
from experiments.rescale import RESCALE
from experiments.rows import Experiment
from experiments.rules import RULES

EXPERIMENTS: Dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        AUTOMATIC_RECIPE,
        RULES,
        NUMBER_TYPES,
        NORMS_FROM_SCRATCH,
        FINE_TUNING,
        RESCALE,
    )
}
