"""The published weights by their keys, and the choice of the file that fits a model."""

import os
from typing import Dict, List, Optional, Set

from gluonnorm import training
from gluonnorm.errors import InputError, did_you_mean, first_few
from gluonnorm.types import Preprocess
from model_zoo.catalogue import codebase_of
from model_zoo.publishers import detectron, detectron2, gluoncv, torchvision
from model_zoo.publishers.published_file import BATCH_STATISTICS, STD, PublishedWeights

KEY_PHRASE = "a key of model_zoo.published_weights.PUBLISHED_WEIGHTS"


def _collect_records() -> Dict[str, PublishedWeights]:
    """Join the files of all publishers, by their keys."""
    records = {}
    # The first file that fits is taken. A name like resnet50_v1b is GluonCV's, so GluonCV's own
    # files come before torchvision's.
    for publisher in (gluoncv, torchvision, detectron, detectron2):
        for record in publisher.published_weights():
            records[record.key] = record
    return records


#: The published files by key.
PUBLISHED_WEIGHTS = _collect_records()


def find_weights(value: str) -> Optional[PublishedWeights]:
    """Find the published file of a key, or see that a file of the user exists.

    Parameters
    ----------
    value : str
        A key of ``PUBLISHED_WEIGHTS``, or the path of a file.

    Returns
    -------
    PublishedWeights or None
        The published file; None: ``value`` is the path of a file.

    Raises
    ------
    InputError
        There is neither; the message names what is spelled nearly so, and the best weights of a run
        whose prefix was given.
    """
    if value in PUBLISHED_WEIGHTS:
        return PUBLISHED_WEIGHTS[value]
    if os.path.exists(value):
        return None
    best = training.best_path(value)
    if os.path.exists(best):
        suggestion = f"; did you mean {best}?"
    else:
        folder, name = os.path.split(value)
        files = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        suggestion = did_you_mean(value, PUBLISHED_WEIGHTS) or did_you_mean(name, files)
    raise InputError(f"{value}: no such file of weights, nor {KEY_PHRASE}{suggestion}")


def resolve_pretrained(name: str) -> PublishedWeights:
    """Choose the file that ``pretrained=True`` loads into a model.

    Parameters
    ----------
    name : str
        The name of a detector of the catalogue.

    Returns
    -------
    PublishedWeights
        The file that fills the complete network.

    Raises
    ------
    InputError
        No published file is known; the message names the closest models that have one.

    Examples
    --------
    >>> resolve_pretrained("faster_rcnn_fpn_resnet50_v1b_custom").key
    'gluoncv/faster_rcnn_fpn_resnet50_v1b_coco'
    """
    served_models: List[str] = []
    for record in PUBLISHED_WEIGHTS.values():
        if name in record.models:
            return record
        served_models += record.models
    suggestion = did_you_mean(name, served_models) or "."
    raise InputError(
        f"pretrained=True: no published weights of {name!r} are known{suggestion}"
        f" Or give a file of weights, or {KEY_PHRASE}"
    )


def resolve_base(
    backbone: str,
    norm: str = "frozen_bn",
    preprocess: Optional[Preprocess] = None,
    model: Optional[str] = None,
) -> PublishedWeights:
    """Choose the file that ``pretrained_base=True`` loads.

    A file fits if it was made for the same backbone, for a norm that uses its statistics, and for
    the same input. The backbone must be the same because no shape tells which convolution has
    the stride.

    Parameters
    ----------
    backbone : str
        The name of a backbone of the catalogue.
    norm : str
        The norm of the backbone.
    preprocess : Preprocess or None
        The input of the network; None: any input.
    model : str or None
        The name of the detector. Among the files that fit, one from the codebase of the detector
        is preferred, then GluonCV's.

    Returns
    -------
    PublishedWeights
        The file.

    Raises
    ------
    InputError
        No file fits; the message names the files of the same backbone.

    Examples
    --------
    >>> resolve_base("resnet101_v1b", model="fasterrcnn_resnet101_fpn").key
    'torchvision/resnet101'
    """
    same_backbone = []
    fitting = []
    for record in PUBLISHED_WEIGHTS.values():
        if backbone not in record.backbones:
            continue
        same_backbone.append(record)
        if norm in record.norms and _fits_input(record, preprocess):
            fitting.append(record)
    if not fitting:
        raise _no_base_weights(backbone, norm, preprocess, same_backbone)

    if model is not None:
        for record in fitting:
            if record.source == codebase_of(model):
                return record
    return fitting[0]


def table() -> str:
    """Write all published files as a table for ``docs/weights.md``.

    Returns
    -------
    str
        A table in Markdown, one line for each file.
    """
    lines = [
        "| key | serves | MB | published | checked by |",
        "|---|---|---|---|---|",
    ]
    for record in PUBLISHED_WEIGHTS.values():
        cells = (
            f"`{record.key}`",
            _served_names(record),
            f"{record.size / 1e6:.0f}" if record.size else "",
            record.metric or "",
            _check_in_words(record.checksum),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _fits_input(record: PublishedWeights, preprocess: Optional[Preprocess]) -> bool:
    """Whether a file was trained on the input that a network gets."""
    if preprocess is None:
        return True
    return preprocess.order == record.order and preprocess.std == STD[record.order]


def _no_base_weights(
    backbone: str,
    norm: str,
    preprocess: Optional[Preprocess],
    same_backbone: List[PublishedWeights],
) -> InputError:
    """Make the error for a backbone without a fitting file."""
    input_words = "any input"
    if preprocess is not None:
        input_words = f"input of std {preprocess.std} in {preprocess.order}"
    candidates = []
    for record in same_backbone:
        candidates.append(f"{record.key} for {record.order} and norm {' or '.join(record.norms)}")
    suggestion = ""
    if not candidates:
        known_backbones: Set[str] = set()
        for record in PUBLISHED_WEIGHTS.values():
            known_backbones.update(record.backbones)
        suggestion = did_you_mean(backbone, sorted(known_backbones))
    return InputError(
        f"pretrained_base=True: no weights published for {backbone!r}, norm={norm!r} and"
        f" {input_words}; for this backbone: {first_few(candidates)}{suggestion or '.'}"
        f" Or give a file of weights, or {KEY_PHRASE}"
    )


def _served_names(record: PublishedWeights) -> str:
    """Write what a file fills: backbones, with their norm and input, or models."""
    if record.backbones:
        names = ", ".join(f"`{name}`" for name in record.backbones)
        if record.norms == BATCH_STATISTICS:
            return names
        return f"{names}, {' or '.join(record.norms)}, {record.order}"
    if len(record.models) == 1:
        return "its name"
    return f"its name and `{record.models[1]}`"


def _check_in_words(checksum: Optional[str]) -> str:
    """Write how a downloaded file is checked, for example "SHA-256 0676ba61"."""
    if checksum is None:
        return "first download"
    algorithm, digits = checksum.split(":")
    algorithm_name = algorithm.upper().replace("SHA", "SHA-")
    return f"{algorithm_name} {digits[:8]}"
