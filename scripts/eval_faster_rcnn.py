"""Evaluate a Faster R-CNN, as a checkpoint, as weights or exported, on a data set.

Example: the COCO and class-wise AP of a checkpoint on the val split of a VOC folder

    python scripts/eval_faster_rcnn.py --params runs/blood-0001025.json \\
        --dataset voc --data-root BCCD --val-split val --metric coco
"""
import argparse
import json
from typing import Dict

from gluonnorm.evaluation import coco_results, evaluate_coco, evaluate_voc, predict

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
    dataset = open_dataset(args, "val", detector.classes)
    loader = evaluation_loader(dataset, detector.preprocess, detector.multiple, args.batch_size, args.num_workers)
    detections = tqdm(predict(detector.net, loader, ctx), total=len(dataset), unit="image", disable=None)
    results = coco_results(detections, dataset.category_ids)
    if args.save_json:
        with open(args.save_json, "w", encoding="utf-8") as file:
            json.dump(results, file)
    metric = args.metric or ("voc07" if args.dataset == "voc" else "coco")
    truth = dataset.coco_truth()
    metrics = evaluate_coco(truth, results) if metric == "coco" else evaluate_voc(truth, results, metric=metric)
    print(f"{metric}, {len(dataset)} images, {len(results)} detections (-1: no such truth)")
    print(table(metrics))


def table(metrics: Dict[str, float]) -> str:
    """The numbers over all classes, a line each, then a line a class with all it has, such as AP and AP50."""
    overall: Dict[str, float] = {}
    columns: Dict[str, Dict[str, float]] = {}
    for name, value in metrics.items():
        head, slash, label = name.partition("/")
        if slash:
            columns.setdefault(head, {})[label] = value
        else:
            overall[name] = value
    classes = list(columns["AP"])
    width = max(map(len, [*overall, *classes]))
    lines = [f"{name:{width}}  {value:7.4f}" for name, value in overall.items()]
    lines += ["", f"{'class':{width}}" + "".join(f"  {head:>7}" for head in columns)]
    lines += [f"{name:{width}}" + "".join(f"  {columns[head][name]:7.4f}" for head in columns) for name in classes]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, parse_args())
