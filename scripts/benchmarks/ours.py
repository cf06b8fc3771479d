"""The benchmark's processes of this package: weights and exported files, then detectors, training and suppression."""
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import model_zoo
from gluonnorm import conversion, deploy, training
from gluonnorm.ops.nms import per_class_nms
from gluonnorm.rcnn import FasterRCNN, make_loss

import mxnet as mx
from benchmarks.nms import candidates
from benchmarks.row import Facts, Run, Task, best, images, photos, serve, truth
from benchmarks.weights import seed_weights
from train_faster_rcnn import learned

ENDING = {"gluoncv": ".params", "torchvision": ".pth"}
CALIBRATION = 4  # photos
RATE = 1e-4  # of learning: small, so that drawn weights stay what they are


def weights(task: Task) -> Facts:
    """Draw a network's weights, write them as ``task["source"]`` reads them, and export it in ``task["dtypes"]``.

    The facts are why a type could not be exported: ``{"errors": {prefix: text}}``.
    """
    size, seed, prefix = task["size"], task["seed"], str(Path(task["folder"], task["stem"]))
    net = model_zoo.get_model(task["network"], norm=task.get("norm"), head_norm=task.get("norm"), short=min(size),
                              max_size=max(size))
    seed_weights(net, images(1, size, seed), seed)
    if task.get("source"):
        conversion.save(net, prefix + ENDING[task["source"]], task["source"])
    errors: Dict[str, str] = {}
    for dtype in task["dtypes"]:
        settings: Dict[str, Any] = {"calibration": list(photos(CALIBRATION, size, seed + 1))} if dtype == "int8" else {}
        try:
            deploy.export(net, f"{prefix}-{dtype}", dtype=dtype, **settings)
        except Exception as error:  # whatever it is: the row says so, and the others go on
            errors[f"{task['stem']}-{dtype}"] = " ".join(f"{type(error).__name__}: {error}".split())
    return {"errors": errors}


def detector(task: Task) -> Tuple[Run, Facts]:
    """The exported files, on as many images at a time as ``task["images"]``."""
    net, _ = deploy.load(str(Path(task["folder"], task["prefix"])))
    x = mx.nd.array(images(task.get("images", 1), task["size"], task["seed"]))

    def run() -> List[mx.nd.NDArray]:
        outputs = net(x)
        mx.nd.waitall()
        return outputs

    ids, scores, boxes = (output[0].asnumpy() for output in run()[:3])
    return run, {"detections": best(ids, scores, boxes)}


def training_step(task: Task) -> Tuple[Run, Facts]:
    """Forward, targets, backward and update, wired as in ``train_faster_rcnn.py``."""
    mx.random.seed(task["seed"])
    net: FasterRCNN = model_zoo.get_model(task["network"], freeze_at=2)
    conversion.load(net, str(Path(task["folder"], task["stem"] + ENDING[task["source"]])), task["source"])
    trainer = mx.gluon.Trainer(learned(net), "sgd", {"learning_rate": 1.0, "momentum": 0.9, "wd": 1e-4},
                               update_on_kvstore=False)
    loss = make_loss(net)
    loss.hybridize()
    step = training.TrainStep(loss, trainer, [mx.cpu()])
    count = task["images"]
    batch = [mx.nd.array(array) for array in (images(count, task["size"], task["seed"]),
                                              *truth(count, task["size"], task["seed"]))]

    def run() -> Dict[str, mx.nd.NDArray]:
        losses = step(*batch, batch_size=count, rate=RATE)
        mx.nd.waitall()
        return losses

    return run, {"losses": [float(values.mean().asscalar()) for values in run().values()]}


class Suppression(mx.gluon.HybridBlock):
    """The package's final suppression as a block."""

    def hybrid_forward(self, F, scores, boxes):
        return per_class_nms(F, scores, boxes)


def suppression(task: Task) -> Tuple[Run, Facts]:
    """Final suppression of ``task["rois"]`` RoIs with ``task["classes"]`` classes."""
    net = Suppression()
    net.hybridize(static_alloc=True)
    inputs = [mx.nd.array(array[None]) for array in candidates(task["rois"], task["classes"], task["seed"])]

    def run() -> List[mx.nd.NDArray]:
        outputs = net(*inputs)
        mx.nd.waitall()
        return outputs

    return run, {"detections": best(*(output[0].asnumpy() for output in run()))}


def profile(run: Run) -> Dict[str, List[float]]:
    """{operator: [seconds, calls]} of one run, all operators."""
    mx.profiler.set_config(profile_symbolic=True, profile_imperative=True, aggregate_stats=True,
                           filename=os.devnull)  # it would leave a file of its own at the end
    mx.profiler.set_state("run")
    run()
    mx.nd.waitall()
    mx.profiler.set_state("stop")
    operators = json.loads(mx.profiler.dumps(format="json"))["Time"]["operator"]
    return {name: [entry["Total"] / 1000, entry["Count"]] for name, entry in operators.items()}


def prepare(task: Task) -> Tuple[Optional[Run], Facts]:
    """What ``task["kind"]`` names."""
    if task["kind"] == "weights":
        return None, weights(task)
    return {"detector": detector, "training": training_step, "nms": suppression}[task["kind"]](task)


if __name__ == "__main__":
    serve(prepare, profile)
