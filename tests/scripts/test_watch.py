"""``eval_faster_rcnn.py --watch``: every checkpoint once, the best one kept, and an end."""

import hashlib
import json
import re
import shutil
import time

from gluonnorm import training
from gluonnorm.data import draw_shapes

import pytest
from in_process import run_script

SETTINGS = (
    "--set short=64 max_size=96 fpn_channels=32 rpn_channels=16 roi_size=3 num_sample=8 "
    "rpn_train_pre_nms=50 rpn_train_post_nms=20 rpn_test_pre_nms=50 rpn_test_post_nms=10"
).split()


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder, train=2, val=2, size=(64, 96))
    return folder


def train(shapes, folder, *flags):
    return run_script(
        *("train_faster_rcnn.py", "--network", "faster_rcnn_fpn_resnet18_v1b_custom"),
        *("--norm", "gn", "--dataset", "coco", "--data-root", shapes, "--train-split", "train"),
        *("--val-split", "val", "--batch-size", 1, "--lr", 0.01),
        *("--save-prefix", folder / "shapes", *flags, *SETTINGS),
    )


@pytest.fixture(scope="module")
def complete(shapes, tmp_path_factory):
    """The folder of a run of two epochs of two updates, which was not scored."""
    folder = tmp_path_factory.mktemp("run")
    done = train(shapes, folder, "--epochs", 2, "--val-interval", 0)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(complete, tmp_path):
    return shutil.copytree(complete, tmp_path / "run")


def evaluate(shapes, *flags):
    split = () if "--val-split" in flags else ("--val-split", "val")
    data = ("--dataset", "coco", "--data-root", shapes, *split)
    return run_script("eval_faster_rcnn.py", *data, *flags)


def scored(folder):
    return training.read_metrics(str(folder / "shapes-watch.jsonl"))


def forbid_waiting(monkeypatch):
    def fail(seconds):
        raise AssertionError("the watcher waits for a checkpoint that will not come")

    monkeypatch.setattr(time, "sleep", fail)


def test_every_checkpoint_is_scored_and_the_best_is_kept(shapes, folder, monkeypatch):
    forbid_waiting(monkeypatch)
    # Files without a header are those of a checkpoint that is being written.
    (folder / "shapes-0000003.params").write_bytes(b"half of the weights")
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert done.returncode == 0, done.stderr
    rows = scored(folder)
    assert [(row["step"], row["epoch"]) for row in rows] == [(2, 1), (4, 2)]
    for row in rows:
        assert (
            f"step {row['step']}, epoch {row['epoch']}: AP {row['eval']['AP']:.3f}" in done.stdout
        )
    best = max(rows, key=lambda row: (row["eval"]["AP50"], -row["step"]))
    kept = (folder / "shapes-watch-best.params").read_bytes()
    assert kept == (folder / f"shapes-{best['step']:07}.params").read_bytes()
    assert (
        f"the best is step {best['step']}, kept as {folder}/shapes-watch-best.json" in done.stdout
    )
    assert not list(folder.glob("shapes-watch-0*")) and not (folder / "shapes-watch.lock").exists()
    # The same numbers as without --watch.
    alone = evaluate(shapes, "--params", folder / "shapes-0000004.json")
    assert (
        f"AP50  {rows[1]['eval']['AP50']:9.4f}".split() == alone.stdout.splitlines()[2].split()[:2]
    )

    again = evaluate(shapes, "--watch", folder / "shapes")
    assert again.returncode == 0
    assert "step 4, epoch" not in again.stdout and "the best is step" in again.stdout


