"""What the readers and writers of weight files raise."""

from gluonnorm.errors import InputError


class WeightFileError(InputError):
    """A file of weights cannot be read or written.

    The message is one line: the file, what is wrong with it, and what to do.
    """


def unreadable_file(path: str, file_format: str, reason: str) -> WeightFileError:
    """Make the error for a file whose content cannot be read as its format.

    Parameters
    ----------
    path : str
        The file.
    file_format : str
        The format that the file seems to have, such as ``.npz``.
    reason : str
        What the reader ran into, on one line.

    Returns
    -------
    WeightFileError
        The error, to be raised by the caller.
    """
    return WeightFileError(
        f"{path}: not a readable {file_format} file ({reason}); cut, damaged or "
        "altered? Fetch it again"
    )
