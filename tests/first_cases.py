"""The tests that a second Python leaves out: networks once more, with other parameters."""

from typing import List, Sequence, Set, Tuple

import pytest

# The rooms whose tests run networks. Further parameters of a function change what MXNet computes,
# which is the same binary for every Python, and little of what Python does.
ROOMS_OF_NETWORKS = (
    "backbones",
    "conversion",
    "deploy",
    "graph",
    "model_zoo",
    "nn",
    "ops",
    "parity",
    "rcnn",
)


def split_first_cases(
    items: Sequence[pytest.Item],
) -> Tuple[List[pytest.Item], List[pytest.Item]]:
    """Separate the tests of networks whose function runs with other parameters before.

    Parameters
    ----------
    items : sequence of pytest.Item
        All tests, in their order.

    Returns
    -------
    kept : list of pytest.Item
        All tests of the other rooms, and the first test of each function in
        ``ROOMS_OF_NETWORKS``.
    repeated : list of pytest.Item
        The others.
    """
    functions: Set[str] = set()
    kept = []
    repeated = []
    for item in items:
        function = item.nodeid.partition("[")[0]
        room = function.split("/")[1]
        if function in functions and room in ROOMS_OF_NETWORKS:
            repeated.append(item)
        else:
            kept.append(item)
        functions.add(function)
    return kept, repeated
