"""The rules of the automatic recipe: what follows from objects, network, weights and machine."""

from dataclasses import asdict

from gluonnorm.rcnn import DetectorConfig
from model_zoo.recipes import TrainingCase
from model_zoo.recipes.automatic import choose_schedule, choose_settings

import numpy as np
import pytest

C4 = DetectorConfig(
    anchor_sizes=((32, 64, 128, 256, 512),), roi_size=14, rpn_channels=512, num_sample=128
)
PYRAMID = DetectorConfig()


def make_case(lengths, ratio=1.0, labels=None, per_photo=5, photo=(480, 640), **changes):
    """A data set of objects of these lengths, all with one ratio of height and width."""
    lengths = np.asarray(lengths, float)
    count = len(lengths)
    photos = -(-count // per_photo)
    heights = lengths * np.sqrt(ratio)
    values = {
        "boxes": np.stack([heights, lengths**2 / heights], axis=1),
        "labels": np.zeros(count, int) if labels is None else np.asarray(labels),
        "images": np.arange(count) // per_photo,
        "neighbor_ious": np.zeros(count),
        "image_sizes": np.tile(photo, (photos, 1)),
        "strides": (4, 8, 16, 32, 64),
        "settings": asdict(PYRAMID),
        "norm": "frozen_bn",
        "has_masks": False,
        "weights": "nothing",
        "has_fresh_norms": True,
        "devices": 1,
        "is_cpu": True,
        "bfloat16_is_fast": False,
    }
    return TrainingCase(**{**values, **changes})


def single_map(lengths, **changes):
    own = {"strides": (16,), "settings": asdict(C4), "weights": "backbone"}
    return make_case(lengths, **{**own, **changes})


def values(case, **given):
    return {name: choice.value for name, choice in choose_settings(case, given).items()}


def test_small_sides_get_24_pixels_in_a_pyramid_and_40_on_a_map_of_stride_16():
    # Photos of 480 pixels with objects of 18: 24 pixels need 640, two and a half cells of 16 would
    # need 1067.
    assert values(make_case([18] * 50))["short"] == 640
    assert values(single_map([18] * 50))["short"] == 800  # the most
    assert values(single_map([30] * 50))["short"] == 640  # 40 / 30 of 480
    # It is the shorter side that counts: 36 pixels wide, 9 high.
    assert values(make_case([18] * 50, ratio=0.25))["short"] == 800


def test_photos_are_enlarged_twice_at_most_and_never_made_too_small():
    assert values(make_case([5] * 50, photo=(256, 256)))["short"] == 512
    assert values(make_case([900] * 50, photo=(3000, 4000)))["short"] == 320
    # A small photo stays as it is.
    assert values(make_case([100] * 50, photo=(160, 200)))["short"] == 160


def test_objects_count_by_their_share_of_photos_of_several_sizes():
    # A camera of 300 pixels and one of 3000 show the same objects, a twelfth of the photo: all of
    # them have 26.7 pixels in an input of 320.
    case = make_case([25] * 50 + [250] * 50, per_photo=10)
    sizes = np.array([[300, 400]] * 5 + [[3000, 4000]] * 5)
    choice = choose_settings(case._replace(image_sizes=sizes), {})["short"]
    assert choice.value == 320 and choice.reason.endswith("here below 27, wanted 24")


def test_the_reasons_tell_how_small_long_photos_become():
    # 6000 pixels become 1333, so objects of 24 pixels have 5.3.
    choices = choose_settings(make_case([24] * 50, photo=(300, 6000)), {})
    assert choices["max_size"].value == 1333
    assert "20.0 times as long as wide, so their shorter sides have only 67 pixels" in (
        choices["max_size"].reason
    )
    assert choices["short"].reason.endswith("here below 5, wanted 24")


def test_short_follows_a_longer_side_that_is_given():
    # 480-pixel photos with objects of 18 would have 640 pixels.
    assert values(make_case([18] * 50), max_size=400)["short"] == 400
    assert values(make_case([18] * 50), max_size=1000)["short"] == 640


def test_long_photos_are_not_cut_down_to_the_proportion_of_usual_ones():
    assert values(make_case([18] * 50))["max_size"] == round(640 * 1333 / 800)
    assert values(make_case([24] * 50, photo=(320, 960)))["max_size"] == 960
    assert values(make_case([24] * 50, photo=(320, 9600)))["max_size"] == 1333


def test_a_rare_class_of_small_objects_decides_over_a_frequent_one_of_large():
    lengths, labels = [100] * 900 + [20] * 100, [0] * 900 + [1] * 100
    case = make_case(lengths, labels=labels)
    # The rare class has a quarter of the weight, and so more than a tenth.
    assert case.quantile(case.lengths, 0.1) == 20
    assert case.quantile(case.lengths, 0.26) == 100
    assert np.quantile(lengths, 0.11) == 100
    assert values(case)["short"] == 576  # 24 / 20 of 480


def concentric_iou(length, anchor):
    return min(length, anchor) ** 2 / max(length, anchor) ** 2


@pytest.mark.parametrize("low, high", [(30, 60), (20, 200), (50, 52), (50, 50.01)])
def test_every_usual_object_has_an_anchor_of_its_size_on_a_single_map(low, high):
    lengths = np.geomspace(low, high, 200)
    chosen = values(single_map(lengths), short=480)
    (sizes,) = chosen["anchor_sizes"]
    for length in lengths[10:-10]:
        assert max(concentric_iou(length, size) for size in sizes) >= 1 / 1.6 - 1e-3


def test_the_anchors_of_a_pyramid_double_and_one_has_the_size_of_the_median():
    case = make_case(np.geomspace(10, 60, 200), photo=(512, 512))
    sizes = [size for (size,) in values(case, short=512)["anchor_sizes"]]
    assert len(sizes) == 5 and sizes == pytest.approx([sizes[0] * 2**i for i in range(5)], abs=0.3)
    assert min(abs(size / np.sqrt(600) - 1) for size in sizes) < 0.05
    # The smallest usual objects, of 11 pixels, have an anchor of at most the square root of two.
    assert sizes[0] <= 11 * 1.45
    # Features of stride 4 do not see objects of 300 pixels.
    large = values(make_case([300] * 50), short=480)["anchor_sizes"]
    assert large[0][0] <= 4 * 8 * np.sqrt(2) and (300.0,) in large
    # From 13 to 816 pixels a factor of 2 a level is not enough.
    wide = values(make_case([13] * 400 + [816] * 100, photo=(900, 900)), short=900)
    assert wide["anchor_sizes"][0][0] <= 13 * 1.42 and wide["anchor_sizes"][-1][0] >= 816 / 1.27


@pytest.mark.parametrize(
    "ratio, expected", [(1.0, (1.0,)), (4.0, (4.0,)), (0.55, (0.5,)), (0.1, (0.125,))]
)
def test_ratios_are_the_powers_of_two_next_to_the_objects(ratio, expected):
    assert values(make_case([50] * 20, ratio=ratio))["anchor_ratios"] == expected


def test_squares_serve_objects_that_are_up_to_1_7_times_as_high_as_wide():
    def ratios(*of_objects):
        case = make_case([50] * 40)
        heights = 50 * np.sqrt(np.repeat(of_objects, 40 // len(of_objects)))
        return values(case._replace(boxes=np.stack([heights, 2500 / heights], axis=1)))[
            "anchor_ratios"
        ]

    assert ratios(0.69, 1.0, 1.28, 1.6) == (1.0,)
    assert ratios(0.58, 1.0, 1.0, 1.8) == (0.5, 1.0, 2.0)
    assert ratios(1.0, 1.0, 3.5, 3.5) == (1.0, 2.0, 4.0)


def test_what_the_user_gives_wins_and_the_other_values_follow_it():
    case = single_map(np.geomspace(40, 80, 100))
    small, large = values(case, short=240), values(case, short=480)
    assert "short" not in small
    ratio = np.divide(large["anchor_sizes"], small["anchor_sizes"])
    assert ratio == pytest.approx(np.full_like(ratio, 2), rel=0.01)
    assert values(case, pos_ratio=0.25)["num_sample"] == 2 * values(case)["num_sample"]
    # Of several lengths the largest counts, as in the inspection: it must fit into the longer side.
    assert values(case, short=(240, 480)) == large


def test_counts_follow_from_the_objects_of_a_photo():
    crowded = values(make_case([50] * 800, per_photo=80))
    assert crowded["rpn_test_post_nms"] == 800 and crowded["rpn_train_post_nms"] == 1000
    assert crowded["rpn_test_pre_nms"] == 2000 and crowded["max_detections"] == 120
    assert crowded["num_sample"] == 64 / 0.25
    sparse = values(make_case([50] * 40, per_photo=2))
    assert sparse["rpn_test_post_nms"] == 300 and sparse["num_sample"] == 16 / 0.25
    assert sparse["rpn_test_pre_nms"] == 1800 and "max_detections" not in sparse
    # On a single map all sizes compete, and half of its 30 * 40 cells' anchors enter the NMS.
    single = values(single_map([50] * 40), short=480, anchor_sizes=((40, 60),))
    assert single["anchor_ratios"] == (1.0,) and single["rpn_test_pre_nms"] == 1800
    few = choose_settings(single_map([50] * 40), {"short": 480, "anchor_sizes": ((40, 60),)})
    assert few["rpn_test_pre_nms"].reason == "six for each proposal, more than half of 2400 anchors"
    more = values(single_map([50] * 40), short=480, anchor_sizes=((20, 30, 40, 60),))
    assert more["rpn_test_pre_nms"] == 2400 == more["rpn_train_pre_nms"]
    most = values(single_map([50] * 40), short=1200, anchor_sizes=((20, 30, 40, 60),))
    assert most["rpn_test_pre_nms"] == 6000
    # Heads that cost much for each RoI get half of them on objects.
    assert values(single_map([50] * 100, per_photo=20))["num_sample"] == 32 / 0.5
    assert values(make_case([50] * 100, per_photo=20, has_masks=True))["pos_ratio"] == 0.5


def test_the_final_nms_keeps_what_objects_of_the_data_set_overlap():
    def thresh(overlap, crowded_part=1.0):
        case = make_case([50] * 100)
        crowded = np.arange(100) < 100 * crowded_part
        return values(case._replace(neighbor_ious=np.where(crowded, overlap, 0.0))).get(
            "nms_thresh"
        )

    assert thresh(0.0) == 0.3 == thresh(0.3) and thresh(0.36) == 0.4 == thresh(0.4)
    assert thresh(0.9, crowded_part=0.02) == 0.3 and thresh(0.9, crowded_part=0.03) is None
    assert thresh(0.45) == 0.45
    assert thresh(0.47) is None is thresh(0.9)


def test_a_grid_finer_than_the_map_is_halved():
    assert values(single_map([100] * 50), short=480)["roi_size"] == 7
    assert "roi_size" not in values(single_map([300] * 50), short=480)
    assert "roi_size" not in values(make_case([100] * 50))


def test_norms_without_statistics_become_group_norm():
    scratch = values(make_case([50] * 50))
    assert scratch["norm"] == "gn" and "head_norm" not in scratch and scratch["freeze_at"] == 0
    tuned = values(single_map([50] * 50))
    assert tuned["head_norm"] == "gn" and "norm" not in tuned and tuned["freeze_at"] == 2
    filled = values(single_map([50] * 50, has_fresh_norms=False))
    assert "head_norm" not in filled
    assert "norm" not in values(make_case([50] * 50, norm="sn"))


def test_a_trained_detector_keeps_what_its_weights_know():
    names = "norm head_norm anchor_sizes anchor_ratios roi_size rpn_channels fpn_channels".split()
    tuned = values(make_case([50] * 50, weights="detector", has_masks=True, has_fresh_norms=False))
    assert not set(tuned) & {*names, "mask_channels", "rpn_pos_iou_thresh"}
    assert tuned["freeze_at"] == 2 and "num_sample" in tuned and "short" in tuned


def test_the_machine_decides_on_bfloat16_channels_and_batch():
    slow = values(make_case([50] * 50))
    assert "dtype" not in slow and slow["fpn_channels"] == 128 and slow["batch_size"] == 1
    assert "mask_channels" not in slow
    assert "fpn_channels" not in values(single_map([50] * 50))
    assert values(make_case([50] * 50, bfloat16_is_fast=True))["dtype"] == "bfloat16"
    gpus = values(make_case([50] * 50, is_cpu=False, devices=4, bfloat16_is_fast=True))
    assert "dtype" not in gpus and "fpn_channels" not in gpus and gpus["batch_size"] == 4
    assert values(make_case([50] * 50, photo=(128, 160), devices=3))["batch_size"] == 6


def test_the_length_of_a_run_without_minutes():
    assert choose_schedule("nothing", 6000, 1, None, None)["epochs"].value == 12
    assert choose_schedule("nothing", 300, 1, None, None)["epochs"].value == 20
    assert choose_schedule("nothing", 10, 1, None, None)["epochs"].value == 50


def test_warm_up_and_rate_follow_from_updates_and_batch():
    short = choose_schedule("nothing", 200, 2, epochs=5, epoch_steps=None)
    assert short["lr_warmup"].value == 50
    assert choose_schedule("nothing", 200, 2, 5, epoch_steps=40)["lr_warmup"].value == 20
    assert choose_schedule("nothing", 100000, 2, 10, None)["lr_warmup"].value == 500
    one, two, many = (
        choose_schedule("nothing", 200, size, 5, None)["lr"].value for size in (1, 2, 64)
    )
    assert two == 2 * one and many == 0.02
    # What has been trained already gets the rate of the codebases: 0.02 for 16 photos.
    assert choose_schedule("detector", 200, 2, 5, None)["lr"].value == 2 * 0.02 / 16


def test_with_lr_mode_step_the_rate_falls_within_the_run():
    """The default of 14 and 18 epochs is that of a run of 20."""
    decays = [
        choose_schedule("nothing", 6000, 1, epochs, None)["lr_decay_epoch"].value
        for epochs in (20, 9, None)
    ]
    assert decays == ["14,18", "6.3,8.1", "8.4,10.8"]


def test_no_share_of_positive_rois_is_refused():
    with pytest.raises(ValueError, match="pos_ratio is 0, so no RoI would be an object"):
        values(make_case([50] * 50), pos_ratio=0)


def test_every_choice_has_a_reason():
    for case in (make_case([50] * 800, per_photo=80), single_map([50] * 50)):
        for name, choice in choose_settings(case, {}).items():
            assert choice.origin == "recipe" and choice.reason, name


def test_nothing_follows_from_a_set_without_objects():
    with pytest.raises(ValueError, match="no object to learn from"):
        values(make_case([]))
