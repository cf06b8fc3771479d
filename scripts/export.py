"""Export a trained detector to files of MXNet, ONNX or OpenVINO, and check them.

Example: a checkpoint to out/blood-symbol.json, out/blood-0000.params and out/blood.json

    python scripts/export.py --params runs/blood-best.json --output out/blood --image photo.jpg

and the same in int8 for the CPU, calibrated on 50 photos of a folder:

    python scripts/export.py --params runs/blood-best.json --output out/blood8 \\
        --dtype int8 --calibration photos

and as out/blood.onnx and out/blood.json, for onnxruntime and OpenVINO:

    python scripts/export.py --params runs/blood-best.json --output out/blood --format onnx

The files are read back in their run time and run on the image (on noise without --image) beside the
network. In float32 the largest difference is printed, and one that is more than
rounding is an error. In the other formats the script prints how many of the network's detections
the files also give; scripts/eval_faster_rcnn.py --exported measures what they cost in AP.
"""

import argparse
import random
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from gluonnorm.deploy import DTYPES, FORMATS, DeployError, Predictor, export
from gluonnorm.deploy.backends.choice import backend_module
from gluonnorm.deploy.bundle import FILE_SUFFIXES, FORMAT_FILES
from gluonnorm.errors import InputError
from gluonnorm.photos.boxes import box_iou
from gluonnorm.photos.prepare import network_input, prepare
from gluonnorm.types import Preprocess

import mxnet as mx
import numpy as np
from _cli import add_plugin_argument, add_seed_argument, run, seed_everything
from _devices import contexts
from _model_flags import add_model_arguments
from _models import open_network
from _output import make_parent_folder
from _photos import list_photos
from _script_parser import ScriptParser

# The largest difference that rounding explains, of each output; boxes in pixels.
TOLERANCE = {"ids": 0.0, "scores": 1e-4, "boxes": 0.05, "masks": 1e-3}
NOISE_SIZE = (256, 320)  # height and width
# What runs the files of a format for the check.
RUN_TIME_OF_FORMAT = {"mxnet": "mxnet", "onnx": "onnxruntime", "openvino": "openvino"}
CONFIDENT_SCORE = 0.5


