"""Numbers that a document quotes are those of the table or of the runs that it links."""

import json
import re
from pathlib import Path
from statistics import mean, stdev
from typing import Dict, List, Tuple

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
SPEED_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?:\S*benchmarks\.md)?#(?P<group>[\w-]+)\)")
RATIO = re.compile(r"\b(?P<number>\d+\.\d+)x\b")
EXPERIMENTS = sorted(path.stem for path in (DOCS / "results").glob("*.md"))
# The rows of the tables of docs/results.md, as the files of the runs call them. The place of the
# number of images a batch is in braces.
NORM_ROWS = {
    "`bn`": "bn-{}",
    "`bn`, recalibrated": "bn-{}-recalibrated",
    "`bn`, in all layers": "bn-{}-all",
    "`gn`": "gn-{}",
    "`gn`, in the backbone alone": "gn-{}-backbone",
    "`sn`": "sn-{}",
    "`sn_nobn`": "sn_nobn-{}",
    "`frozen_bn`, which has no statistics here": "frozen_bn-{}",
    "`bn`, eight batches of one an update": "bn-{}x8",
    "`gn`, eight batches of one an update": "gn-{}x8",
}


def section(text: str, title: str) -> str:
    """The text below a heading, up to the next one."""
    begin = re.search(rf"^#+ {re.escape(title)}$", text, re.MULTILINE)
    assert begin is not None, title
    end = re.search(r"^#+ ", text[begin.end() :], re.MULTILINE)
    return text[begin.end() :][: end.start() if end else None]


def tables(text: str) -> List[List[List[str]]]:
    """The cells of each table in a Markdown text, without its head."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        rows = [line.strip()[1:-1].split("|") for line in block.splitlines()]
        found.append([[cell.strip() for cell in row] for row in rows[2:]])
    return found


def scores_of_runs(experiment: str) -> Dict[str, List[Dict[str, float]]]:
    """The last scores of the runs of each row."""
    runs: Dict[str, List[Dict[str, float]]] = {}
    for path in sorted((DOCS / "results" / experiment).glob("*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        runs.setdefault(run["row"], []).append(run["evaluations"][-1]["scores"])
    return runs


def written(values: List[float]) -> str:
    """Scores of several seeds as the pages write them."""
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def mean_score(experiment: str, row: str, score: str) -> str:
    return f"{mean(run[score] for run in scores_of_runs(experiment)[row]):.3f}"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_page_of_results_has_the_scores_of_its_runs(experiment: str) -> None:
    text = (DOCS / "results" / f"{experiment}.md").read_text(encoding="utf-8")
    runs = scores_of_runs(experiment)
    table = tables(text)[0]
    assert len(table) == len(runs)
    expected = []
    for scores in runs.values():
        names = [name for name in ("AP", "AP50", "segm/AP", "segm/AP50") if name in scores[0]]
        expected.append([written([run[name] for run in scores]) for name in names])
    for row in table:
        cells = [cell for cell in row if re.match(r"\d\.\d{3}", cell)]
        assert any(cells[: len(scores)] == scores for scores in expected), row


def norm_tables() -> List[Tuple[str, List[Tuple[str, int]], List[List[str]]]]:
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    boxes, masks = tables(section(text, "Norms from scratch, by images a batch"))
    nuclei = [("nuclei", images) for images in (1, 2, 8)]
    blood = [("blood", images) for images in (1, 2, 8)]
    return [("AP", nuclei + blood, boxes), ("segm/AP", nuclei, masks)]


@pytest.mark.parametrize("score, columns, table", norm_tables(), ids=["boxes", "masks"])
def test_the_norms_from_scratch_have_the_means_of_the_runs(score, columns, table) -> None:
    assert [row[0] for row in table] == list(NORM_ROWS)
    for title, *cells in table:
        rows = [f"{data}-{NORM_ROWS[title].format(images)}" for data, images in columns]
        expected = [
            mean_score("norms", row, score) if row in scores_of_runs("norms") else ""
            for row in rows
        ]
        assert cells == expected, title


def test_the_norms_in_fine_tuning_have_the_means_of_the_runs() -> None:
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    (table,) = tables(section(text, "Norms in fine-tuning"))
    runs = scores_of_runs("fine_tuning")
    quoted = set()
    for backbone, head, *cells in table:
        expected = []
        for images in (1, 2):
            row = f"{backbone}-{head}-{images}".replace("`", "")
            for score in ("AP", "AP50"):
                expected.append(mean_score("fine_tuning", row, score) if row in runs else "")
            quoted.add(row)
        assert cells == expected, (backbone, head)
    assert runs.keys() <= quoted


def test_the_rescale_layer_has_the_scores_of_both_ways_to_make_the_pixels() -> None:
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    table = tables(section(text, "Does the rescale layer matter?"))[-1]
    runs = scores_of_runs("rescale")
    quoted = set()
    for expected, seen, _, *cells in table:
        for maker in ("loader", "layer"):
            row = f"{expected}-weights-{seen}-pixels-{maker}"
            assert cells == [written([run[s] for run in runs[row]]) for s in ("AP", "AP50")], row
            quoted.add(row)
    assert quoted == runs.keys()


@pytest.mark.parametrize("document", ["README.md", "docs/benchmarks.md"])
def test_quoted_speeds_are_those_of_the_linked_table(document: str) -> None:
    """A sentence may round: 3.9x is 3.91x in the table."""
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    groups = re.findall(r"^## (\S+)$", page, re.MULTILINE)
    checked = 0
    for link in SPEED_LINK.finditer(text):
        if link["group"] not in groups:
            continue
        ratios = [float(number) for number in RATIO.findall(section(page, link["group"]))]
        for number in RATIO.findall(link["text"]):
            digits = len(number.partition(".")[2])
            assert float(number) in [round(ratio, digits) for ratio in ratios], link[0]
            checked += 1
    assert checked >= 3