def test_a_watcher_goes_on_where_it_was_and_waits_for_what_is_to_come(shapes, folder, monkeypatch):
    assert evaluate(shapes, "--watch", folder / "shapes").returncode == 0
    log = folder / "shapes-watch.jsonl"
    first, second = log.read_text().splitlines()
    # As if the first one had been scored, and the second one had not been saved yet.
    changed = json.loads(first)
    changed["eval"]["AP50"] = 2.0
    log.write_text(json.dumps(changed) + "\n")
    for ending in ("json", "params"):
        (folder / f"shapes-0000004.{ending}").rename(folder / f"later.{ending}")
    waits = []

    def appear(seconds):
        waits.append(seconds)
        for ending in ("params", "json"):
            (folder / f"later.{ending}").rename(folder / f"shapes-0000004.{ending}")

    monkeypatch.setattr(time, "sleep", appear)
    kept = (folder / "shapes-watch-best.params").read_bytes()
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert done.returncode == 0, done.stderr
    assert len(waits) == 1
    assert f"waiting for the next checkpoint of {folder}/shapes" in done.stdout
    rows = scored(folder)
    assert [row["step"] for row in rows] == [2, 4]
    assert rows[0]["eval"]["AP50"] == 2.0
    assert rows[1]["eval"] == json.loads(second)["eval"]
    # The score of the earlier watcher is still the best one, so its weights stay.
    assert "the best is step 2" in done.stdout
    assert (folder / "shapes-watch-best.params").read_bytes() == kept


def steps_scored(done):
    """The steps that a watcher has scored, as it printed them."""
    assert done.returncode == 0, done.stderr
    return [int(step) for step in re.findall("^step ([0-9]+), epoch", done.stdout, re.MULTILINE)]


def weights_of(path):
    return hashlib.sha256(path.with_suffix(".params").read_bytes()).hexdigest()


def change_rows(folder, change):
    log = folder / "shapes-watch.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    for row in rows:
        change(row)
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))


def keep_as_best(folder, step):
    for ending in ("json", "params"):
        best = folder / f"shapes-watch-best.{ending}"
        best.unlink()  # it is a second name of a checkpoint's file
        best.write_bytes((folder / f"shapes-{step:07}.{ending}").read_bytes())


def as_earlier_version(row):
    del row["weights"], row["flags"]


def test_scores_of_an_earlier_version_count(shapes, folder, monkeypatch):
    forbid_waiting(monkeypatch)
    assert steps_scored(evaluate(shapes, "--watch", folder / "shapes")) == [2, 4]
    change_rows(folder, as_earlier_version)
    again = evaluate(shapes, "--watch", folder / "shapes")
    assert steps_scored(again) == [] and "the best is step" in again.stdout


def of_other_weights(row):
    row["weights"] = "0" * 64


def before_these_checkpoints(row):
    as_earlier_version(row)
    row["time"] = 1e9  # in 2001


@pytest.mark.parametrize("change", [of_other_weights, before_these_checkpoints])
@pytest.mark.parametrize("best_is_there", [True, False])
def test_scores_of_another_run_with_the_same_steps_do_not_count(
    shapes, folder, monkeypatch, change, best_is_there
):
    forbid_waiting(monkeypatch)
    assert evaluate(shapes, "--watch", folder / "shapes").returncode == 0
    scores = [row["eval"] for row in scored(folder)]

    def lead(row):
        change(row)
        row["eval"]["AP50"] = 2.0

    change_rows(folder, lead)
    earlier = (folder / "shapes-watch.jsonl").read_text()
    if not best_is_there:
        for path in folder.glob("shapes-watch-best.*"):
            path.unlink()
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert steps_scored(done) == [2, 4]
    assert "2 of 2 scores in" in done.stdout and ".aside" in done.stdout
    assert [row["eval"] for row in scored(folder)] == scores
    assert (folder / "shapes-watch.jsonl.aside").read_text() == earlier
    assert (folder / "shapes-watch-best.json.aside").exists() == best_is_there
    best = int(re.search("the best is step ([0-9]+)", done.stdout)[1])
    assert weights_of(folder / "shapes-watch-best.json") == weights_of(
        folder / f"shapes-{best:07}.json"
    )


def test_scores_whose_best_weights_are_gone_are_computed_again(shapes, folder, monkeypatch):
    forbid_waiting(monkeypatch)
    assert evaluate(shapes, "--watch", folder / "shapes").returncode == 0
    (folder / "shapes-watch-best.json").unlink()
    assert steps_scored(evaluate(shapes, "--watch", folder / "shapes")) == [2, 4]
    assert (folder / "shapes-watch-best.json").exists()


