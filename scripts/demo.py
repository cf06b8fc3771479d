"""Draw what a detector finds on images.

Example: an exported network on a folder of photos

    python scripts/demo.py photos --exported out/blood --output drawn

Every image gets a picture <name>-detections.jpg in the output folder and a line that says what was found. An image
that cannot be read gets an error line; the others are still done, and the status is then 1. With --json all detections
go into one file as well.
"""
import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

from gluonnorm.evaluation import coco_results
from gluonnorm.photos.files import ImageError, image_files, read_image
from gluonnorm.types import Detections
from gluonnorm.visualize import draw

from _cli import contexts, run, seed_everything
from _models import add_model_arguments, open_detector
from PIL import Image


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, or folders of them")
    add_model_arguments(parser, exported=True)
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="class names, for weights of a *_custom network")
    parser.add_argument("--score-thresh", type=float, default=0.5, metavar="S",
                        help="draw detections of at least this score (default: 0.5)")
    parser.add_argument("--color-by", choices=["class", "instance"], default="class",
                        help="instance: each object has its own colour (default: class)")
    parser.add_argument("--no-boxes", action="store_true", help="draw masks alone: for many small objects")
    parser.add_argument("--output", default="detections", metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE",
                        help="write all that the network returns, whatever --score-thresh: per image file, height, "
                             "width and detections, or error; per detection class, id, score, box (x1 y1 x2 y2 in "
                             "pixels) and, of networks with masks, mask (COCO's run lengths)")
    parser.add_argument("--gpus", default="", help="e.g. 0 (default: the CPU)")
    parser.add_argument("--seed", type=int, default=233, help="of every random choice (default: 233)")
    return parser.parse_args()


def main(args: argparse.Namespace) -> int:
    """Detect and draw, image by image; 1 if any could not be read."""
    seed_everything(args.seed)
    ctx = contexts(args.gpus)[:1]
    files = [file for path in args.images for file in (image_files(path) if os.path.isdir(path) else [Path(path)])]
    detector = open_detector(args, ctx, args.classes)
    output = Path(args.output)
    if args.json:
        if os.path.isdir(args.json):
            raise ValueError(f"--json {args.json} is a folder; name a file")
        Path(args.json).parent.mkdir(parents=True, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    entries: List[Dict[str, Any]] = []
    used: List[str] = []
    for file in files:
        entries.append({"file": str(file)})
        try:
            image = read_image(file)
        except ImageError as error:
            print(f"error: {error}", file=sys.stderr)
            entries[-1]["error"] = str(error)
            continue
        found = detector(image)
        if args.no_boxes and found.masks is None:
            raise ValueError("--no-boxes leaves nothing to draw: this network has no masks")
        drawn = draw(image, found, detector.classes, args.score_thresh, color_by=args.color_by,
                     boxes=not args.no_boxes)
        target = output / f"{unused_name(file.stem, used)}-detections.jpg"
        Image.fromarray(drawn).save(target, quality=92)
        print(f"{file}: {summary(found, detector.classes, args.score_thresh)} -> {target}")
        if args.json:
            entries[-1].update(height=image.shape[0], width=image.shape[1],
                               detections=described(found, detector.classes))
    if args.json:
        Path(args.json).write_text(json.dumps({"classes": detector.classes, "images": entries}), encoding="utf-8")
    return int(any("error" in entry for entry in entries))


def described(found: Detections, classes: Sequence[str]) -> List[Dict[str, Any]]:
    """What was found on one image, best first, fit for JSON."""
    results = coco_results([(0, found)], range(len(classes)))
    return [{"class": classes[result["category_id"]], "id": result["category_id"], "score": result["score"], "box": box,
             **({"mask": result["segmentation"]} if "segmentation" in result else {})}
            for result, box in zip(results, found.boxes.tolist())]


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
