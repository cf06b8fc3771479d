"""Open one split of a data set: one function a format, and one for a factory of the user's own."""

import argparse
import glob
import os
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence

from gluonnorm.data import (
    COCODataset,
    Dataset,
    LabelmeDataset,
    LSTDataset,
    RecordDataset,
    VOCDataset,
    YOLODataset,
)
from gluonnorm.data.labeled_image import MissingSplitError
from gluonnorm.errors import InputError, did_you_mean, first_few

from _cli import import_user_function
from _data_flags import SIXTH_NUMBERS

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


class MissingClassesError(InputError):
    """Files hold numbers for their classes, and nothing says which classes these are."""


class SplitRequest(NamedTuple):
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


Opener = Callable[[SplitRequest], Dataset]


def _open_coco(request: SplitRequest) -> Dataset:
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


def _open_voc(request: SplitRequest) -> Dataset:
    """Open a Pascal VOC folder."""
    return VOCDataset(
        request.args.data_root,
        list(request.names),
        request.classes,
        one_based=request.args.one_based,
        skip_bad=request.args.skip_bad,
    )


def _open_yolo(request: SplitRequest) -> Dataset:
    """Open a YOLO data set."""
    args = request.args
    return YOLODataset(args.data_root, request.names[0], request.classes, args.skip_bad)


def _open_labelme(request: SplitRequest) -> Dataset:
    """Open a folder of Labelme's JSON files."""
    args = request.args
    return LabelmeDataset(args.data_root, request.names[0], request.classes, args.skip_bad)


def _open_record(request: SplitRequest) -> Dataset:
    """Open a RecordIO file."""
    record_file = _split_file(request.args.data_root, "{split}.rec", request.names[0])
    return RecordDataset(record_file, _named(request), **_packed_options(request.args))


def _open_lst(request: SplitRequest) -> Dataset:
    """Open an LST file of im2rec."""
    root = request.args.data_root
    list_file = _split_file(root, "{split}.lst", request.names[0])
    image_folder = _split_path(root, request.args.image_dir or "", request.names[0])
    return LSTDataset(list_file, image_folder, _named(request), **_packed_options(request.args))


def _open_factory(request: SplitRequest) -> Dataset:
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


def _packed_options(args: argparse.Namespace) -> Dict[str, Any]:
    """Return what RecordIO and LST files do not say about themselves."""
    return {
        "normalized": not args.pixel_boxes,
        "difficult": SIXTH_NUMBERS[args.sixth_number],
        "skip_bad": args.skip_bad,
    }


def _named(request: SplitRequest) -> Sequence[str]:
    """Require classes for a format whose files hold numbers for them."""
    if request.classes is None:
        raise MissingClassesError(
            f"--dataset {request.args.dataset} holds no class names; give --classes NAME ..."
        )
    return request.classes


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


# One function a format.
_OPENERS: Dict[str, Opener] = {
    "coco": _open_coco,
    "voc": _open_voc,
    "yolo": _open_yolo,
    "labelme": _open_labelme,
    "record": _open_record,
    "lst": _open_lst,
}


def opener_of(dataset: str) -> Opener:
    """Return the function that opens a split of a format or of a factory.

    Parameters
    ----------
    dataset : str
        The value of ``--dataset``: the name of a format, or ``MODULE:FACTORY``.

    Returns
    -------
    callable
        It takes a :class:`SplitRequest` and returns the data set.

    Raises
    ------
    InputError
        There is no such format.
    """
    if ":" in dataset:
        return _open_factory
    if dataset not in _OPENERS:
        raise InputError(
            f"--dataset is {dataset!r}; want {', '.join(sorted(_OPENERS))}, or MODULE:FACTORY "
            f"of your own{did_you_mean(dataset, _OPENERS)}"
        )
    return _OPENERS[dataset]
