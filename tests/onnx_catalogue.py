"""Compare detectors of the catalogue with their ONNX files in onnxruntime and OpenVINO.

Each detector gets random weights and is compared on images of three sizes, one of them in a batch
of two. A line of the report is a detector in a run time. Where other detections come out, the line
says how many proposals missed the best of their level only by a tie, and which score the last
detection of each image has: another one with that score is a tie, too. Without names all detectors
are compared, which takes long.

Example:
  PYTHONPATH=tests python -m onnx_catalogue mask_rcnn_R_50_C4_1x fasterrcnn_resnet50_fpn
"""

import importlib.util
import sys
import tempfile
import warnings
from pathlib import Path

from gluonnorm.deploy import export
from gluonnorm.nn import recalibrate
from model_zoo import get_model
from model_zoo.catalogue import MODELS

import mxnet as mx
import numpy as np
import onnx_programs
from detection_sets import assert_same_detections
from near_ties import tied_proposals
from tiny_detector import images, spread_predictions

SIZES = ((1, 64, 96), (2, 100, 70), (1, 193, 130))  # images, height and width
SETTINGS = {
    "rpn_channels": 16,
    "rpn_test_pre_nms": 60,
    "rpn_test_post_nms": 20,
    "fpn_channels": 32,
    "score_thresh": 0.0,
}
RUN_TIMES = {
    "onnxruntime": onnx_programs.session,
    "openvino": onnx_programs.openvino_program,
}
# What the last norm of each residual block's branch multiplies with.
BRANCH_SCALE = 0.1
# Norms that compute with statistics of the image. The others need stored ones.
NORMS_OF_IMAGES = ("gn", "sn", "sn_nobn")


def random_network(name, norm=None):
    """Build a detector whose random weights give detections that can be compared.

    Parameters
    ----------
    name : str
        A detector of the catalogue.
    norm : str or None
        The norm; None takes that of the catalogue.

    Returns
    -------
    gluonnorm.rcnn.FasterRCNN
        The detector.
    """
    mx.random.seed(0)
    model = MODELS[name]
    norm = norm or model.norm
    classes = None if model.classes else ("one", "two", "three")
    masks = {} if model.mask_convs is None else {"mask_channels": 32}
    needs_statistics = norm not in NORMS_OF_IMAGES
    net = get_model(
        name, norm="bn" if needs_statistics else norm, classes=classes, **SETTINGS, **masks
    )
    net.apply(_weaken_residual_branch)
    spread_predictions(net)
    # Random weights alone let activations vanish or explode from layer to layer. All scores of
    # proposals are then equal, and each run time chooses others.
    if needs_statistics:
        recalibrate(net, [images(*size) for size in SIZES])
    for layer, deviation in (
        (net.rpn.score, 1),
        (net.rpn.loc, 0.1),
        (net.predictor.score, 0.5),
        (net.predictor.loc, 0.1),
    ):
        _set_deviation(net, layer, deviation)
    return net


def _weaken_residual_branch(block):
    """Let a residual block add little to its input, as those of trained networks do.

    Of random weights each block enlarges rounding, and a hundred of them until nothing else is
    seen in the scores.
    """
    if hasattr(block, "downsample"):
        norms = [child for name, child in block._children.items() if name.startswith("bn")]
        gamma = norms[-1].gamma
        gamma.set_data(gamma.data() * BRANCH_SCALE)


def _set_deviation(net, layer, deviation):
    """Scale the weight of a layer so that its outputs on the images have this standard deviation.

    A network of random weights enlarges rounding a thousandfold. With scores near 0 and 1, and
    boxes of 1e5 pixels, nothing but that would be compared.
    """
    outputs = []
    handle = layer.register_forward_hook(lambda block, inputs, output: outputs.append(output))
    for size in SIZES:
        net(images(*size))
    handle.detach()
    measured = np.concatenate([output.asnumpy().ravel() for output in outputs]).std()
    layer.weight.set_data(layer.weight.data() * float(deviation / measured))


def differences(net, path, load):
    """Compare a detector with its ONNX file in a run time.

    Parameters
    ----------
    net : gluonnorm.rcnn.FasterRCNN
        The detector.
    path : str
        The file.
    load : callable
        One of ``RUN_TIMES``.

    Returns
    -------
    list of str
        A text for each size at which other detections come out.
    """
    program = load(path)
    texts = []
    for size in SIZES:
        pixels = images(*size)
        expected = [output.asnumpy() for output in net(pixels)]
        found = program({"data": pixels.asnumpy()})[: len(expected)]
        try:
            assert_same_detections(found, expected)
        except AssertionError as error:
            message = str(error).splitlines()[0]
            last = expected[1][:, -1, 0]
            texts.append(f"{size}: {message}; {_explanation(net, pixels)}; last scores {last}")
    return texts


def _explanation(net, pixels):
    """Say whether other proposals are ties. The comparison goes on in either case."""
    try:
        return f"{tied_proposals(net, pixels)} proposals are tied"
    except AssertionError as error:
        return str(error)


def main(names):
    """Print a line for each detector and run time.

    Parameters
    ----------
    names : sequence of str
        The detectors; none for all.
    """
    installed = [name for name in RUN_TIMES if importlib.util.find_spec(name)]
    for name in names or sorted(MODELS):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            net = random_network(name)
            prefix = str(Path(folder, "net"))
            export(net, prefix, format="onnx")
            for run_time in installed:
                texts = differences(net, f"{prefix}.onnx", RUN_TIMES[run_time])
                print(f"{name:45} {run_time:12} {'; '.join(texts) or 'same'}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
