"""Open the data set that the flags of ``_data_flags`` name, with masks, for training or scoring.

``open_dataset`` takes the parsed command line, because it is the border between flags and objects.
"""

import argparse
import glob
import os
import sys
from typing import Any, Dict, NamedTuple, Optional, Sequence

from gluonnorm.data import (
    COCODataset,
    Dataset,
    EqualSizeSampler,
    EvalTransform,
    ImagesWithBoxes,
    LabelmeDataset,
    Loader,
    LSTDataset,
    MatchedClasses,
    RecordDataset,
    VOCDataset,
    YOLODataset,
    inspect,
)
from gluonnorm.data.faults import skipped_faults
from gluonnorm.data.inspection import AnchorSettings
from gluonnorm.data.labeled_image import MissingImagesError, MissingSplitError
from gluonnorm.data.listing import listing_of
from gluonnorm.errors import InputError, did_you_mean, first_few
from gluonnorm.photos.prepare import resized_size
from gluonnorm.types import Preprocess

from _cli import import_user_function
from _data_flags import (
    DEFAULT_SPLITS,
    OTHER_SPLITS,
    SIXTH_NUMBERS,
    refuse_flags_of_other_formats,
)

SHOWN_FAULTS = 3  # of what --skip-bad leaves out
# What a data set of the user must have.
DATASET_MEMBERS = (
    "classes",
    "category_ids",
    "__len__",
    "__getitem__",
    "sizes",
    "coco_truth",
    "with_masks",
)
# The formats whose files always name their classes. In others a number may stand for a class.
FORMATS_WITH_NAMES = ("coco", "labelme", "voc")
ANNOTATION_FILE = "annotations/instances_{split}.json"
# How a script works without a validation set, by the name of its flag in the parsed command line.
WITHOUT_VALIDATION = {
    "val_interval": "--val-interval 0 to train without validation",
    "only": "--only train to check the training set alone",
}


class MissingClassesError(InputError):
    """Files hold numbers for their classes, and nothing says which classes these are."""


class _Request(NamedTuple):
    """What a function that opens a format needs to know.

    Attributes
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_dataset_arguments``.
    names : sequence of str
        The names of the splits in the files; only VOC may have several.
    classes : sequence of str or None
        The classes that are wanted, in the order of the labels; None takes the files' own.
    """

    args: argparse.Namespace
    names: Sequence[str]
    classes: Optional[Sequence[str]]


