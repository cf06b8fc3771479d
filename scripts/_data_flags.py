"""The flags that say where a data set is, and what its files do not say about themselves."""

import argparse
from typing import List

from gluonnorm.errors import InputError

from _cli import flag_of

# The official names of the splits, where a format has any.
DEFAULT_SPLITS = {
    "coco": {"train": "train2017", "val": "val2017"},
    "voc": {"train": "trainval", "val": "test"},
}
OTHER_SPLITS = {"train": "train", "val": "val"}
# The values of --sixth-number, and the option `difficult` of the readers.
SIXTH_NUMBERS = {None: None, "difficult": True, "ignore": False}
# The formats that read a flag; --dataset refuses it for all others.
FORMATS_OF_FLAGS = {
    "annotations": ("coco",),
    "image_dir": ("coco", "lst"),
    "one_based": ("voc",),
    "pixel_boxes": ("record", "lst"),
    "sixth_number": ("record", "lst"),
}

UNSCORED_FLAGS = ("train_split", "num_workers")  # the scores of a network are the same


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
        default="voc",
        metavar="FORMAT",
        help="the format of the files; the classes may be any (default: voc). coco: JSON and a "
        "folder of images; voc: Annotations, JPEGImages and ImageSets/Main, or XML files beside "
        "the images with the split '.'; yolo: label files and data.yaml; labelme: JSON files "
        "beside the images; record: {split}.rec with its .idx; lst: {split}.lst of im2rec; "
        "MODULE:FACTORY: factory(root, split, classes) in your own module.py makes the data set",
    )
    group.add_argument("--data-root", required=True, metavar="FOLDER", help="the data set's folder")
    group.add_argument(
        "--train-split",
        action="extend",
        nargs="+",
        metavar="NAME",
        help="default: train2017 (coco), trainval (voc), train. voc takes several, also of other "
        "years: 2007_trainval 2012_trainval",
    )
    group.add_argument(
        "--val-split",
        action="extend",
        nargs="+",
        metavar="NAME",
        help="default: val2017 (coco), test (voc), val; voc takes several",
    )
    group.add_argument(
        "--skip-bad",
        action="store_true",
        help="go on without what is faulty, and say how much: in coco a single annotation, "
        "otherwise the image of a faulty annotation; every image is read once before work begins",
    )
    group.add_argument(
        "--annotations",
        metavar="FILE",
        help="coco: the annotation file (default: annotations/instances_{split}.json)",
    )
    group.add_argument(
        "--image-dir",
        metavar="FOLDER",
        help="coco, lst: the folder of the images (default: '{split}' for coco, "
        "--data-root for lst)",
    )
    group.add_argument(
        "--classes",
        action="extend",
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
        "--sixth-number",
        choices=[name for name in SIXTH_NUMBERS if name is not None],
        help="record, lst: what the sixth number of a box is: VOC's difficult, or something to be "
        "ignored (default: boxes have five numbers)",
    )
    group.add_argument(
        "-j",
        "--num-workers",
        type=int,
        default=2,
        metavar="N",
        help="threads that read and resize images (default: 2)",
    )


def dataset_flag_names() -> List[str]:
    """List the flags of ``add_dataset_arguments``.

    Returns
    -------
    list of str
        Their names in the parsed command line.
    """
    parser = argparse.ArgumentParser()
    add_dataset_arguments(parser)
    return list(vars(parser.parse_args(["--data-root", ""])))


def scored_flag_names() -> List[str]:
    """List the flags of ``add_dataset_arguments`` that the scores of a network depend on.

    Returns
    -------
    list of str
        Their names in the parsed command line.
    """
    return [name for name in dataset_flag_names() if name not in UNSCORED_FLAGS]


def refuse_flags_of_other_formats(args: argparse.Namespace) -> None:
    """Refuse a flag that the format does not read: the boxes would not be what the user expects.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_dataset_arguments``.

    Raises
    ------
    InputError
        There is such a flag.
    """
    for field, formats in FORMATS_OF_FLAGS.items():
        if getattr(args, field) and args.dataset not in formats:
            raise InputError(
                f"{flag_of(field)} is for --dataset {' and '.join(formats)}, not for "
                f"{args.dataset}; leave it out"
            )
