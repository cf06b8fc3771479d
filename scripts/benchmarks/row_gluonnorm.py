"""The benchmark's process of this package: weights, detector, training step, suppression."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import model_zoo
from benchmarks.inputs import (
    CALIBRATION_PHOTOS,
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    best_detections,
    ground_truth,
    network_inputs,
    nms_candidates,
    synthetic_photos,
)
from benchmarks.row_server import Facts, Run, Task, serve
from benchmarks.seeded_weights import seed_weights
from gluonnorm import conversion, deploy, training
from gluonnorm.ops.nms import per_class_nms
from gluonnorm.rcnn import FasterRCNN, make_loss

import mxnet as mx
from _training_parts import set_multipliers

FILE_ENDINGS = {"gluoncv": ".params", "torchvision": ".pth"}
# What export is given for files of other formats than MXNet's.
OTHER_FORMATS: Dict[str, Dict[str, Any]] = {
    "onnx": {"format": "onnx"},
    "openvino-int8": {"format": "openvino", "dtype": "int8"},
}


def write_weights(task: Task) -> Facts:
    """Draw a network's weights, write them for the peer, and export the network.

    Parameters
    ----------
    task : dict
        ``network``, ``stem`` and ``folder`` of the files, ``dtypes`` to export, each a type of
        MXNet's files or a key of ``OTHER_FORMATS``, and perhaps ``norm`` and ``source``, the peer.

    Returns
    -------
    dict
        ``{"errors": {prefix: message}}``: why a type could not be exported.
    """
    size = task["size"]
    seed = task["seed"]
    norm = task.get("norm")
    source = task.get("source")
    prefix = str(Path(task["folder"], task["stem"]))
    net = model_zoo.get_model(
        task["network"], norm=norm, head_norm=norm, short=min(size), max_size=max(size)
    )
    seed_weights(net, network_inputs(1, size, seed), seed)
    if source:
        conversion.save(net, prefix + FILE_ENDINGS[source], source)
    errors: Dict[str, str] = {}
    for dtype in task["dtypes"]:
        settings = dict(OTHER_FORMATS.get(dtype, {"dtype": dtype}))
        if settings.get("dtype") == "int8":
            photos = synthetic_photos(CALIBRATION_PHOTOS, size, seed + 1)
            settings["calibration"] = list(photos)
        try:
            deploy.export(net, f"{prefix}-{dtype}", **settings)
        except Exception as error:
            # Whatever it is, only the row of this type fails. The page shows the message.
            message = f"{type(error).__name__}: {error}"
            errors[f"{task['stem']}-{dtype}"] = " ".join(message.split())
    return {"errors": errors}


def prepare_detector(task: Task) -> Tuple[Run, Facts]:
    """Load exported files, to run on as many images at a time as ``task["images"]``.

    Parameters
    ----------
    task : dict
        ``folder`` and ``prefix`` of the files, ``size``, ``seed`` and perhaps ``images``.

    Returns
    -------
    run : callable
        Runs the network.
    facts : dict
        ``detections`` of the first image.
    """
    net, _ = deploy.load(str(Path(task["folder"], task["prefix"])))
    images = network_inputs(task.get("images", 1), task["size"], task["seed"])
    batch = mx.nd.array(images)

    def run() -> List[mx.nd.NDArray]:
        outputs = net(batch)
        mx.nd.waitall()
        return outputs

    ids, scores, boxes = (output[0].asnumpy() for output in run()[:3])
    return run, {"detections": best_detections(ids, scores, boxes)}


def prepare_training(task: Task) -> Tuple[Run, Facts]:
    """Build a training step as ``train_faster_rcnn.py`` does.

    Parameters
    ----------
    task : dict
        ``network``, ``folder``, ``stem`` and ``source`` of its weights, ``images``, ``size``,
        ``seed`` and perhaps ``dtype``.

    Returns
    -------
    run : callable
        Forward, targets, backward and update.
    facts : dict
        ``losses`` of the first step.
    """
    mx.random.seed(task["seed"])
    source = task["source"]
    net: FasterRCNN = model_zoo.get_model(task["network"], freeze_at=2)
    weight_file = Path(task["folder"], task["stem"] + FILE_ENDINGS[source])
    conversion.load(net, str(weight_file), source)
    sgd_settings = {"learning_rate": 1.0, "momentum": MOMENTUM, "wd": WEIGHT_DECAY}
    set_multipliers(net, WEIGHT_DECAY)
    trainer = mx.gluon.Trainer(
        training.trainable_parameters(net), "sgd", sgd_settings, update_on_kvstore=False
    )
    loss = make_loss(net)
    loss.hybridize(dtype=task.get("dtype", "float32"))
    step = training.TrainStep(loss, trainer, [mx.cpu()])
    count = task["images"]
    images = network_inputs(count, task["size"], task["seed"])
    boxes, labels = ground_truth(count, task["size"], task["seed"])
    batch = [mx.nd.array(array) for array in (images, boxes, labels)]

    def run() -> Dict[str, mx.nd.NDArray]:
        losses = step(*batch, batch_size=count, rate=LEARNING_RATE)
        mx.nd.waitall()
        return losses

    losses = [float(values.mean().asscalar()) for values in run().values()]
    return run, {"losses": losses}


class Suppression(mx.gluon.HybridBlock):
    """The package's final suppression as a block."""

    def hybrid_forward(self, F, scores, boxes):
        """Suppress all classes at once."""
        return per_class_nms(F, scores, boxes)


