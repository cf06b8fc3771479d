"""What listens to the training script's loop beside the library's own callbacks: scores, and the curve."""
import os
from typing import Any, Dict, List

from gluonnorm import training
from gluonnorm.data import Dataset
from gluonnorm.evaluation import coco_results, evaluate_coco, evaluate_voc, predict
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.training.plot import plot_curves

import mxnet as mx
from _data import evaluation_loader
from tqdm import tqdm

HEADLINES = ("AP", "AP50", "mAP07", "segm/AP", "segm/AP50")  # those of masks where there are masks
MOST_CLASSES = 8  # curves a picture can hold


def evaluate(net: FasterRCNN, ctx: List[mx.Context], dataset: Dataset, workers: int = 2) -> Dict[str, float]:
    """COCO's numbers and VOC07's mAP (as ``mAP07``); COCO's of masks, if there are any, as ``segm/AP`` and so on."""
    loader = evaluation_loader(dataset, net.preprocess, len(ctx), workers)
    net.hybridize()
    truth = dataset.coco_truth()
    batches = tqdm(loader, desc="evaluate", unit="batch", disable=None, leave=False)
    results = coco_results(predict(net, batches, ctx, net.config.convention.mask_paste), dataset.category_ids)
    scores = {**evaluate_coco(truth, results), "mAP07": evaluate_voc(truth, results)["mAP"]}
    if net.has_masks:
        scores.update({f"segm/{name}": value for name, value in evaluate_coco(truth, results, "segm").items()})
    return scores


class Evaluator(training.Callback):
    """Scores the network on the validation set every ``interval`` epochs and after the last; keeps the best weights."""

    def __init__(self, net: FasterRCNN, ctx: List[mx.Context], dataset: Dataset, saver: training.CheckpointSaver,
                 text: training.TextLog, metrics: training.MetricsLog, args: Any) -> None:
        self.net, self.ctx, self.dataset = net, ctx, dataset
        self.saver, self.text, self.metrics = saver, text, metrics
        self.interval, self.epochs, self.workers = args.val_interval, args.epochs, args.num_workers
        self.decisive = "segm/AP" if net.has_masks else "AP50"
        rows = training.read_metrics(metrics.path) if args.resume and os.path.exists(metrics.path) else []
        self.best = max((row["eval"][self.decisive] for row in rows if "eval" in row), default=-1.0)

    def on_epoch_end(self, loop: training.Loop) -> None:
        """Evaluate if it is time to."""
        if loop.epoch % self.interval and loop.epoch != self.epochs:
            return
        scores = evaluate(self.net, self.ctx, self.dataset, self.workers)
        self.metrics.write({"step": loop.step, "epoch": loop.epoch, "eval": scores})
        line = "  ".join(f"{name} {scores[name]:.3f}" for name in headlines(scores))
        head = per_class(scores)
        classes = "  ".join(f"{name[len(head):]} {scores[name]:.3f}" for name in scores if name.startswith(head))
        self.text.write(f"epoch {loop.epoch}  {line}  ({head[:-1]}: {classes})")
        tqdm.write(f"epoch {loop.epoch}: {line}")
        if scores[self.decisive] > self.best and self.saver.path is not None:
            self.best = scores[self.decisive]
            training.mark_best(self.saver.path)


class Curve(training.Callback):
    """Draws losses, headline scores and, where they are few, the AP50 of each class."""

    def __init__(self, metrics: training.MetricsLog, png_path: str, title: str) -> None:
        self.metrics, self.png_path, self.title = metrics, png_path, title

    def on_epoch_end(self, loop: training.Loop) -> None:
        """Draw everything so far."""
        rows = training.read_metrics(self.metrics.path)
        plot_curves([{**row, "eval": shown(row["eval"])} if "eval" in row else row for row in rows],
                    self.png_path, self.title)


def shown(scores: Dict[str, float]) -> Dict[str, float]:
    """The scores worth a curve."""
    classes = [name for name in scores if name.startswith(per_class(scores))]
    return {name: scores[name] for name in (*headlines(scores), *(classes if len(classes) <= MOST_CLASSES else ()))}


def headlines(scores: Dict[str, float]) -> List[str]:
    """Names of the scores over all classes worth telling."""
    return [name for name in HEADLINES if name in scores]


def per_class(scores: Dict[str, float]) -> str:
    """How the names of the classes' own scores worth telling begin: the AP50 of masks where there are masks."""
    return "segm/AP50/" if "segm/AP50" in scores else "AP50/"
