"""Files of this package and of MXNet into networks: all is checked before anything is changed."""

import logging
from pathlib import Path
from typing import Any, Collection, Dict, Iterable, Optional, Sequence, Tuple

from gluonnorm.backbones import Backbone, ResNetV2, ResNetV2Top, mxnet_names
from gluonnorm.conversion import describe_foreign, has_own_names, looks_like
from gluonnorm.conversion.classes import (
    CLASS_LAYERS,
    SCORE_LAYER,
    class_layer_rows,
    place_shared_rows,
    share_classes,
)
from gluonnorm.errors import InputError, first_few, first_line
from gluonnorm.rcnn import FasterRCNN, ModelSpec
from gluonnorm.weight_files import (
    Mismatches,
    WeightFileError,
    compare,
    read_description,
    read_file,
    take_off_prefix,
)

import mxnet as mx
import numpy as np

Arrays = Dict[str, np.ndarray]
Parameters = Dict[str, mx.gluon.Parameter]
# The names of the fourth stage in files of a backbone, for ResNet v1 and both namings of v2.
FOURTH_STAGE = ("layer4.", "bn_out.", "stage4_", "batchnorm2_")
# The last layer of image classifiers, which a detector does not need.
CLASSIFIER = ("fc.", "output.", "dense0_")
# Of a configuration: what the weights cannot do without, while they load into any network.
LEARNED_WITH = (
    "short",
    "max_size",
    "normalize",
    "order",
    "mean",
    "std",
    "anchor_sizes",
    "anchor_ratios",
    "box_stds",
    "convention",
)
NO_BACKBONE = ". The file is of a complete detector of this package: give it as pretrained="
OTHER_SETTINGS = (
    ". The file is of a detector of this package with another norm, backbone or settings; "
    "model_zoo.from_checkpoint opens the .json of a training run as it was trained"
)
log = logging.getLogger(__name__)


def load_weights(net: mx.gluon.HybridBlock, path: str) -> None:
    """Load a complete network that ``net.save_parameters`` saved.

    The ``.json`` of a checkpoint beside the file names its classes. If they differ from the
    network's, the predictors of classes that both have by name are loaded, and those of the other
    classes of the network stay as they are; a warning says which. Another warning names anchors,
    input and geometry of the checkpoint that the network does not have.

    Parameters
    ----------
    net : HybridBlock
        The network, initialized.
    path : str
        The file, in any format of :mod:`gluonnorm.weight_files`.

    Raises
    ------
    InputError
        The file cannot be read, or its names and shapes are not exactly those of the network.
        The network is then unchanged.

    Examples
    --------
    >>> load_weights(net, "detector.params")  # doctest: +SKIP
    """
    parameters = net._collect_params_with_prefix()
    arrays = _read(path, parameters)
    spec = _spec_beside(path)
    classes = _classes_of(spec)
    if classes is not None:
        arrays = _with_shared_classes(net, arrays, classes, path)
    mismatches = compare(arrays, parameters, check_values=True)
    if mismatches:
        raise _wrong_network(path, mismatches, arrays, OTHER_SETTINGS)
    _warn_of_other_settings(net, spec, path)
    _assign(parameters, arrays)


