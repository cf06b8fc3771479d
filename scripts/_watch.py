"""Score the checkpoints of a training run as they appear: ``eval_faster_rcnn.py --watch``.

A run may go back: ``--resume OLDER_CHECKPOINT`` repeats steps with other weights, and a new run may
take the prefix of a deleted one. So each row of ``PREFIX-watch.jsonl`` names the weights that it is
about, and rows about other weights than those of the run are set aside.
"""

import json
import os
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Set, Tuple

from gluonnorm import training
from gluonnorm.errors import InputError, one_line
from gluonnorm.training.checkpoint_folder import ASIDE_ENDING

from _arguments_file import arguments_path, other_runs, read_last_epoch
from _cli import flag_of
from _metrics_file import read_rows
from _output import write_text
from _scores import decisive_name, headlines
from _terminal import write_line

POLL_SECONDS = 5.0
Row = Dict[str, Any]


def watch(prefix: str, flags: Dict[str, Any], score: Callable[[str], Dict[str, float]]) -> None:
    """Score each checkpoint of a run, the oldest first, until the last one of the run.

    A run that has not begun, or that was stopped and may be continued, is waited for.
    ``PREFIX-watch.jsonl`` keeps the scores, so a watcher that is started again goes on where it
    was. ``PREFIX-watch-best.json`` opens the weights with the best score.

    Parameters
    ----------
    prefix : str
        The ``--save-prefix`` of the run.
    flags : dict of str to any
        The flags that decide the scores, "metric" among them, by their names in the parsed command
        line. They are kept with the scores.
    score : callable
        Computes the scores of a checkpoint, which it is given as the path of its ``.json``.

    Raises
    ------
    InputError
        There is no such folder, the prefix is a folder or a file, another watcher is at work on
        this run, an earlier one scored it by other flags, no object of the data set counts, a
        file of the run is damaged, or another run has the names of the watcher's files.
    """
    own_prefix = f"{prefix}-watch"
    _check_prefix(prefix, own_prefix)
    with training.PrefixLock(own_prefix):
        # Second names of checkpoints that a killed watcher has left.
        training.remove_checkpoints(own_prefix)
        metrics = training.MetricsLog(f"{own_prefix}.jsonl")
        rows = _rows_of_run(prefix, own_prefix, _earlier_rows(metrics.path))
        _check_flags(metrics.path, rows, flags)
        unreadable: Set[Tuple[str, str]] = set()
        is_waiting = False
        while not _is_complete(prefix, rows):
            path = _next_checkpoint(prefix, rows, unreadable)
            if path is None:
                if not is_waiting:
                    write_line(
                        f"waiting for the next checkpoint of {prefix}; Ctrl-C ends the wait; "
                        f"{_what_is_known(prefix)}"
                    )
                is_waiting = True
                time.sleep(POLL_SECONDS)
                # The run may have gone back meanwhile.
                rows = _rows_of_run(prefix, own_prefix, rows)
                continue
            is_waiting = False
            weights = _weights_of(path)
            row = _score_checkpoint(path, own_prefix, score, rows)
            if row is None:
                unreadable.add((path, weights))
                continue
            row["flags"] = flags
            metrics.write(row)
            rows.append(row)
            rows = _rows_of_run(prefix, own_prefix, rows)
    best = max(rows, key=_decisive_score)
    write_line(f"the best is step {best['step']}, kept as {own_prefix}-best.json")


def _check_prefix(prefix: str, own_prefix: str) -> None:
    """Refuse what no run can have as its ``--save-prefix``, and names that another run has."""
    folder, name = os.path.split(prefix)
    folder = folder or "."
    if not os.path.isdir(folder):
        raise InputError(f"--watch {prefix}: there is no folder {folder}; start the run first")
    if not name:
        raise InputError(
            f"--watch {prefix} is a folder; add the first part of the file names of a run"
            f"{other_runs(prefix)}"
        )
    if os.path.isfile(prefix):
        raise InputError(
            f"--watch {prefix} is a file; give the --save-prefix of a run{other_runs(prefix)}"
        )
    if os.path.exists(arguments_path(own_prefix)):
        raise InputError(
            f"{own_prefix} is the --save-prefix of a training run, whose files a watcher would "
            "replace; move them, or train under another prefix"
        )


