"""Every row agrees with its codebase, and every architecture builds, runs and comes back."""

import dataclasses
import json

import model_zoo
from gluonnorm.backbones import Backbone, resnet
from gluonnorm.conversion import SOURCES
from gluonnorm.conversion.codebases.torchvision import UNUSED_COCO_IDS
from gluonnorm.errors import InputError
from gluonnorm.nn import NORM_NAMES
from gluonnorm.rcnn import DetectorConfig, ModelSpec
from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from model_zoo.catalogue import BACKBONES, MODELS, ROWS
from model_zoo.classes import COCO_CLASSES, COCO_IDS, VOC_CLASSES
from model_zoo.rows.model import Model

import mxnet as mx
import numpy as np
import pytest

SMALL = {
    "rpn_channels": 8,
    "rpn_test_pre_nms": 20,
    "rpn_test_post_nms": 6,
    "num_sample": 4,
    "max_candidates": 20,
    "max_detections": 5,
    "score_thresh": 0.0,
    "fpn_channels": 32,
    "mask_channels": 32,
}
HEIGHT, WIDTH = 50, 90
CONVENTIONS = {"own": "modern", "switchnorm": "detectron"}  # the others have the codebase's name
CAFFE_MEAN = (122.7717, 115.9465, 102.9801)
INPUTS = {  # resize, rounding, order, mean, and the multiple with a pyramid and without
    "own": ("pixel", "nearest", "RGB", IMAGENET_MEAN, None, None),
    "gluoncv": ("pixel", "even", "RGB", IMAGENET_MEAN, 1, 1),
    "torchvision": ("float", "floor", "RGB", IMAGENET_MEAN, 32, None),
    "detectron": ("float", "even", "BGR", CAFFE_MEAN, 32, 1),
    "detectron2": ("antialias", "nearest", "BGR", IMAGENET_MEAN, 32, 1),
    "switchnorm": ("float", "even", "BGR", CAFFE_MEAN, 32, 1),
}
# roi_size, rpn_channels, delta_clip, nms_thresh, rpn_test_post_nms, rpn_min_size, short, num_sample
OF_GLUONCV = {
    "faster_rcnn_resnet50_v1b_voc": (14, 1024, None, 0.3, 300, 16, (600,), 128),
    "faster_rcnn_resnet101_v1d_voc": (14, 1024, None, 0.3, 300, 16, (600,), 128),
    "faster_rcnn_resnet50_v1b_coco": (14, 1024, 4.14, 0.5, 1000, 1, (800,), 128),
    "faster_rcnn_resnet101_v1d_coco": (14, 1024, 4.14, 0.5, 1000, 1, (800,), 128),
    "faster_rcnn_fpn_resnet50_v1b_coco": (7, 1024, 4.14, 0.5, 1000, 1, (800,), 512),
    "faster_rcnn_fpn_resnet101_v1d_coco": (7, 1024, 4.14, 0.5, 1000, 1, (800,), 512),
    "faster_rcnn_fpn_syncbn_resnet50_v1b_coco": (7, 256, 4.14, 0.5, 1000, 1, (640, 800), 512),
    "faster_rcnn_fpn_syncbn_resnet101_v1d_coco": (7, 256, 4.14, 0.5, 1000, 1, (640, 800), 512),
    "mask_rcnn_resnet18_v1b_coco": (14, 1024, 4.42, 0.5, 1000, 1, (800,), 256),
    "mask_rcnn_resnet50_v1b_coco": (14, 1024, 4.42, 0.5, 1000, 1, (800,), 128),
    "mask_rcnn_resnet101_v1d_coco": (14, 1024, 4.42, 0.5, 1000, 1, (800,), 128),
    "mask_rcnn_fpn_resnet18_v1b_coco": (7, 1024, 4.42, 0.5, 1000, 1, (800,), 512),
    "mask_rcnn_fpn_resnet50_v1b_coco": (14, 1024, 4.42, 0.5, 1000, 1, (800,), 512),
    "mask_rcnn_fpn_resnet101_v1d_coco": (14, 1024, 4.42, 0.5, 1000, 1, (800,), 512),
    "mask_rcnn_fpn_syncbn_resnet18_v1b_coco": (7, 1024, 4.42, 0.5, 1000, 1, (640, 800), 512),
    "faster_rcnn_fpn_syncbn_resnest50_coco": (7, 256, 4.14, 0.5, 1000, 1, (640, 800), 512),
    "faster_rcnn_fpn_syncbn_resnest101_coco": (7, 256, 4.14, 0.5, 1000, 1, (640, 800), 512),
    "faster_rcnn_fpn_syncbn_resnest269_coco": (7, 256, 4.14, 0.5, 1000, 1, (640, 864), 512),
    "doublehead_rcnn_resnet50_v1b_voc": (14, 1024, None, 0.3, 300, 16, (600,), 128),
    "custom_faster_rcnn_fpn": (14, 1024, 4.14, 0.5, 1000, 1, (800,), 512),
    "custom_mask_rcnn_fpn": (14, 1024, 4.42, 0.5, 1000, 1, (800,), 512),
    "mask_rcnn_fpn_syncbn_mobilenet1_0_coco": (14, 1024, 4.42, 0.5, 1000, 1, (640, 800), 512),
}
GLUONCV_CUSTOM = ("faster_rcnn_resnet50_v1b_custom", "faster_rcnn_resnet101_v1d_custom")
WANTED = [
    *OF_GLUONCV,
    *(
        f"{kind}_rcnn_{neck}{backbone}_custom"
        for kind in ("faster", "mask")
        for neck in ("", "fpn_")
        for backbone in ("resnet18_v1b", "resnet50_v1b", "resnet101_v1d")
    ),
    "faster_rcnn_resnet50_v2_custom",
    "faster_rcnn_resnet50_v2_coco",
    "faster_rcnn_resnet50_v2_voc",
    *(
        f"{kind}rcnn_resnet50_fpn{version}"
        for kind in ("faster", "mask")
        for version in ("", "_v2")
    ),
    *(
        f"{kind}rcnn_resnet{depth}_fpn"
        for kind in ("faster", "mask")
        for depth in (18, 34, 50, 101, 152)
    ),
    *(
        f"{kind}_rcnn_R_50_{neck}_{schedule}"
        for kind in ("faster", "mask")
        for neck in ("FPN", "C4")
        for schedule in ("1x", "3x")
    ),
    *(f"{kind}_rcnn_R_101_{neck}_3x" for kind in ("faster", "mask") for neck in ("FPN", "C4")),
    "mask_rcnn_R_50_FPN_3x_gn",
    "mask_rcnn_R_50_FPN_3x_syncbn",
    "scratch_mask_rcnn_R_50_FPN_3x_gn",
    "scratch_mask_rcnn_R_50_FPN_9x_gn",
    "scratch_mask_rcnn_R_50_FPN_9x_syncbn",
    *(
        f"e2e_{kind}_rcnn_R-{depth}-FPN_{schedule}"
        for kind in ("faster", "mask")
        for depth in (50, 101)
        for schedule in ("1x", "2x")
    ),
    *(
        f"{prefix}_mask_rcnn_R-{depth}-FPN_{schedule}_gn"
        for depth in (50, 101)
        for prefix, schedule in (("e2e", "2x"), ("e2e", "3x"), ("scratch_e2e", "3x"))
    ),
    "e2e_faster_rcnn_R-50-FPN_2x_sn",
    "e2e_faster_rcnn_R-50-C4_2x_sn",
    "scratch_e2e_mask_rcnn_R-50-FPN_3x_sn",
    *(f"resnet{depth}_{variant}" for depth in (50, 101) for variant in ("v1a", "v1b", "v1d", "v2")),
    "resnet18_v1b",
]

