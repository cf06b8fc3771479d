"""Export a trained detector to MXNet symbol files, and check them against the network.

Example: a checkpoint to out/blood-symbol.json, out/blood-0000.params and out/blood.json

    python scripts/export.py --params runs/blood-0001025.json --output out/blood --image photo.jpg

The files are read back and run on the image (on noise without --image) beside the network; the largest difference is
printed, and one that matters is an error.
"""
import argparse
from typing import Tuple

from gluonnorm.data import read_image
from gluonnorm.deploy import DeployError, Predictor, export, load
from gluonnorm.ops.images import to_input

import mxnet as mx
import numpy as np
from _cli import contexts, run, seed_everything
from _models import add_model_arguments, open_network

TOLERANCE = {"ids": 0.0, "scores": 1e-4, "boxes": 0.05, "masks": 1e-3}  # boxes in pixels


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser, exported=False)
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="class names, for weights of a *_custom network")
    parser.add_argument("--output", required=True, metavar="PREFIX", help="folder and first part of the files' names")
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"),
                        help="the input's size, if it is always the same (default: any)")
    parser.add_argument("--dtype", default="float32", help="what the network computes in (default: float32)")
    parser.add_argument("--image", metavar="FILE", help="image for the check")
    parser.add_argument("--seed", type=int, default=233, help="of the noise without --image (default: 233)")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Write the files, run them and the network on one input, and compare."""
    seed_everything(args.seed)
    ctx = contexts("")
    net = open_network(args, ctx, args.classes)
    if args.image:
        pixels = Predictor.from_network(net).prepare(read_image(args.image))
    else:
        size = tuple(args.image_size or (256, 320))
        pixels = to_input(np.random.uniform(0, 255, (*size, 3)).astype(np.float32), size, net.preprocess)
    record = export(net, args.output, args.image_size and tuple(args.image_size), args.dtype)
    block, _ = load(args.output, ctx)
    print(f"wrote {args.output}-symbol.json, {args.output}-0000.params, {args.output}.json")
    compare(block, net, mx.nd.array(pixels[None]), record["outputs"])


def compare(block: mx.gluon.HybridBlock, net: mx.gluon.HybridBlock, x: mx.nd.NDArray, outputs: Tuple[str, ...]) -> None:
    """Print the largest difference of each output. Raises DeployError where it is more than rounding."""
    differences = {}
    for name, found, expected in zip(outputs, block(x), net(x)):
        differences[name] = float(np.abs(found.asnumpy() - expected.asnumpy()).max())
        if name == "ids":
            print(f"checked on an input of {x.shape}: {int((expected >= 0).sum().asscalar())} detections")
    print("largest difference: " + ", ".join(f"{name} {value:.3g}" for name, value in differences.items()))
    wrong = [name for name, value in differences.items() if not value <= TOLERANCE[name]]
    if wrong:
        raise DeployError(f"the exported files differ from the network in {', '.join(wrong)}; do not use them")


if __name__ == "__main__":
    run(main, parse_args())
