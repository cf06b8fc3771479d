"""Train the runs of an experiment, each with several seeds, and write its page of results.

What a run leaves is docs/results/NAME/ROW-seedN.json: its command, its scores and the course of its
losses. A run that has this file is not made again, and a run that was interrupted is continued, so
an experiment may be stopped with Ctrl-C and taken up by the same command. Afterwards the page
docs/results/NAME.md and its plot show all results that there are, the mean of the seeds and their
standard deviation.

Several runs are made at once, each with its share of the processor's cores: small images are
trained faster so.

Examples:
  python scripts/experiment.py --list
  python scripts/experiment.py norms --bccd BCCD --nuclei nuclei
  python scripts/experiment.py norms --nuclei nuclei --rows nuclei-gn-2 --seeds 1
  python scripts/experiment.py norms --page
"""

import argparse
import os
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Set

from gluonnorm._runtime import physical_cores
from gluonnorm.errors import InputError, did_you_mean

from _cli import add_plugin_argument, run
from _output import write_text
from _script_parser import ScriptParser
from experiments.all_experiments import EXPERIMENTS
from experiments.data_sets import draw_shapes_once, split_nuclei
from experiments.kept_run import (
    RESULTS_FOLDER,
    KeptRun,
    read_result,
    result_path,
)
from experiments.mixing_plot import plot_mixing
from experiments.plot import plot_experiment
from experiments.raw_weights import write_raw_weights
from experiments.rows import (
    BCCD,
    NUCLEI,
    RESNET50_V2,
    RESNET50_V2_RAW,
    SHAPES,
    Experiment,
    Row,
)
from experiments.run_row import run_row
from experiments.summary import RowSummary, make_page
from tqdm import tqdm

ALL_ROWS = ("*",)
DEFAULT_SEEDS = (1, 2, 3)