def parse_args() -> argparse.Namespace:
    """Read the command line.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = ScriptParser(__doc__)
    add_model_arguments(parser, exported=False)
    parser.add_argument(
        "--classes",
        action="extend",
        nargs="+",
        metavar="NAME",
        help="class names, for weights of a *_custom network",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="PREFIX",
        help="folder and first part of the files' names",
    )
    parser.add_argument(
        "--format",
        choices=list(FORMATS),
        default="mxnet",
        help="files of MXNet, one ONNX file, or files of OpenVINO (default: mxnet)",
    )
    parser.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="the input's size, if it is always the same (default: any)",
    )
    parser.add_argument(
        "--dtype",
        choices=list(DTYPES),
        default="float32",
        help="the type the network computes in; bfloat16, which ONNX files do not have, and int8 "
        "run on the CPU alone (default: float32)",
    )
    parser.add_argument(
        "--calibration",
        action="extend",
        nargs="+",
        metavar="PATH",
        help="for int8: photos like those the detector will get, files or folders",
    )
    parser.add_argument(
        "--num-calibration",
        type=int,
        default=50,
        metavar="N",
        help="use so many of these photos, chosen at random (default: 50)",
    )
    parser.add_argument("--image", metavar="FILE", help="image for the check")
    add_seed_argument(parser, "that choice, and of the noise without --image")
    add_plugin_argument(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Write the files, run them and the network on one input, and compare.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    check_numbers(args)
    seed_everything(args.seed)
    ctx = contexts("")
    # A run time that is missing is an error before the work.
    run_time = RUN_TIME_OF_FORMAT[args.format]
    backend_module(run_time)
    net = open_network(args, ctx, args.classes)
    image_size = tuple(args.image_size) if args.image_size else None
    pixels = check_input(args.image, image_size or NOISE_SIZE, net.preprocess)
    photos = None
    if args.calibration:
        photos = choose_photos(args.calibration, args.num_calibration)
    # Before the calibration, which takes long.
    make_parent_folder("--output", f"{args.output}.json")
    manifest = export(net, args.output, image_size, args.dtype, photos, args.format)
    suffixes = [FILE_SUFFIXES[key] for key in FORMAT_FILES[args.format]]
    print("wrote", ", ".join(f"{args.output}{suffix}" for suffix in [*suffixes, ".json"]))
    exported_outputs = Predictor(args.output, backend=run_time).run_images(pixels[None])
    network_outputs = [output.asnumpy() for output in net(mx.nd.array(pixels[None]))]
    network_ids = network_outputs[0]
    print(f"checked on an input of {pixels.shape}: {int((network_ids >= 0).sum())} detections")
    if args.dtype == "float32":
        matched_outputs = in_order_of(network_outputs, exported_outputs)
        compare(matched_outputs, network_outputs, manifest["outputs"])
    else:
        print(f"of at least {CONFIDENT_SCORE:g}: {agreement(exported_outputs, network_outputs)}")


def check_numbers(args: argparse.Namespace) -> None:
    """Check the numbers of the command line before any work begins.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Raises
    ------
    InputError
        A number is less than 1.
    """
    if args.image_size and min(args.image_size) < 1:
        height, width = args.image_size
        raise InputError(f"--image-size is {height} {width}; want a height and a width in pixels")
    if args.num_calibration < 1:
        raise InputError(f"--num-calibration is {args.num_calibration}; want at least 1 photo")


def check_input(
    image: Optional[str], noise_size: Tuple[int, ...], preprocess: Preprocess
) -> np.ndarray:
    """Make the input on which files and network are compared.

    Parameters
    ----------
    image : str or None
        An image file; None takes noise.
    noise_size : tuple of int
        Height and width of the noise.
    preprocess : Preprocess
        How the network wants its images.

    Returns
    -------
    numpy.ndarray
        (3, h, w) float32.

    Raises
    ------
    ImageError
        The file cannot be read as an image.
    """
    if image is not None:
        return prepare(image, preprocess).pixels
    height, width = noise_size
    noise = np.random.uniform(0, 255, (height, width, 3)).astype(np.float32)
    return network_input(noise, (height, width), preprocess)


def choose_photos(paths: Sequence[str], count: int) -> List[Path]:
    """Choose photos of files and folders at random.

    Parameters
    ----------
    paths : sequence of str
        Files and folders.
    count : int
        The most photos that are chosen.

    Returns
    -------
    list of pathlib.Path
        The chosen files, sorted.
    """
    files = list_photos(paths)
    return sorted(random.sample(files, min(count, len(files))))


def in_order_of(
    network_outputs: Sequence[np.ndarray], exported_outputs: Sequence[np.ndarray]
) -> List[np.ndarray]:
    """Bring exported detections into the order of the network's.

    Rounding may swap detections whose scores are nearly equal.

    Parameters
    ----------
    network_outputs, exported_outputs : sequence of numpy.ndarray
        ids (1, D, 1), scores (1, D, 1) and boxes (1, D, 4) of one image, perhaps masks.

    Returns
    -------
    list of numpy.ndarray
        The exported outputs. Each row is at the place of the network's row of its class that is
        closest to it, among those that no row before it took.
    """
    expected = np.concatenate(network_outputs[:3], axis=-1)[0]
    exported = np.concatenate(exported_outputs[:3], axis=-1)[0]
    # In the order of ids, scores and boxes. A row of another class is never the closest one.
    units = np.array([1e-9, TOLERANCE["scores"], *[TOLERANCE["boxes"]] * 4])
    distances = (np.abs(expected[:, None] - exported) / units).max(axis=-1)
    order = []
    for row in distances:
        closest = int(row.argmin())
        order.append(closest)
        distances[:, closest] = np.inf
    return [output[:, order] for output in exported_outputs]


def compare(
    exported_outputs: Sequence[np.ndarray],
    network_outputs: Sequence[np.ndarray],
    names: Sequence[str],
) -> None:
    """Print the largest difference of each output between the files and the network.

    Parameters
    ----------
    exported_outputs, network_outputs : sequence of numpy.ndarray
        The outputs of one batch, of equal shapes.
    names : sequence of str
        The name of each output.

    Raises
    ------
    DeployError
        A difference is more than rounding.
    """
    differences = {}
    for name, exported, expected in zip(names, exported_outputs, network_outputs):
        differences[name] = float(np.abs(exported - expected).max())
    listed = ", ".join(f"{name} {value:.3g}" for name, value in differences.items())
    print(f"largest difference: {listed}")
    # "not <=" also catches a difference that is NaN.
    wrong = [name for name, value in differences.items() if not value <= TOLERANCE[name]]
    if wrong:
        raise DeployError(
            f"the exported files differ from the network in {', '.join(wrong)}; do not use them"
        )


def agreement(exported_outputs: Sequence[np.ndarray], network_outputs: Sequence[np.ndarray]) -> str:
    """Count the network's confident detections that the exported files give too.

    Two detections agree if they have one class and an IoU above 0.5, and the exported one has at
    least half of the confident score.

    Parameters
    ----------
    exported_outputs, network_outputs : sequence of numpy.ndarray
        ids (1, D, 1), scores (1, D, 1) and boxes (1, D, 4) of one image, perhaps masks.

    Returns
    -------
    str
        The counts in words.
    """
    ids = network_outputs[0][0, :, 0]
    scores = network_outputs[1][0, :, 0]
    boxes = network_outputs[2][0]
    exported_ids = exported_outputs[0][0, :, 0]
    exported_scores = exported_outputs[1][0, :, 0]
    exported_boxes = exported_outputs[2][0]
    confident = scores >= CONFIDENT_SCORE
    if not confident.any():
        return "the network finds none, so nothing was compared; give --image a photo with objects"
    same_place = box_iou(boxes, exported_boxes) > 0.5
    same_class = ids[:, None] == exported_ids
    likely = exported_scores >= CONFIDENT_SCORE / 2
    agreeing = (same_place & same_class & likely).any(axis=1)
    num_agreeing = int(agreeing[confident].sum())
    return f"{num_agreeing} of the network's {int(confident.sum())} found again"


if __name__ == "__main__":
    run(main, parse_args())
