"""Write a page about training runs: one HTML file that needs no other, and no network.

A RUN is the --save-prefix of train_faster_rcnn.py. The page has the curves of all runs on the same
axes. The best weights of each run (RUN-best.json, else the newest checkpoint) detect on its
validation set, for scores by class and size, what AP is lost by, precision and recall, confusion
between classes, calibration of the scores, the worst mistakes as pictures, sizes found and missed,
and the reachable recall. Settings with their reasons, environment and commands end it. What a run
lacks is named on the page. What the weights find is kept in RUN-report-detections.json, for the
next page about the same weights and data.

Example:
  python scripts/report.py runs/blood runs/blood-gn --output blood.html
"""

import argparse
from typing import Sequence

from gluonnorm.errors import InputError, first_few

from _cli import add_plugin_argument, add_seed_argument, run, seed_everything
from _output import prepare_files, write_text
from _script_parser import ScriptParser
from run_report.detected_run import detect_run
from run_report.page import ReportedRun, Shown, make_page
from run_report.run_files import PAGE_ENDING, RunFiles, owned_files, read_runs


def parse_args() -> argparse.Namespace:
    """Read the command line.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = ScriptParser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the --save-prefix of a run")
    parser.add_argument(
        "--output", metavar="FILE", help="the page (default: RUN-report.html of the first run)"
    )
    parser.add_argument(
        "--data-root",
        metavar="FOLDER",
        help="where the data set of the runs is now (default: where it was in training)",
    )
    parser.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="MODULE:FACTORY",
        help="the function that makes the data set of a run, if the run was trained with such a "
        "--dataset: the file of a run alone does not get it imported. May be repeated",
    )
    parser.add_argument(
        "--no-detections",
        action="store_true",
        help="only what the files of the runs tell: curves, settings and commands",
    )
    parser.add_argument(
        "--score-thresh",
        type=float,
        default=0.5,
        metavar="SCORE",
        help="the lowest score of a detection that finds an object (default: 0.5)",
    )
    parser.add_argument(
        "--num-cases",
        type=int,
        default=6,
        metavar="N",
        help="pictures of each kind of mistake and run; 0 leaves them out (default: 6)",
    )
    parser.add_argument("--gpus", default="", help="e.g. 0,1 (default: the CPU)")
    add_seed_argument(parser)
    add_plugin_argument(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Read the runs, detect with their weights, and write the page.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    if not 0 <= args.score_thresh <= 1 or args.num_cases < 0:
        raise InputError(
            f"--score-thresh is {args.score_thresh} and --num-cases {args.num_cases}; want a score "
            "in 0..1, and at least 0 pictures"
        )
    seed_everything(args.seed)
    output = args.output or f"{args.runs[0]}-report.html"
    owned = [(f"the run {run}", path) for run in args.runs for path in owned_files(run)]
    prepare_files(args, [("--output", output)], others=owned)
    # Another ending may be that of a file of another run, which would be replaced.
    if not output.endswith(PAGE_ENDING):
        raise InputError(f"--output is {output}; want a name that ends in {PAGE_ENDING}")
    # All runs are read first, so that a wrong name does not cost the detections of the others.
    all_files = read_runs(args.runs)
    check_factories(args.dataset, all_files)
    roots = sorted({str(files.arguments.get("data_root")) for files in all_files})
    if args.data_root is not None and len(roots) > 1:
        print(f"note: all runs are judged on {args.data_root}, in place of {first_few(roots)}")
    reported = []
    for files in all_files:
        detected, reason = None, "--no-detections was given"
        if not args.no_detections:
            detected, reason = detect_run(files, args.data_root, args.dataset, args.gpus)
            if reason:
                print(f"note: {files.prefix} without detections: {reason}")
            for text in detected.notes if detected else ():
                print(f"note: {text}")
        reported.append(ReportedRun(files, detected, reason))
    shown = Shown(args.score_thresh, args.num_cases, args.data_root)
    write_text(output, make_page(reported, shown))
    print(f"page  {output}")


def check_factories(factories: Sequence[str], runs: Sequence[RunFiles]) -> None:
    """Refuse a factory that makes the data set of no run.

    Parameters
    ----------
    factories : sequence of str
        The values of ``--dataset``.
    runs : sequence of RunFiles
        The runs.

    Raises
    ------
    InputError
        There is such a factory.
    """
    known = [str(run.arguments.get("dataset")) for run in runs]
    for factory in factories:
        if ":" not in factory or factory not in known:
            raise InputError(
                f"--dataset is {factory!r}; want the MODULE:FACTORY with which a run was trained, "
                f"and leave it out for all others; the runs have {first_few(known)}"
            )


if __name__ == "__main__":
    run(main, parse_args())
