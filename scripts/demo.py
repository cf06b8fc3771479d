"""Draw what a detector finds on images and videos.

Examples: an exported network on a folder of photos, and on a video

    python scripts/demo.py photos --exported out/blood --output drawn
    python scripts/demo.py clip.mp4 --exported out/blood --output drawn

Every image gets a picture <name>-detections.jpg in the output folder and a line that says what was
found. An image that cannot be read, or that is too narrow for the network, gets an error line; the
others are still processed, and the status is then 1. With --json all detections are also written to
one file; --coco and --label-studio write what is drawn for other programs. A video becomes
<name>-detections.mp4, without sound; with --json, the file has one line of JSON for each frame.
"""

import argparse
import sys
from pathlib import Path
from typing import Optional, Sequence

from gluonnorm.deploy import Predictor
from gluonnorm.errors import InputError
from gluonnorm.late_import import import_late
from gluonnorm.photos.files import ImageError, read_image
from gluonnorm.photos.tiles import DEFAULT_OVERLAP, MOST_OVERLAP, Tiling
from gluonnorm.types import Detections
from gluonnorm.visualize import open_font

import numpy as np
from _cli import add_plugin_argument, add_seed_argument, run, seed_everything
from _detection_files import DetectionFiles, add_file_arguments, check_file_arguments
from _detector import open_detector
from _drawing import draw_as_asked, picture_paths
from _gpus import refuse_several_gpus
from _model_flags import add_model_arguments
from _output import LONGEST_JPEG, add_font_argument, make_folder, write_jpeg
from _photos import are_videos, list_photos
from _script_parser import ScriptParser

UNREADABLE = 1  # the exit status


def parse_args() -> argparse.Namespace:
    """Read the command line.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = ScriptParser(__doc__)
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files or folders of them, or videos"
    )
    add_model_arguments(parser, exported=True)
    parser.add_argument(
        "--classes",
        action="extend",
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
    add_file_arguments(parser)
    parser.add_argument(
        "--tile",
        type=int,
        metavar="PIXELS",
        help="take larger images in overlapping tiles of this side, for aerial photos and slides "
        "(docs/deploy.md)",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        metavar="SHARE",
        help=f"of a tile that its neighbor sees too, 0 to {MOST_OVERLAP:g} (default: "
        f"{DEFAULT_OVERLAP:g}); longer objects are put together from parts",
    )
    parser.add_argument(
        "--gpus", default="", help="one, e.g. 0, not in OpenVINO (default: the CPU)"
    )
    add_seed_argument(parser)
    add_font_argument(parser)
    add_plugin_argument(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> int:
    """Detect and draw on images or on videos.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Returns
    -------
    int
        The exit status: 0, or 1 if an image or a part of a video could not be read.
    """
    # Also for nan. No detection has such a score, so the pictures would be empty without a word.
    if not 0 <= args.score_thresh <= 1:
        raise InputError(
            f"--score-thresh is {args.score_thresh:g}; want a score in 0..1, such as 0.5"
        )
    refuse_several_gpus(args.gpus)
    seed_everything(args.seed)
    files = list_photos(args.images)
    is_video = are_videos(files)
    detector = open_detector(args, args.backend, tiling_of(args))
    # Before the work, so that a wrong name does not cost the results.
    check_file_arguments(args, files, is_video)
    pictures = picture_paths(args.output, files, f"-detections.{'mp4' if is_video else 'jpg'}")
    open_font(args.font)
    make_folder(f"--output {args.output}", args.output)
    if is_video:
        demo_video = import_late(
            "_demo_video",
            InputError,
            "a video needs OpenCV and tqdm",
            "install them with pip install 'opencv-python<4.12' tqdm",
        )
        all_read = demo_video.draw_videos(files, pictures, detector, args)
    else:
        all_read = draw_images(files, pictures, detector, args)
    return 0 if all_read else UNREADABLE


def draw_images(
    files: Sequence[Path], pictures: Sequence[Path], detector: Predictor, args: argparse.Namespace
) -> bool:
    """Detect and draw, image by image.

    Parameters
    ----------
    files : sequence of pathlib.Path
        The image files.
    pictures : sequence of pathlib.Path
        The drawn picture of each file.
    detector : Predictor
        The detector.
    args : argparse.Namespace
        What ``parse_args`` returns.

    Returns
    -------
    bool
        Whether all images could be read.
    """
    detection_files = DetectionFiles(args, detector)
    all_read = True
    for file, target in zip(files, pictures):
        try:
            image = read_drawable(file)
            detections = detect(image, detector, file)
        except ImageError as error:
            print(f"error: {error}", file=sys.stderr)
            detection_files.add_error(file, error)
            all_read = False
            continue
        picture = draw_as_asked(image, detections, detector, args, legend=True)
        # The legend below a photo of the largest height is cut off.
        write_jpeg(target, picture[:LONGEST_JPEG])
        print(f"{file}: {summary(detections, detector.classes, args.score_thresh)} -> {target}")
        height, width = image.shape[:2]
        detection_files.add(file, (height, width), detections)
    detection_files.write()
    return all_read


def read_drawable(file: Path) -> np.ndarray:
    """Read an image that a JPEG file can hold.

    Parameters
    ----------
    file : pathlib.Path
        The image file.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8 RGB.

    Raises
    ------
    ImageError
        The file cannot be read, or the image is too long for a JPEG file.
    """
    image = read_image(file)
    if max(image.shape) > LONGEST_JPEG:
        raise ImageError(
            f"{file}: has a side of {max(image.shape)} pixels, and the pictures are JPEG, "
            f"which has at most {LONGEST_JPEG}; cut it into shorter parts"
        )
    return image


def detect(image: np.ndarray, detector: Predictor, file: Path) -> Detections:
    """Detect objects on an image that was read from a file.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3) uint8 RGB.
    detector : Predictor
        The detector.
    file : pathlib.Path
        The image file, for messages.

    Returns
    -------
    Detections
        All detections.

    Raises
    ------
    ImageError
        The image is too narrow for the network.
    """
    try:
        return detector(image)
    except ImageError as error:
        # The detector gets pixels alone, so its message does not name the file.
        raise ImageError(f"{file}: {error}") from error


def tiling_of(args: argparse.Namespace) -> Optional[Tiling]:
    """Read from the flags in which tiles large images are taken.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Returns
    -------
    Tiling or None
        None without ``--tile``.

    Raises
    ------
    InputError
        A wrong number, or ``--overlap`` without ``--tile``.
    """
    if args.tile is None:
        if args.overlap is not None:
            raise InputError("--overlap is that of tiles; give --tile as well, such as --tile 1024")
        return None
    return Tiling(args.tile, DEFAULT_OVERLAP if args.overlap is None else args.overlap)


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
