"""The scripts' data set flags, and the data sets they open."""
import argparse
import os
from typing import Optional, Sequence

from gluonnorm.data import (
    AspectGroupSampler,
    COCODataset,
    Dataset,
    EvalTransform,
    Loader,
    VOCDataset,
)
from gluonnorm.data.recordio import open_lst, open_record
from gluonnorm.types import Preprocess

DEFAULT_SPLITS = {  # of --dataset: the official names where there are any
    "coco": {"train": "train2017", "val": "val2017"},
    "voc": {"train": "trainval", "val": "test"},
    "record": {"train": "train", "val": "val"},
    "lst": {"train": "train", "val": "val"},
}


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where images and truth lie."""
    group = parser.add_argument_group(
        "data set", "Paths are relative to --data-root; '{split}' in them stands for the split's name.")
    group.add_argument("--dataset", choices=sorted(DEFAULT_SPLITS), default="voc",
                       help="the files' format, with any classes (default: voc). coco: JSON and a folder of images; "
                            "voc: Annotations, JPEGImages and ImageSets/Main; record: {split}.rec with its .idx; "
                            "lst: {split}.lst of im2rec")
    group.add_argument("--data-root", required=True, metavar="FOLDER", help="the data set's folder")
    group.add_argument("--train-split", metavar="NAME", help="default: train2017 (coco), trainval (voc), train")
    group.add_argument("--val-split", metavar="NAME", help="default: val2017 (coco), test (voc), val")
    group.add_argument("--annotations", default="annotations/instances_{split}.json", metavar="FILE",
                       help="coco: the annotation file (default: %(default)s)")
    group.add_argument("--image-dir", metavar="FOLDER",
                       help="coco, lst: where the images are (default: '{split}' for coco, --data-root for lst)")
    group.add_argument("--classes", nargs="+", metavar="NAME",
                       help="names and order of the classes; needed for record and lst, otherwise the files' own")
    group.add_argument("--one-based", action="store_true",
                       help="voc: pixels count from 1 and both corners belong to the box, as in the official files")
    group.add_argument("--pixel-boxes", action="store_true",
                       help="record, lst: coordinates are pixels, not fractions of the image's sides")
    group.add_argument("-j", "--num-workers", type=int, default=2, metavar="N",
                       help="threads that read and resize images (default: 2)")


def open_dataset(args: argparse.Namespace, split: str, classes: Optional[Sequence[str]] = None) -> Dataset:
    """The data set of the flags.

    Parameters
    ----------
    args
        Parsed flags of ``add_dataset_arguments``.
    split
        ``"train"`` or ``"val"``: what the split is for; its name in the files is a flag.
    classes
        Names and order of the classes, such as a trained network's; None takes ``--classes``, else the files' own.

    Raises
    ------
    DataError or ValueError
        Files missing or faulty, classes that are not there or not given.
    """
    name = getattr(args, f"{split}_split") or DEFAULT_SPLITS[args.dataset][split]
    classes = classes or args.classes
    if args.dataset == "voc":
        return VOCDataset(args.data_root, name, classes, one_based=args.one_based)
    if args.dataset == "coco":
        return COCODataset(_path(args, args.annotations, name), _path(args, args.image_dir or "{split}", name), classes)
    if classes is None:
        raise ValueError(f"--dataset {args.dataset} holds no class names; give --classes NAME ...")
    if args.dataset == "record":
        return open_record(_path(args, "{split}.rec", name), classes, normalized=not args.pixel_boxes)
    return open_lst(_path(args, "{split}.lst", name), _path(args, args.image_dir or "", name), classes,
                    normalized=not args.pixel_boxes)


def evaluation_loader(dataset: Dataset, preprocess: Preprocess, batch_size: int, workers: int) -> Loader:
    """Every image of ``dataset`` once, in batches, made as ``preprocess`` says."""
    sampler = AspectGroupSampler(dataset.sizes(), batch_size, shuffle=False, seed=0)
    return Loader(dataset, EvalTransform(preprocess), sampler, preprocess.padding, seed=0, train=False,
                  workers=workers)


def _path(args: argparse.Namespace, pattern: str, split: str) -> str:
    return os.path.join(args.data_root, pattern.replace("{split}", split))
