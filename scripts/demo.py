"""Draw what a detector finds on images.

Example: an exported network on a folder of photos

    python scripts/demo.py photos --exported out/blood --output drawn

Every image gets a picture <name>-detections.jpg in the output folder and a line that says what was found. An image
that cannot be read gets an error line; the others are still done, and the status is then 1.
"""
import argparse
import sys
from pathlib import Path
from typing import List, Sequence

from gluonnorm.data import DataError, read_image
from gluonnorm.types import Detections
from gluonnorm.visualize import draw

from _cli import contexts, run, seed_everything
from _models import add_model_arguments, open_detector
from PIL import Image

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, or folders of them")
    add_model_arguments(parser, exported=True)
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="class names, for weights of a *_custom network")
    parser.add_argument("--score-thresh", type=float, default=0.5, metavar="S",
                        help="draw detections of at least this score (default: 0.5)")
    parser.add_argument("--colour-by", choices=["class", "instance"], default="class",
                        help="instance: each object has its own colour (default: class)")
    parser.add_argument("--no-boxes", action="store_true", help="draw masks alone: for many small objects")
    parser.add_argument("--output", default="detections", metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--gpus", default="", help="e.g. 0 (default: the CPU)")
    parser.add_argument("--seed", type=int, default=233, help="of every random choice (default: 233)")
    return parser.parse_args()


def main(args: argparse.Namespace) -> int:
    """Detect and draw, image by image; 1 if any could not be read."""
    seed_everything(args.seed)
    ctx = contexts(args.gpus)[:1]
    files = image_files(args.images)
    detector = open_detector(args, ctx, args.classes)
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    failed = 0
    used: List[str] = []
    for file in files:
        try:
            image = read_image(file)
        except DataError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = 1
            continue
        found = detector(image)
        if args.no_boxes and found.masks is None:
            raise ValueError("--no-boxes leaves nothing to draw: this network has no masks")
        drawn = draw(image, found, detector.classes, args.score_thresh, colour_by=args.colour_by,
                     boxes=not args.no_boxes)
        target = output / f"{unused_name(file.stem, used)}-detections.jpg"
        Image.fromarray(drawn).save(target, quality=92)
        print(f"{file}: {summary(found, detector.classes, args.score_thresh)} -> {target}")
    return failed


def image_files(paths: List[str]) -> List[Path]:
    """``paths``, each folder replaced by the images in it, sorted. Raises DataError for a folder without any."""
    files: List[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES)
            if not inside:
                raise DataError(f"{path}: no images in this folder; looked for {', '.join(SUFFIXES)}")
            files += inside
        else:
            files.append(path)
    return files


def unused_name(stem: str, used: List[str]) -> str:
    """``stem``, or ``stem-2``, ``stem-3``, .. where images of several folders have the same name."""
    name, number = stem, 1
    while name in used:
        number += 1
        name = f"{stem}-{number}"
    used.append(name)
    return name


def summary(found: Detections, classes: Sequence[str], score_thresh: float) -> str:
    """How many of which class were drawn."""
    ids = found.ids[found.scores >= score_thresh].tolist()
    counts = [f"{ids.count(i)} {name}" for i, name in enumerate(classes) if i in ids]
    return ", ".join(counts) or "nothing"


if __name__ == "__main__":
    run(main, parse_args())
