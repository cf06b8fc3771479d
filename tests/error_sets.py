"""Drawn ground truths with detections that have every kind of error, in boxes and in masks.

``golden/make_tidecv.py`` gives them to the real tidecv, in a Python that has none of this package.
"""

import hashlib
import json
from typing import NamedTuple

import numpy as np
from pycocotools import mask as run_length_codec

SIDE = 120  # pixels of an image
DUPLICATE_OFFSET = (1, 1, 0, 0)


class SetRecipe(NamedTuple):
    """What one set is like.

    Attributes
    ----------
    images, classes : int
        How many there are.
    most_objects : int
        Objects of an image, at most; some images have none.
    crowd : float
        The share of objects that are crowd.
    score_steps : int
        Scores are multiples of 1 / score_steps, so that few steps make many equal scores.
    background : int
        Detections of an image in any place, at most.
    absent : tuple of int
        Classes without objects.
    silent : tuple of int
        Classes without detections.
    """

    images: int = 8
    classes: int = 3
    most_objects: int = 5
    crowd: float = 0.0
    score_steps: int = 100000
    background: int = 3
    absent: tuple = ()
    silent: tuple = ()


RECIPES = {
    "plain": SetRecipe(),
    "one class": SetRecipe(classes=1, images=4),
    "many classes": SetRecipe(classes=20, images=12, most_objects=8),
    "crowds": SetRecipe(crowd=0.5, most_objects=8),
    "ties": SetRecipe(score_steps=4, most_objects=8),
    "tied crowds of many": SetRecipe(classes=6, crowd=0.3, score_steps=3, most_objects=9),
    "more than 100 detections": SetRecipe(images=3, background=150),
    "absent and silent classes": SetRecipe(classes=5, absent=(1,), silent=(2, 3)),
    "mostly background": SetRecipe(images=6, most_objects=1, background=8),
}


def draw_set(name):
    """Draw a ground truth and detections.

    Parameters
    ----------
    name : str
        A key of ``RECIPES``.

    Returns
    -------
    ground_truth : dict
        In COCO's format, with boxes and run lengths.
    results : list of dict
        COCO result entries with ``bbox`` and ``segmentation``.
    """
    recipe = RECIPES[name]
    random = np.random.RandomState(sum(name.encode()))
    images = []
    annotations = []
    results = []
    for number in range(recipe.images):
        # The ids are in another order than the images.
        image_id = 100 - 7 * number
        images.append({"id": image_id, "file_name": f"{number}.jpg", "height": SIDE, "width": SIDE})
        objects = _draw_objects(random, recipe, image_id)
        annotations += objects
        # The third image has no detections.
        if number != 2:
            results += _draw_detections(random, recipe, image_id, objects)
    for number, annotation in enumerate(annotations):
        annotation["id"] = number + 1
    categories = []
    for label in range(recipe.classes):
        categories.append({"id": _category_id(label), "name": f"class {label}"})
    order = random.permutation(len(results)).tolist()
    ground_truth = {"images": images, "categories": categories, "annotations": annotations}
    return ground_truth, [results[position] for position in order]


def digest(ground_truth, results):
    """Tell whether two programs have drawn the same set."""
    return hashlib.sha256(json.dumps([ground_truth, results]).encode()).hexdigest()


def _category_id(label):
    """Category ids have gaps."""
    return 3 * label + 2


def _draw_objects(random, recipe, image_id):
    """Draw the annotations of one image."""
    labels = [label for label in range(recipe.classes) if label not in recipe.absent]
    annotations = []
    for _ in range(random.randint(recipe.most_objects + 1)):
        box = _draw_box(random)
        annotations.append(
            {
                "image_id": image_id,
                "category_id": _category_id(int(random.choice(labels))),
                "bbox": box,
                "segmentation": _ellipse(box),
                "area": box[2] * box[3],
                "iscrowd": int(random.rand() < recipe.crowd),
            }
        )
    return annotations


def _draw_detections(random, recipe, image_id, objects):
    """Draw the results of one image: some near objects, some anywhere."""
    labels = [label for label in range(recipe.classes) if label not in recipe.silent]
    boxes = []
    categories = []
    for annotation in objects:
        for _ in range(random.randint(4)):
            # From hardly moved to far away.
            offsets = random.normal(0, random.choice([0.5, 3, 8, 15]), 4)
            boxes.append(_moved(annotation["bbox"], offsets))
            own = annotation["category_id"]
            other = _category_id(int(random.choice(labels)))
            is_allowed = own in [_category_id(label) for label in labels]
            categories.append(own if is_allowed and random.rand() < 0.7 else other)
            if random.rand() < 0.3:
                boxes.append(_moved(boxes[-1], DUPLICATE_OFFSET))
                categories.append(categories[-1])
    for _ in range(random.randint(recipe.background // 2, recipe.background + 1)):
        boxes.append(_draw_box(random))
        categories.append(_category_id(int(random.choice(labels))))
    results = []
    for box, category_id in zip(boxes, categories):
        score = random.randint(1, recipe.score_steps + 1) / recipe.score_steps
        results.append(
            {
                "image_id": image_id,
                "category_id": category_id,
                "bbox": box,
                "score": score,
                "segmentation": _ellipse(box),
            }
        )
    return results


def _draw_box(random):
    """Draw x, y, width and height inside of an image, whole pixels."""
    width, height = random.randint(12, 60, 2).tolist()
    return [random.randint(SIDE - width), random.randint(SIDE - height), width, height]


def _moved(box, offsets):
    """Move a box and change its sides, and keep it inside of the image."""
    x, y, width, height = [int(round(side + offset)) for side, offset in zip(box, offsets)]
    x = min(max(x, 0), SIDE - 5)
    y = min(max(y, 0), SIDE - 5)
    return [x, y, min(max(width, 5), SIDE - x), min(max(height, 5), SIDE - y)]


def _ellipse(box):
    """Fill the ellipse inside of a box, as run lengths that JSON has."""
    x, y, width, height = box
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    vertical = (rows - y - height / 2) / (height / 2)
    horizontal = (columns - x - width / 2) / (width / 2)
    mask = np.asfortranarray(vertical**2 + horizontal**2 <= 1, dtype=np.uint8)
    encoded = run_length_codec.encode(mask)
    return {"size": [SIDE, SIDE], "counts": encoded["counts"].decode("ascii")}