def load_base(backbone: Backbone, fourth_stage: Optional[mx.gluon.HybridBlock], path: str) -> None:
    """Load a file of ImageNet weights into a backbone and into the head of a C4 detector.

    The names in the file are structural (``layer1.0.conv1.weight``: this package, GluonCV's v1b
    and v1d). For a ResNet v2 they may also be the names of
    ``mxnet.gluon.model_zoo.vision.resnet*_v2``: structural (``features.1.weight``), or without
    the prefix of the network (``stage1_conv0_weight``).

    The file must have all parameters of the backbone. A fourth stage that is incomplete, or has
    another norm, stays random, because stored statistics are worthless behind random
    convolutions. The last layer of the classifier is ignored.

    Parameters
    ----------
    backbone : Backbone
        The ResNet, initialized.
    fourth_stage : HybridBlock or None
        The fourth stage of the ResNet in the box head of a C4 detector; None: no such head.
    path : str
        The file, in any format of :mod:`gluonnorm.weight_files`.

    Raises
    ------
    InputError
        The file cannot be read, or lacks arrays of the backbone, or has unexpected or misshapen
        ones. The network is then unchanged.

    Examples
    --------
    >>> load_base(net.backbone, None, "resnet50_v1b.params")  # doctest: +SKIP
    """
    arrays = _read(path, backbone._collect_params_with_prefix())
    if isinstance(backbone, ResNetV2):
        arrays = _with_mxnet_layer_names(arrays)
    backbone_parameters = _parameters_named_as_in(arrays, backbone)
    stage_parameters: Parameters = {}
    if fourth_stage is not None:
        stage_parameters = _parameters_named_as_in(arrays, fourth_stage)
    backbone_arrays, stage_arrays = _split_arrays(
        arrays, backbone_parameters, has_fourth_stage=fourth_stage is not None
    )

    # All checks come before the first assignment, so that an error leaves the network unchanged.
    mismatches = compare(backbone_arrays, backbone_parameters, check_values=True)
    if mismatches:
        raise _wrong_network(path, mismatches, arrays, NO_BACKBONE)
    names_in_one = sorted(set(stage_arrays) ^ set(stage_parameters))
    if names_in_one:
        log.warning(
            "%s: %d tensors are not both in the file and in the head (%s, ...):"
            " the head starts fresh",
            path,
            len(names_in_one),
            names_in_one[0],
        )
    else:
        mismatches = compare(stage_arrays, stage_parameters, check_values=True)
        if mismatches:
            raise _wrong_network(path, mismatches, arrays, NO_BACKBONE)
        _assign(stage_parameters, stage_arrays)
    _assign(backbone_parameters, backbone_arrays)


def _read(path: str, known: Collection[str]) -> Arrays:
    """Read a file, and take off a prefix without which its names are known."""
    content = read_file(path)
    try:
        bare = take_off_prefix(content.arrays, known)
    except WeightFileError as error:
        raise InputError(
            f"{path}: {error}. get_model takes no entry; write the arrays to a file of their own: "
            f"write_arrays(OTHER, read_file(FILE, entry).arrays), of gluonnorm.weight_files"
        ) from error
    for note in (*content.notes, *bare.notes):
        log.info("%s: %s", path, note)
    return bare.arrays


