"""What is kept of a run in a small JSON file: its command, scores, and the course of its losses."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from gluonnorm.data.json_file import read_json
from gluonnorm.errors import InputError, one_line

from _output import write_text

RESULTS_FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results"


@dataclass
class KeptRun:
    """What is kept of a run.

    Attributes
    ----------
    experiment, row : str
        The names of the experiment and of its row.
    seed : int
        The seed of the run.
    command : str
        The command line of the training script. Names in capitals stand for files of the user.
    version : str
        The version of the package.
    processor : str
        The processor's name.
    threads : int
        Threads of the run.
    images_per_second : float
        The median over the updates.
    evaluations : list of dict
        "step", "epoch" and "scores", by the names of the evaluation, of each evaluation in order.
    losses : list of dict
        The mean of each loss in each epoch.
    mixing_weights : list of dict
        "epoch" and "layers" of each epoch, for networks with switchable norms: a layer is [name,
        shares in the mean, shares in the variance].
    """

    experiment: str
    row: str
    seed: int
    command: str
    version: str
    processor: str
    threads: int
    images_per_second: float
    evaluations: List[Dict[str, Any]]
    losses: List[Dict[str, float]]
    mixing_weights: List[Dict[str, Any]] = field(default_factory=list)

    @property
    def scores(self) -> Dict[str, float]:
        """The scores of the last evaluation, by name."""
        return self.evaluations[-1]["scores"]


def result_path(experiment: str, row: str, seed: int, folder: Path = RESULTS_FOLDER) -> Path:
    """Name the file of a run's result.

    Parameters
    ----------
    experiment, row : str
        The names of the experiment and of its row.
    seed : int
        The seed of the run.
    folder : pathlib.Path
        The folder of all results.

    Returns
    -------
    pathlib.Path
        The file.
    """
    return folder / experiment / f"{row}-seed{seed}.json"


def write_result(result: KeptRun, path: Path) -> None:
    """Write a result, whole or not at all.

    Parameters
    ----------
    result : KeptRun
        The result.
    path : pathlib.Path
        The file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n")


def read_result(path: Path) -> Optional[KeptRun]:
    """Read a result.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    KeptRun or None
        None if there is no such file.

    Raises
    ------
    InputError
        The file is no result of a run.
    """
    if not path.exists():
        return None
    content = read_json(path)
    try:
        result = KeptRun(**content)
        has_scores = bool(result.scores)
    except (TypeError, LookupError) as error:
        raise InputError(
            f"{path} is no result of an experiment ({one_line(error)}); delete it, and run the "
            "experiment again"
        ) from error
    if not has_scores:
        raise InputError(f"{path} has no scores; delete it, and run the experiment again")
    return result
