"""torchvision: resnet18 to resnet152, Faster and Mask R-CNN with FPN, v1 and v2.

Since torchvision 0.13 a convolution in the pyramid or in a head is the first layer of a
``Conv2dNormActivation``, so that names are nested: ``inner_blocks.0.0.weight``. Up to 0.12, and in
the published v1 files, they are flat: ``inner_blocks.0.weight``. Nested names are saved, both are
loaded.
"""

import os
import re
from typing import List, Sequence, Tuple

from gluonnorm.conversion.codebase import (
    EPSILON,
    Codebase,
    FileEpsilon,
    IgnoredTensor,
    source_names,
)
from gluonnorm.conversion.layouts import BOXES_WITH_BACKGROUND, MASKS_WITH_BACKGROUND, Arrays
from gluonnorm.conversion.network import live_norms
from gluonnorm.conversion.rules import Rule, Shapes, count_convs

import mxnet as mx
import numpy as np

# A layer of a ResNet. A v1d network has no names here: the average pooling in its shortcut moves
# the convolution and the norm to downsample.1 and downsample.2, and torchvision has no such
# network.
RESNET_LAYER = r"(?P<resnet_layer>conv1|bn1|layer\d\.\d+\.(?:conv\d|bn\d|downsample\.[01]))"
# FrozenBatchNorm2d had no epsilon when these two were trained, so torchvision sets it to 0 after
# loading them (``overwrite_eps`` in torchvision/models/detection/_utils.py).
FILES_WITHOUT_EPSILON = (
    "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
    "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
)
FLAT_NAME = re.compile(r"backbone\.fpn\.inner_blocks\.\d\.(weight|bias)")
# COCO's ids go up to 90, and these ten belong to no class. The published detectors have a row for
# each id.
UNUSED_COCO_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)


def _rules(shapes: Shapes) -> List[Rule]:
    """Make the table of names, which depends on the convolutions in the box head."""
    # The box head of a v2 detector numbers its layers: four convolutions, a Flatten, the linear
    # layer. That of a v1 detector has no convolutions.
    box_convs = count_convs(shapes, "box_head")
    fc1 = f"roi_heads.box_head.{box_convs + 1}" if box_convs else "roi_heads.box_head.fc6"
    return [
        # A detector is first looked for under the names of a detector, then of a classifier; a bare
        # backbone in the other order.
        Rule(
            r"backbone\.(?:backbone\.)?" + RESNET_LAYER,
            ("backbone.body.{resnet_layer}.{leaf}", "{resnet_layer}.{leaf}"),
        ),
        Rule(
            RESNET_LAYER,
            ("{resnet_layer}.{leaf}", "backbone.body.{resnet_layer}.{leaf}"),
        ),
        *_conv_and_norm(
            r"backbone\.lateral(?P<level>[2-5])",
            nested="backbone.fpn.inner_blocks.{level-2}",
            flat=("backbone.fpn.inner_blocks.{level-2}",),
        ),
        *_conv_and_norm(
            r"backbone\.output(?P<level>[2-5])",
            nested="backbone.fpn.layer_blocks.{level-2}",
            flat=("backbone.fpn.layer_blocks.{level-2}",),
        ),
        Rule(r"rpn\.conv", ("rpn.head.conv.0.0.{leaf}", "rpn.head.conv.{leaf}")),
        Rule(r"rpn\.conv2", ("rpn.head.conv.1.0.{leaf}",)),
        Rule(r"rpn\.score", ("rpn.head.cls_logits.{leaf}",)),
        Rule(r"rpn\.loc", ("rpn.head.bbox_pred.{leaf}",)),
        # In the heads of gluonnorm i = 0, 2, 4, 6, since a ReLU follows; in torchvision 0, 1, 2, 3.
        *_conv_and_norm(r"box_head\.convs\.(?P<i>\d)", nested="roi_heads.box_head.{i/2}"),
        Rule(r"box_head\.fc1", (fc1 + ".{leaf}",)),
        Rule(r"box_head\.fc2", ("roi_heads.box_head.fc7.{leaf}",)),
        Rule(r"predictor\.score", ("roi_heads.box_predictor.cls_score.{leaf}",)),
        Rule(
            r"predictor\.loc",
            ("roi_heads.box_predictor.bbox_pred.{leaf}",),
            BOXES_WITH_BACKGROUND,
        ),
        *_conv_and_norm(
            r"mask_head\.convs\.(?P<i>\d)",
            nested="roi_heads.mask_head.{i/2}",
            flat=("roi_heads.mask_head.mask_fcn{i/2+1}",),
        ),
        Rule(r"mask_head\.deconv", ("roi_heads.mask_predictor.conv5_mask.{leaf}",)),
        Rule(
            r"mask_head\.score",
            ("roi_heads.mask_predictor.mask_fcn_logits.{leaf}",),
            MASKS_WITH_BACKGROUND,
        ),
    ]


