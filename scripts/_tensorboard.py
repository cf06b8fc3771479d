"""What TensorBoard shows of a run while it trains: ``--tensorboard``."""

import argparse
import os
import sys
import time
import warnings
from typing import Any, Callable, Dict, Iterator

from gluonnorm import training
from gluonnorm.data import Dataset
from gluonnorm.deploy import Predictor
from gluonnorm.errors import InputError, one_line
from gluonnorm.late_import import import_late
from gluonnorm.nn import mixing_weights
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.visualize import draw

import mxnet as mx
import numpy as np
from _evaluator import earlier_evaluations
from _scores import defined

NUM_PHOTOS = 4


def load_tensorboard() -> Any:
    """Import tensorboardX.

    Returns
    -------
    module
        tensorboardX.

    Raises
    ------
    InputError
        It is not installed.
    """
    return import_late(
        "tensorboardX",
        InputError,
        "--tensorboard needs tensorboardX",
        "install it with pip install 'gluonnorm[tensorboard]'",
    )


class EventFile:
    """A file of TensorBoard's events, which is written at once.

    tensorboardX's own ``SummaryWriter`` hands events to a thread. If that thread cannot write,
    because the disk is full, it ends, and the training run would wait for it forever.

    Parameters
    ----------
    folder : str
        The folder that TensorBoard reads; a missing one is made. Each run writes a file of its own.

    Raises
    ------
    InputError
        tensorboardX is not installed.

    Attributes
    ----------
    num_earlier : int
        Files that were in the folder before.
    """

    def __init__(self, folder: str) -> None:
        library = load_tensorboard()
        self._summary = library.summary
        self._protocol = library.proto.event_pb2
        os.makedirs(folder, exist_ok=True)
        # The name has the time in seconds, and a run may be continued within the second.
        self.num_earlier = len(os.listdir(folder))
        events = os.path.join(folder, "events")
        self._writer = library.event_file_writer.EventsWriter(events, f".{self.num_earlier}")

    def hide_from(self, step: int) -> None:
        """Let TensorBoard forget what earlier files have of some steps.

        Parameters
        ----------
        step : int
            The first step that is forgotten.
        """
        start = self._protocol.SessionLog(status=self._protocol.SessionLog.START)
        self._write(step, session_log=start)

    def write_scalars(self, step: int, values: Dict[str, float]) -> None:
        """Write numbers of a step.

        Parameters
        ----------
        step : int
            Updates that have been made.
        values : dict of str to float
            The numbers by their tags, such as ``"losses/rpn_box"``.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        for tag, value in values.items():
            # tensorboardX's own function replaces characters, so that the classes C# and C+ would
            # have one curve.
            self._write(step, summary={"value": [{"tag": tag, "simple_value": value}]})
        self._writer.flush()

    def write_picture(self, step: int, tag: str, picture: np.ndarray) -> None:
        """Write a picture of a step.

        Parameters
        ----------
        step : int
            Updates that have been made.
        tag : str
            The picture's name.
        picture : numpy.ndarray
            (H, W, 3) uint8.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        self._write(step, summary=self._summary.image(tag, picture, dataformats="HWC"))
        self._writer.flush()

    def _write(self, step: int, **content: Any) -> None:
        """Write an event."""
        self._writer.write_event(self._protocol.Event(wall_time=time.time(), step=step, **content))


