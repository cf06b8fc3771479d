"""Every row of Detectron2, Detectron and SwitchNorm_Detection has its configuration file's values.

``reference/codebase_settings.json`` holds what the codebases' configuration files say, with their
base files and the defaults of their programs: Detectron2 at 02b5c4e2, Detectron at 04155a0,
SwitchNorm_Detection at ab68486. "common" is the most frequent value, "files" has the exceptions.
"""

import json
import math
from pathlib import Path

from gluonnorm.rcnn import DetectorConfig
from model_zoo.catalogue import MODELS

import pytest

FACTS_FILE = Path(__file__).resolve().parent.parent / "reference" / "codebase_settings.json"
FACTS = json.loads(FACTS_FILE.read_text(encoding="utf-8"))
DETECTRON_NORMS = {
    "bottleneck_transformation": "frozen_bn",
    "bottleneck_gn_transformation": "gn",
    "bottleneck_sn_transformation": "sn",
}
DETECTRON2_NORMS = {"FrozenBN": "frozen_bn", "GN": "gn", "SyncBN": "sync_bn"}


def settings_of(codebase, name):
    """The values of one configuration file by their dotted names."""
    facts = FACTS[codebase]
    return {**facts["common"], **facts["files"][name]}


def names_of(codebase):
    return sorted(FACTS[codebase]["files"])


def rgb(triple, order):
    """Turn a triple in the order of the file into one in RGB."""
    return tuple(triple) if order == "RGB" else tuple(reversed(triple))


def assert_row(name, architecture, settings):
    """Compare a row with the architecture and the settings that the file asks for."""
    model = MODELS[name]
    config = DetectorConfig(**model.settings)
    assert {field: getattr(model, field) for field in architecture} == architecture
    actual = {field: getattr(config, field) for field in settings}
    assert actual == settings


@pytest.mark.parametrize("name", names_of("detectron2"))
def test_rows_of_detectron2(name):
    facts = settings_of("detectron2", name)
    has_pyramid = facts["MODEL.BACKBONE.NAME"] == "build_resnet_fpn_backbone"
    has_masks = facts["MODEL.MASK_ON"]
    norm = DETECTRON2_NORMS[facts["MODEL.RESNETS.NORM"]]
    head_norms = ["MODEL.FPN.NORM", "MODEL.ROI_BOX_HEAD.NORM", "MODEL.ROI_MASK_HEAD.NORM"]
    has_head_norm = facts["MODEL.FPN.NORM"] != ""
    if has_head_norm:
        assert {facts[key] for key in head_norms} == {facts["MODEL.RESNETS.NORM"]}
    else:
        assert {facts[key] for key in head_norms} == {""}
    variant = "v1a" if facts["MODEL.RESNETS.STRIDE_IN_1X1"] else "v1b"
    convs = facts["MODEL.ROI_BOX_HEAD.NUM_CONV"]
    head = f"{facts['MODEL.ROI_BOX_HEAD.NUM_FC']}fc"
    assert facts["MODEL.ROI_HEADS.NUM_CLASSES"] == len(MODELS[name].classes)
    architecture = {
        "backbone": f"resnet{facts['MODEL.RESNETS.DEPTH']}_{variant}",
        "neck": "fpn" if has_pyramid else "c4",
        "head": (f"{convs}conv{head}" if convs else head) if has_pyramid else "res5",
        "norm": norm,
        "norm_in_heads": has_head_norm,
        "mask_convs": facts["MODEL.ROI_MASK_HEAD.NUM_CONV"] if has_masks else None,
        "fpn_extra": "pool",
    }
    order = facts["INPUT.FORMAT"]
    frozen = facts["MODEL.BACKBONE.FREEZE_AT"]
    assert frozen in (0, 2) and (facts["MODEL.WEIGHTS"] == "") == (frozen == 0)
    negative, positive = facts["MODEL.RPN.IOU_THRESHOLDS"]
    settings = {
        "order": order,
        "mean": rgb(facts["MODEL.PIXEL_MEAN"], order),
        "std": rgb(facts["MODEL.PIXEL_STD"], order),
        "short": tuple(facts["INPUT.MIN_SIZE_TRAIN"]),
        "max_size": facts["INPUT.MAX_SIZE_TEST"],
        "multiple": 32 if has_pyramid else 1,
        # None freezes the stem and the first stage, if weights were loaded.
        "freeze_at": None if frozen == 2 else 0,
        "fpn_channels": facts["MODEL.FPN.OUT_CHANNELS"],
        "anchor_sizes": tuple(map(tuple, facts["MODEL.ANCHOR_GENERATOR.SIZES"])),
        "anchor_ratios": tuple(facts["MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS"][0]),
        "rpn_channels": 256 if has_pyramid else 1024,  # -1: as many as its input
        "rpn_min_size": facts["MODEL.PROPOSAL_GENERATOR.MIN_SIZE"],
        "rpn_train_pre_nms": facts["MODEL.RPN.PRE_NMS_TOPK_TRAIN"],
        "rpn_train_post_nms": facts["MODEL.RPN.POST_NMS_TOPK_TRAIN"],
        "rpn_test_pre_nms": facts["MODEL.RPN.PRE_NMS_TOPK_TEST"],
        "rpn_test_post_nms": facts["MODEL.RPN.POST_NMS_TOPK_TEST"],
        "rpn_nms_thresh": facts["MODEL.RPN.NMS_THRESH"],
        "rpn_num_sample": facts["MODEL.RPN.BATCH_SIZE_PER_IMAGE"],
        "rpn_pos_iou_thresh": positive,
        "rpn_neg_iou_thresh": negative,
        "rpn_pos_ratio": facts["MODEL.RPN.POSITIVE_FRACTION"],
        "roi_size": facts["MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION"],
        "roi_sample_ratio": facts["MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO"],
        "mask_roi_size": facts["MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION"],
        "mask_channels": facts["MODEL.ROI_MASK_HEAD.CONV_DIM"],
        "num_sample": facts["MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE"],
        "pos_iou_thresh": facts["MODEL.ROI_HEADS.IOU_THRESHOLDS"][0],
        "pos_ratio": facts["MODEL.ROI_HEADS.POSITIVE_FRACTION"],
        "box_stds": inverse(facts["MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS"]),
        "nms_thresh": facts["MODEL.ROI_HEADS.NMS_THRESH_TEST"],
        "score_thresh": facts["MODEL.ROI_HEADS.SCORE_THRESH_TEST"],
        "max_detections": facts["TEST.DETECTIONS_PER_IMAGE"],
    }
    assert_row(name, architecture, settings)
    config = DetectorConfig(**MODELS[name].settings)
    assert config.short[-1] == facts["INPUT.MIN_SIZE_TEST"]
    assert config.convention.roi_aligned == (
        facts["MODEL.ROI_BOX_HEAD.POOLER_TYPE"] == "ROIAlignV2"
    )
    # A smooth L1 loss needs a beta above 0; with this one it is the absolute difference.
    assert facts["MODEL.RPN.SMOOTH_L1_BETA"] == facts["MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA"] == 0
    assert config.rpn_smoothl1_beta == config.rcnn_smoothl1_beta <= 1e-5


