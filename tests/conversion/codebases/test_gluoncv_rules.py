"""GluonCV's names, anchors and SyncBatchNorm models, with GluonCV itself at hand."""

from dataclasses import replace

import model_zoo
from gluonnorm.backbones import ResNetV1
from gluonnorm.conversion import load, load_backbone, save
from gluonnorm.conversion.codebase import source_names
from gluonnorm.conversion.codebases.gluoncv import GLUONCV, additions
from gluonnorm.conversion.codebases.gluoncv_anchors import anchor_tables
from gluonnorm.conversion.codebases.gluoncv_norms import rewrite_norms
from gluonnorm.conversion.errors import ConversionError
from gluonnorm.rcnn import DetectorConfig

import mxnet as mx
import numpy as np
import pytest
from gluoncv import model_zoo as gluoncv_zoo
from gluoncv.model_zoo.rcnn.rpn.anchor import RPNAnchorGenerator
from parity import gluoncv_judge

CLASSES = ("cat", "dog")
SMALL = (
    "mask_rcnn_resnet18_v1b_coco",
    "mask_rcnn_fpn_resnet18_v1b_coco",
    "mask_rcnn_fpn_syncbn_resnet18_v1b_coco",
)
LARGE = [
    f"{kind}_rcnn_{rest}_coco"
    for kind in ("faster", "mask")
    for rest in ("resnet50_v1b", "resnet101_v1d", "fpn_resnet50_v1b", "fpn_resnet101_v1d")
] + [
    "faster_rcnn_fpn_syncbn_resnet50_v1b_coco",
    "faster_rcnn_fpn_syncbn_resnet101_v1d_coco",
    "faster_rcnn_resnet50_v1b_voc",
    "faster_rcnn_resnet101_v1d_voc",
]


def randomize(net):
    """Norms with statistics and affines that matter."""
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith(("gamma", "running_var")):
            parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
        elif name.endswith(("beta", "running_mean")):
            parameter.set_data(mx.nd.random.normal(0, 0.2, parameter.shape))


def classifier(name):
    """GluonCV's, at random."""
    net = gluoncv_zoo.get_model(name, pretrained=False)
    net.initialize(mx.init.MSRAPrelu(slope=0))
    net(mx.nd.zeros((1, 3, 32, 32)))
    randomize(net)
    return net


def detector(name):
    """One of ours with narrow heads."""
    net = model_zoo.get_model(
        name, classes=CLASSES, fpn_channels=8, rpn_channels=8, mask_channels=8
    )
    randomize(net)
    return net


def stages(net, x):
    """The four maps of GluonCV's classifier."""
    x, maps = net.maxpool(net.relu(net.bn1(net.conv1(x)))), []
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
        maps.append(x.asnumpy())
    return maps


def assert_same_values(block, other):
    arrays = [
        [
            parameter.data().asnumpy()
            for _, parameter in sorted(net._collect_params_with_prefix().items())
        ]
        for net in (block, other)
    ]
    assert len(arrays[0]) == len(arrays[1]) > 0
    for got, wanted in zip(*arrays):
        np.testing.assert_array_equal(got, wanted)


def gluoncv_shapes(name):
    """Shapes of a network of GluonCV by name; unknown sizes are 0, unknown shapes None."""
    with gluoncv_judge.coco_classes(CLASSES):
        net = gluoncv_zoo.get_model(name, pretrained=False, pretrained_base=False)
    return {key: parameter.shape for key, parameter in net._collect_params_with_prefix().items()}


def fits(shape, wanted):
    return (
        wanted is None
        or len(shape) == len(wanted)
        and all(w in (0, s) for s, w in zip(shape, wanted))
    )


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_a_saved_file_has_exactly_the_names_of_gluoncv(name):
    wanted = gluoncv_shapes(name)
    saved = save(model_zoo.get_model(name, classes=CLASSES), None, "gluoncv")
    assert sorted(saved) == sorted(wanted)
    assert [key for key, array in saved.items() if not fits(array.shape, wanted[key])] == []


def under(prefix, net):
    return {
        prefix + name: parameter.shape
        for name, parameter in net._collect_params_with_prefix().items()
    }


