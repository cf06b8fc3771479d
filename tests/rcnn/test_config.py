import json
from dataclasses import asdict, fields

from gluonnorm.convention import CONVENTIONS
from gluonnorm.errors import InputError
from gluonnorm.rcnn import DetectorConfig, ModelSpec

import numpy as np
import pytest


def test_override_changes_a_copy():
    config = DetectorConfig()
    changed = config.override(nms_thresh=0.3, short=600, anchor_sizes=[[16, 32]])
    assert (changed.nms_thresh, changed.short, changed.anchor_sizes) == (0.3, (600,), ((16, 32),))
    assert config == DetectorConfig() and config != changed
    assert (
        changed.override(nms_thresh=0.5, short=(800,), anchor_sizes=config.anchor_sizes) == config
    )


def test_numbers_of_numpy_become_numbers_that_a_file_can_hold():
    config = DetectorConfig(
        short=np.int64(600),
        max_detections=np.int32(7),
        score_thresh=np.float32(0.25),
        force_nms=np.bool_(True),
        anchor_sizes=np.array([[16, 32], [64, 128]]),
        anchor_ratios=(np.float32(0.5), np.float64(2)),
    )
    assert config == DetectorConfig(
        short=600,
        max_detections=7,
        score_thresh=0.25,
        force_nms=True,
        anchor_sizes=((16, 32), (64, 128)),
        anchor_ratios=(0.5, 2.0),
    )
    values = json.loads(json.dumps(asdict(config)))
    assert DetectorConfig(**values) == config


def test_an_unknown_option_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="no setting 'nms_treshold'; did you mean nms_thresh"):
        DetectorConfig().override(nms_treshold=0.5)
    with pytest.raises(
        InputError, match="no setting 'zzz'; the settings are convention, short, max_size"
    ):
        DetectorConfig().override(zzz=1)


@pytest.mark.parametrize(
    "name,value",
    [
        ("nms_thresh", 1.5),
        ("score_thresh", -0.1),
        ("pos_ratio", 2),
        ("pos_iou_thresh", -1),
        ("rpn_nms_thresh", "0.7"),
        ("rpn_pos_ratio", None),
        ("nms_thresh", float("nan")),
        ("score_thresh", True),
    ],
)
def test_fractions_lie_between_0_and_1(name, value):
    with pytest.raises(InputError, match=f"{name} is {value!r}; it must be a number in 0..1"):
        DetectorConfig(**{name: value})


@pytest.mark.parametrize(
    "name,value",
    [
        ("max_detections", 0),
        ("rpn_test_pre_nms", 1.5),
        ("num_sample", -3),
        ("roi_size", "7"),
        ("mask_roi_size", 0),
        ("mask_channels", 2.0),
        ("fpn_channels", 0),
        ("fpn_channels", "256"),
        ("max_candidates", True),
        ("rpn_channels", None),
    ],
)
def test_counts_are_positive_integers(name, value):
    with pytest.raises(
        InputError, match=f"{name} is {value!r}; it must be an integer of at least 1"
    ):
        DetectorConfig(**{name: value})


@pytest.mark.parametrize(
    "name,value", [("rpn_smoothl1_beta", 0), ("rcnn_smoothl1_beta", -1), ("delta_clip", "4")]
)
def test_betas_and_the_clip_are_positive(name, value):
    with pytest.raises(InputError, match=f"{name} is {value!r}; it must be a positive number"):
        DetectorConfig(**{name: value})


@pytest.mark.parametrize("value", [0, 3, "1"])
def test_the_rpn_has_one_convolution_or_two(value):
    with pytest.raises(InputError, match=f"rpn_convs is {value!r}; it must be 1 or 2"):
        DetectorConfig(rpn_convs=value)


def test_lists_become_tuples_and_the_convention_a_record():
    config = DetectorConfig(
        convention="detectron", mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0], short=[600, 700]
    )
    assert config.convention == CONVENTIONS["detectron"] and config.convention.inclusive
    assert (config.mean, config.std, config.short) == ((1.0, 2.0, 3.0), (1.0, 1.0, 1.0), (600, 700))
    with pytest.raises(
        InputError, match="convention is 'detectorn'; give a BoxConvention or one of"
    ):
        DetectorConfig(convention="detectorn")


def test_an_anchor_is_never_both_positive_and_negative():
    with pytest.raises(InputError, match="rpn_neg_iou_thresh is 0.6, above rpn_pos_iou_thresh 0.5"):
        DetectorConfig(rpn_neg_iou_thresh=0.6, rpn_pos_iou_thresh=0.5)


@pytest.mark.parametrize(
    "sizes",
    [(), (32, 64), ((8, 16), (32,)), ((), ()), ((0,),), ((-8,), (16,)), (("8",),), 32, "32", None],
)
def test_anchor_sizes_are_equally_many_on_each_map(sizes):
    with pytest.raises(InputError, match="anchor_sizes is .*; give one tuple of positive sizes"):
        DetectorConfig(anchor_sizes=sizes)


