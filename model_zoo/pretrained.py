"""The weights that a call of ``get_model`` asks for: published files, and files of the user."""

import logging
from pathlib import Path
from typing import Optional, Sequence, Union

from gluonnorm.backbones import FPN, Backbone, ResNetV2
from gluonnorm.conversion import Report, load, load_backbone
from gluonnorm.conversion.classes import share_classes
from gluonnorm.errors import InputError, first_few
from gluonnorm.weight_files import read_arrays
from model_zoo.catalogue import MODELS
from model_zoo.download import download
from model_zoo.published_weights import (
    PublishedWeights,
    find_weights,
    resolve_base,
    resolve_pretrained,
)
from model_zoo.weights import load_base, load_weights

import mxnet as mx

Folder = Union[str, Path, None]
Pretrained = Union[bool, str, Path]
PARTS = ("all", "base")
# The names of the fourth stage in published files: of torchvision and GluonCV, and of Detectron.
PUBLISHED_FOURTH_STAGE = ("layer4.", "res5_")
log = logging.getLogger(__name__)


def load_pretrained(
    net: mx.gluon.HybridBlock,
    value: Pretrained,
    name: str,
    reset: bool = False,
    folder: Folder = None,
) -> None:
    """Load what ``get_model(name, pretrained=value)`` asks for.

    Parameters
    ----------
    net : HybridBlock
        The detector, initialized.
    value : True, str or Path
        True for the published file of ``name``; a key of ``PUBLISHED_WEIGHTS``; or a file that
        ``net.save_parameters`` wrote.
    name : str
        The name of the model.
    reset : bool
        Whether predictors may stay random, see :func:`load_record`.
    folder : str, Path or None
        The cache, see :func:`model_zoo.download.cache_folder`.

    Raises
    ------
    InputError
        No such weights, or weights of another network. The network is then unchanged.
    DownloadError
        A published file that cannot be fetched.

    Examples
    --------
    >>> load_pretrained(net, True, "maskrcnn_resnet50_fpn_v2")  # doctest: +SKIP
    """
    record = resolve_pretrained(name) if value is True else find_weights(str(value))
    if record is None and str(value).endswith(".json"):
        raise InputError(
            f"pretrained={str(value)!r} is a description, not weights: "
            f"model_zoo.from_checkpoint({str(value)!r}) opens the network of a training run as it "
            "was trained; or give the .params beside it, for a network of other settings"
        )
    if record is None:
        load_weights(net, str(value))
    else:
        load_record(net, record, reset=reset, folder=folder)


def load_pretrained_base(
    net: mx.gluon.HybridBlock,
    value: Pretrained,
    backbone: str,
    norm: str,
    model: Optional[str] = None,
    folder: Folder = None,
) -> None:
    """Load what ``pretrained_base=value`` asks for into a detector or a bare backbone.

    Parameters
    ----------
    net : HybridBlock
        The detector or the backbone, initialized.
    value : True, str or Path
        True for a published file that fits; a key of ``PUBLISHED_WEIGHTS``; or a file for
        :func:`load_base`.
    backbone : str
        The name of the backbone.
    norm : str
        The norm of the backbone.
    model : str or None
        The name of the detector; None: ``net`` is a bare backbone.
    folder : str, Path or None
        The cache, see :func:`model_zoo.download.cache_folder`.

    Raises
    ------
    InputError
        No such weights, or weights of another network. The network is then unchanged.
    DownloadError
        A published file that cannot be fetched.

    Examples
    --------
    >>> load_pretrained_base(net, True, "resnet50_v1b", "frozen_bn")  # doctest: +SKIP
    """
    if value is True:
        preprocess = None if model is None else net.preprocess
        record: Optional[PublishedWeights] = resolve_base(backbone, norm, preprocess, model)
    else:
        record = find_weights(str(value))
    if record is None:
        load_base(_resnet_of(net), _fourth_stage_of(net), str(value))
    else:
        load_record(net, record, part="base", folder=folder)


