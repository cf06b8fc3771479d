"""Read several feature maps of any Gluon network, at layers that are named."""

from typing import Any, Dict, List, Sequence, Set, Union

from gluonnorm.backbones.base import Backbone
from gluonnorm.backbones.sequential import measure_maps
from gluonnorm.errors import InputError, first_few
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import HybridBlock

Tap = Union[int, str, HybridBlock]


class TappedBackbone(Backbone):
    """Any network as a backbone with several maps: the outputs of the layers that are tapped.

    The network runs as it is, up to the last of these layers. Layers whose parameters no map
    depends on, such as a classifier, are taken off the network, so that they are neither saved
    nor trained. Each layer of the network is a stage for ``freeze_at``.

    Parameters
    ----------
    features : mxnet.gluon.HybridBlock
        Takes images (N, 3, H, W).
    taps : sequence of int, str or mxnet.gluon.HybridBlock
        The layers whose outputs are the maps, finest first: the index of a layer of a sequence,
        the name of a layer, with dots for layers within layers ("layer1", "stage2.3"), or the
        layer itself. Strides and channels are measured, by shape inference.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Raises
    ------
    InputError
        There is no such layer, or its output is no feature map, or the strides do not grow, or a
        map is too small beside the finer one for a pyramid.

    Examples
    --------
    >>> from mxnet.gluon.model_zoo import vision
    >>> backbone = TappedBackbone(vision.resnet18_v1().features, taps=(4, 5, 6, 7))
    >>> backbone.strides, backbone.channels
    ((4, 8, 16, 32), (64, 128, 256, 512))
    """

    def __init__(self, features: HybridBlock, taps: Sequence[Tap], **kwargs: Any) -> None:
        if isinstance(taps, (int, str, HybridBlock)) or not len(taps):
            raise InputError(f"taps is {taps!r}; give a sequence of layers, finest first")
        names = [_tap_name(features, tap) for tap in taps]

        def make_maps(images: Tensor) -> List[Tensor]:
            return _run_to_taps(features, names, images)

        strides, channels, heights = measure_maps(make_maps, features)
        if list(strides) != sorted(set(strides)):
            raise InputError(
                f"taps {tuple(taps)!r} give maps of strides {tuple(strides)}; name layers whose "
                "strides grow, finest first"
            )
        _check_heights(taps, strides, heights)
        super().__init__(strides=strides, channels=channels, **kwargs)
        inputs = mx.sym.Group(make_maps(mx.sym.var("data"))).list_inputs()
        _take_off_unused(features, set(inputs))
        self.features = features
        # Names, because Gluon warns of a list of layers that are no children.
        self._tap_names = names

    def stages(self) -> List[List[HybridBlock]]:
        """List the layers of the network, each as a stage.

        Returns
        -------
        list of list of mxnet.gluon.HybridBlock
            As in :meth:`Backbone.stages`.
        """
        return [[layer] for layer in self.features._children.values()]

    def hybrid_forward(self, F: Any, x: Tensor) -> List[Tensor]:
        return _run_to_taps(self.features, self._tap_names, x)


def _check_heights(taps: Sequence[Tap], strides: Sequence[int], heights: Sequence[int]) -> None:
    """Refuse maps of which one, enlarged to the stride of the finer one, does not cover it."""
    places = list(zip(strides, heights))
    for (fine_stride, fine_height), (coarse_stride, coarse_height) in zip(places, places[1:]):
        if coarse_height * coarse_stride < fine_height * fine_stride:
            raise InputError(
                f"taps {tuple(taps)!r} give maps {tuple(heights)} cells high of strides "
                f"{tuple(strides)}: {coarse_height} cells of stride {coarse_stride} do not cover "
                f"{fine_height} of stride {fine_stride}, which a pyramid needs; tap a network "
                "whose convolutions and poolings pad their input"
            )


class _LastTapReached(Exception):
    """Ends the pass through a network: all maps are there."""


def _run_to_taps(features: HybridBlock, names: Sequence[str], images: Tensor) -> List[Tensor]:
    """Run a network until all tapped layers have run, and return their outputs."""
    layers = _layer_names(features, "")
    tapped = [layers[name] for name in names]
    maps: Dict[int, Tensor] = {}

    def keep(layer: HybridBlock, inputs: Any, output: Tensor) -> None:
        maps[id(layer)] = output
        if len(maps) == len(tapped):
            raise _LastTapReached()

    # The hooks exist during the pass only, because Gluon's hybridize warns of lasting ones.
    handles = [layer.register_forward_hook(keep) for layer in tapped]
    try:
        features(images)
    except _LastTapReached:
        pass
    finally:
        for handle in handles:
            handle.detach()
    outputs = [maps.get(id(layer)) for layer in tapped]
    # The cached graph of a layer runs no layer below it, and makes its maps of symbols.
    if not all(isinstance(output, type(images)) for output in outputs):
        raise InputError(
            f"the tapped layers of {features.name} did not run one by one, or return several "
            "arrays; tap layers with one output that the network always runs, and hybridize the "
            "backbone or the detector, not the layers below"
        )
    return outputs


def _tap_name(features: HybridBlock, tap: Tap) -> str:
    """Return the name with dots of a layer that is given by its index, its name, or itself."""
    layers = _layer_names(features, "")
    if isinstance(tap, HybridBlock):
        for name, layer in layers.items():
            if layer is tap:
                return name
        raise InputError(f"tap {tap.name} is no layer of {features.name}")
    if str(tap) not in layers:
        direct = list(features._children)
        raise InputError(
            f"{features.name} has no layer {tap!r} to tap; its layers are {first_few(direct, 40)}, "
            "and names with dots lead to layers within them"
        )
    return str(tap)


def _layer_names(block: HybridBlock, prefix: str) -> Dict[str, HybridBlock]:
    """Collect all layers within a block by their names with dots."""
    names = {}
    for name, layer in block._children.items():
        names[prefix + name] = layer
        names.update(_layer_names(layer, f"{prefix}{name}."))
    return names


def _take_off_unused(block: HybridBlock, used: Set[str]) -> None:
    """Take the layers off a block that have parameters of which none is used."""
    for name, layer in list(block._children.items()):
        parameters = set(layer.collect_params())
        if parameters and not parameters & used:
            del block._children[name]
        else:
            _take_off_unused(layer, used)
