"""Weights of GluonCV, torchvision, Detectron, Detectron2 and SwitchNorm: read, load and save."""
from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.load import SOURCES, Report, load, load_backbone, looks_like, read_arrays, save

__all__ = ["SOURCES", "ConversionError", "Report", "load", "load_backbone", "looks_like", "read_arrays", "save"]