def _spec_beside(path: str) -> Dict[str, Any]:
    """Read the description in the checkpoint's ``.json`` beside a file of weights; {} without."""
    header = Path(path).with_suffix(".json")
    try:
        spec = read_description(str(header))["spec"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning(
            "%s: not read for the classes and settings of its weights: %s",
            header,
            first_line(error),
        )
        return {}
    except (KeyError, TypeError):
        # A .json of another kind.
        return {}
    return spec if isinstance(spec, dict) else {}


def _classes_of(spec: Dict[str, Any]) -> Optional[Sequence[str]]:
    """Return the names of the classes in a description; None if it has none."""
    classes = spec.get("classes")
    is_names = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    return classes if is_names else None


def _warn_of_other_settings(net: mx.gluon.HybridBlock, spec: Dict[str, Any], path: str) -> None:
    """Warn of settings with which the weights were trained and which the network does not have."""
    if not spec or not isinstance(net, FasterRCNN):
        return
    try:
        trained = ModelSpec.from_dict(spec).config
    except InputError:
        # The description of another version, or of other software.
        return
    differences = []
    for name in LEARNED_WITH:
        current, wanted = getattr(net.config, name), getattr(trained, name)
        if current != wanted:
            differences.append(f"{name} is {current} and was {wanted}")
    if differences:
        log.warning(
            "%s: the weights were trained with other settings: %s. The network detects worse until "
            "it is trained on; model_zoo.from_checkpoint(%r) opens it as it was trained",
            path,
            "; ".join(differences),
            str(Path(path).with_suffix(".json")),
        )


def _with_shared_classes(
    net: mx.gluon.HybridBlock, arrays: Arrays, classes: Sequence[str], path: str
) -> Arrays:
    """Replace the rows of other classes by the network's own, and warn of it."""
    shared = share_classes(classes, net.classes)
    if shared is None:
        return arrays
    row_count = np.size(arrays.get(f"{SCORE_LAYER}bias", ())) - 1
    if row_count not in (-1, len(classes)) or len(set(classes)) < len(classes):
        raise InputError(
            f"{path} has rows of {row_count} classes, and the .json beside it names {len(classes)} "
            f"({first_few(classes)}); one of the files was altered or is of another network"
        )
    arranged = dict(arrays)
    for name, parameter in net._collect_params_with_prefix().items():
        stored = arrays.get(name)
        # Another difference than that of rows is an error, which the comparison reports.
        if not name.startswith(CLASS_LAYERS) or stored is None:
            continue
        if stored.shape[1:] == tuple(parameter.shape[1:]):
            wanted = class_layer_rows(name, len(classes))
            if len(stored) != wanted:
                raise InputError(
                    f"{path}: {name} has {len(stored)} rows, and would have {wanted} for the "
                    f"{len(classes)} classes that the .json beside it names; one of the files was "
                    "altered or is of another network"
                )
            current = parameter.data(parameter.list_ctx()[0]).asnumpy()
            arranged[name] = place_shared_rows(name, stored, current, shared)
    log.warning("%s: %s", path, shared.note())
    return arranged


def _with_mxnet_layer_names(arrays: Arrays) -> Arrays:
    """Rename structural names of an MXNet ResNet v2 to layer names; return other names as they are.

    "features.1.weight" becomes "conv0_weight".
    """
    # Only a network of the same depth has the same names, and it also knows its layers' names. The
    # networks are not initialized, so that building them is cheap.
    for depth in (18, 34, 50, 101):
        network = mx.gluon.model_zoo.vision.get_resnet(2, depth)
        parameters = network._collect_params_with_prefix()
        if set(parameters) != set(arrays):
            continue
        renamed = {}
        for structural_name, array in arrays.items():
            layer_name = parameters[structural_name].name[len(network.prefix) :]
            renamed[layer_name] = array
        return renamed
    return arrays


def _parameters_named_as_in(arrays: Arrays, block: mx.gluon.HybridBlock) -> Parameters:
    """Collect the parameters of a block under the names that a file uses for them."""
    parameters = block._collect_params_with_prefix()
    has_mxnet_names = any(name.startswith("stage") for name in arrays)
    if not has_mxnet_names or not isinstance(block, (ResNetV2, ResNetV2Top)):
        return parameters
    names_in_file = mxnet_names(block)
    renamed = {}
    for name, parameter in parameters.items():
        renamed[names_in_file[name]] = parameter
    return renamed


def _split_arrays(
    arrays: Arrays, backbone_parameters: Parameters, has_fourth_stage: bool
) -> Tuple[Arrays, Arrays]:
    """Split a file into the arrays of the backbone and of the head, without the classifier."""
    backbone_arrays = {}
    stage_arrays = {}
    for name, array in arrays.items():
        if has_fourth_stage and name.startswith(FOURTH_STAGE):
            stage_arrays[name] = array
        elif name in backbone_parameters or not name.startswith(CLASSIFIER):
            backbone_arrays[name] = array
    return backbone_arrays, stage_arrays


def _wrong_network(
    path: str, mismatches: Mismatches, names: Iterable[str], own_hint: str
) -> InputError:
    """Make the error for a file that does not fit; hint at the codebase that has such names.

    ``own_hint`` is the way out for a file of a detector of this package.
    """
    hint = ""
    names = list(names)
    codebases = looks_like(names)
    foreign = describe_foreign(names)
    if foreign is not None:
        return InputError(f"{path}: {foreign}")
    rows = [phrase for phrase in mismatches.phrases["misshapen"] if phrase.startswith(CLASS_LAYERS)]
    if rows and len(rows) == sum(map(len, mismatches.phrases.values())):
        hint = (
            ". Only the numbers of classes differ: give classes= as the file has them, then"
            " net.reset_class(...) changes them; or keep the checkpoint's .json beside the file"
        )
    elif has_own_names(names):
        hint = own_hint
    if codebases:
        hint = (
            f". The names are those of {' or '.join(codebases)}: convert the file with"
            f" scripts/convert.py or gluonnorm.conversion.load(net, path, {codebases[0]!r})"
        )
    return InputError(f"{path}: weights of another network: {mismatches}{hint}")


def _assign(parameters: Parameters, arrays: Arrays) -> None:
    """Give parameters their values; the arrays are converted to the parameters' dtypes."""
    for name, parameter in parameters.items():
        parameter.set_data(mx.nd.array(arrays[name], dtype=parameter.dtype))
