"""Check a data set before training on it: what it holds, and everything that is wrong with it.

All annotations are read, all image files are decoded once, and all faults are collected. For each
split the script prints
  counts     images, boxes, and boxes and images for each class
  sizes      of images and of boxes
  fault      a file or annotation that cannot be used; --skip-bad leaves these out of training
  problem    a reason why nothing can be learned from the split
  warning    what is probably not meant so, such as a class without boxes
With --network it also says which boxes are too small for that network's input and anchors.

The exit status is 0 without faults and problems (warnings do not count), 1 with any, and 2 if the
data set cannot be opened at all.

Examples:
  python scripts/check_dataset.py --dataset coco --data-root coco
  python scripts/check_dataset.py --dataset voc --data-root BCCD --train-split train \\
      --val-split val --network faster_rcnn_resnet50_v2_custom --set short=300 max_size=600
  python scripts/check_dataset.py --dataset coco --data-root nuclei --masks --draw pictures
"""

import argparse
import os
import sys
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import model_zoo
from gluonnorm.data import Dataset, Inspection, LabeledImage, inspect
from gluonnorm.errors import InputError
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.types import Detections
from gluonnorm.visualize import draw

import numpy as np
from _cli import add_plugin_argument, parse_settings, run, seed_everything
from _data import open_dataset, open_masks
from _data_flags import add_dataset_arguments
from _output import write_jpeg

