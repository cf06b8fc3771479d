"""GluonCV's detectors and this package's return the same maps, boxes, scores, classes and masks.

GluonCV's CPU path for pyramids reads uninitialized memory; it is compared with that one call
corrected (see ``gluoncv_judge``). Padding and boxes without an area are left out on both sides.
"""

from dataclasses import replace

import model_zoo
from gluonnorm.conversion import ConversionError, load, save
from gluonnorm.photos.paste import paste_masks

import mxnet as mx
import numpy as np
import pytest
from gluoncv import model_zoo as gluoncv_model_zoo
from gluoncv.data.transforms.mask import fill
from parity import gluoncv_judge

CLASSES = tuple("abcdef")
SMALL = (
    "mask_rcnn_resnet18_v1b_coco",
    "mask_rcnn_fpn_resnet18_v1b_coco",
    "mask_rcnn_fpn_syncbn_resnet18_v1b_coco",
    "faster_rcnn_fpn_syncbn_resnest50_coco",
)
LARGE = (
    "faster_rcnn_resnet50_v1b_coco",
    "faster_rcnn_resnet101_v1d_coco",
    "faster_rcnn_fpn_resnet50_v1b_coco",
    "faster_rcnn_fpn_resnet101_v1d_coco",
    "mask_rcnn_resnet50_v1b_coco",
    "mask_rcnn_resnet101_v1d_coco",
    "mask_rcnn_fpn_resnet50_v1b_coco",
    "mask_rcnn_fpn_resnet101_v1d_coco",
    "faster_rcnn_fpn_syncbn_resnet50_v1b_coco",
    "faster_rcnn_fpn_syncbn_resnet101_v1d_coco",
    "faster_rcnn_resnet50_v1b_voc",
    "faster_rcnn_resnet101_v1d_voc",
    "doublehead_rcnn_resnet50_v1b_voc",
    "mask_rcnn_fpn_syncbn_mobilenet1_0_coco",
    "faster_rcnn_fpn_syncbn_resnest101_coco",
    "faster_rcnn_fpn_syncbn_resnest269_coco",
)
CUSTOM = ("faster_rcnn_resnet50_v1b_custom", "faster_rcnn_resnet101_v1d_custom")
ALL_MODELS = [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in (*LARGE, *CUSTOM))]
PROPOSALS = 40
# Detections that are compared. The network returns up to 2 * PROPOSALS, some without an area.
COUNT = 50


def twin(name, judge, **options):
    """Build this package's network of that name, with the judge's weights."""
    net = model_zoo.get_model(
        name,
        classes=CLASSES,
        rpn_test_post_nms=PROPOSALS,
        max_detections=2 * PROPOSALS,
        max_candidates=len(CLASSES) * PROPOSALS,
        **options,
    )
    load(net, gluoncv_judge.parameter_arrays(judge), "gluoncv")
    return net


def assert_same(differences):
    assert differences.features < 1e-4
    assert differences.counts[0] == differences.counts[1] > 10
    assert differences.same_classes
    assert differences.boxes < 0.05
    assert differences.scores < 1e-4
    assert differences.masks < 1e-4


@pytest.mark.parametrize("name", ALL_MODELS)
def test_detections_are_those_of_gluoncv_and_it_loads_what_we_save(name, tmp_path):
    judge = gluoncv_judge.build(name, CLASSES, PROPOSALS)
    image = gluoncv_judge.sample_image(128, 176)
    net = twin(name, judge)
    differences = gluoncv_judge.compare(net, judge, image, COUNT)
    assert_same(differences)
    # The comparison means something only if the judge detects objects of every class.
    assert differences.class_count == len(CLASSES)

    # The scales of pyramid and heads are 1 in a loaded network. After training they are not.
    for key, parameter in net._collect_params_with_prefix().items():
        if key.endswith("norm.gamma"):
            parameter.set_data(parameter.data() * np.random.uniform(0.5, 1.5))
    save(net, str(tmp_path / "saved.params"), "gluoncv")
    gluoncv_judge.seed_parameters(judge, salt=1)
    image = gluoncv_judge.sample_image(144, 112, salt=1)
    assert gluoncv_judge.feature_difference(net, judge, image) > 0.1
    judge.load_parameters(str(tmp_path / "saved.params"))  # strict: nothing missing, nothing extra
    assert_same(gluoncv_judge.compare(net, judge, image, COUNT))


