"""Score the checkpoints of a training run as they appear: ``eval_faster_rcnn.py --watch``."""

import os
import time
from typing import Any, Callable, Dict, List, Optional

from gluonnorm import training
from gluonnorm.errors import InputError, one_line

from _arguments_file import read_last_epoch
from _scores import decisive_name, headlines
from _terminal import write_line

POLL_SECONDS = 5.0


def watch(prefix: str, score: Callable[[str], Dict[str, float]]) -> None:
    """Score each checkpoint of a run, the oldest first, until the last one of the run.

    A run that has not begun, or that was stopped and may be continued, is waited for.
    ``PREFIX-watch.jsonl`` keeps the scores, so a watcher that is started again goes on where it
    was. ``PREFIX-watch-best.json`` opens the weights with the best score.

    Parameters
    ----------
    prefix : str
        The ``--save-prefix`` of the run.
    score : callable
        Computes the scores of a checkpoint, which it is given as the path of its ``.json``.

    Raises
    ------
    InputError
        There is no such folder, or another watcher is at work on this run.
    """
    folder = os.path.dirname(prefix) or "."
    if not os.path.isdir(folder):
        raise InputError(f"--watch {prefix}: there is no folder {folder}; start the run first")
    own_prefix = f"{prefix}-watch"
    with training.PrefixLock(own_prefix):
        metrics = training.MetricsLog(f"{own_prefix}.jsonl")
        rows = _earlier_rows(metrics.path)
        unreadable: List[str] = []
        is_waiting = False
        while not _is_complete(prefix, rows):
            path = _next_checkpoint(prefix, rows, unreadable)
            if path is None:
                if not is_waiting:
                    write_line(f"waiting for the next checkpoint of {prefix}; Ctrl-C ends the wait")
                is_waiting = True
                time.sleep(POLL_SECONDS)
                continue
            is_waiting = False
            row = _score_checkpoint(path, own_prefix, score, rows)
            if row is None:
                unreadable.append(path)
                continue
            metrics.write(row)
            rows.append(row)
    if rows:
        best = max(rows, key=_decisive_score)
        write_line(f"the best is step {best['step']}, kept as {own_prefix}-best.json")


def _earlier_rows(path: str) -> List[Dict[str, Any]]:
    """Read what an earlier watcher has scored."""
    return training.read_metrics(path) if os.path.exists(path) else []


def _is_complete(prefix: str, rows: List[Dict[str, Any]]) -> bool:
    """Tell whether the last epoch of the run has been scored."""
    last_epoch = read_last_epoch(prefix)
    return bool(rows) and last_epoch is not None and rows[-1]["epoch"] >= last_epoch


def _next_checkpoint(
    prefix: str, rows: List[Dict[str, Any]], unreadable: List[str]
) -> Optional[str]:
    """Find the oldest checkpoint that has not been scored."""
    scored = {training.checkpoint_path(prefix, row["step"]) for row in rows}
    for path in reversed(training.newest_first(prefix)):
        if path not in scored and path not in unreadable:
            return path
    return None


def _score_checkpoint(
    path: str,
    own_prefix: str,
    score: Callable[[str], Dict[str, float]],
    rows: List[Dict[str, Any]],
) -> Optional[Dict[str, Any]]:
    """Score a checkpoint; None if it cannot be read or has gone."""
    # The run may delete the checkpoint meanwhile, so this works on a second name of its files.
    try:
        kept = training.keep_weights(path, own_prefix)
    except FileNotFoundError:
        write_line(f"{path} was deleted by the run before it could be scored")
        return None
    try:
        state = training.read(kept)["state"]
        scores = score(kept)
        row = {"step": state["step"], "epoch": state["epoch"], "eval": scores}
        is_best = all(_decisive_score(row) > _decisive_score(other) for other in rows)
        if is_best:
            training.mark_best(kept)
    except training.DamagedCheckpoint as error:
        write_line(f"left out: {one_line(error)}")
        return None
    finally:
        training.remove_checkpoint(kept)
    overall = "  ".join(f"{name} {scores[name]:.3f}" for name in headlines(scores))
    write_line(f"step {row['step']}, epoch {row['epoch']}: {overall}{'  (best)' * is_best}")
    return row


def _decisive_score(row: Dict[str, Any]) -> float:
    """The score that decides which checkpoint is the best."""
    return row["eval"].get(decisive_name(row["eval"]), -1.0)
