"""Evaluate a Faster or Mask R-CNN, as a checkpoint, as weights or exported, on a data set.

With --metric coco a network that gives masks has these scored too, as segm/AP and so on.

Example: the COCO and class-wise AP of a checkpoint on the val split of a VOC folder

    python scripts/eval_faster_rcnn.py --params runs/blood-0001025.json \\
        --dataset voc --data-root BCCD --val-split val --metric coco
"""
import argparse
import json
from typing import Dict, Tuple

from gluonnorm.evaluation import coco_results, evaluate_coco, evaluate_voc, predict

import mxnet as mx
from _cli import contexts, run, seed_everything
from _data import add_dataset_arguments, evaluation_loader, open_dataset
from _models import add_model_arguments, open_detector
from tqdm import tqdm


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser, exported=True)
    add_dataset_arguments(parser)
    parser.add_argument("--metric", choices=["coco", "voc07", "voc12"],
                        help="default: voc07 with --dataset voc, else coco")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images at a time (default: 1)")
    parser.add_argument("--gpus", default="", help="e.g. 0,1 (default: the CPU)")
    parser.add_argument("--save-json", metavar="FILE", help="write the detections there, as COCO results")
    parser.add_argument("--seed", type=int, default=233, help="of every random choice (default: 233)")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Predict on every image, then print the table of scores."""
    seed_everything(args.seed)
    ctx = contexts(args.gpus)
    detector = open_detector(args, ctx, args.classes)
    metric = args.metric or ("voc07" if args.dataset == "voc" else "coco")
    masks = metric == "coco" and gives_masks(detector.net)
    dataset = open_dataset(args, "val", detector.classes)
    dataset = dataset.with_masks() if masks else dataset
    loader = evaluation_loader(dataset, detector.preprocess, args.batch_size, args.num_workers)
    detections = predict(detector.net, loader, ctx, detector.mask_paste if masks else None)
    results = coco_results(tqdm(detections, total=len(dataset), unit="image", disable=None), dataset.category_ids)
    if args.save_json:
        with open(args.save_json, "w", encoding="utf-8") as file:
            json.dump(results, file)
    truth = dataset.coco_truth()
    metrics = evaluate_coco(truth, results) if metric == "coco" else evaluate_voc(truth, results, metric=metric)
    if masks:
        metrics.update({f"segm/{name}": value for name, value in evaluate_coco(truth, results, "segm").items()})
    print(f"{metric}, {len(dataset)} images, {len(results)} detections (-1: no such truth)")
    print(table(metrics))


def gives_masks(net: mx.gluon.HybridBlock) -> bool:
    """Whether a network, or what was exported of one, returns masks: its fourth output."""
    return len(net(mx.sym.var("data"))) > 3


def table(metrics: Dict[str, float]) -> str:
    """The numbers over all classes, a line each, then a line a class with all it has, such as AP and AP50."""
    overall: Dict[str, float] = {}
    columns: Dict[str, Dict[str, float]] = {}
    for name, value in metrics.items():
        head, label = split(name)
        if label:
            columns.setdefault(head, {})[label] = value
        else:
            overall[name] = value
    classes = list(columns["AP"])
    width = max(map(len, [*overall, *classes]))
    lines = [f"{name:{width}}  {value:7.4f}" for name, value in overall.items()]
    lines += ["", f"{'class':{width}}" + "".join(f"  {head:>9}" for head in columns)]
    lines += [f"{name:{width}}" + "".join(f"  {columns[head][name]:9.4f}" for head in columns) for name in classes]
    return "\n".join(lines)


def split(name: str) -> Tuple[str, str]:
    """``AP50/cat`` is ("AP50", "cat"), ``segm/AP/cat`` ("segm/AP", "cat"), ``segm/AP`` ("segm/AP", "")."""
    kind = "segm/" if name.startswith("segm/") else ""
    head, _, label = name[len(kind):].partition("/")
    return kind + head, label


if __name__ == "__main__":
    run(main, parse_args())
