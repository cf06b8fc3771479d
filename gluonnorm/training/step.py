"""One training step: divide the batch, split it over the devices, forward, backward, update."""

from collections import defaultdict
from typing import Any, Dict, List, Optional, Protocol, Sequence, Tuple

from gluonnorm.errors import InputError
from gluonnorm.training.loss_scale import LossScale, are_finite

import mxnet as mx
from mxnet import autograd, gluon


class LossGraph(Protocol):
    """Callable that computes the losses of a batch from its inputs, such as a ``gluon.Block``."""

    @property
    def loss_names(self) -> Sequence[str]:
        """Names of the losses, in the order in which a call returns them."""

    def __call__(self, *inputs: mx.nd.NDArray) -> Sequence[mx.nd.NDArray]:
        """Compute the losses.

        Parameters
        ----------
        *inputs : NDArray
            The images and their labels, with the image on axis 0.

        Returns
        -------
        sequence of NDArray
            A loss vector of shape (B,) for each name, with one value for each image.
        """


class TrainStep:
    """Callable that makes one update. It queues work on the devices, and does not wait for it.

    Two things make it wait for gradients: several parts of a batch, and a loss scale.

    Parameters
    ----------
    graph : LossGraph
        Computes the losses. Their sum is minimized.
    trainer : gluon.Trainer
        A trainer over the parameters to learn. With ``max_norm`` and several devices, a loss scale
        or a distributed store, build it with ``update_on_kvstore=False``. The weights that a
        distributed store starts from are those of worker 0 at this moment.
    contexts : sequence of Context
        The devices that hold the parameters of ``graph``, at least one.
    max_norm : float, optional
        The largest 2-norm of the gradient of the mean loss, over all parameters together. A larger
        gradient is scaled down to it. ``math.inf`` only measures the gradient.
    parts : int
        The number of parts into which a batch is divided. Their gradients are computed one after
        the other and added up. The update is that of the complete batch, with the memory of a part
        and a second copy of the gradients. Norms with live statistics compute them over a part,
        which has fewer images.
    loss_scale : LossScale, optional
        For a graph that computes in float16. A step whose gradients overflow makes no update.

    Attributes
    ----------
    gradient_norm : NDArray or None
        (1,) the 2-norm that ``max_norm`` limits, of the last update and before it was scaled. None
        without ``max_norm``, before the first update, and after a step that made no update.

    Raises
    ------
    InputError
        An argument is out of range, or the trainer does not fit.

    Examples
    --------
    >>> trainer = gluon.Trainer(trainable_parameters(net), "sgd")          # doctest: +SKIP
    >>> step = TrainStep(graph, trainer, [mx.cpu()])                       # doctest: +SKIP
    >>> losses = step(images, labels, batch_size=2, rate=0.01)             # doctest: +SKIP
    """

    def __init__(
        self,
        graph: LossGraph,
        trainer: gluon.Trainer,
        contexts: Sequence[mx.Context],
        max_norm: Optional[float] = None,
        parts: int = 1,
        loss_scale: Optional[LossScale] = None,
    ) -> None:
        if not contexts:
            raise InputError("TrainStep got no contexts; give at least one, such as [mx.cpu()]")
        if max_norm is not None and max_norm <= 0:
            raise InputError(
                f"max_norm is {max_norm}; it must be positive, or None for no clipping"
            )
        if parts < 1:
            raise InputError(f"parts is {parts}; a batch has at least 1")
        reads_gradients = loss_scale is not None or (max_norm is not None and len(contexts) > 1)
        # A store that updates the weights does so before anybody has seen the gradients.
        if reads_gradients and trainer._kvstore_params["update_on_kvstore"] is not False:
            raise InputError(
                "with a loss scale or max_norm and several contexts the step looks at the "
                "gradients before the update; build the trainer with update_on_kvstore=False"
            )
        # Without a kvstore the trainer of MXNet 1.9.1 updates each replica with its own gradient.
        # The replicas would become different networks, without any error.
        if len(contexts) > 1 and trainer._kvstore_params["kvstore"] is None:
            raise InputError(
                f"the trainer has no kvstore to add up the gradients of {len(contexts)} contexts; "
                "build it with kvstore='device'"
            )
        _start_distributed_store(trainer)
        self.graph = graph
        self.trainer = trainer
        self.contexts = list(contexts)
        self.max_norm = max_norm
        self.parts = parts
        self.loss_scale = loss_scale
        self.gradient_norm: Optional[mx.nd.NDArray] = None

    def __call__(
        self, *inputs: mx.nd.NDArray, batch_size: int, rate: float, counts: bool = True
    ) -> Dict[str, mx.nd.NDArray]:
        """Update the parameters on one batch.

        Parameters
        ----------
        *inputs : NDArray
            The inputs of the graph, with B >= 1 images on axis 0. There may be fewer images than
            devices.
        batch_size : int
            The number that divides the summed gradient: the images of the batch, over all
            processes.
        rate : float
            The learning rate of this update.
        counts : bool
            False gives the batch weight 0. A worker of a distributed run takes part in the update
            in this way when it has no image of its own.

        Returns
        -------
        dict of str to NDArray
            The loss vector (B,) of each name, without the loss scale, on the first device, in the
            order of the batch. MXNet may still be computing its values.

        Raises
        ------
        InputError
            The batch is empty, or the graph returns another number of losses than it has names.
        NonFiniteGradient
            The gradients are not finite at a loss scale of 1.
        """
        image_count = inputs[0].shape[0]
        if image_count < 1:
            raise InputError("the batch holds no images; give at least one")
        vectors_of_parts: Dict[str, List[mx.nd.NDArray]] = defaultdict(list)
        sums: List[mx.nd.NDArray] = []
        for number, part in enumerate(part_slices(image_count, self.parts)):
            if number:
                sums = self._add_to_sums(sums)
            vectors = self._compute_gradients([array[part] for array in inputs], counts)
            for name, vector in vectors.items():
                vectors_of_parts[name].append(vector)
        if sums:  # a single part has none
            for gradient, sum_ in zip(self._all_gradients(), sums):
                gradient += sum_
        self._update(batch_size, rate)
        return {name: mx.nd.concat(*parts, dim=0) for name, parts in vectors_of_parts.items()}

    def state(self) -> Dict[str, Any]:
        """Return what a checkpoint must hold beside weights and optimizer.

        Returns
        -------
        dict of str to any
            ``loss_scale`` if the step has one, or nothing; JSON can hold it.
        """
        return {} if self.loss_scale is None else {"loss_scale": self.loss_scale.state()}

    def restore(self, state: Dict[str, Any]) -> None:
        """Take over the state of an earlier run, as far as it fits this step.

        Parameters
        ----------
        state : dict of str to any
            The state in a checkpoint. One without a loss scale leaves that of this step as it is.
        """
        if self.loss_scale is not None and "loss_scale" in state:
            self.loss_scale.restore(state["loss_scale"])

    def _trained(self) -> List[gluon.Parameter]:
        """List the parameters that get a gradient."""
        return [parameter for parameter in self.trainer._params if parameter.grad_req != "null"]

    def _all_gradients(self) -> List[mx.nd.NDArray]:
        """List the gradients on all devices."""
        gradients = []
        for context in self.contexts:
            gradients += self._gradients(context)
        return gradients

    def _add_to_sums(self, sums: List[mx.nd.NDArray]) -> List[mx.nd.NDArray]:
        """Add the gradients of a part to the sums of those before, an empty list at first.

        MXNet can add gradients up by itself (``grad_req="add"``), but not those of ``amp_cast``: in
        bfloat16 such gradients are 0 (MXNet 1.9.1).
        """
        gradients = self._all_gradients()
        if not sums:
            sums = [gradient.copy() for gradient in gradients]
        else:
            for sum_, gradient in zip(sums, gradients):
                sum_ += gradient
        # MXNet would otherwise hold the arrays of all parts that Python has launched.
        for sum_ in sums:
            sum_.wait_to_read()
        return sums

    def _compute_gradients(
        self, inputs: Sequence[mx.nd.NDArray], counts: bool
    ) -> Dict[str, mx.nd.NDArray]:
        """Compute the losses of a part of a batch and their gradients, on all devices."""
        image_count = inputs[0].shape[0]
        slices_per_input = [self._split(array) for array in inputs]
        vectors_per_device = []
        totals = []
        with autograd.record():
            for index, device_inputs in enumerate(zip(*slices_per_input)):
                vectors = self._losses(device_inputs)
                total = mx.nd.add_n(*vectors)
                # A device beyond the last image has the first image again, see _split.
                has_image = index < image_count
                if has_image:
                    vectors_per_device.append(vectors)
                totals.append(self._weighted(total, has_image and counts))
        autograd.backward(totals)
        return self._join(vectors_per_device)

    def _weighted(self, total: mx.nd.NDArray, counts: bool) -> mx.nd.NDArray:
        """Multiply the losses of images by what their gradients are to be multiplied by."""
        if not counts:
            return total * 0
        return total if self.loss_scale is None else total * self.loss_scale.value

    def _split(self, array: mx.nd.NDArray) -> List[mx.nd.NDArray]:
        """Split an input over the devices along axis 0."""
        missing = len(self.contexts) - array.shape[0]
        if missing > 0:
            # Every replica has to take part in the update, and MXNet has no empty arrays. A device
            # without an image of its own gets the first image again, with weight 0 in the loss.
            array = mx.nd.concat(array, *[array[:1]] * missing, dim=0)
        return gluon.utils.split_and_load(array, self.contexts, even_split=False)

    def _losses(self, device_inputs: Tuple[Any, ...]) -> Sequence[mx.nd.NDArray]:
        """Compute the losses on one device."""
        vectors = self.graph(*device_inputs)
        names = self.graph.loss_names
        if len(vectors) != len(names):
            raise InputError(
                f"the graph returned {len(vectors)} losses for the names {names}; name each in "
                "loss_names"
            )
        return vectors

    def _update(self, batch_size: int, rate: float) -> None:
        """Update the parameters with the gradients of all devices."""
        self.trainer.set_learning_rate(rate)
        self.gradient_norm = None
        if self.max_norm is None and self.loss_scale is None:
            self.trainer.step(batch_size)
            return
        self.trainer.allreduce_grads()
        # The gradients are multiples of those of the mean loss until the trainer divides them.
        divisor = float(batch_size)
        if self.loss_scale is not None:
            divisor *= self.loss_scale.value
            # All devices have the same sum of gradients.
            is_finite = are_finite(self._gradients(self.contexts[0]))
            self.loss_scale.update(is_finite)
            if not is_finite:
                return
        if self.max_norm is not None:
            for context in self.contexts:
                norm = gluon.utils.clip_global_norm(
                    self._gradients(context), self.max_norm * divisor, check_isfinite=False
                )
            # All devices have the same sum of gradients.
            self.gradient_norm = norm / divisor
        self.trainer.update(divisor)

    def _gradients(self, context: mx.Context) -> List[mx.nd.NDArray]:
        """List the gradients on a device."""
        return [parameter.grad(context) for parameter in self._trained()]

    def _join(
        self, vectors_per_device: Sequence[Sequence[mx.nd.NDArray]]
    ) -> Dict[str, mx.nd.NDArray]:
        """Join the loss vectors of all devices on the first one, by name."""
        joined = {}
        for name, vectors in zip(self.graph.loss_names, zip(*vectors_per_device)):
            on_first = [vector.as_in_context(self.contexts[0]) for vector in vectors]
            joined[name] = mx.nd.concat(*on_first, dim=0)
        return joined


