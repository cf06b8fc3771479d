"""The objects of a training run, made of the training script's flags.

``build_network``, ``make_loader`` and ``make_step`` take the parsed command line, because they are
the border between flags and objects. The callbacks of a run are in ``_callbacks.py``, its learning
rate in ``_schedule.py``.
"""

import argparse
import math
import sys
from typing import Any, Callable, Iterable, List, Optional, Sequence

import model_zoo
from gluonnorm import training
from gluonnorm.data import AspectGroupSampler, Batch, Dataset, Loader
from gluonnorm.data.repeat_factors import images_of_epoch
from gluonnorm.errors import InputError
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.types import Preprocess

import mxnet as mx
from _augment import image_repeats, make_train_transform
from _cli import parse_settings
from _losses import make_chosen_loss
from _model_flags import architecture_options
from _recipe_flags import check_recipe_before_build
from _schedule import note_large_update, update_size


def build_network(
    args: argparse.Namespace, classes: Sequence[str], ctx: List[mx.Context]
) -> FasterRCNN:
    """Build the network that the flags describe, with its first weights.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_network_arguments``.
    classes : sequence of str
        The classes of the data set.
    ctx : list of mx.Context
        The devices that hold the weights.

    Returns
    -------
    FasterRCNN
        The network, with pretrained weights where the flags name some.

    Raises
    ------
    InputError
        A flag or a setting that the network does not have, weights that do not fit, or a
        contradiction to the recipe.
    """
    check_recipe_before_build(args)
    return model_zoo.get_model(
        args.network,
        classes=classes,
        pretrained=args.pretrained,
        pretrained_base=args.pretrained_base,
        ctx=ctx,
        **architecture_options(args),
        **parse_settings(args.set),
    )


def make_loader(
    args: argparse.Namespace,
    dataset: Dataset,
    preprocess: Preprocess,
    part: int,
    num_parts: int,
) -> Loader:
    """Make the loader of training batches: shuffled, changed at random, resized and mirrored.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_augment_arguments``, the batch size, seed and number of threads.
    dataset : Dataset
        Images and ground truth.
    preprocess : Preprocess
        How the network wants its images.
    part, num_parts : int
        This machine's number, from 0, and the number of machines; each gets its own images.

    Returns
    -------
    Loader
        Its batches follow from the seed and the epoch alone.

    Raises
    ------
    InputError
        A flag names no augment, or a value is out of range.
    """
    repeats = image_repeats(args, dataset, preprocess)
    images = len(dataset) if repeats is None else images_of_epoch(repeats)
    if part == 0:
        note_large_update(args, images, num_parts)
    if part == 0 and repeats is not None:
        effect = "so one pass over the data set takes more updates"
        if images == len(dataset):
            effect = "so it repeats none; a larger threshold does"
        print(
            f"note: --repeat-threshold {args.repeat_threshold:g} makes {images} images of the "
            f"{len(dataset)}, {effect}",
            file=sys.stderr,
        )
    sampler = AspectGroupSampler(
        dataset.sizes(),
        update_size(args),
        shuffle=True,
        seed=args.seed,
        part=part,
        num_parts=num_parts,
        repeats=repeats,
    )
    return Loader(
        dataset,
        make_train_transform(args, preprocess),
        sampler,
        preprocess.padding,
        seed=args.seed,
        train=True,
        workers=args.num_workers,
    )


def epoch_batches(loader: Loader) -> Callable[[int, int], Iterable[Batch]]:
    """Give a loader the form in which ``training.Loop`` asks for batches.

    Parameters
    ----------
    loader : Loader
        The training batches.

    Returns
    -------
    callable
        ``batches(epoch, skip)``: the batches of an epoch without the first ``skip``.
    """

    def batches(epoch: int, skip: int) -> Iterable[Batch]:
        loader.set_epoch(epoch)
        return loader.iterate(skip)

    return batches


def step_inputs(batch: Batch) -> List[Any]:
    """List what a training step takes of a batch, and the names of its images last.

    Parameters
    ----------
    batch : Batch
        With masks if the network gives masks.

    Returns
    -------
    list
        Images, boxes, labels, perhaps masks, and the list of the images' names.
    """
    inputs = [batch.images, batch.boxes, batch.labels]
    if batch.masks is not None:
        inputs.append(batch.masks)
    names = [sample.name for sample in batch.samples]
    return [*inputs, names]


