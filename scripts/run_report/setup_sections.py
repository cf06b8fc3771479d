"""How a run was made: its settings with their reasons, its environment, and its commands."""

import json
import platform
import shlex
from typing import Any, Dict, List, Mapping, Optional, Sequence

import gluonnorm
from run_report.html import Html, element, folded, note, section, table
from run_report.run_files import RunFiles

import mxnet as mx
from _cli import flag_of
from _data_flags import dataset_flag_names, scored_flag_names

# What a command that repeats the run leaves out: the values are in the other flags.
NOT_REPEATED = ("recipe", "minutes", "print_recipe", "resume")
OF_ONE_RUN = ("save_prefix", "resume", "print_recipe")  # different in every run, or without effect
DIFFERENCES = "What differs between the runs"
NETWORK_FLAGS = ("network", "base_network", "norm", "head_norm", "rescale", "set")
AGAIN_ENDING = "-again"  # of the prefix of a run that is repeated
REPEATED_FLAGS = ("plugin",)  # each value has its own flag


def differences(runs: Sequence[RunFiles]) -> List[Html]:
    """Write the flags and versions that are not the same in all runs.

    Parameters
    ----------
    runs : sequence of RunFiles
        The runs.

    Returns
    -------
    list of Html
        A section; none for a single run.
    """
    if len(runs) == 1:
        return []
    columns = [{**_single_settings(run.arguments), **run.versions} for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = []
    for name in names:
        given = [column.get(name) for column in columns]
        # A version that did not have a flag did what the flag does where it is not given.
        values = [shown(None if _is_not_given(value) else value) for value in given]
        if len(set(values)) > 1 and name not in OF_ONE_RUN:
            rows.append([name, *values])
    if not rows:
        return [section(DIFFERENCES, note("All flags and versions are the same."))]
    titles = ["setting", *[run.name for run in runs]]
    parts = [table(titles, rows, text_columns=range(len(titles)))]
    scored = [row[0] for row in rows if row[0] in scored_flag_names()]
    if scored:
        parts.append(
            note(
                f"The validation sets may differ ({', '.join(scored)}). Scores on different images "
                "or classes cannot be compared."
            )
        )
    return [section(DIFFERENCES, *parts)]


def _single_settings(arguments: Mapping[str, Any]) -> Dict[str, Any]:
    """Give each setting of ``--set`` a name of its own, as the training script prints it."""
    values = {name: value for name, value in arguments.items() if name != "set"}
    for pair in arguments.get("set") or []:
        name, _, value = pair.partition("=")
        values[f"set {name}"] = value
    return values


def configuration(run: RunFiles) -> Html:
    """Write the values that a rule may have chosen, with their reasons, and all settings.

    Parameters
    ----------
    run : RunFiles
        The run.

    Returns
    -------
    Html
        A section.
    """
    rows = []
    for name, choice in run.choices.items():
        origin = str(choice.get("origin", ""))
        reason = str(choice.get("reason", ""))
        rows.append(
            [name, shown(choice.get("value")), origin, element("div", reason, class_="reason")]
        )
    parts = []
    if rows:
        parts.append(table(["setting", "value", "from", "reason"], rows, text_columns=range(4)))
    else:
        parts.append(note("This version did not write why its values were chosen."))
    for title, values in (
        ("All settings of the network", run.spec.get("config", {})),
        ("All flags", run.arguments),
    ):
        pairs = [[name, shown(value)] for name, value in values.items()]
        if pairs:
            parts.append(folded(title, table(["name", "value"], pairs, text_columns=range(2))))
    return section("Configuration", *parts)


def shown(value: Any) -> str:
    """Write the value of a setting.

    Parameters
    ----------
    value : any
        Of JSON.

    Returns
    -------
    str
        A dash for None; texts as they are.
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def environment(run: RunFiles) -> Html:
    """Write the versions of training, and those that this page was made with.

    Parameters
    ----------
    run : RunFiles
        The run.

    Returns
    -------
    Html
        A section.
    """
    own = {
        "python": platform.python_version(),
        "mxnet": mx.__version__,
        "gluonnorm": gluonnorm.__version__,
    }
    rows = [[name, run.versions.get(name, "–"), version] for name, version in own.items()]
    return section("Environment", table(["", "training", "this page"], rows, text_columns=range(3)))


def commands(run: RunFiles, weights: Optional[str], data_root: Optional[str] = None) -> Html:
    """Write the commands that repeat the run and judge it.

    Parameters
    ----------
    run : RunFiles
        The run.
    weights : str or None
        The file that was judged.
    data_root : str or None
        Where the data set is now; None takes the place of the training.

    Returns
    -------
    Html
        A section.
    """
    arguments = dict(run.arguments)
    if data_root is not None:
        arguments["data_root"] = data_root
    if "save_prefix" in arguments:
        # Training refuses the prefix of an earlier run.
        arguments["save_prefix"] = f"{arguments['save_prefix']}{AGAIN_ENDING}"
    data = flags_of(arguments, dataset_flag_names())
    own_names = [name for name in arguments if name not in NOT_REPEATED]
    lines = [_command("train_faster_rcnn.py", flags_of(arguments, own_names))]
    if weights is not None:
        judged = [*flags_of(arguments, ["plugin"]), "--params", weights]
        # Weights without a header do not say of which network they are.
        if not weights.endswith(".json"):
            judged += flags_of(arguments, NETWORK_FLAGS)
            classes = run.spec.get("classes")
            if classes and "--classes" not in data:
                data += ["--classes", *classes]
        lines.append(_command("eval_faster_rcnn.py", [*judged, *data, "--metric", "coco"]))
        lines.append(_command("analyze.py", [*judged, *data]))
        lines.append(_command("check_dataset.py", [*judged, *data, "--only", "val"]))
    explanation = note(
        "The first one trains with the same values, those included that a recipe or the time "
        "allowed has chosen, under another prefix."
    )
    return section("Commands", explanation, *[element("pre", line) for line in lines])


def flags_of(arguments: Dict[str, Any], names: Sequence[str]) -> List[str]:
    """Write values of a parsed command line as flags again.

    Parameters
    ----------
    arguments : dict of str to any
        The values by their names.
    names : sequence of str
        Which of them are written. None, False and empty values have no flag.

    Returns
    -------
    list of str
        The words of the command line.

    Examples
    --------
    >>> flags_of({"epochs": 8, "set": ["short=300"], "amp": True, "gpus": ""},
    ...          ("epochs", "set", "amp", "gpus"))
    ['--epochs', '8', '--set', 'short=300', '--amp']
    """
    words: List[str] = []
    for name in names:
        value: Any = arguments.get(name)
        if _is_not_given(value):
            continue
        if name in REPEATED_FLAGS:
            for entry in value:
                words += [flag_of(name), str(entry)]
            continue
        words.append(flag_of(name))
        if isinstance(value, list):
            words += [str(entry) for entry in value]
        elif value is not True:
            words.append(str(value))
    return words


def _is_not_given(value: Any) -> bool:
    """Tell whether a parsed value is that of a flag that is not in the command line."""
    return value is None or value is False or value == [] or value == ""


def _command(script: str, words: Sequence[str]) -> str:
    """Write a command with a flag a line, as a shell takes it."""
    lines = [f"python scripts/{script}"]
    for word in words:
        if word.startswith("--"):
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {shlex.quote(word)}"
    return " \\\n".join(lines)
