"""What has been measured: of a row, and of a group of rows."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any, Dict, List, Optional

from benchmarks.groups import Group, Row


@dataclass
class RowResult:
    """The measurements of a row.

    Attributes
    ----------
    row : Row
        The row.
    error : str
        Why there are no measurements; ``""`` if there are.
    seconds : list of float
        The time of each round, of one image if a detector's row has several.
    memory : int
        The most memory that the process has held, in bytes.
    facts : dict of str to any
        What the process told of its first run: detections or losses.
    operators : dict of str to list of float
        The profile: seconds and calls of each operator; empty without a profile.
    """

    row: Row
    error: str = ""
    seconds: List[float] = field(default_factory=list)
    memory: int = 0
    facts: Dict[str, Any] = field(default_factory=dict)
    operators: Dict[str, List[float]] = field(default_factory=dict)


@dataclass
class GroupResult:
    """The measurements of a group.

    Attributes
    ----------
    group : Group
        The group.
    rows : list of RowResult
        In the order of the group's rows.
    corrected_detections : list of list of float or None
        The detections of the group's corrected row, if it has one that could run.
    """

    group: Group
    rows: List[RowResult]
    corrected_detections: Optional[List[List[float]]] = None

    def reference(self, result: RowResult) -> Optional[RowResult]:
        """Find the row that another is compared with.

        Parameters
        ----------
        result : RowResult
            One of ``rows``.

        Returns
        -------
        RowResult or None
            None for the reference itself, and for a reference without measurements.
        """
        label = result.row.compared_with or self.group.reference
        for other in self.rows:
            if other.row.label == label and other is not result and other.seconds:
                return other
        return None

    def ratio(self, result: RowResult) -> Optional[float]:
        """Compute how many times as fast as its reference a row is.

        Parameters
        ----------
        result : RowResult
            One of ``rows``.

        Returns
        -------
        float or None
            The median over the rounds; None if there is nothing to compare.
        """
        other = self.reference(result)
        if other is None or not result.seconds:
            return None
        pairs = zip(other.seconds, result.seconds)
        return median(reference / own for reference, own in pairs)

    def reached(self, result: RowResult) -> Optional[bool]:
        """Tell whether a row has reached its target.

        Parameters
        ----------
        result : RowResult
            One of ``rows``.

        Returns
        -------
        bool or None
            None without a target, and without the measurements to judge it by.
        """
        target = result.row.target
        if target is None or not result.seconds:
            return None
        if target.rule == "seconds":
            return median(result.seconds) <= target.value
        ratio = self.ratio(result)
        if ratio is None:
            return None
        if target.rule == "slower":
            return 1 / ratio <= target.value
        if target.rule == "step":
            other = self.reference(result)
            if other is not None and result.memory > other.memory:
                return False
        return ratio >= target.value
