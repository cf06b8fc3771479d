r"""Convert weights of GluonCV, torchvision, Detectron, Detectron2 or SwitchNorm into this package's, and back.

Example: torchvision's published Mask R-CNN, then used by any other script or get_model(..., pretrained=FILE)

    python scripts/convert.py --network maskrcnn_resnet50_fpn --source torchvision \
        --weights maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth --output maskrcnn.params
    python scripts/demo.py --network maskrcnn_resnet50_fpn --params maskrcnn.params photo.jpg

and a network trained here for torchvision:

    python scripts/convert.py --save-as torchvision --params runs/net-0001025.json --output net.pth
"""
import argparse
import os
from typing import Any

import model_zoo
from gluonnorm import conversion
from model_zoo.catalogue import BACKBONES

import mxnet as mx
from _cli import run
from _models import add_norm_arguments, open_network

TWO_WAYS = tuple(name for name, source in conversion.SOURCES.items() if source.saves)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the sources and the networks' names, and end")
    parser.add_argument("--output", metavar="FILE", help="weights to write; .params for this package and GluonCV")
    parser.add_argument("--report", metavar="FILE", help="write what became of each array")
    model = parser.add_argument_group("network")
    model.add_argument("--network", metavar="NAME", help="a name of --list")
    add_norm_arguments(model)
    model.add_argument("--classes", nargs="+", metavar="NAME", help="class names, if they are not the network's own")
    there = parser.add_argument_group("into this package")
    there.add_argument("--source", choices=list(conversion.SOURCES), help="where the weights come from")
    there.add_argument("--weights", metavar="FILE", help="of any kind those write: .pth, .pkl, .params, .safetensors")
    there.add_argument("--backbone-only", action="store_true",
                       help="fill a detector's backbone from an ImageNet file, and leave the rest fresh")
    there.add_argument("--num-classes-differ", choices=["reset", "reduce"],
                       help="fresh predictors, or torchvision's 90 ids cut to the 80 that are classes")
    there.add_argument("--eps", type=float, help="of the file's BatchNorm layers (default: by the file)")
    back = parser.add_argument_group("out of this package")
    back.add_argument("--save-as", choices=TWO_WAYS, help="write the weights of --params in the names of this source")
    back.add_argument("--params", metavar="FILE",
                      help="a checkpoint's .json, which knows its network, or weights, which need --network")
    parser.set_defaults(set=[])
    args = parser.parse_args()
    if not args.list:
        wanted = ("output", "params") if args.save_as else ("output", "network", "source", "weights")
        missing = [f"--{name}" for name in wanted if getattr(args, name) is None]
        if missing:
            parser.error(f"give {', '.join(missing)} too")
        if not args.save_as and args.params:
            parser.error("--params is what --save-as reads; the file to convert is --weights")
    return args


def main(args: argparse.Namespace) -> None:
    """Print the names, or convert in the direction of the flags."""
    if args.list:
        print(f"sources: {', '.join(conversion.SOURCES)} (and back: {', '.join(TWO_WAYS)})")
        print("networks: " + ", ".join(model_zoo.list_models()))
    elif args.save_as:
        save(args)
    else:
        load(args)


def load(args: argparse.Namespace) -> None:
    """Weights of another codebase into a new network, and that into a file."""
    if not args.output.endswith(".params"):
        raise ValueError(f"--output {args.output}: here weights are MXNet's; choose a name that ends in .params")
    net = build(args)
    if args.backbone_only:
        report = conversion.load_backbone(net, args.weights, args.source, args.eps)
    else:
        report = conversion.load(net, args.weights, args.source, args.num_classes_differ, args.eps)
    make_folder(args.output)
    net.save_parameters(args.output)
    print(report)
    print(f"wrote {args.output}")
    if args.report:
        make_folder(args.report)
        with open(args.report, "w", encoding="utf-8") as file:
            file.write(f"{report}\n\n{report.table()}\n")


def save(args: argparse.Namespace) -> None:
    """A trained network into a file of another codebase."""
    if args.network in BACKBONES:
        net = build(args, pretrained_base=args.params)
    else:
        net = open_network(args, [mx.cpu()], args.classes)
    make_folder(args.output)
    arrays = conversion.save(net, args.output, args.save_as)
    print(f"wrote {len(arrays)} arrays in the names of {args.save_as} to {args.output}")


def build(args: argparse.Namespace, **options: Any) -> mx.gluon.HybridBlock:
    """The network of the flags."""
    try:
        return model_zoo.get_model(args.network, norm=args.norm, head_norm=args.head_norm, rescale=args.rescale,
                                   classes=args.classes, **options)
    except TypeError as error:  # a flag that this network does not take
        raise ValueError(str(error)) from error


def make_folder(path: str) -> None:
    """The folder a file goes to."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)


if __name__ == "__main__":
    run(main, parse_args())
