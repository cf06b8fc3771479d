"""A second Python runs every test function of the networks, and every test of the other rooms."""

from pathlib import Path
from types import SimpleNamespace

from first_cases import ROOMS_OF_NETWORKS, split_first_cases

TESTS = Path(__file__).resolve().parent
IDS = (
    "tests/nn/test_norm.py::test_values[gn]",
    "tests/nn/test_norm.py::test_values[sn]",
    "tests/nn/test_norm.py::test_names",
    "tests/nn/test_fpn.py::test_values[a-b]",
    "tests/conversion/codebases/test_rules.py::test_values[a]",
    "tests/conversion/codebases/test_rules.py::test_values[b]",
    "tests/data/test_files.py::test_values[a]",
    "tests/data/test_files.py::test_values[b]",
    "tests/test_values.py::test_values[a]",
    "tests/test_values.py::test_values[b]",
)


def test_a_function_of_the_networks_keeps_its_first_parameters():
    kept, repeated = split_first_cases([SimpleNamespace(nodeid=name) for name in IDS])
    assert [item.nodeid for item in repeated] == [IDS[1], IDS[5]]
    assert [item.nodeid for item in kept] == [IDS[0], *IDS[2:5], *IDS[6:]]


def test_the_rooms_exist():
    assert all(list(TESTS.glob(f"{room}/test_*.py")) for room in ROOMS_OF_NETWORKS)
