"""torchvision: resnet18 to resnet152, Faster and Mask R-CNN with FPN, v1 and v2, nested and (up to 0.12) flat names."""
import os
import re
from typing import List, Sequence, Tuple

from gluonnorm.conversion.network import live_norms
from gluonnorm.conversion.rules import (
    EPSILON,
    LOC_WITH_BACKGROUND,
    MASK_WITH_BACKGROUND,
    Arrays,
    Harmless,
    Rule,
    Shapes,
    Source,
    theirs,
)

import mxnet as mx
import numpy as np

# Layers of a ResNet; the average pooling of v1d makes its shortcut downsample.1 and .2, which torchvision has not.
TRUNK = r"(?P<trunk>conv1|bn1|layer\d\.\d+\.(?:conv\d|bn\d|downsample\.[01]))"
# The published v1 detectors: FrozenBatchNorm2d had no eps when they were trained, and torchvision loads them with 0.
WITHOUT_EPS = ("fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth")
FLAT_NAME = re.compile(r"backbone\.fpn\.inner_blocks\.\d\.(weight|bias)")
UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # of COCO's ids 1..90, no class of its own


def _rules(shapes: Shapes) -> List[Rule]:
    box_convs = sum(re.fullmatch(r"box_head\.convs\.\d\.conv\.weight", name) is not None for name in shapes)
    fc1 = f"roi_heads.box_head.{box_convs + 1}" if box_convs else "roi_heads.box_head.fc6"
    return [
        Rule(r"backbone\.(?:backbone\.)?" + TRUNK, ("backbone.body.{trunk}.{leaf}", "{trunk}.{leaf}")),
        Rule(TRUNK, ("{trunk}.{leaf}", "backbone.body.{trunk}.{leaf}")),
        *_conv_norm(r"backbone\.lateral(?P<i>[2-5])", "backbone.fpn.inner_blocks.{i-2}",
                    "backbone.fpn.inner_blocks.{i-2}"),
        *_conv_norm(r"backbone\.output(?P<i>[2-5])", "backbone.fpn.layer_blocks.{i-2}",
                    "backbone.fpn.layer_blocks.{i-2}"),
        Rule(r"rpn\.conv", ("rpn.head.conv.0.0.{leaf}", "rpn.head.conv.{leaf}")),
        Rule(r"rpn\.conv2", ("rpn.head.conv.1.0.{leaf}",)),
        Rule(r"rpn\.score", ("rpn.head.cls_logits.{leaf}",)),
        Rule(r"rpn\.loc", ("rpn.head.bbox_pred.{leaf}",)),
        *_conv_norm(r"box_head\.convs\.(?P<i>\d)", "roi_heads.box_head.{i/2}"),
        Rule(r"box_head\.fc1", (fc1 + ".{leaf}",)),
        Rule(r"box_head\.fc2", ("roi_heads.box_head.fc7.{leaf}",)),
        Rule(r"predictor\.score", ("roi_heads.box_predictor.cls_score.{leaf}",)),
        Rule(r"predictor\.loc", ("roi_heads.box_predictor.bbox_pred.{leaf}",), LOC_WITH_BACKGROUND),
        *_conv_norm(r"mask_head\.convs\.(?P<i>\d)", "roi_heads.mask_head.{i/2}", "roi_heads.mask_head.mask_fcn{i/2+1}"),
        Rule(r"mask_head\.deconv", ("roi_heads.mask_predictor.conv5_mask.{leaf}",)),
        Rule(r"mask_head\.score", ("roi_heads.mask_predictor.mask_fcn_logits.{leaf}",), MASK_WITH_BACKGROUND),
    ]


def _conv_norm(ours: str, nested: str, *flat: str) -> Tuple[Rule, Rule]:
    """A convolution and the norm after it; the flat names were those of a convolution without one."""
    return (Rule(ours + r"\.conv", (nested + ".0.{leaf}", *(name + ".{leaf}" for name in flat))),
            Rule(ours + r"\.norm", (nested + ".1.{leaf}",)))


def _eps(names: Sequence[str], file_name: str) -> Tuple[float, str]:
    if os.path.basename(file_name) in WITHOUT_EPS:
        return 0.0, "torchvision loads this published file with eps 0"
    if any(FLAT_NAME.fullmatch(name) for name in names) and not any("num_batches" in name for name in names):
        return 0.0, "flat names without counters, as in the published v1 detectors, which torchvision loads with eps 0"
    return EPSILON, "torchvision's default"


def _counters(net: mx.gluon.Block, arrays: Arrays) -> Arrays:
    """``num_batches_tracked`` of live BatchNorm; frozen layers have none."""
    means = theirs(TORCHVISION, {f"{layer}.running_mean": () for layer in live_norms(net)})
    return {named.names[0].replace("running_mean", "num_batches_tracked"): np.zeros((), np.int64)
            for named in means.values()}


TORCHVISION = Source(
    name="torchvision",
    rules=_rules,
    harmless=(Harmless(r".*\.num_batches_tracked", "a counter of training steps"),
              Harmless(r"fc\.(weight|bias)", "the classifier of ImageNet")),
    heads=r"backbone\.fpn\..*|rpn\..*|roi_heads\..*",
    looks_like=r"^(backbone\.body\.|layer1\.0\.bn1\.weight|roi_heads\.box_head\.fc6)",
    eps=_eps,
    stride={"bn": "conv2", "gn": "conv2"},
    convention="torchvision",
    geometry={"anchors": "rounded", "anchor_order": "ratio", "roi_aligned": False},
    reduced=tuple(i - 1 for i in range(1, 91) if i not in UNUSED_IDS),
    extras=_counters,
    saves=(".pth", ".pt", ".safetensors"),
)