def _conv_and_norm(layer: str, nested: str, flat: Tuple[str, ...] = ()) -> Tuple[Rule, Rule]:
    """Make the rules for a convolution and its norm; flat names exist without a norm only."""
    conv_templates = [nested + ".0.{leaf}"]
    for name in flat:
        conv_templates.append(name + ".{leaf}")
    conv_rule = Rule(layer + r"\.conv", tuple(conv_templates))
    norm_rule = Rule(layer + r"\.norm", (nested + ".1.{leaf}",))
    return conv_rule, norm_rule


def _epsilon(names: Sequence[str], file_name: str) -> FileEpsilon:
    """Recognize the published v1 detectors, whose epsilon is 0, by name or by content."""
    if os.path.basename(file_name) in FILES_WITHOUT_EPSILON:
        return FileEpsilon(0.0, "torchvision loads this published file with eps 0")
    has_flat_names = any(FLAT_NAME.fullmatch(name) for name in names)
    # FrozenBatchNorm2d has no num_batches_tracked; a live BatchNorm2d has, and its epsilon is 1e-5.
    has_counters = any("num_batches" in name for name in names)
    if has_flat_names and not has_counters:
        return FileEpsilon(
            0.0,
            "flat names without counters, as in the published v1 detectors, "
            "which torchvision loads with eps 0",
        )
    return FileEpsilon(EPSILON, "torchvision's default")


def _step_counters(net: mx.gluon.Block, arrays: Arrays) -> Arrays:
    """Make ``num_batches_tracked`` of each live BatchNorm; frozen layers have none."""
    mean_shapes = {f"{layer}.running_mean": () for layer in live_norms(net)}
    counters = {}
    for source_name in source_names(TORCHVISION, mean_shapes).values():
        mean_name = source_name.candidates[0]
        counter_name = mean_name.replace("running_mean", "num_batches_tracked")
        counters[counter_name] = np.zeros((), np.int64)
    return counters


def _used_classes() -> Tuple[int, ...]:
    """List the 0-based foreground rows of a published detector that belong to COCO's 80 classes."""
    return tuple(coco_id - 1 for coco_id in range(1, 91) if coco_id not in UNUSED_COCO_IDS)


TORCHVISION = Codebase(
    name="torchvision",
    rules=_rules,
    ignored=(
        IgnoredTensor(r".*\.num_batches_tracked", "a counter of training steps"),
        IgnoredTensor(r"fc\.(weight|bias)", "the classifier of ImageNet"),
    ),
    detector_part=r"backbone\.fpn\..*|rpn\..*|roi_heads\..*",
    name_hint=r"^(backbone\.body\.|layer1\.0\.bn1\.weight|roi_heads\.box_head\.fc6)",
    epsilon=_epsilon,
    stride_conv={"bn": "conv2", "gn": "conv2"},
    convention="torchvision",
    kept_classes=_used_classes(),
    additions=_step_counters,
    save_endings=(".pth", ".pt", ".safetensors"),
)
