"""Train a Faster or Mask R-CNN, evaluate it after each epoch, and leave checkpoints, a log and a curve.

A mask_rcnn_* network wants --dataset coco, with a mask for every box. The best weights are those of the highest AP50 of
boxes, or, where there are masks, of the highest AP of masks.

Written beside --save-prefix: PREFIX-<step>.{json,params,states} (checkpoints, the .json last), PREFIX-best.params,
PREFIX.log, PREFIX-metrics.jsonl, PREFIX-curve.png and PREFIX-arguments.json. Ctrl-C saves, then ends with status 130;
--resume goes on from there, with the same numbers as a run that was never stopped.

example:
  python scripts/train_faster_rcnn.py --network faster_rcnn_resnet50_v2_custom --dataset voc --data-root BCCD \\
      --train-split train --val-split val --pretrained-base resnet50_v2_c4.npz --epochs 8 --lr-decay-epoch 6 \\
      --set short=300 max_size=600 num_sample=64 roi_size=7 --save-prefix runs/bccd
"""
import argparse
import json
import platform
import sys
from dataclasses import asdict
from typing import Any, List, Optional, Sequence

import gluonnorm
import model_zoo
from gluonnorm import training
from gluonnorm.data import AspectGroupSampler, Batch, Dataset, Loader, TrainTransform
from gluonnorm.rcnn import FasterRCNN, make_loss

