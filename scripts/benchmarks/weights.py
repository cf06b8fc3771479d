"""Weights for networks nobody has trained: drawn by name and seed, then set such that they work as trained ones do."""
import zlib
from typing import List, Sequence

import mxnet as mx
import numpy as np
from benchmarks.row import SCORE

PAIRS = 400  # of RoI and class above the score threshold: about what a trained detector finds on a full picture
SPREAD = 2.0  # of a class's logits over the RoIs, in standard deviations
# Factors of some layers' deviation: pyramid levels of like strength, deltas that leave proposals near their anchors.
FACTORS = (("lateral2", 0.2), ("lateral3", 0.3), ("lateral4", 0.5), ("loc", 0.2))
# Of the maps' deviations, finest first: coarse levels have few anchors, and would lose all places to the fine ones.
LEVELS = (1.0, 1.25, 1.5, 1.75, 2.0)


def seed_weights(net: mx.gluon.HybridBlock, x: np.ndarray, seed: int) -> None:
    """Fill every weight of a detector, so that it finds a trained one's number of candidates on images ``x``."""
    x = mx.nd.array(x)
    net(mx.nd.zeros((1, 3, 64, 96)))[0].wait_to_read()  # settles the shapes
    for name, parameter in net._collect_params_with_prefix().items():
        if name.rsplit(".", 1)[-1] in ("weight", "bias", "gamma", "beta", "running_mean", "running_var"):
            parameter.set_data(mx.nd.array(draw(name, parameter.shape, seed)))
    if hasattr(net.backbone, "output2"):
        level_maps(net, x)
    calm_background(net, x)


def draw(name: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """One array, from a generator of its own; scales keep activations within bounds through fifty layers."""
    rng = np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode()))
    kind = name.rsplit(".", 1)[-1]
    if kind == "running_var":
        return rng.uniform(0.5, 1.5, shape)
    if kind == "running_mean":
        return 0.1 * rng.randn(*shape)
    if kind == "gamma":
        return rng.uniform(*((0.1, 0.3) if "bn3." in name else (0.5, 1.0)), shape)
    if len(shape) == 1:
        return 0.05 * rng.randn(*shape)
    array = np.sqrt(2 / np.prod(shape[1:])) * rng.randn(*shape)
    if len(shape) == 2:  # rows without mean, so that RoIs differ by more than what they have in common
        array -= array.mean(axis=1, keepdims=True)
    return array * next((factor for part, factor in FACTORS if part in name), 1)


def level_maps(net: mx.gluon.HybridBlock, x: mx.nd.NDArray) -> None:
    """Scale the pyramid's last convolutions until its maps have the deviations of ``LEVELS``."""
    parameters = net.backbone._collect_params_with_prefix()
    for _ in range(2):  # the coarsest map may be made of the one before
        for level, (map_, wanted) in enumerate(zip(net.backbone(x), LEVELS), start=2):
            factor = wanted / float(map_.asnumpy().std())
            for name, parameter in parameters.items():
                last = "norm" if f"output{level}.norm.gamma" in parameters else "conv"
                if name in [f"output{level}.{last}.{kind}" for kind in ("weight", "bias", "gamma", "beta")]:
                    parameter.set_data(parameter.data() * factor)


def calm_background(net: mx.gluon.HybridBlock, x: mx.nd.NDArray) -> None:
    """Let no class win everywhere, and most RoIs be background."""
    seen: List[np.ndarray] = []
    hook = net.predictor.register_forward_hook(lambda block, inputs, outputs: seen.append(outputs[0].asnumpy()))
    net(x)[0].wait_to_read()
    hook.detach()
    logits = seen[0]
    factor = SPREAD / logits.std(axis=0).mean()
    centred = (logits - logits.mean(axis=0)) * factor
    low, high = -20.0, 40.0  # of the background's advantage
    for _ in range(40):
        middle = (low + high) / 2
        many = pairs(centred, middle) > PAIRS * len(x)
        low, high = (middle, high) if many else (low, middle)
    weight, bias = net.predictor.score.weight, net.predictor.score.bias
    values = (bias.data().asnumpy() - logits.mean(axis=0)) * factor
    values[0] += high
    bias.set_data(mx.nd.array(values))
    weight.set_data(weight.data() * factor)


def pairs(logits: np.ndarray, advantage: float) -> int:
    """How many pairs of RoI and foreground class score above ``SCORE`` with that much more for the background."""
    logits = logits + advantage * (np.arange(logits.shape[1]) == 0)
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return int((scores[:, 1:] > SCORE * scores.sum(axis=1, keepdims=True)).sum())
