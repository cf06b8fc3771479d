"""The benchmark's processes of GluonCV: its detectors, its training step, its final suppression."""
import os
import types
from pathlib import Path
from typing import Any, List, Optional, Tuple

import gluonnorm  # noqa: F401  prepares the process before MXNet is imported

import mxnet as mx
import numpy as np
from benchmarks.nms import candidates
from benchmarks.row import Facts, Run, Task, best, images, photos, seconds, serve, truth
from gluoncv import model_zoo
from gluoncv.data.batchify import FasterRCNNTrainBatchify
from gluoncv.data.transforms.presets.rcnn import FasterRCNNDefaultTrainTransform
from gluoncv.model_zoo.rcnn.faster_rcnn.data_parallel import ForwardBackwardTask

FAR = -1e4  # pixels; a RoI there samples nothing


def build(task: Task, **settings: Any) -> mx.gluon.HybridBlock:
    """Its network with the weights of this benchmark."""
    net = model_zoo.get_model(task["network"], pretrained=False, pretrained_base=False, **settings)
    net.load_parameters(str(Path(task["folder"], task["stem"] + ".params")))  # strict
    return net


def detector(task: Task) -> Tuple[Run, Facts]:
    """Its detector on one image, as it is."""
    net, x = build(task), mx.nd.array(images(1, task["size"], task["seed"]))
    net.hybridize(static_alloc=True, static_shape=bool(task.get("tuned")))

    def run() -> List[mx.nd.NDArray]:
        outputs = net(x)
        mx.nd.waitall()
        return outputs

    return run, {"detections": best(*(output[0].asnumpy() for output in run()[:3]))}


def judge(task: Task) -> Tuple[None, Facts]:
    """What its detector finds without the read of uninitialised memory; see ``pyramid_roi_feats``."""
    net = build(task)
    net._pyramid_roi_feats = types.MethodType(pyramid_roi_feats, net)
    outputs = net(mx.nd.array(images(1, task["size"], task["seed"])))
    return None, {"detections": best(*(output[0].asnumpy() for output in outputs[:3]))}


def pyramid_roi_feats(self, F, features, rois, *args, **kwargs):
    """GluonCV's own method, with RoIs moved far away where it gives them the batch index -1.

    For these MXNet's RoIAlign on the CPU leaves its output uninitialised.
    """
    def roi_align(data, rois, *args, **kwargs):
        index, corners = (F.slice_axis(rois, axis=1, begin=begin, end=end) for begin, end in ((0, 1), (1, 5)))
        far = F.concat(F.zeros_like(index), F.ones_like(corners) * FAR, dim=1)
        return F.contrib.ROIAlign(data, F.where(F.broadcast_like(index < 0, rois), far, rois), *args, **kwargs)

    contrib = types.SimpleNamespace(**{**vars(F.contrib), "ROIAlign": roi_align})
    corrected = types.SimpleNamespace(**{**vars(F), "contrib": contrib})
    return type(self)._pyramid_roi_feats(self, corrected, features, rois, *args, **kwargs)


def training_step(task: Task) -> Tuple[Run, Facts]:
    """Its own task and trainer, wired as its ``train_faster_rcnn.py`` does.

    The RPN's targets, which its loader's processes make, are made once and not timed; the facts say what an image's
    took.
    """
    mx.random.seed(task["seed"])
    np.random.seed(task["seed"])
    count, size = task["images"], task["size"]
    net = build(task, per_device_batch_size=count)
    transform = FasterRCNNDefaultTrainTransform(min(size), max(size), net, ashape=net.ashape, multi_stage=True,
                                                flip_p=0)
    labels = [np.column_stack([boxes, ids]) for boxes, ids in zip(*truth(count, size, task["seed"]))]
    pictures = [mx.nd.array(photo, dtype="uint8") for photo in photos(count, size, task["seed"])]
    samples = [transform(picture, label) for picture, label in zip(pictures, labels)]
    loading = seconds(lambda: (transform(pictures[0], labels[0]), mx.nd.waitall()))
    parts = FasterRCNNTrainBatchify(net)(samples)
    batch = [(part[0] if isinstance(part, tuple) else part).as_in_context(mx.cpu()) for part in parts]
    net.collect_params().setattr("grad_req", "null")
    net.collect_train_params().setattr("grad_req", "write")
    net.hybridize(static_alloc=True)
    trainer = mx.gluon.Trainer(net.collect_train_params(), "sgd",
                               {"learning_rate": 1e-4, "momentum": 0.9, "wd": 1e-4})
    work = ForwardBackwardTask(
        net, trainer, mx.gluon.loss.SigmoidBinaryCrossEntropyLoss(from_sigmoid=False), mx.gluon.loss.HuberLoss(1 / 9),
        mx.gluon.loss.SoftmaxCrossEntropyLoss(), mx.gluon.loss.HuberLoss(1.0), mix_ratio=1.0, amp_enabled=False)

    def run() -> List[mx.nd.NDArray]:
        losses = work.forward_backward(batch)[:4]
        trainer.step(count)
        mx.nd.waitall()
        return losses

    return run, {"losses": [float(loss.asnumpy().mean()) for loss in run()], "loading": loading}


class Suppression(mx.gluon.HybridBlock):
    """The end of GluonCV's ``FasterRCNN.hybrid_forward``, operator by operator, from decoded boxes on."""

    def hybrid_forward(self, F, ids, scores, boxes):
        rows = F.concat(ids, scores, boxes, dim=-1)
        rows = F.contrib.box_nms(rows, overlap_thresh=0.5, topk=-1, valid_thresh=0.0001, id_index=0, score_index=1,
                                 coord_start=2, force_suppress=False)
        result = F.stack(rows.reshape((-3, 0)), axis=0)
        return [F.slice_axis(result, axis=-1, begin=begin, end=end) for begin, end in ((0, 1), (1, 2), (2, 6))]


def suppression(task: Task) -> Tuple[Run, Facts]:
    """Suppression class by class: (C, N, 6) rows, as its network hands them over."""
    net = Suppression()
    net.hybridize(static_alloc=True)
    scores, boxes = (array.swapaxes(0, 1) for array in candidates(task["rois"], task["classes"], task["seed"]))
    ids = np.broadcast_to(np.arange(task["classes"])[:, None], scores.shape)
    inputs = [mx.nd.array(array) for array in (ids[..., None], scores[..., None], boxes)]

    def run() -> List[mx.nd.NDArray]:
        outputs = net(*inputs)
        mx.nd.waitall()
        return outputs

    return run, {"detections": best(*(output[0].asnumpy() for output in run()))}


def prepare(task: Task) -> Tuple[Optional[Run], Facts]:
    """What ``task["kind"]`` names, with MXNet's own way of copying arrays unless ``task["tuned"]`` asks for ours."""
    if not task.get("tuned"):
        os.environ.pop("MXNET_CPU_PARALLEL_SIZE", None)  # which is read at the first copy
    return {"detector": detector, "judge": judge, "training": training_step, "nms": suppression}[task["kind"]](task)


if __name__ == "__main__":
    serve(prepare)
