"""SwitchNorm_Detection and Switchable-Normalization (PyTorch): SN, GN and BN*, C4 and FPN.

Sources: lib/modeling/ (ResNet.py, FPN.py, fast_rcnn_heads.py, mask_rcnn_heads.py) of
SwitchNorm_Detection, and the classifiers of Switchable-Normalization.
"""

from typing import List, Tuple

from gluonnorm.conversion.codebase import Codebase, IgnoredTensor
from gluonnorm.conversion.layouts import BOXES_WITH_BACKGROUND, FLATTENED, MASKS_WITH_BACKGROUND
from gluonnorm.conversion.rules import (
    HEAD_BLOCK,
    PYTORCH_LEAVES,
    RESNET_PREFIX,
    STAGE_BLOCK,
    Rule,
    Shapes,
    with_endings,
)

# The ResNet is under a pyramid, directly in a C4 detector, or alone in the file of a classifier.
STEM_PREFIXES = ("Conv_Body.conv_body.res1.", "Conv_Body.res1.", "")
BLOCK_PREFIXES = (
    "Conv_Body.conv_body.res{stage+1}.{block}.",
    "Conv_Body.res{stage+1}.{block}.",
    "layer{stage}.{block}.",
    "Box_Head.res{stage+1}.{block}.",
)
# C4 detectors have stage 4 under Box_Head. SwitchNorm_Detection's converter of classifiers puts it
# under Conv_Body even for them.
HEAD_BLOCK_PREFIXES = ("Box_Head.res5.{block}.", "Conv_Body.res5.{block}.", "layer4.{block}.")


def _rules(shapes: Shapes) -> List[Rule]:
    """Make the table of names; the numbers of the mask convolutions depend on their norms."""
    # A head is a sequence of convolution, norm and ReLU, or of convolution and ReLU. gluonnorm
    # always counts a convolution with its norm as one, then the ReLU: hence i/2*3, or i.
    has_mask_norms = "mask_head.convs.0.norm.gamma" in shapes
    mask_position = "{i/2*3}" if has_mask_norms else "{i}"
    return [
        Rule(RESNET_PREFIX + "conv1", with_endings(STEM_PREFIXES, "conv1.{leaf}")),
        Rule(RESNET_PREFIX + "bn1", with_endings(STEM_PREFIXES, "{norm}1.{leaf}"), FLATTENED),
        *_block_rules(STAGE_BLOCK, BLOCK_PREFIXES),
        *_block_rules(HEAD_BLOCK, HEAD_BLOCK_PREFIXES),
        *_pyramid_rules(),
        Rule(r"rpn\.conv", ("RPN.FPN_RPN_conv.{leaf}", "RPN.RPN_conv.{leaf}")),
        Rule(r"rpn\.score", ("RPN.FPN_RPN_cls_score.{leaf}", "RPN.RPN_cls_score.{leaf}")),
        Rule(r"rpn\.loc", ("RPN.FPN_RPN_bbox_pred.{leaf}", "RPN.RPN_bbox_pred.{leaf}")),
        Rule(r"box_head\.convs\.(?P<i>\d)\.conv", ("Box_Head.convs.{i/2*3}.{leaf}",)),
        Rule(r"box_head\.convs\.(?P<i>\d)\.norm", ("Box_Head.convs.{i/2*3+1}.{leaf}",), FLATTENED),
        # The head of two linear layers calls the first one fc1, the head with convolutions calls
        # its only one fc.
        Rule(r"box_head\.fc1", ("Box_Head.fc1.{leaf}", "Box_Head.fc.{leaf}")),
        Rule(r"box_head\.fc2", ("Box_Head.fc2.{leaf}",)),
        Rule(r"predictor\.score", ("Box_Outs.cls_score.{leaf}",)),
        Rule(r"predictor\.loc", ("Box_Outs.bbox_pred.{leaf}",), BOXES_WITH_BACKGROUND),
        Rule(
            r"mask_head\.convs\.(?P<i>\d)\.conv",
            (f"Mask_Head.conv_fcn.{mask_position}.{{leaf}}",),
        ),
        Rule(
            r"mask_head\.convs\.(?P<i>\d)\.norm",
            ("Mask_Head.conv_fcn.{i/2*3+1}.{leaf}",),
            FLATTENED,
        ),
        Rule(r"mask_head\.deconv", ("Mask_Head.upconv.{leaf}", "Mask_Head.upconv5.{leaf}")),
        Rule(r"mask_head\.score", ("Mask_Outs.classify.{leaf}",), MASKS_WITH_BACKGROUND),
    ]


def _block_rules(layer: str, prefixes: Tuple[str, ...]) -> List[Rule]:
    """Make the rules for the layers of a residual block."""
    return [
        Rule(
            layer + r"(?P<layer>conv\d|downsample\.0)",
            with_endings(prefixes, "{layer}.{leaf}"),
        ),
        Rule(
            layer + r"bn(?P<number>\d)",
            with_endings(prefixes, "{norm}{number}.{leaf}"),
            FLATTENED,
        ),
        Rule(
            layer + r"downsample\.1",
            with_endings(prefixes, "downsample.1.{leaf}"),
            FLATTENED,
        ),
    ]


def _pyramid_rules() -> List[Rule]:
    """Make the rules for the pyramid, which is numbered from coarse to fine."""
    rules = _conv_and_norm("lateral5", "Conv_Body.conv_top")
    for index, level in enumerate((4, 3, 2)):
        name = f"Conv_Body.topdown_lateral_modules.{index}.conv_lateral"
        rules += _conv_and_norm(f"lateral{level}", name)
    for index, level in enumerate((5, 4, 3, 2)):
        rules += _conv_and_norm(f"output{level}", f"Conv_Body.posthoc_modules.{index}")
    return rules


def _conv_and_norm(layer: str, name: str) -> List[Rule]:
    """Make the rules for a convolution and the norm after it; without a norm it has no number."""
    return [
        Rule(rf"backbone\.{layer}\.conv", (name + ".0.{leaf}", name + ".{leaf}")),
        Rule(rf"backbone\.{layer}\.norm", (name + ".1.{leaf}",), FLATTENED),
    ]


SWITCHNORM = Codebase(
    name="switchnorm",
    rules=_rules,
    leaves={
        **PYTORCH_LEAVES,
        "mean_weight": ("mean_weight",),
        "var_weight": ("var_weight",),
    },
    # AffineChannel2d stores a scale and a shift in place of BatchNorm.
    bare_scale=r"(.*\.)?(bn\d|downsample\.1)\.weight",
    ignored=(
        IgnoredTensor(
            r"(Conv_Body\.(conv_body\.)?classifier|fc)\.(weight|bias)",
            "the classifier of ImageNet",
        ),
        IgnoredTensor(r".*\.num_batches_tracked", "a counter of training steps"),
        # Both heads of a C4 detector run the same stage (SHARE_RES5), and PyTorch stores it twice.
        IgnoredTensor(
            r"Mask_Head\.(res5\..+)",
            "the last stage, which the heads share",
            repeats=r"Box_Head.\1",
        ),
        IgnoredTensor(r".*\.batch_(mean|var)", "an unfinished average that nothing reads"),
    ),
    detector_part=(
        r"Conv_Body\.(conv_top|topdown_lateral_modules|posthoc_modules)\..*|RPN\..*|"
        r"Box_Head\.(?!res5\.).*|Box_Outs\..*|Mask_(Head|Outs)\..*"
    ),
    name_hint=r"^Conv_Body\.|^(Box|Mask)_Outs\.|(^|\.)sn\d\.mean_weight$",
    stride_conv={"sn": "conv2"},
    convention="detectron",
)
