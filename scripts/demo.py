"""Draw what a detector finds on images.

Example: an exported network on a folder of photos

    python scripts/demo.py photos --exported out/blood --output drawn

Every image gets a picture <name>-detections.jpg in the output folder and a line that says what was
found. An image that cannot be read gets an error line; the others are still processed, and the
status is then 1. With --json all detections are also written to one file.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

from gluonnorm.deploy import Predictor
from gluonnorm.deploy.backends.choice import RUN_TIMES
from gluonnorm.errors import InputError
from gluonnorm.photos.files import ImageError, read_image
from gluonnorm.types import Detections
from gluonnorm.visualize import draw, open_font

import numpy as np
from _cli import add_plugin_argument, run, seed_everything
from _detector import open_detector
from _json_detections import json_detections, json_document, json_image
from _model_flags import add_model_arguments
from _output import add_font_argument, make_parent_folder, write_jpeg, write_text
from _photos import list_photos

UNREADABLE_IMAGES = 1  # the exit status


def parse_args() -> argparse.Namespace:
    """Read the command line.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files, or folders of them"
    )
    add_model_arguments(parser, exported=True)
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="class names, for weights of a *_custom network",
    )
    parser.add_argument(
        "--score-thresh",
        type=float,
        default=0.5,
        metavar="S",
        help="draw detections of at least this score (default: 0.5)",
    )
    parser.add_argument(
        "--color-by",
        choices=["class", "instance"],
        default="class",
        help="instance: each object has its own color (default: class)",
    )
    parser.add_argument(
        "--no-boxes", action="store_true", help="draw masks alone: for many small objects"
    )
    parser.add_argument(
        "--output",
        default="detections",
        metavar="FOLDER",
        help="the folder of the pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write all that the network returns, whatever --score-thresh: per "
        "image file, height, width and detections, or error; per detection "
        "class, id, score, box (x1 y1 x2 y2 in pixels) and, of networks with "
        "masks, mask (COCO's run lengths). The entry inclusive is true for networks "
        "whose x2 and y2 are the last pixel of a box (docs/conventions.md)",
    )
    parser.add_argument(
        "--backend",
        choices=list(RUN_TIMES),
        help="what runs exported files (default: the first of these that is installed and has its "
        "files)",
    )
    parser.add_argument("--gpus", default="", help="e.g. 0, in MXNet (default: the CPU)")
    parser.add_argument(
        "--seed", type=int, default=233, help="seed of every random choice (default: 233)"
    )
    add_font_argument(parser)
    add_plugin_argument(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> int:
    """Detect and draw, image by image.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Returns
    -------
    int
        The exit status: 0, or 1 if an image could not be read.
    """
    seed_everything(args.seed)
    files = list_photos(args.images)
    detector = open_detector(args, args.backend)
    folder = Path(args.output)
    # Before the work, so that a wrong name does not cost the results.
    make_parent_folder("--json", args.json)
    open_font(args.font)
    folder.mkdir(parents=True, exist_ok=True)

    entries: List[Dict[str, Any]] = []
    used_names: List[str] = []
    for file in files:
        try:
            image = read_image(file)
        except ImageError as error:
            print(f"error: {error}", file=sys.stderr)
            entries.append({"file": str(file), "error": str(error)})
            continue
        detections = detect(detector, image, need_masks=args.no_boxes)
        picture = draw(
            image,
            detections,
            detector.classes,
            args.score_thresh,
            color_by=args.color_by,
            boxes=not args.no_boxes,
            font=args.font,
        )
        target = folder / f"{unused_name(file.stem, used_names)}-detections.jpg"
        write_jpeg(target, picture)
        print(f"{file}: {summary(detections, detector.classes, args.score_thresh)} -> {target}")
        if args.json:
            rows = json_detections(detections, detector.classes)
            height, width = image.shape[:2]
            entries.append(json_image(str(file), height, width, rows))
    if args.json:
        document = json_document(entries, detector.classes, detector.preprocess.inclusive)
        write_text(args.json, json.dumps(document))
    any_error = any("error" in entry for entry in entries)
    return UNREADABLE_IMAGES if any_error else 0


def detect(detector: Predictor, image: np.ndarray, need_masks: bool) -> Detections:
    """Run the detector on one image.

    Parameters
    ----------
    detector : Predictor
        The detector.
    image : numpy.ndarray
        (H, W, 3) uint8 RGB.
    need_masks : bool
        Whether masks are all that will be drawn.

    Returns
    -------
    Detections
        Boxes and masks in the image's own pixels.

    Raises
    ------
    InputError
        The detector gives no masks, and they are needed.
    """
    detections = detector(image)
    if need_masks and detections.masks is None:
        raise InputError("--no-boxes leaves nothing to draw: this network has no masks")
    return detections


def unused_name(stem: str, used_names: List[str]) -> str:
    """Find a file name for a picture, because images of several folders may share one name.

    Parameters
    ----------
    stem : str
        The image's file name without its ending.
    used_names : list of str
        The names so far; the new one is appended.

    Returns
    -------
    str
        ``stem``, or ``stem-2``, ``stem-3`` and so on.

    Examples
    --------
    >>> unused_name("a", ["a"])
    'a-2'
    """
    name = stem
    number = 1
    while name in used_names:
        number += 1
        name = f"{stem}-{number}"
    used_names.append(name)
    return name


def summary(detections: Detections, classes: Sequence[str], score_thresh: float) -> str:
    """Count the drawn detections of each class.

    Parameters
    ----------
    detections : Detections
        All detections of an image.
    classes : sequence of str
        The name of each class id.
    score_thresh : float
        Detections of a lower score are not drawn and not counted.

    Returns
    -------
    str
        A text such as ``"2 cat, 1 dog"``, or ``"nothing"``.
    """
    drawn_ids = detections.ids[detections.scores >= score_thresh].tolist()
    counts = []
    for class_id, name in enumerate(classes):
        count = drawn_ids.count(class_id)
        if count:
            counts.append(f"{count} {name}")
    return ", ".join(counts) or "nothing"


if __name__ == "__main__":
    run(main, parse_args())