def make_trainer(
    args: argparse.Namespace, net: FasterRCNN, kvstore: mx.kv.KVStore
) -> mx.gluon.Trainer:
    """Make the SGD trainer of a network.

    Parameters
    ----------
    args : argparse.Namespace
        Flags of ``add_schedule_arguments``, all with a value.
    net : FasterRCNN
        The network. Its norms and biases get their own weight decay and learning rate.
    kvstore : mx.kv.KVStore
        Where the gradients of all devices and machines are added up.

    Returns
    -------
    mx.gluon.Trainer
        Its learning rate is set before each step.

    Raises
    ------
    InputError
        Norms or biases are to decay although weights do not.
    """
    set_multipliers(net, args.wd, args.norm_wd, args.bias_wd, args.bias_lr_factor)
    sgd_settings = {"learning_rate": 1.0, "momentum": args.momentum, "wd": args.wd}
    # With update_on_kvstore the server of a distributed store would keep the first learning rate,
    # and the gradients of several devices could not be clipped.
    parameters = training.trainable_parameters(net)
    trainer = mx.gluon.Trainer(
        parameters, "sgd", sgd_settings, kvstore=kvstore, update_on_kvstore=False
    )
    if all(device.device_type == "cpu" for device in parameters[0].list_ctx()):
        # MXNet updates four arrays at once, to save kernels of a GPU. A processor takes twice as
        # long for four arrays at once as for one after the other.
        trainer.optimizer.aggregate_num = 1
    return trainer


def set_multipliers(
    net: mx.gluon.HybridBlock,
    wd: float,
    norm_wd: Optional[float] = None,
    bias_wd: Optional[float] = None,
    bias_lr_factor: float = 1.0,
) -> None:
    """Give norms and biases their own weight decay and learning rate.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        The network.
    wd : float
        The weight decay of the optimizer, which weights have.
    norm_wd : float or None
        The weight decay of norms. None: 0 for scales and shifts, as in Detectron2, and ``wd`` for
        the mixing weights of switchable norms.
    bias_wd : float or None
        The weight decay of biases; None is ``wd``.
    bias_lr_factor : float
        The learning rate of biases, and of the norms' shifts, divided by that of weights.

    Raises
    ------
    InputError
        ``wd`` is 0, and norms or biases are to decay.
    """
    norm_factor = _decay_factor("--norm-wd", norm_wd or 0.0, wd)
    bias_factor = _decay_factor("--bias-wd", wd if bias_wd is None else bias_wd, wd)
    mixing_factor = 1.0 if norm_wd is None else norm_factor
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith(("gamma", "beta")):
            parameter.wd_mult = norm_factor
        elif name.endswith(("mean_weight", "var_weight")):
            parameter.wd_mult = mixing_factor
        elif name.endswith("bias"):
            parameter.wd_mult = bias_factor
        if name.endswith(("bias", "beta")):
            parameter.lr_mult = bias_lr_factor


def _decay_factor(flag: str, decay: float, wd: float) -> float:
    """Divide a weight decay by that of the optimizer, as MXNet wants it."""
    if decay == wd:
        return 1.0
    if wd == 0:
        raise InputError(
            f"{flag} is {decay:g} and --wd is 0; give a --wd above 0 as well, or {flag} 0"
        )
    return decay / wd


def check_network_flags(args: argparse.Namespace, net: FasterRCNN) -> None:
    """Refuse losses and weight decays that do not fit the network, before any step is made.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_loss_arguments``, and of ``add_schedule_arguments`` with a value each.
    net : FasterRCNN
        The network to train.

    Raises
    ------
    InputError
        As for ``make_trainer`` and ``make_step``.
    """
    make_chosen_loss(args, net)
    set_multipliers(net, args.wd, args.norm_wd, args.bias_wd, args.bias_lr_factor)


def make_step(
    args: argparse.Namespace,
    net: FasterRCNN,
    trainer: mx.gluon.Trainer,
    ctx: List[mx.Context],
) -> training.TrainStep:
    """Make the function that updates a network on one batch.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_loss_arguments``, ``add_schedule_arguments`` and
        ``add_run_arguments``.
    net : FasterRCNN
        The network to train.
    trainer : mx.gluon.Trainer
        What ``make_trainer`` returns for this network.
    ctx : list of mx.Context
        The devices that hold the weights. Each batch is split over them.

    Returns
    -------
    training.TrainStep
        It takes what ``step_inputs`` lists, without the names.

    Raises
    ------
    InputError
        A flag names no loss, or the devices do not have the type of ``--dtype``.
    """
    loss = make_chosen_loss(args, net)
    loss.hybridize(dtype=args.dtype)
    loss_scale = training.LossScale() if args.dtype == "float16" else None
    max_norm = args.clip_gradient or None
    if max_norm is None and args.tensorboard:
        max_norm = math.inf  # TensorBoard shows the norm
    return training.TrainStep(loss, trainer, ctx, max_norm, args.accumulate, loss_scale)