def part_slices(image_count: int, parts: int) -> List[slice]:
    """Divide the images of a batch into parts of nearly the same size.

    Parameters
    ----------
    image_count : int
        Images in the batch, at least 1.
    parts : int
        How many parts are wanted, at least 1.

    Returns
    -------
    list of slice
        The images of each part, at least one; fewer parts than are wanted of fewer images.

    Examples
    --------
    >>> [(images.start, images.stop) for images in part_slices(5, parts=2)]
    [(0, 2), (2, 5)]
    """
    count = min(parts, image_count)
    borders = [image_count * number // count for number in range(count + 1)]
    return [slice(begin, end) for begin, end in zip(borders, borders[1:])]


def _start_distributed_store(trainer: gluon.Trainer) -> None:
    """Send the first weights to the servers of a distributed store.

    Parameters
    ----------
    trainer : gluon.Trainer
        The trainer; nothing happens if its store is that of one process.

    Raises
    ------
    InputError
        The trainer would update on the servers, or a parameter has no shape yet.
    """
    store = trainer._kvstore_params["kvstore"]
    if "dist" not in getattr(store, "type", str(store)):
        return
    # A server gets the optimizer once, so it would keep the first learning rate for ever.
    if trainer._kvstore_params["update_on_kvstore"] is not False:
        raise InputError(
            "the trainer would update the weights on the servers, with the learning rate of the "
            "first step; build it with update_on_kvstore=False"
        )
    for parameter in trainer._params:
        if parameter._deferred_init:
            raise InputError(
                f"the parameter {parameter.name} has no shape yet; run a batch through the network "
                "before you make the step"
            )
    if trainer._kv_initialized:
        return
    # MXNet's Trainer sends the weights when it makes the first update. If a convolution has run
    # outside of autograd before, as the RPN does for the proposals, oneDNN has reordered its weight
    # in place, and the engine operation that sends such a weight fails. MXNet 1.9.1 keeps the error
    # of an operation only with the arrays that it writes to, and this one writes to none: nothing
    # is sent, nothing is said, and the server aborts with "init <key> first" when another worker
    # asks for the weight. So what is sent here are copies, which have a plain layout.
    trainer._init_kvstore()
    for key, parameter in enumerate(trainer._params):
        values = parameter.data(parameter.list_ctx()[0]).asnumpy()
        sent = mx.nd.array(values, dtype=values.dtype)
        received = mx.nd.zeros_like(sent)
        trainer._kvstore.broadcast(key, sent, received)
        parameter.set_data(received)
    trainer._params_to_init = []
