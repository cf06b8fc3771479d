"""What every test gets: a seed of its own, and the shared folder where there is one."""
import os
import random
import zlib
from pathlib import Path
from typing import Generator, Iterator, List

import gluonnorm  # noqa: F401

import mxnet as mx
import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def seed_of(nodeid: str) -> int:
    """The seed of a test: ``GLUONNORM_TEST_SEED`` where set, else one that depends on its name only."""
    return int(os.environ.get("GLUONNORM_TEST_SEED", zlib.crc32(nodeid.encode()) % 2**31))


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> Iterator[int]:
    """Seed every source of chance; afterwards wait for MXNet, so that a late error hits the test that caused it."""
    seed = seed_of(request.node.nodeid)
    random.seed(seed)
    np.random.seed(seed)
    mx.random.seed(seed)
    yield seed
    mx.nd.waitall()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and reference results, which is no part of the repository."""
    folder = Path(os.environ.get("GLUONNORM_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared folder at {folder}; set GLUONNORM_SHARED to have these tests run")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of a failed test how to repeat it."""
    report = yield
    if report.failed:
        seed = seed_of(item.nodeid)
        report.sections.append(("seed", f"GLUONNORM_TEST_SEED={seed} python -m pytest '{item.nodeid}'"))
    return report


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` where MXNet sees none."""
    if mx.context.num_gpus() == 0:
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="MXNet sees no GPU"))
