"""The flags that name a trained detector, and the functions that open it.

``open_detector`` and ``open_network`` take the parsed command line, because they are the border
between flags and objects.
"""

import argparse
from typing import Any, Dict, Optional, Sequence

import model_zoo
from gluonnorm import training
from gluonnorm.deploy import Predictor
from gluonnorm.errors import InputError
from gluonnorm.graph.trace import hybridize_for_inference
from gluonnorm.nn import NORM_NAMES
from gluonnorm.nn.rescale import DIRECTIONS
from model_zoo.catalogue import BACKBONES

import mxnet as mx
from _cli import parse_settings


def add_model_arguments(parser: argparse.ArgumentParser, exported: bool) -> None:
    """Add the flags that name a trained network.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser; it gets a group of flags.
    exported : bool
        Whether the script also runs exported files, and so has the flag ``--exported``.
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
            help="exported files PREFIX-symbol.json, PREFIX-0000.params and PREFIX.json",
        )
    group.add_argument(
        "--network",
        metavar="NAME",
        help="a name of model_zoo.list_models(), e.g. faster_rcnn_fpn_resnet50_v1b_coco",
    )
    add_architecture_arguments(group)
    group.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="settings that hold no weights, e.g. nms_thresh=0.3 "
        "rpn_test_post_nms=300; see gluonnorm.rcnn.DetectorConfig",
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
        help=f"{', '.join(NORM_NAMES)}, or one that a --plugin registers (default: the model's "
        "own)",
    )
    group.add_argument("--head-norm", metavar="NORM", help="another norm for neck and heads")
    group.add_argument(
        "--rescale",
        choices=list(DIRECTIONS),
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


def open_detector(
    args: argparse.Namespace, ctx: Sequence[mx.Context], classes: Optional[Sequence[str]] = None
) -> Predictor:
    """Open the trained detector that the flags name, ready for photos.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_model_arguments``.
    ctx : sequence of mx.Context
        The devices that hold the weights.
    classes : sequence of str or None
        Class names, for the weights of a ``*_custom`` network.

    Returns
    -------
    Predictor
        The exported files, or the network with its weights, hybridized.

    Raises
    ------
    InputError
        The flags do not fit together, or the files are no weights of that network.
    CheckpointError, DeployError
        A checkpoint or an export is damaged or of another network.
    """
    if getattr(args, "exported", None):
        if args.set:
            raise InputError("--set cannot change exported files; give it to scripts/export.py")
        return Predictor(args.exported, ctx)
    net = open_network(args, ctx, classes)
    hybridize_for_inference(net)
    return Predictor.from_network(net)


def open_network(
    args: argparse.Namespace, ctx: Sequence[mx.Context], classes: Optional[Sequence[str]] = None
) -> mx.gluon.HybridBlock:
    """Build the network that the flags name, load its weights, and apply ``--set``.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_model_arguments``.
    ctx : sequence of mx.Context
        The devices that hold the weights.
    classes : sequence of str or None
        Class names, for the weights of a ``*_custom`` network.

    Returns
    -------
    mx.gluon.HybridBlock
        The detector.

    Raises
    ------
    InputError
        The flags do not fit together, or the files are no weights of that network.
    CheckpointError
        A checkpoint is damaged or of another network.
    """
    # Before the weights are loaded, so that a mistyped setting is reported at once.
    changes = parse_settings(args.set)
    if args.params.endswith(".json"):
        stated = _stated_fields(args, classes)
        net = _network_of_checkpoint(args.params, stated, ctx)
    else:
        net = _network_of_weights(args, ctx, classes)
    net.configure(**changes)
    return net


def _network_of_checkpoint(
    checkpoint: str, stated: Dict[str, Any], ctx: Sequence[mx.Context]
) -> mx.gluon.HybridBlock:
    """Build the network that a checkpoint describes; ``stated`` are fields it must agree with."""
    spec = training.read(checkpoint)["spec"]
    try:
        net = model_zoo.from_spec(spec, ctx)
    except InputError as error:
        raise InputError(
            f"{checkpoint} describes no network that this version knows: {error}"
        ) from error
    training.load(checkpoint, net, spec=stated)
    return net


def _network_of_weights(
    args: argparse.Namespace, ctx: Sequence[mx.Context], classes: Optional[Sequence[str]]
) -> mx.gluon.HybridBlock:
    """Build the network of ``--network`` and load a file of weights into it."""
    if args.network is None:
        raise InputError(
            f"{args.params} holds weights alone; name their network with --network, "
            "or give a checkpoint's .json"
        )
    if args.network in BACKBONES:
        raise InputError(
            f"--network {args.network} is a bare backbone; want a detector, such as "
            "faster_rcnn_fpn_resnet50_v1b_coco"
        )
    return model_zoo.get_model(
        args.network,
        classes=classes,
        pretrained=args.params,
        ctx=ctx,
        **architecture_options(args),
    )


def _stated_fields(args: argparse.Namespace, classes: Optional[Sequence[str]]) -> Dict[str, Any]:
    """Collect what the flags say about a checkpoint's network; the checkpoint must agree."""
    flags = {
        "model": args.network,
        "backbone": args.base_network,
        "norm": args.norm,
        "head_norm": args.head_norm,
        "rescale": args.rescale,
        "classes": classes,
    }
    return {field: value for field, value in flags.items() if value is not None}
