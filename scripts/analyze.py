"""Say what a detector loses AP by: wrong classes, bad places, duplicates, background, misses.

The lost AP is split as TIDE does (Bolya et al., ECCV 2020); the numbers are those of tidecv. Causes
and classes that lose most come first, each cause with what to try against it. A network that gives
masks is judged by its boxes and by its masks. Instead of a network, --detections takes COCO results
of the same data set.

Examples:
  python scripts/analyze.py --params runs/blood-best.json \\
      --dataset voc --data-root BCCD --val-split val --plot blood.png
  python scripts/analyze.py --detections results.json \\
      --dataset coco --data-root coco --json errors.json
"""

import argparse
import json
from typing import Any, Dict, List, Optional

from gluonnorm.errors import InputError
from gluonnorm.evaluation import explain_errors
from gluonnorm.evaluation.error_breakdown import BACKGROUND_IOU

from _cli import (
    add_plugin_argument,
    add_seed_argument,
    flag_of,
    require_positive,
    run,
    seed_everything,
)
from _data import open_dataset, open_masks
from _data_flags import add_dataset_arguments
from _detected_dataset import DetectedDataset, add_detection_arguments, detect_dataset
from _error_plot import plot_errors
from _error_report import error_report
from _model_flags import add_model_arguments
from _output import add_font_argument, prepare_files, write_text
from _results_file import read_results
from _script_parser import ScriptParser

# What --detections needs no network for, and would not read.
NETWORK_FLAGS = (
    "network",
    "base_network",
    "norm",
    "head_norm",
    "rescale",
    "set",
    "backend",
    "gpus",
)


def parse_args() -> argparse.Namespace:
    """Read the command line.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = ScriptParser(__doc__)
    add_model_arguments(parser, exported=True, detections=True)
    add_dataset_arguments(parser)
    add_detection_arguments(parser)
    parser.add_argument(
        "--iou-type",
        choices=["bbox", "segm"],
        help="compare boxes or masks alone (default: boxes, and masks too if there are any)",
    )
    parser.add_argument(
        "--iou-thresh",
        type=float,
        default=0.5,
        metavar="IOU",
        help="the lowest IoU of a right detection (default: 0.5)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all numbers to this file")
    parser.add_argument("--plot", metavar="FILE", help="draw all numbers to this PNG file")
    add_font_argument(parser)
    add_seed_argument(parser)
    add_plugin_argument(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Predict or read the detections, and print what loses AP.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    # Before the detections, which take long.
    if not BACKGROUND_IOU < args.iou_thresh <= 1:
        raise InputError(
            f"--iou-thresh is {args.iou_thresh:g}; want an IoU above {BACKGROUND_IOU:g}, up to "
            "which a detection is on the background, and at most 1"
        )
    require_positive(args, "batch_size", "num_workers")
    seed_everything(args.seed)
    prepare_files(args, [("--json", args.json), ("--plot", args.plot)])
    if args.detections:
        detected = read_detections(args)
    else:
        detected = detect_dataset(args, with_masks=args.iou_type != "bbox")
    num_images = len(detected.dataset)
    content: Dict[str, Any] = {"images": num_images}
    breakdowns = []
    for iou_type in compared_types(args.iou_type, detected):
        breakdown = explain_errors(
            detected.ground_truth, detected.results, iou_type, args.iou_thresh
        )
        print("\n".join(error_report(breakdown, num_images)), end="\n\n", flush=True)
        content[iou_type] = breakdown.as_json()
        breakdowns.append(breakdown)
    if args.json:
        write_text(args.json, json.dumps(content, indent=1) + "\n")
        print(f"errors     {args.json}")
    if args.plot:
        plot_errors(breakdowns, args.plot, args.font)
        print(f"plot       {args.plot}")


def read_detections(args: argparse.Namespace) -> DetectedDataset:
    """Read the detections of a file and the ground truth that belongs to them.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns, with ``--detections``.

    Returns
    -------
    DetectedDataset
        It has masks if a detection has one, unless boxes alone are to be compared.

    Raises
    ------
    InputError
        A flag of the network is given, the file holds no results, or the data set has a fault.
    """
    unread = [flag_of(name) for name in NETWORK_FLAGS if getattr(args, name)]
    if unread:
        raise InputError(
            f"--detections runs no network, so {', '.join(unread)} would change nothing; leave "
            "that out, or give --params or --exported"
        )
    results = read_results(args.detections)
    dataset = open_dataset(args, "val")
    has_masks = any("segmentation" in result for result in results)
    if args.iou_type == "segm" or (has_masks and args.iou_type is None):
        dataset = open_masks(dataset)
    return DetectedDataset(dataset, dataset.coco_truth(), results, has_masks)


def compared_types(wanted: Optional[str], detected: DetectedDataset) -> List[str]:
    """Choose between boxes and masks.

    Parameters
    ----------
    wanted : str or None
        The value of ``--iou-type``.
    detected : DetectedDataset
        The detections.

    Returns
    -------
    list of str
        One or both of ``"bbox"`` and ``"segm"``.

    Raises
    ------
    InputError
        Masks are wanted, and there are none.
    """
    results = detected.results
    if wanted == "segm" and not detected.has_masks and results:
        raise InputError(
            "--iou-type is segm, and the detections have no masks; want bbox, or a mask_rcnn_* "
            "network"
        )
    if wanted is not None:
        return [wanted]
    # A file of masks alone has no boxes.
    has_boxes = not results or any("bbox" in result for result in results)
    types = ["bbox"] if has_boxes else []
    return [*types, "segm"] if detected.has_masks else types


if __name__ == "__main__":
    run(main, parse_args())