def prepare_nms(task: Task) -> Tuple[Run, Facts]:
    """Build the final suppression of ``task["rois"]`` RoIs with ``task["classes"]`` classes.

    Parameters
    ----------
    task : dict
        ``rois``, ``classes`` and ``seed``.

    Returns
    -------
    run : callable
        Runs the suppression.
    facts : dict
        The ``detections``.
    """
    net = Suppression()
    net.hybridize(static_alloc=True)
    scores, boxes = nms_candidates(task["rois"], task["classes"], task["seed"])
    inputs = [mx.nd.array(scores[None]), mx.nd.array(boxes[None])]

    def run() -> List[mx.nd.NDArray]:
        outputs = net(*inputs)
        mx.nd.waitall()
        return outputs

    ids, kept_scores, kept_boxes = (output[0].asnumpy() for output in run())
    return run, {"detections": best_detections(ids, kept_scores, kept_boxes)}


def profile(run: Run) -> Dict[str, List[float]]:
    """Measure the operators of one run.

    Parameters
    ----------
    run : callable
        The computation; it waits for its result.

    Returns
    -------
    dict of str to list of float
        Seconds and calls of each operator.
    """
    # MXNet deletes a file of this name now, and writes it when the process ends, asked or not. So
    # it must be nobody's file, such as one in a folder that will be gone.
    with tempfile.TemporaryDirectory() as folder:
        mx.profiler.set_config(
            profile_symbolic=True,
            profile_imperative=True,
            aggregate_stats=True,
            filename=os.path.join(folder, "profile.json"),
        )
        mx.profiler.set_state("run")
        run()
        mx.nd.waitall()
        mx.profiler.set_state("stop")
    operators = json.loads(mx.profiler.dumps(format="json"))["Time"]["operator"]
    result = {}
    for name, entry in operators.items():
        result[name] = [entry["Total"] / 1000, entry["Count"]]
    return result


def prepare(task: Task) -> Tuple[Optional[Run], Facts]:
    """Do what ``task["job"]`` names.

    Parameters
    ----------
    task : dict
        See ``benchmarks.groups.Row``.

    Returns
    -------
    run : callable or None
        None for weights, which are written already.
    facts : dict
        What the parent is told.
    """
    job = task["job"]
    if job == "weights":
        return None, write_weights(task)
    functions = {"detector": prepare_detector, "training": prepare_training, "nms": prepare_nms}
    return functions[job](task)


if __name__ == "__main__":
    serve(prepare, profile)