pytestmark = pytest.mark.filterwarnings("ignore:Caution using SyncBatchNorm")


def architecture(model):
    return dataclasses.replace(
        model,
        name="",
        classes=None,
        settings={
            name: value
            for name, value in model.settings.items()
            if name in ("rpn_convs", "roi_size", "mask_roi_size")
        },
    )


def one_of_each_architecture():
    """Names of rows, no two alike but for numbers and classes."""
    chosen = {}
    for name, model in MODELS.items():
        chosen.setdefault(repr(architecture(model)), name)
    return list(chosen.values())


@pytest.fixture
def narrow(monkeypatch):
    """ResNets with the plan of the real ones, but fewer blocks and narrower late stages."""
    blocks = {
        18: (1, 1, 1, 1),
        34: (1, 2, 1, 1),
        50: (1, 2, 1, 1),
        101: (1, 1, 2, 1),
        152: (1, 2, 2, 1),
    }
    monkeypatch.setattr(resnet, "BLOCKS_PER_STAGE", blocks)
    monkeypatch.setattr(resnet, "STAGE_WIDTHS", (64, 64, 64, 64))


def image():
    return mx.nd.array(np.random.default_rng(0).uniform(-1, 1, (1, 3, HEIGHT, WIDTH)))


def build(name):
    if name in BACKBONES:
        return model_zoo.get_model(name)
    return model_zoo.get_model(name, classes=("red", "white"), **SMALL)


