"""Run the trained network of a run on its validation set, with everything that judges it."""

import argparse
import os
import sys
import time
from typing import Any, Collection, Dict, List, NamedTuple, NoReturn, Optional, Sequence, Tuple

import model_zoo
from gluonnorm import training
from gluonnorm.data import Dataset, Inspection, inspect
from gluonnorm.data.faults import skipped_faults
from gluonnorm.deploy import Predictor
from gluonnorm.errors import GluonnormError, InputError, first_few, one_line
from gluonnorm.evaluation.matches import Matches, match_detections
from gluonnorm.graph.trace import hybridize_for_inference
from gluonnorm.rcnn import FasterRCNN
from model_zoo.weights import load_weights
from run_report.kept_detections import Found, fingerprint, keep_found, read_found
from run_report.run_files import RunFiles
from run_report.setup_sections import flags_of

import mxnet as mx
import numpy as np
from _data_flags import add_dataset_arguments, dataset_flag_names
from _detected_dataset import JudgedDataset, detect_images, open_judged_dataset
from _devices import contexts
from _proposals import judge_proposals, spaced_images
from _scores import coco_scores
from tqdm import tqdm


class DetectedRun(NamedTuple):
    """What the network of a run finds, and what it is worth.

    Attributes
    ----------
    weights : str
        The file of the weights.
    dataset : Dataset
        The images and their ground truth, with the classes of the network.
    ground_truth : dict
        A COCO dict.
    results : list of dict
        COCO result entries.
    has_masks : bool
        Whether both have masks.
    scores : dict of str to float
        What ``coco_scores`` returns.
    matches : dict of str to Matches
        The pairs at an IoU of 0.5, of ``"bbox"`` and perhaps of ``"segm"``.
    inspection : Inspection or None
        The reach of anchors and proposals; None for a network without anchors.
    seconds : float
        The time from the files of the data set to the results, when they were found.
    data_root : str
        The folder of the data set.
    step : int or None
        Updates after which the weights were saved; None if their file does not tell.
    notes : tuple of str
        What the scores leave out, and what is wrong with the weights that should have been judged.
    """

    weights: str
    dataset: Dataset
    ground_truth: Dict[str, Any]
    results: List[Dict[str, Any]]
    has_masks: bool
    scores: Dict[str, float]
    matches: Dict[str, Matches]
    inspection: Optional[Inspection]
    seconds: float
    data_root: str
    step: Optional[int]
    notes: Tuple[str, ...]


def detect_run(
    run: RunFiles, data_root: Optional[str], factories: Collection[str], gpus: str
) -> Tuple[Optional[DetectedRun], str]:
    """Detect with the best weights of a run, or with its newest checkpoint.

    Parameters
    ----------
    run : RunFiles
        The run.
    data_root : str or None
        Where the data set is now; None takes the place of the training.
    factories : collection of str
        The ``MODULE:FACTORY`` that the command line names; no other one is imported.
    gpus : str
        The value of ``--gpus``.

    Returns
    -------
    detected : DetectedRun or None
        None if it cannot be done.
    reason : str
        Why it cannot be done; "" if it can.

    Raises
    ------
    InputError
        There is no such GPU.
    """
    ctx = contexts(gpus)
    try:
        flags = dataset_flags(run, data_root, factories)
        flags.gpus = gpus
        flags.batch_size = len(ctx)
        net, weights, faults = _open_network(run, ctx)
        detected = _detect(net, weights, flags, ctx, run.prefix)
        notes = tuple(f"{fault}, so {weights} is judged instead." for fault in faults)
        return detected._replace(notes=(*notes, *detected.notes)), ""
    except (GluonnormError, OSError) as error:
        return None, f"{one_line(error)}{_way_out(run, data_root)}"


def _way_out(run: RunFiles, data_root: Optional[str]) -> str:
    """Say what to do if the data set of a run has moved; "" if it has not."""
    trained_on = run.arguments.get("data_root")
    if data_root is not None or not isinstance(trained_on, str) or os.path.exists(trained_on):
        return ""
    return f"; --data-root was {trained_on} in training: if it has moved, give its new place"


class _StoredFlagsParser(argparse.ArgumentParser):
    """Parse the flags that a file holds; a wrong one is an error and does not end the script."""

    def error(self, message: str) -> NoReturn:
        """Raise the error."""
        raise InputError(f"the flags of its data set are damaged: {message}")


def dataset_flags(
    run: RunFiles, data_root: Optional[str], factories: Collection[str]
) -> argparse.Namespace:
    """Return the flags of a run's data set; those that its version did not have are the defaults.

    Parameters
    ----------
    run : RunFiles
        The run.
    data_root : str or None
        Another place of the data set.
    factories : collection of str
        The ``MODULE:FACTORY`` that the command line names.

    Returns
    -------
    argparse.Namespace
        What ``open_dataset`` takes.

    Raises
    ------
    InputError
        The data set is a factory that the command line does not name, or a flag is damaged.
    """
    arguments = dict(run.arguments)
    if data_root is not None:
        arguments["data_root"] = data_root
    parser = _StoredFlagsParser(allow_abbrev=False)
    add_dataset_arguments(parser)
    # The trip through the command line checks the type of each value.
    words = flags_of(arguments, dataset_flag_names())
    flags = parser.parse_args(["--data-root", "", *words])
    # A file comes from anywhere, and a factory is code that would run.
    if ":" in flags.dataset and flags.dataset not in factories:
        raise InputError(
            f"its data set is made by {flags.dataset}, and a function is imported only if the "
            f"command line names it; if you trust it, give --dataset {flags.dataset}"
        )
    return flags


