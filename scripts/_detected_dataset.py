"""Run the network that the flags name on a data set, for scripts that judge its detections."""

import argparse
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

from gluonnorm.data import Dataset
from gluonnorm.deploy import Predictor
from gluonnorm.evaluation import coco_results, predict

import mxnet as mx
from _data import evaluation_loader, open_masks, open_scored_dataset
from _detector import open_detector
from _devices import contexts
from tqdm import tqdm


class JudgedDataset(NamedTuple):
    """The images on which a detector is judged.

    Attributes
    ----------
    dataset : Dataset
        The images, with masks if ``has_masks``, and the classes of the detector.
    shared_ids : sequence of int
        The category ids of the classes that detector and files share.
    has_masks : bool
        Whether masks are judged.
    note : str
        Which classes are judged, if those of detector and files differ; "" if they do not.
    """

    dataset: Dataset
    shared_ids: Sequence[int]
    has_masks: bool
    note: str


class DetectedDataset(NamedTuple):
    """Ground truth and detections of the images of a data set.

    Attributes
    ----------
    dataset : Dataset
        The images, with masks if ``has_masks``.
    ground_truth : dict
        A COCO dict with the classes of the network.
    results : list of dict
        COCO result entries of the classes that network and files share.
    has_masks : bool
        Whether annotations and results have masks.
    """

    dataset: Dataset
    ground_truth: Dict[str, Any]
    results: List[Dict[str, Any]]
    has_masks: bool


def add_detection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how the images go through the network.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser.
    """
    parser.add_argument(
        "--batch-size", type=int, default=1, metavar="N", help="images at a time (default: 1)"
    )
    parser.add_argument(
        "--gpus", default="", help="e.g. 0,1 in MXNet, 0 in onnxruntime (default: the CPU)"
    )


def detect_dataset(args: argparse.Namespace, with_masks: bool) -> DetectedDataset:
    """Open the detector that the flags name, and run it on every image of the validation split.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_model_arguments``, ``add_dataset_arguments`` and
        ``add_detection_arguments``.
    with_masks : bool
        Whether masks are wanted, if the network gives any.

    Returns
    -------
    DetectedDataset
        Ground truth and detections.

    Raises
    ------
    InputError
        As for ``open_detector`` and ``run_detector``.
    """
    return run_detector(open_detector(args, args.backend), args, with_masks)


def run_detector(
    detector: Predictor, args: argparse.Namespace, with_masks: bool
) -> DetectedDataset:
    """Run an open detector on every image of the validation split.

    Parameters
    ----------
    detector : Predictor
        The detector.
    args : argparse.Namespace
        Parsed flags of ``add_dataset_arguments`` and ``add_detection_arguments``.
    with_masks : bool
        Whether masks are wanted, if the detector gives any.

    Returns
    -------
    DetectedDataset
        Ground truth and detections.

    Raises
    ------
    InputError
        As for ``open_judged_dataset``.
    """
    judged = open_judged_dataset(detector, args, with_masks)
    results = detect_images(detector, judged, args)
    return DetectedDataset(judged.dataset, judged.dataset.coco_truth(), results, judged.has_masks)


def open_judged_dataset(
    detector: Predictor, args: argparse.Namespace, with_masks: bool
) -> JudgedDataset:
    """Open the validation split for a detector.

    Parameters
    ----------
    detector, args, with_masks
        As for ``run_detector``.

    Returns
    -------
    JudgedDataset
        The images.

    Raises
    ------
    InputError
        As for ``open_scored_dataset`` and ``open_masks``.
    """
    has_masks = with_masks and detector.has_masks
    matched = open_scored_dataset(args, detector.classes)
    dataset = open_masks(matched) if has_masks else matched
    return JudgedDataset(dataset, matched.shared_ids, has_masks, matched.note)


def detect_images(
    detector: Predictor, judged: JudgedDataset, args: argparse.Namespace
) -> List[Dict[str, Any]]:
    """Run a detector on every image of an open data set.

    Parameters
    ----------
    detector, args
        As for ``run_detector``.
    judged : JudgedDataset
        The images.

    Returns
    -------
    list of dict
        COCO result entries of the classes that detector and files share.
    """
    dataset = judged.dataset
    loader = evaluation_loader(dataset, detector.preprocess, args.batch_size, args.num_workers)
    mask_paste = detector.mask_paste if judged.has_masks else None
    # The detections come one image at a time, because their masks would fill the memory.
    is_mxnet = detector.net is not None
    ctx = contexts(args.gpus) if is_mxnet else [mx.cpu()]
    detections = predict(_network_of(detector), loader, ctx, mask_paste)
    progress = tqdm(detections, total=len(dataset), unit="image", disable=None)
    results = coco_results(progress, dataset.category_ids)
    # The files do not have the categories of the network's other classes.
    return [entry for entry in results if entry["category_id"] in judged.shared_ids]


def _network_of(detector: Predictor) -> Callable[[mx.nd.NDArray], Sequence[mx.nd.NDArray]]:
    """Return the network of a detector in any run time, as a function of images in MXNet's arrays.

    It maps (B, 3, H, W) to ids, scores, boxes and perhaps masks.
    """
    if detector.net is not None:
        return detector.net

    def run_elsewhere(images: mx.nd.NDArray) -> List[mx.nd.NDArray]:
        """Run the network in the detector's run time."""
        return [mx.nd.array(output) for output in detector.run_images(images.asnumpy())]

    return run_elsewhere
