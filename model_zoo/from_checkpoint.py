"""Networks of training runs, as they were trained: ``from_checkpoint("runs/pets-best.json")``."""

import os
from typing import Any, Dict, Optional

from gluonnorm import training
from gluonnorm.errors import InputError
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.types import PathLike
from model_zoo.build import from_spec
from model_zoo.foreign_parts import Context


def from_checkpoint(
    path: PathLike, ctx: Context = None, stated: Optional[Dict[str, Any]] = None
) -> FasterRCNN:
    """Open the network of a training run, with its settings, its classes and its weights.

    Parameters
    ----------
    path : str or Path
        The ``.json`` of a checkpoint, such as ``PREFIX-best.json``. Its weights lie beside it.
    ctx : mxnet.Context, sequence of them, or None
        The devices of the parameters; None is the CPU.
    stated : dict, optional
        Fields of :class:`gluonnorm.rcnn.ModelSpec` in which the checkpoint must agree, such as
        ``{"norm": "gn"}``.

    Returns
    -------
    FasterRCNN
        The network; a :class:`gluonnorm.rcnn.MaskRCNN` if it has a mask head.

    Raises
    ------
    CheckpointError
        A file is missing, damaged or altered, or the checkpoint is of another network than the one
        that is stated.
    InputError
        This version knows no such network. One with parts of your own needs the module that
        registers them.

    Examples
    --------
    >>> net = from_checkpoint("runs/pets-best.json")  # doctest: +SKIP
    """
    header = os.fspath(path)
    spec = training.read(header)["spec"]
    try:
        net = from_spec(spec, ctx)
    except InputError as error:
        raise InputError(
            f"{header} describes no network that this version knows: {error}"
        ) from error
    training.load(header, net, spec=stated)
    return net
