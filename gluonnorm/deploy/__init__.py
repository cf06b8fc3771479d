"""Files to serve a network from, with nothing of this package installed where they run."""
from gluonnorm.deploy.symbol import DeployError, export, load

__all__ = ["DeployError", "export", "load"]
