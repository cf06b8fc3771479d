"""Read, load and save the weights of GluonCV, torchvision, Detectron, Detectron2 and SwitchNorm."""

from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.foreign_codebases import describe_foreign
from gluonnorm.conversion.load import load, load_backbone, read_arrays
from gluonnorm.conversion.report import Report
from gluonnorm.conversion.save import save
from gluonnorm.conversion.sources import SOURCES, has_own_names, looks_like

__all__ = [
    "SOURCES",
    "ConversionError",
    "Report",
    "describe_foreign",
    "has_own_names",
    "load",
    "load_backbone",
    "looks_like",
    "read_arrays",
    "save",
]
