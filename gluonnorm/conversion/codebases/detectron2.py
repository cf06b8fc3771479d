"""Detectron2: ImageNet files and detectors, C4 and FPN, with BN or GN.

Its ImageNet files have its own names, or those of Detectron.
"""

from typing import Dict, List, Tuple

from gluonnorm.conversion.codebase import Codebase, IgnoredTensor
from gluonnorm.conversion.codebases.detectron import DETECTRON, resnet_rules
from gluonnorm.conversion.codebases.detectron import LEAVES as DETECTRON_LEAVES
from gluonnorm.conversion.layouts import BOXES, SCORES_BACKGROUND_LAST
from gluonnorm.conversion.rules import (
    HEAD_BLOCK,
    PYTORCH_LEAVES,
    STAGE_BLOCK,
    Rule,
    with_endings,
)

# The ResNet is under a pyramid, directly in a C4 detector, or alone in an ImageNet file.
RESNET_PREFIXES = ("backbone.bottom_up.", "backbone.", "")
HEAD_PREFIX = "roi_heads."  # of stage 4 as the head of a C4 detector


def _resnet_rules() -> List[Rule]:
    """Make the rules for the ResNet, first in Detectron2's names, then in Detectron's."""
    # One rule serves both, so its templates are filled with the words of both. Some of the
    # resulting names mix the two (res2.0.conv1.w). No file has them, so they are never matched.
    leaves: Dict[str, Tuple[str, ...]] = {}
    for leaf, own_words in PYTORCH_LEAVES.items():
        leaves[leaf] = (*own_words, *DETECTRON_LEAVES[leaf])
    rules = []
    for detectron_rule in resnet_rules():
        own_templates = with_endings(_resnet_layer_names(detectron_rule.layer), ".{leaf}")
        templates = (*own_templates, *detectron_rule.templates)
        rules.append(Rule(detectron_rule.layer, templates, leaves=leaves))
    return rules


def _resnet_layer_names(layer: str) -> Tuple[str, ...]:
    """Name the layer that a pattern of Detectron's table is for, in each place where it may be."""
    own_name = _own_layer_name(layer)
    if layer.startswith(STAGE_BLOCK):
        return with_endings((*RESNET_PREFIXES, HEAD_PREFIX), "res{stage+1}.{block}." + own_name)
    if layer.startswith(HEAD_BLOCK):
        return with_endings((HEAD_PREFIX, *RESNET_PREFIXES), "res5.{block}." + own_name)
    return with_endings(RESNET_PREFIXES, "stem." + own_name)


def _own_layer_name(layer: str) -> str:
    """Translate conv1, bn1 and downsample; a norm is part of the convolution before it."""
    number = layer[-1]
    if layer.endswith(r"downsample\.0"):
        return "shortcut"
    if layer.endswith(r"downsample\.1"):
        return "shortcut.norm"
    if layer.endswith(f"bn{number}"):
        return f"conv{number}.norm"
    return f"conv{number}"


DETECTRON2 = Codebase(
    name="detectron2",
    rules=(
        *_resnet_rules(),
        Rule(
            r"backbone\.(?P<layer>lateral|output)(?P<level>[2-5])\.conv",
            ("backbone.fpn_{layer}{level}.{leaf}",),
        ),
        Rule(
            r"backbone\.(?P<layer>lateral|output)(?P<level>[2-5])\.norm",
            ("backbone.fpn_{layer}{level}.norm.{leaf}",),
        ),
        Rule(r"rpn\.conv", ("proposal_generator.rpn_head.conv.{leaf}",)),
        Rule(r"rpn\.score", ("proposal_generator.rpn_head.objectness_logits.{leaf}",)),
        Rule(r"rpn\.loc", ("proposal_generator.rpn_head.anchor_deltas.{leaf}",)),
        # In the heads of gluonnorm i = 0, 2, 4, 6, since a ReLU follows; in Detectron2 1, 2, 3, 4.
        Rule(r"box_head\.convs\.(?P<i>\d)\.conv", ("roi_heads.box_head.conv{i/2+1}.{leaf}",)),
        Rule(r"box_head\.convs\.(?P<i>\d)\.norm", ("roi_heads.box_head.conv{i/2+1}.norm.{leaf}",)),
        Rule(r"box_head\.(?P<fc>fc[12])", ("roi_heads.box_head.{fc}.{leaf}",)),
        Rule(
            r"predictor\.score",
            ("roi_heads.box_predictor.cls_score.{leaf}",),
            SCORES_BACKGROUND_LAST,
        ),
        Rule(r"predictor\.loc", ("roi_heads.box_predictor.bbox_pred.{leaf}",), BOXES),
        Rule(r"mask_head\.convs\.(?P<i>\d)\.conv", ("roi_heads.mask_head.mask_fcn{i/2+1}.{leaf}",)),
        Rule(
            r"mask_head\.convs\.(?P<i>\d)\.norm",
            ("roi_heads.mask_head.mask_fcn{i/2+1}.norm.{leaf}",),
        ),
        Rule(r"mask_head\.deconv", ("roi_heads.mask_head.deconv.{leaf}",)),
        Rule(r"mask_head\.score", ("roi_heads.mask_head.predictor.{leaf}",)),
    ),
    convention="detectron2",
    norm_words=DETECTRON.norm_words,
    bare_scale=DETECTRON.bare_scale,
    ignored=(
        *DETECTRON.ignored,
        IgnoredTensor(r".*num_batches_tracked", "a counter of training steps"),
        # Old checkpoints store these buffers.
        IgnoredTensor(r"pixel_(mean|std)", "a setting, not a weight"),
        IgnoredTensor(
            r"(proposal_generator\.)?anchor_generator\..*",
            "anchors, which are computed here",
        ),
        IgnoredTensor(r"(stem\.)?(fc|linear)\.(weight|bias)", "the classifier of ImageNet"),
    ),
    detector_part=r"backbone\.fpn_.*|proposal_generator\..*|roi_heads\.(?!res5\.).*",
    name_hint=(
        r"^(backbone\.bottom_up\.|backbone\.stem\.|proposal_generator\.rpn_head|"
        r"stem\.conv1\.|res2\.0\.conv1\.)"
    ),
    # The BN models start from MSRA's ResNets, with the stride in the first 1x1 convolution
    # (STRIDE_IN_1X1).
    stride_conv={"bn": "conv1", "gn": "conv2"},
    stride_certain=False,  # Detectron2's ResNets made from torchvision's have it in the 3x3
)
