"""Weights for untrained networks that make them work as trained ones do.

They are drawn by name and seed, and then scaled such that the network finds about as many
candidates as a trained detector, because the time of the heads and of the suppression depends on
that number.
"""

import zlib
from typing import List, Sequence

from benchmarks.inputs import MIN_SCORE

import mxnet as mx
import numpy as np

# Pairs of RoI and class above the score threshold that a trained detector finds on a full photo.
CANDIDATES_PER_IMAGE = 400
# Standard deviation of the logits of a class over the RoIs.
LOGIT_DEVIATION = 2.0
# Factors of the deviation of some layers. They give the levels of the pyramid similar strength, and
# box deltas that leave proposals near their anchors.
LAYER_FACTORS = (("lateral2", 0.2), ("lateral3", 0.3), ("lateral4", 0.5), ("loc", 0.2))
# Standard deviation of the pyramid's maps, finest first. Coarse levels have few anchors, which
# would lose all places among the proposals to the fine levels.
LEVEL_DEVIATIONS = (1.0, 1.25, 1.5, 1.75, 2.0)
FINEST_LEVEL = 2
DRAWN_PARAMETERS = ("weight", "bias", "gamma", "beta", "running_mean", "running_var")


def seed_weights(net: mx.gluon.HybridBlock, images: np.ndarray, seed: int) -> None:
    """Fill every weight of a detector.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        A Faster or Mask R-CNN of this package.
    images : numpy.ndarray
        (B, 3, H, W) float32. On these the network finds as many candidates as a trained one.
    seed : int
        The same seed gives the same weights.
    """
    batch = mx.nd.array(images)
    # The first forward pass settles the shapes.
    net(mx.nd.zeros((1, 3, 64, 96)))[0].wait_to_read()
    for name, parameter in net._collect_params_with_prefix().items():
        if name.rsplit(".", 1)[-1] in DRAWN_PARAMETERS:
            parameter.set_data(mx.nd.array(draw_parameter(name, parameter.shape, seed)))
    if hasattr(net.backbone, "output2"):
        scale_pyramid(net, batch)
    scale_predictor(net, batch)


def draw_parameter(name: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """Draw one parameter from a random generator of its own.

    Parameters
    ----------
    name : str
        Its structural name, which decides the distribution. Scales keep the activations within
        bounds through fifty layers.
    shape : sequence of int
        Its shape.
    seed : int
        Name and seed decide the values.

    Returns
    -------
    numpy.ndarray
        float64.
    """
    random = np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode()))
    parameter = name.rsplit(".", 1)[-1]
    if parameter == "running_var":
        return random.uniform(0.5, 1.5, shape)
    if parameter == "running_mean":
        return 0.1 * random.randn(*shape)
    if parameter == "gamma":
        low, high = (0.1, 0.3) if "bn3." in name else (0.5, 1.0)
        return random.uniform(low, high, shape)
    if len(shape) == 1:
        return 0.05 * random.randn(*shape)
    values = np.sqrt(2 / np.prod(shape[1:])) * random.randn(*shape)
    if len(shape) == 2:
        # Without a mean in its rows, a dense layer answers to what RoIs do not have in common.
        values -= values.mean(axis=1, keepdims=True)
    for layer, factor in LAYER_FACTORS:
        if layer in name:
            return values * factor
    return values


def scale_pyramid(net: mx.gluon.HybridBlock, batch: mx.nd.NDArray) -> None:
    """Scale the pyramid's last layers until its maps have the deviations ``LEVEL_DEVIATIONS``.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        A detector with a feature pyramid.
    batch : mx.nd.NDArray
        (B, 3, H, W) images.
    """
    parameters = net.backbone._collect_params_with_prefix()
    # The coarsest map may be made of the one before it, so one pass is not enough.
    for _ in range(2):
        maps = net.backbone(batch)
        for level, (feature_map, deviation) in enumerate(zip(maps, LEVEL_DEVIATIONS), FINEST_LEVEL):
            factor = deviation / float(feature_map.asnumpy().std())
            has_norm = f"output{level}.norm.gamma" in parameters
            layer = f"output{level}.norm" if has_norm else f"output{level}.conv"
            for suffix in ("weight", "bias", "gamma", "beta"):
                parameter = parameters.get(f"{layer}.{suffix}")
                if parameter is not None:
                    parameter.set_data(parameter.data() * factor)


def scale_predictor(net: mx.gluon.HybridBlock, batch: mx.nd.NDArray) -> None:
    """Set the class scores such that no class wins everywhere and most RoIs are background.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        A detector.
    batch : mx.nd.NDArray
        (B, 3, H, W) images. On these ``CANDIDATES_PER_IMAGE`` pairs of RoI and class have a score.
    """
    logits = predictor_logits(net, batch)
    class_means = logits.mean(axis=0)
    factor = LOGIT_DEVIATION / logits.std(axis=0).mean()
    advantage = background_advantage(
        (logits - class_means) * factor, CANDIDATES_PER_IMAGE * len(batch)
    )
    weight = net.predictor.score.weight
    bias = net.predictor.score.bias
    new_bias = (bias.data().asnumpy() - class_means) * factor
    new_bias[0] += advantage
    bias.set_data(mx.nd.array(new_bias))
    weight.set_data(weight.data() * factor)


def predictor_logits(net: mx.gluon.HybridBlock, batch: mx.nd.NDArray) -> np.ndarray:
    """Run the network and catch the class logits of its RoIs.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        A detector.
    batch : mx.nd.NDArray
        (B, 3, H, W) images.

    Returns
    -------
    numpy.ndarray
        (R, C + 1) float32; column 0 is the background.
    """
    caught: List[np.ndarray] = []

    def catch(block: mx.gluon.Block, inputs: Sequence, outputs: Sequence) -> None:
        caught.append(outputs[0].asnumpy())

    hook = net.predictor.register_forward_hook(catch)
    net(batch)[0].wait_to_read()
    hook.detach()
    return caught[0]


def background_advantage(logits: np.ndarray, candidates: int) -> float:
    """Find by bisection what the background must gain to leave a number of candidates.

    Parameters
    ----------
    logits : numpy.ndarray
        (R, C + 1); column 0 is the background.
    candidates : int
        Pairs of RoI and foreground class that may have a score above ``MIN_SCORE``.

    Returns
    -------
    float
        What to add to the background's logits; at most ``candidates`` pairs are then left.
    """
    low = -20.0
    high = 40.0
    for _ in range(40):
        middle = (low + high) / 2
        if count_candidates(logits, middle) > candidates:
            low = middle
        else:
            high = middle
    return high


def count_candidates(logits: np.ndarray, advantage: float) -> int:
    """Count the pairs of RoI and foreground class with a score above ``MIN_SCORE``.

    Parameters
    ----------
    logits : numpy.ndarray
        (R, C + 1); column 0 is the background.
    advantage : float
        What is added to the background's logits.

    Returns
    -------
    int
        The number of pairs.
    """
    shifted = logits + advantage * (np.arange(logits.shape[1]) == 0)
    powers = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    threshold = MIN_SCORE * powers.sum(axis=1, keepdims=True)
    return int((powers[:, 1:] > threshold).sum())
