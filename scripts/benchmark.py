"""Measure this package beside GluonCV and torchvision, with the same weights, and write a page and a plot.

Each row is a process of its own. The processes of a group are alive together, and take turns round after round, one
computing at a time, so that all of them see the same machine. All use the threads that OMP_NUM_THREADS says, which is
all physical cores unless it is set. torchvision may live in another environment (--peer-python); what is not installed
is left out, and the page says so.

Without --group and --rows the page is docs/benchmarks.md, with its plot in docs/images. A part of the table is only
printed, unless --output says where to write it.

examples:
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

from _cli import run
from benchmarks.groups import Group, groups
from benchmarks.machine import describe
from benchmarks.measure import GroupResult, measure
from benchmarks.page import page, plot, profile_section, put_profile
from tqdm import tqdm

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
SIZE, QUICK_SIZE = (600, 800), (96, 128)


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The command line's flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", nargs="+", default=[], metavar="NAME", help="only these groups; see --list")
    parser.add_argument("--rows", nargs="+", default=[], metavar="PATTERN",
                        help="only these rows, such as 'gluoncv-fpn/int8' or '*/float32'; a ratio needs the row it "
                             "refers to")
    parser.add_argument("--list", action="store_true", help="print groups and rows, and end")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="times each row is measured (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, images and truth (default: 0)")
    parser.add_argument("--output", metavar="FILE", help="the page (default: see above)")
    parser.add_argument("--quick", action="store_true", help="tiny inputs and one round: a test of the script itself")
    parser.add_argument("--peer-python", default=sys.executable, metavar="FILE",
                        help="the interpreter that has torchvision (default: this one)")
    parser.add_argument("--profile", nargs="+", default=[], metavar="ROW",
                        help="measure nothing; put the time of each operator of these rows, which must be ours, into "
                             "the page")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Choose, measure, write."""
    chosen = choose(args)
    if args.list:
        print("\n".join(f"{group.name:18}{', '.join(row.label for row in group.rows)}" for group in chosen))
        return
    if args.rounds < 1:
        raise ValueError(f"--rounds is {args.rounds}; want at least 1")
    machine = describe(args.peer_python, QUICK_SIZE if args.quick else SIZE, args.seed)
    rounds = 0 if args.profile else 1 if args.quick else args.rounds
    steps = sum(len(group.rows) * (rounds + 1) for group in chosen)
    with tqdm(total=steps, unit="step", disable=None) as bar:
        results = [measure(group, machine, rounds, bar, [row.label for row in group.rows] if args.profile else ())
                   for group in chosen]
    output = Path(args.output) if args.output else PAGE
    if args.profile:
        add_profiles(output, results)
        return
    picture = output.parent / "images" / f"{output.stem}.png"
    text = page(results, machine, command(), rounds, f"images/{picture.name}")
    print(text)
    if args.output or not (args.group or args.rows):
        picture.parent.mkdir(parents=True, exist_ok=True)
        plot(results, str(picture))
        output.write_text(text, encoding="utf-8")
        print(f"page       {output}\nplot       {picture}")


def choose(args: argparse.Namespace) -> List[Group]:
    """The groups and rows of the flags. Raises ValueError for names there are not."""
    every = groups(args.quick)
    known = {group.name for group in every}
    unknown = [name for name in args.group if name not in known]
    if unknown:
        raise ValueError(f"--group {unknown[0]}: no such group; there are {', '.join(sorted(known))}")
    chosen = [group for group in every if not args.group or group.name in args.group]
    for flag, patterns in (("--rows", args.rows), ("--profile", args.profile)):
        for pattern in patterns:
            if not any(fnmatch(f"{group.name}/{row.label}", pattern) for group in chosen for row in group.rows):
                raise ValueError(f"{flag} {pattern}: no such row; --list has the groups and their rows, and a row is "
                                 "called GROUP/ROW")
        if patterns:
            kept = [replace(group, rows=tuple(row for row in group.rows if any(
                fnmatch(f"{group.name}/{row.label}", pattern) for pattern in patterns))) for group in chosen]
            chosen = [group for group in kept if group.rows]
    theirs = [f"{group.name}/{row.label}" for group in chosen for row in group.rows if row.program != "ours"]
    if args.profile and theirs:
        raise ValueError(f"--profile {theirs[0]}: only rows of this package can be profiled")
    return chosen


def add_profiles(output: Path, results: Sequence[GroupResult]) -> None:
    """Print the profiles and put them into the page, new or in place of the row's earlier one."""
    text = output.read_text(encoding="utf-8") if output.exists() else "# Benchmarks\n"
    for result in results:
        for row in result.rows:
            if row.error:
                raise ValueError(f"{result.group.name}/{row.row.label} could not be profiled: {row.error}")
            section = profile_section(result.group.name, row)
            print(section)
            text = put_profile(text, section)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    print(f"page       {output}")


def command() -> str:
    """How this run was called; of absolute paths only the end, for they are of one machine."""
    words = ["/".join(Path(word).parts[-3:]) if os.path.isabs(word) else word for word in sys.argv[1:]]
    return shlex.join(["python", "scripts/benchmark.py", *words])


if __name__ == "__main__":
    run(main, parse_args())
