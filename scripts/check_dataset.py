"""Check a data set before training on it: what it holds, and everything that is wrong with it.

All annotations are read, all image files are decoded once, and all faults are collected. For each
split the script prints
  counts     images, boxes, and boxes and images for each class
  sizes      of images and of boxes
  fault      a file or annotation that cannot be used; --skip-bad leaves these out of training
  problem    a reason why nothing can be learned from the split, or not what is meant
  warning    what is probably not meant so, such as a class without boxes
With --network it also says which objects that network's input and anchors can show, class by class.
With --params a trained network says which of them its proposals reach: no detector finds the rest.

The exit status is 0 without faults and problems (warnings do not count), 1 with any, and 2 if the
data set cannot be opened at all.

Examples:
  python scripts/check_dataset.py --dataset coco --data-root coco
  python scripts/check_dataset.py --dataset voc --data-root BCCD --train-split train \\
      --val-split val --network faster_rcnn_resnet50_v2_custom --set short=300 max_size=600
  python scripts/check_dataset.py --dataset coco --data-root nuclei --masks --draw pictures
  python scripts/check_dataset.py --dataset voc --data-root BCCD --train-split train \\
      --val-split val --params runs/blood-best.json --json blood.json --plot blood
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import model_zoo
from gluonnorm.data import Dataset, Inspection, LabeledImage, inspect
from gluonnorm.data.shared_images import shared_images_note
from gluonnorm.errors import InputError
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.types import Detections
from gluonnorm.visualize import draw

import mxnet as mx
import numpy as np
from _cli import (
    add_plugin_argument,
    add_seed_argument,
    flag_of,
    parse_settings,
    require_positive,
    run,
    seed_everything,
)
from _data import open_dataset, open_masks
from _data_flags import add_dataset_arguments
from _inspection_plot import plot_inspection
from _inspection_report import as_json, report
from _model_flags import add_architecture_arguments, architecture_options
from _models import open_network
from _output import (
    add_font_argument,
    make_folder,
    make_parent_folder,
    write_jpeg,
    write_text,
)
from _proposals import judge_proposals
from _script_parser import ScriptParser

UNSOUND = 1  # the exit status with faults or problems
SPLITS = ("train", "val")
NETWORK_FLAGS = ("set", "base_network", "norm", "head_norm", "rescale")


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
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="settings of the network, as in training, e.g. short=300 max_size=600",
    )
    group.add_argument(
        "--params",
        metavar="FILE",
        help="a trained network, whose proposals are judged: a checkpoint's .json, or weights with "
        "--network",
    )
    add_architecture_arguments(group)
    group.add_argument(
        "--num-judged",
        type=int,
        default=200,
        metavar="N",
        help="--params: images of each split that the network looks at (default: 200)",
    )
    group.add_argument(
        "--json", metavar="FILE", help="write all numbers, and a row for each object, to this file"
    )
    group.add_argument(
        "--plot",
        metavar="PREFIX",
        help="draw sizes, ratios, counts and the reach of the anchors: PREFIX-train.png and so on",
    )
    add_font_argument(group)
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
    add_seed_argument(group, "the choice of pictures")
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
    require_positive(args, "num_workers", "num_drawn", "num_judged")
    if args.show < 0:
        raise InputError(f"--show is {args.show}; want at least 0")
    refuse_flags_without_network(args)
    make_parent_folder("--json", args.json)
    make_parent_folder("--plot", args.plot and f"{args.plot}-{SPLITS[0]}.png")
    if args.draw:
        make_folder(f"--draw {args.draw}", args.draw)
    seed_everything(args.seed)
    # All faults are wanted, so the data set is opened without what is faulty.
    args.skip_bad = True
    splits = [args.only] if args.only else SPLITS
    # All are opened before the first is inspected: a wrong --val-split ends the script at once.
    datasets = {split: open_dataset(args, split, notes=False) for split in splits}
    shared_note = shared_images_note(*datasets.values()) if len(datasets) == 2 else ""
    is_sound = True
    content: Dict[str, Any] = {}
    for split, dataset in datasets.items():
        net = build_network(args, dataset.classes)
        if args.masks or (net is not None and net.has_masks):
            dataset = open_masks(dataset, notes=False)
        inspection = inspect_split(args, net, dataset, validation=split == "val")
        if split == "val" and shared_note:
            inspection = inspection._replace(warnings=(*inspection.warnings, shared_note))
        print("\n".join(report(split, inspection, args.show)), flush=True)
        is_sound = is_sound and not inspection.faults and not inspection.problems
        content[split] = as_json(inspection)
        # Logarithmic axes need at least one object.
        if args.plot and inspection.learnable:
            plot_inspection(inspection, f"{args.plot}-{split}.png", split, args.font)
        if args.draw:
            draw_images(dataset, args.draw, split, args.num_drawn)
    if args.json:
        write_text(args.json, json.dumps(content) + "\n")
    return 0 if is_sound else UNSOUND


def refuse_flags_without_network(args: argparse.Namespace) -> None:
    """Refuse flags of a network where none is named: nothing would be judged in its input.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Raises
    ------
    InputError
        There is such a flag.
    """
    if args.network is not None or args.params is not None:
        return
    for name in NETWORK_FLAGS:
        if getattr(args, name):
            raise InputError(
                f"{flag_of(name)} is about a network, and none is named; add --network or --params"
            )


def inspect_split(
    args: argparse.Namespace, net: Optional[FasterRCNN], dataset: Dataset, validation: bool
) -> Inspection:
    """Inspect a split, for a network and with its proposals if there are any.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    net : FasterRCNN or None
        The network; with ``--params`` it is a trained one.
    dataset : Dataset
        The split.
    validation : bool
        Whether it is the validation split, which may lack classes.

    Returns
    -------
    Inspection
        What ``inspect`` returns, with the reach of the proposals beside that of the anchors.
    """
    if net is None:
        return inspect(dataset, validation=validation)
    inspection = inspect(dataset, net.preprocess, net.config, net.backbone.strides, validation)
    if not args.params or inspection.reach is None:
        return inspection
    images = np.random.permutation(np.unique(inspection.learnable_objects.images))
    chosen = images[: args.num_judged].tolist()
    return judge_proposals(net, dataset, inspection, chosen)


def build_network(args: argparse.Namespace, classes: Sequence[str]) -> Optional[FasterRCNN]:
    """Build the network whose input the boxes are judged in, with its weights if there are any.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    classes : sequence of str
        The classes of the data set.

    Returns
    -------
    FasterRCNN or None
        The network; None without ``--network`` and ``--params``.
    """
    if args.params:
        # A checkpoint knows its classes, and proposals have none.
        is_checkpoint = args.params.endswith(".json")
        return open_network(args, [mx.cpu()], None if is_checkpoint else classes)
    if args.network is None:
        return None
    options = {**architecture_options(args), **parse_settings(args.set)}
    # A norm without stored statistics, because there are no weights to take them from.
    options["norm"] = args.norm or "gn"
    return model_zoo.get_model(args.network, classes=classes, **options)


def draw_images(dataset: Dataset, folder: str, split: str, count: int) -> None:
    """Draw the boxes of some images, and write the pictures.

    Parameters
    ----------
    dataset : Dataset
        The images.
    folder : str
        Where the pictures are written.
    split : str
        The split; the names of the pictures begin with it.
    count : int
        How many images are drawn, at most.
    """
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