UNSOUND = 1  # the exit status with faults or problems
SPLITS = ("train", "val")
# COCO's limits between small, medium and large boxes: square roots of areas, in pixels.
SMALL = 32
LARGE = 96


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_dataset_arguments(parser)
    group = parser.add_argument_group("check")
    group.add_argument(
        "--only", choices=SPLITS, help="check this split alone (default: train and val)"
    )
    group.add_argument("--masks", action="store_true", help="check the masks too")
    group.add_argument(
        "--network", metavar="NAME", help="judge the boxes in the input of this network as well"
    )
    group.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="settings of the network, as in training, e.g. short=300 max_size=600",
    )
    group.add_argument(
        "--show",
        type=int,
        default=20,
        metavar="N",
        help="faults of a split that are printed one by one (default: 20)",
    )
    group.add_argument(
        "--draw",
        metavar="FOLDER",
        help="write pictures of some images with their boxes to this folder, to be looked at",
    )
    group.add_argument(
        "--num-drawn",
        type=int,
        default=8,
        metavar="N",
        help="pictures of each split, chosen at random (default: 8)",
    )
    group.add_argument(
        "--seed", type=int, default=233, help="seed of the choice of pictures (default: 233)"
    )
    add_plugin_argument(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    """Check the splits, one after the other.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Returns
    -------
    int
        The exit status.
    """
    if args.show < 0 or args.num_drawn < 1:
        raise InputError(
            f"--show is {args.show} and --num-drawn is {args.num_drawn}; want at least 0 and 1"
        )
    seed_everything(args.seed)
    # All faults are wanted, so the data set is opened without what is faulty.
    args.skip_bad = True
    is_sound = True
    for split in [args.only] if args.only else SPLITS:
        dataset = open_dataset(args, split, notes=False)
        net = build_network(args, dataset.classes)
        if args.masks or (net is not None and net.has_masks):
            dataset = open_masks(dataset, notes=False)
        if net is None:
            inspection = inspect(dataset)
        else:
            inspection = inspect(dataset, net.preprocess, net.config)
        print("\n".join(report(split, inspection, args.show)), flush=True)
        is_sound = is_sound and not inspection.faults and not inspection.problems
        if args.draw:
            draw_images(dataset, args.draw, split, args.num_drawn)
    return 0 if is_sound else UNSOUND


def build_network(args: argparse.Namespace, classes: Sequence[str]) -> Optional[FasterRCNN]:
    """Build the network whose input the boxes are judged in.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    classes : sequence of str
        The classes of the data set.

    Returns
    -------
    FasterRCNN or None
        The network, without weights; None without ``--network``.
    """
    if args.network is None:
        return None
    settings = parse_settings(args.set)
    # A norm without stored statistics, because there are no weights to take them from.
    return model_zoo.get_model(args.network, norm="gn", classes=classes, **settings)


def report(split: str, inspection: Inspection, show: int) -> List[str]:
    """Write what was found in one split.

    Parameters
    ----------
    split : str
        Its name.
    inspection : Inspection
        What ``inspect`` returns.
    show : int
        How many faults are listed one by one.

    Returns
    -------
    list of str
        The lines to print.
    """
    lines = [
        f"{split}: {inspection.images} images, {inspection.images_without_boxes} of them without "
        "boxes to learn from",
        f"  {inspection.boxes} boxes, {inspection.learnable} to learn from, {inspection.crowd} "
        "crowd or difficult",
    ]
    lines += class_table(inspection)
    lines += size_table(inspection)
    lines += [f"  fault: {message}" for message in inspection.faults[:show]]
    hidden = len(inspection.faults) - show
    if hidden > 0:
        lines.append(f"  and {hidden} more faults; --show {len(inspection.faults)} prints all")
    lines += [f"  problem: {message}" for message in inspection.problems]
    lines += [f"  warning: {message}" for message in inspection.warnings]
    lines.append(
        f"  {len(inspection.faults)} faults, {len(inspection.problems)} problems, "
        f"{len(inspection.warnings)} warnings"
    )
    return lines


def class_table(inspection: Inspection) -> List[str]:
    """Write the number of boxes and images of each class.

    Parameters
    ----------
    inspection : Inspection
        What ``inspect`` returns.

    Returns
    -------
    list of str
        The lines of the table, the classes in the order of their labels.
    """
    width = max(len(name) for name in ["class", *inspection.boxes_of_class])
    lines = [f"  {'class':{width}}  {'boxes':>9}  {'images':>9}"]
    for name, boxes in inspection.boxes_of_class.items():
        lines.append(f"  {name:{width}}  {boxes:9}  {inspection.images_of_class[name]:9}")
    return lines


def size_table(inspection: Inspection) -> List[str]:
    """Write the smallest, median and largest sizes of images and boxes.

    Parameters
    ----------
    inspection : Inspection
        What ``inspect`` returns.

    Returns
    -------
    list of str
        The lines of the table, and how many boxes are small, medium and large as COCO counts them.
    """
    lines = [f"  {'pixels':12}  {'smallest':>9}  {'median':>9}  {'largest':>9}"]
    lengths = np.sqrt(inspection.box_sizes.prod(axis=1))
    rows: Tuple[Tuple[str, np.ndarray], ...] = (
        ("image height", inspection.image_sizes[:, 0]),
        ("image width", inspection.image_sizes[:, 1]),
        ("box height", inspection.box_sizes[:, 0]),
        ("box width", inspection.box_sizes[:, 1]),
        ("box size", lengths),
    )
    for name, values in rows:
        if len(values):
            cells = (values.min(), np.median(values), values.max())
            lines.append(f"  {name:12}  " + "  ".join(f"{cell:9.5g}" for cell in cells))
    small = int((lengths < SMALL).sum())
    large = int((lengths > LARGE).sum())
    medium = len(lengths) - small - large
    lines.append(
        f"  boxes below {SMALL} pixels: {small}, up to {LARGE}: {medium}, above: {large} (box size "
        "is the square root of the area)"
    )
    return lines


def draw_images(dataset: Dataset, folder: str, split: str, count: int) -> None:
    """Draw the boxes of some images, and write the pictures.

    Parameters
    ----------
    dataset : Dataset
        The images.
    folder : str
        Where the pictures are written; it is made if it does not exist.
    split : str
        The split; the names of the pictures begin with it.
    count : int
        How many images are drawn, at most.
    """
    os.makedirs(folder, exist_ok=True)
    chosen = np.random.permutation(len(dataset))[:count]
    for index in sorted(chosen.tolist()):
        path = Path(folder) / f"{split}-{index:06d}.jpg"
        write_jpeg(path, draw_labels(dataset[index], dataset.classes))
        print(f"  drawn: {path}", file=sys.stderr)


def draw_labels(labeled: LabeledImage, classes: Sequence[str]) -> np.ndarray:
    """Draw the boxes, and the masks if there are any, of one image.

    Parameters
    ----------
    labeled : LabeledImage
        The image.
    classes : sequence of str
        The names of the classes.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8. Crowd has the score 0, everything else 1.
    """
    scores = np.where(labeled.crowd, 0, 1).astype(np.float32)
    detections = Detections(labeled.boxes, scores, labeled.labels, labeled.masks)
    return draw(labeled.image, detections, classes, score_thresh=0)


if __name__ == "__main__":
    run(main, parse_args())