class TensorBoardLog(training.Callback):
    """Write what TensorBoard shows: losses, rate, speed, gradient norm, scores and pictures.

    A network with switchable norms gets the mixing weights of each layer, too. The scores, mixing
    weights and pictures of detections come at the end of each epoch. What cannot be written costs
    a warning, not the run.

    Parameters
    ----------
    file : EventFile
        Where to write.
    net : FasterRCNN
        The network that is being trained.
    step : TrainStep
        It measures the norm of the gradient if it has a ``max_norm``.
    metrics : MetricsLog
        The scores. The evaluator must come earlier among the callbacks.
    dataset : Dataset
        The first photos of this set are shown with what the network finds.
    """

    def __init__(
        self,
        file: EventFile,
        net: FasterRCNN,
        step: training.TrainStep,
        metrics: training.MetricsLog,
        dataset: Dataset,
    ) -> None:
        self.file = file
        self.net = net
        self.step = step
        self.metrics = metrics
        self.dataset = dataset
        self._gradient_norms: Dict[int, mx.nd.NDArray] = {}
        self._scored_step = 0
        self._is_broken = False

    def on_resume(self, loop: training.RunningLoop) -> None:
        """Hide what the earlier run has written of steps that come again."""
        self._try(self.file.hide_from, loop.step + 1)
        self._scored_step = loop.step

    def on_step_end(self, loop: training.RunningLoop) -> None:
        """Remember the norm of the gradient, which may not have been computed yet."""
        if self.step.gradient_norm is not None:
            self._gradient_norms[loop.step] = self.step.gradient_norm

    def on_losses(self, loop: training.RunningLoop, record: training.StepRecord) -> None:
        """Write the numbers of a step."""
        values = {f"losses/{name}": loss for name, loss in record.losses.items()}
        values["run/learning_rate"] = record.rate
        values["run/images_per_second"] = record.images_per_second
        norm = self._gradient_norms.pop(record.step, None)
        if norm is not None:
            values["run/gradient_norm"] = norm.asscalar()
        self._try(self.file.write_scalars, record.step, values)

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Write scores, mixing weights and pictures."""
        for row in earlier_evaluations(self.metrics.path, loop.step):
            if row["step"] > self._scored_step:
                self._scored_step = row["step"]
                scores = {f"scores/{name}": score for name, score in defined(row["eval"]).items()}
                self._try(self.file.write_scalars, row["step"], scores)
        self._try(self.file.write_scalars, loop.step, self._mixing_weights())
        for number, picture in enumerate(self._pictures()):
            self._try(self.file.write_picture, loop.step, f"detections/{number}", picture)

    def _mixing_weights(self) -> Dict[str, float]:
        """Collect the shares of each statistic in each switchable norm."""
        shares = {}
        for layer, mean_shares, variance_shares in mixing_weights(self.net):
            for statistic, share in mean_shares.items():
                shares[f"mixing_mean/{layer}/{statistic}"] = share
            for statistic, share in variance_shares.items():
                shares[f"mixing_variance/{layer}/{statistic}"] = share
        return shares

    def _pictures(self) -> Iterator[np.ndarray]:
        """Draw what the network finds on the first photos."""
        predictor = Predictor.from_network(self.net)
        for index in range(min(NUM_PHOTOS, len(self.dataset))):
            photo = self.dataset[index].image
            (detections,) = predictor([photo])
            yield draw(photo, detections, self.net.classes)

    def _try(self, write: Callable[..., None], *arguments: Any) -> None:
        """Write something. What follows a part of an event cannot be read, so it is not written."""
        if self._is_broken:
            return
        try:
            write(*arguments)
        except OSError as error:
            self._is_broken = True
            warnings.warn(
                f"TensorBoard gets nothing more of this run ({one_line(error)}); the run goes on",
                stacklevel=2,
            )


def make_tensorboard_log(
    args: argparse.Namespace,
    net: FasterRCNN,
    step: training.TrainStep,
    metrics: training.MetricsLog,
    dataset: Dataset,
) -> TensorBoardLog:
    """Make the callback of ``--tensorboard``.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_run_arguments``.
    net, step, metrics, dataset
        As for ``TensorBoardLog``.

    Returns
    -------
    TensorBoardLog
        It writes into the folder of the flag, or into ``PREFIX-tensorboard``.
    """
    named = args.tensorboard is not True
    folder = args.tensorboard if named else f"{args.save_prefix}-tensorboard"
    file = EventFile(folder)
    if file.num_earlier and not args.resume:
        # TensorBoard would join the curves of both runs to one.
        print(
            f"note: {folder} has files of an earlier run, whose curves TensorBoard no longer "
            "shows; a folder for each run keeps them apart",
            file=sys.stderr,
        )
        file.hide_from(0)
    return TensorBoardLog(file, net, step, metrics, dataset)
