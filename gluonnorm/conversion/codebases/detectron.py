"""Detectron (Caffe2): ImageNet files and detectors, C4 and FPN, with BN* or GN.

BN* is a bare scale and shift, into which the statistics of a BatchNorm have been folded.

Sources: the files of Detectron's model zoo, and detectron/modeling/ (ResNet.py, FPN.py,
mask_rcnn_heads.py).
"""

from typing import List

from gluonnorm.conversion.codebase import Codebase, IgnoredTensor
from gluonnorm.conversion.layouts import BOXES_WITH_BACKGROUND, MASKS_WITH_BACKGROUND
from gluonnorm.conversion.rules import (
    HEAD_BLOCK,
    RESNET_PREFIX,
    STAGE_BLOCK,
    LeafNames,
    Rule,
    with_endings,
)

# A norm's shift is called like the bias of a convolution; "riv" is the running variance in Caffe2.
LEAVES: LeafNames = {
    "weight": ("w",),
    "bias": ("b",),
    "gamma": ("s",),
    "beta": ("b",),
    "running_mean": ("rm",),
    "running_var": ("riv",),
}
# A layer of the pyramid is named after the last block of the stage that it reads. Its number
# depends on the depth: ResNet-50, then 101 (stage 4 ends with block 22), then 152 (stages 3 and 4
# end with blocks 7 and 35).
LAST_BLOCKS = {2: (2,), 3: (3, 7), 4: (5, 22, 35), 5: (2,)}

BRANCH_LETTERS = {1: "a", 2: "b", 3: "c"}


def resnet_rules() -> List[Rule]:
    """Make the rules of the ResNet.

    The ImageNet files of Detectron2 have these names as well.

    Returns
    -------
    list of Rule
        Each with Detectron's words for the leaves.
    """
    rules = [
        Rule(RESNET_PREFIX + "conv1", ("conv1_{leaf}",), leaves=LEAVES),
        # With GN the norm is called conv1_gn, with BN* res_conv1_bn.
        Rule(
            RESNET_PREFIX + "bn1", ("conv1_{norm}_{leaf}", "res_conv1_{norm}_{leaf}"), leaves=LEAVES
        ),
    ]
    # Detectron calls the fourth stage res5. It is in the backbone or the head, never in both.
    rules += _block_rules(STAGE_BLOCK, "res{stage+1}_{block}")
    rules += _block_rules(HEAD_BLOCK, "res5_{block}")
    return rules


def _block_rules(layer: str, name: str) -> List[Rule]:
    """Make the rules for a bottleneck block: branch2a, 2b and 2c, and the shortcut branch1."""
    rules = []
    for number, letter in BRANCH_LETTERS.items():
        branch = f"{name}_branch2{letter}"
        rules += [
            Rule(rf"{layer}conv{number}", (branch + "_{leaf}",), leaves=LEAVES),
            Rule(rf"{layer}bn{number}", (branch + "_{norm}_{leaf}",), leaves=LEAVES),
        ]
    shortcut = f"{name}_branch1"
    rules += [
        Rule(layer + r"downsample\.0", (shortcut + "_{leaf}",), leaves=LEAVES),
        Rule(layer + r"downsample\.1", (shortcut + "_{norm}_{leaf}",), leaves=LEAVES),
    ]
    return rules


def _pyramid_rules() -> List[Rule]:
    """Make the rules for the lateral and output convolutions of the levels P2 to P5."""
    rules = []
    for level, last_blocks in LAST_BLOCKS.items():
        # The coarsest lateral convolution adds to nothing, so its name has no "_lateral".
        ending = "" if level == 5 else "_lateral"
        lateral_names = [f"fpn_inner_res{level}_{block}_sum{ending}" for block in last_blocks]
        output_names = [f"fpn_res{level}_{block}_sum" for block in last_blocks]
        rules += _conv_and_norm(rf"backbone\.lateral{level}", lateral_names)
        rules += _conv_and_norm(rf"backbone\.output{level}", output_names)
    return rules


