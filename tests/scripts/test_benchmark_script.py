"""benchmark.py: its page and plot, rows that cannot run, and its arithmetic. No time is judged."""

import dataclasses
import importlib
import os
import stat
import sys

from gluonnorm.deploy import export

import numpy as np
import pytest
from in_process import SCRIPTS, run_script
from PIL import Image
from tiny_detector import tiny_detector

ROW = {"job": "nms", "rois": 20, "classes": 3}


def run(*args):
    """Run the script; its rows are processes of their own."""
    return run_script("benchmark.py", *args)


def cells(page, label):
    """The cells of the table's line that begins with ``label``."""
    lines = [line for line in page.read_text().splitlines() if line.startswith(f"| {label} |")]
    assert len(lines) == 1, label
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


def agreed(cell):
    """The numbers of ``agreement``: detections, pairs, expected detections, largest distance."""
    words = cell.replace(",", "").replace(";", "").split()
    return [float(words[index]) for index in (0, 2, 6, 7)]


@pytest.fixture()
def part(monkeypatch):
    """A file of the benchmark as a module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An interpreter in which nothing can be imported."""
    file = tmp_path_factory.mktemp("bare") / "python"
    file.write_text("#!/bin/sh\necho 'No module named torch' >&2\nexit 1\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


@pytest.fixture(scope="module")
def suppressions(tmp_path_factory, bare):
    """The page of a run of two rows that need no weights, and what the run printed."""
    page = tmp_path_factory.mktemp("nms") / "docs" / "figures.md"
    page.parent.mkdir()
    ended = run(
        "--quick", "--rows", "nms/*-20", "--peer-python", bare, "--seed", 3, "--output", page
    )
    assert ended.returncode == 0, ended.stderr
    return page, ended


def test_page_names_machine_command_and_rows_and_shows_the_plot(suppressions):
    page, ended = suppressions
    text = page.read_text()
    assert text in ended.stdout
    for row in ("gluoncv-20", "ours-20"):
        assert float(cells(page, row)[1].split()[0]) > 0
        assert float(cells(page, row)[5]) > 0.05  # an interpreter with MXNet in it
    assert "python scripts/benchmark.py --quick --rows" in text and "seed 3" in text
    for fact in ("processor", "memory", "versions", "date"):
        assert cells(page, fact)[1]
    assert (
        "mxnet 1.9.1" in cells(page, "versions")[1]
        and "gluoncv 0.10.5" in cells(page, "versions")[1]
    )
    assert cells(page, "not installed")[1] == "torchvision, onnxruntime, openvino, nncf"
    assert str(page.parent) not in text and "(images/figures.png)" in text
    with Image.open(page.parent / "images" / "figures.png") as picture:
        assert picture.format == "PNG" and np.asarray(picture.convert("L")).std() > 5


def test_both_suppressions_find_the_same(suppressions):
    found, pairs, wanted, corners = agreed(cells(suppressions[0], "ours-20")[6])
    assert found == pairs == wanted > 10 and corners < 1e-4


def test_rows_of_what_is_not_installed_say_so(tmp_path, bare):
    page = tmp_path / "page.md"
    ended = run(
        "--quick", "--rows", "torchvision-fpn/torchvision", "--peer-python", bare, "--output", page
    )
    assert ended.returncode == 0, ended.stderr
    assert cells(page, "torchvision")[1:3] == ["not installed", ""]
    assert (tmp_path / "images" / "page.png").exists()


@pytest.mark.slow
def test_detectors_find_what_the_peer_finds(tmp_path, bare):
    page = tmp_path / "page.md"
    ended = run(
        "--quick",
        "--rows",
        "gluoncv-fpn/gluoncv",
        "gluoncv-fpn/float32",
        "torchvision-fpn/*32",
        "--peer-python",
        bare,
        "--output",
        page,
    )
    assert ended.returncode == 0, ended.stderr
    first, second = (
        line for line in page.read_text().splitlines() if line.startswith("| float32 |")
    )
    found, pairs, wanted, corners = agreed(first.split("|")[-2])
    # Some of the thousand RoIs on so small an image have nearly equal scores; tests/parity
    # compares all detections.
    assert found == wanted > 10 and pairs >= 0.9 * wanted and corners < 0.05
    assert (
        "x as fast" in first.split("|")[3] and not second.split("|")[3].strip()
    )  # torchvision is not there


def test_a_part_is_only_printed_unless_told_where_to_write(bare):
    page = SCRIPTS.parent / "docs" / "benchmarks.md"
    before = page.read_text() if page.exists() else None
    ended = run("--quick", "--rows", "torchvision-fpn/torchvision", "--peer-python", bare)
    assert ended.returncode == 0 and "| torchvision | not installed |" in ended.stdout
    assert (page.read_text() if page.exists() else None) == before


def test_profile_is_printed_and_put_into_the_page_in_place_of_an_earlier_one(
    part, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# Benchmarks\n\nwords\n")
    for name in ("nms/ours-1", "nms/ours-20"):
        page.write_text(part("page").put_profile(page.read_text(), f"### {name}\n\nof before\n"))
    ended = run("--quick", "--profile", "nms/ours-1", "--output", page)
    assert ended.returncode == 0, ended.stderr
    # MXNet's profiler deletes the file that it is given.
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    text = page.read_text()
    assert text.startswith(
        "# Benchmarks\n\nwords\n\n## Where the time goes\n\n### nms/ours-1\n\nOne run, "
    )
    assert text.endswith("\n### nms/ours-20\n\nof before\n") and text.count("of before") == 1
    assert text.count("| _contrib_box_nms |") == ended.stdout.count("| _contrib_box_nms |") == 1
    assert [file.name for file in tmp_path.iterdir()] == [
        "page.md"
    ]  # MXNet's profiler writes one unless told


def test_a_relative_peer_python_is_relative_to_the_callers_folder(
    part, bare, tmp_path, monkeypatch
):
    """Rows run in another folder. A link stays a link: an environment is recognized by it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "python").symlink_to(bare)
    machine = part("machine").describe_machine("peers/python", (96, 128), 0)
    assert machine.pythons["torchvision"] == str(tmp_path / "peers" / "python")
    assert machine.missing("torchvision") == "not installed" and not machine.missing("gluonnorm")
    client = part("row_client")
    process = client.RowProcess(part("groups").Row("a", "torchvision", ROW), ROW, machine)
    with pytest.raises(client.RowFailed, match="ended with status 1: No module named torch"):
        process.answer()
    process.close()
    monkeypatch.setenv("PYTHONPATH", "peers")
    assert (
        part("machine").row_environment("gluoncv")["PYTHONPATH"].endswith(f":{tmp_path / 'peers'}")
    )


def test_only_rows_of_this_package_have_its_way_of_waiting(part, monkeypatch):
    environment = part("machine").row_environment
    for value, peers in (("1000", "300000"), ("70", "70")):
        monkeypatch.setenv("GOMP_SPINCOUNT", value)
        assert environment("gluonnorm")["GOMP_SPINCOUNT"] == value
        assert environment("gluoncv")["GOMP_SPINCOUNT"] == peers


def test_a_row_has_its_variables_and_busy_neighbors(part, tmp_path):
    """A program in place of an interpreter tells its variable, and who is busy when it is asked."""
    program = tmp_path / "python"
    program.write_text(
        """#!/bin/sh
echo "{\\"spins\\": $GOMP_SPINCOUNT}"
read request
busy=$(ls /proc/$PPID/task/*/children | xargs cat | wc -w)
echo "{\\"seconds\\": $busy, \\"memory\\": 1}"
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    groups, measure = part("groups"), part("measure")
    machine = part("machine").Machine({"gluonnorm": program}, {"gluonnorm": {}}, (9, 9), 0, {})
    rows = []
    for busy in (0, 2):
        environment = {"GOMP_SPINCOUNT": f"{busy + 5}"}
        rows.append(groups.Row(f"{busy}", "gluonnorm", ROW, None, None, environment, busy))
    group = groups.Group("g", "title", tuple(rows))
    alone, beside = measure.measure(group, machine, 1, measure.tqdm(disable=True)).rows
    assert (alone.facts["spins"], beside.facts["spins"]) == (5, 7)
    assert beside.seconds[0] - alone.seconds[0] == 2


def test_the_shared_machine_is_measured_as_this_package_sets_it(part):
    groups = [group for group in part("groups").all_groups(True) if "shared" in group.name]
    *by_waiting, small = groups
    (chosen,) = (row for row in small.rows if row.target)
    assert (chosen.environment, chosen.busy, chosen.other_login) == ({}, 1, True)
    assert len(by_waiting) == 2
    for group in by_waiting:
        chosen = [row for row in group.rows if row.target]
        assert [row.environment["GOMP_SPINCOUNT"] for row in chosen] == ["1000", "1000"]
        assert [row.busy > 0 for row in chosen] == [False, True]


@pytest.mark.parametrize(
    "args, message",
    [
        (["--group", "nope"], "--group nope: no such group; there are"),
        (["--rows", "nms/nope"], "--rows nms/nope: no such row"),
        (["--group", "nms", "--rows", "norms/gn"], "--rows norms/gn: no such row"),
        (["--rounds", "0", "--group", "nms"], "--rounds is 0; want at least 1"),
        (
            ["--group", "nms", "--peer-python", "no/such/python"],
            "--peer-python no/such/python: cannot be run",
        ),
        (["--profile", "nms/gluoncv-1"], "--profile nms/gluoncv-1: only rows of this package"),
    ],
)
def test_wrong_arguments_are_one_line(args, message):
    ended = run(*args)
    assert ended.returncode == 2 and ended.stderr.startswith(f"error: {message}")
    assert ended.stderr.count("\n") == 1 and not ended.stdout


def test_list_has_every_group(part):
    ended = run("--list")
    assert ended.returncode == 0
    assert [line.split()[0] for line in ended.stdout.splitlines()] == [
        group.name for group in part("groups").all_groups(quick=False)
    ]


@pytest.mark.slow
def test_rows_that_fail_say_why_and_the_others_go_on(part, tmp_path):
    groups, measure = part("groups"), part("measure")
    machine = part("machine").Machine(
        {"gluonnorm": sys.executable}, {"gluonnorm": {}}, (96, 128), 0, {}
    )
    rows = [
        groups.Row("broken", "gluonnorm", {"job": "nms", "rois": 20}),
        groups.Row("good", "gluonnorm", ROW),
        groups.Row("unmade", "gluonnorm", {"job": "detector", "prefix": "a-float32"}),
    ]
    weights = {"job": "weights", "network": "nope", "stem": "a", "dtypes": ["float32"]}
    with open(tmp_path / "bar", "w", encoding="utf-8") as log:
        bar = measure.tqdm(file=log)
        result = measure.measure(
            groups.Group("g", "title", tuple(rows), "good", (weights,)), machine, 2, bar
        )
        bar.close()
    broken, good, unmade = result.rows
    assert broken.error == "ended with status 1: KeyError: 'classes'" and not broken.seconds
    assert len(good.seconds) == 2 and not good.error
    assert unmade.error.startswith(
        "no weights: ended with status 1: gluonnorm.errors.InputError: no model 'nope'"
    )
    assert "KeyError" in part("page").table_line(result, broken)


def test_a_type_that_cannot_be_exported_is_an_error_of_its_row_alone(part, monkeypatch, tmp_path):
    program = part("row_gluonnorm")

    def export(net, prefix, dtype):
        if dtype == "bfloat16":
            raise RuntimeError("no such\n  type")

    monkeypatch.setattr(program.deploy, "export", export)
    monkeypatch.setattr(program, "seed_weights", lambda *args: None)
    facts = program.write_weights(
        {
            "network": "mask_rcnn_resnet18_v1b_coco",
            "stem": "a",
            "dtypes": ["float32", "bfloat16"],
            "folder": str(tmp_path),
            "size": (64, 96),
            "seed": 0,
        }
    )
    assert facts == {"errors": {"a-bfloat16": "RuntimeError: no such type"}}


def test_only_the_types_of_chosen_rows_are_exported(part, monkeypatch):
    groups, measure = part("groups"), part("measure")
    tasks = []

    class Process:
        def __init__(self, row, task, machine):
            tasks.append(task)

        def answer(self):
            return {"errors": {}}

        def close(self):
            pass

    monkeypatch.setattr(measure, "RowProcess", Process)
    (group,) = [group for group in groups.all_groups(quick=True) if group.name == "gluoncv-fpn"]
    versions = {"gluonnorm": {}, "gluoncv": {}}
    machine = part("machine").Machine({}, versions, (96, 128), 0, {})
    for labels in (["int8"], ["gluoncv"], ["float32", "bfloat16", "int8"]):
        rows = [row for row in group.rows if row.label in labels]
        part_of_it = dataclasses.replace(group, rows=tuple(rows))
        measure.measure(part_of_it, machine, 0, measure.tqdm(disable=True))
    assert [task["dtypes"] for task in tasks] == [["int8"], [], ["float32", "bfloat16", "int8"]]


def test_only_files_that_chosen_rows_read_are_written(part, monkeypatch):
    groups, measure = part("groups"), part("measure")
    tasks = []

    class Process:
        def __init__(self, row, task, machine):
            tasks.append((row.program, task["job"], list(task["dtypes"])))

        def answer(self):
            return {"errors": {}}

        def close(self):
            pass

    monkeypatch.setattr(measure, "RowProcess", Process)
    (group,) = [group for group in groups.all_groups(quick=True) if group.name == "runtimes"]
    machine = part("machine").Machine({}, dict.fromkeys(part("plot").COLORS, {}), (96, 128), 0, {})
    labels = {
        "mxnet-float32": [("gluonnorm", "weights", ["float32"])],
        "openvino-bfloat16": [("gluonnorm", "weights", ["onnx"])],
        "openvino-int8": [("gluonnorm", "weights", ["openvino-int8"])],
        "torchvision-openvino-float32": [
            ("gluonnorm", "weights", []),
            ("torchvision", "onnx", []),
        ],
    }
    for label, written in labels.items():
        rows = [row for row in group.rows if row.label == label]
        part_of_it = dataclasses.replace(group, rows=tuple(rows))
        measure.measure(part_of_it, machine, 0, measure.tqdm(disable=True))
        assert tasks == written, label
        tasks.clear()


def test_a_row_of_onnxruntime_runs_an_onnx_file(part, monkeypatch, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    export(tiny_detector("fpn"), str(tmp_path / "a-onnx"), format="onnx")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    task = {"folder": str(tmp_path), "prefix": "a-onnx", "size": (64, 96), "seed": 0}
    run_once, facts = part("row_onnxruntime").prepare(task)
    assert len(facts["detections"]) > 0
    assert [output.shape for output in run_once()[:3]] == [(1, 100, 1), (1, 100, 1), (1, 100, 4)]


def test_ratios_are_medians_over_rounds_and_targets_are_judged(part):
    groups, results = part("groups"), part("results")

    def result(label, seconds, memory=1, target=None, compared_with=None):
        return results.RowResult(
            groups.Row(label, "gluonnorm", ROW, target, compared_with), "", seconds, memory
        )

    fast = [1.0, 1.0, 3.0]
    rows = [
        result("peer", [2.0, 3.0, 3.0]),
        result("a", fast, target=groups.Target("faster", 2.0)),
        result("b", fast, target=groups.Target("faster", 2.1)),
        result("c", fast, 2, groups.Target("step", 2.0)),
        result("d", fast, 1, groups.Target("step", 2.0)),
        result("e", [4.0, 6.0, 6.0], target=groups.Target("slower", 2.0)),
        result("f", [5.0, 6.3, 6.3], target=groups.Target("slower", 2.0)),
        result("g", [0.008], target=groups.Target("seconds", 0.008)),
        result("h", [0.0081], target=groups.Target("seconds", 0.008)),
        result("i", fast, target=groups.Target("faster", 1.0), compared_with="nobody"),
        result("j", [], compared_with="a"),
    ]
    whole = results.GroupResult(
        groups.Group("g", "t", tuple(row.row for row in rows), "peer"), rows
    )
    assert (
        whole.ratio(rows[0]) is None
        and whole.ratio(rows[1]) == 2.0
        and whole.ratio(rows[-1]) is None
    )
    assert [whole.reached(row) for row in rows] == [
        None,
        True,
        False,
        False,
        True,
        True,
        False,
        True,
        False,
        None,
        None,
    ]


def test_agreement_counts_same_class_and_place_once(part):
    wanted = np.array(
        [
            [1, 0.9, 0, 0, 10, 10],
            [1, 0.8, 0, 0, 10, 11],
            [2, 0.7, 50, 50, 60, 60],
            [3, 0.6, 0, 0, 9, 9],
        ]
    )
    found = np.array([[1, 0.85, 0, 0, 10, 10.5], [2, 0.7, 52, 50, 62, 60], [4, 0.6, 0, 0, 9, 9]])
    agreement = part("agreement").agreement
    assert agreement(wanted, found) == "3, and 2 of the wanted 4; 2 px, 0.05"
    flat = np.array([[1, 0.9, 5, 5, 5, 9], [1, 0.9, -1, 5, -1, 9]])
    assert agreement(flat, flat) == "2, and 2 of the wanted 2; 0 px, 0"
    assert agreement(wanted, found[:0]) == "0, and 0 of the wanted 4"
    assert agreement(wanted[:0], found) == "3, and 0 of the wanted 0"


def test_weights_leave_as_many_pairs_as_asked_for(part):
    """Counted by a softmax written out."""
    logits, count = 2 * np.random.randn(50, 6), part("seeded_weights").count_candidates
    for advantage in (-3.0, 0.0, 4.0):
        moved = logits + advantage * np.eye(6)[0]
        scores = np.exp(moved) / np.exp(moved).sum(axis=1, keepdims=True)
        assert count(logits, advantage) == (scores[:, 1:] > 0.05).sum() > 0
    assert count(logits, 40.0) == 0


def test_only_detections_that_count_are_compared(part):
    """Padding, low scores, and what GluonCV makes of proposals it lacks are not; a flat box is."""
    ids, scores = np.arange(6.0)[:, None], np.array([[0.2], [0.9], [0.05], [-1], [0.8], [0.7]])
    boxes = np.array(
        [[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 1, 1], [-1] * 4, [-1] * 4, [3, 3, 3, 5]], float
    )
    assert part("inputs").best_detections(ids, scores, boxes) == [
        [1, 0.9, 0, 0, 2, 2],
        [5, 0.7, 3, 3, 3, 5],
        [0, 0.2, 0, 0, 1, 1],
    ]
