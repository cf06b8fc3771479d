"""Everything from an empty folder to detections, in a few minutes.

The script draws a data set, trains, evaluates, exports, and detects with the exported files. Each
step is one of the other scripts, or a call that a program of yours would make. All files go to
--output.

Example:
  python scripts/quickstart.py --output demo
"""

import argparse
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import model_zoo
from gluonnorm import deploy, training
from gluonnorm.data import COCODataset, draw_shapes
from gluonnorm.visualize import draw, grid

import mxnet as mx
import numpy as np
import train_faster_rcnn as train
from _cli import add_plugin_argument, add_seed_argument, check_seed, run, seed_everything
from _output import write_jpeg
from _scores import evaluate
from _script_parser import ScriptParser

NETWORK = "faster_rcnn_fpn_resnet18_v1b_custom"
NORM = "gn"
# Small enough to train on a laptop's CPU while one waits.
SETTINGS: Dict[str, Any] = {
    "short": 128,
    "max_size": 256,
    "anchor_sizes": ((16,), (32,), (64,), (128,), (256,)),
    "fpn_channels": 64,
    "rpn_channels": 64,
    "num_sample": 64,
    "rpn_num_sample": 64,
    "rpn_train_pre_nms": 200,
    "rpn_train_post_nms": 100,
    "rpn_test_pre_nms": 200,
    "rpn_test_post_nms": 50,
    "max_detections": 20,
}


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line.

    Parameters
    ----------
    argv : sequence of str or None
        The flags; None takes those of this process.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = ScriptParser(__doc__)
    parser.add_argument(
        "--output", default="demo", metavar="FOLDER", help="the folder of all files (default: demo)"
    )
    parser.add_argument(
        "--images", type=int, default=240, metavar="N", help="images to train on (default: 240)"
    )
    parser.add_argument(
        "--val-images",
        type=int,
        default=40,
        metavar="N",
        help="held-out images to evaluate on (default: 40)",
    )
    parser.add_argument(
        "--epochs", type=int, default=3, metavar="N", help="epochs of training (default: 3)"
    )
    add_seed_argument(parser, "images, weights and order")
    add_plugin_argument(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Draw, train, evaluate, export and detect.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    start_time = time.time()
    check_seed(args.seed)
    output = Path(args.output)
    data_folder = output / "data"
    prefix = output / "run" / "shapes"
    print(
        f"1. drawing {args.images} + {args.val_images} images of colored shapes into {data_folder}"
    )
    draw_shapes(data_folder, args.images, args.val_images, seed=args.seed)
    held_out = COCODataset(data_folder / "annotations" / "instances_val.json", data_folder / "val")

    print(f"2. training {NETWORK} with group norm, from scratch, for {args.epochs} epochs")
    # Of two demos that run at the same time, one must not delete the files of the other.
    with training.PrefixLock(str(prefix)):
        remove_earlier_run(prefix)
    seed_everything(args.seed)
    fresh_net = model_zoo.get_model(NETWORK, norm=NORM, classes=held_out.classes, **SETTINGS)
    scores_before = evaluate(fresh_net, [mx.cpu()], held_out)
    flags = train_flags(data_folder, prefix, args.epochs, args.seed)
    train.main(train.parse_args(flags))

    checkpoint = training.latest(str(prefix))
    assert checkpoint is not None, "training leaves a checkpoint"
    net = model_zoo.from_checkpoint(checkpoint)
    scores_after = evaluate(net, [mx.cpu()], held_out)
    print(
        f"3. on {len(held_out)} held-out images, before and after training: "
        f"{change('AP', scores_before, scores_after)}, "
        f"{change('AP50', scores_before, scores_after)}"
    )

    exported = output / "export" / "shapes"
    exported.parent.mkdir(parents=True, exist_ok=True)
    deploy.export(net, str(exported))
    picture = output / "detections.jpg"
    detections = draw_detections(str(exported), held_out)
    write_jpeg(picture, detections)
    print("4. exported, loaded back as a plain symbol, and run on held-out images\n")
    print(f"data set   {data_folder}")
    print(f"checkpoint {checkpoint}")
    print(f"curve      {prefix}-curve.png")
    print(f"exported   {exported}-symbol.json")
    print(f"picture    {picture}")
    print(f"{time.time() - start_time:.0f} seconds")


def remove_earlier_run(prefix: Path) -> None:
    """Delete the files of an earlier demo, which the training script would not mix with new ones.

    Parameters
    ----------
    prefix : pathlib.Path
        Folder and first part of the files' names.
    """
    for file in prefix.parent.glob(f"{prefix.name}-*"):
        file.unlink()
    prefix.with_suffix(".log").unlink(missing_ok=True)


def train_flags(data_folder: Path, prefix: Path, epochs: int, seed: int) -> List[str]:
    """Make the command line of the training script.

    Parameters
    ----------
    data_folder : pathlib.Path
        The drawn data set.
    prefix : pathlib.Path
        Folder and first part of the names of the files that training writes.
    epochs : int
        Epochs of training.
    seed : int
        Seed of weights and order.

    Returns
    -------
    list of str
        Flags and their values.
    """
    settings = [f"{name}={value}" for name, value in SETTINGS.items()]
    return [
        "--network",
        NETWORK,
        "--norm",
        NORM,
        "--dataset",
        "coco",
        "--data-root",
        str(data_folder),
        "--train-split",
        "train",
        "--val-split",
        "val",
        "--epochs",
        str(epochs),
        "--batch-size",
        "2",
        "--lr",
        "0.01",
        "--lr-decay-epoch",
        str(0.75 * epochs),
        "--lr-warmup",
        "20",
        "--clip-gradient",
        "10",
        "--seed",
        str(seed),
        "--save-prefix",
        str(prefix),
        "--set",
        *settings,
    ]


def change(name: str, scores_before: Dict[str, float], scores_after: Dict[str, float]) -> str:
    """Write a score before and after training.

    Parameters
    ----------
    name : str
        The score, such as ``"AP"``.
    scores_before, scores_after : dict of str to float
        What ``evaluate`` returned.

    Returns
    -------
    str
        A text such as ``"AP 0.000 -> 0.512"``.
    """
    return f"{name} {scores_before[name]:.3f} -> {scores_after[name]:.3f}"


def draw_detections(exported: str, dataset: COCODataset, count: int = 12) -> np.ndarray:
    """Draw what the exported files find on the first images of a data set.

    Parameters
    ----------
    exported : str
        The prefix of the exported files.
    dataset : COCODataset
        The images.
    count : int
        The most images that are shown.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8: the images side by side.
    """
    detector = deploy.Predictor(exported)
    images = []
    for index in range(min(count, len(dataset))):
        images.append(dataset[index].image)
    pictures = []
    for image, detections in zip(images, detector(images)):
        pictures.append(draw(image, detections, detector.classes))
    return grid(pictures)


if __name__ == "__main__":
    run(main, parse_args())
