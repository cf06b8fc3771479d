"""From a trained network to detections where it serves: files that need nothing of this package, and a predictor."""
from gluonnorm.deploy.bundle import DeployError
from gluonnorm.deploy.export import DTYPES, export, load
from gluonnorm.deploy.predictor import Predictor

__all__ = ["DTYPES", "DeployError", "Predictor", "export", "load"]
