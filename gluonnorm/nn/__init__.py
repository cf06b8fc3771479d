"""Layers that learn or hold constants, and ``fold`` and ``recalibrate`` of ``gluonnorm.graph``."""

from gluonnorm.graph.fold import fold
from gluonnorm.graph.recalibrate import recalibrate
from gluonnorm.nn.batch_norm import BatchNorm, FrozenBatchNorm, SyncBatchNorm
from gluonnorm.nn.conv import ConvNorm
from gluonnorm.nn.freeze import freeze, freeze_batch_norms, is_frozen
from gluonnorm.nn.group_norm import GroupNorm
from gluonnorm.nn.mixing import MixingWeights, format_mixing_weights, mixing_weights
from gluonnorm.nn.norm import (
    NORM_NAMES,
    STORED_STATISTICS_NORMS,
    Norm,
    make_norm,
    norm_name,
    norm_names,
    register_norm,
    used_in_heads,
)
from gluonnorm.nn.replace_norms import (
    NormReplacements,
    ReplacedNorm,
    count_norms,
    replace_norms,
)
from gluonnorm.nn.rescale import Rescale
from gluonnorm.nn.shapes import infer_shapes, infer_shapes_of_call
from gluonnorm.nn.switch_norm import SwitchNorm

__all__ = [
    "NORM_NAMES",
    "STORED_STATISTICS_NORMS",
    "BatchNorm",
    "ConvNorm",
    "FrozenBatchNorm",
    "GroupNorm",
    "MixingWeights",
    "Norm",
    "NormReplacements",
    "ReplacedNorm",
    "Rescale",
    "SwitchNorm",
    "SyncBatchNorm",
    "count_norms",
    "fold",
    "format_mixing_weights",
    "freeze",
    "freeze_batch_norms",
    "infer_shapes",
    "infer_shapes_of_call",
    "is_frozen",
    "make_norm",
    "mixing_weights",
    "norm_name",
    "norm_names",
    "recalibrate",
    "register_norm",
    "replace_norms",
    "used_in_heads",
]
