"""The flags that name a trained detector. This file needs no MXNet."""

import argparse
from typing import Any, Dict

from gluonnorm.deploy.backends.choice import RUN_TIMES
from gluonnorm.types import RESCALE_DIRECTIONS


def add_model_arguments(
    parser: argparse.ArgumentParser,
    exported: bool,
    watched: bool = False,
    detections: bool = False,
) -> None:
    """Add the flags that name a trained network.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser; it gets a group of flags.
    exported : bool
        Whether the script also runs exported files, and so has the flag ``--exported``.
    watched : bool
        Whether the script follows a training run, and so has the flag ``--watch``.
    detections : bool
        Whether detections may take the place of a network, by the flag ``--detections``.
    """
    group = parser.add_argument_group("model")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--params",
        "--pretrained",
        metavar="FILE",
        help="a checkpoint's .json, which knows its network, or weights, which need --network",
    )
    if exported:
        source.add_argument(
            "--exported",
            metavar="PREFIX",
            help="exported files: PREFIX-symbol.json, PREFIX-0000.params and PREFIX.json of MXNet, "
            "PREFIX.onnx, or PREFIX.xml and PREFIX.bin of OpenVINO",
        )
        group.add_argument(
            "--backend",
            choices=list(RUN_TIMES),
            help="what runs exported files (default: the first of these that is installed and has "
            "its files)",
        )
    if watched:
        source.add_argument(
            "--watch",
            metavar="PREFIX",
            help="each checkpoint of the training run with this --save-prefix, as it appears",
        )
    if detections:
        source.add_argument(
            "--detections",
            metavar="FILE",
            help="no network, but COCO results such as eval_faster_rcnn.py --save-json writes, of "
            "the same data set",
        )
    group.add_argument(
        "--network",
        metavar="NAME",
        help="a name of model_zoo.list_models(), e.g. faster_rcnn_fpn_resnet50_v1b_coco",
    )
    add_architecture_arguments(group)
    group.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="settings, e.g. nms_thresh=0.3 rpn_test_post_nms=300; see "
        "gluonnorm.rcnn.DetectorConfig. A checkpoint's .json has those of its weights, such as "
        "fpn_channels; for weights alone give them as in training",
    )


def add_architecture_arguments(group: Any) -> None:
    """Add the flags that choose a network's backbone, its norms and its rescale layer.

    Parameters
    ----------
    group : argparse.ArgumentParser or argument group
        What gets the flags.
    """
    group.add_argument(
        "--base-network",
        metavar="NAME",
        help="the backbone of custom_faster_rcnn_fpn and custom_mask_rcnn_fpn, as "
        "base_network_name in GluonCV, e.g. resnet50_v1b, mobilenet1_0 or one of a --plugin "
        "(default: resnet18_v1b)",
    )
    group.add_argument(
        "--norm",
        help="frozen_bn, global_bn, bn, sync_bn, gn, sn, sn_nobn, or one that a --plugin registers "
        "(default: the model's own)",
    )
    group.add_argument("--head-norm", metavar="NORM", help="another norm for neck and heads")
    group.add_argument(
        "--rescale",
        choices=list(RESCALE_DIRECTIONS),
        help="a constant rescale layer in front of the backbone",
    )


def architecture_options(args: argparse.Namespace) -> Dict[str, Any]:
    """Turn the flags of ``add_architecture_arguments`` into arguments of ``get_model``.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags.

    Returns
    -------
    dict of str to any
        The arguments.
    """
    options = {"norm": args.norm, "head_norm": args.head_norm, "rescale": args.rescale}
    # Only some networks have this option.
    if args.base_network is not None:
        options["base_network_name"] = args.base_network
    return options
