"""Evaluate a Faster or Mask R-CNN, as a checkpoint, as weights or exported, on a data set.

With --metric coco a network that gives masks is scored on these too, as segm/AP and so on. Classes
are matched by name. A class of the network that the data set does not have has the score -1.

--watch PREFIX scores each checkpoint of a training run as it appears, and ends after the last one.
It writes PREFIX-watch.jsonl, and keeps the weights with the best score (the AP of masks, or the
AP50 of boxes) as PREFIX-watch-best.params. Started again, it goes on where it was.

Example: the COCO and class-wise AP of a checkpoint on the val split of a VOC folder

    python scripts/eval_faster_rcnn.py --params runs/blood-0001025.json \\
        --dataset voc --data-root BCCD --val-split val --metric coco
"""

import argparse
import json
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

from gluonnorm.deploy import Predictor
from gluonnorm.errors import InputError
from gluonnorm.evaluation import coco_results, evaluate_voc, predict

import mxnet as mx
from _cli import add_plugin_argument, run, seed_everything
from _data import evaluation_loader, open_masks, open_scored_dataset
from _data_flags import add_dataset_arguments
from _detector import open_detector
from _devices import contexts
from _model_flags import add_model_arguments
from _output import make_parent_folder, write_text
from _scores import MASK_PREFIX, coco_scores
from _watch import watch
from tqdm import tqdm


def parse_args() -> argparse.Namespace:
    """Read the command line.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_arguments(parser, exported=True, watched=True)
    add_dataset_arguments(parser)
    parser.add_argument(
        "--metric",
        choices=["coco", "voc07", "voc12"],
        help="default: voc07 with --dataset voc, else coco",
    )
    parser.add_argument(
        "--batch-size", type=int, default=1, metavar="N", help="images at a time (default: 1)"
    )
    parser.add_argument("--gpus", default="", help="e.g. 0,1 (default: the CPU)")
    parser.add_argument(
        "--save-json", metavar="FILE", help="write the detections to this file, as COCO results"
    )
    parser.add_argument(
        "--seed", type=int, default=233, help="seed of every random choice (default: 233)"
    )
    add_plugin_argument(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Predict on every image, then print the table of scores; or watch a run.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    seed_everything(args.seed)
    ctx = contexts(args.gpus)
    if args.watch:
        if args.save_json:
            raise InputError("--save-json is for one network; leave it out with --watch")
        watch(args.watch, lambda checkpoint: score(with_params(args, checkpoint), ctx).scores)
        return
    make_parent_folder("--save-json", args.save_json)
    scored = score(args, ctx)
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


def score(args: argparse.Namespace, ctx: List[mx.Context]) -> Scored:
    """Score the detector that the flags name on the data set that they name.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    ctx : list of mx.Context
        The devices that compute.

    Returns
    -------
    Scored
        Detections and scores.
    """
    detector = open_detector(args, args.backend)
    metric = args.metric or ("voc07" if args.dataset == "voc" else "coco")
    score_masks = metric == "coco" and detector.has_masks
    matched = open_scored_dataset(args, detector.classes)
    dataset = open_masks(matched) if score_masks else matched
    loader = evaluation_loader(dataset, detector.preprocess, args.batch_size, args.num_workers)
    mask_paste = detector.mask_paste if score_masks else None
    # The detections come one image at a time, because their masks would fill the memory.
    detections = predict(network_of(detector), loader, ctx, mask_paste)
    progress = tqdm(detections, total=len(dataset), unit="image", disable=None)
    all_results = coco_results(progress, dataset.category_ids)
    # The files do not have the categories of the network's other classes.
    results = [entry for entry in all_results if entry["category_id"] in matched.shared_ids]
    ground_truth = dataset.coco_truth()
    if metric == "coco":
        scores = coco_scores(ground_truth, results, score_masks)
    else:
        scores = evaluate_voc(ground_truth, results, metric=metric)
    return Scored(metric, len(dataset), results, scores)


def network_of(detector: Predictor) -> Callable[[mx.nd.NDArray], Sequence[mx.nd.NDArray]]:
    """Return the network of a detector as a function of images in arrays of MXNet.

    Parameters
    ----------
    detector : Predictor
        A detector in any run time.

    Returns
    -------
    callable
        Maps (B, 3, H, W) to ids, scores, boxes and perhaps masks.
    """
    if detector.net is not None:
        return detector.net

    def run_elsewhere(images: mx.nd.NDArray) -> List[mx.nd.NDArray]:
        """Run the network in the detector's run time."""
        return [mx.nd.array(output) for output in detector.run_images(images.asnumpy())]

    return run_elsewhere


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
    width = max(len(name) for name in [*overall, *class_names])
    lines = [f"{name:{width}}  {value:7.4f}" for name, value in overall.items()]
    lines.append("")
    titles = "".join(f"  {metric:>9}" for metric in columns)
    lines.append(f"{'class':{width}}{titles}")
    for class_name in class_names:
        cells = "".join(f"  {column[class_name]:9.4f}" for column in columns.values())
        lines.append(f"{class_name:{width}}{cells}")
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