@pytest.mark.parametrize(
    "ours, names",
    [
        ("conv1.0.weight", "conv0_weight"),
        ("conv1.6.weight", "conv2_weight"),
        ("conv1.4.gamma", "batchnorm1_gamma"),
        ("bn1.running_var", "batchnorm2_running_var"),
        ("layer1.2.bn3.gamma", "layers1_batchnorm8_gamma"),
        ("layer3.22.conv2.weight", "layers3_conv67_weight"),
        ("layer3.22.conv3.weight", "layers3_conv68_weight"),
        ("layer2.0.downsample.1.weight", "down2_conv0_weight"),
        ("layer4.0.downsample.2.beta", "down4_batchnorm0_beta"),
    ],
)
def test_layers_of_a_pyramid_are_counted_from_the_image_on(ours, names):
    shapes = {
        **under("backbone.backbone.", ResNetV1(101, "d")),
        "backbone.lateral5.conv.weight": (256, 2048, 1, 1),
    }
    candidates = source_names(GLUONCV, shapes)["backbone.backbone." + ours].candidates
    assert candidates[0] == "features.resnetv1d_" + names
    assert ours in candidates  # a classifier's


@pytest.mark.parametrize(
    "stride, sizes",
    [
        (4, (32,)),
        (8, (64,)),
        (16, (128,)),
        (32, (256,)),
        (64, (512,)),
        (16, (32, 64, 128, 256, 512)),
        (16, (128, 256, 512)),
    ],
)
def test_anchor_tables_are_those_that_gluoncv_makes(stride, sizes):
    ratios, name, cells = (0.5, 1, 2), "rpn.anchor_generator.anchors", 128
    if len(sizes) > 1:
        tables = anchor_tables((stride,), (sizes,), ratios)
    else:
        tables = anchor_tables((4, 8, 16, 32, 64), ((32,), (64,), (128,), (256,), (512,)), ratios)
        level = (4, 8, 16, 32, 64).index(stride)
        name, cells = f"rpn.anchor_generator.{level}.anchors", 384 // 2**level
    table = tables[name]
    wanted = RPNAnchorGenerator(
        stride, 16, ratios, tuple(size / 16 for size in sizes), (cells, cells)
    ).anchors.value
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table, wanted.asnumpy())


def test_norms_of_the_pyramid_have_another_eps_and_a_gamma_of_1():
    data, weight, bias = (
        mx.nd.random.normal(shape=(2, 3, 5, 6)),
        np.random.randn(4, 3, 1, 1),
        np.random.randn(4),
    )
    arrays = {"features.P3_conv_lat_weight": weight, "features.P3_conv_lat_bias": bias}
    for leaf, values in (
        ("gamma", (2, -1, 0, 3)),
        ("beta", (1, 2, 3, 4)),
        ("moving_mean", (0, 1, -1, 2)),
        ("moving_var", (1, 0.5, 0.001, 0)),
    ):
        arrays[f"features.P3_conv1_bn_{leaf}"] = np.array(values)
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    convolved = mx.nd.Convolution(
        data,
        mx.nd.array(arrays["features.P3_conv_lat_weight"]),
        mx.nd.array(arrays["features.P3_conv_lat_bias"]),
        kernel=(1, 1),
        num_filter=4,
    )
    wanted = their_norm(convolved, arrays, "features.P3_conv1_bn")
    before = {name: array.copy() for name, array in arrays.items()}
    ours = rewrite_norms(arrays, {})
    assert "features.P3_conv_lat_bias" not in ours
    for name, array in before.items():
        np.testing.assert_array_equal(
            arrays[name], array, err_msg="the caller's arrays are changed"
        )
    np.testing.assert_allclose(
        conv_norm(data, ours, "features.P3_conv_lat", "features.P3_conv1_bn"),
        wanted,
        rtol=1e-4,
        atol=1e-4,
    )


def leaves(arrays, norm):
    return [
        mx.nd.array(arrays[f"{norm}_{leaf}"])
        for leaf in ("gamma", "beta", "moving_mean", "moving_var")
    ]


def their_norm(data, arrays, norm):
    """As GluonCV calls it: with the operator's own defaults."""
    return mx.nd.contrib.SyncBatchNorm(data, *leaves(arrays, norm), key="test", ndev=1).asnumpy()


def conv_norm(data, arrays, conv, norm):
    """Our layers: a convolution without a bias and a batch norm of eps 1e-5."""
    weight = arrays[f"{conv}_weight"]
    result = mx.nd.Convolution(
        data, mx.nd.array(weight), no_bias=True, kernel=weight.shape[2:], num_filter=len(weight)
    )
    return mx.nd.BatchNorm(
        result, *leaves(arrays, norm), eps=1e-5, fix_gamma=False, use_global_stats=True
    ).asnumpy()


class Net:
    """What saving looks at besides the arrays."""

    def __init__(self, **convention):
        self.backbone = type("Backbone", (), {"strides": (4, 8, 16, 32, 64)})
        self.config = DetectorConfig(convention="gluoncv")
        self.config = self.config.override(convention=replace(self.config.convention, **convention))


