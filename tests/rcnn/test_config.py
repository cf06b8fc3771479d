import json
from dataclasses import asdict

from gluonnorm.convention import CONVENTIONS
from gluonnorm.rcnn.config import DetectorConfig, ModelSpec

import pytest


def test_override_changes_a_copy():
    config = DetectorConfig()
    changed = config.override(nms_thresh=0.3, short=600, anchor_sizes=[[16, 32]])
    assert (changed.nms_thresh, changed.short, changed.anchor_sizes) == (0.3, (600,), ((16, 32),))
    assert config == DetectorConfig() and config != changed
    assert changed.override(nms_thresh=0.5, short=(800,), anchor_sizes=config.anchor_sizes) == config


def test_an_unknown_option_is_answered_with_the_nearest():
    with pytest.raises(TypeError, match="no option 'nms_treshold'; nearest: nms_thresh"):
        DetectorConfig().override(nms_treshold=0.5)
    with pytest.raises(TypeError, match="no option 'zzz'; nearest: convention, short, max_size"):
        DetectorConfig().override(zzz=1)


@pytest.mark.parametrize("name,value", [("nms_thresh", 1.5), ("score_thresh", -0.1), ("pos_ratio", 2),
                                        ("pos_iou_thresh", -1)])
def test_fractions_lie_between_0_and_1(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; it must lie in 0..1"):
        DetectorConfig(**{name: value})


@pytest.mark.parametrize("name,value", [("max_detections", 0), ("rpn_test_pre_nms", 1.5), ("num_sample", -3),
                                        ("roi_size", "7"), ("mask_roi_size", 0), ("mask_channels", 2.0)])
def test_counts_are_whole_and_positive(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value!r}; it must be a whole number of at least 1"):
        DetectorConfig(**{name: value})


@pytest.mark.parametrize("name,value", [("rpn_smoothl1_beta", 0), ("rcnn_smoothl1_beta", -1), ("delta_clip", "4")])
def test_betas_and_the_clip_are_positive(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value!r}; it must be a positive number"):
        DetectorConfig(**{name: value})


@pytest.mark.parametrize("value", [0, 3, "1"])
def test_the_rpn_has_one_convolution_or_two(value):
    with pytest.raises(ValueError, match=f"rpn_convs is {value!r}; the RPN's head has 1 or 2"):
        DetectorConfig(rpn_convs=value)


def test_lists_become_tuples_and_the_convention_a_record():
    config = DetectorConfig(convention="detectron", mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0], short=[600, 700])
    assert config.convention == CONVENTIONS["detectron"] and config.convention.inclusive
    assert (config.mean, config.std, config.short) == ((1.0, 2.0, 3.0), (1.0, 1.0, 1.0), (600, 700))
    with pytest.raises(ValueError, match="convention is 'detectorn'; give a BoxConvention or one of"):
        DetectorConfig(convention="detectorn")


def test_an_anchor_is_never_both_positive_and_negative():
    with pytest.raises(ValueError, match="rpn_neg_iou_thresh is 0.6, above rpn_pos_iou_thresh 0.5"):
        DetectorConfig(rpn_neg_iou_thresh=0.6, rpn_pos_iou_thresh=0.5)


@pytest.mark.parametrize("sizes", [(), (32, 64), ((8, 16), (32,)), ((), ())])
def test_anchor_sizes_are_equally_many_on_each_map(sizes):
    with pytest.raises(ValueError, match="anchor_sizes is .*; give one tuple of sizes a map, all equally long"):
        DetectorConfig(anchor_sizes=sizes)


def test_spec_survives_json():
    spec = ModelSpec("faster_rcnn_fpn_resnet18_v1b_custom", "gn", None, "normalize", ("a", "b"),
                     DetectorConfig(short=(640, 800), anchor_sizes=((8, 16), (32, 64)), freeze_at=None))
    again = ModelSpec.from_dict(json.loads(json.dumps(asdict(spec))))
    assert again == spec and hash(again) == hash(spec)


def test_spec_with_an_option_of_another_version():
    record = asdict(ModelSpec("m", "gn", None, None, ("a",), DetectorConfig()))
    record["config"]["max_detection"] = 3
    with pytest.raises(TypeError, match="no option 'max_detection'; nearest: max_detections"):
        ModelSpec.from_dict(record)
