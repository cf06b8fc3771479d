"""The scores of a network on a data set: computing them, and choosing those to log and draw."""

from typing import Any, Dict, List

from gluonnorm.data import Dataset
from gluonnorm.evaluation import coco_results, evaluate_coco, evaluate_voc, predict
from gluonnorm.rcnn import FasterRCNN

import mxnet as mx
from _data import evaluation_loader
from tqdm import tqdm

# The scores that are logged and drawn; those of masks exist only for networks with masks.
HEADLINES = ("AP", "AP50", "mAP", "mAP07", "segm/AP", "segm/AP50")
MAX_CLASS_CURVES = 8
MASK_PREFIX = "segm/"  # in front of the names of the masks' scores
# The first of these that a network has decides which of its weights are the best.
DECISIVE = (f"{MASK_PREFIX}AP", "AP50", "mAP")


def evaluate(
    net: FasterRCNN, ctx: List[mx.Context], dataset: Dataset, threads: int = 2
) -> Dict[str, float]:
    """Score a network on a data set.

    Parameters
    ----------
    net : FasterRCNN
        The network; it is hybridized.
    ctx : list of mx.Context
        The devices that hold its weights. Each gets one image at a time.
    dataset : Dataset
        Images and ground truth, with masks if the network gives masks.
    threads : int
        Threads that read and resize images.

    Returns
    -------
    dict of str to float
        COCO's numbers, and VOC07's mean AP as ``mAP07``. A network with masks has COCO's numbers
        of the masks too, as ``segm/AP`` and so on.
    """
    loader = evaluation_loader(dataset, net.preprocess, len(ctx), threads)
    net.hybridize()
    ground_truth = dataset.coco_truth()
    batches = tqdm(loader, desc="evaluate", unit="batch", disable=None, leave=False)
    detections = predict(net, batches, ctx, net.config.convention.mask_paste)
    results = coco_results(detections, dataset.category_ids)
    scores = coco_scores(ground_truth, results, net.has_masks)
    scores["mAP07"] = evaluate_voc(ground_truth, results)["mAP"]
    return scores


def coco_scores(
    ground_truth: Dict[str, Any], results: List[Dict[str, Any]], with_masks: bool
) -> Dict[str, float]:
    """Compute COCO's metrics of boxes, and of masks under names of their own.

    Parameters
    ----------
    ground_truth : dict
        The content of a COCO file.
    results : list of dict
        COCO result entries.
    with_masks : bool
        Whether masks are scored too. Every annotation and every result must then have one.

    Returns
    -------
    dict of str to float
        What ``evaluate_coco`` returns; the metrics of masks have ``MASK_PREFIX`` in front.
    """
    scores = evaluate_coco(ground_truth, results)
    if with_masks:
        for name, value in evaluate_coco(ground_truth, results, "segm").items():
            scores[f"{MASK_PREFIX}{name}"] = value
    return scores


def headlines(scores: Dict[str, float]) -> List[str]:
    """List the names of the scores over all classes that are logged and drawn.

    Parameters
    ----------
    scores : dict of str to float
        What ``evaluate`` returns.

    Returns
    -------
    list of str
        Those of ``HEADLINES`` that ``scores`` has.
    """
    return [name for name in HEADLINES if name in scores]


def decisive_name(scores: Dict[str, float]) -> str:
    """Tell which score decides which weights of a network are the best.

    Parameters
    ----------
    scores : dict of str to float
        What ``evaluate`` returns, or the scores of one metric.

    Returns
    -------
    str
        ``"segm/AP"`` for a network with masks, otherwise ``"AP50"``, or ``"mAP"`` where only VOC's
        metric was computed; empty if ``scores`` has none of them.
    """
    for name in DECISIVE:
        if name in scores:
            return name
    return ""


def class_score_prefix(scores: Dict[str, float]) -> str:
    """Tell how the names of the logged scores of single classes begin.

    Parameters
    ----------
    scores : dict of str to float
        What ``evaluate`` returns.

    Returns
    -------
    str
        ``"segm/AP50/"`` for a network with masks, otherwise ``"AP50/"``.
    """
    return f"{MASK_PREFIX}AP50/" if f"{MASK_PREFIX}AP50" in scores else "AP50/"


def drawn_scores(scores: Dict[str, float]) -> Dict[str, float]:
    """Select the scores that get a curve.

    Parameters
    ----------
    scores : dict of str to float
        What ``evaluate`` returns.

    Returns
    -------
    dict of str to float
        The headlines, and each class's AP50 if there are at most ``MAX_CLASS_CURVES`` classes.
        Those that are -1 have no curve.
    """
    prefix = class_score_prefix(scores)
    class_names = [name for name in scores if name.startswith(prefix)]
    names = headlines(scores)
    if len(class_names) <= MAX_CLASS_CURVES:
        names += class_names
    return defined({name: scores[name] for name in names})


def defined(scores: Dict[str, float]) -> Dict[str, float]:
    """Leave out the scores of classes and sizes without objects.

    Parameters
    ----------
    scores : dict of str to float
        What ``evaluate`` returns; -1 stands for no score.

    Returns
    -------
    dict of str to float
        The scores that are in 0..1.

    Examples
    --------
    >>> defined({"AP50": 0.5, "AP50/cat": -1.0, "APs": 0.0})
    {'AP50': 0.5, 'APs': 0.0}
    """
    return {name: score for name, score in scores.items() if score >= 0}
