"""Detectron (Caffe2): ImageNet files and detectors, C4 and FPN, with BN* (a bare scale and shift) or GN."""
from typing import List, Tuple

from gluonnorm.conversion.rules import LOC_WITH_BACKGROUND, MASK_WITH_BACKGROUND, Harmless, Rule, Source, Words

LEAVES: Words = {"weight": ("w",), "bias": ("b",), "gamma": ("s",), "beta": ("b",), "running_mean": ("rm",),
                 "running_var": ("riv",)}
LAST_BLOCKS = {2: (2,), 3: (3, 7), 4: (5, 22, 35), 5: (2,)}  # of the stage a pyramid level reads, by depth
BLOCK = r"(?P<block>\d+)"


def trunk_rules() -> List[Rule]:
    """The ResNet. Stage 4 of ours is res5, in a backbone or as the head of C4 detectors; never both."""
    prefix, stage = r"(?:backbone\.){0,2}", r"(?:backbone\.){0,2}layer(?P<stage>\d)\."
    rules = [Rule(prefix + "conv1", ("conv1_{leaf}",)),
             Rule(prefix + "bn1", ("conv1_{norm}_{leaf}", "res_conv1_{norm}_{leaf}"))]
    for place, name in ((stage, "res{stage+1}"), (r"box_head\.stage\.(?:layer4\.)?", "res5")):
        for number, letter in enumerate("abc", 1):
            branch = name + "_{block}_branch2" + letter
            rules += [Rule(f"{place}{BLOCK}\\.conv{number}", (branch + "_{leaf}",)),
                      Rule(f"{place}{BLOCK}\\.bn{number}", (branch + "_{norm}_{leaf}",))]
        branch = name + "_{block}_branch1"
        rules += [Rule(place + BLOCK + r"\.downsample\.0", (branch + "_{leaf}",)),
                  Rule(place + BLOCK + r"\.downsample\.1", (branch + "_{norm}_{leaf}",))]
    return [Rule(rule.ours, rule.theirs, leaves=LEAVES) for rule in rules]


def _pyramid() -> List[Rule]:
    rules = []
    for level, lasts in LAST_BLOCKS.items():
        sums = [f"res{level}_{last}_sum" for last in lasts]
        lateral = [f"fpn_inner_{name}" + ("" if level == 5 else "_lateral") for name in sums]
        for ours, names in ((f"lateral{level}", lateral), (f"output{level}", [f"fpn_{name}" for name in sums])):
            rules += [Rule(rf"backbone\.{ours}\.conv", _each(names, "_{leaf}")),
                      Rule(rf"backbone\.{ours}\.norm", _each(names, "_{norm}_{leaf}"))]
    return rules


def _each(names: List[str], ending: str) -> Tuple[str, ...]:
    return tuple(name + ending for name in names)


DETECTRON = Source(
    name="detectron",
    rules=(
        *trunk_rules(),
        *_pyramid(),
        Rule(r"rpn\.conv", ("conv_rpn_fpn2_{leaf}", "conv_rpn_{leaf}")),
        Rule(r"rpn\.score", ("rpn_cls_logits_fpn2_{leaf}", "rpn_cls_logits_{leaf}")),
        Rule(r"rpn\.loc", ("rpn_bbox_pred_fpn2_{leaf}", "rpn_bbox_pred_{leaf}")),
        Rule(r"box_head\.convs\.(?P<i>\d)\.conv", ("head_conv{i/2+1}_{leaf}",)),
        Rule(r"box_head\.convs\.(?P<i>\d)\.norm", ("head_conv{i/2+1}_{norm}_{leaf}",)),
        Rule(r"box_head\.fc1", ("fc6_{leaf}",)),
        Rule(r"box_head\.fc2", ("fc7_{leaf}",)),
        Rule(r"predictor\.score", ("cls_score_{leaf}",)),
        Rule(r"predictor\.loc", ("bbox_pred_{leaf}",), LOC_WITH_BACKGROUND),
        # Detectron itself looks for the name after "]_" where the one with "_[mask]_" is not there.
        Rule(r"mask_head\.convs\.(?P<i>\d)\.conv",
             ("_[mask]_fcn{i/2+1}_{leaf}", "_mask_fcn{i/2+1}_{leaf}", "fcn{i/2+1}_{leaf}")),
        Rule(r"mask_head\.convs\.(?P<i>\d)\.norm", ("_mask_fcn{i/2+1}_{norm}_{leaf}",)),
        Rule(r"mask_head\.deconv", ("conv5_mask_{leaf}",)),
        Rule(r"mask_head\.score", ("mask_fcn_logits_{leaf}",), MASK_WITH_BACKGROUND),
    ),
    leaves=LEAVES,
    affine=r".*_bn_s",
    harmless=(Harmless(r".+_momentum", "a momentum of the training"),
              Harmless(r"(fc1000|pred)_[wb]", "the classifier of ImageNet"),
              Harmless(r"(conv1|res\d_\d+_branch(1|2[abc]))_b", "a bias of zeros before a norm", zero=True)),
    heads=r"fpn_.*|(conv_)?rpn_.*|head_conv.*|fc[67]_.|cls_score_.|bbox_pred_.|_\[mask\]_.*|_?mask_fcn.*|fcn\d_.|"
          r"conv5_mask_.",
    looks_like=r"^(conv1_w|res2_0_branch2a_w)$",
    stride={"bn": "conv1", "gn": "conv2"},
    stride_certain=False,  # BN* files of other origin may differ
)
