"""Layers that learn or hold constants."""
from gluonnorm.nn.conv import ConvNorm
from gluonnorm.nn.freeze import freeze, freeze_batch_norms
from gluonnorm.nn.norm import NORM_NAMES, BatchNorm, FrozenBatchNorm, GroupNorm, Norm, SyncBatchNorm, make_norm
from gluonnorm.nn.rescale import Rescale

__all__ = ["NORM_NAMES", "BatchNorm", "ConvNorm", "FrozenBatchNorm", "GroupNorm", "Norm", "Rescale", "SyncBatchNorm",
           "freeze", "freeze_batch_norms", "make_norm"]
