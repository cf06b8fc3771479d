"""The report of a conversion: which parameter got which array, and what was assumed."""

from dataclasses import dataclass
from typing import Dict, List, Tuple

from gluonnorm.conversion.match import FRESH_NOTE, TensorMatch
from gluonnorm.errors import first_few


@dataclass(frozen=True)
class Report:
    """What was loaded into a network, and from where.

    ``str(report)`` is a summary; ``report.table()`` has a line for each array.

    Attributes
    ----------
    source : str
        The name of the codebase.
    weights : str
        The file, or "" for arrays in memory.
    matches : tuple of TensorMatch
        ``(name, source_name, shape, note)`` of each parameter; ``source_name`` is "" if the file
        does not store it.
    left_out : tuple of (str, str)
        The name of each array of the file that was not needed, and the reason.
    notes : tuple of str
        What was assumed, changed or cast, in sentences.
    """

    source: str
    weights: str
    matches: Tuple[TensorMatch, ...]
    left_out: Tuple[Tuple[str, str], ...]
    notes: Tuple[str, ...]

    @property
    def loaded(self) -> int:
        """The number of parameters that got values."""
        return sum(tensor_match.note != FRESH_NOTE for tensor_match in self.matches)

    def __str__(self) -> str:
        title = f"{self.source} weights {self.weights}".rstrip()
        loaded = f"{self.loaded} of {len(self.matches)} arrays loaded"
        lines = [
            f"{title}: {loaded}, {len(self.left_out)} left out",
            f"  {self._counts_by_part()}",
        ]
        names_by_reason: Dict[str, List[str]] = {}
        for name, reason in self.left_out:
            names_by_reason.setdefault(reason, []).append(name)
        for reason, names in names_by_reason.items():
            lines.append(f"  left out ({reason}): {first_few(names, limit=2)}")
        for note in self.notes:
            lines.append(f"  {note}")
        return "\n".join(lines)

    def _counts_by_part(self) -> str:
        """Count the loaded parameters by part of the network: "backbone 100, rpn 6"."""
        counts: Dict[str, int] = {}
        for tensor_match in self.matches:
            if tensor_match.note != FRESH_NOTE:
                part = tensor_match.name.split(".")[0]
                counts[part] = counts.get(part, 0) + 1
        return ", ".join(f"{part} {count}" for part, count in counts.items())

    def table(self) -> str:
        """List every array.

        Returns
        -------
        str
            A line for each parameter: its name, its name in the file ("-" if the file does not
            store it), its shape and a note. Then a line for each array of the file that was left
            out, with the reason.
        """
        lines = []
        for name, source_name, shape, note in self.matches:
            lines.append((name, source_name or "-", "x".join(map(str, shape)), note))
        for name, reason in self.left_out:
            lines.append(("-", name, "", f"left out: {reason}"))
        return _aligned(lines)


def _aligned(lines: List[Tuple[str, str, str, str]]) -> str:
    """Pad the first three columns of a table to the same widths."""
    if not lines:
        return ""
    widths = [max(map(len, column)) for column in zip(*lines)]
    padded_lines = []
    for line in lines:
        cells = [text.ljust(width) for text, width in zip(line, widths)]
        padded_lines.append("  ".join(cells).rstrip())
    return "\n".join(padded_lines)
