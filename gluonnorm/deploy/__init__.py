"""Deployment: exporting a network to files that run without this package, and predicting photos."""

from gluonnorm.deploy.bundle import DeployError
from gluonnorm.deploy.export import DTYPES, FORMATS, export, load
from gluonnorm.deploy.predictor import Predictor

__all__ = ["DTYPES", "FORMATS", "DeployError", "Predictor", "export", "load"]
