"""Callbacks that draw what a run has reached so far."""

import os
import warnings
from typing import Optional

from gluonnorm import training
from gluonnorm.errors import InputError, one_line
from gluonnorm.nn import mixing_weights
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.training.mixing_plot import plot_mixing_weights
from gluonnorm.training.plot import plot_curves

from _scores import drawn_scores


class CurvePicture(training.Callback):
    """Draw losses and scores against the step at the end of each epoch.

    Parameters
    ----------
    metrics : MetricsLog
        The rows to draw. It must come earlier among the callbacks.
    png_path : str
        The file to write.
    title : str
        The headline of the picture.
    font : str or None
        A font file for the names of classes.
    """

    def __init__(
        self,
        metrics: training.MetricsLog,
        png_path: str,
        title: str,
        font: Optional[str] = None,
    ) -> None:
        self.metrics = metrics
        self.png_path = png_path
        self.title = title
        self.font = font

    def on_resume(self, loop: training.RunningLoop) -> None:
        """Draw the rows of the earlier run, if there are any."""
        if os.path.exists(self.metrics.path):
            self.on_epoch_end(loop)

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Draw all rows that have been written so far."""
        try:
            rows = training.read_metrics(self.metrics.path)
            for row in rows:
                if "eval" in row:
                    row["eval"] = drawn_scores(row["eval"])
            plot_curves(rows, self.png_path, self.title, self.font)
        except (OSError, InputError) as error:
            _warn_of_picture(self.png_path, error)


class MixingPicture(training.Callback):
    """Draw the mixing weights of switchable norms at the end of each epoch.

    A network without switchable norms gets no picture.

    Parameters
    ----------
    net : FasterRCNN
        The network that is being trained.
    png_path : str
        The file to write.
    title : str
        The headline of the picture.
    """

    def __init__(self, net: FasterRCNN, png_path: str, title: str) -> None:
        self.net = net
        self.png_path = png_path
        self.title = title

    def on_resume(self, loop: training.RunningLoop) -> None:
        """Draw the weights of the checkpoint, as the earlier run may have been killed before."""
        self.on_epoch_end(loop)

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Draw the weights as they are now."""
        rows = mixing_weights(self.net)
        if not rows:
            return
        try:
            plot_mixing_weights(rows, self.png_path, self.title)
        except OSError as error:
            _warn_of_picture(self.png_path, error)


def _warn_of_picture(png_path: str, error: Exception) -> None:
    """Say that a picture of the run could not be drawn; no run ends for that."""
    warnings.warn(f"{png_path} is not drawn ({one_line(error)}); the run goes on", stacklevel=3)
