"""The parameters of a network in an order that does not depend on the process."""

from typing import List

from mxnet import gluon


def trainable_parameters(net: gluon.Block) -> List[gluon.Parameter]:
    """List the parameters of a network that learn, each once, in structural order.

    Build the ``gluon.Trainer`` over this list, so that its state can be loaded by another process.

    Parameters
    ----------
    net : gluon.Block
        The network.

    Returns
    -------
    list of gluon.Parameter
        The parameters whose ``grad_req`` is not "null".
    """
    # Gluon sorts collect_params() by names with a counter of the process: dense10_ comes before
    # dense9_, so the order depends on how many layers were made before. A trainer stores its state
    # by position, and would give it to other parameters.
    structural = net._collect_params_with_prefix()
    unique = {id(parameter): parameter for parameter in structural.values()}
    return [parameter for parameter in unique.values() if parameter.grad_req != "null"]


def trainer_parameter_names(net: gluon.Block, trainer: gluon.Trainer) -> List[str]:
    """List the structural names of a trainer's parameters, in the order of its stored state.

    Parameters
    ----------
    net : gluon.Block
        The network.
    trainer : gluon.Trainer
        The trainer.

    Returns
    -------
    list of str
        The names; Gluon's own name for a parameter that is not in the network.
    """
    names = {id(parameter): name for name, parameter in net._collect_params_with_prefix().items()}
    return [names.get(id(parameter), parameter.name) for parameter in trainer._params]
