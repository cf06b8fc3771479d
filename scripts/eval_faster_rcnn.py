"""Evaluate a Faster or Mask R-CNN, as a checkpoint, as weights or exported, on a data set.

With --metric coco a network that gives masks is scored on these too, as segm/AP and so on. Classes
are matched by name. A class of the network that the data set does not have has the score -1.

--watch PREFIX scores each checkpoint of a training run as it appears, and ends after the last one.
It writes PREFIX-watch.jsonl, and keeps the weights with the best score (the AP of masks, or the
AP50 of boxes) as PREFIX-watch-best.json. Started again, it goes on where it was.

Example: the COCO and class-wise AP of a checkpoint on the val split of a VOC folder

    python scripts/eval_faster_rcnn.py --params runs/blood-best.json \\
        --dataset voc --data-root BCCD --val-split val --metric coco
"""

import argparse
import json
import os
from typing import Any, Dict, List, NamedTuple, Tuple

from gluonnorm.errors import InputError
from gluonnorm.evaluation import evaluate_voc

from _arguments_file import arguments_path, read_arguments
from _cli import (
    add_plugin_argument,
    add_seed_argument,
    require_positive,
    run,
    seed_everything,
)
from _data import check_scored_dataset, split_names
from _data_flags import add_dataset_arguments, scored_flag_names
from _detected_dataset import add_detection_arguments, detect_dataset
from _detector import check_backend
from _devices import contexts
from _model_flags import add_model_arguments
from _models import check_network_flags, check_stated_network
from _output import prepare_files, write_text
from _scores import MASK_PREFIX, coco_scores
from _script_parser import ScriptParser
from _terminal import class_cell, width_of
from _watch import watch