def _what_is_known(prefix: str) -> str:
    """Say when a run that is waited for ends, or which other run may be meant."""
    last_epoch = read_last_epoch(prefix)
    if last_epoch is not None:
        return f"the run ends after epoch {last_epoch}"
    if training.newest_first(prefix):
        return f"there is no {arguments_path(prefix)}, so the last epoch of the run is not known"
    return f"this run has not begun{other_runs(prefix)}"


def _earlier_rows(path: str) -> List[Row]:
    """Read what an earlier watcher has scored."""
    rows = read_rows(path) if os.path.exists(path) else []
    lacking = [row["step"] for row in rows if "eval" not in row]
    if lacking:
        raise InputError(f"{path}: the row of step {lacking[0]} has no scores; remove the row")
    return rows


def _rows_of_run(prefix: str, own_prefix: str, rows: List[Row]) -> List[Row]:
    """Keep the rows about weights of the run, and set the others aside.

    If the best weights were those of a row that goes, they go too. The other weights with a score
    may have been deleted by the run, so all that there are then compete again.
    """
    stale_step = _first_stale_step(prefix, rows)
    kept = [row for row in rows if stale_step is None or row["step"] < stale_step]
    if not _is_best_kept(own_prefix, kept):
        kept = []
    if len(kept) == len(rows):
        return rows
    path = f"{own_prefix}.jsonl"
    os.replace(path, path + ASIDE_ENDING)
    write_text(path, "".join(f"{json.dumps(row)}\n" for row in kept))
    also = ""
    best = training.best_path(own_prefix)
    if not kept and os.path.exists(best):
        training.set_aside([best])
        also = f" and {best}"
    write_line(
        f"{len(rows) - len(kept)} of {len(rows)} scores in {path} are of other weights than those "
        f"of the run and its best ones; the earlier {path}{also} now end in {ASIDE_ENDING}"
    )
    return kept


def _first_stale_step(prefix: str, rows: List[Row]) -> Optional[int]:
    """Find the first step whose score is of other weights than the run has; None if there is none.

    Without a checkpoint nothing is known of the run.
    """
    checkpoints = training.newest_first(prefix)
    if not checkpoints:
        return None
    row_of_path = {training.checkpoint_path(prefix, row["step"]): row for row in rows}
    stale = []
    for path in checkpoints:
        if path in row_of_path and not _is_about(row_of_path[path], path):
            stale.append(row_of_path[path]["step"])
    # The newest checkpoint is never deleted by the run, so the run has gone back behind others.
    newest_step = _step_of(checkpoints[0])
    stale += [row["step"] for row in rows if newest_step is not None and row["step"] > newest_step]
    return min(stale, default=None)


def _is_about(row: Row, path: str) -> bool:
    """Tell whether a row is about the weights of a checkpoint of its step."""
    weights = _weights_of(path)
    if not weights:
        return True  # damaged, or just deleted: it says nothing about the row
    if "weights" in row:
        return row["weights"] == weights
    # A row of an earlier version has no weights, but was written after its checkpoint.
    try:
        return os.path.getmtime(path) <= row.get("time", 0)
    except OSError:
        return True


def _is_best_kept(own_prefix: str, rows: List[Row]) -> bool:
    """Tell whether the best weights are those of the best row; True without rows."""
    if not rows:
        return True
    best_row = max(rows, key=_decisive_score)
    path = training.best_path(own_prefix)
    weights = _weights_of(path)
    return _step_of(path) == best_row["step"] and best_row.get("weights", weights) == weights


