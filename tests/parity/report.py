"""Write the parity table of docs/weights.md: every case, and the largest differences seen. ``make parity`` runs it."""
import argparse
import gc
from pathlib import Path
from typing import Iterator, List

import model_zoo
from gluonnorm import conversion

import numpy as np
from parity import gluoncv_judge, golden
from tqdm import tqdm

PAGE = Path(__file__).resolve().parents[2] / "docs" / "weights.md"
BEGIN, END = "<!-- parity: begin -->", "<!-- parity: end -->"
HEAD = ("| source | model | image | maps | found / wanted | the same | boxes, px | scores | masks |\n"
        "|---|---|---|---|---|---|---|---|---|")
CLASSES = tuple("abcdef")  # GluonCV's own models return classes x proposals rows: few classes, few proposals
PROPOSALS = 60
SIZE = (160, 224)


def gluoncv_names() -> List[str]:
    """GluonCV's detectors on ResNet v1b and v1d that it can build; its custom ones differ in classes only."""
    return [name for name, row in sorted(model_zoo.catalogue.MODELS.items())
            if row.settings.get("convention") == "gluoncv" and not name.endswith("_custom")]


def golden_row(path: Path) -> str:
    """The line of one file of ``tests/golden``."""
    case = golden.Case(path)
    seen = golden.compare(case, case.network())
    size = "x".join(map(str, case.size))
    if case.is_classifier:
        return f"| {case.source} | {case.model} | {size} | {seen.features:.1e} | | | | | |"
    masks = "" if np.isnan(seen.masks) else f"{seen.masks:.2%}, {seen.mask_pixels:.0f} px"
    return (f"| {case.source} | {case.model} | {size} | {seen.features:.1e} | {seen.found} / {seen.wanted} | "
            f"{seen.same} | {seen.boxes:.1e} | {seen.scores:.1e} | {masks} |")


def gluoncv_row(name: str) -> str:
    """The line of one of GluonCV's models, which runs beside ours here; masks by their largest difference in a cell."""
    judge, x = gluoncv_judge.build(name, CLASSES, PROPOSALS), gluoncv_judge.image(*SIZE)
    # GluonCV returns every box, of Mask R-CNN the best 2 x PROPOSALS, also those without an area (left out later).
    most = len(CLASSES) * PROPOSALS
    ours = model_zoo.get_model(name, classes=CLASSES, rpn_test_post_nms=PROPOSALS, max_candidates=most,
                               max_detections=2 * PROPOSALS if name.startswith("mask") else most)
    conversion.load(ours, gluoncv_judge.arrays_of(judge), "gluoncv")
    seen = gluoncv_judge.compare(ours, judge, x)
    same = seen.counts[0] if seen.same_classes and seen.boxes < 1 else "not all"
    masks = f"{seen.masks:.1e}" if ours.has_masks else ""
    return (f"| gluoncv | {name} | {SIZE[0]}x{SIZE[1]} | {seen.features:.1e} | {seen.counts[0]} / {seen.counts[1]} | "
            f"{same} | {seen.boxes:.1e} | {seen.scores:.1e} | {masks} |")


def rows() -> Iterator[str]:
    """All lines; networks are freed as soon as they have answered."""
    tasks = [(golden_row, path) for path in golden.cases()] + [(gluoncv_row, name) for name in gluoncv_names()]
    for work, task in tqdm(tasks, desc="parity", unit="model", disable=None):
        yield work(task)  # type: ignore[operator]
        gc.collect()


def main() -> None:
    """Compute the table, print it, and put it into the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    table = "\n".join([HEAD, *rows()])
    print(table)
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
