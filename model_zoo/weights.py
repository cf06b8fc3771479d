"""Weights into networks: strict, and saying what is wrong before anything is changed."""
import logging
from difflib import get_close_matches
from pathlib import Path
from typing import Dict, List, Optional, Union

from gluonnorm.backbones import FPN, Backbone, ResNetV2, mxnet_names
from gluonnorm.conversion.load import Report, load, load_backbone, looks_like
from gluonnorm.weight_files.formats import read_arrays
from model_zoo.download import download
from model_zoo.published_weights import PUBLISHED_WEIGHTS, PublishedWeights, resolve_base, resolve_pretrained

import mxnet as mx
import numpy as np

LAST_STAGE = ("layer4.", "bn_out.", "stage4_", "batchnorm2_")  # what a C4 detector has as its head
FOURTH_STAGE = ("layer4.", "res5_")  # its names in published files: torchvision's and GluonCV's, Detectron's
CLASSIFIER = ("fc.", "output.", "dense0_")  # last layers of image classifiers, which a detector drops
Folder = Union[str, Path, None]
log = logging.getLogger(__name__)


def load_pretrained(net: mx.gluon.HybridBlock, value: Union[bool, str], name: str, reset: bool = False) -> None:
    """What ``get_model(name, pretrained=value)`` loads.

    ``value`` is True (the record of ``name``), a key of ``PUBLISHED_WEIGHTS``, or a file of this package's own weights.
    ``reset``: the caller named classes of his own, so where their number is not the file's the predictors stay fresh.
    Raises ValueError or, where a file cannot be fetched, :class:`model_zoo.download.DownloadError`.
    """
    record = resolve_pretrained(name) if value is True else _record(str(value))
    if record is None:
        load_weights(net, str(value))
    else:
        load_record(net, record, reset=reset)


def load_pretrained_base(net: mx.gluon.HybridBlock, value: Union[bool, str], backbone: str, norm: str,
                         model: Optional[str] = None) -> None:
    """What ``pretrained_base=value`` loads into a detector, or into a bare backbone (``model`` None).

    ``value`` is True, a key of ``PUBLISHED_WEIGHTS``, or a file for :func:`load_base`. Errors as for :func:`load_pretrained`.
    """
    record = resolve_base(backbone, norm, None if model is None else net.preprocess, model) if value is True else \
        _record(str(value))
    if record is None:
        load_base(_trunk(net), _top(net), str(value))
    else:
        load_record(net, record, "base")


def load_record(net: mx.gluon.HybridBlock, record: PublishedWeights, part: str = "all", reset: bool = False,
                folder: Folder = None, progress: bool = True) -> Optional[Report]:
    """Fetch the file of ``record``, if the cache has it not, and load it into ``net``.

    ``part`` is "all", or "base": the backbone and, of a C4 detector, the stage that became its head, unless that has a
    norm the file has no statistics for; then it starts fresh. Files are converted each time, which takes about as long
    as reading a second, converted copy would. The report is that of ``gluonnorm.conversion``; None for a ResNet v2,
    whose files have MXNet's own names.
    """
    path = str(download(record, folder, progress))
    if part == "all":
        report = load(net, path, record.source, "reset" if reset else None, record.eps)
    elif isinstance(_trunk(net), ResNetV2):
        load_base(_trunk(net), _top(net), path)
        return None
    elif _top(net) is not None and (net.spec.head_norm or net.spec.norm) not in record.norms:
        log.warning("%s: no statistics for head_norm=%r: the head starts fresh", record.key, net.spec.head_norm)
        arrays = {name: array for name, array in read_arrays(path).items() if not name.startswith(FOURTH_STAGE)}
        report = load_backbone(_trunk(net), arrays, record.source, record.eps)
    else:
        report = load_backbone(net, path, record.source, record.eps)
    log.info("%s", report)
    return report


def load_weights(net: mx.gluon.HybridBlock, path: str) -> None:
    """Load a whole network saved with ``net.save_parameters``; names and shapes must agree exactly."""
    arrays = read_arrays(path)
    parameters = net._collect_params_with_prefix()
    _refuse_mismatch(path, parameters, arrays, sorted(set(arrays) - set(parameters)))
    _assign(parameters, arrays)