def _open_network(
    run: RunFiles, ctx: Sequence[mx.Context]
) -> Tuple[FasterRCNN, str, Tuple[str, ...]]:
    """Open the weights of the best score, or the newest whole checkpoint.

    Returns the network, the file of its weights, and what is wrong with those that come first.
    """
    best_header = training.best_path(run.prefix)
    best_weights = f"{os.path.splitext(best_header)[0]}.params"
    paths = training.newest_first(run.prefix)
    if os.path.exists(best_header):
        paths = [best_header, *paths]
    elif run.spec and os.path.exists(best_weights):
        # A run of an earlier version has no header beside its best weights.
        net = model_zoo.from_spec(run.spec, ctx)
        load_weights(net, best_weights)
        return net, best_weights, ()
    errors: List[training.DamagedCheckpoint] = []
    for path in paths:
        try:
            net = model_zoo.from_checkpoint(path, ctx)
            return net, path, tuple(error.fault for error in errors)
        except training.DamagedCheckpoint as error:
            errors.append(error)
    raise errors[0] if errors else InputError(f"there is no {best_header} and no checkpoint")


def _detect(
    net: FasterRCNN,
    weights: str,
    flags: argparse.Namespace,
    ctx: Sequence[mx.Context],
    prefix: str,
) -> DetectedRun:
    """Run the network on the validation set, and judge what it finds."""
    hybridize_for_inference(net)
    detector = Predictor.from_network(net)
    judged = open_judged_dataset(detector, flags, with_masks=True)
    ground_truth = judged.dataset.coco_truth()
    if not judged.has_masks:
        ground_truth = _boxes_alone(ground_truth)
    inspection = _inspect(net, judged.dataset)
    key = fingerprint(net, judged.dataset, ground_truth, flags.gpus)
    found = read_found(prefix, key)
    if found is None:
        start = time.monotonic()
        results = detect_images(detector, judged, flags)
        seconds = time.monotonic() - start
        proposal_ious = _judge_proposals(net, judged.dataset, inspection, ctx[0])
        found = Found(results, proposal_ious, seconds)
        try:
            keep_found(prefix, key, found)
        except InputError as error:
            print(f"note: the next page must detect again: {one_line(error)}", file=sys.stderr)
    matches = {"bbox": match_detections(ground_truth, found.results)}
    if judged.has_masks:
        matches["segm"] = match_detections(ground_truth, found.results, "segm")
    if inspection is not None and found.proposal_ious is not None:
        before, after = found.proposal_ious
        inspection = inspection.with_proposals(np.array(before), np.array(after))
    return DetectedRun(
        weights=weights,
        dataset=judged.dataset,
        ground_truth=ground_truth,
        results=found.results,
        has_masks=judged.has_masks,
        scores=coco_scores(ground_truth, found.results, judged.has_masks),
        matches=matches,
        inspection=inspection,
        seconds=found.seconds,
        data_root=flags.data_root,
        step=_step_of(weights),
        notes=_left_out(judged),
    )


def _left_out(judged: JudgedDataset) -> Tuple[str, ...]:
    """Say which classes and which parts of the files the scores leave out."""
    notes = []
    if judged.note:
        notes.append(f"The classes of network and files differ: {judged.note}.")
    skipped = skipped_faults(judged.dataset)
    if skipped:
        notes.append(
            f"--skip-bad left out {len(skipped)} faulty images or annotations: "
            f"{first_few(skipped)}."
        )
    return tuple(notes)


def _step_of(weights: str) -> Optional[int]:
    """Return the updates after which a checkpoint was saved; None for weights without a header."""
    if not weights.endswith(".json"):
        return None
    return int(training.read(weights)["state"]["step"])


def _boxes_alone(ground_truth: Dict[str, Any]) -> Dict[str, Any]:
    """Leave the masks of a file out, which are as they were written and not checked."""
    annotations = []
    for annotation in ground_truth["annotations"]:
        annotations.append({key: annotation[key] for key in annotation if key != "segmentation"})
    return {**ground_truth, "annotations": annotations}


def _inspect(net: FasterRCNN, dataset: Dataset) -> Optional[Inspection]:
    """Compare the objects with the anchors, as check_dataset.py does."""
    # A detector of the user need not have anchors.
    if not isinstance(net, FasterRCNN):
        return None
    return inspect(dataset, net.preprocess, net.config, net.backbone.strides)


def _judge_proposals(
    net: FasterRCNN, dataset: Dataset, inspection: Optional[Inspection], ctx: mx.Context
) -> Optional[Tuple[List[float], List[float]]]:
    """Compare the objects with the boxes before and after the NMS of the proposals."""
    if inspection is None or inspection.reach is None:
        return None
    chosen = spaced_images(inspection.learnable_objects.images)
    progress = tqdm(chosen, desc="proposals", unit="image", disable=None, leave=False)
    reach = judge_proposals(net, dataset, inspection, progress, ctx).reach
    assert reach is not None and reach.candidates is not None and reach.proposals is not None
    return reach.candidates.tolist(), reach.proposals.tolist()
