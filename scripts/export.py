"""Export a trained detector to MXNet symbol files, and check them against the network.

Example: a checkpoint to out/blood-symbol.json, out/blood-0000.params and out/blood.json

    python scripts/export.py --params runs/blood-0001025.json --output out/blood --image photo.jpg

and the same in int8 for the CPU, calibrated on 50 photos of a folder:

    python scripts/export.py --params runs/blood-0001025.json --output out/blood8 --dtype int8 --calibration photos

The files are read back and run on the image (on noise without --image) beside the network. In float32 the largest
difference is printed, and one that matters is an error; in the other formats, how many detections are found again:
what they cost in AP, scripts/eval_faster_rcnn.py --exported says.
"""
import argparse
import os
import random
from pathlib import Path
from typing import List, Sequence

from gluonnorm.deploy import DTYPES, DeployError, Predictor, export, load
from gluonnorm.photos.boxes import box_iou
from gluonnorm.photos.files import image_files, read_image
from gluonnorm.photos.prepare import to_input

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
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32",
                        help="what the network computes in; bfloat16 and int8 run on the CPU alone (default: float32)")
    parser.add_argument("--calibration", nargs="+", metavar="PATH",
                        help="for int8: photos like those it will see, files or folders")
    parser.add_argument("--num-calibration", type=int, default=50, metavar="N",
                        help="so many of them, drawn at random (default: 50)")
    parser.add_argument("--image", metavar="FILE", help="image for the check")
    parser.add_argument("--seed", type=int, default=233,
                        help="of the drawing, and of the noise without --image (default: 233)")
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
    photos = calibration_photos(args.calibration, args.num_calibration) if args.calibration else None
    record = export(net, args.output, args.image_size and tuple(args.image_size), args.dtype, photos)
    block, _ = load(args.output, ctx)
    print(f"wrote {args.output}-symbol.json, {args.output}-0000.params, {args.output}.json")
    found, expected = ([output.asnumpy() for output in each(mx.nd.array(pixels[None]))] for each in (block, net))
    print(f"checked on an input of {pixels.shape}: {int((expected[0] >= 0).sum())} detections")
    if args.dtype == "float32":
        compare(found, expected, record["outputs"])
    else:
        print(f"of at least 0.5: {agreement(found, expected)}")


def calibration_photos(paths: Sequence[str], count: int) -> List[Path]:
    """At most ``count`` of the photos in files and folders, at random."""
    files = [file for path in paths for file in (image_files(path) if os.path.isdir(path) else [Path(path)])]
    return sorted(random.sample(files, min(count, len(files))))


def compare(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Print the largest difference of each output. Raises DeployError where it is more than rounding."""
    differences = {name: float(np.abs(one - other).max()) for name, one, other in zip(names, found, expected)}
    print("largest difference: " + ", ".join(f"{name} {value:.3g}" for name, value in differences.items()))
    wrong = [name for name, value in differences.items() if not value <= TOLERANCE[name]]
    if wrong:
        raise DeployError(f"the exported files differ from the network in {', '.join(wrong)}; do not use them")


def agreement(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], score: float = 0.5) -> str:
    """How many of the network's confident detections the files give as well: same class, boxes that overlap by half."""
    (ids, scores, boxes), (their_ids, their_scores, their_boxes) = (
        (each[0][0, :, 0], each[1][0, :, 0], each[2][0]) for each in (expected, found))
    confident = scores >= score
    same = ((box_iou(boxes, their_boxes) > 0.5) & (ids[:, None] == their_ids) & (their_scores >= score / 2))[confident]
    if not confident.any():
        return "the network finds none, so nothing was compared; give --image a photo with objects"
    return f"{int(same.any(axis=1).sum())} of the network's {int(confident.sum())} found again"


if __name__ == "__main__":
    run(main, parse_args())
