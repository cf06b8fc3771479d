import json

from gluonnorm.ops.select import gather
from gluonnorm.rcnn.roi_product import rows_of_cells
from gluonnorm.rcnn.rpn import RPNHead
from gluonnorm.rcnn.sampled_rpn import SampledRPN, neighbor_cells

import mxnet as mx
import numpy as np
import pytest

ANCHORS, CHANNELS = 3, 4
LEVELS = [(7, 9), (4, 5), (1, 2)]


def maps(levels):
    features = [mx.nd.random.normal(shape=(2, CHANNELS, *size)) for size in levels]
    for feature in features:
        feature.attach_grad()
    return features


def answers(head, compute, anchors, features):
    """Logits and deltas of ``compute``, then the gradients of a loss by its inputs and weights."""
    parameters = list(head.collect_params().values())
    for parameter in parameters:
        parameter.zero_grad()
    with mx.autograd.record():
        logits, deltas = compute(anchors, *features)
        loss = (logits * logits).sum() + (deltas**3).sum()
    loss.backward()
    return [
        array.asnumpy()
        for array in (
            logits,
            deltas,
            *(feature.grad for feature in features),
            *(parameter.grad() for parameter in parameters),
        )
    ]


def over_whole_maps(head):
    """What the head gives over the whole maps, and of that the sampled rows."""
    return lambda anchors, *features: [
        gather(mx.nd, mx.nd.concat(*rows, dim=1), anchors) for rows in head.over(features)
    ]


def with_rows(sampled):
    return lambda anchors, *features: sampled(anchors, rows_of_cells(mx.nd, features), *features)


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("num_convs", [1, 2])
def test_values_and_gradients_are_those_of_the_whole_maps(num_convs, hybridize):
    mx.random.seed(0)
    head = RPNHead(CHANNELS, 8, ANCHORS, num_convs)
    head.initialize(
        mx.init.Normal(0.3), force_reinit=True
    )  # the head's own deviation of 0.01 hides what is wrong
    sampled = SampledRPN(head)
    if hybridize:
        sampled.hybridize()
    for levels in (LEVELS, [(3, 3), (6, 2), (5, 5)]):  # the graph is traced at the first
        features, count = maps(levels), ANCHORS * sum(height * width for height, width in levels)
        for anchors in (
            np.stack([np.arange(count), np.arange(count)[::-1]]),
            np.random.RandomState(0).randint(0, count, (2, 5)),
        ):
            anchors = mx.nd.array(anchors)
            found = answers(head, with_rows(sampled), anchors, features)
            wanted = answers(head, over_whole_maps(head), anchors, features)
            assert found[0].shape == anchors.shape and found[1].shape == (*anchors.shape, 4)
            for got, want in zip(found, wanted):
                assert want.any()
                np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_patches_take_matrix_products():
    """oneDNN's convolution in bfloat16 has barriers for every patch."""
    head = RPNHead(CHANNELS, 8, ANCHORS, 2)
    inputs = [mx.sym.Variable(name) for name in ("anchors", "rows", "map")]
    outputs = mx.sym.Group(SampledRPN(head)(*inputs))
    nodes = json.loads(outputs.tojson())["nodes"]
    kernels = [node["attrs"]["kernel"] for node in nodes if node["op"] == "Convolution"]
    assert kernels == ["(1, 1)", "(1, 1)"]  # scores and boxes
    assert sum(node["op"] == "FullyConnected" for node in nodes) == 2


def test_it_has_the_head_s_parameters_and_none_of_its_own():
    head = RPNHead(CHANNELS, 8, ANCHORS, 2)
    of_head, own = head.collect_params(), SampledRPN(head).collect_params()
    assert sorted(own) == sorted(of_head)
    assert all(own[name] is of_head[name] for name in own)


@pytest.mark.parametrize("radius", [1, 2])
def test_neighbors_are_numbered_over_all_levels(radius):
    found = neighbor_cells(mx.nd, maps(LEVELS), radius).asnumpy()
    start, wanted = 0, []
    for height, width in LEVELS:
        for y, x in np.ndindex(height, width):
            around = [
                (y + down, x + right)
                for down in range(-radius, radius + 1)
                for right in range(-radius, radius + 1)
            ]
            wanted.append(
                [
                    start + i * width + j if 0 <= i < height and 0 <= j < width else -1
                    for i, j in around
                ]
            )
        start += height * width
    np.testing.assert_array_equal(found, wanted)
