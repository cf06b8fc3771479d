"""Inspect a network for the conversion: its parameters, live norms, and bottleneck stride."""

from typing import Dict, Iterator, Optional, Tuple

from gluonnorm.conversion.errors import ConversionError

from mxnet.gluon import Block, Parameter, nn

# The beginning of a ResNet's parameter names in a detector -> their beginning in a bare ResNet. The
# first entry that fits is used. A pyramid wraps the ResNet. The box head of a C4 detector is the
# fourth stage of its backbone.
BACKBONE_PREFIXES = (
    ("backbone.backbone.", ""),
    ("box_head.stage.layer4.", "layer4."),
    ("box_head.stage.", "layer4."),
    ("backbone.", ""),
)
# Beginnings of the parameter names of a bare ResNet, and of a backbone that wraps a Gluon network.
BACKBONE_LAYERS = ("conv1.", "bn1.", "layer", "features.")


def named_blocks(net: Block, name: str = "") -> Iterator[Tuple[str, Block]]:
    """Iterate over a network and all blocks in it.

    Parameters
    ----------
    net : Block
        The network.
    name : str
        Its own structural name.

    Yields
    ------
    tuple of str and Block
        The structural name of each block, and the block; parents before their children.
    """
    yield name, net
    for child_name, child in net._children.items():
        yield from named_blocks(child, f"{name}.{child_name}" if name else child_name)


def live_norms(net: Block) -> Tuple[str, ...]:
    """Find the BatchNorm layers whose running statistics move in training.

    Parameters
    ----------
    net : Block
        The network.

    Returns
    -------
    tuple of str
        The structural names of these layers.
    """
    return tuple(name for name, block in named_blocks(net) if _is_live_norm(block))


def _is_live_norm(block: Block) -> bool:
    """Tell whether a block is a BatchNorm that updates its statistics."""
    return isinstance(block, nn.BatchNorm) and not block._kwargs["use_global_stats"]


def stride_conv(net: Block) -> Optional[str]:
    """Find the convolution of a bottleneck block that halves the feature map.

    Parameters
    ----------
    net : Block
        The network.

    Returns
    -------
    str or None
        "conv1" (the first 1x1), "conv2" (the 3x3), or None for a network without bottleneck blocks.
    """
    for _, block in named_blocks(net):
        if not _is_bottleneck(block):
            continue
        for name in ("conv1", "conv2"):
            convolution = getattr(block, name)
            if max(convolution._kwargs["stride"]) > 1:
                return name
    return None


def _is_bottleneck(block: Block) -> bool:
    """Tell whether a block has the three convolutions of a bottleneck block."""
    names = ("conv1", "conv2", "conv3")
    return all(isinstance(getattr(block, name, None), nn.Conv2D) for name in names)


def network_parameters(net: Block) -> Dict[str, Parameter]:
    """Collect all parameters of a network.

    Parameters
    ----------
    net : Block
        The network, initialized.

    Returns
    -------
    dict of str to Parameter
        The parameters by structural name.

    Raises
    ------
    ConversionError
        A parameter is not initialized, so it cannot take values yet.
    """
    parameters = net._collect_params_with_prefix()
    for name, parameter in parameters.items():
        if parameter._data is None and not parameter._deferred_init:
            raise ConversionError(
                f"the network is not initialized ({name}); call net.initialize() first"
            )
    return parameters


def backbone_parameters(net: Block) -> Dict[str, Parameter]:
    """Collect the parameters of the backbone in a detector.

    Parameters
    ----------
    net : Block
        A detector or a bare ResNet, initialized.

    Returns
    -------
    dict of str to Parameter
        The parameters by the names that they have in a bare ResNet.

    Raises
    ------
    ConversionError
        A parameter is not initialized.
    """
    parameters = {}
    for name, parameter in network_parameters(net).items():
        bare_name = _name_in_bare_backbone(name)
        if bare_name.startswith(BACKBONE_LAYERS):
            parameters[bare_name] = parameter
    return parameters


def _name_in_bare_backbone(name: str) -> str:
    """Translate a name in a detector's backbone; any other name stays as it is."""
    for prefix, bare_prefix in BACKBONE_PREFIXES:
        if name.startswith(prefix):
            return bare_prefix + name[len(prefix) :]
    return name