def load_base(backbone: Backbone, top: Optional[mx.gluon.HybridBlock], path: str) -> None:
    """Load ImageNet weights into a backbone and, for a C4 detector, into the stage that became its head.

    The names may be structural (``layer1.0.conv1.weight``: this package, GluonCV's v1b and v1d) or, for a ResNet v2,
    those of ``mxnet.gluon.model_zoo.vision.resnet*_v2``: structural (``features.1.weight``), or without the net's
    prefix (``stage1_conv0_weight``). The backbone must be there whole. A head that is not there whole, or has another
    norm, starts fresh, since stored statistics are worthless behind random convolutions. The classifier is dropped;
    anything else unexpected is an error.
    """
    arrays = read_arrays(path)
    if isinstance(backbone, ResNetV2):
        arrays = _without_structure(arrays)
    if isinstance(backbone, ResNetV2) and any(name.startswith("stage") for name in arrays):
        renames = mxnet_names(backbone)
        wanted, wanted_top = _renamed(backbone, renames), _renamed(top, mxnet_names(top)) if top is not None else {}
    else:
        wanted = backbone._collect_params_with_prefix()
        wanted_top = top._collect_params_with_prefix() if top is not None else {}
    of_top = {name for name in arrays if name.startswith(LAST_STAGE)} if top is not None else set()
    unexpected = [name for name in sorted(set(arrays) - set(wanted) - of_top) if not name.startswith(CLASSIFIER)]
    _refuse_mismatch(path, wanted, arrays, unexpected)
    if of_top == set(wanted_top):
        _refuse_mismatch(path, wanted_top, arrays, [])
        _assign(wanted_top, arrays)
    else:
        differ = sorted(of_top ^ set(wanted_top))
        log.warning("%s: %d tensors are not both in the file and in the head (%s, ...): the head starts fresh", path,
                    len(differ), differ[0])
    _assign(wanted, arrays)


def _record(value: str) -> Optional[PublishedWeights]:
    """The record of that key; None if it is a file instead."""
    if value in PUBLISHED_WEIGHTS or Path(value).exists():
        return PUBLISHED_WEIGHTS.get(value)
    nearest = get_close_matches(value, PUBLISHED_WEIGHTS, n=3, cutoff=0.3)
    raise ValueError(f"{value}: no such file of weights, nor a key of model_zoo.published_weights.PUBLISHED_WEIGHTS; nearest keys: "
                     f"{', '.join(nearest) or 'none'}")


def _trunk(net: mx.gluon.HybridBlock) -> Backbone:
    backbone = net if isinstance(net, Backbone) else net.backbone
    return backbone.backbone if isinstance(backbone, FPN) else backbone


def _top(net: mx.gluon.HybridBlock) -> Optional[mx.gluon.HybridBlock]:
    return None if isinstance(net, Backbone) else getattr(net.box_head, "stage", None)


def _without_structure(arrays: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """If ``arrays`` have the structural names of a ResNet v2 of MXNet's, those its layers give them instead."""
    for depth in (18, 34, 50, 101):
        twin = mx.gluon.model_zoo.vision.get_resnet(2, depth)
        names = {name: parameter.name[len(twin.prefix):]
                 for name, parameter in twin._collect_params_with_prefix().items()}
        if set(names) == set(arrays):
            return {names[name]: array for name, array in arrays.items()}
    return arrays


def _renamed(block: mx.gluon.HybridBlock, names: Dict[str, str]) -> Dict[str, mx.gluon.Parameter]:
    return {names[name]: parameter for name, parameter in block._collect_params_with_prefix().items()}


def _refuse_mismatch(path: str, parameters: Dict[str, mx.gluon.Parameter], arrays: Dict[str, np.ndarray],
                     unexpected: List[str]) -> None:
    missing = sorted(set(parameters) - set(arrays))
    misshapen = [f"{name} {arrays[name].shape} for {parameter.shape}" for name, parameter in sorted(parameters.items())
                 if name in arrays and arrays[name].shape != parameter.shape]
    problems = (("missing", missing), ("unexpected", unexpected), ("of wrong shape", misshapen))
    found = [f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
             for kind, names in problems if names]
    if found:
        others = looks_like(arrays)
        hint = (f". The names are those of {' or '.join(others)}: convert the file with scripts/convert.py or "
                f"gluonnorm.conversion.load(net, path, {others[0]!r})") if others else ""
        raise ValueError(f"{path}: weights of another network: {'; '.join(found)}{hint}")


def _assign(parameters: Dict[str, mx.gluon.Parameter], arrays: Dict[str, np.ndarray]) -> None:
    for name, parameter in parameters.items():
        parameter.set_data(mx.nd.array(arrays[name], dtype=parameter.dtype))
