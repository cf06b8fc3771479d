"""A regression that trains in milliseconds, with shuffled batches, random noise and dropout."""

from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Type

import gluonnorm.training as training

import mxnet as mx
import numpy as np
from mxnet import gluon

SAMPLES = 24
BATCH = 4
STEPS_PER_EPOCH = 6
INPUTS = np.random.RandomState(7).randn(SAMPLES, 3).astype(np.float32)
TARGETS = (INPUTS @ np.array([[1.0], [-2.0], [0.5]])).astype(np.float32)
SPEC = {
    "model": "tiny",
    "classes": ("red", "white"),
    "config": {"hidden": 4, "nms_thresh": 0.5},
}


class Graph(gluon.Block):
    """Two dense layers with dropout between, and two losses for each sample.

    Parameters
    ----------
    hidden : int
        Units of the first layer.
    dropout : float
        The fraction of the hidden units that dropout sets to 0.
    """

    loss_names = ("square", "absolute")

    def __init__(self, hidden: int = 4, dropout: float = 0.5) -> None:
        super().__init__()
        self.hidden = gluon.nn.Dense(hidden, activation="tanh", in_units=3)
        self.dropout = gluon.nn.Dropout(dropout)
        self.out = gluon.nn.Dense(1, in_units=hidden)

    def forward(
        self, samples: mx.nd.NDArray, targets: mx.nd.NDArray
    ) -> Tuple[mx.nd.NDArray, mx.nd.NDArray]:
        """Compute the losses of samples (B, 3) with targets (B, 1): two vectors (B,)."""
        hidden = self.pass_on(self.dropout(self.hidden(samples)))
        error = (self.out(hidden) - targets).reshape(-1)
        return error**2, 0.1 * error.abs()

    def pass_on(self, hidden: mx.nd.NDArray) -> mx.nd.NDArray:
        """Return what the second layer reads."""
        return hidden


class Float16Graph(Graph):
    """The same graph, in which values and gradients between the layers are float16."""

    def pass_on(self, hidden: mx.nd.NDArray) -> mx.nd.NDArray:
        """Return what the second layer reads."""
        return hidden.astype("float16").astype("float32")


def build(
    contexts: Sequence[mx.Context] = (mx.cpu(),),
    seed: int = 3,
    max_norm: Optional[float] = None,
    kvstore: Optional[str] = "device",
    update_on_kvstore: Optional[bool] = None,
    optimizer: str = "sgd",
    parts: int = 1,
    loss_scale: Optional[training.LossScale] = None,
    graph_class: Type[Graph] = Graph,
    **graph_arguments: Any,
) -> Tuple[Graph, training.TrainStep]:
    """Build a graph with random weights, and the step that trains it."""
    mx.random.seed(seed)
    graph = graph_class(**graph_arguments)
    graph.initialize(mx.init.Normal(0.5), ctx=list(contexts))
    options = {"wd": 1e-3}
    if optimizer == "sgd":
        options["momentum"] = 0.9
    trainer = gluon.Trainer(
        training.trainable_parameters(graph),
        optimizer,
        options,
        kvstore=kvstore,
        update_on_kvstore=update_on_kvstore,
    )
    return graph, training.TrainStep(graph, trainer, contexts, max_norm, parts, loss_scale)


def batches(epoch: int, skip: int) -> Iterator[Dict[str, Any]]:
    """Yield the batches of an epoch, shuffled by its number, without the first ``skip``.

    The noise in them comes from NumPy's global state, which the loop seeds.
    """
    order = np.random.RandomState(epoch).permutation(SAMPLES)
    for index in range(skip, STEPS_PER_EPOCH):
        chosen = order[index * BATCH : (index + 1) * BATCH]
        noise = np.random.randn(BATCH, 3) * 0.1
        yield {
            "x": INPUTS[chosen] + noise.astype(np.float32),
            "y": TARGETS[chosen],
            "names": [f"image{sample}.jpg" for sample in chosen],
        }


def adapt(batch: Dict[str, Any]) -> Tuple[Any, ...]:
    """Turn a batch into the inputs of the step, and the names."""
    return mx.nd.array(batch["x"]), mx.nd.array(batch["y"]), batch["names"]


def rate(step: int) -> float:
    """Return the learning rate of a step."""
    return training.warmup_multistep(step, 0.02, milestones=(9, 14), warmup_steps=4)


def make_loop(
    step: Callable[..., Any], callbacks: Sequence[training.Callback] = (), **changes: Any
) -> training.Loop:
    """Make a loop over the tiny problem; ``changes`` replace arguments of ``Loop``."""
    arguments = {
        "batches": batches,
        "adapt": adapt,
        "rate": rate,
        "steps_per_epoch": STEPS_PER_EPOCH,
        "batch_size": BATCH,
        "seed": 11,
        "callbacks": callbacks,
    }
    arguments.update(changes)
    return training.Loop(step, **arguments)


def weights(net: gluon.Block) -> Dict[str, np.ndarray]:
    """Return the values of a network's parameters, by structural name."""
    values = {}
    for name, parameter in net._collect_params_with_prefix().items():
        first_context = parameter.list_ctx()[0]
        values[name] = parameter.data(first_context).asnumpy()
    return values


def momenta(trainer: gluon.Trainer) -> List[np.ndarray]:
    """Return the momentum of each parameter of a trainer with SGD."""
    if trainer._update_on_kvstore:
        updater = trainer._kvstore._updater
    else:
        updater = trainer._updaters[0]
    return [updater.states[index].asnumpy() for index in sorted(updater.states)]