def test_any_norm_of_ours_can_be_saved_into_the_pyramid():
    """Also with a negative gamma, or a variance below the difference of the epsilons."""
    data = mx.nd.random.normal(shape=(2, 3, 5, 6))
    conv, norm = "features.P6_conv1", "features.P6_pre_bn"
    arrays = {
        "class_predictor.weight": np.zeros((3, 8)),
        f"{conv}_weight": np.random.randn(4, 3, 3, 3),
        f"{norm}_gamma": np.array((2, -1, 0.5, 3)),
        f"{norm}_beta": np.array((1, 2, 3, 4)),
        f"{norm}_moving_mean": np.array((0, 1, -1, 2)),
        f"{norm}_moving_var": np.array((1, 0.5, 1e-4, 0)),
    }
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    wanted = conv_norm(data, arrays, conv, norm)
    saved = {**arrays, **additions(Net(), arrays)}
    convolved = mx.nd.Convolution(
        data, mx.nd.array(saved[f"{conv}_weight"]), no_bias=True, kernel=(3, 3), num_filter=4
    )
    got = their_norm(convolved, saved, norm)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * wanted.std())


@pytest.mark.parametrize(
    "field, value", [("anchors", "exact"), ("anchor_order", "size"), ("roi_aligned", True)]
)
def test_another_convention_is_not_saved_as_if_it_were_gluoncvs(field, value):
    with pytest.raises(
        ConversionError, match=f"differs from GluonCV's in {field}.*convention='gluoncv'"
    ):
        additions(Net(**{field: value}), {"class_predictor.weight": np.zeros((3, 8), np.float32)})


@pytest.mark.parametrize(
    "name, judge_name",
    [
        ("mobilenet1_0", "mobilenet1.0"),
        pytest.param("resnest50", "resnest50", marks=pytest.mark.slow),
    ],
)
def test_a_classifier_of_other_layers_fills_a_bare_backbone(name, judge_name, tmp_path):
    judge = gluoncv_zoo.get_model(judge_name, pretrained=False)
    judge.initialize(mx.init.MSRAPrelu(slope=0))
    judge(mx.nd.zeros((1, 3, 224, 224)))
    for parameter_name, parameter in judge._collect_params_with_prefix().items():
        if parameter_name.endswith(("beta", "running_mean")):
            parameter.set_data(mx.nd.random.normal(0, 0.1, parameter.shape))
    judge.save_parameters(str(tmp_path / "classifier.params"))
    backbone = model_zoo.get_model(name)
    load(backbone, str(tmp_path / "classifier.params"), "gluoncv")
    x = mx.nd.random.normal(shape=(1, 3, 64, 96))
    # The last layer of MobileNet's features is the mean over the map.
    last_map = judge.features[:-2](x) if name == "mobilenet1_0" else stages(judge, x)[-1]
    wanted = last_map if isinstance(last_map, np.ndarray) else last_map.asnumpy()
    np.testing.assert_allclose(backbone(x)[-1].asnumpy(), wanted, rtol=0, atol=1e-4 * wanted.std())


@pytest.mark.parametrize("deduplicate", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "resnet18_v1b",
        *(
            pytest.param(f"resnet{rest}", marks=pytest.mark.slow)
            for rest in ("34_v1b", "50_v1d", "101_v1b", "101_v1d", "152_v1b", "152_v1d")
        ),
    ],
)
def test_a_classifier_file_fills_a_bare_backbone_and_that_of_a_detector(
    name, deduplicate, tmp_path
):
    judge = classifier(name)
    judge.save_parameters(str(tmp_path / "classifier.params"), deduplicate=deduplicate)
    backbone = model_zoo.get_model(name)
    report = load(backbone, str(tmp_path / "classifier.params"), "gluoncv")
    assert {name for name, _ in report.left_out} == {"fc.weight", "fc.bias"}
    x = mx.nd.random.normal(shape=(1, 3, 65, 90))
    for got, wanted in zip(backbone(x), stages(judge, x)):
        np.testing.assert_allclose(got.asnumpy(), wanted, rtol=0, atol=1e-4 * wanted.std())
    for kind in ("mask_rcnn_", "mask_rcnn_fpn_") if name == "resnet18_v1b" else ():
        net = detector(f"{kind}{name}_coco")
        load_backbone(net, str(tmp_path / "classifier.params"), "gluoncv")
        stage4 = net.box_head.stage if kind == "mask_rcnn_" else net.backbone.backbone.layer4
        assert_same_values(stage4, judge.layer4)