@pytest.mark.parametrize(
    "name, options",
    [
        ("custom_faster_rcnn_fpn", {}),
        ("custom_mask_rcnn_fpn", {}),
        pytest.param(
            "custom_faster_rcnn_fpn",
            {"base_network_name": "resnest50", "norm": "sync_bn", "head_norm": "sync_bn"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "custom_faster_rcnn_fpn",
            {"base_network_name": "resnet101_v1d"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_detector_on_the_callers_backbone_is_that_of_gluoncv(name, options):
    settings = {"base_network_name": options.get("base_network_name", "resnet18_v1b")}
    if "norm" in options:
        settings["norm_layer"] = mx.gluon.contrib.nn.SyncBatchNorm
        settings["norm_kwargs"] = {"num_devices": 1}
        settings["sym_norm_layer"] = mx.sym.contrib.SyncBatchNorm
        settings["sym_norm_kwargs"] = {"ndev": 1}
    judge = gluoncv_judge.build(name, CLASSES, PROPOSALS, **settings)
    net = twin(name, judge, **options)
    image = gluoncv_judge.sample_image(128, 176)
    assert_same(gluoncv_judge.compare(net, judge, image, COUNT))
    kept = ["f", "b"]
    judge.reset_class(kept, reuse_weights=kept)
    net.reset_class(kept, reuse_weights=kept)
    assert_same(gluoncv_judge.compare(net, judge, image, COUNT))
    assert model_zoo.from_spec(net.spec).spec == net.spec


def test_a_pooling_that_shapes_do_not_tell_is_not_saved_for_gluoncv(tmp_path):
    net = model_zoo.get_model("custom_faster_rcnn_fpn", classes=CLASSES)
    with pytest.raises(ConversionError, match="box head that pools RoIs"):
        save(net, str(tmp_path / "net.params"), "gluoncv")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "doublehead_rcnn_resnet50_v1b_voc",
        "mask_rcnn_fpn_syncbn_mobilenet1_0_coco",
        "faster_rcnn_fpn_syncbn_resnest50_coco",
    ],
)
def test_reset_class_reuses_the_rows_that_gluoncv_reuses(name):
    judge = gluoncv_judge.build(name, CLASSES, PROPOSALS)
    net = twin(name, judge)
    kept = ["f", "b", "a"]
    judge.reset_class(kept, reuse_weights=kept)
    net.reset_class(kept, reuse_weights=kept)
    assert_same(gluoncv_judge.compare(net, judge, gluoncv_judge.sample_image(128, 176), COUNT))


@pytest.fixture(scope="module")
def pyramid():
    """A judge with a pyramid, and its image."""
    judge = gluoncv_judge.build(SMALL[1], CLASSES, PROPOSALS)
    return judge, gluoncv_judge.sample_image(128, 176)


def test_each_part_of_the_convention_matters(pyramid):
    """A field that changes nothing would not be tested by the equality above."""
    judge, image = pyramid
    net = twin(SMALL[1], judge)
    convention = net.config.convention
    changes = {
        "anchors": "exact",
        "roi_aligned": True,
        "level_offset": 40.0,
        "clip_detections": True,
        "inclusive": True,
    }
    for name, value in changes.items():
        net.configure(convention=replace(convention, **{name: value}))
        differences = gluoncv_judge.compare(net, judge, image, COUNT)
        assert not differences.same_classes or differences.boxes > 0.05, name


def test_masks_are_pasted_as_gluoncv_does(pyramid):
    """Boxes are rounded, and a mask is averaged where it shrinks."""
    judge, image = pyramid
    _, _, boxes, masks = gluoncv_judge.detections(judge, image)
    expected = fill(masks, boxes.copy(), (176, 128)).astype(bool)
    method = twin(SMALL[1], judge).config.convention.mask_paste
    pasted = paste_masks(masks, boxes, 128, 176, method)
    assert 100 < expected.sum() < expected.size / 2
    np.testing.assert_array_equal(pasted, expected)


@pytest.mark.parametrize("name", CUSTOM)
def test_a_custom_row_has_the_settings_of_gluoncv_s_model(name):
    """No weight depends on these settings, except for the anchors."""
    judge = gluoncv_model_zoo.get_model(
        name, classes=CLASSES, pretrained=False, pretrained_base=False
    )
    config = model_zoo.get_model(name, classes=CLASSES).config
    assert config.short == (judge.short,)
    assert config.max_size == judge.max_size
    assert config.nms_thresh == judge.nms_thresh
    # A class has no more candidates than there are proposals.
    assert judge.nms_topk >= config.rpn_test_post_nms
    assert config.roi_size == judge._roi_size[0]
    assert config.rpn_test_post_nms == judge._rpn_test_post_nms
    assert config.rpn_train_post_nms == judge.rpn._train_post_nms
    assert config.rpn_train_pre_nms == judge.rpn._train_pre_nms
    assert config.rpn_test_pre_nms == judge.rpn._test_pre_nms
    assert config.rpn_min_size == judge.rpn.region_proposer._min_size
    assert config.rpn_nms_thresh == judge.rpn._nms_thresh
    assert config.num_sample == judge.sampler._num_sample
    assert config.pos_iou_thresh == judge.sampler._pos_iou_thresh
    assert config.num_sample * config.pos_ratio == judge.sampler._max_pos
    assert judge.box_decoder._clip in (None, -1)  # nothing is clipped
    assert config.delta_clip == 80
    assert config.anchor_sizes == ((128, 256, 512),)


def test_weights_of_other_anchors_are_refused_and_the_report_names_what_no_file_holds():
    """GluonCV's custom models may be trained anew or transferred from COCO's or VOC's."""
    judge = gluoncv_judge.build(SMALL[0], CLASSES, PROPOSALS)
    arrays = gluoncv_judge.parameter_arrays(judge)
    fifteen_anchors = model_zoo.get_model(SMALL[0], classes=CLASSES)
    (remark,) = [
        note for note in load(fifteen_anchors, arrays, "gluoncv").notes if "no file" in note
    ]
    assert "short=(800,)" in remark and "nms_thresh=0.5" in remark and "transfer=" in remark

    nine_anchors = model_zoo.get_model(SMALL[0], classes=CLASSES, anchor_sizes=((128, 256, 512),))
    with pytest.raises(ConversionError, match="RPN has 15 anchors in a cell, the network's 9"):
        load(nine_anchors, arrays, "gluoncv")

    other_sizes = model_zoo.get_model(
        SMALL[0], classes=CLASSES, anchor_sizes=((64, 128, 256, 512, 1024),)
    )
    with pytest.raises(ConversionError, match=r"sizes \(\(32.0, 64.0, 128.0, 256.0, 512.0\),\)"):
        load(other_sizes, arrays, "gluoncv")