def _weights_of(path: str) -> str:
    """Return the SHA-256 of a checkpoint's weights, as its header states it; "" without one."""
    try:
        return training.read(path)["files"]["params"]["sha256"]
    except training.DamagedCheckpoint:
        return ""


def _step_of(path: str) -> Optional[int]:
    """Return the step of a checkpoint; None if there is no header that can be read."""
    try:
        return training.read(path)["state"]["step"]
    except training.DamagedCheckpoint:
        return None


def _check_flags(path: str, rows: List[Row], flags: Mapping[str, Any]) -> None:
    """Refuse scores that cannot be compared with those of an earlier watcher."""
    for row in rows:
        earlier = row.get("flags")
        if earlier is None:
            # A version without flags: the names of the scores tell COCO's from VOC's.
            is_coco = "AP50" in row["eval"]
            earlier = {**flags}
            if is_coco != (flags["metric"] == "coco"):
                earlier["metric"] = "coco" if is_coco else "voc"
        changes = []
        for name, value in flags.items():
            if earlier.get(name) != value:
                changes.append(f"{flag_of(name)} was {earlier.get(name)} and is {value}")
        if changes:
            raise InputError(
                f"{path} has scores that cannot be compared with these: {'; '.join(changes)}; give "
                f"the same flags, or move {path} away to score all checkpoints anew"
            )


def _is_complete(prefix: str, rows: List[Row]) -> bool:
    """Tell whether the last epoch of the run has been scored."""
    last_epoch = read_last_epoch(prefix)
    if not rows or last_epoch is None or not training.newest_first(prefix):
        return False
    return max(row["epoch"] for row in rows) >= last_epoch


def _next_checkpoint(
    prefix: str, rows: List[Row], unreadable: Set[Tuple[str, str]]
) -> Optional[str]:
    """Find the oldest checkpoint that has not been scored."""
    scored = {training.checkpoint_path(prefix, row["step"]) for row in rows}
    for path in reversed(training.newest_first(prefix)):
        if path not in scored and (path, _weights_of(path)) not in unreadable:
            return path
    return None


def _score_checkpoint(
    path: str,
    own_prefix: str,
    score: Callable[[str], Dict[str, float]],
    rows: List[Row],
) -> Optional[Row]:
    """Score a checkpoint; None if it cannot be read or has gone."""
    # The run may delete the checkpoint meanwhile, so this works on a second name of its files.
    try:
        kept = training.keep_weights(path, own_prefix)
    except FileNotFoundError:
        write_line(f"{path} was deleted by the run before it could be scored")
        return None
    try:
        header = training.read(kept)
        state = header["state"]
        scores = score(kept)
        row = {
            "step": state["step"],
            "epoch": state["epoch"],
            "weights": header["files"]["params"]["sha256"],
            "eval": scores,
        }
        if _decisive_score(row) < 0:
            raise InputError(
                "no object of the validation set counts: there is none of the network's classes, "
                "or all are crowd or difficult; no weights would be the best, so choose another "
                "--val-split"
            )
        is_best = all(_decisive_score(row) > _decisive_score(other) for other in rows)
        if is_best:
            training.mark_best(kept)
    except training.DamagedCheckpoint as error:
        # The second name is gone when this is read.
        own_stem, stem = os.path.splitext(kept)[0], os.path.splitext(path)[0]
        write_line(f"left out: {one_line(error).replace(own_stem, stem)}")
        return None
    finally:
        training.remove_checkpoint(kept)
    overall = "  ".join(f"{name} {scores[name]:.3f}" for name in headlines(scores))
    write_line(f"step {row['step']}, epoch {row['epoch']}: {overall}{'  (best)' * is_best}")
    return row


def _decisive_score(row: Row) -> float:
    """The score that decides which checkpoint is the best."""
    return row["eval"].get(decisive_name(row["eval"]), -1.0)
