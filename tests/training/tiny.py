"""A problem small enough to train in milliseconds, with every source of chance a real one has."""
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import gluonnorm.training as training

import mxnet as mx
import numpy as np
from mxnet import gluon

SAMPLES, BATCH, STEPS_PER_EPOCH = 24, 4, 6
INPUTS = np.random.RandomState(7).randn(SAMPLES, 3).astype(np.float32)
TARGETS = (INPUTS @ np.array([[1.0], [-2.0], [0.5]])).astype(np.float32)
SPEC = {"model": "tiny", "classes": ("red", "white"), "config": {"hidden": 4, "nms_thresh": 0.5}}


class Graph(gluon.Block):
    """Two dense layers with dropout between, and two losses an image."""
    loss_names = ("square", "absolute")

    def __init__(self, hidden: int = 4, dropout: float = 0.5) -> None:
        super().__init__()
        self.hidden = gluon.nn.Dense(hidden, activation="tanh", in_units=3)
        self.dropout = gluon.nn.Dropout(dropout)
        self.out = gluon.nn.Dense(1, in_units=hidden)

    def forward(self, x: mx.nd.NDArray, target: mx.nd.NDArray) -> Tuple[mx.nd.NDArray, mx.nd.NDArray]:
        error = (self.out(self.dropout(self.hidden(x))) - target).reshape(-1)
        return error ** 2, 0.1 * error.abs()


def build(contexts: Sequence[mx.Context] = (mx.cpu(),), seed: int = 3, max_norm: Optional[float] = None,
          kvstore: Optional[str] = "device", update_on_kvstore: Optional[bool] = None,
          optimizer: str = "sgd", **graph_arguments: Any) -> Tuple[Graph, training.TrainStep]:
    """A graph and the step that trains it, the weights drawn from ``seed``."""
    mx.random.seed(seed)
    graph = Graph(**graph_arguments)
    graph.initialize(mx.init.Normal(0.5), ctx=list(contexts))
    options = {"momentum": 0.9, "wd": 1e-3} if optimizer == "sgd" else {"wd": 1e-3}
    trainer = gluon.Trainer(training.trainable_parameters(graph), optimizer, options, kvstore=kvstore,
                            update_on_kvstore=update_on_kvstore)
    return graph, training.TrainStep(graph, trainer, contexts, max_norm)


def batches(epoch: int, skip: int) -> Iterator[Dict[str, Any]]:
    """Shuffled by the epoch, and with noise from NumPy's global state, which the loop seeds."""
    order = np.random.RandomState(epoch).permutation(SAMPLES)
    for index in range(skip, STEPS_PER_EPOCH):
        chosen = order[index * BATCH:(index + 1) * BATCH]
        noise = np.random.randn(BATCH, 3) * 0.1
        yield {"x": INPUTS[chosen] + noise.astype(np.float32), "y": TARGETS[chosen],
               "names": [f"image{i}.jpg" for i in chosen]}


def adapt(batch: Dict[str, Any]) -> Tuple[Any, ...]:
    return mx.nd.array(batch["x"]), mx.nd.array(batch["y"]), batch["names"]


def rate(step: int) -> float:
    return training.warmup_multistep(step, 0.02, milestones=(9, 14), warmup_steps=4)


def make_loop(step: Callable[..., Any], callbacks: Sequence[training.Callback] = (), **changes: Any) -> training.Loop:
    arguments = {"batches": batches, "adapt": adapt, "rate": rate, "steps_per_epoch": STEPS_PER_EPOCH,
                 "batch_size": BATCH, "seed": 11, "callbacks": callbacks, **changes}
    return training.Loop(step, **arguments)


def weights(net: gluon.Block) -> Dict[str, np.ndarray]:
    return {name: parameter.data(parameter.list_ctx()[0]).asnumpy()
            for name, parameter in net._collect_params_with_prefix().items()}


def momenta(trainer: gluon.Trainer) -> List[np.ndarray]:
    updater = trainer._kvstore._updater if trainer._update_on_kvstore else trainer._updaters[0]
    return [updater.states[index].asnumpy() for index in sorted(updater.states)]
