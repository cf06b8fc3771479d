"""A full disk for tests."""

import resource
from contextlib import contextmanager
from typing import Iterator


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Let no file of this process, and of those it starts, grow beyond ``size`` bytes.

    This is what writing to a full disk looks like.

    Parameters
    ----------
    size : int
        The largest size of a file in bytes.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
