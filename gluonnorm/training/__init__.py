"""The training loop, learning rates, checkpoints and logs. This room knows no detector.

``plot`` and ``mixing_plot`` draw pictures. They need matplotlib, so they are not imported here:
``import gluonnorm.training`` works without it.
"""

from gluonnorm.errors import Interrupted
from gluonnorm.training.callback import Callback, RunningLoop, StepRecord
from gluonnorm.training.checkpoint import CheckpointError, DamagedCheckpoint, load, read, save
from gluonnorm.training.checkpoint_folder import (
    LoadedCheckpoint,
    best_path,
    checkpoint_path,
    keep_weights,
    latest,
    load_newest,
    mark_best,
    newest_first,
    prune,
    remove_checkpoint,
    remove_checkpoints,
    set_aside,
)
from gluonnorm.training.log import (
    MetricsLog,
    OverflowLog,
    RunningMeans,
    TextLog,
    read_metrics,
)
from gluonnorm.training.loop import Loop, NonFiniteLoss
from gluonnorm.training.loss_scale import LossScale, NonFiniteGradient
from gluonnorm.training.parameters import trainable_parameters
from gluonnorm.training.saver import CheckpointSaver
from gluonnorm.training.schedule import cosine, scale_for_batch, warmup_multistep
from gluonnorm.training.shared_processors import SharedProcessorsLog
from gluonnorm.training.step import LossGraph, TrainStep, part_slices
from gluonnorm.training.workers import WorkerFailed, Workers
from gluonnorm.weight_files.prefix_lock import PrefixLock

__all__ = [
    "Callback",
    "CheckpointError",
    "CheckpointSaver",
    "DamagedCheckpoint",
    "Interrupted",
    "LoadedCheckpoint",
    "Loop",
    "LossGraph",
    "LossScale",
    "MetricsLog",
    "NonFiniteGradient",
    "NonFiniteLoss",
    "OverflowLog",
    "PrefixLock",
    "RunningLoop",
    "RunningMeans",
    "SharedProcessorsLog",
    "StepRecord",
    "TextLog",
    "TrainStep",
    "WorkerFailed",
    "Workers",
    "best_path",
    "checkpoint_path",
    "cosine",
    "keep_weights",
    "latest",
    "load",
    "load_newest",
    "mark_best",
    "newest_first",
    "part_slices",
    "prune",
    "read",
    "read_metrics",
    "remove_checkpoint",
    "remove_checkpoints",
    "save",
    "scale_for_batch",
    "set_aside",
    "trainable_parameters",
    "warmup_multistep",
]
