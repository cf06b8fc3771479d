"""From a trained network to detections where it serves: files that need nothing of this package, and a predictor."""
from gluonnorm.deploy.predictor import Predictor
from gluonnorm.deploy.symbol import DeployError, export, load

__all__ = ["DeployError", "Predictor", "export", "load"]
