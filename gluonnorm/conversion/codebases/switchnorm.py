"""SwitchNorm_Detection and Switchable-Normalization (PyTorch): SN, GN and BN*, C4 and FPN, Faster and Mask."""
from typing import List

from gluonnorm.conversion.rules import (
    FLAT,
    LOC_WITH_BACKGROUND,
    MASK_WITH_BACKGROUND,
    TORCH_LEAVES,
    Harmless,
    Rule,
    Shapes,
    Source,
)

# Where the ResNet stands: under an FPN, alone in a C4 detector, in the classifiers' files.
STEMS = ("Conv_Body.conv_body.res1.", "Conv_Body.res1.", "")
BLOCKS = ("Conv_Body.conv_body.res{stage+1}.{block}.", "Conv_Body.res{stage+1}.{block}.", "layer{stage}.{block}.",
          "Box_Head.res{stage+1}.{block}.")
# Their own converter puts stage 4 under Conv_Body even for C4 detectors, which have it under Box_Head.
RES5 = ("Box_Head.res5.{block}.", "Conv_Body.res5.{block}.", "layer4.{block}.")


def _rules(shapes: Shapes) -> List[Rule]:
    prefix = r"(?:backbone\.){0,2}"
    block = prefix + r"layer(?P<stage>\d)\.(?P<block>\d+)\."
    head = r"box_head\.stage\.(?:layer4\.)?(?P<block>\d+)\."
    mask_norm = "mask_head.convs.0.norm.gamma" in shapes  # conv, norm, relu are numbered through; or conv, relu
    rules = [Rule(prefix + r"conv1", _each(STEMS, "conv1.{leaf}")),
             Rule(prefix + r"bn1", _each(STEMS, "{norm}1.{leaf}"), FLAT)]
    for ours, names in ((block, BLOCKS), (head, RES5)):
        rules += [Rule(ours + r"(?P<layer>conv\d|downsample\.0)", _each(names, "{layer}.{leaf}")),
                  Rule(ours + r"bn(?P<number>\d)", _each(names, "{norm}{number}.{leaf}"), FLAT),
                  Rule(ours + r"downsample\.1", _each(names, "downsample.1.{leaf}"), FLAT)]
    rules += _conv_norm("lateral5", "Conv_Body.conv_top")
    for i, level in enumerate((4, 3, 2)):  # from coarse to fine
        rules += _conv_norm(f"lateral{level}", f"Conv_Body.topdown_lateral_modules.{i}.conv_lateral")
    for i, level in enumerate((5, 4, 3, 2)):
        rules += _conv_norm(f"output{level}", f"Conv_Body.posthoc_modules.{i}")
    return rules + [
        Rule(r"rpn\.conv", ("RPN.FPN_RPN_conv.{leaf}", "RPN.RPN_conv.{leaf}")),
        Rule(r"rpn\.score", ("RPN.FPN_RPN_cls_score.{leaf}", "RPN.RPN_cls_score.{leaf}")),
        Rule(r"rpn\.loc", ("RPN.FPN_RPN_bbox_pred.{leaf}", "RPN.RPN_bbox_pred.{leaf}")),
        Rule(r"box_head\.convs\.(?P<i>\d)\.conv", ("Box_Head.convs.{i/2*3}.{leaf}",)),
        Rule(r"box_head\.convs\.(?P<i>\d)\.norm", ("Box_Head.convs.{i/2*3+1}.{leaf}",), FLAT),
        Rule(r"box_head\.fc1", ("Box_Head.fc1.{leaf}", "Box_Head.fc.{leaf}")),
        Rule(r"box_head\.fc2", ("Box_Head.fc2.{leaf}",)),
        Rule(r"predictor\.score", ("Box_Outs.cls_score.{leaf}",)),
        Rule(r"predictor\.loc", ("Box_Outs.bbox_pred.{leaf}",), LOC_WITH_BACKGROUND),
        Rule(r"mask_head\.convs\.(?P<i>\d)\.conv",
             ("Mask_Head.conv_fcn.{i/2*3}.{leaf}" if mask_norm else "Mask_Head.conv_fcn.{i}.{leaf}",)),
        Rule(r"mask_head\.convs\.(?P<i>\d)\.norm", ("Mask_Head.conv_fcn.{i/2*3+1}.{leaf}",), FLAT),
        Rule(r"mask_head\.deconv", ("Mask_Head.upconv.{leaf}", "Mask_Head.upconv5.{leaf}")),
        Rule(r"mask_head\.score", ("Mask_Outs.classify.{leaf}",), MASK_WITH_BACKGROUND),
    ]


def _each(places, ending: str):
    return tuple(place + ending for place in places)


def _conv_norm(ours: str, name: str) -> List[Rule]:
    """A layer of the pyramid; without a norm the convolution has no number."""
    return [Rule(rf"backbone\.{ours}\.conv", (name + ".0.{leaf}", name + ".{leaf}")),
            Rule(rf"backbone\.{ours}\.norm", (name + ".1.{leaf}",), FLAT)]


SWITCHNORM = Source(
    name="switchnorm",
    rules=_rules,
    leaves={**TORCH_LEAVES, "mean_weight": ("mean_weight",), "var_weight": ("var_weight",)},
    affine=r"(.*\.)?(bn\d|downsample\.1)\.weight",
    harmless=(Harmless(r"(Conv_Body\.(conv_body\.)?classifier|fc)\.(weight|bias)", "the classifier of ImageNet"),
              Harmless(r".*\.num_batches_tracked", "a counter of training steps"),
              Harmless(r".*\.batch_(mean|var)", "an unfinished average that nothing reads")),
    heads=r"Conv_Body\.(conv_top|topdown_lateral_modules|posthoc_modules)\..*|RPN\..*|Box_Head\.(?!res5\.).*|"
          r"Box_Outs\..*|Mask_(Head|Outs)\..*",
    looks_like=r"^Conv_Body\.|^(Box|Mask)_Outs\.|(^|\.)sn\d\.mean_weight$",
    stride={"sn": "conv2"},
)
