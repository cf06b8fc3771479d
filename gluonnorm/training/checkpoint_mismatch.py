"""What in a checkpoint does not fit the network it is to be loaded into, in words."""
from typing import Any, Dict, List

import mxnet as mx
import numpy as np
from mxnet import gluon


def trainable_parameters(net: gluon.Block) -> List[gluon.Parameter]:
    """Parameters of ``net`` that learn, each once, in structural order.

    Build the ``gluon.Trainer`` over these. The optimizer state is stored by position, and the order Gluon makes of
    ``collect_params()`` depends on name counters of the process: ``dense10_`` sorts before ``dense9_``.
    """
    unique = {id(parameter): parameter for parameter in net._collect_params_with_prefix().values()}
    return [parameter for parameter in unique.values() if parameter.grad_req != "null"]


def trained_names(net: gluon.Block, trainer: gluon.Trainer) -> List[str]:
    """Structural names of the trainer's parameters in its own order, which is how its state is stored."""
    names = {id(parameter): name for name, parameter in net._collect_params_with_prefix().items()}
    return [names.get(id(parameter), parameter.name) for parameter in trainer._params]


def spec_misfits(saved: Any, wanted: Any, field: str = "spec") -> List[str]:
    """One phrase for each field of ``wanted``, nested ones too, whose value in ``saved`` is another."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        return [phrase for key, value in wanted.items()
                for phrase in spec_misfits(saved.get(key), value, f"{field}.{key}")]
    return [] if saved == wanted else [f"{field} is {saved!r} in the checkpoint, {wanted!r} here"]


def weight_misfits(arrays: Dict[str, mx.nd.NDArray], net: gluon.Block) -> List[str]:
    """Missing, unexpected and misshapen arrays, one phrase for each sort that occurs."""
    parameters = net._collect_params_with_prefix()
    missing = [name for name in parameters if name not in arrays]
    unexpected = [name for name in arrays if name not in parameters]
    misshapen = [f"{name} is {_kind(array)} in the checkpoint, {_kind(parameters[name])} here"
                 for name, array in arrays.items() if name in parameters and not _fits(array, parameters[name])]
    return [f"{what}: {some(names)}" for what, names in
            (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen)) if names]


def trainer_misfits(saved: List[str], here: List[str]) -> List[str]:
    """Why the optimizer state of the parameters ``saved`` cannot serve the parameters ``here``."""
    if saved == here:
        return []
    lost, gained = sorted(set(saved) - set(here)), sorted(set(here) - set(saved))
    if not lost and not gained:
        return ["the trainer holds the same parameters in another order; build it over trainable_parameters(net)"]
    return [f"trained in the checkpoint but not here: {some(lost)}; here but not in the checkpoint: {some(gained)}; "
            "freeze the same layers, or load without the trainer"]


def some(names: List[str], limit: int = 10) -> str:
    """The first names, and how many there are besides."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "none"


def _fits(array: mx.nd.NDArray, parameter: gluon.Parameter) -> bool:
    """A parameter not yet initialized may leave its shape, or sizes in it (0), open."""
    shape = parameter.shape or array.shape
    return (len(shape) == len(array.shape) and all(ours in (0, size) for ours, size in zip(shape, array.shape))
            and np.dtype(parameter.dtype) == np.dtype(array.dtype))


def _kind(array: Any) -> str:
    return f"{np.dtype(array.dtype)} {array.shape}"
