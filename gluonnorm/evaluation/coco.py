"""COCO's detection metrics, computed by pycocotools."""
import contextlib
import io
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from gluonnorm.types import Detections

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def coco_results(
    detections: Iterable[Tuple[int, Detections]], category_ids: Sequence[int]
) -> List[Dict[str, Any]]:
    """Turn detections into COCO's result records, ready for ``json.dump`` and for both evaluations.

    Parameters
    ----------
    detections
        ``(image_id, Detections)`` pairs, as ``predict`` yields them.
    category_ids
        COCO category id of each class: entry ``i`` belongs to foreground class ``i``.

    Returns
    -------
    One ``{image_id, category_id, bbox, score}`` a detection; ``bbox`` is x, y, width, height in pixels. Detections with
    masks have ``segmentation`` too: ``size`` and compressed run lengths as text. It is the masks that take memory, and
    only those of one image are needed at a time.

    Raises
    ------
    ValueError
        If a class id has no entry in ``category_ids``: network and data set differ in their classes.
    """
    results = []
    for image_id, found in detections:
        if len(found.ids) and not 0 <= found.ids.min() <= found.ids.max() < len(category_ids):
            raise ValueError(f"image {image_id} has detections of class {found.ids.max()}, but the data set has "
                             f"{len(category_ids)} classes; evaluate on the classes the network was trained for")
        corners = found.boxes.astype(np.float64)  # so that width and height are not rounded once more
        xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        for row, (class_id, score, bbox) in enumerate(zip(found.ids, found.scores, xywh)):
            result = {"image_id": int(image_id), "category_id": int(category_ids[class_id]), "bbox": bbox.tolist(),
                      "score": float(score)}
            if found.masks is not None:
                result["segmentation"] = _run_lengths(found.masks[row])
            results.append(result)
    return results


def evaluate_coco(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], kind: str = "bbox"
) -> Dict[str, float]:
    """COCO's twelve numbers and each class's AP, equal to pycocotools to the last digit; prints nothing.

    Parameters
    ----------
    truth
        Ground truth as a COCO dict: ``images``, ``annotations``, ``categories``. Crowd regions are ignored as
        COCO does. Left unchanged.
    results
        COCO result records; with ``kind="segm"`` they hold a run-length encoded ``segmentation``, and their
        area is the mask's even where a ``bbox`` is given too. Left unchanged.
    kind
        ``"bbox"`` or ``"segm"``.

    Returns
    -------
    ``METRICS`` in COCO's order, then ``AP/<class>`` and ``AP50/<class>`` for every category in the order of
    their ids; fractions in 0..1. As in pycocotools a number is 0 where there was something to find and nothing was
    found, and -1 where there was nothing to find: no truth at all, of that class, or of that size.

    Raises
    ------
    ValueError
        Unknown ``kind``; a result of an image or category that the truth does not have; two categories of one name;
        with ``kind="segm"`` an annotation or result without ``segmentation``.
    """
    if kind not in ("bbox", "segm"):
        raise ValueError(f"kind is {kind!r}; the kinds of COCO evaluation here are 'bbox' and 'segm'")
    check_results(truth, results)
    if kind == "segm":
        for what, rows in (("annotation", truth["annotations"]), ("result", results)):
            lacking = [number for number, row in enumerate(rows) if "segmentation" not in row]
            if lacking:
                raise ValueError(f"{what} number {lacking[0]} has no segmentation, nor have {len(lacking) - 1} others; "
                                 "evaluate boxes with kind='bbox', or give every one a mask")
    categories = sorted(truth["categories"], key=lambda category: category["id"])
    # pycocotools writes into its input, takes a match with annotation id 0 for none, and cannot load empty results:
    # so it gets copies, numbered from 1, and is never asked to load.
    there = [{"iscrowd": 0, "area": _box_area(row), **row, "id": number}
             for number, row in enumerate(truth["annotations"], start=1)]
    found = [{**row, "iscrowd": 0, "area": _area(row, kind), "id": number}
             for number, row in enumerate(results, start=1)]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCOeval(_index(truth, there), _index(truth, found), iouType=kind)
        coco.evaluate()
        coco.accumulate()
        coco.summarize()
    metrics = {name: float(value) for name, value in zip(METRICS, coco.stats)}
    precision = coco.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, class) of all areas, most detections
    for prefix, levels in (("AP", slice(None)), ("AP50", slice(0, 1))):
        for k, category in enumerate(categories):
            values = precision[levels, :, k]
            metrics[f"{prefix}/{category['name']}"] = float(values[values > -1].mean()) if (values > -1).any() else -1.0
    return metrics


def check_results(truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    """Raise ``ValueError`` where ``results`` speak of images or categories that ``truth`` does not have."""
    names = [category["name"] for category in truth["categories"]]
    if len(set(names)) < len(names):
        raise ValueError(f"two categories of the truth have the same name; the names are {names}")
    for key, rows in (("image_id", truth["images"]), ("category_id", truth["categories"])):
        unknown = sorted({result[key] for result in results} - {row["id"] for row in rows})
        if unknown:
            raise ValueError(f"{len(unknown)} {key} values of the results are not in the truth, the first is "
                             f"{unknown[0]}; truth and results must come from the same data set")


def _run_lengths(mask: np.ndarray) -> Dict[str, Any]:
    """(H, W) bool as COCO's compressed run lengths, fit for JSON."""
    runs = rle.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(side) for side in runs["size"]], "counts": runs["counts"].decode("ascii")}


def _index(truth: Mapping[str, Any], annotations: List[Dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": truth["images"], "categories": truth["categories"], "annotations": annotations}
    coco.createIndex()
    return coco


def _area(result: Mapping[str, Any], kind: str) -> float:
    return float(rle.area(result["segmentation"])) if kind == "segm" else _box_area(result)


def _box_area(annotation: Mapping[str, Any]) -> float:
    return annotation["bbox"][2] * annotation["bbox"][3]
