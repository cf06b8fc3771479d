"""experiment.py: what is run, what is kept of it, what is not run again, and the page."""

import importlib
import json
from types import SimpleNamespace

from gluonnorm.data import draw_shapes
from gluonnorm.errors import InputError
from gluonnorm.weight_files import read_arrays, write_arrays

import numpy as np
import pytest
from in_process import SCRIPTS, run_script

TINY_FLAGS = (
    *("--network", "faster_rcnn_fpn_resnet18_v1b_custom", "--dataset", "coco"),
    *("--data-root", "BCCD", "--train-split", "train", "--val-split", "val"),
    *("--epochs", "2", "--val-interval", "2", "--save-interval", "1", "--set", "short=64"),
    *("max_size=96", "fpn_channels=32", "rpn_channels=32", "roi_size=3", "num_sample=8"),
)


@pytest.fixture
def part(monkeypatch):
    """A file of the experiments as a module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"experiments.{name}")


@pytest.fixture
def tiny(part, monkeypatch):
    """An experiment of two rows, known to the script by the name "tiny"."""
    rows = part("rows")
    norms = {"gn": "four", "sn_nobn": "two"}
    table = [
        rows.Row(name, {"norm": name, "data": data}, (*TINY_FLAGS, "--norm", name))
        for name, data in norms.items()
    ]
    experiment = rows.Experiment(
        "tiny", "Two norms", tuple(table), ("AP", "AP50"), "data", "norm", "norm"
    )
    monkeypatch.setitem(part("all_experiments").EXPERIMENTS, "tiny", experiment)
    return experiment


@pytest.mark.slow
def test_runs_are_made_once_and_their_page_is_written(tiny, tmp_path):
    draw_shapes(tmp_path / "shapes", train=2, val=1, size=(64, 96))
    results = tmp_path / "results"
    flags = ("tiny", "--bccd", tmp_path / "shapes", "--results", results, "--seeds", "4")
    flags += ("--runs", tmp_path / "runs")
    first = run_script("experiment.py", *flags)
    assert first.returncode == 0, first.stderr
    content = json.loads((results / "tiny" / "sn_nobn-seed4.json").read_text())
    assert (content["experiment"], content["row"], content["seed"]) == ("tiny", "sn_nobn", 4)
    assert content["command"].startswith("python scripts/train_faster_rcnn.py --network ")
    assert "--data-root BCCD" in content["command"] and str(tmp_path) not in content["command"]
    assert [evaluation["step"] for evaluation in content["evaluations"]] == [4]
    assert [set(losses) for losses in content["losses"]] == [
        {"rpn_class", "rpn_box", "rcnn_class", "rcnn_box"}
    ] * 2
    # Two epochs, and every layer's shares, which have the sum 1 but for rounding.
    assert [epoch["epoch"] for epoch in content["mixing_weights"]] == [1, 2]
    for _, mean_shares, variance_shares in content["mixing_weights"][0]["layers"]:
        assert sum(mean_shares.values()) == pytest.approx(1, abs=2e-4)
        assert set(variance_shares) == {"in", "ln"}
    assert json.loads((results / "tiny" / "gn-seed4.json").read_text())["mixing_weights"] == []
    # Of the runs' own files only what they printed is left.
    left = {path.name for path in (tmp_path / "runs" / "tiny").iterdir()}
    assert left == {"gn-seed4.output", "gn-seed4.log", "sn_nobn-seed4.output", "sn_nobn-seed4.log"}

    # Nothing is missing now, so nothing is trained, and the data are not asked for.
    before = (results / "tiny" / "gn-seed4.json").stat().st_mtime_ns
    second = run_script("experiment.py", "tiny", "--results", results, "--seeds", "4")
    assert second.returncode == 0, second.stderr
    assert (results / "tiny" / "gn-seed4.json").stat().st_mtime_ns == before
    page = (results / "tiny.md").read_text()
    assert page.startswith("# Two norms\n")
    score = content["evaluations"][-1]["scores"]["AP"]
    assert f"| sn_nobn | two | 1 | {score:.3f} | " in page
    assert content["command"] in page
    assert (results / "tiny.png").exists()
    # Of the two panels, one has switchable norms.
    assert page.count("](tiny-mixing-") == 1 and "](tiny-mixing-two.png)" in page
    assert {path.name for path in results.glob("*-mixing-*")} == {"tiny-mixing-two.png"}


def test_a_training_that_fails_is_an_error_that_names_its_output(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run_script(
        *("experiment.py", "tiny", "--rows", "gn", "--seeds", "1", "--bccd", tmp_path / "empty"),
        *("--results", tmp_path / "results", "--runs", tmp_path / "runs"),
    )
    output = tmp_path / "runs" / "tiny" / "gn-seed1.output"
    assert done.returncode == 2
    assert f"error: gn, seed 1: training ended with status 2; see {output}" in done.stderr
    assert "error: " in output.read_text()
    assert not (tmp_path / "results" / "tiny").exists()


def test_a_seed_that_is_given_twice_is_run_once(tiny, tmp_path):
    script = importlib.import_module("experiment")
    runs = script.missing_runs(tiny, tiny.rows, [4, 1, 4], tmp_path)
    assert [(run.row.label, run.seed) for run in runs] == [
        ("gn", 4),
        ("sn_nobn", 4),
        ("gn", 1),
        ("sn_nobn", 1),
    ]


def test_after_a_failure_no_other_run_begins(tiny, monkeypatch, tmp_path):
    script = importlib.import_module("experiment")
    begun = []

    def fail(experiment, row, *_):
        begun.append(row.label)
        if len(begun) == 2:
            raise InputError("out of memory")
        return SimpleNamespace(row=row.label, seed=1, scores={"AP": 0.5})

    monkeypatch.setattr(script, "run_row", fail)
    runs = [script.Run(row, seed) for seed in range(20) for row in tiny.rows]
    with pytest.raises(InputError, match="out of memory"):
        script.make_runs(tiny, runs, {}, tmp_path, tmp_path, jobs=1)
    assert begun == ["gn", "sn_nobn"]


# Stands in for the training script: what it would leave, or an error for the other norm.
QUICK_TRAINING = """
import json, sys, time
from pathlib import Path
if "sn_nobn" in sys.argv:
    sys.exit(3)
