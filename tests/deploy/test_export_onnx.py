import json

from gluonnorm.deploy import Predictor, export
from gluonnorm.deploy.candidate_count import expose_candidate_count

import numpy as np
import onnx_programs
import pytest
from detection_sets import assert_same_detections
from near_ties import tied_proposals
from onnx_catalogue import SIZES, random_network
from tiny_detector import images, tiny_detector

onnx = pytest.importorskip("onnx")


def assert_same_in_run_time(net, folder, sizes=SIZES, load=onnx_programs.session):
    """Export a network, and compare the file in a run time with it on images of several sizes."""
    prefix = str(folder / "tiny")
    export(net, prefix, format="onnx")
    program = load(f"{prefix}.onnx")
    block, _ = expose_candidate_count(net)
    for size in sizes:
        pixels = images(*size)
        *expected, candidates = [output.asnumpy() for output in block(pixels)]
        *found, found_candidates = program({"data": pixels.asnumpy()})
        assert_same_detections(found, expected)
        # A score that is nearly the threshold may be above it in one of the two alone.
        least = net.config.score_thresh
        np.testing.assert_allclose(
            np.maximum(found_candidates, least), np.maximum(candidates, least), atol=1e-4
        )


@pytest.mark.parametrize("kind", ["fpn", "c4", "mask_fpn", "mask_c4"])
@pytest.mark.parametrize("norm", ["frozen_bn", "gn", "sn"])
def test_the_detections_are_those_of_the_network(kind, norm, tmp_path):
    assert_same_in_run_time(tiny_detector(kind, norm=norm), tmp_path)


def test_proposals_of_equal_scores_are_ties():
    """Where only ties decide which proposals are chosen, the helper of the sweep says so."""
    net = tiny_detector("fpn", rpn_test_pre_nms=20)
    pixels = images(1, 64, 96)
    assert tied_proposals(net, pixels) == 0
    net.rpn.score.weight.set_data(net.rpn.score.weight.data() * 0)
    num_anchors = 16 * 24 * 3
    assert tied_proposals(net, pixels) >= num_anchors - 20


@pytest.mark.parametrize("kind", ["fpn", "mask_c4"])
@pytest.mark.parametrize("convention", ["gluoncv", "torchvision", "detectron", "detectron2"])
def test_each_convention(kind, convention, tmp_path):
    net = tiny_detector(kind, convention=convention)
    assert_same_in_run_time(net, tmp_path, SIZES[1:2])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, norm",
    [
        ("doublehead_rcnn_resnet50_v1b_voc", "gn"),
        ("e2e_faster_rcnn_R-50-C4_2x_sn", None),
        ("faster_rcnn_fpn_syncbn_resnest50_coco", "gn"),
        ("faster_rcnn_resnet50_v2_voc", "bn"),
        ("fasterrcnn_resnet50_fpn_v2", "bn"),
        ("mask_rcnn_R_50_FPN_3x_gn", None),
        ("mask_rcnn_fpn_resnet50_v1b_coco", "bn"),
        ("mask_rcnn_fpn_syncbn_mobilenet1_0_coco", "bn"),
    ],
)
def test_an_architecture_of_each_kind(name, norm, tmp_path):
    assert_same_in_run_time(random_network(name, norm), tmp_path, SIZES[1:2])


@pytest.mark.parametrize(
    "settings",
    [
        {"norm": "bn"},
        {"norm": "sn_nobn"},
        {"head_norm": "gn"},
        {"nms_topk": 5},
        {"force_nms": True},
        {"roi_sample_ratio": 0},
        {"classes": ("one",)},
        {"score_thresh": 0.0},
        {"max_candidates": 110},
        {"rescale": "denormalize", "norm": "gn"},
    ],
)
def test_settings_that_change_the_graph(settings, tmp_path):
    assert_same_in_run_time(tiny_detector("fpn", **settings), tmp_path, SIZES[1:2])


@pytest.mark.parametrize(
    "kind, norm", [("fpn", "frozen_bn"), ("mask_fpn", "gn"), ("c4", "sn"), ("mask_c4", "frozen_bn")]
)
def test_openvino_gives_them_too(kind, norm, tmp_path):
    net = tiny_detector(kind, norm=norm)
    assert_same_in_run_time(net, tmp_path, load=onnx_programs.openvino_program)


def test_the_file_describes_itself(tmp_path):
    prefix = str(tmp_path / "tiny")
    manifest = export(tiny_detector("mask_fpn"), prefix, format="onnx", image_size=(64, 96))
    model = onnx.load(f"{prefix}.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [opset.version for opset in model.opset_import] == [17]
    shapes = {}
    for value in (*model.graph.input, *model.graph.output):
        axes = value.type.tensor_type.shape.dim
        shapes[value.name] = [axis.dim_param or axis.dim_value for axis in axes]
    assert shapes == {
        "data": ["batch", 3, "height", "width"],
        "ids": ["batch", 100, 1],
        "scores": ["batch", 100, 1],
        "boxes": ["batch", 100, 4],
        "masks": ["batch", 100, 8, 8],
        "candidates": ["batch", 101],
    }
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    inner = json.loads(metadata["manifest"])
    # The checksum of the file itself cannot be in it.
    outer_checksums = manifest["provenance"].pop("sha256")
    inner_checksums = inner["provenance"].pop("sha256")
    assert inner == manifest
    assert manifest["input"]["image_size"] == [64, 96]
    assert inner_checksums == {"weights": outer_checksums["weights"]}
    assert sorted(outer_checksums) == ["onnx", "record", "weights"]


def test_an_image_without_detections(tmp_path):
    net = tiny_detector("mask_fpn", score_thresh=0.99)
    prefix = str(tmp_path / "tiny")
    export(net, prefix, format="onnx")
    pixels = np.zeros((1, 3, 64, 64), np.float32)
    ids, scores, boxes, masks, _ = onnx_programs.session(f"{prefix}.onnx")({"data": pixels})
    assert (ids == -1).all() and (scores == -1).all() and (boxes == -1).all()
    assert masks.shape == (1, 100, 8, 8)


def test_photos_with_too_many_candidates_are_counted(tmp_path):
    limit = 12
    net = tiny_detector("c4", score_thresh=0.2, max_detections=3, max_candidates=limit)
    prefix = str(tmp_path / "tiny")
    export(net, prefix, format="onnx")
    noise = np.random.default_rng(0).uniform(0, 255, (64, 64, 3)).astype(np.uint8)
    photos = [noise, np.full_like(noise, 127)]
    counts = []
    for predictor in (
        Predictor.from_network(net, resize=False),
        Predictor(prefix, resize=False, backend="onnxruntime"),
    ):
        with pytest.warns(UserWarning, match=f"max_candidates = {limit}"):
            predictor(photos)
        counts.append(predictor.truncated_photos)
    assert counts[0] == counts[1] > 0