class Run(NamedTuple):
    """One row with one seed."""

    row: Row
    seed: int


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line.

    Parameters
    ----------
    argv : sequence of str or None
        The flags; None takes those of this process.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = ScriptParser(__doc__)
    parser.add_argument(
        "experiment", nargs="?", metavar="NAME", help="one of the experiments of --list"
    )
    parser.add_argument("--list", action="store_true", help="print experiments and rows, and end")
    parser.add_argument(
        "--rows",
        action="extend",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="only these rows, such as 'nuclei-gn-*' (default: all)",
    )
    parser.add_argument(
        "--seeds",
        "--seed",
        action="extend",
        nargs="+",
        type=int,
        default=[],
        metavar="N",
        help="the seeds of each row (default: 1 2 3)",
    )
    parser.add_argument("--bccd", metavar="FOLDER", help="the blood cells: the folder BCCD")
    parser.add_argument(
        "--nuclei",
        metavar="FOLDER",
        help="the nuclei: a folder with annotations/instances_train.json and images",
    )
    parser.add_argument(
        "--resnet50-v2", metavar="FILE", help="weights of ResNet-50 v2 from ImageNet"
    )
    parser.add_argument(
        "--runs",
        default="runs/experiments",
        metavar="FOLDER",
        help="the folder of the runs' own files (default: %(default)s)",
    )
    parser.add_argument(
        "--results",
        default=str(RESULTS_FOLDER),
        metavar="FOLDER",
        help="the folder of results and pages (default: docs/results)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=physical_cores(),
        metavar="N",
        help="runs that are made at once (default: %(default)s, the number of cores)",
    )
    parser.add_argument(
        "--page", action="store_true", help="train nothing; write the page of what there is"
    )
    add_plugin_argument(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Make the runs that are missing, and write the page.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    if args.list:
        for experiment in EXPERIMENTS.values():
            print(f"{experiment.name}: {experiment.title}")
            print(f"  {' '.join(row.label for row in experiment.rows)}")
        return
    experiment = find_experiment(args.experiment)
    if args.jobs < 1:
        raise InputError(f"--jobs is {args.jobs}; want at least 1")
    results = Path(args.results)
    if not args.page:
        rows = choose_rows(experiment, args.rows or ALL_ROWS)
        runs = missing_runs(experiment, rows, args.seeds or DEFAULT_SEEDS, results)
        chosen = [run.row for run in runs]
        places = make_places(find_places(args, chosen), chosen, Path(args.runs))
        folder = Path(args.runs) / experiment.name
        make_runs(experiment, runs, places, folder, results, args.jobs)
    write_page(experiment, results)


def find_experiment(name: Optional[str]) -> Experiment:
    """Find an experiment by its name.

    Parameters
    ----------
    name : str or None
        What the command line names.

    Returns
    -------
    Experiment
        The experiment.

    Raises
    ------
    InputError
        There is none of this name.
    """
    if name is None:
        raise InputError(f"which experiment? There are {', '.join(EXPERIMENTS)}")
    if name not in EXPERIMENTS:
        raise InputError(f"there is no experiment {name!r}{did_you_mean(name, EXPERIMENTS)}")
    return EXPERIMENTS[name]


def choose_rows(experiment: Experiment, patterns: Sequence[str]) -> List[Row]:
    """Choose the rows whose labels match one of several patterns.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    patterns : sequence of str
        Labels, perhaps with ``*``.

    Returns
    -------
    list of Row
        The rows, in the order of the experiment.

    Raises
    ------
    InputError
        A pattern matches no row.
    """
    for pattern in patterns:
        if not any(fnmatch(row.label, pattern) for row in experiment.rows):
            raise InputError(
                f"--rows {pattern}: the experiment {experiment.name} has no such row; --list has "
                "them all"
            )
    rows = []
    for row in experiment.rows:
        if any(fnmatch(row.label, pattern) for pattern in patterns):
            rows.append(row)
    return rows


def missing_runs(
    experiment: Experiment, rows: Sequence[Row], seeds: Sequence[int], results: Path
) -> List[Run]:
    """Collect the runs that have no result yet.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    rows : sequence of Row
        The chosen rows.
    seeds : sequence of int
        The seeds of each row.
    results : pathlib.Path
        The folder of results.

    Returns
    -------
    list of Run
        All rows with the first seed, then all with the second: a page of few seeds has all rows.
    """
    runs = []
    # Two runs of one seed would write the same files at once.
    for seed in dict.fromkeys(seeds):
        for row in rows:
            if read_result(result_path(experiment.name, row.label, seed, results)) is None:
                runs.append(Run(row, seed))
    return runs


def find_places(args: argparse.Namespace, rows: Sequence[Row]) -> Dict[str, str]:
    """Find the files and folders of the user that the flags of some rows name.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    rows : sequence of Row
        The rows that will be trained.

    Returns
    -------
    dict of str to str
        The place that each name in capitals stands for.

    Raises
    ------
    InputError
        A row needs a place that the command line does not name, or that does not exist.
    """
    places = {}
    for name, flag, value in (
        (BCCD, "--bccd", args.bccd),
        (NUCLEI, "--nuclei", args.nuclei),
        (RESNET50_V2, "--resnet50-v2", args.resnet50_v2),
        (RESNET50_V2_RAW, "--resnet50-v2", args.resnet50_v2),
    ):
        needing = [row.label for row in rows if name in row.flags]
        if not needing:
            continue
        if value is None:
            raise InputError(f"{needing[0]} needs {flag}; or leave it out with --rows")
        if not os.path.exists(value):
            raise InputError(f"{flag} {value}: there is no such file or folder")
        places[name] = os.path.abspath(value)
    return places


def make_places(places: Dict[str, str], rows: Sequence[Row], runs: Path) -> Dict[str, str]:
    """Make the data sets and weights of some rows that are made of the user's files, or drawn.

    Parameters
    ----------
    places : dict of str to str
        What ``find_places`` returns.
    rows : sequence of Row
        The rows that will be trained.
    runs : pathlib.Path
        The folder of the runs, where they are written.

    Returns
    -------
    dict of str to str
        The place that each name in capitals stands for.
    """
    made = dict(places)
    if any(SHAPES in row.flags for row in rows):
        shapes = runs / "shapes"
        draw_shapes_once(shapes)
        made[SHAPES] = str(shapes.resolve())
    if NUCLEI in places:
        parts = runs / "nuclei"
        split_nuclei(places[NUCLEI], parts)
        made[NUCLEI] = str(parts.resolve())
    if RESNET50_V2_RAW in places:
        weights = runs.resolve() / "resnet50_v2_raw.npz"
        write_raw_weights(places[RESNET50_V2_RAW], str(weights))
        made[RESNET50_V2_RAW] = str(weights)
    return made


def make_runs(
    experiment: Experiment,
    runs: Sequence[Run],
    places: Dict[str, str],
    folder: Path,
    results: Path,
    jobs: int,
) -> None:
    """Make some runs, several at once, with a progress bar.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    runs : sequence of Run
        What to run.
    places : dict of str to str
        What ``make_places`` returns.
    folder : pathlib.Path
        The folder of the runs' own files.
    results : pathlib.Path
        The folder of results.
    jobs : int
        How many are made at once.

    Raises
    ------
    InputError
        A training ended with an error. Those that run are waited for and keep their results, and no
        other begins.
    """
    threads = max(1, physical_cores() // jobs)
    waiting = iter(runs)
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(runs), unit="run") as progress:

        def begin(count: int) -> Set["Future[KeptRun]"]:
            """Begin the next runs."""
            tasks = set()
            for row, seed in islice(waiting, count):
                tasks.add(
                    pool.submit(run_row, experiment, row, seed, places, folder, results, threads)
                )
            return tasks

        running = begin(jobs)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for task in done:
                result = task.result()
                progress.update()
                score = experiment.scores[0]
                progress.write(
                    f"{result.row}, seed {result.seed}: {score} {result.scores[score]:.3f}",
                    file=sys.stderr,
                )
            running |= begin(len(done))


def write_page(experiment: Experiment, results: Path) -> None:
    """Write the page of an experiment, and its pictures, from all results that there are.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    results : pathlib.Path
        The folder of results.
    """
    summaries = [summarize(experiment, row, results) for row in experiment.rows]
    results.mkdir(parents=True, exist_ok=True)
    picture = results / f"{experiment.name}.png"
    plot_experiment(experiment, summaries, str(picture))
    mixing_pictures = write_mixing_pictures(experiment, summaries, results)
    mixing_names = [path.name for path in mixing_pictures]
    page = results / f"{experiment.name}.md"
    write_text(page, make_page(experiment, summaries, picture.name, mixing_names))
    print(f"page       {page}")
    for path in (picture, *mixing_pictures):
        print(f"plot       {path}")


def write_mixing_pictures(
    experiment: Experiment, summaries: Sequence[RowSummary], results: Path
) -> List[Path]:
    """Draw how the switchable norms of some rows mix their statistics, one picture for each panel.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    summaries : sequence of RowSummary
        The results of its rows. Those without switchable norms are left out.
    results : pathlib.Path
        The folder of results.

    Returns
    -------
    list of pathlib.Path
        The pictures; none if no row has switchable norms.
    """
    rows_by_panel: Dict[str, List[RowSummary]] = {}
    for summary in summaries:
        if any(result.mixing_weights for result in summary.results):
            rows_by_panel.setdefault(summary.row.factors[experiment.panel], []).append(summary)
    pictures = []
    for panel, rows in rows_by_panel.items():
        picture = results / f"{experiment.name}-mixing-{panel}.png"
        plot_mixing(rows, str(picture))
        pictures.append(picture)
    return pictures


def summarize(experiment: Experiment, row: Row, results: Path) -> RowSummary:
    """Collect the results of a row.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    row : Row
        One of its rows.
    results : pathlib.Path
        The folder of results.

    Returns
    -------
    RowSummary
        The row with its results, seeds ascending.
    """
    row_results = []
    for path in (results / experiment.name).glob(f"{row.label}-seed*.json"):
        result = read_result(path)
        if result is not None:
            row_results.append(result)
    return RowSummary(row, tuple(sorted(row_results, key=lambda result: result.seed)))


if __name__ == "__main__":
    run(main, parse_args())
