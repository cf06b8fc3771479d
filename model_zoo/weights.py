"""Weights from files into networks: strict, and saying what is wrong before anything is changed."""
import logging
from pathlib import Path
from typing import Dict, List, Optional

from gluonnorm.backbones import Backbone, ResNetV2, mxnet_names

import mxnet as mx
import numpy as np

LAST_STAGE = ("layer4.", "bn_out.", "stage4_", "batchnorm2_")  # what a C4 detector has as its head
CLASSIFIER = ("fc.", "output.", "dense0_")  # last layers of image classifiers, which a detector drops
log = logging.getLogger(__name__)


def read_arrays(path: str) -> Dict[str, np.ndarray]:
    """Read a ``.params`` or ``.npz`` file into {name: array}; a file that is neither, or is cut, raises ValueError."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file of weights")
    try:
        if str(path).endswith(".npz"):
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        arrays = mx.nd.load(str(path))
    except Exception as error:  # zip, NumPy and MXNet each have their own errors for a damaged file
        raise ValueError(f"{path}: not a readable .params or .npz file ({str(error).splitlines()[0]})") from error
    if not isinstance(arrays, dict):
        raise ValueError(f"{path}: holds arrays without names; save with net.save_parameters")
    return {name.split(":", 1)[-1]: array.asnumpy() for name, array in arrays.items()}


def load_weights(net: mx.gluon.HybridBlock, path: str) -> None:
    """Load a whole network saved with ``net.save_parameters``; names and shapes must agree exactly."""
    arrays = read_arrays(path)
    parameters = net._collect_params_with_prefix()
    _refuse_mismatch(path, parameters, arrays, sorted(set(arrays) - set(parameters)))
    _assign(parameters, arrays)


def load_base(backbone: Backbone, top: Optional[mx.gluon.HybridBlock], path: str) -> None:
    """Load ImageNet weights into a backbone and, for a C4 detector, into the stage that became its head.

    The names may be structural (``layer1.0.conv1.weight``: this package, GluonCV's v1b and v1d) or those of
    ``mxnet.gluon.model_zoo.vision.resnet*_v2`` without the net's prefix (``stage1_conv0_weight``). The backbone must
    be there whole. A head that is not there whole, or has another norm, starts fresh, since stored statistics are
    worthless behind random convolutions. The classifier is dropped; anything else unexpected is an error.
    """
    arrays = read_arrays(path)
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
        raise ValueError(f"{path}: weights of another network: {'; '.join(found)}")


def _assign(parameters: Dict[str, mx.gluon.Parameter], arrays: Dict[str, np.ndarray]) -> None:
    for name, parameter in parameters.items():
        parameter.set_data(mx.nd.array(arrays[name], dtype=parameter.dtype))
