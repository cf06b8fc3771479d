"""One training step: split the batch over the devices, forward, backward, update."""
from typing import Dict, Optional, Sequence

import mxnet as mx
from mxnet import autograd, gluon


class TrainStep:
    """Callable that makes one update. It only queues work on the devices and never waits for them.

    Parameters
    ----------
    graph : Block
        ``graph(*inputs)`` returns a flat tuple of loss vectors, one value per image, shape (B,), in the order of
        the names in ``graph.loss_names``. Their sum is minimised.
    trainer : gluon.Trainer
        Over the parameters to learn. With ``max_norm`` and several devices, or a distributed store, build it with
        ``update_on_kvstore=False``.
    contexts : sequence of Context
        Those the parameters of ``graph`` live on.
    max_norm : float, optional
        Scale the gradient of the mean loss down to at most this 2-norm, taken over all parameters together.

    Example
    -------
    >>> step = TrainStep(graph, gluon.Trainer(trainable_parameters(net), "sgd"), [mx.cpu()])
    >>> losses = step(images, boxes, labels, batch_size=len(images), rate=0.01)
    """

    def __init__(self, graph: gluon.Block, trainer: gluon.Trainer, contexts: Sequence[mx.Context],
                 max_norm: Optional[float] = None) -> None:
        if not contexts:
            raise ValueError("TrainStep got no contexts; give at least one, such as [mx.cpu()]")
        if max_norm is not None and max_norm <= 0:
            raise ValueError(f"max_norm is {max_norm}; it must be positive, or None for no clipping")
        if len(contexts) > 1 and trainer._kvstore_params["kvstore"] is None:  # the replicas would silently part
            raise ValueError(f"the trainer has no kvstore to add up the gradients of {len(contexts)} contexts; "
                             "build it with kvstore='device'")
        self.graph = graph
        self.trainer = trainer
        self.contexts = list(contexts)
        self.max_norm = max_norm

    def __call__(self, *inputs: mx.nd.NDArray, batch_size: int, rate: float) -> Dict[str, mx.nd.NDArray]:
        """Update the parameters on one batch.

        Parameters
        ----------
        inputs : NDArrays
            Those of ``graph``; axis 0 of each is the image, B >= 1 of them, as few as one for several devices.
        batch_size : int
            What the summed gradient is divided by: the images of the batch, over all processes.
        rate : float
            Learning rate of this update.

        Returns
        -------
        dict of str to NDArray
            Loss vector (B,) of each name, on the first context, in the order of the batch; possibly still in flight.
        """
        count = inputs[0].shape[0]
        if count < 1:
            raise ValueError("the batch holds no images; give at least one")
        parts = zip(*(self._split(array) for array in inputs))
        losses, totals = [], []
        with autograd.record():
            for index, part in enumerate(parts):
                vectors = self.graph(*part)
                if len(vectors) != len(self.graph.loss_names):
                    raise ValueError(f"the graph returned {len(vectors)} losses for the names {self.graph.loss_names}")
                total = mx.nd.add_n(*vectors)
                if index < count:
                    losses.append(vectors)
                    totals.append(total)
                else:
                    totals.append(total * 0)
        autograd.backward(totals)
        self._update(batch_size, rate)
        home = self.contexts[0]
        return {name: mx.nd.concat(*(vector.as_in_context(home) for vector in vectors), dim=0)
                for name, vectors in zip(self.graph.loss_names, zip(*losses))}

    def _split(self, array: mx.nd.NDArray) -> Sequence[mx.nd.NDArray]:
        """Slices of ``array``, one for each context.

        Every replica has to take part in the update, and MXNet has no empty arrays: a context with no image of its
        own gets the first one again, and the caller gives it weight 0.
        """
        missing = len(self.contexts) - array.shape[0]
        if missing > 0:
            array = mx.nd.concat(array, *[array[:1]] * missing, dim=0)
        return gluon.utils.split_and_load(array, self.contexts, even_split=False)

    def _update(self, batch_size: int, rate: float) -> None:
        self.trainer.set_learning_rate(rate)
        if self.max_norm is None:
            self.trainer.step(batch_size)
            return
        self.trainer.allreduce_grads()
        learned = [p for p in self.trainer._params if p.grad_req != "null"]
        for context in self.contexts:
            # The gradients are sums over the batch until the trainer divides them, so the limit is scaled instead.
            gluon.utils.clip_global_norm([p.grad(context) for p in learned], self.max_norm * batch_size,
                                         check_isfinite=False)
        self.trainer.update(batch_size)
