"""The functions that open the detector that the flags of ``_model_flags.py`` name.

They take the parsed command line, because they are the border between flags and objects.
"""

import argparse
from typing import Any, Dict, Optional, Sequence

import model_zoo
from gluonnorm.deploy import Predictor
from gluonnorm.errors import InputError
from gluonnorm.graph.trace import hybridize_for_inference
from model_zoo.catalogue import BACKBONES
from model_zoo.published_weights import find_weights

import mxnet as mx
from _cli import parse_settings
from _model_flags import architecture_options


def open_network_predictor(
    args: argparse.Namespace, ctx: Sequence[mx.Context], **options: Any
) -> Predictor:
    """Open the network that the flags name, hybridized and ready for photos.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``_model_flags.add_model_arguments``, with ``classes``.
    ctx : sequence of mx.Context
        The devices that hold the weights.
    **options
        Of ``Predictor.from_network``.

    Returns
    -------
    Predictor
        The network with its weights.

    Raises
    ------
    InputError, CheckpointError
        As ``open_network``.
    """
    net = open_network(args, ctx, args.classes)
    hybridize_for_inference(net)
    return Predictor.from_network(net, **options)


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
    find_weights(args.params)  # an error, if there is nothing of this name
    # Before the weights are loaded, so that a mistyped setting is reported at once.
    settings = parse_settings(args.set)
    if not args.params.endswith(".json"):
        return _network_of_weights(args, ctx, classes, settings)
    stated = _stated_fields(args, classes)
    net = model_zoo.from_checkpoint(args.params, ctx, stated)
    net.configure(**settings)
    return net


def _network_of_weights(
    args: argparse.Namespace,
    ctx: Sequence[mx.Context],
    classes: Optional[Sequence[str]],
    settings: Dict[str, Any],
) -> mx.gluon.HybridBlock:
    """Build the network of ``--network`` and ``--set``, and load a file of weights into it."""
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
        **settings,
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
