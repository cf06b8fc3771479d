"""What several runs have reached, side by side: headline, curves and speed."""

from statistics import mean, median
from typing import Any, Dict, List, Sequence, Tuple

from run_report.html import Html, element, folded, note, score, section, table
from run_report.run_files import RunFiles
from run_report.setup_sections import shown
from run_report.svg import Line, is_drawable, line_chart

MOST_POINTS = 200  # of a curve; more cannot be told apart on the page
SCORE_CURVES = ("AP50", "AP", "segm/AP50", "segm/AP", "mAP07")
SCORE_MEANINGS = (
    "On the validation set. AP50 is the mean over the classes at an IoU of 0.5, AP that at 0.5, "
    "0.55, ... 0.95, and mAP07 that of VOC 2007 at 0.5. segm/ stands for masks; the others are of "
    "boxes. The best weights of a run are those with the highest segm/AP, or AP50 without masks."
)
MINUTE = 60.0
SHORTEST_PAUSE = 2 * MINUTE
PAUSE_FACTOR = 10  # of the usual time between two rows


def headline(runs: Sequence[RunFiles]) -> Html:
    """Write what was trained on what, how far, with what score and in what time.

    Parameters
    ----------
    runs : sequence of RunFiles
        The runs.

    Returns
    -------
    Html
        A table with a row a run.
    """
    # What is decided by comes first: a phone shows the first columns only.
    titles = ["run", "best score", "epochs", "network", "norm", "data", "time", "images/s"]
    rows = []
    for run in runs:
        best = run.best_evaluation
        name = run.decisive
        text = f"{name} {score(best['eval'][name])} (epoch {best['epoch']})" if best else "–"
        rows.append(
            [
                element("a", run.name, href=f"#{run.name}"),
                text,
                epochs_of(run),
                shown(run.arguments["network"]),
                norm_of(run),
                shown(run.arguments.get("data_root")),
                duration(run),
                images_per_second(run.steps),
            ]
        )
    return table(titles, rows, text_columns=range(6))


def norm_of(run: RunFiles) -> str:
    """Name the normalization of backbone and heads.

    Parameters
    ----------
    run : RunFiles
        The run.

    Returns
    -------
    str
        One name, or two with a comma between them.
    """
    norms = []
    for field in ("norm", "head_norm"):
        value = run.spec.get(field) or run.arguments.get(field)
        if value and value not in norms:
            norms.append(str(value))
    return ", ".join(norms) or "–"


def epochs_of(run: RunFiles) -> str:
    """Write how many epochs are complete, of how many, and whether the others are still to come.

    Parameters
    ----------
    run : RunFiles
        The run.

    Returns
    -------
    str
        Such as "3 of 8".
    """
    text = f"{complete_epochs(run)} of {shown(run.arguments.get('epochs'))}"
    return f"{text}, ended early" if run.ended_early else text


def complete_epochs(run: RunFiles) -> int:
    """Count the epochs that are complete, as far as metrics and checkpoints show it.

    Parameters
    ----------
    run : RunFiles
        The run.

    Returns
    -------
    int
        A step's row has the number of complete epochs before it; an evaluation's, those until it.
        Behind the last step of a run without evaluations only its checkpoint knows of the epoch.
    """
    return max([row.get("epoch", 0) for row in run.rows] + [run.saved_epochs])


def duration(run: RunFiles) -> str:
    """Write the time of training and evaluations, without the pauses of a run that was resumed.

    A gap between two rows is a pause if it is longer than ``SHORTEST_PAUSE`` and ``PAUSE_FACTOR``
    times what is usual before rows of its kind, losses or scores; the usual time counts instead.

    Parameters
    ----------
    run : RunFiles
        The run.

    Returns
    -------
    str
        Seconds, minutes, or hours and minutes.
    """
    timed = [row for row in run.rows if "time" in row]
    gaps_by_kind: Dict[bool, List[float]] = {}
    for earlier, row in zip(timed, timed[1:]):
        gaps_by_kind.setdefault("eval" in row, []).append(row["time"] - earlier["time"])
    if not gaps_by_kind:
        return "–"
    seconds = 0.0
    for gaps in gaps_by_kind.values():
        usual = median(gaps)
        longest = max(SHORTEST_PAUSE, PAUSE_FACTOR * usual)
        # A clock that was set back makes a gap below 0.
        seconds += sum(gap if 0 <= gap <= longest else usual for gap in gaps)
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / MINUTE)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def images_per_second(steps: Sequence[Dict[str, Any]]) -> str:
    """Write the median rate of training.

    Parameters
    ----------
    steps : sequence of dict
        Rows of metrics with losses.

    Returns
    -------
    str
        Images in a second.
    """
    rates = [row["images_per_second"] for row in steps if "images_per_second" in row]
    return f"{median(rates):.3g}" if rates else "–"


