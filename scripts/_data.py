"""Open the data set that the flags of ``_data_flags`` name, with masks, for training or scoring.

``open_dataset`` takes the parsed command line, because it is the border between flags and objects.
"""

import argparse
import os
import sys
from typing import Optional, Sequence

from gluonnorm.data import (
    Dataset,
    EqualSizeSampler,
    EvalTransform,
    ImagesWithBoxes,
    Loader,
    MatchedClasses,
    inspect,
)
from gluonnorm.data.faults import skipped_faults
from gluonnorm.data.inspection import AnchorSettings
from gluonnorm.data.labeled_image import MissingImagesError, MissingSplitError
from gluonnorm.data.listing import listing_of
from gluonnorm.errors import InputError, first_few
from gluonnorm.photos.prepare import resized_size
from gluonnorm.types import Preprocess

from _data_flags import DEFAULT_SPLITS, OTHER_SPLITS, refuse_flags_of_other_formats
from _data_formats import FORMATS_WITH_NAMES, MissingClassesError, SplitRequest, opener_of

SHOWN_FAULTS = 3  # of what --skip-bad leaves out
# How a script works without a validation set, by the name of its flag in the parsed command line.
WITHOUT_VALIDATION = {
    "val_interval": "--val-interval 0 to train without validation",
    "only": "--only train to check the training set alone",
}


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
    open_split = opener_of(args.dataset)
    if len(names) > 1 and args.dataset != "voc":
        raise InputError(
            f"--{split}-split has {len(names)} names, which only --dataset voc can join; give one"
        )
    refuse_flags_of_other_formats(args)
    try:
        dataset = open_split(SplitRequest(args, names, classes))
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