def assert_detections(net, outputs):
    """The contract of a detector's outputs."""
    rows = net.config.max_detections
    assert [out.shape for out in outputs[:3]] == [(1, rows, columns) for columns in (1, 1, 4)]
    ids, scores, boxes = (out.asnumpy()[0] for out in outputs[:3])
    ids, scores = ids[:, 0], scores[:, 0]
    count = int((ids >= 0).sum())
    assert 0 < count <= rows, "an untrained network with score_thresh 0 detects something"
    assert np.isin(ids[:count], np.arange(len(net.classes))).all()
    assert (
        (scores[:count] > 0).all()
        and (scores[:count] <= 1).all()
        and (np.diff(scores[:count]) <= 0).all()
    )
    assert np.isfinite(boxes).all() and (boxes[:count, 2:] >= boxes[:count, :2]).all()
    if net.config.convention.clip_detections:
        assert (boxes[:count] >= 0).all() and (
            boxes[:count] <= [WIDTH, HEIGHT, WIDTH, HEIGHT]
        ).all()
    assert (
        (ids[count:] == -1).all() and (scores[count:] == -1).all() and (boxes[count:] == -1).all()
    )
    assert len(outputs) == (4 if net.has_masks else 3)
    if net.has_masks:
        masks, side = (
            outputs[3].asnumpy()[0],
            net.config.mask_roi_size * (1 if len(net.backbone.strides) == 1 else 2),
        )
        assert masks.shape == (rows, side, side)
        assert (masks[:count] > 0).all() and (masks <= 1).all() and (masks[count:] == 0).all()