def open_dataset(
    args: argparse.Namespace,
    split: str,
    classes: Optional[Sequence[str]] = None,
    notes: bool = True,
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
    notes : bool
        Whether what ``--skip-bad`` left out is said on standard error.

    Returns
    -------
    Dataset
        The images and their ground truth.

    Raises
    ------
    InputError
        A file is missing or faulty, or the classes do not fit the files or are not known.
    """
    wanted = classes or args.classes
    dataset = _open_split(args, split, wanted, notes)
    # A factory of the user has the last word on classes, so it may forget the wanted ones.
    if wanted is not None and tuple(wanted) != tuple(dataset.classes):
        raise InputError(
            f"--dataset {args.dataset} has the classes {first_few(dataset.classes)}, but "
            f"{first_few(tuple(wanted))} are wanted; it must return these, in this order"
        )
    return dataset


def check_scored_dataset(args: argparse.Namespace, classes: Optional[Sequence[str]]) -> None:
    """Open the validation split as for scoring, before the network that is scored is there.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_dataset_arguments``.
    classes : sequence of str or None
        The classes of the network; None if they are not known yet.

    Raises
    ------
    InputError
        As for ``open_scored_dataset``.
    """
    if classes is not None:
        open_scored_dataset(args, classes)
        return
    try:
        _open_split(args, "val", args.classes, notes=False)
    except MissingClassesError:
        # The classes will be the network's. Until then there is no more to be read.
        if not os.path.isdir(args.data_root):
            raise InputError(f"--data-root {args.data_root}: there is no such folder") from None


def split_names(args: argparse.Namespace, split: str) -> Sequence[str]:
    """Return the names of a split in the files.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_dataset_arguments``.
    split : str
        ``"train"`` or ``"val"``.

    Returns
    -------
    sequence of str
        What the flag gives, or the default of the format.
    """
    given_names = getattr(args, f"{split}_split")
    return given_names or [DEFAULT_SPLITS.get(args.dataset, OTHER_SPLITS)[split]]


def _open_split(
    args: argparse.Namespace, split: str, classes: Optional[Sequence[str]], notes: bool
) -> Dataset:
    """Open a split with the classes that are wanted; a factory may have others."""
    names = split_names(args, split)
    open_format = _open_factory if ":" in args.dataset else _OPENERS.get(args.dataset)
    if open_format is None:
        raise InputError(
            f"--dataset is {args.dataset!r}; want {', '.join(sorted(_OPENERS))}, or MODULE:FACTORY "
            f"of your own{did_you_mean(args.dataset, _OPENERS)}"
        )
    if len(names) > 1 and args.dataset != "voc":
        raise InputError(
            f"--{split}-split has {len(names)} names, which only --dataset voc can join; give one"
        )
    refuse_flags_of_other_formats(args)
    try:
        dataset = open_format(_Request(args, names, classes))
    except MissingSplitError as error:
        origin = "" if getattr(args, f"{split}_split") else " by default"
        raise InputError(
            f"--{split}-split is {', '.join(names)}{origin}; give the name of a split of the files"
            f"{_without(args, split)}: {error}"
        ) from error
    except MissingImagesError as error:
        raise InputError(f"{error} by --image-dir, relative to --data-root") from error
    if notes:
        _report_skipped(dataset, names)
    return dataset


def _without(args: argparse.Namespace, split: str) -> str:
    """Say how this script works without the split; "" if it does not."""
    ways = [way for name, way in WITHOUT_VALIDATION.items() if hasattr(args, name)]
    return f", or {ways[0]}" if ways and split == "val" else ""


def open_scored_dataset(args: argparse.Namespace, classes: Sequence[str]) -> MatchedClasses:
    """Open the validation split for a network, whose classes are matched with the files' by name.

    A line is printed if they are not the same.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_dataset_arguments``.
    classes : sequence of str
        The classes of the network.

    Returns
    -------
    MatchedClasses
        The images, and the ground truth of the classes that both have.

    Raises
    ------
    InputError
        As for ``open_dataset``; also if no class is shared, or ``--classes`` are not the network's.
    """
    names = args.classes or classes
    if args.dataset in FORMATS_WITH_NAMES:
        if args.classes and tuple(args.classes) != tuple(classes):
            raise InputError(
                f"--classes is {first_few(args.classes)}, but the network has the classes "
                f"{first_few(tuple(classes))}; leave it out, because the classes of the network "
                "and of the files are matched by name"
            )
        names = None
    elif args.dataset == "yolo":
        # The folder may name its classes; if it does not, --classes must.
        names = args.classes
    # Classes are matched by name below, so a factory need not return those of the network.
    dataset = _open_split(args, "val", names, notes=True)
    matched = MatchedClasses(dataset, classes)
    if matched.note:
        print(matched.note)
    return matched


def open_masks(dataset: Dataset, notes: bool = True) -> Dataset:
    """Open a data set once more with masks, and say what that leaves out.

    Parameters
    ----------
    dataset : Dataset
        What ``open_dataset`` returns.
    notes : bool
        Whether what ``--skip-bad`` left out is said on standard error.

    Returns
    -------
    Dataset
        The same images with masks.

    Raises
    ------
    InputError
        The data set has no masks, or a mask is faulty.
    """
    with_masks = dataset.with_masks()
    if notes and skipped_faults(with_masks) != skipped_faults(dataset):
        _report_skipped(with_masks, ["with masks"])
    return with_masks


def skip_empty_images(dataset: Dataset) -> Dataset:
    """Leave the images without boxes out of a training set, and say how many they are.

    Parameters
    ----------
    dataset : Dataset
        What ``open_dataset`` returns.

    Returns
    -------
    Dataset
        The images that have a box to learn from.

    Raises
    ------
    InputError
        There is none.
    """
    with_boxes = ImagesWithBoxes(dataset)
    if with_boxes.left_out:
        total = len(dataset)
        print(
            f"note: --skip-empty left out {with_boxes.left_out} of {total} images, which have no "
            "box to learn from",
            file=sys.stderr,
        )
    return with_boxes


def require_boxes(dataset: Dataset, preprocess: Preprocess, config: AnchorSettings) -> None:
    """Refuse a data set from which nothing can be learned, and say what is probably wrong.

    Parameters
    ----------
    dataset : Dataset
        The images to train on.
    preprocess : Preprocess
        How the network wants its images.
    config : DetectorConfig
        The settings of the network.

    Raises
    ------
    InputError
        There is no box to learn from.
    """
    inspection = inspect(dataset, preprocess, config)
    for warning in inspection.warnings:
        print(f"note: {warning}", file=sys.stderr)
    inspection.require_boxes()


def require_scored_boxes(dataset: Dataset) -> None:
    """Refuse a validation set in which no detection can be right.

    All its scores would be -1, so no weights would be the best ones.

    Parameters
    ----------
    dataset : Dataset
        What ``open_scored_dataset`` returns.

    Raises
    ------
    InputError
        No object counts.
    """
    listing = listing_of(dataset)
    if listing.crowd.all():
        found = "no box of the network's classes"
        if len(listing.crowd):
            found = f"{len(listing.crowd)} boxes, all crowd or difficult"
        raise InputError(
            f"the validation set has {found}, so nothing can be scored; name another --val-split, "
            "or train with --val-interval 0"
        )


def _report_skipped(dataset: Dataset, names: Sequence[str]) -> None:
    """Say on standard error what ``--skip-bad`` left out of a data set."""
    skipped = skipped_faults(dataset)
    if skipped:
        print(
            f"note: {', '.join(names)}: --skip-bad left out {len(skipped)} faulty images or "
            f"annotations: {first_few(skipped, SHOWN_FAULTS)}",
            file=sys.stderr,
        )


def _open_coco(request: _Request) -> Dataset:
    """Open a COCO file."""
    root = request.args.data_root
    annotations = request.args.annotations or ANNOTATION_FILE
    annotation_file = _split_file(root, annotations, request.names[0], "--annotations")
    image_folder = _split_path(root, request.args.image_dir or "{split}", request.names[0])
    return COCODataset(
        annotation_file,
        image_folder,
        request.classes,
        skip_bad=request.args.skip_bad,
    )


def _open_voc(request: _Request) -> Dataset:
    """Open a Pascal VOC folder."""
    return VOCDataset(
        request.args.data_root,
        list(request.names),
        request.classes,
        one_based=request.args.one_based,
        skip_bad=request.args.skip_bad,
    )


def _open_yolo(request: _Request) -> Dataset:
    """Open a YOLO data set."""
    args = request.args
    return YOLODataset(args.data_root, request.names[0], request.classes, args.skip_bad)


def _open_labelme(request: _Request) -> Dataset:
    """Open a folder of Labelme's JSON files."""
    args = request.args
    return LabelmeDataset(args.data_root, request.names[0], request.classes, args.skip_bad)


def _open_record(request: _Request) -> Dataset:
    """Open a RecordIO file."""
    record_file = _split_file(request.args.data_root, "{split}.rec", request.names[0])
    return RecordDataset(record_file, _named(request), **_packed_options(request.args))


def _open_lst(request: _Request) -> Dataset:
    """Open an LST file of im2rec."""
    root = request.args.data_root
    list_file = _split_file(root, "{split}.lst", request.names[0])
    image_folder = _split_path(root, request.args.image_dir or "", request.names[0])
    return LSTDataset(list_file, image_folder, _named(request), **_packed_options(request.args))


def _open_factory(request: _Request) -> Dataset:
    """Call the factory of the user, and check that it returns a data set."""
    factory = import_user_function(request.args.dataset, "--dataset")
    dataset = factory(request.args.data_root, request.names[0], request.classes)
    missing = [name for name in DATASET_MEMBERS if not hasattr(dataset, name)]
    if missing:
        raise InputError(
            f"--dataset {request.args.dataset} returns a {type(dataset).__name__} without "
            f"{', '.join(missing)}; want the members of gluonnorm.data.Dataset; "
            "gluonnorm.data.GluonCVDataset wraps a data set of pairs of image and label"
        )
    return dataset


# One function a format.
_OPENERS = {
    "coco": _open_coco,
    "voc": _open_voc,
    "yolo": _open_yolo,
    "labelme": _open_labelme,
    "record": _open_record,
    "lst": _open_lst,
}


def _packed_options(args: argparse.Namespace) -> Dict[str, Any]:
    """Return what RecordIO and LST files do not say about themselves."""
    return {
        "normalized": not args.pixel_boxes,
        "difficult": SIXTH_NUMBERS[args.sixth_number],
        "skip_bad": args.skip_bad,
    }


def _named(request: _Request) -> Sequence[str]:
    """Require classes for a format whose files hold numbers for them."""
    if request.classes is None:
        raise MissingClassesError(
            f"--dataset {request.args.dataset} holds no class names; give --classes NAME ..."
        )
    return request.classes


def evaluation_loader(
    dataset: Dataset, preprocess: Preprocess, batch_size: int, threads: int
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
    threads : int
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
        dataset, transform, sampler, preprocess.padding, seed=0, train=False, workers=threads
    )


def _split_path(root: str, pattern: str, split_name: str) -> str:
    """Insert the split's name into a path below the data set's folder."""
    return os.path.join(root, pattern.replace("{split}", split_name))


def _split_file(root: str, pattern: str, split_name: str, flag: str = "") -> str:
    """Insert the split's name into the path of a file; another name would be another file.

    Parameters
    ----------
    root : str
        The data set's folder.
    pattern : str
        The path below it, with ``{split}`` for the split's name.
    split_name : str
        The split.
    flag : str
        The flag that names files of another pattern; "" if there is none.

    Returns
    -------
    str
        The path.

    Raises
    ------
    MissingSplitError
        There is a folder, and not this file in it.
    """
    path = _split_path(root, pattern, split_name)
    before, placeholder, after = pattern.partition("{split}")
    if not placeholder or not os.path.isdir(root) or os.path.exists(path):
        return path
    start, end = os.path.join(root, before), after
    matches = glob.glob(f"{glob.escape(start)}*{glob.escape(end)}")
    known = sorted(match[len(start) : len(match) - len(end)] for match in matches)
    other_names = f"; {flag} gives files of other names" if flag else ""
    raise MissingSplitError(
        f"{path}: cannot be read: No such file or directory; splits with such a file: "
        f"{first_few(known)}{other_names}{did_you_mean(split_name, known)}"
    )
