"""The training loop, learning rates, checkpoints and logs. Nothing here knows what is being trained.

``gluonnorm.training.plot`` draws the curves; it needs matplotlib and is therefore imported by its full name.
"""
from gluonnorm.training.callback import Callback, StepRecord
from gluonnorm.training.checkpoint import CheckpointError, latest, load, mark_best, prune, read, save
from gluonnorm.training.checkpoint_mismatch import trainable_parameters
from gluonnorm.training.log import MetricsLog, RunningMeans, TextLog, read_metrics
from gluonnorm.training.loop import Interrupted, Loop, NonFiniteLoss
from gluonnorm.training.saver import CheckpointSaver
from gluonnorm.training.schedule import cosine, scale_for_batch, warmup_multistep
from gluonnorm.training.step import TrainStep

__all__ = [
    "Callback", "CheckpointError", "CheckpointSaver", "Interrupted", "Loop", "MetricsLog", "NonFiniteLoss",
    "RunningMeans", "StepRecord", "TextLog", "TrainStep", "cosine", "latest", "load", "mark_best", "prune", "read",
    "read_metrics", "save", "scale_for_batch", "trainable_parameters", "warmup_multistep",
]
