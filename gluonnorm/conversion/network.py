"""What the converters must know of a network beyond the names and shapes of its parameters."""
from typing import Dict, Iterator, Optional, Tuple

from gluonnorm.conversion.errors import ConversionError

from mxnet.gluon import Block, Parameter, nn


def layers(net: Block, name: str = "") -> Iterator[Tuple[str, Block]]:
    """``net`` and everything in it, each with its structural name."""
    yield name, net
    for child, block in net._children.items():
        yield from layers(block, f"{name}.{child}" if name else child)


def live_norms(net: Block) -> Tuple[str, ...]:
    """Structural names of the layers whose running statistics move in training."""
    return tuple(name for name, block in layers(net)
                 if isinstance(block, nn.BatchNorm) and not block._kwargs["use_global_stats"])


def stride_on(net: Block) -> Optional[str]:
    """"conv1" or "conv2": which convolution of a bottleneck block halves the map. None without such blocks."""
    for _, block in layers(net):
        if all(isinstance(getattr(block, f"conv{i}", None), nn.Conv2D) for i in (1, 2, 3)):
            for name in ("conv1", "conv2"):
                if max(getattr(block, name)._kwargs["stride"]) > 1:
                    return name
    return None


def parameters(net: Block) -> Dict[str, Parameter]:
    """All parameters by structural name. Raises ConversionError where one cannot take values yet."""
    found = net._collect_params_with_prefix()
    raw = [name for name, parameter in found.items() if parameter._data is None and not parameter._deferred_init]
    if raw:
        raise ConversionError(f"the network is not initialized ({raw[0]}); call net.initialize() first")
    return found


def backbone_parameters(net: Block) -> Dict[str, Parameter]:
    """Those of the ResNet in a detector, or of a bare one, as {name in a bare backbone: parameter}.

    The res5 head of a C4 detector is the fourth stage of its backbone.
    """
    found = {}
    for name, parameter in parameters(net).items():
        for prefix, bare in (("backbone.backbone.", ""), ("box_head.stage.layer4.", "layer4."),
                             ("box_head.stage.", "layer4."), ("backbone.", "")):
            if name.startswith(prefix):
                name = bare + name[len(prefix):]
                break
        if name.startswith(("conv1.", "bn1.", "layer")):
            found[name] = parameter
    return found
