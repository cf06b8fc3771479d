"""The benchmark's processes of torchvision, run by an interpreter that has it and need not have MXNet.

Its transform and the pasting of masks are left out: the networks beside it get their input ready and give masks as
they come from the head.
"""
import os
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch
from benchmarks.row import Facts, Run, Task, best, images, serve, truth
from torch.nn.functional import pad
from torchvision.models import resnet50
from torchvision.models.detection import FasterRCNN, fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

MODELS = {"fasterrcnn_resnet50_fpn": fasterrcnn_resnet50_fpn, "maskrcnn_resnet50_fpn": maskrcnn_resnet50_fpn}
MULTIPLE = 32  # of pixels, which its transform pads to


def batch_of(task: Task) -> ImageList:
    """What its transform would hand to the network."""
    height, width = task["size"]
    x = torch.from_numpy(images(task.get("images", 1), task["size"], task["seed"]))
    return ImageList(pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE)), [(height, width)] * len(x))


def state(task: Task) -> Dict[str, Any]:
    """The weights of this benchmark."""
    return torch.load(Path(task["folder"], task["stem"] + ".pth"), weights_only=True)


def detector(task: Task) -> Tuple[Run, Facts]:
    """Its detector on one image, from the normalized image to detections."""
    model = MODELS[task["network"]](weights=None, weights_backbone=None)
    model.load_state_dict(state(task))
    model.eval()
    batch = batch_of(task)

    def run() -> Any:
        with torch.inference_mode():
            features = model.backbone(batch.tensors)
            proposals, _ = model.rpn(batch, features)
            return model.roi_heads(features, proposals, batch.image_sizes)[0][0]

    found = run()
    return run, {"detections": best((found["labels"] - 1).numpy(), found["scores"].numpy(), found["boxes"].numpy())}


def training_step(task: Task) -> Tuple[Run, Facts]:
    """Its losses, SGD, and what ``weights_backbone`` would give it: frozen batch norms, stem and first stage."""
    torch.manual_seed(task["seed"])
    model = FasterRCNN(_resnet_fpn_extractor(resnet50(norm_layer=FrozenBatchNorm2d), 3), 91)
    weights = {name: tensor for name, tensor in state(task).items() if not name.endswith("num_batches_tracked")}
    model.load_state_dict(weights)
    model.train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=1e-4, momentum=0.9, weight_decay=1e-4)
    batch = batch_of(task)
    targets = [{"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(labels).long() + 1}
               for boxes, labels in zip(*truth(task["images"], task["size"], task["seed"]))]

    def run() -> List[torch.Tensor]:
        features = model.backbone(batch.tensors)
        proposals, rpn = model.rpn(batch, features, targets)
        _, rcnn = model.roi_heads(features, proposals, batch.image_sizes, targets)
        losses = [rpn["loss_objectness"], rpn["loss_rpn_box_reg"], rcnn["loss_classifier"], rcnn["loss_box_reg"]]
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
        return losses

    return run, {"losses": [float(loss) for loss in run()]}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(lambda task: {"detector": detector, "training": training_step}[task["kind"]](task))