def curves(runs: Sequence[RunFiles]) -> List[Html]:
    """Draw the losses and scores of all runs, one chart for each.

    Parameters
    ----------
    runs : sequence of RunFiles
        The runs. Each keeps its color in all charts.

    Returns
    -------
    list of Html
        Sections.
    """
    scores = []
    for name in SCORE_CURVES:
        lines = []
        for color, run in enumerate(runs):
            points = []
            for row in run.evaluations:
                # -1 stands for a data set without such objects.
                if row["eval"].get(name, -1) >= 0:
                    points.append((row["step"], row["eval"][name]))
            if points:
                lines.append(Line(run.name, points, color, markers=True))
        if lines:
            scores.append(line_chart(lines, "update", name, y_limits=(0, 1)))
    losses = []
    for name in ["sum", *_loss_names(runs)]:
        lines = []
        for color, run in enumerate(runs):
            points = thinned(_loss_points(run, name))
            if points:
                lines.append(Line(run.name, points, color))
        if lines:
            title = "sum of all losses" if name == "sum" else name
            losses.append(line_chart(lines, "update", title))
    longest = max((len(run.steps) for run in runs), default=0)
    thinning = f"Of a run of more than {MOST_POINTS} updates, a point is the mean of neighbors."
    nothing = [note("There is nothing to draw.")]
    total, *single = losses or nothing
    return [
        section("Scores while training", _side_by_side(scores or nothing), note(SCORE_MEANINGS)),
        section(
            "Losses",
            *[note(text) for text in _broken_losses(runs)],
            total,
            folded("Single losses", _side_by_side(single)),
            *([note(thinning)] if longest > MOST_POINTS else []),
        ),
    ]


def _broken_losses(runs: Sequence[RunFiles]) -> List[str]:
    """Say which runs have losses that no curve can show."""
    sentences = []
    for run in runs:
        broken = [row["step"] for row in run.steps if not _all_drawable(row["losses"])]
        if broken:
            sentences.append(
                f"{run.name}: the losses of {len(broken)} of {len(run.steps)} updates are not "
                f"finite, from update {broken[0]} on. The curves leave these updates out."
            )
    return sentences


def _all_drawable(losses: Dict[str, float]) -> bool:
    """Tell whether a curve can show each of some losses."""
    return all(map(is_drawable, losses.values()))


def thinned(points: Sequence[Tuple[float, float]]) -> List[Tuple[float, float]]:
    """Replace the points of a long curve by means over neighbors.

    Parameters
    ----------
    points : sequence of (float, float)
        Step and value.

    Returns
    -------
    list of (float, float)
        At most ``MOST_POINTS``, each the mean of equally many points; the last one of fewer.
    """
    size = -(-len(points) // MOST_POINTS)
    means = []
    for start in range(0, len(points), max(1, size)):
        part = points[start : start + size]
        means.append((mean(x for x, _ in part), mean(y for _, y in part)))
    return means


def _side_by_side(charts: Sequence[Html]) -> Html:
    """Put charts into columns where there is room for them."""
    return element("div", *charts, class_="charts")


def _loss_names(runs: Sequence[RunFiles]) -> List[str]:
    """List the losses of all runs, each once."""
    names: Dict[str, None] = {}
    for run in runs:
        for row in run.steps:
            names.update(dict.fromkeys(row["losses"]))
    return list(names)


def _loss_points(run: RunFiles, name: str) -> List[Tuple[float, float]]:
    """Collect the values of a loss, or of the sum of all.

    A single loss that is not finite would take its neighbors out of the curve, as their mean.
    """
    points = []
    for row in run.steps:
        if not _all_drawable(row["losses"]):
            continue
        if name == "sum":
            points.append((row["step"], sum(row["losses"].values())))
        elif name in row["losses"]:
            points.append((row["step"], row["losses"][name]))
    return points