def parse_args() -> argparse.Namespace:
    """Read the command line.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = ScriptParser(__doc__)
    add_model_arguments(parser, exported=True, watched=True)
    add_dataset_arguments(parser)
    parser.add_argument(
        "--metric",
        choices=["coco", "voc07", "voc12"],
        help="default: voc07 with --dataset voc, else coco",
    )
    add_detection_arguments(parser)
    parser.add_argument(
        "--save-json", metavar="FILE", help="write the detections to this file, as COCO results"
    )
    add_seed_argument(parser)
    add_plugin_argument(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Predict on every image, then print the table of scores; or watch a run.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    require_positive(args, "batch_size", "num_workers")
    seed_everything(args.seed)
    if args.watch:
        if args.save_json:
            raise InputError("--save-json is for one network; leave it out with --watch")
        check_before_waiting(args)
        watch(
            args.watch,
            deciding_flags(args),
            lambda checkpoint: score(with_params(args, checkpoint)).scores,
        )
        return
    prepare_files(args, [("--save-json", args.save_json)])
    scored = score(args)
    if scored.scores["AP" if scored.metric == "coco" else "mAP"] < 0:
        print("no box of the ground truth counts: there is none, or all are crowd or difficult")
    print(
        f"{scored.metric}, {scored.num_images} images, {len(scored.results)} detections "
        "(-1: no ground truth of this class or size)"
    )
    print(table(scored.scores))
    # Last, so that a full disk does not cost the scores.
    if args.save_json:
        write_text(args.save_json, json.dumps(scored.results))


def check_before_waiting(args: argparse.Namespace) -> None:
    """Check the flags that the first checkpoint needs, because it may appear in an hour.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Raises
    ------
    InputError
        A flag is wrong, or the data set cannot be read.
    """
    contexts(args.gpus)
    check_backend(args, args.backend)
    check_network_flags(args)
    spec: Dict[str, Any] = {}
    path = arguments_path(args.watch)
    if os.path.exists(path):
        spec = read_arguments(args.watch).get("spec", {})
    check_stated_network(args, spec, args.classes, path)
    check_scored_dataset(args, spec.get("classes"))


def metric_of(args: argparse.Namespace) -> str:
    """Name the metric.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Returns
    -------
    str
        "coco", "voc07" or "voc12".
    """
    return args.metric or ("voc07" if args.dataset == "voc" else "coco")


def deciding_flags(args: argparse.Namespace) -> Dict[str, Any]:
    """Collect the flags that the scores of a network depend on.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Returns
    -------
    dict of str to any
        Values that JSON can hold, by the names of the flags in the parsed command line.
    """
    flags = {name: getattr(args, name) for name in scored_flag_names()}
    flags["data_root"] = os.path.realpath(args.data_root)
    flags["val_split"] = list(split_names(args, "val"))
    return {"metric": metric_of(args), **flags, "set": args.set}


class Scored(NamedTuple):
    """What a detector finds in a data set, and what it is worth.

    Attributes
    ----------
    metric : str
        "coco", "voc07" or "voc12".
    num_images : int
        The images of the data set.
    results : list of dict
        COCO result entries.
    scores : dict of str to float
        The scores by name.
    """

    metric: str
    num_images: int
    results: List[Dict[str, Any]]
    scores: Dict[str, float]


def with_params(args: argparse.Namespace, checkpoint: str) -> argparse.Namespace:
    """Name a checkpoint in the command line.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    checkpoint : str
        The path of its ``.json``.

    Returns
    -------
    argparse.Namespace
        A copy with another ``--params``.
    """
    return argparse.Namespace(**{**vars(args), "params": checkpoint})


def score(args: argparse.Namespace) -> Scored:
    """Score the detector that the flags name on the data set that they name.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Returns
    -------
    Scored
        Detections and scores.
    """
    metric = metric_of(args)
    detected = detect_dataset(args, with_masks=metric == "coco")
    if metric == "coco":
        scores = coco_scores(detected.ground_truth, detected.results, detected.has_masks)
    else:
        scores = evaluate_voc(detected.ground_truth, detected.results, metric=metric)
    return Scored(metric, len(detected.dataset), detected.results, scores)


def table(scores: Dict[str, float]) -> str:
    """Format scores as text.

    Parameters
    ----------
    scores : dict of str to float
        Scores over all classes, and scores of single classes such as ``AP/cat``.

    Returns
    -------
    str
        A line for each score over all classes, an empty line, and a line for each class with its
        scores, such as AP and AP50, as columns.
    """
    overall: Dict[str, float] = {}
    columns: Dict[str, Dict[str, float]] = {}
    for name, value in scores.items():
        metric, class_name = split_metric(name)
        if class_name:
            columns.setdefault(metric, {})[class_name] = value
        else:
            overall[name] = value
    # Every metric has the AP of each class.
    class_names = list(columns["AP"])
    width = width_of([*overall, *class_names])
    lines = [f"{name:{width}}  {value:7.4f}" for name, value in overall.items()]
    lines.append("")
    titles = "".join(f"  {metric:>9}" for metric in columns)
    lines.append(f"{'class':{width}}{titles}")
    for class_name in class_names:
        cells = "".join(f"  {column[class_name]:9.4f}" for column in columns.values())
        lines.append(f"{class_cell(class_name, width)}{cells}")
    return "\n".join(lines)


def split_metric(name: str) -> Tuple[str, str]:
    """Split the name of a score into the metric and the class.

    Parameters
    ----------
    name : str
        A name that ``evaluate_coco`` or ``evaluate_voc`` gives, perhaps with ``segm/`` in front.

    Returns
    -------
    metric : str
        Such as ``"AP50"`` or ``"segm/AP"``.
    class_name : str
        The class; ``""`` for a score over all classes.

    Examples
    --------
    >>> split_metric("segm/AP50/cat")
    ('segm/AP50', 'cat')
    >>> split_metric("segm/AP")
    ('segm/AP', '')
    """
    prefix = MASK_PREFIX if name.startswith(MASK_PREFIX) else ""
    metric, _, class_name = name[len(prefix) :].partition("/")
    return prefix + metric, class_name


if __name__ == "__main__":
    run(main, parse_args())
