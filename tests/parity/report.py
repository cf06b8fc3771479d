"""Write the parity table of docs/weights.md: every case and its largest differences.

``make parity`` runs this program.
"""

import argparse
import gc
from pathlib import Path
from typing import Callable, Iterator, List, Tuple

import model_zoo
from gluonnorm import conversion

import numpy as np
from parity import gluoncv_judge, golden
from tqdm import tqdm

PAGE = Path(__file__).resolve().parents[2] / "docs" / "weights.md"
BEGIN = "<!-- parity: begin -->"
END = "<!-- parity: end -->"
HEAD = (
    "| source | model | image | maps | found / wanted | the same | boxes, px | scores | masks |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
# GluonCV's own models return a row for each class and proposal. Few classes and proposals keep
# the comparison fast.
CLASSES = tuple("abcdef")
PROPOSALS = 60
HEIGHT, WIDTH = 160, 224


def gluoncv_names() -> List[str]:
    """List GluonCV's detectors on ResNet v1b and v1d that it can build.

    Of the ``_custom`` rows, GluonCV has only those of Faster R-CNN with one map.
    """
    names = []
    for name, model in sorted(model_zoo.catalogue.MODELS.items()):
        has_convention = model.settings.get("convention") == "gluoncv"
        is_gluoncv_s = not name.endswith("_custom") or name.startswith("faster_rcnn_resnet")
        if has_convention and is_gluoncv_s:
            names.append(name)
    return names


def golden_row(path: Path) -> str:
    """Compare one file of ``tests/golden``, and write its line of the table."""
    case = golden.Case(path)
    differences = golden.compare(case, case.network())
    size = "x".join(map(str, case.size))
    begin = f"| {case.source} | {case.model} | {size} | {differences.features:.1e} |"
    if case.is_classifier:
        return f"{begin} | | | | |"
    masks = ""
    if not np.isnan(differences.masks):
        masks = f"{differences.masks:.2%}, {differences.mask_pixels:.0f} px"
    return (
        f"{begin} {differences.detections} / {differences.expected_detections} | "
        f"{differences.matched} | {differences.boxes:.1e} | {differences.scores:.1e} | {masks} |"
    )


def gluoncv_row(name: str) -> str:
    """Run a GluonCV model and this package's side by side, and write its line of the table.

    Masks are compared by their largest difference in a cell.
    """
    judge = gluoncv_judge.build(name, CLASSES, PROPOSALS)
    image = gluoncv_judge.sample_image(HEIGHT, WIDTH)
    # GluonCV returns every box, also boxes without an area, which are left out later. Its Mask
    # R-CNN returns the best 2 * PROPOSALS boxes.
    all_boxes = len(CLASSES) * PROPOSALS
    detection_count = 2 * PROPOSALS if name.startswith("mask") else all_boxes
    network = model_zoo.get_model(
        name,
        classes=CLASSES,
        rpn_test_post_nms=PROPOSALS,
        max_candidates=all_boxes,
        max_detections=detection_count,
    )
    conversion.load(network, gluoncv_judge.parameter_arrays(judge), "gluoncv")
    differences = gluoncv_judge.compare(network, judge, image)
    count, expected_count = differences.counts
    all_the_same = differences.same_classes and differences.boxes < 1
    matched = str(count) if all_the_same else "not all"
    masks = f"{differences.masks:.1e}" if network.has_masks else ""
    return (
        f"| gluoncv | {name} | {HEIGHT}x{WIDTH} | {differences.features:.1e} | "
        f"{count} / {expected_count} | {matched} | {differences.boxes:.1e} | "
        f"{differences.scores:.1e} | {masks} |"
    )


def table_rows() -> Iterator[str]:
    """Compute all lines of the table. Each network is freed after its line."""
    tasks: List[Tuple[Callable[..., str], object]] = []
    tasks += [(golden_row, path) for path in golden.cases()]
    tasks += [(gluoncv_row, name) for name in gluoncv_names()]
    for compute_row, case in tqdm(tasks, desc="parity", unit="model", disable=None):
        yield compute_row(case)
        gc.collect()


def main() -> None:
    """Compute the table, print it, and write it into the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    table = "\n".join([HEAD, *table_rows()])
    print(table)
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