def inverse(weights):
    """The weights of box deltas as the standard deviations of this package."""
    return tuple(1 / weight for weight in weights)


def detectron_norm(facts):
    """The norm of a configuration of Detectron or SwitchNorm_Detection."""
    norm = DETECTRON_NORMS[facts["RESNETS.TRANS_FUNC"]]
    if norm != "sn":
        return norm
    uses_batches = {facts["RESNETS.SN.USE_BN"]}
    if facts["FPN.FPN_ON"]:
        uses_batches.add(facts["FPN.SN.USE_BN"])
    if facts["FAST_RCNN.ROI_BOX_HEAD"].endswith("_sn_head"):
        uses_batches.add(facts["FAST_RCNN.SN.USE_BN"])
    if facts["MODEL.MASK_ON"]:
        uses_batches.add(facts["MRCNN.SN.USE_BN"])
    assert len(uses_batches) == 1
    return "sn" if uses_batches == {True} else "sn_nobn"


def detectron_input(facts):
    """Order, mean and standard deviation in RGB and 0..255."""
    if facts.get("PIXEL_ORDER"):
        mean = tuple(255 * value for value in facts["PIXEL_MEANS"])
        std = tuple(255 * value for value in facts["PIXEL_VARS"])
        return "RGB", mean, std
    mean = facts["PIXEL_MEANS"]
    while isinstance(mean[0], list):  # Detectron writes (1, 1, 3)
        mean = mean[0]
    return "BGR", rgb(mean, "BGR"), (1.0, 1.0, 1.0)


def detectron_head(facts):
    """The box head of a configuration file."""
    head = facts["FAST_RCNN.ROI_BOX_HEAD"]
    if "roi_conv5_head" in head:
        return "res5"
    if "Xconv1fc" in head:
        return f"{facts['FAST_RCNN.NUM_STACKED_CONVS']}conv1fc"
    assert "roi_2mlp_head" in head
    return "2fc"


MASK_CONVS = {"v0upshare": 0, "v1up4convs": 4, "v1up4convs_gn": 4, "v1up4convs_sn": 4}
NAMES = [
    (codebase, name) for codebase in ("detectron", "switchnorm") for name in names_of(codebase)
]