def test_a_backbone_of_group_norm(tmp_path):
    judge = classifier("resnet50_v1b_gn")
    judge.save_parameters(str(tmp_path / "classifier.params"))
    backbone = model_zoo.get_model("resnet50_v1b", norm="gn")
    load(backbone, str(tmp_path / "classifier.params"), "gluoncv")
    x = mx.nd.random.normal(shape=(1, 3, 64, 64))
    for got, wanted in zip(backbone(x), stages(judge, x)):
        np.testing.assert_allclose(got.asnumpy(), wanted, rtol=0, atol=1e-4 * wanted.std())


@pytest.mark.parametrize("name", SMALL[:2])
def test_a_detector_file_fills_a_bare_backbone(name):
    net = detector(name)
    backbone = model_zoo.get_model("resnet18_v1b")
    report = load(backbone, save(net, None, "gluoncv"), "gluoncv")
    assert not any("layer" in name or "down" in name for name, _ in report.left_out)
    x = mx.nd.random.normal(shape=(1, 3, 64, 64))
    if name == "mask_rcnn_fpn_resnet18_v1b_coco":
        wanted = [m.asnumpy() for m in net.backbone.backbone(x)]
    else:
        wanted = [*(m.asnumpy() for m in net.backbone(x))]
        wanted.append(net.box_head.stage(mx.nd.array(wanted[-1])).asnumpy())
    for got, want in zip(backbone(x)[-len(wanted) :], wanted):
        np.testing.assert_array_equal(got.asnumpy(), want)


@pytest.mark.parametrize("name", SMALL)
def test_saving_and_loading_gives_the_same_values(name):
    first, second = detector(name), detector(name)
    report = load(second, save(first, None, "gluoncv"), "gluoncv")
    assert report.loaded == len(first._collect_params_with_prefix())
    arrays = [
        {
            key: parameter.data().asnumpy()
            for key, parameter in net._collect_params_with_prefix().items()
        }
        for net in (first, second)
    ]
    if "syncbn" in name:  # a gamma of the pyramid goes into the convolution before it
        weight, gamma = "backbone.lateral3.conv.weight", "backbone.lateral3.norm.gamma"
        arrays = [
            {
                **{
                    key: array
                    for key, array in part.items()
                    if key.split(".")[1][:-1] not in ("lateral", "output")
                },
                "both": part[weight] * part[gamma][:, None, None, None],
            }
            for part in arrays
        ]
    for key, array in arrays[0].items():
        np.testing.assert_allclose(arrays[1][key], array, rtol=1e-5, atol=1e-6, err_msg=key)


def test_a_file_of_another_model_changes_nothing():
    pyramid, c4 = detector(SMALL[1]), detector(SMALL[0])
    before = {
        key: parameter.data().asnumpy()
        for key, parameter in pyramid._collect_params_with_prefix().items()
    }
    with pytest.raises(ConversionError, match=r"missing: .*lateral2.*unexpected: .*rpn\.conv1"):
        load(pyramid, save(c4, None, "gluoncv"), "gluoncv")
    for key, parameter in pyramid._collect_params_with_prefix().items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), before[key])


def test_other_classes_keep_the_rest():
    first = detector(SMALL[1])
    second = model_zoo.get_model(
        SMALL[1], classes=("a", "b", "c"), fpn_channels=8, rpn_channels=8, mask_channels=8
    )
    arrays = save(first, None, "gluoncv")
    with pytest.raises(ConversionError, match="num_classes_differ"):
        load(second, arrays, "gluoncv")
    fresh = second.mask_head.score.weight.data().asnumpy()
    load(second, arrays, "gluoncv", num_classes_differ="reset")
    np.testing.assert_array_equal(second.mask_head.score.weight.data().asnumpy(), fresh)
    assert_same_values(second.box_head, first.box_head)


@pytest.mark.parametrize(
    "name, changes, match",
    [
        (
            "mask_rcnn_fpn_resnet18_v1b_coco",
            {"norm": "gn"},
            "gluoncv has no name for .*backbone.lateral2.norm.gamma",
        ),
        ("resnet50_v1a", {}, "stride in the first 1x1"),
    ],
)
def test_what_gluoncv_does_not_have_is_not_saved(name, changes, match):
    kwargs = (
        {}
        if name.startswith("resnet")
        else {"classes": CLASSES, "fpn_channels": 32, "mask_channels": 32}
    )
    with pytest.raises(ConversionError, match=match):
        save(model_zoo.get_model(name, **kwargs, **changes), None, "gluoncv")
