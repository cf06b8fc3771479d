"""The benchmark's process of GluonCV: its detectors, its training step, its final suppression."""

import os
import types
from pathlib import Path
from typing import Any, List, Tuple

import gluonnorm  # noqa: F401  prepares the process before MXNet is imported
from benchmarks.inputs import (
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    best_detections,
    ground_truth,
    network_inputs,
    nms_candidates,
    synthetic_photos,
)
from benchmarks.row_server import Facts, Run, Task, measure_seconds, serve

import mxnet as mx
import numpy as np
from gluoncv import model_zoo
from gluoncv.data.batchify import FasterRCNNTrainBatchify
from gluoncv.data.transforms.presets.rcnn import FasterRCNNDefaultTrainTransform
from gluoncv.model_zoo.rcnn.faster_rcnn.data_parallel import ForwardBackwardTask

# Pixels. A RoI so far from the image samples nothing.
FAR_AWAY = -1e4


def build_network(task: Task, **settings: Any) -> mx.gluon.HybridBlock:
    """Build GluonCV's network with the weights of this benchmark.

    Parameters
    ----------
    task : dict
        ``network``, and ``folder`` and ``stem`` of its weights.
    **settings
        Further arguments of GluonCV's ``get_model``.

    Returns
    -------
    mx.gluon.HybridBlock
        The network. Loading is strict, so all weights come from the file.
    """
    net = model_zoo.get_model(task["network"], pretrained=False, pretrained_base=False, **settings)
    net.load_parameters(str(Path(task["folder"], task["stem"] + ".params")))
    return net


def input_batch(task: Task) -> mx.nd.NDArray:
    """Draw the one image of a detector's task.

    Parameters
    ----------
    task : dict
        ``size`` and ``seed``.

    Returns
    -------
    mx.nd.NDArray
        (1, 3, H, W), normalized.
    """
    return mx.nd.array(network_inputs(1, task["size"], task["seed"]))


def detections_of(outputs: List[mx.nd.NDArray]) -> List[List[float]]:
    """Select the compared detections of the first image.

    Parameters
    ----------
    outputs : list of mx.nd.NDArray
        ids, scores and boxes, perhaps masks.

    Returns
    -------
    list of list of float
        As ``best_detections`` returns them.
    """
    ids, scores, boxes = (output[0].asnumpy() for output in outputs[:3])
    return best_detections(ids, scores, boxes)


def prepare_detector(task: Task) -> Tuple[Run, Facts]:
    """Build GluonCV's detector as it is, for one image.

    Parameters
    ----------
    task : dict
        ``network``, ``folder``, ``stem``, ``size``, ``seed``; ``tuned`` hybridizes it with a
        static shape.

    Returns
    -------
    run : callable
        Runs the network.
    facts : dict
        The ``detections``.
    """
    net = build_network(task)
    batch = input_batch(task)
    net.hybridize(static_alloc=True, static_shape=bool(task.get("tuned")))

    def run() -> List[mx.nd.NDArray]:
        outputs = net(batch)
        mx.nd.waitall()
        return outputs

    return run, {"detections": detections_of(run())}


def corrected_detections(task: Task) -> Tuple[None, Facts]:
    """Find what GluonCV's detector gives without reading uninitialized memory.

    Parameters
    ----------
    task : dict
        ``network``, ``folder``, ``stem``, ``size`` and ``seed``.

    Returns
    -------
    run : None
        This is not measured.
    facts : dict
        The ``detections``.
    """
    net = build_network(task)
    net._pyramid_roi_feats = types.MethodType(pyramid_roi_feats, net)
    outputs = net(input_batch(task))
    return None, {"detections": detections_of(outputs)}


def pyramid_roi_feats(self, F, features, rois, *args, **kwargs):
    """Call GluonCV's own method with a RoIAlign that does not leave its output uninitialized.

    Parameters
    ----------
    self, F, features, rois, *args, **kwargs
        Those of GluonCV's method.

    Returns
    -------
    Tensor
        The features of all RoIs.
    """

    # GluonCV calls RoIAlign on each level with all RoIs, and gives the batch index -1 to the RoIs
    # of other levels. For these MXNet 1.9.1 writes nothing on the CPU, so the output is whatever
    # the memory held. The correction moves such RoIs far away, where the operator writes zeros.
    def roi_align(data, rois, *args, **kwargs):
        batch_index = F.slice_axis(rois, axis=1, begin=0, end=1)
        corners = F.slice_axis(rois, axis=1, begin=1, end=5)
        far_corners = F.ones_like(corners) * FAR_AWAY
        far_rois = F.concat(F.zeros_like(batch_index), far_corners, dim=1)
        other_level = F.broadcast_like(batch_index < 0, rois)
        return F.contrib.ROIAlign(data, F.where(other_level, far_rois, rois), *args, **kwargs)

    contrib = types.SimpleNamespace(**{**vars(F.contrib), "ROIAlign": roi_align})
    corrected = types.SimpleNamespace(**{**vars(F), "contrib": contrib})
    return type(self)._pyramid_roi_feats(self, corrected, features, rois, *args, **kwargs)