def test_a_run_that_repeats_steps_is_scored_again(shapes, folder, monkeypatch):
    forbid_waiting(monkeypatch)
    assert evaluate(shapes, "--watch", folder / "shapes").returncode == 0
    # As if the step that is repeated had been the best one.
    before = weights_of(folder / "shapes-0000004.json")
    change_rows(folder, lambda row: row["eval"].update(AP50=row["step"]))
    keep_as_best(folder, 4)
    flags = ("--epochs", 2, "--val-interval", 0, "--seed", 5)
    resumed = train(shapes, folder, *flags, "--resume", folder / "shapes-0000002.json")
    assert resumed.returncode == 0, resumed.stderr
    repeated = weights_of(folder / "shapes-0000004.json")
    assert repeated != before
    # The best weights are of the part that the run no longer has, so all weights compete again.
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert steps_scored(done) == [2, 4]
    rows = scored(folder)
    assert [row["weights"] for row in rows] == [
        weights_of(folder / "shapes-0000002.json"),
        repeated,
    ]
    assert max(row["eval"]["AP50"] for row in rows) <= 1
    assert weights_of(folder / "shapes-watch-best.json") in [row["weights"] for row in rows]


def test_a_run_that_has_just_gone_back_is_not_complete(shapes, folder, monkeypatch):
    assert evaluate(shapes, "--watch", folder / "shapes").returncode == 0
    change_rows(folder, lambda row: row["eval"].update(AP50=1 / row["step"]))
    keep_as_best(folder, 2)
    training.set_aside([str(folder / "shapes-0000004.json")])

    def stop(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", stop)
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert done.returncode == 130 and "waiting for the next checkpoint" in done.stdout
    assert [row["step"] for row in scored(folder)] == [2]
    assert (folder / "shapes-watch-best.json").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--metric", "voc07"], "--metric was coco and is voc07"),
        (["--val-split", "train"], "--val-split was ['val'] and is ['train']"),
        (["--set", "nms_thresh=0.3"], "--set was [] and is ['nms_thresh=0.3']"),
    ],
)
def test_scores_by_other_flags_are_not_compared(shapes, folder, flags, message):
    assert evaluate(shapes, "--watch", folder / "shapes").returncode == 0
    before = (folder / "shapes-watch.jsonl").read_text()
    done = evaluate(shapes, "--watch", folder / "shapes", *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert message in done.stderr and "give the same flags, or move " in done.stderr
    assert (folder / "shapes-watch.jsonl").read_text() == before


@pytest.mark.parametrize(
    "first, second", [("coco", "voc07"), ("voc12", "coco")], ids=["coco first", "voc first"]
)
def test_the_metric_of_an_earlier_version_is_known_by_its_scores(shapes, folder, first, second):
    assert evaluate(shapes, "--watch", folder / "shapes", "--metric", first).returncode == 0
    change_rows(folder, as_earlier_version)
    done = evaluate(shapes, "--watch", folder / "shapes", "--metric", second)
    assert done.returncode == 2
    assert f"--metric was {first.rstrip('12')} and is {second}" in done.stderr


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--dataset", "coc"], "--dataset is 'coc'; want"),
        (["--data-root", "nowhere"], "nowhere"),
        (["--val-split", "gone"], "--val-split is gone"),
        (["--classes", "unicorn"], "unicorn"),
        (
            ["--dataset", "record", "--data-root", "nowhere"],
            "--data-root nowhere: there is no such",
        ),
        (["--network", "faster_rcnn_fpn_resnet18"], "no model 'faster_rcnn_fpn_resnet18'"),
        (["--network", "resnet18_v1b"], "resnet18_v1b is a bare backbone"),
        (["--base-network", "resnet"], "no backbone is called 'resnet'"),
        (["--norm", "gm"], "no norm is called 'gm'"),
        (["--set", "nms_tresh=0.3"], "a detector has no setting 'nms_tresh'; did you mean"),
        (["--backend", "mxnet"], "--backend runs exported files"),
        (["--batch-size", "0"], "--batch-size is 0; want at least 1"),
        (["--num-workers", "0"], "--num-workers is 0; want at least 1"),
    ],
)
def test_wrong_flags_are_errors_before_the_first_checkpoint(
    shapes, tmp_path, monkeypatch, flags, message
):
    forbid_waiting(monkeypatch)
    done = evaluate(shapes, "--watch", tmp_path / "run", *flags)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_another_network_than_that_of_the_run_is_an_error_before_the_first_checkpoint(
    shapes, folder, monkeypatch
):
    forbid_waiting(monkeypatch)
    for path in folder.glob("shapes-0*"):
        path.unlink()
    done = evaluate(shapes, "--watch", folder / "shapes", "--norm", "bn")
    assert done.returncode == 2
    assert "shapes-arguments.json is of a run of another network: its.norm is 'gn'" in done.stderr


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "cannot be read"),
        ("{}", "no arguments of a training run"),
        ('{"arguments": {"network": "a"}}', "the number of epochs is None; want an integer"),
        ('{"arguments": {"network": "a", "epochs": "2"}}', "the number of epochs is '2'"),
        ('{"arguments": {"network": "a"}, "spec": 1}', "spec is 1; want an object"),
    ],
)
def test_a_damaged_file_of_the_run_is_one_line(shapes, folder, monkeypatch, content, message):
    forbid_waiting(monkeypatch)
    (folder / "shapes-arguments.json").write_text(content)
    (folder / "shapes-watch.jsonl").write_text('{"step": 2, "epoch": 1, "eval": {"AP50": 1}}\n')
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "row, message",
    [
        ('{"step": 2, "epoch": 1}', "has no scores"),
        ('{"step": 2, "eval": {"AP50": 1}}', "has None as epoch, which is no number of epochs"),
        ('{"step": 2, "epoch": 1, "eval": [1]}', "has [1] as eval, which is no object"),
        ('{"step": 2, "epoch": 1, "eval": {"AP50": "1"}}', "has '1' as eval AP50"),
    ],
)
def test_a_damaged_row_of_scores_is_one_line(shapes, folder, row, message):
    (folder / "shapes-watch.jsonl").write_text(f"{row}\n")
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"shapes-watch.jsonl: the row of step 2 {message}" in done.stderr


