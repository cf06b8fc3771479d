import os
import subprocess
import sys

from gluonnorm.class_colors import NEIGHBORS, PALETTE, class_colors, hex_color, letters_on
from model_zoo.classes import COCO_CLASSES, VOC_CLASSES

import numpy as np
import pytest

OKLAB_DISTANCE = 0.12  # about as far as orange is from red


def to_oklab(colors):
    """Björn Ottosson's Oklab of RGB colors in 0..255, (N, 3)."""
    share = np.array(colors, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.cbrt(cones) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )


def test_no_two_colors_of_the_palette_look_alike():
    oklab = to_oklab(PALETTE)
    distances = np.linalg.norm(oklab[:, None] - oklab, axis=2)
    assert distances[~np.eye(len(PALETTE), dtype=bool)].min() > OKLAB_DISTANCE
    # White, black and gray are the colors of letters, paper and many photos.
    assert np.linalg.norm(oklab[:, 1:], axis=1).min() >= 0.06


def test_a_name_has_one_color_in_every_list_and_process():
    alone = {name: class_colors([name])[0] for name in ("RBC", "WBC", "Platelets", "cat", "猫")}
    for names in (["RBC", "WBC", "Platelets"], ["Platelets", "RBC", "WBC"], ["cat", "猫"]):
        assert class_colors(names) == [alone[name] for name in names]
    program = "from gluonnorm.class_colors import class_colors; print(class_colors(['cat', '猫']))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == str([alone["cat"], alone["猫"]])


def test_public_data_sets_share_colors():
    coco = dict(zip(COCO_CLASSES, class_colors(COCO_CLASSES)))
    voc = dict(zip(VOC_CLASSES, class_colors(VOC_CLASSES)))
    shared = set(coco) & set(voc)
    assert len(shared) == 14
    assert sum(coco[name] == voc[name] for name in shared) == 13


@pytest.mark.parametrize("names", [COCO_CLASSES, [f"class {n}" for n in range(200)], "abcdefghijk"])
def test_neighbors_in_a_list_differ(names):
    colors = class_colors(names)
    assert len(colors) == len(names)
    for index, color in enumerate(colors):
        assert color not in colors[max(0, index - NEIGHBORS) : index]


def test_an_added_class_changes_no_color_before_it():
    assert class_colors(COCO_CLASSES)[:40] == class_colors(COCO_CLASSES[:40])


def test_letters_are_readable_on_every_color():
    """The contrast ratio of WCAG 2.1, which asks for 4.5."""
    corners = [(r, g, b) for r in (0, 128, 255) for g in (0, 128, 255) for b in (0, 128, 255)]
    for color in [*PALETTE, *corners]:
        assert contrast(color, letters_on(color)) >= 4.5, hex_color(color)


def contrast(one, other):
    """(L1 + 0.05) / (L2 + 0.05) of the lighter and the darker color."""
    channels = np.array([one, other], float) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    darker, lighter = sorted(linear @ [0.2126, 0.7152, 0.0722])
    return (lighter + 0.05) / (darker + 0.05)
