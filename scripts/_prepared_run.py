"""A training run that has everything it needs, and has not begun."""

import argparse
from typing import List, NamedTuple, Optional

from gluonnorm import training
from gluonnorm.data import Dataset, Loader
from gluonnorm.rcnn import FasterRCNN
from model_zoo.recipes.choice import Choices

import mxnet as mx


class PreparedRun(NamedTuple):
    """What a run needs before its first step.

    Attributes
    ----------
    args : argparse.Namespace
        The command line; every flag of the schedule has a value.
    choices : dict of str to Choice
        Where the values of the schedule come from.
    checkpoint : str or None
        The checkpoint that ``--resume`` names; None if it names none.
    net : FasterRCNN
        The network, with its first weights.
    loader : Loader
        The training batches.
    val_set : Dataset or None
        What is evaluated; None never evaluates.
    ctx : list of mx.Context
        The devices that hold the weights.
    workers : Workers
        This process among those that share the batches.
    """

    args: argparse.Namespace
    choices: Choices
    checkpoint: Optional[str]
    net: FasterRCNN
    loader: Loader
    val_set: Optional[Dataset]
    ctx: List[mx.Context]
    workers: training.Workers
