"""The flags that name a data set, and the functions that open it.

``open_dataset`` takes the parsed command line, because it is the border between flags and objects.
"""

import argparse
import os
from typing import Optional, Sequence

from gluonnorm.data import (
    COCODataset,
    Dataset,
    EqualSizeSampler,
    EvalTransform,
    Loader,
    VOCDataset,
)
from gluonnorm.data.recordio import open_lst, open_record
from gluonnorm.errors import InputError
from gluonnorm.photos.prepare import resized_size
from gluonnorm.types import Preprocess

# The official names of the splits, where a format has any.
DEFAULT_SPLITS = {
    "coco": {"train": "train2017", "val": "val2017"},
    "voc": {"train": "trainval", "val": "test"},
    "record": {"train": "train", "val": "val"},
    "lst": {"train": "train", "val": "val"},
}


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where the images and the ground truth are.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser; it gets a group of flags.
    """
    group = parser.add_argument_group(
        "data set",
        "Paths are relative to --data-root; '{split}' in them is replaced by the split's name.",
    )
    group.add_argument(
        "--dataset",
        choices=sorted(DEFAULT_SPLITS),
        default="voc",
        help="the format of the files; the classes may be any (default: voc). coco: JSON and a "
        "folder of images; voc: Annotations, JPEGImages and ImageSets/Main; record: "
        "{split}.rec with its .idx; lst: {split}.lst of im2rec",
    )
    group.add_argument("--data-root", required=True, metavar="FOLDER", help="the data set's folder")
    group.add_argument(
        "--train-split", metavar="NAME", help="default: train2017 (coco), trainval (voc), train"
    )
    group.add_argument(
        "--val-split", metavar="NAME", help="default: val2017 (coco), test (voc), val"
    )
    group.add_argument(
        "--annotations",
        metavar="FILE",
        default="annotations/instances_{split}.json",
        help="coco: the annotation file (default: %(default)s)",
    )
    group.add_argument(
        "--image-dir",
        metavar="FOLDER",
        help="coco, lst: the folder of the images (default: '{split}' for coco, "
        "--data-root for lst)",
    )
    group.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="names and order of the classes; needed for record and lst, otherwise the files' own",
    )
    group.add_argument(
        "--one-based",
        action="store_true",
        help="voc: pixels count from 1 and both corners belong to the box, as in "
        "the official files",
    )
    group.add_argument(
        "--pixel-boxes",
        action="store_true",
        help="record, lst: coordinates are pixels, not fractions of the image's sides",
    )
    group.add_argument(
        "-j",
        "--num-workers",
        type=int,
        default=2,
        metavar="N",
        help="threads that read and resize images (default: 2)",
    )


def open_dataset(
    args: argparse.Namespace, split: str, classes: Optional[Sequence[str]] = None
) -> Dataset:
    """Open the data set that the flags name.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_dataset_arguments``.
    split : str
        ``"train"`` or ``"val"``: what the split is used for. Its name in the files is a flag.
    classes : sequence of str or None
        Names and order of the classes, such as a trained network's. None takes ``--classes``,
        and without them the files' own.

    Returns
    -------
    Dataset
        The images and their ground truth.

    Raises
    ------
    InputError
        A file is missing or faulty, or the classes do not fit the files or are not known.
    """
    split_name = getattr(args, f"{split}_split") or DEFAULT_SPLITS[args.dataset][split]
    return _OPENERS[args.dataset](args, split_name, classes or args.classes)


def _open_coco(
    args: argparse.Namespace, split_name: str, classes: Optional[Sequence[str]]
) -> Dataset:
    """Open a COCO file."""
    root = args.data_root
    annotation_file = _split_path(root, args.annotations, split_name)
    image_folder = _split_path(root, args.image_dir or "{split}", split_name)
    return COCODataset(annotation_file, image_folder, classes)


def _open_voc(
    args: argparse.Namespace, split_name: str, classes: Optional[Sequence[str]]
) -> Dataset:
    """Open a Pascal VOC folder."""
    return VOCDataset(args.data_root, split_name, classes, one_based=args.one_based)


def _open_record(
    args: argparse.Namespace, split_name: str, classes: Optional[Sequence[str]]
) -> Dataset:
    """Open a RecordIO file."""
    record_file = _split_path(args.data_root, "{split}.rec", split_name)
    return open_record(record_file, _named(args, classes), normalized=not args.pixel_boxes)


def _open_lst(
    args: argparse.Namespace, split_name: str, classes: Optional[Sequence[str]]
) -> Dataset:
    """Open an LST file of im2rec."""
    root = args.data_root
    list_file = _split_path(root, "{split}.lst", split_name)
    image_folder = _split_path(root, args.image_dir or "", split_name)
    normalized = not args.pixel_boxes
    return open_lst(list_file, image_folder, _named(args, classes), normalized=normalized)


# One function a format. Each takes the flags, the split's name in the files, and the classes.
_OPENERS = {
    "coco": _open_coco,
    "voc": _open_voc,
    "record": _open_record,
    "lst": _open_lst,
}


def _named(args: argparse.Namespace, classes: Optional[Sequence[str]]) -> Sequence[str]:
    """Require classes for a format whose files hold numbers for them."""
    if classes is None:
        raise InputError(f"--dataset {args.dataset} holds no class names; give --classes NAME ...")
    return classes


def evaluation_loader(
    dataset: Dataset, preprocess: Preprocess, batch_size: int, workers: int
) -> Loader:
    """Make a loader that gives every image of a data set once, without augmentation.

    Parameters
    ----------
    dataset : Dataset
        The images.
    preprocess : Preprocess
        How the network wants its images.
    batch_size : int
        Largest number of images in a batch.
    workers : int
        Threads that read and resize images.

    Returns
    -------
    Loader
        Only images that have the same size after resizing share a batch, so each of them gets the
        detections that it would get alone.
    """
    sizes = []
    for height, width in dataset.sizes().tolist():
        sizes.append(resized_size(height, width, preprocess))
    sampler = EqualSizeSampler(sizes, batch_size)
    transform = EvalTransform(preprocess)
    return Loader(
        dataset, transform, sampler, preprocess.padding, seed=0, train=False, workers=workers
    )


def _split_path(root: str, pattern: str, split_name: str) -> str:
    """Insert the split's name into a path below the data set's folder."""
    return os.path.join(root, pattern.replace("{split}", split_name))
