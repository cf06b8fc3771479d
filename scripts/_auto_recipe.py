"""What the automatic recipe looks at, read from the flags, the data set and the machine."""

import argparse
import logging
import warnings
from dataclasses import asdict
from typing import List

from gluonnorm.data import Dataset, inspect
from gluonnorm.data.neighbors import neighbor_ious
from gluonnorm.processor import FAST_INSTRUCTIONS, processor_instructions
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.types import is_positive_integer
from model_zoo.recipes import TrainingCase
from model_zoo.recipes.training_case import BACKBONE_WEIGHTS, DETECTOR_WEIGHTS, NO_WEIGHTS

import mxnet as mx
import numpy as np
from _cli import parse_settings
from _recipe_flags import starts_from_detector
from _training_parts import build_network


def examine(args: argparse.Namespace, dataset: Dataset, ctx: List[mx.Context]) -> TrainingCase:
    """Collect what the rules of the automatic recipe look at.

    The network is built once as the flags alone describe it, because only a network tells what its
    strides are and which of its layers the weights fill.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    dataset : Dataset
        The training set.
    ctx : list of mx.Context
        The devices of the training.

    Returns
    -------
    TrainingCase
        The data set, the network, its weights and the machine.

    Raises
    ------
    InputError
        The flags describe no network, or nothing can be learned from the data set.
    """
    inspection = inspect(dataset)
    inspection.require_boxes()
    objects = inspection.learnable_objects
    net = _network_as_asked(args, dataset, ctx)
    is_cpu = all(device.device_type == "cpu" for device in ctx)
    return TrainingCase(
        boxes=np.stack([objects.heights, objects.widths], axis=1),
        labels=objects.labels,
        images=objects.images,
        neighbor_ious=neighbor_ious(objects),
        image_sizes=inspection.image_sizes,
        strides=tuple(net.backbone.strides),
        settings=asdict(net.config),
        norm=net.spec.norm or "",
        has_masks=net.has_masks,
        weights=_weights_at_hand(args),
        has_fresh_norms=_has_fresh_norms(net),
        devices=len(ctx),
        is_cpu=is_cpu,
        bfloat16_is_fast=bool(FAST_INSTRUCTIONS["bfloat16"] & processor_instructions()),
    )


def _network_as_asked(
    args: argparse.Namespace, dataset: Dataset, ctx: List[mx.Context]
) -> FasterRCNN:
    """Build the network without the recipe, and without what is said about its weights."""
    settings = parse_settings(args.set)
    longest = settings.get("max_size")
    # The rule of `short` follows a given `max_size`, which the network's own may be beyond.
    if is_positive_integer(longest) and "short" not in settings:
        args = argparse.Namespace(**{**vars(args), "set": [*args.set, f"short={longest}"]})
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return build_network(args, dataset.classes, ctx)
    finally:
        logging.disable(logging.NOTSET)


def _weights_at_hand(args: argparse.Namespace) -> str:
    """Tell what the network starts from."""
    if starts_from_detector(args):
        return DETECTOR_WEIGHTS
    return BACKBONE_WEIGHTS if args.pretrained_base else NO_WEIGHTS


def _has_fresh_norms(net: FasterRCNN) -> bool:
    """Whether a norm of the heads has statistics that no file has filled."""
    backbone = {id(parameter) for parameter in net.backbone.collect_params().values()}
    for name, parameter in net.collect_params().items():
        if name.endswith("running_mean") and id(parameter) not in backbone:
            if not parameter.list_data()[0].asnumpy().any():
                return True
    return False
