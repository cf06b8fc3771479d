"""The training loop, learning rates, checkpoints and logs. This room knows no detector.

``plot`` and ``mixing_plot`` draw pictures. They need matplotlib, so they are not imported here:
``import gluonnorm.training`` works without it.
"""

from gluonnorm.training.callback import Callback, RunningLoop, StepRecord
from gluonnorm.training.checkpoint import CheckpointError, load, read, save
from gluonnorm.training.checkpoint_folder import latest, mark_best, prune
from gluonnorm.training.log import MetricsLog, RunningMeans, TextLog, read_metrics
from gluonnorm.training.loop import Interrupted, Loop, NonFiniteLoss
from gluonnorm.training.parameters import trainable_parameters
from gluonnorm.training.saver import CheckpointSaver
from gluonnorm.training.schedule import cosine, scale_for_batch, warmup_multistep
from gluonnorm.training.step import LossGraph, TrainStep

__all__ = [
    "Callback",
    "CheckpointError",
    "CheckpointSaver",
    "Interrupted",
    "Loop",
    "LossGraph",
    "MetricsLog",
    "NonFiniteLoss",
    "RunningLoop",
    "RunningMeans",
    "StepRecord",
    "TextLog",
    "TrainStep",
    "cosine",
    "latest",
    "load",
    "mark_best",
    "prune",
    "read",
    "read_metrics",
    "save",
    "scale_for_batch",
    "trainable_parameters",
    "warmup_multistep",
]
