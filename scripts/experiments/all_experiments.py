"""The experiments by name."""

from typing import Dict

from experiments.automatic import AUTOMATIC_RECIPE
from experiments.norms import NORMS_FROM_SCRATCH
from experiments.number_types import NUMBER_TYPES
from experiments.rows import Experiment

EXPERIMENTS: Dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (AUTOMATIC_RECIPE, NUMBER_TYPES, NORMS_FROM_SCRATCH)
}
