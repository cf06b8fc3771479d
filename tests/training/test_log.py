import json
import re
import shutil

from gluonnorm.training import (
    Callback,
    CheckpointSaver,
    MetricsLog,
    RunningMeans,
    StepRecord,
    TextLog,
    read_metrics,
)

import pytest
from full_disk import no_file_beyond
from training import tiny


def record(step, **losses):
    return StepRecord(step, (step - 1) // 5, 0.01 * step, losses, ("a.jpg",), 2.0)


def test_running_means() -> None:
    means = RunningMeans(window=3)
    assert means.values() == {}
    for value in (1.0, 2.0, 6.0, 4.0):
        means.update({"b": value})
    means.update({"a": 10.0, "b": 5.0})
    assert means.values() == {"b": 5.0, "a": 10.0}
    assert list(means.values()) == ["b", "a"]
    with pytest.raises(ValueError, match="window is 0"):
        RunningMeans(0)


def test_text_log(tmp_path, capsys) -> None:
    path = tmp_path / "logs" / "train.log"
    log = TextLog(str(path), every=2, echo=True)
    for step, loss in enumerate((1.0, 3.0, 5.0, 6.0, 100.0), 1):
        log.on_losses(None, record(step, rpn=loss))
    log.write("AP50 0.71")
    lines = path.read_text().splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in lines] == [
        "epoch 1  step 2  lr 0.02  rpn 2  images/s 2",
        "epoch 1  step 4  lr 0.04  rpn 5.5  images/s 2",
        "AP50 0.71",
    ]
    assert "AP50 0.71" in capsys.readouterr().out
    with pytest.raises(ValueError, match="every is 0"):
        TextLog(str(path), every=0)


def test_metrics_of_a_run(tmp_path) -> None:
    path = str(tmp_path / "logs" / "metrics.jsonl")
    _, step = tiny.build()
    tiny.make_loop(step, [MetricsLog(path)], steps_per_epoch=3).fit(epochs=2)
    rows = read_metrics(path)
    assert [(row["step"], row["epoch"]) for row in rows] == [
        (1, 0),
        (2, 0),
        (3, 0),
        (4, 1),
        (5, 1),
        (6, 1),
    ]
    assert [row["lr"] for row in rows] == [tiny.rate(s) for s in range(6)]
    assert set(rows[0]) == {"step", "epoch", "lr", "losses", "images_per_second", "time"}
    assert set(rows[0]["losses"]) == {"square", "absolute"}
    assert rows[0]["time"] <= rows[-1]["time"]


def test_lines_as_an_editor_on_windows_saves_them(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"step": 1}\r\n{"step": 2}\r\n')
    MetricsLog(str(path)).write({"step": 3})
    assert [row["step"] for row in read_metrics(str(path))] == [1, 2, 3]


def test_cut_last_line_is_ignored_and_then_removed(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3, "los')
    assert read_metrics(str(path)) == [{"step": 1}, {"step": 2}]
    MetricsLog(str(path)).write({"step": 3})
    assert [row["step"] for row in read_metrics(str(path))] == [1, 2, 3]
    for content in ('{"step": 1', ""):
        path.write_text(content)
        assert read_metrics(str(path)) == []
        MetricsLog(str(path)).write({"step": 1})
        assert [row["step"] for row in read_metrics(str(path))] == [1]


@pytest.mark.parametrize("broken", ['{"step": 2, "los', '{"epoch": 2}', "7", "[1]"])
def test_broken_line_elsewhere_is_named(tmp_path, broken) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{broken}\n{{"step": 3}}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2: not a metrics row"):
        read_metrics(str(path))


def test_rows_a_resumed_run_repeats_count_once(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [
        {"step": 1},
        {"step": 2},
        {"step": 2, "eval": {"AP": 0.1}},
        {"step": 3},
        {"step": 4},
        {"step": 4, "eval": {}},
        {"step": 3, "again": 1},
        {"step": 4, "again": 1},
        {"step": 4, "eval": {"AP": 0.2}},
        {"step": 4, "eval": {"AP": 0.3}},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_metrics(str(path)) == rows[:3] + rows[6:8] + rows[9:]


def test_a_full_disk_costs_lines_of_a_log_and_no_part_of_one(tmp_path) -> None:
    text = TextLog(str(tmp_path / "train.log"), every=1)
    metrics = MetricsLog(str(tmp_path / "metrics.jsonl"))
    for log in (text, metrics):
        log.on_losses(None, record(1, rpn=1.0))
    contents = {path: path.read_bytes() for path in tmp_path.iterdir()}
    largest = max(len(content) for content in contents.values())
    with no_file_beyond(largest + 5), pytest.warns(UserWarning) as caught:
        for step in (2, 3):
            for log in (text, metrics):
                log.on_losses(None, record(step, rpn=1.0))
        # The evaluation says which weights are the best, so the run must not go on without it.
        with pytest.raises(OSError, match="File too large: .*metrics.jsonl"):
            metrics.write({"step": 3, "eval": {"AP": 0.5}})
    messages = {str(warning.message) for warning in caught}
    assert len(messages) == 2
    assert all("File too large" in message and "has a gap" in message for message in messages)
    assert (tmp_path / "metrics.jsonl").read_bytes() == contents[tmp_path / "metrics.jsonl"]
    for log in (text, metrics):
        log.on_losses(None, record(4, rpn=1.0))
    assert [row["step"] for row in read_metrics(metrics.path)] == [1, 4]
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert all(line.endswith("images/s 2") for line in lines)


def test_a_folder_that_is_removed_during_the_run_is_made_again(tmp_path) -> None:
    folder = tmp_path / "run"
    path = str(folder / "metrics.jsonl")
    graph, step = tiny.build()
    saver = CheckpointSaver(str(folder / "tiny"), graph, step.trainer, tiny.SPEC)
    logs = [MetricsLog(path), TextLog(str(folder / "train.log"), every=1), saver]
    loop = tiny.make_loop(step, [*logs, RemoveFolder(folder, at_step=4)], steps_per_epoch=3)
    loop.fit(epochs=2)
    # The losses of step 4 are read after step 5 was launched.
    assert [row["step"] for row in read_metrics(path)] == [4, 5, 6]
    assert (folder / "tiny-0000006.json").exists()
    assert len((folder / "train.log").read_text().splitlines()) == 3


class RemoveFolder(Callback):
    """Remove a folder after a step was launched."""

    def __init__(self, folder, at_step) -> None:
        self.folder = folder
        self.at_step = at_step

    def on_step_end(self, loop) -> None:
        if loop.step == self.at_step:
            shutil.rmtree(self.folder)
