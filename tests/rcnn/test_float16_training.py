"""Training in float16: where the casts are, and gradients with a loss scale.

No GPU was at hand. ``float16_on_cpu`` says what the tests on the CPU show.
"""

import json
from collections import Counter

from gluonnorm.graph.layer_casts import NARROW_TYPES
from gluonnorm.graph.mixed_precision_block import MixedPrecisionBlock
from gluonnorm.graph.split_frozen import FrozenSplit
from gluonnorm.rcnn import make_loss
from gluonnorm.rcnn.sampler import SampledRows
from gluonnorm.rcnn.target_records import RoITargets
from gluonnorm.rcnn.training_graphs import LossBlock
from gluonnorm.training import LossScale, TrainStep, trainable_parameters

import mxnet as mx
import numpy as np
import pytest
from detector_gradients import assert_close, gradients, ground_truth, keep_targets
from float16_on_cpu import allow_float16
from tiny_detector import images, tiny_detector

NUM_TARGETS = len(SampledRows._fields) + len(RoITargets._fields) + 1
LAYERS = NARROW_TYPES["float16"].layers
MAY_BE_FLOAT16 = {*LAYERS, "amp_cast", "Activation", "Concat", "Flatten", "Pooling", "elemwise_add"}


def operators_by_type(symbol, parameters):
    """Count the operators of a graph by the type of their output; all parameters are float32."""
    operators = {}
    for node in json.loads(symbol.tojson(remove_amp_cast=False))["nodes"]:
        operators[node["name"]] = node["op"]
    internals = symbol.get_internals()
    counts = {"float16": Counter(), "float32": Counter()}
    for name, number_type in zip(internals.list_outputs(), internals.infer_type()[1]):
        type_name = np.dtype(number_type).name
        if name in operators:
            assert type_name == "float32" or name not in parameters
            continue
        # The outputs of a node are called name_output, name_mean and the like.
        counts[type_name][operators[name.rpartition("_")[0]]] += 1
    return counts


def traced(block, num_inputs):
    """Trace a block of a loss with its casts."""
    inputs = [mx.sym.var(f"data{index}", dtype="float32") for index in range(num_inputs)]
    symbol = MixedPrecisionBlock(block, "float16").trace(inputs)
    return operators_by_type(symbol, block.collect_params())


@pytest.mark.parametrize(
    "kind, norm, operators_of_norm",
    [
        ("mask_fpn", "gn", ["_linalg_gemm2", "sqrt"]),
        ("fpn", "sn", ["_linalg_gemm2", "softmax", "rsqrt"]),
        ("c4", "bn", ["BatchNorm"]),
        ("mask_c4", "frozen_bn", []),
    ],
)
def test_only_layers_and_what_lies_between_them_are_float16(
    kind, norm, operators_of_norm, monkeypatch
):
    # The losses of a GPU have MXNet's RoIAlign.
    monkeypatch.setattr(LossBlock, "_is_on_cpu", lambda self: False)
    net = tiny_detector(kind, norm=norm)
    loss = make_loss(net)
    split = FrozenSplit(loss._feature_map_block, "float16")
    symbol = split._trainable._cached_graph[1]
    backbone = operators_by_type(symbol, net.collect_params())
    assert backbone["float16"]["Convolution"] > 10 and not backbone["float32"]["Convolution"]
    for operator in operators_of_norm:
        assert backbone["float32"][operator]

    maps = len(net.backbone.strides)
    targets = traced(loss._target_block, 2 + len(ground_truth(net)) + maps)
    losses = traced(loss._loss_block, maps + NUM_TARGETS + net.has_masks)
    assert targets["float32"]["_contrib_box_nms"] and losses["float32"]["_contrib_ROIAlign"]
    assert losses["float32"]["log_softmax"] and losses["float32"]["smooth_l1"]
    for counts in (backbone, targets, losses):
        assert counts["float16"].keys() <= MAY_BE_FLOAT16


@pytest.mark.parametrize("kind, norm", [("fpn", "frozen_bn"), ("mask_fpn", "gn"), ("c4", "bn")])
def test_gradients_with_a_scale_are_those_of_float32(kind, norm, monkeypatch):
    net = tiny_detector(kind, norm=norm)
    loss = make_loss(net)
    loss.hybridize()
    keep_targets(loss, monkeypatch)
    exact_losses, exact = gradients(net, loss)
    allow_float16(monkeypatch)
    loss.hybridize(dtype="float16")
    losses, rounded = gradients(net, loss, scale=2.0**10)
    np.testing.assert_allclose(losses, exact_losses, rtol=0.01)
    assert (losses != exact_losses).any()
    assert_close(rounded, exact, least_cosine=0.98, largest_ratio=1.1)


def test_a_detector_skips_what_overflows_and_learns_the_rest(monkeypatch):
    net = tiny_detector("fpn")
    allow_float16(monkeypatch)
    loss = make_loss(net)
    loss.hybridize(dtype="float16")
    trainer = mx.gluon.Trainer(trainable_parameters(net), "sgd", update_on_kvstore=False)
    step = TrainStep(loss, trainer, [mx.cpu()], loss_scale=LossScale(2**14))
    weight = net.box_head.fc1.weight
    before = weight.data().asnumpy()
    sums = []
    for number in range(4):
        mx.random.seed(7)
        losses = step(images(2), *ground_truth(net), batch_size=2, rate=0.001)
        sums.append(sum(float(vector.sum().asscalar()) for vector in losses.values()))
        made_no_update = step.loss_scale.skipped == number + 1
        assert np.array_equal(weight.data().asnumpy(), before) == made_no_update
    assert 0 < step.loss_scale.skipped < 3
    assert np.isfinite(sums).all() and sums[-1] < 0.9 * sums[0]
