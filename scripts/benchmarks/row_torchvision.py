"""The benchmark's process of torchvision, run by an interpreter that has it and may lack MXNet.

torchvision's transform and the pasting of masks are left out, because the networks beside it get
their input ready and give masks as the head makes them.
"""

import inspect
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple
from unittest.mock import patch

from benchmarks.inputs import (
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    best_detections,
    ground_truth,
    network_inputs,
)
from benchmarks.row_server import Facts, Run, Task, serve

import torch
from torch.nn.functional import pad
from torchvision.models import resnet50
from torchvision.models.detection import (
    FasterRCNN,
    fasterrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn,
)
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops import boxes as box_ops

BUILDERS = {
    "fasterrcnn_resnet50_fpn": fasterrcnn_resnet50_fpn,
    "maskrcnn_resnet50_fpn": maskrcnn_resnet50_fpn,
}
Detections = Tuple[torch.Tensor, torch.Tensor, torch.Tensor]
ONNX_OPSET = 17  # as of this package's files
NUM_CLASSES = 91  # with the background
# The transform pads images to multiples of so many pixels.
SIZE_MULTIPLE = 32


def image_list(task: Task) -> ImageList:
    """Make what torchvision's transform would give to the network.

    Parameters
    ----------
    task : dict
        ``size``, ``seed`` and perhaps ``images``.

    Returns
    -------
    ImageList
        Padded images with their sizes before the padding.
    """
    height, width = task["size"]
    count = task.get("images", 1)
    images = torch.from_numpy(network_inputs(count, task["size"], task["seed"]))
    right = -width % SIZE_MULTIPLE
    bottom = -height % SIZE_MULTIPLE
    return ImageList(pad(images, (0, right, 0, bottom)), [(height, width)] * count)


def load_weights(task: Task) -> Dict[str, Any]:
    """Read the weights of this benchmark.

    Parameters
    ----------
    task : dict
        ``folder`` and ``stem`` of the file.

    Returns
    -------
    dict of str to Tensor
        A state dict.
    """
    return torch.load(Path(task["folder"], task["stem"] + ".pth"), weights_only=True)


def prepare_detector(task: Task) -> Tuple[Run, Facts]:
    """Build torchvision's detector, from the normalized image to detections.

    Parameters
    ----------
    task : dict
        ``network``, ``folder``, ``stem``, ``size``, ``seed`` and perhaps ``dtype``.

    Returns
    -------
    run : callable
        Runs the network.
    facts : dict
        The ``detections``.
    """
    model = build_detector(task["network"], load_weights(task))
    images = image_list(task)
    uses_bfloat16 = task.get("dtype") == "bfloat16"

    def run() -> Detections:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=uses_bfloat16):
            return detect(model, images)

    ids, scores, boxes = (output.float().numpy() for output in run())
    return run, {"detections": best_detections(ids, scores, boxes)}


def build_detector(network: str, weights: Dict[str, Any]) -> GeneralizedRCNN:
    """Build torchvision's detector for inference.

    Parameters
    ----------
    network : str
        A key of ``BUILDERS``.
    weights : dict of str to Tensor
        A state dict.

    Returns
    -------
    GeneralizedRCNN
        The detector.
    """
    model = BUILDERS[network](weights=None, weights_backbone=None)
    model.load_state_dict(weights)
    return model.eval()


def detect(model: GeneralizedRCNN, images: ImageList) -> Detections:
    """Detect objects on one image.

    Parameters
    ----------
    model : GeneralizedRCNN
        The detector.
    images : ImageList
        The image, normalized and padded.

    Returns
    -------
    ids, scores, boxes : Tensor
        (D,), (D,) and (D, 4); id 0 is the first foreground class.
    """
    features = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, features)
    (detections,), _ = model.roi_heads(features, proposals, images.image_sizes)
    return detections["labels"] - 1, detections["scores"], detections["boxes"]


