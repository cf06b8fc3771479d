"""The parser of every script's command line: help as its author laid it out, errors in one line."""

import argparse
from typing import NoReturn, Optional, Sequence

from gluonnorm.errors import did_you_mean

WRONG_USAGE = 2


class ScriptParser(argparse.ArgumentParser):
    """Parse a script's flags; a wrong one ends the script with a line instead of all its flags.

    Parameters
    ----------
    description : str or None
        The script's docstring, which ``--help`` shows line by line as it is.
    """

    def __init__(self, description: Optional[str]) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def parse_args(  # type: ignore[override]
        self,
        args: Optional[Sequence[str]] = None,
        namespace: Optional[argparse.Namespace] = None,
    ) -> argparse.Namespace:
        """Parse a command line.

        Parameters
        ----------
        args : sequence of str, optional
            The command line; that of the process by default.
        namespace : argparse.Namespace, optional
            The object that takes the values.

        Returns
        -------
        argparse.Namespace
            The values.
        """
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flags = [option.partition("=")[0] for option in unknown if option.startswith("-")]
            hint = did_you_mean(flags[0], self._option_string_actions) if flags else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        self._refuse_empty_values(parsed)
        return parsed

    def _refuse_empty_values(self, parsed: argparse.Namespace) -> None:
        """Refuse a flag with an empty text, which is what a shell makes of an unset variable.

        As no value at all, ``--pretrained "$WEIGHTS"`` would train from scratch, without a word.
        """
        for action in self._actions:
            value = getattr(parsed, action.dest, None)
            values = value if isinstance(value, list) else [value]
            if "" in values and action.default != "":
                name = "/".join(action.option_strings) or action.metavar or action.dest
                self.error(f"argument {name}: a value is empty; give one, or leave it out")

    def error(self, message: str) -> NoReturn:
        """End the script.

        Parameters
        ----------
        message : str
            What is wrong with the command line.
        """
        self.exit(WRONG_USAGE, f"{self.prog}: error: {message}; --help shows the flags\n")
