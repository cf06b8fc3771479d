"""One value of a training run, and why the run has it."""

from dataclasses import dataclass
from typing import Any, Dict

from gluonnorm.errors import InputError

FLAG = "flag"
EARLIER_RUN = "earlier run"
RECIPE = "recipe"
DEFAULT = "default"
ORIGINS = (FLAG, EARLIER_RUN, RECIPE, DEFAULT)  # the first that has a value wins


@dataclass(frozen=True)
class Choice:
    """A value of a training run with its origin and the reason for it.

    Attributes
    ----------
    value : object
        What the run uses. JSON can hold it.
    origin : str
        Where the value comes from: "flag", the command line; "earlier run", the run that is
        continued; "recipe"; or "default".
    reason : str
        Why it has this value, in a few words; "" if the origin says it all.

    Raises
    ------
    InputError
        There is no such origin.

    Examples
    --------
    >>> Choice(0.0025, "recipe", "0.02 for 16 images, 2 are 0.0025").value
    0.0025
    """

    value: Any
    origin: str
    reason: str = ""

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS:
            raise InputError(f"origin is {self.origin!r}; give one of {', '.join(ORIGINS)}")


#: The values of a run by the names of flags and settings.
Choices = Dict[str, Choice]