@pytest.mark.parametrize(
    "name,value,message",
    [
        ("order", "GBR", "order is 'GBR'; give one of RGB, BGR"),
        ("resize", "bilinear", "resize is 'bilinear'; give one of pixel, float, antialias"),
        ("rounding", "up", "rounding is 'up'; give one of nearest, even, floor"),
        ("mean", (1.0, 2.0), "mean is .*three numbers"),
        ("mean", "123", "mean is '123'"),
        ("std", (1.0, 0.0, 1.0), "std is .*positive"),
        ("std", None, "std is None"),
        ("short", (), "short is"),
        ("short", (0,), "short is"),
        ("short", "800", "short is '800'"),
        ("max_size", 100, "max_size is 100"),
        ("max_size", None, "max_size is None"),
        ("multiple", 0, "multiple is 0"),
        ("multiple", "32", "multiple is '32'"),
        ("normalize", "no", "normalize is 'no'"),
    ],
)
def test_the_settings_of_the_input_are_checked_at_once(name, value, message):
    with pytest.raises(InputError, match=message):
        DetectorConfig(**{name: value})
    with pytest.raises(InputError, match=message):
        DetectorConfig().override(**{name: value})


@pytest.mark.parametrize(
    "name,value,message",
    [
        ("freeze_at", -1, "freeze_at is -1; it must be an integer of at least 0"),
        ("freeze_at", "2", "freeze_at is '2'; it must be an integer of at least 0"),
        ("roi_sample_ratio", -1, "roi_sample_ratio is -1; it must be an integer of at least 0"),
        ("roi_sample_ratio", 1.5, "roi_sample_ratio is 1.5"),
        ("rpn_min_size", -1, "rpn_min_size is -1; it must be a number of at least 0"),
        ("rpn_min_size", "0", "rpn_min_size is '0'"),
        ("anchor_ratios", (), r"anchor_ratios is \(\); it must be a tuple of positive numbers"),
        ("anchor_ratios", (0.5, 0), "anchor_ratios is"),
        ("anchor_ratios", 1.0, "anchor_ratios is 1.0"),
        ("box_stds", (0.1, 0.1, 0.2, 0.0), "box_stds is .*positive numbers"),
        ("box_stds", (0.1, 0.1, 0.2), "box_stds is .*; it must be a tuple of 4 positive numbers"),
    ],
)
def test_the_other_numbers_are_checked_as_well(name, value, message):
    with pytest.raises(InputError, match=message):
        DetectorConfig(**{name: value})


def test_every_setting_is_checked():
    """No field takes an object that means nothing."""
    for field in fields(DetectorConfig):
        with pytest.raises(InputError, match=field.name):
            DetectorConfig(**{field.name: object()})


def test_spec_survives_json():
    spec = ModelSpec(
        "faster_rcnn_fpn_resnet18_v1b_custom",
        "gn",
        None,
        "normalize",
        ("a", "b"),
        DetectorConfig(short=(640, 800), anchor_sizes=((8, 16), (32, 64)), freeze_at=None),
    )
    again = ModelSpec.from_dict(json.loads(json.dumps(asdict(spec))))
    assert again == spec and hash(again) == hash(spec)


def test_spec_with_an_option_of_another_version():
    record = asdict(ModelSpec("m", "gn", None, None, ("a",), DetectorConfig()))
    record["config"]["max_detection"] = 3
    with pytest.raises(InputError, match="no setting 'max_detection'; did you mean max_detections"):
        ModelSpec.from_dict(record)


@pytest.mark.parametrize("key", ["model", "norm", "head_norm", "rescale", "classes", "config"])
def test_spec_without_a_key(key):
    values = asdict(ModelSpec("m", "gn", None, None, ("a",), DetectorConfig()))
    del values[key]
    with pytest.raises(InputError, match=f"the description of a model lacks {key}"):
        ModelSpec.from_dict(values)


@pytest.mark.parametrize(
    "key,value",
    [("model", 3), ("norm", 3), ("head_norm", 1), ("classes", "abc"), ("config", [1])],
)
def test_spec_with_a_value_of_a_wrong_type(key, value):
    values = asdict(ModelSpec("m", "gn", None, None, ("a",), DetectorConfig()))
    with pytest.raises(InputError, match=f"as its {key}"):
        ModelSpec.from_dict({**values, key: value})


@pytest.mark.parametrize("classes", [[], ["a", "a"], ["a", 1], [" "]])
def test_spec_with_wrong_class_names(classes):
    values = asdict(ModelSpec("m", "gn", None, None, ("a",), DetectorConfig()))
    with pytest.raises(InputError, match="classes: (no classes|class)|as its classes"):
        ModelSpec.from_dict({**values, "classes": classes})


def test_spec_with_an_unknown_key_or_that_is_none():
    values = asdict(ModelSpec("m", "gn", None, None, ("a",), DetectorConfig()))
    with pytest.raises(InputError, match="has the unknown key 'clases'; did you mean classes"):
        ModelSpec.from_dict({**values, "clases": ()})
    with pytest.raises(
        InputError, match="the description of a model is 'gn'; it must be a dictionary"
    ):
        ModelSpec.from_dict("gn")