@pytest.mark.parametrize("codebase, name", NAMES, ids=[name for _, name in NAMES])
def test_rows_of_detectron_and_switchnorm_detection(codebase, name):
    facts = settings_of(codebase, name)
    has_pyramid = facts["FPN.FPN_ON"]
    has_masks = facts["MODEL.MASK_ON"]
    depth = 101 if "ResNet101" in facts["MODEL.CONV_BODY"] else 50
    variant = "v1a" if facts["RESNETS.STRIDE_1X1"] else "v1b"
    norm = detectron_norm(facts)
    has_head_norm = has_pyramid and norm != "frozen_bn"
    if has_pyramid:
        uses_norm = facts["FPN.USE_GN"] or facts.get("FPN.USE_SN", False)
        assert uses_norm == has_head_norm
    mask_head = facts["MRCNN.ROI_MASK_HEAD"].rpartition("fcn_head_")[2]
    architecture = {
        "backbone": f"resnet{depth}_{variant}",
        "neck": "fpn" if has_pyramid else "c4",
        "head": detectron_head(facts),
        "norm": norm,
        "norm_in_heads": has_head_norm,
        "mask_convs": MASK_CONVS[mask_head] if has_masks else None,
        "fpn_extra": "pool",
    }
    order, mean, std = detectron_input(facts)
    sizes = (tuple(facts["RPN.SIZES"]),)
    ratios = facts["RPN.ASPECT_RATIOS"]
    if has_pyramid:
        levels = range(facts["FPN.RPN_MIN_LEVEL"], facts["FPN.RPN_MAX_LEVEL"] + 1)
        start = facts["FPN.RPN_ANCHOR_START_SIZE"]
        sizes = tuple((start * 2**index,) for index, _ in enumerate(levels))
        ratios = facts["FPN.RPN_ASPECT_RATIOS"]
    frozen = facts["RESNETS.FREEZE_AT"] if codebase == "switchnorm" else facts["TRAIN.FREEZE_AT"]
    # Both files say 0. Detectron's program takes at least one pixel of the photo all the same
    # (``_filter_boxes`` in generate_proposals.py), SwitchNorm_Detection's takes any.
    assert facts["TEST.RPN_MIN_SIZE"] == facts["TRAIN.RPN_MIN_SIZE"] == 0
    settings = {
        "order": order,
        "mean": pytest.approx(mean),
        "std": pytest.approx(std),
        "short": tuple(facts["TRAIN.SCALES"]),
        "max_size": facts["TEST.MAX_SIZE"],
        "multiple": facts["FPN.COARSEST_STRIDE"] if has_pyramid else 1,
        "freeze_at": None if frozen == 2 else frozen,
        "fpn_channels": facts["FPN.DIM"],
        "anchor_sizes": sizes,
        "anchor_ratios": tuple(ratios),
        "rpn_channels": 256 if has_pyramid else 1024,  # as many as its input
        "rpn_min_size": 1.0 if codebase == "detectron" else 0.0,
        "rpn_train_pre_nms": facts["TRAIN.RPN_PRE_NMS_TOP_N"],
        "rpn_train_post_nms": facts["TRAIN.RPN_POST_NMS_TOP_N"],
        "rpn_test_pre_nms": facts["TEST.RPN_PRE_NMS_TOP_N"],
        "rpn_test_post_nms": facts["TEST.RPN_POST_NMS_TOP_N"],
        "rpn_nms_thresh": facts["TEST.RPN_NMS_THRESH"],
        "rpn_num_sample": facts["TRAIN.RPN_BATCH_SIZE_PER_IM"],
        "rpn_pos_iou_thresh": facts["TRAIN.RPN_POSITIVE_OVERLAP"],
        "rpn_neg_iou_thresh": facts["TRAIN.RPN_NEGATIVE_OVERLAP"],
        "rpn_pos_ratio": facts["TRAIN.RPN_FG_FRACTION"],
        "roi_size": facts["FAST_RCNN.ROI_XFORM_RESOLUTION"],
        "roi_sample_ratio": facts["FAST_RCNN.ROI_XFORM_SAMPLING_RATIO"],
        "num_sample": facts["TRAIN.BATCH_SIZE_PER_IM"],
        "pos_iou_thresh": facts["TRAIN.FG_THRESH"],
        "pos_ratio": facts["TRAIN.FG_FRACTION"],
        "box_stds": inverse(facts["MODEL.BBOX_REG_WEIGHTS"]),
        "delta_clip": math.log(1000 / 16),
        "nms_thresh": facts["TEST.NMS"],
        "score_thresh": facts["TEST.SCORE_THRESH"],
        "max_detections": facts["TEST.DETECTIONS_PER_IM"],
    }
    if has_masks:
        settings["mask_roi_size"] = facts["MRCNN.ROI_XFORM_RESOLUTION"]
        settings["mask_channels"] = facts["MRCNN.DIM_REDUCED"]
        sampling = facts["MRCNN.ROI_XFORM_SAMPLING_RATIO"]
        assert sampling == facts["FAST_RCNN.ROI_XFORM_SAMPLING_RATIO"]
    assert_row(name, architecture, settings)
    assert facts["TEST.SCALE"] == 800
    assert facts["BBOX_XFORM_CLIP"] == pytest.approx(math.log(1000 / 16))
    assert (facts["TRAIN.BG_THRESH_HI"], facts["TRAIN.BG_THRESH_LO"]) == (0.5, 0.0)


def test_no_row_is_left_out():
    known = {*names_of("detectron2"), *names_of("detectron"), *names_of("switchnorm")}
    for name, model in MODELS.items():
        if model.settings.get("convention") in ("detectron", "detectron2"):
            assert name in known
