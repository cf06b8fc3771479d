"""Layers that learn or hold constants."""
from gluonnorm.graph.fold import fold
from gluonnorm.graph.recalibrate import recalibrate
from gluonnorm.nn.conv import ConvNorm
from gluonnorm.nn.freeze import freeze, freeze_batch_norms
from gluonnorm.nn.mixing import MixingRow, format_mixing_weights, mixing_weights
from gluonnorm.nn.norm import NORM_NAMES, BatchNorm, FrozenBatchNorm, GroupNorm, Norm, SyncBatchNorm, make_norm
from gluonnorm.nn.rescale import Rescale
from gluonnorm.nn.switch_norm import SwitchNorm

__all__ = ["NORM_NAMES", "BatchNorm", "ConvNorm", "FrozenBatchNorm", "GroupNorm", "MixingRow", "Norm", "Rescale",
           "SwitchNorm", "SyncBatchNorm", "fold", "format_mixing_weights", "freeze", "freeze_batch_norms", "make_norm",
           "mixing_weights", "recalibrate"]
