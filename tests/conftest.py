"""Fixtures and hooks of every test: a seed, the shared folder, and the skipping of GPU tests."""

import ctypes
import gc
import os
import random
import zlib
from pathlib import Path
from typing import Generator, Iterator, List, Optional

import gluonnorm  # noqa: F401

import mxnet as mx
import numpy as np
import pytest
from first_cases import ROOMS_OF_NETWORKS, split_first_cases

REPOSITORY = Path(__file__).resolve().parent.parent
LARGE_PROCESS = 3 << 30  # bytes
LONG_CONTENT = 32  # bytes


def seed_of(nodeid: str) -> int:
    """Return the seed of a test.

    Parameters
    ----------
    nodeid : str
        pytest's name of the test.

    Returns
    -------
    int
        The value of ``GLUONNORM_TEST_SEED`` if it is set, else a seed that depends only on the
        test's name.
    """
    seed_of_name = zlib.crc32(nodeid.encode()) % 2**31
    return int(os.environ.get("GLUONNORM_TEST_SEED", seed_of_name))


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> Iterator[int]:
    """Seed all random generators before each test."""
    seed = seed_of(request.node.nodeid)
    random.seed(seed)
    np.random.seed(seed)
    mx.random.seed(seed)
    yield seed
    # MXNet raises errors of its engine late. Waiting here raises them in the test that caused them.
    mx.nd.waitall()


@pytest.fixture(autouse=True)
def garbage_is_collected() -> Iterator[None]:
    """Free the networks of earlier tests when the process has become large.

    Gluon's blocks are reference cycles, and Python does not know how much memory their arrays take.
    It collects them too rarely: without this, a process that runs every test takes more than 10 GB.
    """
    yield
    if resident_memory() > LARGE_PROCESS:
        gc.collect()
        # The C library keeps freed memory for itself unless it is asked.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def resident_memory() -> int:
    """Bytes of memory that this process occupies; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data and reference results, which is not in the repository."""
    folder = Path(os.environ.get("GLUONNORM_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared folder at {folder}; set GLUONNORM_SHARED to run these tests")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test the command that repeats it."""
    report = yield
    if report.failed:
        seed = seed_of(item.nodeid)
        command = f"GLUONNORM_TEST_SEED={seed} python -m pytest '{item.nodeid}'"
        report.sections.append(("seed", command))
    return report


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> Optional[str]:
    """Name a test by the length of a file's content, where pytest would take the content.

    An archive holds the time at which it was made. The processes that run the tests make it at
    different times, and refuse to work together if the names of their tests differ.
    """
    if isinstance(val, bytes) and len(val) > LONG_CONTENT:
        return f"{len(val)} bytes"
    return None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for a second Python."""
    parser.addoption(
        "--first-cases",
        action="store_true",
        help=f"in {', '.join(ROOMS_OF_NETWORKS)} run each test with its first parameters only",
    )


# Last: after -m and -k, so that the first case is one that runs.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` where MXNet finds no GPU, and obey ``--first-cases``."""
    if mx.context.num_gpus() == 0:
        for item in items:
            # Not item.keywords, which has the name of the checkout's folder too.
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="MXNet sees no GPU"))
    if config.getoption("--first-cases"):
        kept, repeated = split_first_cases(items)
        config.hook.pytest_deselected(items=repeated)
        items[:] = kept