def load_record(
    net: mx.gluon.HybridBlock,
    record: PublishedWeights,
    part: str = "all",
    reset: bool = False,
    folder: Folder = None,
    progress: bool = True,
) -> Optional[Report]:
    """Fetch a published file if the cache does not have it, and load it into a network.

    The file is converted each time, which takes about as long as reading a converted copy would.

    Parameters
    ----------
    net : HybridBlock
        The network, initialized.
    record : PublishedWeights
        The file.
    part : str
        "all": the complete network. "base": the backbone and, in a C4 detector, the fourth stage
        in the box head, unless the file has no statistics for the head's norm.
    reset : bool
        Whether predictors may stay random. Classes that the file has by name get its predictors,
        the other classes of the network keep theirs. False: other classes are an error.
    folder : str, Path or None
        The cache, see :func:`model_zoo.download.cache_folder`.
    progress : bool
        Whether a progress bar is shown on a terminal.

    Returns
    -------
    gluonnorm.conversion.Report or None
        What was loaded from where; None for the backbone of a ResNet v2, whose files have
        MXNet's own names and need no conversion.

    Raises
    ------
    InputError
        The weights are those of another network, which is then unchanged.
    DownloadError
        The file cannot be fetched.

    Examples
    --------
    >>> load_record(net, PUBLISHED_WEIGHTS["torchvision/resnet50"], "base")  # doctest: +SKIP
    """
    if part not in PARTS:
        raise InputError(f"part is {part!r}; give one of {', '.join(PARTS)}")
    if part == "base":
        return _load_base_record(net, record, str(download(record, folder, progress)))
    classes = _classes_of(record)
    shared = None if classes is None else share_classes(classes, net.classes)
    if shared is not None and not reset:
        raise InputError(
            f"{record.key} is for the classes {first_few(classes or ())}, the network for "
            f"{first_few(net.classes)}; give get_model classes=, and predictors of other names "
            "start fresh"
        )
    path = str(download(record, folder, progress))
    on_difference = "reset" if reset else None
    report = load(net, path, record.source, on_difference, record.eps, classes=classes)
    log.info("%s", report)
    if shared is not None:
        log.warning("%s: %s", record.key, shared.note())
    return report


def _classes_of(record: PublishedWeights) -> Optional[Sequence[str]]:
    """Return the names of the classes that a published detector was trained on, if it has them."""
    for name in record.models:
        if name in MODELS and MODELS[name].classes is not None:
            return MODELS[name].classes
    return None


def _load_base_record(
    net: mx.gluon.HybridBlock, record: PublishedWeights, path: str
) -> Optional[Report]:
    """Load a published file into the backbone of a network and, if it fits, into its C4 head."""
    resnet = _resnet_of(net)
    fourth_stage = _fourth_stage_of(net)
    if isinstance(resnet, ResNetV2):
        load_base(resnet, fourth_stage, path)
        return None
    # The box head of a C4 detector takes the fourth stage of the file. If it has another norm,
    # the statistics in the file cannot fill it.
    if fourth_stage is None or (net.spec.head_norm or net.spec.norm) in record.norms:
        report = load_backbone(net, path, record.source, record.eps)
    else:
        log.warning(
            "%s: no statistics for head_norm=%r: the head starts fresh",
            record.key,
            net.spec.head_norm,
        )
        arrays = {}
        for name, array in read_arrays(path).items():
            if not name.startswith(PUBLISHED_FOURTH_STAGE):
                arrays[name] = array
        report = load_backbone(resnet, arrays, record.source, record.eps)
    log.info("%s", report)
    return report


def _resnet_of(net: mx.gluon.HybridBlock) -> Backbone:
    """Return the ResNet of a detector or backbone, without its pyramid."""
    backbone = net if isinstance(net, Backbone) else net.backbone
    return backbone.backbone if isinstance(backbone, FPN) else backbone


def _fourth_stage_of(net: mx.gluon.HybridBlock) -> Optional[mx.gluon.HybridBlock]:
    """Return the stage of the ResNet in the box head of a C4 detector; None for other networks."""
    if isinstance(net, Backbone):
        return None
    return getattr(net.box_head, "stage", None)