def assert_maps(net, outputs):
    """The contract of a backbone's outputs."""
    assert [out.shape for out in outputs] == [
        (1, channels, -(-HEIGHT // stride), -(-WIDTH // stride))
        for channels, stride in zip(net.channels, net.strides)
    ]
    for out in outputs:
        assert np.isfinite(out.asnumpy()).all() and out.asnumpy().std() > 0


def slow_if_deep(name):
    """ResNeSt cannot be made narrow."""
    is_deep = "resnest101" in name or "resnest269" in name
    return pytest.param(name, marks=pytest.mark.slow) if is_deep else name


@pytest.mark.parametrize("name", map(slow_if_deep, [*one_of_each_architecture(), *BACKBONES]))
def test_an_architecture_runs_and_comes_back_from_its_own_record(name, narrow, tmp_path):
    x, net = image(), build(name)
    expected = net(x)
    (assert_maps if isinstance(net, Backbone) else assert_detections)(net, expected)
    net.save_parameters(str(tmp_path / "net.params"))
    saved = set(mx.nd.load(str(tmp_path / "net.params")))
    assert saved == set(net._collect_params_with_prefix())
    assert not [key for key in saved if "anchor" in key or "rescale" in key]
    if name in BACKBONES:
        again = build(name)
    else:
        again = model_zoo.from_spec(json.loads(json.dumps(dataclasses.asdict(net.spec))))
        assert again.spec == net.spec and again.preprocess == net.preprocess
    again.load_parameters(str(tmp_path / "net.params"))
    again.hybridize()
    for found, wanted in zip(again(x), expected):
        np.testing.assert_allclose(found.asnumpy(), wanted.asnumpy(), rtol=1e-3, atol=1e-3)


def test_every_row_is_whole():
    """Without building: the configuration, its trip through JSON, and that name and parts agree."""
    for name, model in MODELS.items():
        spec = ModelSpec(
            model=name,
            norm=model.norm,
            head_norm=None,
            rescale=None,
            classes=model.classes or ("a",),
            config=DetectorConfig(**model.settings),
        )
        assert ModelSpec.from_dict(json.loads(json.dumps(dataclasses.asdict(spec)))) == spec, name
        config = spec.config
        assert model.name == name and model.backbone in BACKBONES and model.norm in NORM_NAMES, name
        assert model.neck == ("fpn" if "fpn" in name.lower() else "c4"), name
        assert (model.head in ("res5", "double")) == (model.neck == "c4"), name
        assert len(config.anchor_sizes) == (5 if model.neck == "fpn" else 1), name
        # GluonCV's own custom models have three sizes, of the scales 8, 16 and 32.
        size_count = 3 if name in GLUONCV_CUSTOM else 5
        assert sum(len(sizes) for sizes in config.anchor_sizes) == size_count, name
        assert config.anchor_ratios == (0.5, 1.0, 2.0), name
        assert (model.mask_convs is not None) == ("mask" in name), name
        assert (model.mask_convs == 0) == (model.neck == "c4" and "mask" in name), name
        if model.neck == "c4":
            assert config.mask_roi_size == config.roi_size == 14, name
        for norm, ending in (
            ("gn", "_gn"),
            ("sync_bn", "syncbn"),
            ("sn", "_sn"),
            ("sn_nobn", "_sn_(8,1)"),
        ):
            assert (model.norm == norm) == (
                name.endswith(ending) or norm == "sync_bn" and ending in name
            ), name


@pytest.mark.parametrize("codebase", sorted(ROWS))
def test_rows_have_the_convention_and_input_of_their_codebase(codebase):
    resize, rounding, order, mean, with_pyramid, without = INPUTS[codebase]
    convention = CONVENTIONS.get(codebase, codebase)
    rows = ROWS[codebase]
    assert rows
    for model in rows:
        config = DetectorConfig(**model.settings)
        assert config.convention == DetectorConfig(convention=convention).convention, model.name
        assert (config.resize, config.rounding) == (resize, rounding), model.name
        fine_tuned = codebase == "switchnorm" and not model.name.startswith("scratch")
        wanted = ("RGB", IMAGENET_MEAN, IMAGENET_STD) if fine_tuned else (order, mean)
        assert (config.order, config.mean, config.std)[: len(wanted)] == wanted, model.name
        # Detectron2 sets the std in its longest schedule only.
        divides = model.name.startswith("scratch_mask_rcnn_R_50_FPN_9x_")
        assert config.std == (
            IMAGENET_STD if order == "RGB" or fine_tuned or divides else (1, 1, 1)
        ), model.name
        assert config.multiple == (with_pyramid if model.neck == "fpn" else without), model.name
        assert model.fpn_extra == (
            "conv" if codebase == "gluoncv" and model.neck == "fpn" else "pool"
        ), model.name
        assert (config.freeze_at == 0) == (
            model.name.startswith("scratch")
            or "_syncbn_" in model.name
            or model.name == "e2e_faster_rcnn_R-50-C4_2x_sn"
        ), model.name


@pytest.mark.parametrize("name", sorted(OF_GLUONCV))
def test_numbers_of_gluoncv_s_rows(name):
    model = MODELS[name]
    config = DetectorConfig(**model.settings)
    roi, channels, clip, nms, post, least, short, samples = OF_GLUONCV[name]
    assert (
        config.roi_size,
        config.rpn_channels,
        config.nms_thresh,
        config.rpn_test_post_nms,
        config.rpn_min_size,
        config.short,
        config.num_sample,
    ) == (roi, channels, nms, post, least, short, samples)
    assert config.delta_clip == clip if clip else config.delta_clip > 50
    assert (config.score_thresh, config.rpn_nms_thresh, config.roi_sample_ratio) == (0.01, 0.7, 2)
    assert (config.rpn_train_pre_nms, config.rpn_train_post_nms, config.rpn_test_pre_nms) == (
        12000,
        2000,
        6000,
    )
    if name.startswith("mask") and model.neck == "fpn":
        assert config.mask_roi_size == roi


def test_numbers_of_the_others():
    for name in ("fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"):
        config = DetectorConfig(**MODELS[name].settings)
        assert (config.rpn_train_pre_nms, config.rpn_train_post_nms) == (2000, 2000)
        assert (config.rpn_test_pre_nms, config.rpn_test_post_nms, config.rpn_min_size) == (
            1000,
            1000,
            1e-3,
        )
        assert (config.score_thresh, config.nms_thresh, config.roi_size, config.mask_roi_size) == (
            0.05,
            0.5,
            7,
            14,
        )
        assert config.rpn_convs == (2 if name.endswith("_v2") else 1)
    for name, before, samples in (
        ("mask_rcnn_R_50_FPN_3x", 1000, 0),
        ("faster_rcnn_R_50_C4_3x", 6000, 0),
        ("e2e_mask_rcnn_R-50-FPN_2x", 1000, 2),
        ("e2e_faster_rcnn_R-50-C4_2x", 6000, 0),
    ):
        config = DetectorConfig(**MODELS[name].settings)
        assert (config.rpn_test_pre_nms, config.rpn_test_post_nms, config.roi_sample_ratio) == (
            before,
            1000,
            samples,
        )
        assert (
            config.rpn_channels == (1024 if "C4" in name else 256) and config.score_thresh == 0.05
        )


def test_preprocessing_of_a_network_is_that_of_its_row(narrow):
    net = model_zoo.get_model("mask_rcnn_R_50_FPN_3x_gn", classes=("a",), **SMALL)
    assert net.preprocess == Preprocess(
        short=(640, 672, 704, 736, 768, 800),
        max_size=1333,
        order="BGR",
        std=(1.0, 1.0, 1.0),
        resize="antialias",
        multiple=32,
    )
    net = model_zoo.get_model("faster_rcnn_resnet18_v1b_voc", **SMALL)
    assert net.preprocess == Preprocess(short=(600,), max_size=1000, multiple=16)


def test_classes_of_a_row_and_heads_as_wide(narrow):
    for name, classes in (
        ("fasterrcnn_resnet50_fpn", COCO_IDS),
        ("mask_rcnn_R_50_C4_3x", COCO_CLASSES),
        ("faster_rcnn_resnet50_v1b_voc", VOC_CLASSES),
    ):
        net = model_zoo.get_model(name, **SMALL)
        assert net.classes == classes == MODELS[name].classes
        assert net.predictor.score.weight.shape[0] == len(classes) + 1
        if net.has_masks:
            assert net.mask_head.score.weight.shape[0] == len(classes)


def test_names():
    names = model_zoo.list_models()
    assert names == sorted(set(names)) and set(names) == {*MODELS, *BACKBONES}
    assert set(WANTED) <= set(names)
    assert sum(len(rows) for rows in ROWS.values()) == len(MODELS)
    assert set(ROWS) == {"own", *SOURCES}
    for name, model in MODELS.items():
        if name.endswith(("_voc", "_coco", "_custom")):
            assert (
                model.classes
                == {"voc": VOC_CLASSES, "coco": COCO_CLASSES, "custom": None}[
                    name.rsplit("_", 1)[1]
                ]
            )
            assert model.backbone in name and (model.norm == "sync_bn") == ("_syncbn_" in name)
        elif name.startswith("custom_"):
            assert model.classes is None and model.backbone == "resnet18_v1b"
        else:
            of_torchvision = model.settings["convention"] == "torchvision"
            assert model.classes == (COCO_IDS if of_torchvision else COCO_CLASSES)
            if of_torchvision:
                assert model.backbone == f"{name.split('_')[1]}_v1b"
            else:
                assert model.backbone.startswith("resnet101" if "101" in name else "resnet50")
            starts_from_msra = not of_torchvision and not name.startswith("scratch_")
            msra = starts_from_msra and model.norm in ("frozen_bn", "sync_bn")
            assert model.backbone.endswith("v1a" if msra else "v1b")


def test_classes_are_those_of_the_data_sets():
    assert (
        len(VOC_CLASSES) == len(set(VOC_CLASSES)) == 20
        and len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80
    )
    assert VOC_CLASSES == tuple(sorted(VOC_CLASSES)) and COCO_CLASSES.index("toothbrush") == 79
    assert len(COCO_IDS) == len(set(COCO_IDS)) == 90
    assert (
        tuple(name for i, name in enumerate(COCO_IDS, 1) if i not in UNUSED_COCO_IDS)
        == COCO_CLASSES
    )
    assert [COCO_IDS[i - 1] for i in (1, 11, 13, 25, 27, 44, 67, 90)] == [
        "person",
        "fire hydrant",
        "stop sign",
        "giraffe",
        "backpack",
        "bottle",
        "dining table",
        "toothbrush",
    ]


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("neck", "fpm", "neck is 'fpm'; did you mean fpn? give one of c4, fpn"),
        (
            "head",
            "res5",
            "head is 'res5'; give one of 2fc, pool2fc, 1conv1fc, 4conv1fc, pool1conv1fc, "
            "pool4conv1fc",
        ),
        ("fpn_extra", "pooled", "fpn_extra is 'pooled'; did you mean pool? give one of pool, conv"),
        (
            "head_with_norm",
            "res5",
            "head_with_norm is 'res5'; give one of 2fc, pool2fc, 1conv1fc, 4conv1fc, "
            "pool1conv1fc, pool4conv1fc",
        ),
        (
            "settings",
            {"nms_tresh": 0.3},
            "a detector has no setting 'nms_tresh'; did you mean nms_thresh, rpn_nms_thresh or "
            "score_thresh?",
        ),
        ("settings", {"nms_thresh": 3}, "nms_thresh is 3; it must be a number in 0..1"),
    ],
)
def test_a_row_with_a_part_that_does_not_exist_is_refused(field, value, message):
    parts = {
        "name": "net",
        "backbone": "resnet18_v1b",
        "neck": "fpn",
        "head": "2fc",
        "classes": None,
        field: value,
    }
    with pytest.raises(InputError) as caught:
        Model(**parts)
    assert str(caught.value) == f"model 'net': {message}"
