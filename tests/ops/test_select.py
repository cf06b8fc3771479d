import os
import subprocess
import sys
from pathlib import Path

from gluonnorm.ops.select import PAD_SCORE, gather, gather_repeated, top_k

import mxnet as mx
import numpy as np
import pytest
from reference.boxes import distinct_scores
from reference.graph import both


@pytest.mark.parametrize("n,k", [(1, 1), (7, 3), (7, 7), (50, 20)])
def test_top_k_equals_sorting(n, k):
    scores = distinct_scores(np.random.default_rng(n), (3, n), -0.9, 5)
    values, indices = both(lambda F, x: top_k(F, x, k), scores)
    np.testing.assert_array_equal(indices, np.argsort(-scores, axis=1)[:, :k])
    np.testing.assert_array_equal(values, -np.sort(-scores, axis=1)[:, :k])


@pytest.mark.parametrize("n,k", [(1, 4), (3, 5), (2, 100)])
def test_top_k_of_fewer_than_k_is_padded_with_valid_indices(n, k):
    scores = distinct_scores(np.random.default_rng(n), (2, n))
    values, indices = both(lambda F, x: top_k(F, x, k), scores)
    assert values.shape == indices.shape == (2, k)
    np.testing.assert_array_equal(indices[:, :n], np.argsort(-scores, axis=1))
    np.testing.assert_array_equal(indices[:, n:], 0)
    np.testing.assert_array_equal(values[:, n:], PAD_SCORE)


def test_top_k_passes_gradients_to_the_values_chosen():
    scores = mx.nd.array([[0.1, 0.7, 0.3]])
    scores.attach_grad()
    with mx.autograd.record():
        values, _ = top_k(mx.nd, scores, 2)
        loss = (values * mx.nd.array([[10, 20]])).sum()
    loss.backward()
    np.testing.assert_array_equal(scores.grad.asnumpy(), [[0, 10, 20]])


@pytest.mark.parametrize("tail", [(), (4,), (2, 3)])
def test_gather_takes_each_images_own_rows(tail):
    rng = np.random.default_rng(0)
    data, indices = rng.normal(size=(2, 6, *tail)).astype(np.float32), rng.integers(0, 6, (2, 9))
    (rows,) = both(gather, data, indices)
    np.testing.assert_array_equal(rows, [image[index] for image, index in zip(data, indices)])


def test_gather_adds_gradients_of_a_row_taken_twice():
    data = mx.nd.zeros((1, 3, 2))
    data.attach_grad()
    with mx.autograd.record():
        loss = gather(mx.nd, data, mx.nd.array([[2, 0, 2]])).sum()
    loss.backward()
    np.testing.assert_array_equal(data.grad.asnumpy(), [[[1, 1], [0, 0], [2, 2]]])


@pytest.mark.parametrize("images", [1, 3])
def test_repeated_rows_are_gathered_and_get_the_sum_of_their_gradients(images):
    rng = np.random.default_rng(images)
    values = rng.normal(size=(images, 6, 4)).astype(np.float32)
    indices = rng.integers(0, 6, (images, 20))
    (rows,) = both(gather_repeated, values, indices)
    np.testing.assert_array_equal(rows, [image[index] for image, index in zip(values, indices)])
    data = mx.nd.array(values)
    data.attach_grad()
    with mx.autograd.record():
        rows = gather_repeated(mx.nd, data, mx.nd.array(indices))
    # Whole numbers, so that no sum is rounded.
    gradient = rng.integers(-5, 5, rows.shape).astype(np.float32)
    rows.backward(mx.nd.array(gradient))
    expected = np.zeros_like(values)
    for image in range(images):
        np.add.at(expected[image], indices[image], gradient[image])
    np.testing.assert_array_equal(data.grad.asnumpy(), expected)


# Prints whether a gradient is always the same. With gather it differs in about half of the trials.
FOUR_THREADS = """
from gluonnorm.ops.select import gather_repeated

import mxnet as mx
import numpy as np

rng = np.random.RandomState(0)
data = mx.nd.array(rng.randn(1, 50, 64))
indices = mx.nd.array(rng.randint(0, 50, (1, 4000)))
gradient = mx.nd.array(rng.randn(1, 4000, 64))
data.attach_grad()
seen = set()
for _ in range(60):
    with mx.autograd.record():
        rows = gather_repeated(mx.nd, data, indices)
    rows.backward(gradient)
    seen.add(data.grad.asnumpy().tobytes())
print(len(seen))
"""


def test_the_gradient_repeats_itself_with_several_threads():
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "4"}
    environment.pop("MXNET_CPU_WORKER_NTHREADS", None)
    command = [sys.executable, "-c", FOUR_THREADS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
