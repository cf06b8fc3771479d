"""The page of an experiment: a table of means and spreads, a picture and the commands."""

from statistics import mean, stdev
from typing import List, NamedTuple, Sequence, Set

from experiments.kept_run import KeptRun
from experiments.rows import Experiment, Row

MISSING = ""
SEVERAL = 2  # runs of a row, from which on there is a spread


class RowSummary(NamedTuple):
    """The results of a row.

    Attributes
    ----------
    row : Row
        The row.
    results : tuple of KeptRun
        What has been run of it, seeds ascending; empty if nothing has.
    """

    row: Row
    results: Sequence[KeptRun]

    def values(self, score: str) -> List[float]:
        """Collect a score of all runs.

        Parameters
        ----------
        score : str
            Its name.

        Returns
        -------
        list of float
            One value a run; empty if the row does not have this score.
        """
        return [result.scores[score] for result in self.results if score in result.scores]


def format_values(values: Sequence[float]) -> str:
    """Write the mean of several runs and their spread.

    Parameters
    ----------
    values : sequence of float
        One score a run.

    Returns
    -------
    str
        The mean with the sample's standard deviation; the mean alone of a single run; "" of none.
    """
    if not values:
        return MISSING
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{mean(values):.3f} ± {stdev(values):.3f}"


def make_page(
    experiment: Experiment,
    summaries: Sequence[RowSummary],
    picture: str,
    mixing_pictures: Sequence[str],
) -> str:
    """Write the page of an experiment.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    summaries : sequence of RowSummary
        The results of its rows.
    picture : str
        The file of the picture of all scores, as the page links it.
    mixing_pictures : sequence of str
        The files of the pictures of mixing weights; none if no row has switchable norms.

    Returns
    -------
    str
        The page in Markdown.
    """
    runs = {len(summary.results) for summary in summaries if summary.results}
    other_seeds = ""
    if max(runs, default=0) >= SEVERAL:
        other_seeds = " The other seeds of a row differ in `--seed` alone."
    return "\n".join(
        [
            f"# {experiment.title}",
            "",
            f"`scripts/experiment.py {experiment.name}` made these runs and wrote this page. "
            f"{_what_scores_are(runs)} "
            f"The files `{experiment.name}/*.json` have all scores and losses of each run.",
            "",
            *_table(experiment, summaries),
            "",
            f"![{experiment.title}]({picture})",
            "",
            *_mixing(mixing_pictures, runs),
            "## Commands",
            "",
            f"A name in capitals stands for a folder or file of yours.{other_seeds}",
            "",
            "```",
            *_commands(summaries),
            "```",
            "",
        ]
    )


def _what_scores_are(runs: Set[int]) -> str:
    """Say of how many seeds the scores are; ``runs`` has the numbers of runs that rows have."""
    if max(runs, default=0) < SEVERAL:
        return "Each score is of a single run."
    if min(runs) >= SEVERAL:
        return "Each score is the mean of several seeds ± their standard deviation."
    return (
        "A score with ± is the mean of several seeds and their standard deviation, any other score "
        "is of a single run."
    )


def _mixing(pictures: Sequence[str], runs: Set[int]) -> List[str]:
    """Write the part about switchable norms, if there are any."""
    if not pictures:
        return []
    of_seeds = ", as the mean of the seeds" if max(runs, default=0) >= SEVERAL else ""
    lines = [
        "## Mixing weights",
        "",
        "The share of each statistic in each switchable norm, from the image to the heads"
        f"{of_seeds}. Shares begin equal. A curve is an epoch whose checkpoint was kept, the last "
        "one the darkest.",
        "",
    ]
    for picture in pictures:
        lines += [f"![The mixing weights of each layer]({picture})", ""]
    return lines


def _table(experiment: Experiment, summaries: Sequence[RowSummary]) -> List[str]:
    """Write the table: the factors, the number of runs, the scores that some row has."""
    scores = []
    for score in experiment.scores:
        if any(summary.values(score) for summary in summaries):
            scores.append(score)
    factors = list(experiment.rows[0].factors)
    lines = [_line([*factors, "runs", *scores]), _line(["---"] * (len(factors) + 1 + len(scores)))]
    for summary in summaries:
        cells = [*summary.row.factors.values(), str(len(summary.results))]
        cells += [format_values(summary.values(score)) for score in scores]
        lines.append(_line(cells))
    return lines


def _line(cells: Sequence[str]) -> str:
    """Write a line of a table."""
    return "| " + " | ".join(cells) + " |"


def _commands(summaries: Sequence[RowSummary]) -> List[str]:
    """Collect the command of the first seed of each row."""
    return [summary.results[0].command for summary in summaries if summary.results]
