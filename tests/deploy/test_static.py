"""Loaded networks keep buffers and converted weights from call to call; nobody may notice."""

from gluonnorm.deploy import Predictor, load

import numpy as np
import pytest
from tiny_detector import images, tiny_detector
from tiny_export import exported


@pytest.mark.parametrize(
    "kind, dtype",
    [
        ("fpn", "float32"),
        ("fpn", "bfloat16"),
        ("fpn", "int8"),
        ("mask_fpn", "float32"),
        ("c4", "int8"),
    ],
)
def test_results_do_not_change_while_other_calls_run(tmp_path, kind, dtype):
    prefix = exported(tmp_path, kind, dtype)
    inputs = [images(2), images(2)[::-1] * 0.5, images(2, 50, 70), images(1), images(2) * 2]
    wanted = []
    for x in inputs:
        fresh, _ = load(prefix)
        wanted.append([array.asnumpy() for array in fresh(x)])
    net, _ = load(prefix)
    pending = [
        net(inputs[number]) for number in (0, 1, 2, 3, 4, 0, 2, 4, 1, 1)
    ]  # none is waited for
    assert any((wanted[0][1] != wanted[1][1]).reshape(-1))
    for number, outputs in zip((0, 1, 2, 3, 4, 0, 2, 4, 1, 1), pending):
        for got, want in zip(outputs, wanted[number]):
            np.testing.assert_array_equal(got.asnumpy(), want)


def test_new_weights_count_at_once():
    """In a network of this process: what was made of the old ones is made anew."""
    net = tiny_detector("fpn", short=64, max_size=96)
    predictor = Predictor.from_network(net)
    photo = np.random.RandomState(0).randint(0, 256, (64, 96, 3), np.uint8)
    before = predictor(photo)
    kernel = net.rpn.conv.weight
    kept = kernel.data().copy()
    kernel.set_data(kept * -1)
    assert not np.array_equal(predictor(photo).boxes, before.boxes)
    kernel.set_data(kept)
    np.testing.assert_array_equal(predictor(photo).boxes, before.boxes)
