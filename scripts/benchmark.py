"""Measure this package beside GluonCV and torchvision, and write a page and a plot.

Each row of a table is a process of its own, and all rows of a table have the same weights. The
processes of a group are alive together and take turns round after round, one computing at a time,
so that all of them see the same machine. All use the number of threads in OMP_NUM_THREADS, which
is all physical cores unless it is set. torchvision, onnxruntime, OpenVINO and nncf may be
installed in another environment (--peer-python). Rows of programs that are not installed are left
out, and the page says so.

Without --group and --rows the page is docs/benchmarks.md, with its plot in docs/images. A part of
the rows is only printed, unless --output names a file.

Examples:
  python scripts/benchmark.py --peer-python peers/bin/python
  python scripts/benchmark.py --group nms norms
  python scripts/benchmark.py --profile gluoncv-fpn/int8
"""

import argparse
import os
import shlex
import sys
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import List, Optional, Sequence

from gluonnorm.errors import InputError

from _cli import add_plugin_argument, check_seed, run
from _script_parser import ScriptParser
from benchmarks.groups import Group, Row, all_groups
from benchmarks.machine import Machine, describe_machine
from benchmarks.measure import measure
from benchmarks.page import make_page, profile_section, put_profile
from benchmarks.plot import plot
from benchmarks.results import GroupResult
from tqdm import tqdm

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
IMAGE_SIZE = (600, 800)
QUICK_IMAGE_SIZE = (96, 128)


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
        "--group",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="only these groups; see --list",
    )
    parser.add_argument(
        "--rows",
        action="extend",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="only these rows, such as 'gluoncv-fpn/int8' or '*/float32'; a ratio "
        "needs the row it refers to",
    )
    parser.add_argument("--list", action="store_true", help="print groups and rows, and end")
    parser.add_argument(
        "--rounds",
        type=int,
        default=5,
        metavar="N",
        help="how many times each row is measured (default: 5)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of weights, images and ground truth (default: 0)"
    )
    parser.add_argument("--output", metavar="FILE", help="the page to write (default: see above)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny inputs and one round: a test of the script itself",
    )
    parser.add_argument(
        "--peer-python",
        default=sys.executable,
        metavar="FILE",
        help="the interpreter that has torchvision, onnxruntime, OpenVINO and nncf (default: this "
        "one)",
    )
    parser.add_argument(
        "--profile",
        action="extend",
        nargs="+",
        default=[],
        metavar="ROW",
        help="measure nothing; put the time of each operator of these rows into "
        "the page. They must be rows of this package",
    )
    add_plugin_argument(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Choose rows, measure them, and write the page.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    groups = choose_groups(all_groups(args.quick), args.group, args.rows, args.profile)
    if args.list:
        print_groups(groups)
        return
    if args.rounds < 1:
        raise InputError(f"--rounds is {args.rounds}; want at least 1")
    check_seed(args.seed)
    size = QUICK_IMAGE_SIZE if args.quick else IMAGE_SIZE
    machine = describe_machine(args.peer_python, size, args.seed)
    output = Path(args.output) if args.output else PAGE
    if args.profile:
        write_profiles(output, measure_groups(groups, machine, rounds=0, profile=True))
        return

    rounds = 1 if args.quick else args.rounds
    results = measure_groups(groups, machine, rounds, profile=False)
    picture = output.parent / "images" / f"{output.stem}.png"
    text = make_page(results, machine, command(), rounds, f"images/{picture.name}")
    print(text)
    all_rows = not (args.group or args.rows)
    if args.output or all_rows:
        picture.parent.mkdir(parents=True, exist_ok=True)
        plot(results, str(picture))
        output.write_text(text, encoding="utf-8")
        print(f"page       {output}")
        print(f"plot       {picture}")


def choose_groups(
    groups: Sequence[Group],
    group_names: Sequence[str],
    row_patterns: Sequence[str],
    profile_patterns: Sequence[str],
) -> List[Group]:
    """Choose the groups and rows that the command line names.

    Parameters
    ----------
    groups : sequence of Group
        All groups.
    group_names : sequence of str
        The values of ``--group``; empty for all groups.
    row_patterns : sequence of str
        The values of ``--rows``, for names GROUP/ROW; empty for all rows.
    profile_patterns : sequence of str
        The values of ``--profile``, likewise.

    Returns
    -------
    list of Group
        The groups with their chosen rows; a group without any is left out.

    Raises
    ------
    InputError
        A group or a row that does not exist, or a row to profile that is not of this package.
    """
    known = {group.name for group in groups}
    for name in group_names:
        if name not in known:
            raise InputError(f"--group {name}: no such group; there are {', '.join(sorted(known))}")
    chosen = [group for group in groups if not group_names or group.name in group_names]
    chosen = choose_rows(chosen, row_patterns, "--rows")
    chosen = choose_rows(chosen, profile_patterns, "--profile")
    if profile_patterns:
        for group in chosen:
            for row in group.rows:
                if row.program != "gluonnorm":
                    raise InputError(
                        f"--profile {row_name(group, row)}: only rows of this package "
                        "can be profiled"
                    )
    return chosen


def choose_rows(groups: Sequence[Group], patterns: Sequence[str], flag: str) -> List[Group]:
    """Choose the rows whose names GROUP/ROW match one of several patterns.

    Parameters
    ----------
    groups : sequence of Group
        The groups to choose from.
    patterns : sequence of str
        Names, perhaps with ``*``; empty for all rows.
    flag : str
        The flag that gave the patterns, for messages.

    Returns
    -------
    list of Group
        The groups with their chosen rows; a group without any is left out.

    Raises
    ------
    InputError
        A pattern matches no row.
    """
    if not patterns:
        return list(groups)
    unmatched = set(patterns)
    chosen = []
    for group in groups:
        rows = []
        for row in group.rows:
            matching = {pattern for pattern in patterns if fnmatch(row_name(group, row), pattern)}
            unmatched -= matching
            if matching:
                rows.append(row)
        if rows:
            chosen.append(replace(group, rows=tuple(rows)))
    for pattern in patterns:
        if pattern in unmatched:
            raise InputError(
                f"{flag} {pattern}: no such row; --list has the groups and their "
                "rows, and a row is called GROUP/ROW"
            )
    return chosen


def row_name(group: Group, row: Row) -> str:
    """Name a row as the command line does.

    Parameters
    ----------
    group : Group
        The row's group.
    row : Row
        The row.

    Returns
    -------
    str
        GROUP/ROW.
    """
    return f"{group.name}/{row.label}"


def print_groups(groups: Sequence[Group]) -> None:
    """Print a line for each group with the labels of its rows.

    Parameters
    ----------
    groups : sequence of Group
        The chosen groups.
    """
    for group in groups:
        labels = ", ".join(row.label for row in group.rows)
        print(f"{group.name:22}{labels}")


def measure_groups(
    groups: Sequence[Group], machine: Machine, rounds: int, profile: bool
) -> List[GroupResult]:
    """Measure one group after the other, with a progress bar.

    Parameters
    ----------
    groups : sequence of Group
        The chosen groups.
    machine : Machine
        Interpreters, image size and seed.
    rounds : int
        How many times each row is measured.
    profile : bool
        Whether all rows are profiled.

    Returns
    -------
    list of GroupResult
        The measurements.
    """
    results = []
    # A row makes a step when it starts, and one in each round.
    steps = sum(len(group.rows) * (rounds + 1) for group in groups)
    with tqdm(total=steps, unit="step", disable=None) as bar:
        for group in groups:
            profiled_labels = [row.label for row in group.rows] if profile else []
            results.append(measure(group, machine, rounds, bar, profiled_labels))
    return results


def write_profiles(output: Path, results: Sequence[GroupResult]) -> None:
    """Print profiles and put them into the page, each in place of the same row's earlier one.

    Parameters
    ----------
    output : pathlib.Path
        The page; it is made if it is missing.
    results : sequence of GroupResult
        Their rows have ``operators``.

    Raises
    ------
    InputError
        A row could not be profiled.
    """
    text = output.read_text(encoding="utf-8") if output.exists() else "# Benchmarks\n"
    for result in results:
        for row_result in result.rows:
            if row_result.error:
                name = row_name(result.group, row_result.row)
                raise InputError(f"{name} could not be profiled: {row_result.error}")
            section = profile_section(result.group.name, row_result)
            print(section)
            text = put_profile(text, section)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    print(f"page       {output}")


def command() -> str:
    """Write how this process was called.

    Returns
    -------
    str
        A shell command. An absolute path means nothing on another machine, so only its last three
        parts are kept.
    """
    words = []
    for word in sys.argv[1:]:
        words.append("/".join(Path(word).parts[-3:]) if os.path.isabs(word) else word)
    return shlex.join(["python", "scripts/benchmark.py", *words])


if __name__ == "__main__":
    run(main, parse_args())