def training_batch(net: mx.gluon.HybridBlock, task: Task) -> Tuple[List[mx.nd.NDArray], float]:
    """Make a training batch with GluonCV's transform, the targets of its RPN included.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        GluonCV's network, which knows the anchors.
    task : dict
        ``images``, ``size`` and ``seed``.

    Returns
    -------
    batch : list of mx.nd.NDArray
        What ``ForwardBackwardTask`` takes.
    loading : float
        Seconds that the transform takes for one image.
    """
    count = task["images"]
    size = task["size"]
    transform = FasterRCNNDefaultTrainTransform(
        min(size), max(size), net, ashape=net.ashape, multi_stage=True, flip_p=0
    )
    photos = []
    for photo in synthetic_photos(count, size, task["seed"]):
        photos.append(mx.nd.array(photo, dtype="uint8"))
    labels = []
    for boxes, ids in zip(*ground_truth(count, size, task["seed"])):
        labels.append(np.column_stack([boxes, ids]))
    samples = [transform(photo, label) for photo, label in zip(photos, labels)]

    def transform_one() -> None:
        transform(photos[0], labels[0])
        mx.nd.waitall()

    loading = measure_seconds(transform_one)
    batch = []
    for part in FasterRCNNTrainBatchify(net)(samples):
        array = part[0] if isinstance(part, tuple) else part
        batch.append(array.as_in_context(mx.cpu()))
    return batch, loading


def prepare_training(task: Task) -> Tuple[Run, Facts]:
    """Build GluonCV's training step as its ``train_faster_rcnn.py`` does.

    The targets of the RPN are made once and not timed, because GluonCV makes them in the processes
    of its loader.

    Parameters
    ----------
    task : dict
        ``network``, ``folder``, ``stem``, ``images``, ``size`` and ``seed``.

    Returns
    -------
    run : callable
        Forward, the targets of the heads, backward and update.
    facts : dict
        ``losses`` of the first step, and ``loading``, the seconds that the transform takes for one
        image.
    """
    mx.random.seed(task["seed"])
    np.random.seed(task["seed"])
    count = task["images"]
    net = build_network(task, per_device_batch_size=count)
    batch, loading = training_batch(net, task)
    # GluonCV's train_faster_rcnn.py freezes all other parameters in the same way.
    net.collect_params().setattr("grad_req", "null")
    net.collect_train_params().setattr("grad_req", "write")
    net.hybridize(static_alloc=True)
    sgd_settings = {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "wd": WEIGHT_DECAY}
    trainer = mx.gluon.Trainer(net.collect_train_params(), "sgd", sgd_settings)
    losses = mx.gluon.loss
    work = ForwardBackwardTask(
        net,
        trainer,
        losses.SigmoidBinaryCrossEntropyLoss(from_sigmoid=False),
        losses.HuberLoss(1 / 9),
        losses.SoftmaxCrossEntropyLoss(),
        losses.HuberLoss(1.0),
        mix_ratio=1.0,
        amp_enabled=False,
    )

    def run() -> List[mx.nd.NDArray]:
        step_losses = work.forward_backward(batch)[:4]
        trainer.step(count)
        mx.nd.waitall()
        return step_losses

    first_losses = [float(loss.asnumpy().mean()) for loss in run()]
    return run, {"losses": first_losses, "loading": loading}


class Suppression(mx.gluon.HybridBlock):
    """The end of GluonCV's ``FasterRCNN.hybrid_forward``, from decoded boxes on."""

    def hybrid_forward(self, F, ids, scores, boxes):
        """Suppress class by class."""
        rows = F.concat(ids, scores, boxes, dim=-1)
        rows = F.contrib.box_nms(
            rows,
            overlap_thresh=0.5,
            topk=-1,
            valid_thresh=0.0001,
            id_index=0,
            score_index=1,
            coord_start=2,
            force_suppress=False,
        )
        result = F.stack(rows.reshape((-3, 0)), axis=0)
        kept_ids = F.slice_axis(result, axis=-1, begin=0, end=1)
        kept_scores = F.slice_axis(result, axis=-1, begin=1, end=2)
        kept_boxes = F.slice_axis(result, axis=-1, begin=2, end=6)
        return [kept_ids, kept_scores, kept_boxes]


def prepare_nms(task: Task) -> Tuple[Run, Facts]:
    """Build GluonCV's final suppression, on (C, N, 6) rows as its network makes them.

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
    roi_scores, roi_boxes = nms_candidates(task["rois"], task["classes"], task["seed"])
    scores = roi_scores.swapaxes(0, 1)
    boxes = roi_boxes.swapaxes(0, 1)
    ids = np.broadcast_to(np.arange(task["classes"])[:, None], scores.shape)
    inputs = [mx.nd.array(array) for array in (ids[..., None], scores[..., None], boxes)]

    def run() -> List[mx.nd.NDArray]:
        outputs = net(*inputs)
        mx.nd.waitall()
        return outputs

    return run, {"detections": detections_of(run())}


def prepare(task: Task) -> Tuple[Any, Facts]:
    """Do what ``task["job"]`` names.

    Parameters
    ----------
    task : dict
        See ``benchmarks.groups.Row``. ``tuned`` keeps the MXNet settings that this package makes.

    Returns
    -------
    run : callable or None
        None for the corrected detections, which are not measured.
    facts : dict
        What the parent is told.
    """
    if not task.get("tuned"):
        # Importing gluonnorm has set this. MXNet reads it at the first copy of an array, so without
        # it GluonCV copies arrays in MXNet's own way.
        os.environ.pop("MXNET_CPU_PARALLEL_SIZE", None)
    functions = {
        "detector": prepare_detector,
        "corrected_detector": corrected_detections,
        "training": prepare_training,
        "nms": prepare_nms,
    }
    return functions[task["job"]](task)


if __name__ == "__main__":
    serve(prepare)
