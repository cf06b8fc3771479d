"""The files in which demo.py writes the detections of photos."""

import argparse
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple
from urllib.parse import quote

from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.deploy import Predictor
from gluonnorm.detection_formats import coco_data, label_studio_config, label_studio_task
from gluonnorm.errors import InputError
from gluonnorm.types import Detections

from _json_detections import json_detections, json_document, json_image
from _output import prepare_files, write_text

# Where Label Studio serves files of its own machine.
LOCAL_FILES = "/data/local-files/?d="


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the files.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser.
    """
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write all that the network returns, whatever --score-thresh: per "
        "image file, height, width and detections, or error; per detection "
        "class, id, score, box (x1 y1 x2 y2 in pixels) and, of networks with "
        "masks, mask (COCO's run lengths). The entry inclusive is true for networks "
        "whose x2 and y2 are the last pixel of a box (docs/conventions.md). Of videos, a line for "
        "each frame, with its number and its time in seconds",
    )
    parser.add_argument(
        "--coco",
        metavar="FILE",
        help="write what is drawn as a COCO file, with scores (docs/detections.md)",
    )
    parser.add_argument(
        "--label-studio",
        metavar="FILE",
        help="write what is drawn as tasks of Label Studio, to be corrected there, and its "
        "labeling interface as FILE with the ending .xml (docs/detections.md)",
    )


def check_file_arguments(args: argparse.Namespace, photos: Sequence[Path], is_video: bool) -> None:
    """Check the flags of the files before the work, and make folders.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of demo.py.
    photos : sequence of pathlib.Path
        The photos or videos.
    is_video : bool
        Whether they are videos.

    Raises
    ------
    InputError
        A file cannot be written, would replace what is read, or cannot hold these photos.
    """
    if is_video and (args.coco or args.label_studio):
        raise InputError("--coco and --label-studio are for photos; of videos, give --json")
    files = [("--json", args.json), ("--coco", args.coco), ("--label-studio", args.label_studio)]
    if args.label_studio:
        files.append(("--label-studio", str(_interface_file(args.label_studio))))
    prepare_files(args, files, photos)
    if args.label_studio:
        # Label Studio imports no JSON under another name.
        if Path(args.label_studio).suffix != ".json":
            raise InputError(
                f"--label-studio is {args.label_studio}; want a name that ends in .json"
            )
        for photo in photos:
            _local_url(photo, args.label_studio)


def _interface_file(tasks_file: str) -> Path:
    """Name the file of the labeling interface beside the tasks."""
    return Path(tasks_file).with_suffix(".xml")


class DetectionFiles:
    """Collect the detections of photos, and write them as the flags say.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of demo.py.
    detector : Predictor
        What detects.

    Raises
    ------
    InputError
        Label Studio cannot have the names of the classes.
    """

    def __init__(self, args: argparse.Namespace, detector: Predictor) -> None:
        self._args = args
        self._detector = detector
        self._entries: List[Dict[str, Any]] = []
        self._coco_images: List[Tuple[str, Tuple[int, int], Detections]] = []
        self._tasks: List[Dict[str, Any]] = []
        # A class name that it cannot hold is an error before the work.
        self._config = ""
        if args.label_studio:
            self._config = label_studio_config(detector.classes, detector.has_masks)

    def add(self, photo: Path, size: Tuple[int, int], detections: Detections) -> None:
        """Collect the detections of a photo.

        Parameters
        ----------
        photo : pathlib.Path
            The photo's file.
        size : tuple of int
            Height and width of the photo in pixels.
        detections : Detections
            All of its detections.
        """
        classes = self._detector.classes
        if self._args.json:
            rows = json_detections(detections, classes)
            self._entries.append(json_image(str(photo), *size, rows))
        if not (self._args.coco or self._args.label_studio):
            return
        drawn = _at_least(detections, self._args.score_thresh)
        if self._args.coco:
            name = Path(os.path.relpath(photo, Path(self._args.coco).parent)).as_posix()
            self._coco_images.append((name, size, drawn))
        if self._args.label_studio:
            url = _local_url(photo, self._args.label_studio)
            version = Path(self._args.exported or self._args.params or self._args.network).name
            self._tasks.append(label_studio_task(url, size, drawn, classes, version))

    def add_error(self, photo: Path, error: Exception) -> None:
        """Note that a photo could not be read.

        Parameters
        ----------
        photo : pathlib.Path
            The photo's file.
        error : Exception
            What is wrong with it.
        """
        self._entries.append({"file": str(photo), "error": str(error)})

    def write(self) -> None:
        """Write the files.

        Raises
        ------
        InputError
            A file cannot be written.
        """
        classes = self._detector.classes
        if self._args.json:
            inclusive = self._detector.preprocess.inclusive
            document = json_document(self._entries, classes, inclusive)
            write_text(self._args.json, json.dumps(document))
        if self._args.coco:
            write_text(self._args.coco, json.dumps(coco_data(self._coco_images, classes)))
        if self._args.label_studio:
            config_file = _interface_file(self._args.label_studio)
            write_text(config_file, self._config + "\n")
            write_text(self._args.label_studio, json.dumps(self._tasks))
            print(f"{self._args.label_studio}: the labeling interface is {config_file}")


def _at_least(detections: Detections, score_thresh: float) -> Detections:
    """Keep the detections of at least this score, with masks that take the memory of objects."""
    is_kept = detections.scores >= score_thresh
    masks = None
    if detections.masks is not None:
        whole = CroppedMasks.of(detections.masks)[is_kept]
        crops = [crop._replace(pixels=crop.pixels.copy()) for crop in whole.crops]
        masks = CroppedMasks(crops, *whole.shape[1:])
    return Detections(
        detections.boxes[is_kept],
        detections.scores[is_kept],
        detections.ids[is_kept],
        masks,
        detections.inclusive,
    )


def _local_url(photo: Path, tasks_file: str) -> str:
    """Return the address under which Label Studio finds a photo, seen from the tasks' folder."""
    folder = Path(os.path.abspath(tasks_file)).parent
    path = Path(os.path.abspath(photo))
    # Label Studio serves the folders below its root, but no file that lies in the root itself.
    if folder not in path.parents or path.parent == folder:
        raise InputError(
            f"--label-studio {tasks_file} is not above the folder of {photo}; name a file in a "
            f"folder above the photos' one, such as {path.parent.parent / Path(tasks_file).name}"
        )
    return LOCAL_FILES + quote(path.relative_to(folder).as_posix())
