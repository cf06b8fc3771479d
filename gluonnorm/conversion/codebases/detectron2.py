"""Detectron2: ImageNet files (its own names or Detectron's) and detectors, C4 and FPN, with BN or GN."""
from typing import List

from gluonnorm.conversion.codebases.detectron import DETECTRON, trunk_rules
from gluonnorm.conversion.rules import LOC, SCORE_LAST, Harmless, Rule, Source

# Where the ResNet stands: under an FPN, alone in a C4 detector, alone in an ImageNet file.
PLACES = ("backbone.bottom_up.", "backbone.", "")


def _trunk() -> List[Rule]:
    """The ResNet in Detectron2's words, or else in Detectron's."""
    old = {rule.ours: rule for rule in trunk_rules()}
    rules = []
    for ours, rule in old.items():
        number = ours[-1]
        if "downsample" in ours:
            layer = "shortcut" if number == "0" else "shortcut.norm"
        else:
            layer = f"conv{number}.norm" if "bn" in ours else f"conv{number}"
        if "stage>" in ours:
            names = [place + "res{stage+1}.{block}." + layer for place in (*PLACES, "roi_heads.")]
        elif r"box_head" in ours:
            names = [place + "res5.{block}." + layer for place in ("roi_heads.", *PLACES)]
        else:
            names = [place + "stem." + layer for place in PLACES]
        # The words of both in one table: no name is made of Detectron2's layers and Detectron's leaves.
        leaves = {leaf: (word, *(rule.leaves or {})[leaf]) for leaf, word in
                  (("weight", "weight"), ("bias", "bias"), ("gamma", "weight"), ("beta", "bias"),
                   ("running_mean", "running_mean"), ("running_var", "running_var"))}
        rules.append(Rule(ours, (*(name + ".{leaf}" for name in names), *rule.theirs), leaves=leaves))
    return rules


DETECTRON2 = Source(
    name="detectron2",
    rules=(
        *_trunk(),
        Rule(r"backbone\.(?P<way>lateral|output)(?P<level>[2-5])\.conv", ("backbone.fpn_{way}{level}.{leaf}",)),
        Rule(r"backbone\.(?P<way>lateral|output)(?P<level>[2-5])\.norm", ("backbone.fpn_{way}{level}.norm.{leaf}",)),
        Rule(r"rpn\.conv", ("proposal_generator.rpn_head.conv.{leaf}",)),
        Rule(r"rpn\.score", ("proposal_generator.rpn_head.objectness_logits.{leaf}",)),
        Rule(r"rpn\.loc", ("proposal_generator.rpn_head.anchor_deltas.{leaf}",)),
        Rule(r"box_head\.convs\.(?P<i>\d)\.conv", ("roi_heads.box_head.conv{i/2+1}.{leaf}",)),
        Rule(r"box_head\.convs\.(?P<i>\d)\.norm", ("roi_heads.box_head.conv{i/2+1}.norm.{leaf}",)),
        Rule(r"box_head\.(?P<fc>fc[12])", ("roi_heads.box_head.{fc}.{leaf}",)),
        Rule(r"predictor\.score", ("roi_heads.box_predictor.cls_score.{leaf}",), SCORE_LAST),
        Rule(r"predictor\.loc", ("roi_heads.box_predictor.bbox_pred.{leaf}",), LOC),
        Rule(r"mask_head\.convs\.(?P<i>\d)\.conv", ("roi_heads.mask_head.mask_fcn{i/2+1}.{leaf}",)),
        Rule(r"mask_head\.convs\.(?P<i>\d)\.norm", ("roi_heads.mask_head.mask_fcn{i/2+1}.norm.{leaf}",)),
        Rule(r"mask_head\.deconv", ("roi_heads.mask_head.deconv.{leaf}",)),
        Rule(r"mask_head\.score", ("roi_heads.mask_head.predictor.{leaf}",)),
    ),
    convention="detectron2",
    geometry={"anchors": "exact", "anchor_order": "size", "roi_aligned": True},
    norms=DETECTRON.norms,
    affine=DETECTRON.affine,
    harmless=(*DETECTRON.harmless,
              Harmless(r".*num_batches_tracked", "a counter of training steps"),
              Harmless(r"pixel_(mean|std)", "a setting, not a weight"),
              Harmless(r"(proposal_generator\.)?anchor_generator\..*", "anchors, which are computed here"),
              Harmless(r"(stem\.)?(fc|linear)\.(weight|bias)", "the classifier of ImageNet")),
    heads=r"backbone\.fpn_.*|proposal_generator\..*|roi_heads\.(?!res5\.).*",
    looks_like=r"^(backbone\.bottom_up\.|backbone\.stem\.|proposal_generator\.rpn_head|stem\.conv1\.|res2\.0\.conv1\.)",
    stride={"bn": "conv1", "gn": "conv2"},
    stride_certain=False,  # its ResNets made from torchvision's have it in the 3x3
)