import mxnet as mx
from _callbacks import Curve, Evaluator
from _cli import contexts, run, seed_everything, settings
from _data import add_dataset_arguments, open_dataset
from _models import add_norm_arguments


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The command line's flags; GluonCV's names where they mean the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = parser.add_argument_group("model")
    model.add_argument("--network", required=True, metavar="NAME", help="one of model_zoo.list_models()")
    add_norm_arguments(model)
    model.add_argument("--pretrained-base", nargs="?", const=True, default=False, metavar="FILE",
                       help="ImageNet weights of the backbone: a file of this package's or MXNet's, a key of "
                            "model_zoo.published_weights, or nothing for the published ones")
    model.add_argument("--pretrained", nargs="?", const=True, default=False, metavar="FILE",
                       help="weights of the whole network to start from, likewise")
    model.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE",
                       help="settings of the detector, e.g. short=300 num_sample=64 normalize=False; "
                            "see gluonnorm.rcnn.DetectorConfig")
    add_dataset_arguments(parser)
    schedule = parser.add_argument_group("schedule")
    schedule.add_argument("--epochs", type=int, default=20, metavar="N", help="in all (default: 20)")
    schedule.add_argument("--batch-size", type=int, default=1, metavar="N",
                          help="images an update on this machine (default: 1)")
    schedule.add_argument("--lr", type=float, metavar="RATE",
                          help="for the whole batch (default: 0.00125 x images of all machines)")
    schedule.add_argument("--lr-decay", type=float, default=0.1, metavar="X", help="factor of a decay (default: 0.1)")
    schedule.add_argument("--lr-decay-epoch", default="14,18", metavar="N,N",
                          help="after so many epochs (default: 14,18)")
    schedule.add_argument("--lr-warmup", type=int, default=100, metavar="STEPS", help="linear warm-up (default: 100)")
    schedule.add_argument("--lr-warmup-factor", type=float, default=1 / 3, metavar="X",
                          help="the rate at step 0 is X of the full one (default: 1/3)")
    schedule.add_argument("--momentum", type=float, default=0.9, metavar="X", help="of SGD (default: 0.9)")
    schedule.add_argument("--wd", type=float, default=1e-4, metavar="X",
                          help="weight decay; norms have none (default: 1e-4)")
    schedule.add_argument("--clip-gradient", type=float, metavar="NORM", help="largest global norm (default: none)")
    place = parser.add_argument_group("run")
    place.add_argument("--gpus", default="", help="e.g. 0,1 (default: the CPU)")
    place.add_argument("--kv-store", default="device", help="MXNet's kvstore (default: device)",
                       choices=["device", "local", "nccl", "dist_sync", "dist_device_sync"])
    place.add_argument("--save-prefix", default="runs/faster_rcnn", metavar="PREFIX", help="(default: %(default)s)")
    place.add_argument("--save-interval", type=int, metavar="STEPS", help="save within epochs too")
    place.add_argument("--resume", action="store_true", help="go on from the newest checkpoint of --save-prefix")
    place.add_argument("--val-interval", type=int, default=1, metavar="EPOCHS",
                       help="0 never evaluates (default: 1)")
    place.add_argument("--log-interval", type=int, default=20, metavar="STEPS", help="of the log file (default: 20)")
    place.add_argument("--seed", type=int, default=233, help="of weights, order, flips and sampling (default: 233)")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Build, train, evaluate."""
    seed_everything(args.seed)
    ctx = contexts(args.gpus)
    newest = training.latest(args.save_prefix)
    if args.resume and newest is None:
        raise ValueError(f"--resume: no checkpoint under {args.save_prefix!r}; leave it out to start afresh")
    if newest is not None and not args.resume:  # pruning keeps the highest steps: the old run's
        raise ValueError(f"{newest} is of an earlier run; --resume goes on from it, another --save-prefix spares it")
    train_set = open_dataset(args, "train")
    val_set = open_dataset(args, "val", train_set.classes) if args.val_interval else None
    try:
        net = model_zoo.get_model(
            args.network, norm=args.norm, head_norm=args.head_norm, rescale=args.rescale, classes=train_set.classes,
            pretrained=args.pretrained, pretrained_base=args.pretrained_base, ctx=ctx,
            **settings(args.set))
    except TypeError as error:  # a setting the model does not have, or of a wrong type
        raise ValueError(error) from error
    if net.has_masks:  # only now is it known: the network's classes are those of the data set
        train_set, val_set = train_set.with_masks(), val_set and val_set.with_masks()
    if not (args.pretrained or args.pretrained_base) and net.spec.norm in ("frozen_bn", "global_bn"):
        print(f"note: {net.spec.norm} has no statistics to stand on without pretrained weights; consider --norm gn",
              file=sys.stderr)
    kvstore = mx.kv.create(args.kv_store)
    trainer = mx.gluon.Trainer(learned(net), "sgd", {"learning_rate": 1.0, "momentum": args.momentum, "wd": args.wd},
                               kvstore=kvstore, update_on_kvstore=False)
    start = 0
    if newest is not None:
        start = training.load(newest, net, trainer, json.loads(json.dumps(asdict(net.spec))))["step"]
    fit(args, net, trainer, ctx, (kvstore.rank, kvstore.num_workers), train_set, val_set, start)


def fit(args: argparse.Namespace, net: FasterRCNN, trainer: mx.gluon.Trainer, ctx: List[mx.Context],
        part: Sequence[int], train_set: Dataset, val_set: Optional[Dataset], start: int) -> None:
    """Wire data, step, schedule and callbacks together, and run."""
    loss = make_loss(net)
    loss.hybridize()
    preprocess = net.preprocess
    sampler = AspectGroupSampler(train_set.sizes(), args.batch_size, shuffle=True, seed=args.seed, part=part[0],
                                 num_parts=part[1])
    loader = Loader(train_set, TrainTransform(preprocess), sampler, preprocess.padding, seed=args.seed, train=True,
                    workers=args.num_workers)
    batch_size = args.batch_size * part[1]
    peak = args.lr if args.lr is not None else training.scale_for_batch(0.00125, batch_size, 1)
    milestones = [int(float(epoch) * len(loader)) for epoch in args.lr_decay_epoch.split(",") if epoch]

    def rate(step: int) -> float:
        return training.warmup_multistep(step, peak, milestones, args.lr_decay, args.lr_warmup, args.lr_warmup_factor)

    def batches(epoch: int, skip: int) -> Any:
        loader.set_epoch(epoch)
        return loader.iterate(skip)

    def adapt(batch: Batch) -> Any:
        masks = [batch.masks] if net.has_masks else []
        return (batch.images, batch.boxes, batch.labels, *masks, [sample.name for sample in batch.samples])

    spec = asdict(net.spec)
    text = training.TextLog(f"{args.save_prefix}.log", args.log_interval)
    metrics = training.MetricsLog(f"{args.save_prefix}-metrics.jsonl")
    saver = training.CheckpointSaver(args.save_prefix, net, trainer, spec, every_steps=args.save_interval)
    callbacks: List[training.Callback] = [text, metrics, saver]
    if val_set is not None:
        callbacks.append(Evaluator(net, ctx, val_set, saver, text, metrics, args))
    callbacks.append(Curve(metrics, f"{args.save_prefix}-curve.png", args.network))
    with open(f"{args.save_prefix}-arguments.json", "w", encoding="utf-8") as file:
        json.dump({"arguments": vars(args), "spec": spec, "python": platform.python_version(), "mxnet": mx.__version__,
                   "gluonnorm": gluonnorm.__version__}, file, indent=1)
    loop = training.Loop(training.TrainStep(loss, trainer, ctx, args.clip_gradient), batches, adapt, rate, len(loader),
                         batch_size, args.seed, callbacks)
    loop.fit(args.epochs, start)
    newest = training.latest(args.save_prefix)
    print(f"checkpoint {newest}\nlog        {text.path}\ncurve      {args.save_prefix}-curve.png")


def learned(net: mx.gluon.HybridBlock) -> List[mx.gluon.Parameter]:
    """The parameters that learn; norms' scale and shift without weight decay (Detectron2)."""
    parameters = training.trainable_parameters(net)
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith(("gamma", "beta")):
            parameter.wd_mult = 0.0
    return parameters


if __name__ == "__main__":
    run(main, parse_args())
