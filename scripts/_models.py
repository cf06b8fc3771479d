"""The scripts' flags for a trained detector, and the detector they open."""
import argparse
from typing import Any, Dict, Optional, Sequence

import model_zoo
from gluonnorm import training
from gluonnorm.deploy import Predictor
from gluonnorm.graph.trace import hybridize_for_inference
from gluonnorm.nn import NORM_NAMES
from gluonnorm.nn.rescale import DIRECTIONS
from model_zoo.catalogue import BACKBONES

import mxnet as mx
from _cli import settings


def add_model_arguments(parser: argparse.ArgumentParser, exported: bool) -> None:
    """Add the flags that say which trained network to use; ``exported`` networks too, or only those with weights."""
    group = parser.add_argument_group("model")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--params", "--pretrained", metavar="FILE",
                        help="a checkpoint's .json, which knows its network, or weights, which need --network")
    if exported:
        source.add_argument("--exported", metavar="PREFIX",
                            help="exported files PREFIX-symbol.json, PREFIX-0000.params and PREFIX.json")
    group.add_argument("--network", metavar="NAME",
                       help="a name of model_zoo.list_models(), e.g. faster_rcnn_fpn_resnet50_v1b_coco")
    add_norm_arguments(group)
    group.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE",
                       help="settings that hold no weights, e.g. nms_thresh=0.3 rpn_test_post_nms=300; "
                            "see gluonnorm.rcnn.DetectorConfig")


def add_norm_arguments(group: Any) -> None:
    """Add the flags that choose a network's norms, and its rescale layer, to a parser or a group of its flags."""
    group.add_argument("--norm", help=f"{', '.join(NORM_NAMES)} (default: the model's own)")
    group.add_argument("--head-norm", metavar="NORM", help="another norm for neck and heads")
    group.add_argument("--rescale", choices=list(DIRECTIONS), help="a constant rescale layer before the backbone")


def open_detector(
    args: argparse.Namespace, ctx: Sequence[mx.Context], classes: Optional[Sequence[str]] = None
) -> Predictor:
    """The detector of the flags, hybridized, on ``ctx``; ``classes`` are for weights of a ``*_custom`` network.

    Raises ValueError, CheckpointError or DeployError with what is wrong and the way out.
    """
    if getattr(args, "exported", None):
        if args.set:
            raise ValueError("--set cannot change exported files; give it to scripts/export.py")
        return Predictor(args.exported, ctx)
    net = open_network(args, ctx, classes)
    hybridize_for_inference(net)
    return Predictor.from_network(net)


def open_network(
    args: argparse.Namespace, ctx: Sequence[mx.Context], classes: Optional[Sequence[str]] = None
) -> mx.gluon.HybridBlock:
    """The network of the flags, with the weights of a checkpoint or of a file of weights, and with --set applied."""
    net = _load_network(args, ctx, classes)
    try:
        net.configure(**settings(args.set))
    except TypeError as error:  # no such setting
        raise ValueError(f"--set: {error}") from error
    return net


def _load_network(
    args: argparse.Namespace, ctx: Sequence[mx.Context], classes: Optional[Sequence[str]]
) -> mx.gluon.HybridBlock:
    if args.params.endswith(".json"):
        spec = training.read(args.params)["spec"]
        try:
            net = model_zoo.from_spec(spec, ctx)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{args.params} describes no network of this version ({error}); use the version it was "
                             "written with") from error
        training.load(args.params, net, spec=_stated(args, classes))
        return net
    if args.network is None:
        raise ValueError(f"{args.params} holds weights alone; name their network with --network, "
                         "or give a checkpoint's .json")
    if args.network in BACKBONES:
        raise ValueError(f"--network {args.network} is a bare backbone; want a detector, such as "
                         "faster_rcnn_fpn_resnet50_v1b_coco")
    return model_zoo.get_model(args.network, norm=args.norm, head_norm=args.head_norm, rescale=args.rescale,
                               classes=classes, pretrained=args.params, ctx=ctx)


def _stated(args: argparse.Namespace, classes: Optional[Sequence[str]]) -> Dict[str, Any]:
    """What the flags say about a checkpoint's network, which must then be so."""
    flags = {"model": args.network, "norm": args.norm, "head_norm": args.head_norm, "rescale": args.rescale,
             "classes": classes}
    return {name: value for name, value in flags.items() if value is not None}
