"""What a training run has left on disk, and what it lacks."""

import glob
import math
import os
from collections import Counter
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from gluonnorm import training
from gluonnorm.errors import InputError, one_line

from _arguments_file import LAST_EPOCH, arguments_path, other_runs, read_arguments
from _metrics_file import read_rows
from _scores import decisive_name

ARGUMENTS_ENDING = arguments_path("")
METRICS_ENDING = "-metrics.jsonl"
DETECTIONS_ENDING = "-report-detections.json"
PAGE_ENDING = ".html"


class RunFiles(NamedTuple):
    """The files of a run, as far as there are any.

    Attributes
    ----------
    prefix : str
        Its ``--save-prefix``.
    name : str
        What it is called on the page.
    arguments : dict
        The flags by their names in the parsed command line.
    choices : dict
        Value, origin and reason of each value that a rule may have chosen.
    spec : dict
        The network; empty if the run does not tell.
    versions : dict of str to str
        Of Python, MXNet and gluonnorm in training.
    rows : list of dict
        The rows of its metrics; empty if there are none.
    notes : tuple of str
        What is missing or cannot be read.
    saved_epochs : int
        Complete epochs at the newest checkpoint; 0 without one.
    ended_early : bool
        Whether the run has ended, by --patience, before its last epoch.
    """

    prefix: str
    name: str
    arguments: Dict[str, Any]
    choices: Dict[str, Any]
    spec: Dict[str, Any]
    versions: Dict[str, str]
    rows: List[Dict[str, Any]]
    notes: Tuple[str, ...]
    saved_epochs: int = 0
    ended_early: bool = False

    @property
    def steps(self) -> List[Dict[str, Any]]:
        """The rows with losses."""
        return [row for row in self.rows if "losses" in row]

    @property
    def evaluations(self) -> List[Dict[str, Any]]:
        """The rows with scores."""
        return [row for row in self.rows if row.get("eval")]

    @property
    def decisive(self) -> str:
        """The name of the score that chose the best weights; "" in a run without scores."""
        evaluations = self.evaluations
        return decisive_name(evaluations[-1]["eval"]) if evaluations else ""

    @property
    def best_evaluation(self) -> Dict[str, Any]:
        """The first row with the best score; empty in a run without scores."""
        best: Dict[str, Any] = {}
        highest = -math.inf
        for row in self.evaluations:
            value = row["eval"].get(self.decisive, -math.inf)
            # NaN is not higher than anything.
            if value > highest:
                best, highest = row, value
        return best


def read_runs(prefixes: Sequence[str]) -> List[RunFiles]:
    """Read what runs have written besides their weights.

    Parameters
    ----------
    prefixes : sequence of str
        Their ``--save-prefix``.

    Returns
    -------
    list of RunFiles
        Each is named by the last part of its prefix, or by all of it if another one ends alike.

    Raises
    ------
    InputError
        A run is given twice, or as for ``read_run``.
    """
    repeated = [prefix for prefix, count in Counter(prefixes).items() if count > 1]
    if repeated:
        raise InputError(
            f"{repeated[0]} is given {prefixes.count(repeated[0])} times; give it once"
        )
    short_names = [os.path.basename(prefix) for prefix in prefixes]
    runs = []
    for prefix, short_name in zip(prefixes, short_names):
        is_unique = short_names.count(short_name) == 1
        runs.append(read_run(prefix, short_name if is_unique else prefix))
    return runs


def read_run(prefix: str, name: str) -> RunFiles:
    """Read what a run has written besides its weights.

    Parameters
    ----------
    prefix : str
        Its ``--save-prefix``.
    name : str
        What it is called on the page.

    Returns
    -------
    RunFiles
        Flags and metrics. Metrics that are missing are a note.

    Raises
    ------
    InputError
        There is no such run, or its ``PREFIX-arguments.json`` cannot be read.
    """
    path = arguments_path(prefix)
    if not os.path.exists(path):
        raise InputError(f"{prefix} is no training run: there is no {path}; {_way_out(prefix)}")
    content = read_arguments(prefix)
    notes = []
    rows: List[Dict[str, Any]] = []
    metrics_path = prefix + METRICS_ENDING
    try:
        rows = read_rows(metrics_path)
    except (InputError, OSError) as error:
        notes.append(f"The losses and scores of training are missing: {one_line(error)}.")
    else:
        if not rows:
            notes.append(f"{metrics_path} has no complete row: the run has not made an update yet.")
    return RunFiles(
        prefix=prefix,
        name=name,
        arguments=content["arguments"],
        choices=content.get("choices", {}),
        spec=content.get("spec", {}),
        versions={name: str(content[name]) for name in _VERSIONS if name in content},
        rows=rows,
        notes=tuple(notes),
        saved_epochs=_saved_epochs(prefix),
        ended_early=LAST_EPOCH in content,
    )


def owned_files(prefix: str) -> List[str]:
    """List the files of a run, which a page must not replace.

    Parameters
    ----------
    prefix : str
        Its ``--save-prefix``.

    Returns
    -------
    list of str
        Those that there are, but for pages, and those that every run gets.
    """
    found = glob.glob(f"{glob.escape(prefix)}-*")
    paths = [path for path in found if not path.endswith(PAGE_ENDING)]
    best = os.path.splitext(training.best_path(prefix))[0]
    endings = (ARGUMENTS_ENDING, METRICS_ENDING, DETECTIONS_ENDING, ".log")
    return [*paths, f"{best}.json", f"{best}.params", *(prefix + ending for ending in endings)]


_VERSIONS = ("python", "mxnet", "gluonnorm")


def _saved_epochs(prefix: str) -> int:
    """Return the number of complete epochs at the newest checkpoint that can be read; 0 without."""
    for path in training.newest_first(prefix):
        try:
            return int(training.read(path)["state"].get("epoch", 0))
        except training.DamagedCheckpoint:
            continue
    return 0


def _way_out(prefix: str) -> str:
    """Name the runs that lie where this one was looked for."""
    folder = os.path.dirname(prefix) or "."
    if not os.path.isdir(folder):
        return f"there is no folder {folder} either"
    return f"give the --save-prefix of a run{other_runs(prefix) or '; this folder has none'}"
