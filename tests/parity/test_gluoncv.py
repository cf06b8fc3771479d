"""GluonCV's detectors and ours with the same weights: the same maps, boxes, scores, classes and masks.

GluonCV's CPU path for pyramids reads uninitialised memory; it is compared with that one call corrected (see
``gluoncv_judge``). Proposals that are padding and boxes without an area are left out on both sides.
"""
from dataclasses import replace

import model_zoo
from gluonnorm.conversion.load import load, save
from gluonnorm.photos.paste import paste_masks

import numpy as np
import pytest
from gluoncv.data.transforms.mask import fill
from parity import gluoncv_judge

CLASSES = tuple("abcdef")
SMALL = ("mask_rcnn_resnet18_v1b_coco", "mask_rcnn_fpn_resnet18_v1b_coco", "mask_rcnn_fpn_syncbn_resnet18_v1b_coco")
LARGE = [f"{kind}_rcnn_{rest}_coco" for kind in ("faster", "mask") for rest in
         ("resnet50_v1b", "resnet101_v1d", "fpn_resnet50_v1b", "fpn_resnet101_v1d")] + [
    "faster_rcnn_fpn_syncbn_resnet50_v1b_coco", "faster_rcnn_fpn_syncbn_resnet101_v1d_coco",
    "faster_rcnn_resnet50_v1b_voc", "faster_rcnn_resnet101_v1d_voc"]
PROPOSALS, COUNT = 40, 50  # detections compared; we return up to 2 * PROPOSALS, some of them without an area


def twin(name, judge):
    """Our network of that name, with the judge's weights."""
    net = model_zoo.get_model(name, classes=CLASSES, rpn_test_post_nms=PROPOSALS, max_detections=2 * PROPOSALS,
                              max_candidates=len(CLASSES) * PROPOSALS)
    load(net, gluoncv_judge.arrays_of(judge), "gluoncv")
    return net


def assert_same(differences):
    assert differences.features < 1e-4
    assert differences.counts[0] == differences.counts[1] > 10
    assert differences.same_classes
    assert differences.boxes < 0.05
    assert differences.scores < 1e-4
    assert differences.masks < 1e-4


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_detections_are_those_of_gluoncv_and_it_loads_what_we_save(name, tmp_path):
    judge, x = gluoncv_judge.build(name, CLASSES, PROPOSALS), gluoncv_judge.image(128, 176)
    assert len(set(gluoncv_judge.detections(judge, x)[0])) == len(CLASSES)  # a judge worth asking
    ours = twin(name, judge)
    assert_same(gluoncv_judge.compare(ours, judge, x, COUNT))

    for key, parameter in ours._collect_params_with_prefix().items():
        if key.endswith("norm.gamma"):  # of the pyramid and the heads: as if trained here, and so not 1
            parameter.set_data(parameter.data() * np.random.uniform(0.5, 1.5))
    save(ours, str(tmp_path / "saved.params"), "gluoncv")
    gluoncv_judge.seed(judge, salt=1)
    x = gluoncv_judge.image(144, 112, salt=1)
    assert gluoncv_judge.compare(ours, judge, x, COUNT).features > 0.1
    judge.load_parameters(str(tmp_path / "saved.params"))  # strict: nothing missing, nothing left over
    assert_same(gluoncv_judge.compare(ours, judge, x, COUNT))


@pytest.fixture(scope="module")
def pyramid():
    """A judge with a pyramid and its picture."""
    return gluoncv_judge.build(SMALL[1], CLASSES, PROPOSALS), gluoncv_judge.image(128, 176)


def test_each_part_of_the_convention_matters(pyramid):
    """Or else equality above would say nothing about it."""
    ours = twin(SMALL[1], pyramid[0])
    convention = ours.config.convention
    for name, value in {"anchors": "exact", "roi_aligned": True, "level_offset": 40.0, "clip_detections": True,
                        "inclusive": True}.items():
        ours.configure(convention=replace(convention, **{name: value}))
        differences = gluoncv_judge.compare(ours, *pyramid, COUNT)
        assert not differences.same_classes or differences.boxes > 0.05, name


def test_masks_are_pasted_as_gluoncv_does(pyramid):
    """Onto the photo: rounded boxes, and a mask that is averaged where it shrinks."""
    _, _, boxes, masks = gluoncv_judge.detections(*pyramid)
    wanted = fill(masks, boxes.copy(), (176, 128)).astype(bool)
    got = paste_masks(masks, boxes, 128, 176, twin(SMALL[1], pyramid[0]).config.convention.mask_paste)
    assert 100 < wanted.sum() < wanted.size / 2
    np.testing.assert_array_equal(got, wanted)
