"""The real images that the experiments train on, and the flags that read them."""

import json
import os
from pathlib import Path
from typing import Any, Dict, List

from experiments.rows import BCCD, NUCLEI
from gluonnorm.data import draw_shapes
from gluonnorm.data.json_file import read_json
from gluonnorm.errors import InputError

# Photographs of blood with boxes: 205 images to train on, 87 to score.
BCCD_FLAGS = f"--dataset voc --data-root {BCCD} --train-split train --val-split val".split()
# Micrographs with masks: 200 images to train on, 50 to score.
NUCLEI_FLAGS = (
    f"--dataset coco --data-root {NUCLEI} --image-dir images --train-split train --val-split val"
).split()
NUM_TRAIN_NUCLEI = 200


def draw_shapes_once(target: Path) -> None:
    """Draw the shapes: 240 images to train on, 40 to score.

    Parameters
    ----------
    target : pathlib.Path
        The folder to write. Nothing is drawn if it is complete.
    """
    # The annotations of the last split are written last.
    if not (target / "annotations" / "instances_val.json").exists():
        draw_shapes(target, train=240, val=40, seed=233)


def split_nuclei(source: str, target: Path) -> None:
    """Divide the nuclei, which have one annotation file, into images for training and for scoring.

    The first 200 file names in order are for training, the others for scoring.

    Parameters
    ----------
    source : str
        The folder of the data set, with ``annotations/instances_train.json`` and ``images``.
    target : pathlib.Path
        The folder to write. Its images are a link to those of ``source``.

    Raises
    ------
    InputError
        The annotation file is missing or damaged, or a folder is where the link should be.
    """
    content = read_json(os.path.join(source, "annotations", "instances_train.json"))
    images = sorted(content["images"], key=lambda image: image["file_name"])
    if len(images) <= NUM_TRAIN_NUCLEI:
        raise InputError(
            f"{source} has {len(images)} annotated images; the experiments train on "
            f"{NUM_TRAIN_NUCLEI} and score the others"
        )
    annotations = target / "annotations"
    annotations.mkdir(parents=True, exist_ok=True)
    parts = {"train": images[:NUM_TRAIN_NUCLEI], "val": images[NUM_TRAIN_NUCLEI:]}
    for split, part in parts.items():
        text = json.dumps(_with_images(content, part))
        (annotations / f"instances_{split}.json").write_text(text, encoding="utf-8")
    _link_images(Path(source, "images").resolve(), target / "images")


def _link_images(images: Path, link: Path) -> None:
    """Link a folder of images; a link to another folder is replaced."""
    if link.is_symlink():
        if link.resolve() == images:
            return
        link.unlink()
    elif link.exists():
        raise InputError(
            f"{link} is no link to {images}; move it away, or give another folder of --runs"
        )
    link.symlink_to(images, target_is_directory=True)


def _with_images(content: Dict[str, Any], images: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Keep some images of a COCO file, with their annotations."""
    kept = {image["id"] for image in images}
    annotations = [entry for entry in content["annotations"] if entry["image_id"] in kept]
    return {**content, "images": images, "annotations": annotations}
