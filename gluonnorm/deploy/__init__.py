"""From a trained network to detections where it serves: files that need nothing of this package, and a predictor."""
from gluonnorm.deploy.files import DeployError
from gluonnorm.deploy.predictor import Predictor
from gluonnorm.deploy.symbol import DTYPES, export, load

__all__ = ["DTYPES", "DeployError", "Predictor", "export", "load"]
