"""Train one row of an experiment with one seed, and keep what came out."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import mean, median
from typing import Any, Dict, List, Mapping

import model_zoo
from experiments.kept_run import KeptRun, result_path, write_result
from experiments.rows import Experiment, Row
from gluonnorm import __version__, training
from gluonnorm._runtime import processor_name
from gluonnorm.errors import InputError
from gluonnorm.nn import mixing_weights

SCRIPT = Path(__file__).resolve().parents[1] / "train_faster_rcnn.py"
DIGITS = 4  # of the numbers that are kept


def run_row(
    experiment: Experiment,
    row: Row,
    seed: int,
    places: Mapping[str, str],
    folder: Path,
    results: Path,
    threads: int,
) -> KeptRun:
    """Train one row with one seed, and write the result. A run that was interrupted is continued.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    row : Row
        One of its rows.
    seed : int
        The seed of the run.
    places : mapping of str to str
        The file or folder that a name in the row's flags stands for.
    folder : pathlib.Path
        The folder of the run's files. Once the result is written they are deleted, but for the log.
    results : pathlib.Path
        The folder of results.
    threads : int
        Threads of the training process.

    Returns
    -------
    KeptRun
        What came out.

    Raises
    ------
    InputError
        The training ended with an error, or the result cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / f"{row.label}-seed{seed}"
    flags = [*row.flags, "--seed", str(seed)]
    command = [sys.executable, str(SCRIPT), *(places.get(flag, flag) for flag in flags)]
    command += ["--save-prefix", str(prefix)]
    if training.latest(str(prefix)) is not None:
        command.append("--resume")
    output = folder / f"{row.label}-seed{seed}.output"
    with output.open("a", encoding="utf-8") as file:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        status = subprocess.run(command, stdout=file, stderr=file, env=environment).returncode
    if status != 0:
        raise InputError(
            f"{row.label}, seed {seed}: training ended with status {status}; see {output}"
        )

    metrics = training.read_metrics(f"{prefix}-metrics.jsonl")
    result = KeptRun(
        experiment=experiment.name,
        row=row.label,
        seed=seed,
        command=shlex.join(["python", f"scripts/{SCRIPT.name}", *flags]),
        version=__version__,
        processor=processor_name(),
        threads=threads,
        images_per_second=_rounded(median(_column(metrics, "images_per_second"))),
        evaluations=_evaluations(metrics),
        losses=_mean_losses(metrics),
        mixing_weights=_mixing_weights(str(prefix)),
    )
    write_result(result, result_path(experiment.name, row.label, seed, results))
    for file_name in folder.glob(f"{prefix.name}-*"):
        file_name.unlink()
    return result


def _column(metrics: List[Dict[str, Any]], name: str) -> List[Any]:
    """Collect a value of all rows that have it."""
    return [row[name] for row in metrics if name in row]


def _evaluations(metrics: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Collect the scores of all evaluations."""
    evaluations = []
    for row in metrics:
        if "eval" in row:
            scores = {name: _rounded(score) for name, score in row["eval"].items()}
            evaluations.append({"step": row["step"], "epoch": row["epoch"], "scores": scores})
    return evaluations


def _mean_losses(metrics: List[Dict[str, Any]]) -> List[Dict[str, float]]:
    """Compute the mean of each loss in each epoch."""
    losses_by_epoch: Dict[int, List[Dict[str, float]]] = {}
    for row in metrics:
        if "losses" in row:
            losses_by_epoch.setdefault(row["epoch"], []).append(row["losses"])
    means = []
    for _, losses in sorted(losses_by_epoch.items()):
        means.append({name: _rounded(mean(_column(losses, name))) for name in losses[0]})
    return means


def _mixing_weights(prefix: str) -> List[Dict[str, Any]]:
    """Read the mixing weights of each checkpoint of a run, if it has any, the earliest first."""
    epochs = []
    for path in reversed(training.newest_first(prefix)):
        header = training.read(path)
        net = model_zoo.from_spec(header["spec"])
        training.load(path, net)
        layers = []
        for layer, mean_shares, variance_shares in mixing_weights(net):
            layers.append([layer, _rounded_shares(mean_shares), _rounded_shares(variance_shares)])
        if layers:
            epochs.append({"epoch": header["state"]["epoch"], "layers": layers})
    return epochs


def _rounded_shares(shares: Mapping[str, float]) -> Dict[str, float]:
    """Round the shares of the statistics."""
    return {statistic: _rounded(share) for statistic, share in shares.items()}


def _rounded(number: float) -> float:
    """Round a number to the digits that are kept."""
    return round(float(number), DIGITS)