time.sleep(1)
prefix = sys.argv[sys.argv.index("--save-prefix") + 1]
losses = {"step": 1, "epoch": 0, "losses": {"sum": 1.0}, "images_per_second": 2.0}
scores = {"step": 1, "epoch": 1, "eval": {"AP": 0.25}}
rows = [json.dumps(row) + chr(10) for row in (losses, scores)]
Path(prefix + "-metrics.jsonl").write_text("".join(rows))
"""


def test_a_run_that_has_ended_keeps_its_result_if_another_one_fails(
    tiny, part, monkeypatch, tmp_path
):
    script = importlib.import_module("experiment")
    (tmp_path / "quick.py").write_text(QUICK_TRAINING)
    monkeypatch.setattr(part("run_row"), "SCRIPT", tmp_path / "quick.py")
    runs = [script.Run(row, 4) for row in tiny.rows]
    folder, results = tmp_path / "runs", tmp_path / "results"
    # The first run ends after the failure of the second one.
    with pytest.raises(InputError, match="sn_nobn, seed 4: training ended with status 3"):
        script.make_runs(tiny, runs, {}, folder, results, jobs=2)
    content = json.loads((results / "tiny" / "gn-seed4.json").read_text())
    assert content["evaluations"] == [{"step": 1, "epoch": 1, "scores": {"AP": 0.25}}]
    assert not (folder / "gn-seed4-metrics.jsonl").exists()


def test_a_result_that_cannot_be_written_keeps_the_files_of_its_run(
    tiny, part, monkeypatch, tmp_path
):
    (tmp_path / "quick.py").write_text(QUICK_TRAINING)
    module = part("run_row")
    monkeypatch.setattr(module, "SCRIPT", tmp_path / "quick.py")
    (tmp_path / "results").write_text("no folder")
    with pytest.raises(OSError):
        module.run_row(tiny, tiny.rows[0], 4, {}, tmp_path / "runs", tmp_path / "results", 1)
    assert (tmp_path / "runs" / "gn-seed4-metrics.jsonl").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        ((), "which experiment? There are automatic, "),
        (("norm",), "there is no experiment 'norm'; did you mean norms?"),
        (("norms", "--rows", "nuclei-ln-*"), "has no such row"),
        (("norms", "--jobs", "0"), "--jobs is 0; want at least 1"),
        (("norms", "--rows", "blood-gn-1"), "blood-gn-1 needs --bccd"),
        (("norms", "--rows", "blood-gn-1", "--bccd", "nowhere"), "--bccd nowhere: there is no"),
    ],
)
def test_wrong_flags(flags, message, tmp_path):
    done = run_script("experiment.py", *flags, "--results", tmp_path, "--runs", tmp_path / "runs")
    assert done.returncode == 2
    assert message in done.stderr


def test_a_damaged_result_is_named(tmp_path):
    (tmp_path / "norms").mkdir()
    damaged = tmp_path / "norms" / "nuclei-gn-1-seed1.json"
    damaged.write_text('{"row": "nuclei-gn-1"}')
    done = run_script("experiment.py", "norms", "--page", "--results", tmp_path)
    assert done.returncode == 2
    assert f"{damaged} is no result of an experiment" in done.stderr


def test_mean_and_spread(part):
    # The sample's standard deviation of 0.1, 0.2 and 0.6 is sqrt((0.04 + 0.01 + 0.09) / 2).
    assert part("summary").format_values([0.1, 0.2, 0.6]) == "0.300 ± 0.265"
    assert part("summary").format_values([0.25]) == "0.250"
    assert part("summary").format_values([]) == ""


MEAN = "Each score is the mean of several seeds ± their standard deviation."
SINGLE = "Each score is of a single run."
BOTH = "A score with ± is the mean of several seeds and their standard deviation, any other"
OTHER_SEEDS = "The other seeds of a row differ in `--seed` alone."


@pytest.mark.parametrize(
    "counts, expected",
    [((2, 3), MEAN), ((2, 0), MEAN), ((1, 1), SINGLE), ((1, 0), SINGLE), ((2, 1), BOTH)],
)
def test_the_page_says_of_how_many_seeds_its_scores_are(tiny, part, counts, expected):
    summary = part("summary")
    run = SimpleNamespace(scores={"AP": 0.5}, command="python scripts/train_faster_rcnn.py")
    summaries = [summary.RowSummary(row, (run,) * count) for row, count in zip(tiny.rows, counts)]
    page = summary.make_page(tiny, summaries, "tiny.png", ["mixing.png"])
    assert [text for text in (MEAN, SINGLE, BOTH) if text in page] == [expected]
    assert (OTHER_SEEDS in page) == (max(counts) > 1)
    assert ("as the mean of the seeds" in page) == (max(counts) > 1)


def test_shapes_are_drawn_once_and_again_if_they_are_not_complete(part, tmp_path):
    draw = part("data_sets").draw_shapes_once
    draw(tmp_path)
    assert len(list((tmp_path / "train").iterdir())) == 240
    image = tmp_path / "val" / sorted(path.name for path in (tmp_path / "val").iterdir())[0]
    content = image.read_bytes()
    image.write_bytes(b"")
    draw(tmp_path)
    assert image.read_bytes() == b""
    (tmp_path / "annotations" / "instances_val.json").unlink()
    draw(tmp_path)
    assert image.read_bytes() == content


def write_nuclei(source):
    """Write a data set of 203 images without a picture."""
    (source / "annotations").mkdir(parents=True)
    (source / "images").mkdir()
    # Ids fall while names rise.
    images = [{"id": 300 - number, "file_name": f"{number:03}.png"} for number in range(203)]
    annotations = [{"id": image["id"], "image_id": image["id"]} for image in images]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1}]}
    (source / "annotations" / "instances_train.json").write_text(json.dumps(content))


def test_nuclei_are_divided_by_their_file_names(part, tmp_path):
    source = tmp_path / "source"
    write_nuclei(source)
    part("data_sets").split_nuclei(str(source), tmp_path / "target")
    for split, numbers in (("train", range(200)), ("val", range(200, 203))):
        path = tmp_path / "target" / "annotations" / f"instances_{split}.json"
        found = json.loads(path.read_text())
        assert {image["file_name"] for image in found["images"]} == {
            f"{number:03}.png" for number in numbers
        }
        assert {entry["image_id"] for entry in found["annotations"]} == {
            300 - number for number in numbers
        }
    assert (tmp_path / "target" / "images").resolve() == (source / "images").resolve()


def test_another_folder_of_nuclei_brings_its_own_images(part, tmp_path):
    split = part("data_sets").split_nuclei
    link = tmp_path / "target" / "images"
    for name in ("one", "other", "one"):
        if not (tmp_path / name).exists():
            write_nuclei(tmp_path / name)
        split(str(tmp_path / name), tmp_path / "target")
        assert link.resolve() == (tmp_path / name / "images").resolve()
    # A link whose folder has gone is replaced too.
    (tmp_path / "one" / "images").rmdir()
    split(str(tmp_path / "other"), tmp_path / "target")
    assert link.resolve() == (tmp_path / "other" / "images").resolve()
    link.unlink()
    link.mkdir()
    with pytest.raises(InputError, match="images is no link to .*move it away"):
        split(str(tmp_path / "other"), tmp_path / "target")


def test_raw_weights_compute_of_pixels_what_the_others_compute_of_normalized_ones(part, tmp_path):
    random = np.random.RandomState(0)
    weights = {
        "batchnorm0_running_mean": random.uniform(-1, 1, 3).astype(np.float32),
        "batchnorm0_running_var": random.uniform(0.5, 2, 3).astype(np.float32),
        "conv0_weight": random.rand(2, 3, 1, 1).astype(np.float32),
    }
    write_arrays(tmp_path / "normalized.npz", weights)
    module = part("raw_weights")
    module.write_raw_weights(str(tmp_path / "normalized.npz"), str(tmp_path / "raw.npz"))
    raw = read_arrays(tmp_path / "raw.npz")
    np.testing.assert_array_equal(raw["conv0_weight"], weights["conv0_weight"])

    def norm(values, arrays):
        mean, variance = arrays["batchnorm0_running_mean"], arrays["batchnorm0_running_var"]
        return (values - mean) / np.sqrt(variance + 1e-5)

    pixels = random.uniform(0, 255, (50, 3))
    normalized = (pixels - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375)
    np.testing.assert_allclose(norm(pixels, raw), norm(normalized, weights), rtol=1e-5, atol=1e-5)
    write_arrays(tmp_path / "v1.npz", {"conv0_weight": weights["conv0_weight"]})
    with pytest.raises(InputError, match="want weights of ResNet v2"):
        module.write_raw_weights(str(tmp_path / "v1.npz"), str(tmp_path / "raw.npz"))


def test_every_row_is_a_command_of_the_training_script(part, monkeypatch):
    train = importlib.import_module("train_faster_rcnn")
    for experiment in part("all_experiments").EXPERIMENTS.values():
        labels = [row.label for row in experiment.rows]
        assert len(set(labels)) == len(labels)
        for row in experiment.rows:
            train.parse_args([*row.flags, "--seed", "1", "--save-prefix", "run"])
            assert set(row.factors) >= {experiment.panel, experiment.x, experiment.series}


def test_rows_of_norms_see_the_same_images_at_the_rate_of_the_linear_rule(part):
    train = importlib.import_module("train_faster_rcnn")
    for row in part("norms").NORMS_FROM_SCRATCH.rows:
        args = train.parse_args([*row.flags, "--save-prefix", "run"])
        assert args.epochs == 4 and args.dtype == "bfloat16"
        assert args.lr == pytest.approx(0.0025 * args.batch_size * (args.accumulate or 1))