def _conv_and_norm(layer: str, names: List[str]) -> List[Rule]:
    """Make the rules for a convolution of the pyramid and the norm after it."""
    return [
        Rule(layer + r"\.conv", with_endings(names, "_{leaf}")),
        Rule(layer + r"\.norm", with_endings(names, "_{norm}_{leaf}")),
    ]


DETECTRON = Codebase(
    name="detectron",
    rules=(
        *resnet_rules(),
        *_pyramid_rules(),
        # The RPN of a pyramid is stored once, under the name of its finest level, 2.
        Rule(r"rpn\.conv", ("conv_rpn_fpn2_{leaf}", "conv_rpn_{leaf}")),
        Rule(r"rpn\.score", ("rpn_cls_logits_fpn2_{leaf}", "rpn_cls_logits_{leaf}")),
        Rule(r"rpn\.loc", ("rpn_bbox_pred_fpn2_{leaf}", "rpn_bbox_pred_{leaf}")),
        # In the heads of gluonnorm i = 0, 2, 4, 6, since a ReLU follows; in Detectron 1, 2, 3, 4.
        Rule(r"box_head\.convs\.(?P<i>\d)\.conv", ("head_conv{i/2+1}_{leaf}",)),
        Rule(r"box_head\.convs\.(?P<i>\d)\.norm", ("head_conv{i/2+1}_{norm}_{leaf}",)),
        Rule(r"box_head\.fc1", ("fc6_{leaf}",)),
        Rule(r"box_head\.fc2", ("fc7_{leaf}",)),
        Rule(r"predictor\.score", ("cls_score_{leaf}",)),
        Rule(r"predictor\.loc", ("bbox_pred_{leaf}",), BOXES_WITH_BACKGROUND),
        # BN* has brackets, GN has none. If a name with "]_" is missing, Detectron takes the name
        # after it (detectron/utils/net.py), so files with the third form exist.
        Rule(
            r"mask_head\.convs\.(?P<i>\d)\.conv",
            ("_[mask]_fcn{i/2+1}_{leaf}", "_mask_fcn{i/2+1}_{leaf}", "fcn{i/2+1}_{leaf}"),
        ),
        Rule(r"mask_head\.convs\.(?P<i>\d)\.norm", ("_mask_fcn{i/2+1}_{norm}_{leaf}",)),
        Rule(r"mask_head\.deconv", ("conv5_mask_{leaf}",)),
        Rule(r"mask_head\.score", ("mask_fcn_logits_{leaf}",), MASKS_WITH_BACKGROUND),
    ),
    leaves=LEAVES,
    bare_scale=r".*_bn_s",
    ignored=(
        # Training checkpoints keep the momentum of the optimizer and unused blobs of the file they
        # started from.
        IgnoredTensor(r".+_momentum", "a momentum of the training"),
        IgnoredTensor(r"(fc1000|pred)_[wb]", "the classifier of ImageNet"),
        IgnoredTensor(
            r"(conv1|res\d_\d+_branch(1|2[abc]))_b",
            "a bias of zeros before a norm",
            only_if_zero=True,
        ),
    ),
    detector_part=(
        r"fpn_.*|(conv_)?rpn_.*|head_conv.*|fc[67]_.|cls_score_.|bbox_pred_.|"
        r"_\[mask\]_.*|_?mask_fcn.*|fcn\d_.|conv5_mask_."
    ),
    name_hint=r"^(conv1_w|res2_0_branch2a_w)$",
    # MSRA's ResNets, which the BN* models start from, have the stride in the first 1x1 convolution
    # (STRIDE_1X1).
    stride_conv={"bn": "conv1", "gn": "conv2"},
    stride_certain=False,  # BN* files of another origin may have it in the 3x3
    convention="detectron",
)
