"""The functions that open the detector that the flags of ``_model_flags.py`` name.

They take the parsed command line, because they are the border between flags and objects.
"""

import argparse
import json
from typing import Any, Dict, Optional, Sequence

import model_zoo
from gluonnorm.deploy import Predictor
from gluonnorm.errors import InputError
from gluonnorm.graph.trace import hybridize_for_inference
from gluonnorm.nn.norm import norm_name
from gluonnorm.rcnn import DetectorConfig
from gluonnorm.training.checkpoint_mismatch import spec_mismatches
from model_zoo.catalogue import BACKBONES, MODELS, check_backbone, unknown_model
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


def check_network_flags(args: argparse.Namespace) -> None:
    """Check the names that the flags of a network hold, before there is a file of weights.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_model_arguments``.

    Raises
    ------
    InputError
        There is no such model, backbone, norm or setting.
    """
    if args.network is not None:
        _check_detector(args.network)
        if args.network not in MODELS:
            raise unknown_model(args.network, MODELS)
    if args.base_network is not None:
        check_backbone(args.base_network)
    for option in ("norm", "head_norm"):
        if getattr(args, option) is not None:
            norm_name(getattr(args, option), option)
    settings = parse_settings(args.set)
    # Which values are right depends on the other settings of the network.
    defaults = DetectorConfig()
    defaults.override(**{name: getattr(defaults, name, None) for name in settings})


def check_stated_network(
    args: argparse.Namespace, spec: Dict[str, Any], classes: Optional[Sequence[str]], path: str
) -> None:
    """Check that the flags of a network agree with the network of a run.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_model_arguments``.
    spec : dict
        The description of the network; {} if it is not known.
    classes : sequence of str or None
        Class names that the user gives.
    path : str
        The file that has the description, for the message.

    Raises
    ------
    InputError
        A flag says something else.
    """
    stated = _stated_fields(args, classes)
    known = {field: value for field, value in stated.items() if field in spec}
    # JSON has lists where the command line has tuples.
    differing = spec_mismatches(spec, json.loads(json.dumps(known)), "its")
    if differing:
        raise InputError(
            f"{path} is of a run of another network: {'; '.join(differing)}; leave out the flags "
            "of the network, which each checkpoint states"
        )


def _check_detector(name: str) -> None:
    """Refuse the name of a bare backbone."""
    if name in BACKBONES:
        raise InputError(
            f"--network {name} is a bare backbone; want a detector, such as "
            "faster_rcnn_fpn_resnet50_v1b_coco"
        )


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
    _check_detector(args.network)
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
