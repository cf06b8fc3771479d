"""The names of ResNeSt and MobileNet in GluonCV's files.

A classifier has structural names. A pyramid has flat ones, which number convolutions and norms: of
MobileNet through the network, of ResNeSt through the stem and through each stage. A block of
ResNeSt has five convolutions and four norms, because its second convolution is a split attention.
"""

import re
from typing import List, NamedTuple, Tuple

from gluonnorm.conversion.layouts import Arrays
from gluonnorm.conversion.rules import Rule, Shapes

# The parts of a block of ResNeSt, in the order in which flat names count them.
BLOCK_CONVS = ("conv1", "conv2.conv", "conv2.fc1", "conv2.fc2", "conv3")
BLOCK_NORMS = ("bn1", "conv2.bn", "conv2.bn1", "bn3")
NORM_WORDS = ("syncbatchnorm", "{norm}")
MOBILENET_MARK = "features.0.weight"
RESNEST_MARK = "features.conv1.0.weight"
# Convolution, norm and ReLU take turns.
MOBILENET_PERIOD = 3
MOBILENET_CONVS = 27
NUMBERED_MOBILENET = re.compile(r"features\.mobilenet\d+_")


class _Layer(NamedTuple):
    """A layer of a classifier: the pattern of its name, and its template and flat names."""

    pattern: str
    template: str
    flat: Tuple[str, ...]


def other_backbone_rules(shapes: Shapes, has_pyramid: bool) -> List[Rule]:
    """Make the rules of a backbone that is no ResNet.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The shapes of the network's parameters by name.
    has_pyramid : bool
        Whether the network is a detector with a pyramid.

    Returns
    -------
    list of Rule
        The rules; empty for a ResNet.
    """
    layers: List[_Layer] = []
    if any(name.endswith(RESNEST_MARK) for name in shapes):
        layers = _resnest_layers()
    elif any(name.endswith(MOBILENET_MARK) for name in shapes):
        layers = _mobilenet_layers()
    rules = []
    for pattern, template, flat in layers:
        structural = (template + ".{leaf}",)
        flat_templates = tuple(f"features.{name}_{{leaf}}" for name in flat)
        # The first template is the one that is saved: that of the same type of network.
        templates = flat_templates + structural if has_pyramid else structural + flat_templates
        rules.append(Rule(r"(?:backbone\.)*features\." + pattern, templates))
    return rules


def with_first_mobilenet(arrays: Arrays) -> Arrays:
    """Rename the layers of a MobileNet as those of the first one that a process makes.

    Gluon counts the MobileNets of a process, and flat names begin with the number.

    Parameters
    ----------
    arrays : dict of str to numpy.ndarray
        The arrays of a file.

    Returns
    -------
    dict of str to numpy.ndarray
        The same arrays, with the number 0.
    """
    renamed = {}
    for name, array in arrays.items():
        renamed[NUMBERED_MOBILENET.sub("features.mobilenet0_", name)] = array
    return renamed


def _mobilenet_layers() -> List[_Layer]:
    """List the convolutions of MobileNet, each with its norm."""
    layers = []
    for number in range(MOBILENET_CONVS):
        conv = MOBILENET_PERIOD * number
        norm = conv + 1
        norms = _flat_norms("mobilenet0_", str(number))
        layers.append(_Layer(str(conv), f"features.{conv}", (f"mobilenet0_conv{number}",)))
        layers.append(_Layer(str(norm), f"features.{norm}", norms))
    return layers


def _resnest_layers() -> List[_Layer]:
    """List the layers of ResNeSt's stem and blocks."""
    # The stem is a sequence of convolution, norm and ReLU, ended by a convolution.
    layers = [_Layer("bn1", "bn1", _flat_norms("resnest_", "2"))]
    for number in range(3):
        conv = f"conv1.{3 * number}"
        norm = f"conv1.{3 * number + 1}"
        norms = _flat_norms("resnest_", str(number))
        layers.append(_Layer(_escaped(conv), conv, (f"resnest_conv{number}",)))
        layers.append(_Layer(_escaped(norm), norm, norms))

    block = r"layer(?P<stage>\d)\.(?P<block>\d+)\."
    block_template = "layer{stage}.{block}."
    stage = "resnest_layers{stage}_"
    for index, name in enumerate(BLOCK_CONVS):
        count = f"{{block*{len(BLOCK_CONVS)}+{index}}}"
        conv_name = f"{stage}conv{count}"
        layers.append(_Layer(block + _escaped(name), block_template + name, (conv_name,)))
    for index, name in enumerate(BLOCK_NORMS):
        count = f"{{block*{len(BLOCK_NORMS)}+{index}}}"
        norms = _flat_norms(stage, count)
        layers.append(_Layer(block + _escaped(name), block_template + name, norms))
    # An average pooling comes first in a shortcut.
    shortcut = block_template + "downsample."
    norms = _flat_norms("resnest_down{stage}_", "0")
    conv_names = ("resnest_down{stage}_conv0",)
    layers.append(_Layer(block + r"downsample\.1", shortcut + "1", conv_names))
    layers.append(_Layer(block + r"downsample\.2", shortcut + "2", norms))
    return layers


def _flat_norms(prefix: str, number: str) -> Tuple[str, ...]:
    """Name a norm in the flat names of a pyramid, whose first word is the one that is saved."""
    return tuple(f"{prefix}{word}{number}" for word in NORM_WORDS)


def _escaped(name: str) -> str:
    """Return the pattern of a name with dots."""
    return name.replace(".", r"\.")