class OneImageDetector(torch.nn.Module):
    """torchvision's detector as a module of one tensor, for images of one size.

    Parameters
    ----------
    model : GeneralizedRCNN
        The detector.
    images : ImageList
        An image of that size.
    """

    def __init__(self, model: GeneralizedRCNN, images: ImageList) -> None:
        super().__init__()
        self.model = model
        self.image_sizes = images.image_sizes
        height, width = images.image_sizes[0]
        padded_height, padded_width = images.tensors.shape[2:]
        self.padding = (0, padded_width - width, 0, padded_height - height)

    def forward(self, image: torch.Tensor) -> Detections:
        """Detect objects on an image (1, 3, H, W) before its padding."""
        return detect(self.model, ImageList(pad(image, self.padding), self.image_sizes))


def write_onnx(task: Task) -> Facts:
    """Export torchvision's detector to ONNX with torch's own exporter.

    Parameters
    ----------
    task : dict
        ``network``, ``folder`` and ``stem`` of the file, ``weights_stem`` of the weights, ``size``
        and ``seed``.

    Returns
    -------
    dict
        ``errors``, which is empty.
    """
    weights = load_weights({**task, "stem": task["weights_stem"]})
    detector = OneImageDetector(build_detector(task["network"], weights), image_list(task))
    image = torch.from_numpy(network_inputs(1, task["size"], task["seed"]))
    path = str(Path(task["folder"], f"{task['stem']}-onnx.onnx"))
    # The exporter would keep "if there are no boxes" as an If, which nncf cannot read.
    suppression = inspect.unwrap(box_ops._batched_nms_coordinate_trick)
    with torch.no_grad(), patch.object(box_ops, "_batched_nms_coordinate_trick", suppression):
        torch.onnx.export(
            detector,
            (image,),
            path,
            opset_version=ONNX_OPSET,
            input_names=["data"],
            output_names=["ids", "scores", "boxes"],
        )
    return {"errors": {}}


def training_model(task: Task) -> FasterRCNN:
    """Build the model that torchvision trains if it starts from ImageNet weights.

    Parameters
    ----------
    task : dict
        ``folder`` and ``stem`` of the weights.

    Returns
    -------
    FasterRCNN
        With frozen batch norms, and with stem and first stage frozen.
    """
    backbone = _resnet_fpn_extractor(resnet50(norm_layer=FrozenBatchNorm2d), 3)
    model = FasterRCNN(backbone, NUM_CLASSES)
    weights = {}
    for name, tensor in load_weights(task).items():
        # Frozen batch norms do not count batches.
        if not name.endswith("num_batches_tracked"):
            weights[name] = tensor
    model.load_state_dict(weights)
    model.train()
    return model


def prepare_training(task: Task) -> Tuple[Run, Facts]:
    """Build torchvision's training step, with its losses and SGD.

    Parameters
    ----------
    task : dict
        ``folder``, ``stem``, ``images``, ``size``, ``seed`` and perhaps ``dtype``.

    Returns
    -------
    run : callable
        Forward, targets, backward and update.
    facts : dict
        ``losses`` of the first step.
    """
    torch.manual_seed(task["seed"])
    model = training_model(task)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(
        learned, lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    images = image_list(task)
    targets = []
    for boxes, labels in zip(*ground_truth(task["images"], task["size"], task["seed"])):
        # Label 0 is the background.
        targets.append(
            {"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(labels).long() + 1}
        )

    def forward() -> List[torch.Tensor]:
        features = model.backbone(images.tensors)
        proposals, rpn_losses = model.rpn(images, features, targets)
        _, roi_losses = model.roi_heads(features, proposals, images.image_sizes, targets)
        return [
            rpn_losses["loss_objectness"],
            rpn_losses["loss_rpn_box_reg"],
            roi_losses["loss_classifier"],
            roi_losses["loss_box_reg"],
        ]

    uses_bfloat16 = task.get("dtype") == "bfloat16"

    def run() -> List[torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=uses_bfloat16):
            losses = forward()
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
        return losses

    return run, {"losses": [float(loss) for loss in run()]}


def prepare(task: Task) -> Tuple[Optional[Run], Facts]:
    """Do what ``task["job"]`` names.

    Parameters
    ----------
    task : dict
        See ``benchmarks.groups.Row``.

    Returns
    -------
    run : callable or None
        The computation; None for an ONNX file, which is written already.
    facts : dict
        What the parent is told.
    """
    if task["job"] == "onnx":
        return None, write_onnx(task)
    functions = {"detector": prepare_detector, "training": prepare_training}
    return functions[task["job"]](task)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(prepare)
