"""Lines for a terminal that shows a progress bar as well."""

import warnings

from tqdm import tqdm


def write_line(line: str) -> None:
    """Print a line above the progress bar.

    A terminal that is gone ends no run: that is a warning.

    Parameters
    ----------
    line : str
        The line, without its end.
    """
    try:
        # A plain print would tear the progress bar apart.
        tqdm.write(line)
    except OSError as error:
        warnings.warn(f"standard output: {error}; the run goes on", stacklevel=3)