def test_a_run_that_patience_has_ended_is_not_waited_for(shapes, folder, monkeypatch):
    # As if the first of two evaluations had been the better one.
    log = folder / "shapes-metrics.jsonl"
    rows = training.read_metrics(str(log))
    for step, score in ((2, 1.0), (4, 0.5)):
        place = [row["step"] for row in rows].index(step) + 1
        rows.insert(place, {"step": step, "epoch": step // 2, "eval": {"AP50": score}})
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    resumed = train(shapes, folder, "--epochs", 9, "--patience", 1, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "the run ends after epoch 2 (--patience 1)" in resumed.stdout
    forbid_waiting(monkeypatch)
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert done.returncode == 0, done.stderr
    assert [row["epoch"] for row in scored(folder)] == [1, 2]


def test_a_damaged_checkpoint_is_left_out(shapes, folder, monkeypatch):
    forbid_waiting(monkeypatch)
    weights = folder / "shapes-0000002.params"
    weights.write_bytes(weights.read_bytes()[:-100])
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert done.returncode == 0, done.stderr
    # The watcher reads a second name of the file, which is gone when it is done.
    assert f"left out: {weights} is damaged" in done.stdout
    assert [row["step"] for row in scored(folder)] == [4]


def test_what_a_killed_watcher_has_left_is_deleted(shapes, folder, monkeypatch):
    forbid_waiting(monkeypatch)
    training.keep_weights(str(folder / "shapes-0000002.json"), str(folder / "shapes-watch"))
    # The run has deleted this checkpoint, and the watcher was killed between its two files.
    (folder / "shapes-watch-0000001.params").write_bytes(b"weights")
    of_another_run = folder / "shapes-watch-2-0000001.params"
    of_another_run.write_bytes(b"weights")
    assert steps_scored(evaluate(shapes, "--watch", folder / "shapes")) == [2, 4]
    assert not list(folder.glob("shapes-watch-0*"))
    assert of_another_run.read_bytes() == b"weights"


def test_a_run_under_the_name_of_a_watcher_loses_nothing(shapes, folder):
    for path in folder.glob("shapes-[0-9a]*"):
        shutil.copy(path, folder / path.name.replace("shapes-", "shapes-watch-"))
    before = sorted(folder.iterdir())
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert done.returncode == 2 and "is the --save-prefix of a training run" in done.stderr
    assert sorted(path for path in folder.iterdir() if path.suffix != ".lock") == [
        path for path in before if path.suffix != ".lock"
    ]


def test_a_second_watcher_is_refused(shapes, folder):
    with training.PrefixLock(str(folder / "shapes-watch")):
        done = evaluate(shapes, "--watch", folder / "shapes")
    assert done.returncode == 2
    assert f"{folder}/shapes-watch is in use by process " in done.stderr


def test_a_folder_that_is_not_there_is_not_waited_for(shapes, tmp_path):
    done = evaluate(shapes, "--watch", tmp_path / "nowhere" / "run")
    assert done.returncode == 2
    assert f"there is no folder {tmp_path / 'nowhere'}; start the run first" in done.stderr
    assert not (tmp_path / "nowhere").exists()


def interrupt_waiting(monkeypatch):
    def stop(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", stop)


@pytest.mark.parametrize(
    "name, message",
    [
        ("shape", "this run has not begun; did you mean shapes?"),
        ("other", "this run has not begun; there is {folder}/shapes"),
        ("../run", "this run has not begun; there is {folder}/../run/shapes"),
    ],
)
def test_a_run_that_is_not_there_is_waited_for_with_the_names_of_others(
    shapes, folder, monkeypatch, name, message
):
    interrupt_waiting(monkeypatch)
    done = evaluate(shapes, "--watch", folder / name)
    assert done.returncode == 130 and message.format(folder=folder) in done.stdout


def test_what_a_watcher_waits_for(shapes, folder, monkeypatch):
    interrupt_waiting(monkeypatch)
    path = folder / "shapes-arguments.json"
    content = json.loads(path.read_text())
    content["arguments"]["epochs"] = 9
    # As an editor on Windows saves it.
    text = json.dumps(content, indent=1).replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert done.returncode == 130 and "the run ends after epoch 9" in done.stdout
    path.unlink()
    done = evaluate(shapes, "--watch", folder / "shapes")
    assert done.returncode == 130
    assert f"there is no {path}, so the last epoch of the run is not known" in done.stdout


@pytest.mark.parametrize("name", ["", "shapes-arguments.json", "shapes-0000002.params"])
def test_a_folder_or_a_file_is_no_run(shapes, folder, name):
    done = evaluate(shapes, "--watch", f"{folder}/{name}")
    assert done.returncode == 2 and f"--watch {folder}/{name} is a f" in done.stderr
    assert done.stderr.rstrip().endswith(("did you mean shapes?", f"there is {folder}/shapes"))


def test_a_set_without_objects_has_no_best_weights(shapes, folder, tmp_path, monkeypatch):
    forbid_waiting(monkeypatch)
    path = shutil.copytree(shapes, tmp_path / "empty") / "annotations" / "instances_val.json"
    content = json.loads(path.read_text())
    content["annotations"] = []
    path.write_text(json.dumps(content))
    done = evaluate(tmp_path / "empty", "--watch", folder / "shapes")
    assert done.returncode == 2 and "no object of the validation set counts" in done.stderr
    assert not list(folder.glob("shapes-watch-*"))


def test_no_detections_are_saved_of_many_networks(shapes, tmp_path):
    done = evaluate(shapes, "--watch", tmp_path / "run", "--save-json", tmp_path / "found.json")
    assert done.returncode == 2
    assert "--save-json is for one network; leave it out with --watch" in done.stderr


def test_the_checkpoint_may_be_deleted_once_its_weights_are_kept(folder):
    source = folder / "shapes-0000002.json"
    kept = training.keep_weights(str(source), str(folder / "kept"))
    assert kept == str(folder / "kept-0000002.json")
    weights = source.with_suffix(".params").read_bytes()
    training.remove_checkpoint(str(source))
    assert not list(folder.glob("shapes-0000002.*"))
    assert (folder / "kept-0000002.params").read_bytes() == weights
    assert training.read(kept)["state"]["step"] == 2
    training.remove_checkpoint(kept)
    assert not list(folder.glob("kept*"))


def test_a_checkpoint_that_is_being_deleted_leaves_nothing(folder):
    # Pruning deletes the header first.
    (folder / "shapes-0000002.json").unlink()
    with pytest.raises(FileNotFoundError):
        training.keep_weights(str(folder / "shapes-0000002.json"), str(folder / "kept"))
    assert not list(folder.glob("kept*"))
