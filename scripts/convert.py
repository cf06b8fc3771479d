r"""Convert weights of other codebases into this package's, and back.

The codebases are GluonCV, torchvision, Detectron, Detectron2 and SwitchNorm.

Example: torchvision's published Mask R-CNN, converted for get_model(..., pretrained=FILE) and for
the other scripts

    python scripts/convert.py --network maskrcnn_resnet50_fpn --source torchvision \
        --weights maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth --output maskrcnn.params
    python scripts/demo.py --network maskrcnn_resnet50_fpn --params maskrcnn.params photo.jpg

and a network of this package for torchvision:

    python scripts/convert.py --save-as torchvision --params runs/net-best.json --output net.pth
"""

import argparse
from typing import Any, List

import model_zoo
from gluonnorm import conversion
from gluonnorm.errors import InputError
from gluonnorm.weight_files import write_arrays
from model_zoo.catalogue import BACKBONES

import mxnet as mx
from _cli import add_plugin_argument, add_seed_argument, run, seed_everything
from _model_flags import add_architecture_arguments, architecture_options
from _models import open_network
from _output import make_parent_folder, write_text
from _script_parser import ScriptParser

# The codebases whose files this package also writes.
WRITABLE_SOURCES = tuple(name for name, source in conversion.SOURCES.items() if source.save_endings)


def parse_args() -> argparse.Namespace:
    """Read the command line, and end with a usage message if a needed flag is missing.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = ScriptParser(__doc__)
    parser.add_argument(
        "--list", action="store_true", help="print the sources and the networks' names, and end"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="the file of weights to write; .params for this package and GluonCV",
    )
    parser.add_argument(
        "--report",
        metavar="FILE",
        help="also write this file: a table of what happened to each array",
    )
    add_seed_argument(
        parser, "the layers that get no weights from the file, such as fresh predictors"
    )
    model = parser.add_argument_group("network")
    model.add_argument("--network", metavar="NAME", help="a name of --list")
    add_architecture_arguments(model)
    model.add_argument(
        "--classes",
        action="extend",
        nargs="+",
        metavar="NAME",
        help="class names, if they are not the network's own",
    )
    load_group = parser.add_argument_group("into this package")
    load_group.add_argument(
        "--source", choices=list(conversion.SOURCES), help="the codebase that wrote the weights"
    )
    load_group.add_argument(
        "--weights",
        metavar="FILE",
        help="the file to convert, in any format that the codebase writes: "
        ".pth, .pkl, .params, .npz, .safetensors",
    )
    load_group.add_argument(
        "--entry",
        metavar="NAME",
        help="which weights of a checkpoint that has several, such as ema, or the beginning of the "
        "names before a dot (default: the only ones, or the plain ones beside averaged ones)",
    )
    load_group.add_argument(
        "--backbone-only",
        action="store_true",
        help="fill a detector's backbone from an ImageNet file, and leave the rest fresh",
    )
    load_group.add_argument(
        "--num-classes-differ",
        choices=["reset", "reduce"],
        help="reset: fresh predictors; reduce: torchvision's 90 ids become the 80 that are classes",
    )
    load_group.add_argument(
        "--eps", type=float, help="epsilon of the file's BatchNorm layers (default: by the file)"
    )
    save_group = parser.add_argument_group("out of this package")
    save_group.add_argument(
        "--save-as",
        choices=WRITABLE_SOURCES,
        help="write the weights of --params in the names of this codebase",
    )
    save_group.add_argument(
        "--params",
        metavar="FILE",
        help="a checkpoint's .json, which knows its network, or weights, which need --network",
    )
    # open_network reads --set, which is of no use here.
    parser.set_defaults(set=[])
    add_plugin_argument(parser)
    args = parser.parse_args()
    if args.list:
        return args
    missing = missing_flags(args)
    if missing:
        parser.error(f"give {', '.join(missing)} too")
    if args.params and not args.save_as:
        parser.error("--params is what --save-as reads; the file to convert is --weights")
    return args


def missing_flags(args: argparse.Namespace) -> List[str]:
    """List the flags that the chosen direction needs and that were not given.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.

    Returns
    -------
    list of str
        Flags such as ``"--output"``; empty if none is missing.
    """
    needed = ["output", "network", "source", "weights"]
    if args.save_as:
        needed = ["output", "params"]
    return [f"--{name}" for name in needed if getattr(args, name) is None]


def main(args: argparse.Namespace) -> None:
    """Print the names, or convert in the direction that the flags choose.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    seed_everything(args.seed)
    if args.list:
        print(f"sources: {', '.join(conversion.SOURCES)} (and back: {', '.join(WRITABLE_SOURCES)})")
        print("networks: " + ", ".join(model_zoo.list_models()))
    elif args.save_as:
        save(args)
    else:
        load(args)


def load(args: argparse.Namespace) -> None:
    """Load another codebase's weights into a new network, and write them as this package's.

    It takes the parsed command line, because it is one of the two things that ``main`` does.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    if not args.output.endswith(".params"):
        raise InputError(
            f"--output {args.output}: this direction writes MXNet's format; choose a "
            "name that ends in .params"
        )
    net = build_network(args)
    if args.backbone_only:
        report = conversion.load_backbone(net, args.weights, args.source, args.eps, args.entry)
    else:
        report = conversion.load(
            net, args.weights, args.source, args.num_classes_differ, args.eps, args.entry
        )
    make_parent_folder("--output", args.output)
    make_parent_folder("--report", args.report)
    arrays = {}
    for name, parameter in net._collect_params_with_prefix().items():
        arrays[name] = parameter.data().asnumpy()
    write_arrays(args.output, arrays)
    print(report)
    print(f"wrote {args.output}")
    if args.report:
        write_text(args.report, f"{report}\n\n{report.table()}\n")


def save(args: argparse.Namespace) -> None:
    """Write a network of this package in the names and the format of another codebase.

    It takes the parsed command line, because it is one of the two things that ``main`` does.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    if args.network in BACKBONES:
        net = build_network(args, pretrained_base=args.params)
    else:
        net = open_network(args, [mx.cpu()], args.classes)
    make_parent_folder("--output", args.output)
    arrays = conversion.save(net, args.output, args.save_as)
    print(f"wrote {len(arrays)} arrays in the names of {args.save_as} to {args.output}")


def build_network(args: argparse.Namespace, **options: Any) -> mx.gluon.HybridBlock:
    """Build the network that the flags describe.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    **options
        Further arguments of ``model_zoo.get_model``.

    Returns
    -------
    mx.gluon.HybridBlock
        A detector or a bare backbone.

    Raises
    ------
    InputError
        No such network, or a flag that this network does not take.
    """
    return model_zoo.get_model(
        args.network,
        classes=args.classes,
        **architecture_options(args),
        **options,
    )


if __name__ == "__main__":
    run(main, parse_args())
