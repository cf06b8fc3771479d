"""Weights from files and records: all of them or none, and a message that says which do not fit."""

import hashlib
import json
import logging
import zipfile
from dataclasses import asdict

import model_zoo
from gluonnorm import training
from gluonnorm.backbones import ResNetV1, ResNetV1Top, ResNetV2, ResNetV2Top
from gluonnorm.conversion import save as save_for
from gluonnorm.errors import InputError
from gluonnorm.nn import make_norm
from gluonnorm.weight_files import read_arrays, write_arrays
from model_zoo import published_weights
from model_zoo.pretrained import load_pretrained, load_pretrained_base, load_record
from model_zoo.published_weights import PUBLISHED_WEIGHTS, PublishedWeights, find_weights
from model_zoo.weights import load_base, load_weights

import mxnet as mx
import numpy as np
import pytest
from file_server import FileServer


def values(*blocks):
    return [
        {
            name: parameter.data().asnumpy()
            for name, parameter in block._collect_params_with_prefix().items()
        }
        for block in blocks
    ]


def assert_unchanged(before, *blocks):
    for old, new in zip(before, values(*blocks)):
        for name in old:
            np.testing.assert_array_equal(new[name], old[name], err_msg=name)


def random_arrays(block):
    """Other values for every parameter of ``block``, by structural name."""
    return {
        name: np.random.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
        for name, parameter in block._collect_params_with_prefix().items()
    }


def save(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        mx.nd.save(str(path), {name: mx.nd.array(array) for name, array in arrays.items()})
    return str(path)


@pytest.fixture
def v1():
    """Backbone and head of a C4 detector, and the arrays of a classifier of the same depth."""
    backbone, top = ResNetV1(18, stages=3, out_stages=(3,)), ResNetV1Top(18)
    for block in (backbone, top):
        block.initialize()
    arrays = {
        **random_arrays(backbone),
        **random_arrays(top),
        "fc.weight": np.zeros((10, 512), np.float32),
        "fc.bias": np.zeros(10, np.float32),
    }
    return backbone, top, arrays


@pytest.mark.parametrize("ending, prefix", [(".params", ""), (".params", "arg:"), (".npz", "")])
def test_structural_names_fill_backbone_and_head(v1, tmp_path, ending, prefix):
    backbone, top, arrays = v1
    path = save(
        tmp_path / f"base{ending}", {prefix + name: array for name, array in arrays.items()}
    )
    load_base(backbone, top, path)
    for block in (backbone, top):
        for name, found in values(block)[0].items():
            np.testing.assert_array_equal(found, arrays[name], err_msg=name)


def test_names_of_mxnets_model_zoo_fill_a_resnet_v2(tmp_path):
    """MXNet's own network is the reference: the same features, stage 4 included."""
    classifier = mx.gluon.model_zoo.vision.resnet18_v2(classes=10)
    classifier.initialize(mx.init.Xavier(magnitude=2))
    x = mx.nd.random.uniform(-1, 1, (1, 3, 64, 64))
    classifier(x)
    arrays = {
        parameter.name[len(classifier.prefix) :]: parameter.data().asnumpy()
        for parameter in classifier.collect_params().values()
    }
    arrays = {
        name: np.random.uniform(0.5, 1.5, array.shape).astype(np.float32)
        if "batchnorm" in name
        else array
        for name, array in arrays.items()
    }
    for parameter in classifier.collect_params().values():
        parameter.set_data(mx.nd.array(arrays[parameter.name[len(classifier.prefix) :]]))
    path = save(tmp_path / "v2.npz", arrays)

    backbone, top = ResNetV2(18, stages=3, out_stages=(3,)), ResNetV2Top(18)
    for block in (backbone, top):
        block.initialize()
    load_base(backbone, top, path)
    whole = ResNetV2(18, out_stages=(4,))
    whole.initialize()
    load_base(whole, None, path)
    expected = classifier.features[:11](x).asnumpy()
    np.testing.assert_allclose(
        top(backbone(x)[0]).asnumpy(), expected, rtol=1e-4, atol=1e-4 * expected.std()
    )
    np.testing.assert_allclose(
        whole(x)[0].asnumpy(), expected, rtol=1e-4, atol=1e-4 * expected.std()
    )


def test_structural_names_of_mxnets_resnet_v2(tmp_path):
    classifier = mx.gluon.model_zoo.vision.resnet18_v2(classes=10)
    classifier.initialize(mx.init.Xavier(magnitude=2))
    x = mx.nd.random.uniform(-1, 1, (1, 3, 64, 64))
    expected = classifier.features[:11](x).asnumpy()
    classifier(x)
    path = str(tmp_path / "v2.params")
    classifier.save_parameters(path)
    backbone = ResNetV2(18, out_stages=(4,))
    backbone.initialize()
    load_base(backbone, None, path)
    np.testing.assert_allclose(
        backbone(x)[0].asnumpy(), expected, rtol=1e-4, atol=1e-4 * expected.std()
    )


def test_an_incomplete_head_starts_fresh_whole(v1, tmp_path, caplog):
    backbone, top, arrays = v1
    before = values(top)
    del arrays["layer4.0.conv2.weight"], arrays["layer4.1.bn2.gamma"]
    with caplog.at_level(logging.WARNING):
        load_base(backbone, top, save(tmp_path / "base.params", arrays))
    assert_unchanged(before, top)
    np.testing.assert_array_equal(values(backbone)[0]["conv1.weight"], arrays["conv1.weight"])
    assert (
        "2 tensors are not both in the file and in the head (layer4.0.conv2.weight, ...)"
        in caplog.text
    )
    assert "the head starts fresh" in caplog.text


def test_a_head_of_another_norm_starts_fresh_whole(v1, tmp_path, caplog):
    backbone, _, arrays = v1
    top = ResNetV1Top(18, norm=make_norm("gn"))
    top.initialize()
    before = values(top)
    with caplog.at_level(logging.WARNING):
        load_base(backbone, top, save(tmp_path / "base.params", arrays))
    assert_unchanged(before, top)
    np.testing.assert_array_equal(values(backbone)[0]["conv1.weight"], arrays["conv1.weight"])
    assert "(layer4.0.bn1.running_mean, ...): the head starts fresh" in caplog.text


def wrong(arrays, kind):
    """``arrays`` with one fault."""
    shape = np.zeros((1, 2, 3), np.float32)
    return {
        "missing": {
            name: array for name, array in arrays.items() if name != "layer2.0.conv1.weight"
        },
        "unexpected": {**arrays, "layer1.7.conv1.weight": shape},
        "misshapen": {**arrays, "layer3.1.bn1.gamma": shape},
        "misshapen head": {**arrays, "layer4.1.bn1.gamma": shape},
    }[kind]


@pytest.mark.parametrize(
    "kind, message",
    [
        ("missing", "1 missing: layer2.0.conv1.weight"),
        ("unexpected", "1 unexpected: layer1.7.conv1.weight"),
        (
            "misshapen",
            "1 misshapen: layer3.1.bn1.gamma is (1, 2, 3) in the file, (256,) in the network",
        ),
        (
            "misshapen head",
            "1 misshapen: layer4.1.bn1.gamma is (1, 2, 3) in the file, (512,) in the network",
        ),
    ],
)
def test_weights_that_do_not_fit_change_nothing(v1, tmp_path, kind, message):
    backbone, top, arrays = v1
    before = values(backbone, top)
    path = save(tmp_path / "base.params", wrong(arrays, kind))
    with pytest.raises(InputError) as caught:
        load_base(backbone, top, path)
    assert path in str(caught.value) and "weights of another network" in str(caught.value)
    assert message in str(caught.value), str(caught.value)
    assert_unchanged(before, backbone, top)


def test_a_long_list_is_cut(v1, tmp_path):
    backbone, top, _ = v1
    with pytest.raises(
        InputError,
        match=r"\d\d missing: conv1.weight, bn1.gamma, bn1.beta, bn1.running_mean and \d\d more",
    ):
        load_base(
            backbone,
            top,
            save(tmp_path / "other.params", {"fc.weight": np.zeros((2, 2), np.float32)}),
        )


@pytest.mark.parametrize("ending", [".params", ".npz"])
@pytest.mark.parametrize("length", [0, 10, 5000])
def test_a_truncated_file_is_refused(v1, tmp_path, ending, length):
    backbone, top, arrays = v1
    before = values(backbone, top)
    path = tmp_path / f"base{ending}"
    save(path, arrays)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(
        InputError, match="not a readable .params|not a readable .npz|an empty file"
    ) as caught:
        load_base(backbone, top, str(path))
    assert "\n" not in str(caught.value)
    assert_unchanged(before, backbone, top)


def test_no_such_file_and_no_names(tmp_path):
    with pytest.raises(InputError, match="absent.params: no such file of weights"):
        read_arrays(str(tmp_path / "absent.params"))
    with pytest.raises(InputError, match="is a folder, not a file of weights"):
        read_arrays(str(tmp_path))
    mx.nd.save(str(tmp_path / "list.params"), [mx.nd.zeros(3)])
    with pytest.raises(InputError, match="arrays without names"):
        read_arrays(str(tmp_path / "list.params"))


def test_load_weights_wants_every_name_and_shape(tmp_path):
    def build(classes):
        return model_zoo.get_model(
            "faster_rcnn_resnet18_v1b_custom", classes=classes, rpn_channels=8, rpn_test_post_nms=10
        )

    two, three = build(("a", "b")), build(("a", "b", "c"))
    path = str(tmp_path / "two.params")
    two.save_parameters(path)
    before = values(three)
    with pytest.raises(InputError) as caught:
        load_weights(three, path)
    assert "4 misshapen: " in str(caught.value)
    assert "predictor.score.bias is (3,) in the file, (4,) in the network" in str(caught.value)
    assert_unchanged(before, three)
    other = build(("a", "b"))
    other(mx.nd.zeros((1, 3, 64, 64)))  # weights that were used lie in memory in oneDNN's order
    load_weights(other, path)
    assert_unchanged(values(two), other)


@pytest.fixture
def publish(monkeypatch, tmp_path):
    """A function that serves a file on this machine and puts its record first into the table."""
    server = FileServer()
    monkeypatch.setenv("GLUONNORM_HOME", str(tmp_path / "cache"))

    def publisher(path, source, zipped=False, **fields):
        content = path.read_bytes()
        name = f"{path.stem}.zip" if zipped else path.name
        if zipped:
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                archive.write(path, path.name)
        server.files[name] = (tmp_path / name).read_bytes()
        record = PublishedWeights(
            key=f"{source}/published",
            file=path.name,
            url=server.url + name,
            source=source,
            checksum=f"sha1:{hashlib.sha1(content).hexdigest()}",
            **fields,
        )
        monkeypatch.setattr(
            published_weights, "PUBLISHED_WEIGHTS", {record.key: record, **PUBLISHED_WEIGHTS}
        )
        return record

    publisher.server = server
    yield publisher
    server.close()


def randomized(name, **options):
    """A small network with other values everywhere than a fresh one has."""
    net = model_zoo.get_model(name, **options)
    for key, array in random_arrays(net).items():
        net._collect_params_with_prefix()[key].set_data(mx.nd.array(array))
    return net


@pytest.mark.parametrize(
    "source, ending, value", [("torchvision", ".pth", True), ("gluoncv", ".params", "key")]
)
def test_pretrained_base_is_fetched_once_and_fills_backbone_and_c4_head(
    publish, tmp_path, source, ending, value
):
    classifier = randomized("resnet18_v1b")
    save_for(classifier, str(tmp_path / f"base{ending}"), source)
    record = publish(
        tmp_path / f"base{ending}", source, zipped=source == "gluoncv", backbones=("resnet18_v1b",)
    )
    name = "faster_rcnn_resnet18_v1b_custom"
    expected = values(classifier)[0]
    for _ in range(2):
        net = model_zoo.get_model(name, classes=("a",), rpn_channels=8)
        before = values(net.rpn)
        load_pretrained_base(
            net, value if value is True else record.key, "resnet18_v1b", "frozen_bn", name
        )
        found = {**values(net.backbone)[0], **values(net.box_head.stage)[0]}
        assert set(found) == set(expected)
        for key in expected:
            np.testing.assert_allclose(found[key], expected[key], rtol=1e-6, err_msg=key)
        assert_unchanged(before, net.rpn)
    bare = model_zoo.get_model("resnet18_v1b")
    load_pretrained_base(bare, True, "resnet18_v1b", "frozen_bn")
    np.testing.assert_allclose(values(bare)[0]["conv1.weight"], expected["conv1.weight"], rtol=1e-6)
    assert len(publish.server.requests) == 1


def test_head_of_another_norm_starts_fresh_below_a_published_backbone(publish, tmp_path, caplog):
    classifier = randomized("resnet18_v1b")
    save_for(classifier, str(tmp_path / "base.pth"), "torchvision")
    publish(tmp_path / "base.pth", "torchvision", backbones=("resnet18_v1b",))
    net = model_zoo.get_model(
        "faster_rcnn_resnet18_v1b_custom", classes=("a",), head_norm="gn", rpn_channels=8
    )
    before = values(net.box_head)
    with caplog.at_level(logging.WARNING):
        load_pretrained_base(
            net, True, "resnet18_v1b", "frozen_bn", "faster_rcnn_resnet18_v1b_custom"
        )
    assert "head_norm='gn': the head starts fresh" in caplog.text
    assert_unchanged(before, net.box_head)
    np.testing.assert_allclose(
        values(net.backbone)[0]["layer3.0.conv1.weight"],
        values(classifier)[0]["layer3.0.conv1.weight"],
        rtol=1e-6,
    )


def test_published_resnet_v2_has_mxnets_names(publish, tmp_path):
    classifier = mx.gluon.model_zoo.vision.resnet18_v2(classes=10)
    classifier.initialize(mx.init.Xavier(magnitude=2))
    classifier(mx.nd.zeros((1, 3, 64, 64)))
    classifier.save_parameters(str(tmp_path / "v2.params"))
    record = publish(tmp_path / "v2.params", "gluoncv", zipped=True)
    backbone = model_zoo.get_model("resnet18_v2")
    assert load_record(backbone, record, "base") is None
    np.testing.assert_array_equal(
        values(backbone)[0]["conv1.weight"], classifier.features[1].weight.data().asnumpy()
    )


SMALL = {"rpn_channels": 8, "fpn_channels": 16}


@pytest.fixture
def detector(publish, tmp_path):
    """The record of a published Mask R-CNN, and the network it was made from."""
    net = randomized("mask_rcnn_fpn_resnet18_v1b_coco", **SMALL)
    save_for(net, str(tmp_path / "mask.params"), "gluoncv")
    record = publish(
        tmp_path / "mask.params",
        "gluoncv",
        zipped=True,
        models=("mask_rcnn_fpn_resnet18_v1b_coco",),
        backbones=("resnet18_v1b",),
    )
    return record, net


def test_pretrained_fills_the_whole_network(detector, publish):
    record, expected = detector
    for value in (True, record.key):
        net = model_zoo.get_model("mask_rcnn_fpn_resnet18_v1b_coco", **SMALL)
        load_pretrained(net, value, "mask_rcnn_fpn_resnet18_v1b_coco")
        found = values(net)[0]
        for name, array in values(expected)[0].items():
            np.testing.assert_allclose(found[name], array, rtol=1e-6, err_msg=name)
    assert len(publish.server.requests) == 1


def test_classes_of_ones_own_get_fresh_predictors(detector):
    _, published = detector
    net = model_zoo.get_model("mask_rcnn_fpn_resnet18_v1b_coco", classes=("a", "b"), **SMALL)
    before = values(net)
    with pytest.raises(InputError):
        load_pretrained(net, True, "mask_rcnn_fpn_resnet18_v1b_coco")
    assert_unchanged(before, net)
    load_pretrained(net, True, "mask_rcnn_fpn_resnet18_v1b_coco", reset=True)
    found, there = values(net)[0], values(published)[0]
    fresh = {name for name in found if name.startswith(("predictor.", "mask_head.score."))}
    assert len(fresh) == 6
    for name in set(found) - fresh:
        np.testing.assert_allclose(found[name], there[name], rtol=1e-6, err_msg=name)
    assert found["predictor.score.weight"].shape == (3, 1024)


def test_the_same_number_of_other_classes_keeps_no_predictor_unnoticed(detector, caplog):
    """Of the published classes a few are kept by name, at another place; the rest starts fresh."""
    _, published = detector
    name = "mask_rcnn_fpn_resnet18_v1b_coco"
    classes = ["zebra", "person", *(f"own {index}" for index in range(78))]
    net = model_zoo.get_model(name, classes=classes, **SMALL)
    before = values(net)[0]
    with pytest.raises(InputError, match="is for the classes person, .*the network for zebra"):
        load_pretrained(net, True, name)
    assert_unchanged([before], net)
    load_pretrained(net, True, name, reset=True)
    found, there = values(net)[0], values(published)[0]
    zebra = published.classes.index("zebra")
    kept = {
        "predictor.score.": ([0, 1, 2], [0, 1 + zebra, 1]),
        "predictor.loc.": (range(8), [*range(4 * zebra, 4 * zebra + 4), 0, 1, 2, 3]),
        "mask_head.score.": ([0, 1], [zebra, 0]),
    }
    for layer, (own_rows, published_rows) in kept.items():
        for leaf in ("weight", "bias"):
            array = found[layer + leaf]
            count = len(own_rows)
            np.testing.assert_allclose(array[:count], there[layer + leaf][list(published_rows)])
            np.testing.assert_array_equal(array[count:], before[layer + leaf][count:])
    assert "the file has 2 of the 80 classes by name; fresh predictors: own 0, own 1" in caplog.text


def test_classes_in_another_order_are_found_by_name(detector, caplog):
    _, published = detector
    name = "mask_rcnn_fpn_resnet18_v1b_coco"
    net = model_zoo.get_model(name, classes=published.classes[::-1], **SMALL)
    load_pretrained(net, True, name, reset=True)
    bias = values(published)[0]["mask_head.score.bias"]
    np.testing.assert_allclose(values(net)[0]["mask_head.score.bias"], bias[::-1])
    assert "the predictors of all 80 classes were found in the file by name" in caplog.text


@pytest.mark.parametrize("classes", [("dog", "cow"), ("cow", "dog", "cat"), ("cow",)])
def test_a_checkpoint_of_other_classes(tmp_path, caplog, classes):
    """The .json beside the weights names the classes; without it they cannot be known."""
    name = "mask_rcnn_fpn_resnet18_v1b_custom"
    first = randomized(name, classes=("cat", "dog"), **SMALL)
    path = str(tmp_path / "net-0000001.params")
    first.save_parameters(path)
    header = {"spec": {"classes": ["cat", "dog"]}}
    (tmp_path / "net-0000001.json").write_text(json.dumps(header), encoding="utf-8")
    net = model_zoo.get_model(name, classes=classes, **SMALL)
    before = values(net)[0]
    load_weights(net, path)
    found, there = values(net)[0], values(first)[0]
    np.testing.assert_array_equal(found["rpn.score.weight"], there["rpn.score.weight"])
    rows, fresh = found["mask_head.score.bias"], before["mask_head.score.bias"]
    for index, class_name in enumerate(classes):
        expected = fresh[index]
        if class_name in first.classes:
            expected = there["mask_head.score.bias"][first.classes.index(class_name)]
        assert rows[index] == expected, class_name
    assert "fresh predictors: cow" in caplog.text
    (tmp_path / "net-0000001.json").write_text("[]", encoding="utf-8")
    net = model_zoo.get_model(name, classes=("x", "y"), **SMALL)
    load_weights(net, path)
    np.testing.assert_array_equal(values(net)[0]["mask_head.score.bias"], rows_of(first))


def rows_of(net):
    return values(net)[0]["mask_head.score.bias"]


@pytest.mark.parametrize("prefix", ["module.", "model._orig_mod."])
def test_prefixes_in_front_of_this_packages_names(tmp_path, prefix, caplog):
    caplog.set_level("INFO")
    net = randomized("mask_rcnn_fpn_resnet18_v1b_custom", classes=("a",), **SMALL)
    arrays = {prefix + name: array for name, array in values(net)[0].items()}
    write_arrays(tmp_path / "a.npz", arrays)
    other = model_zoo.get_model("mask_rcnn_fpn_resnet18_v1b_custom", classes=("a",), **SMALL)
    load_weights(other, str(tmp_path / "a.npz"))
    assert_unchanged(values(net), other)
    assert "taken off" in caplog.text


def test_backbone_of_a_published_detector(detector):
    """A key may name any record: here the trunk of a detector starts another detector."""
    record, published = detector
    net = model_zoo.get_model("faster_rcnn_fpn_resnet18_v1b_custom", classes=("a",), **SMALL)
    before = values(net.rpn, net.box_head)
    load_pretrained_base(
        net, record.key, "resnet18_v1b", "frozen_bn", "faster_rcnn_fpn_resnet18_v1b_custom"
    )
    assert_unchanged(before, net.rpn, net.box_head)
    found = values(net.backbone.backbone)[0]
    for name, array in values(published.backbone.backbone)[0].items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, err_msg=name)


def test_eps_of_the_record_is_the_networks_after_loading(publish, tmp_path):
    """A frozen norm computes gamma / sqrt(var + eps); the eps of the file is the record's."""
    classifier = randomized("resnet18_v1b")
    arrays = save_for(classifier, str(tmp_path / "base.pth"), "torchvision")
    record = publish(tmp_path / "base.pth", "torchvision", eps=0.1)
    net = model_zoo.get_model("resnet18_v1b")
    load_record(net, record, "base")
    found = values(net)[0]
    scale = found["bn1.gamma"] / np.sqrt(found["bn1.running_var"] + 1e-5)
    np.testing.assert_allclose(
        scale, arrays["bn1.weight"] / np.sqrt(arrays["bn1.running_var"] + 0.1), rtol=1e-5
    )


def test_a_file_is_still_a_file(publish, tmp_path):
    """Neither True nor a key: this package's own weights, without any record."""
    net = randomized("faster_rcnn_fpn_resnet18_v1b_custom", classes=("a",), **SMALL)
    net.save_parameters(str(tmp_path / "own.params"))
    write_arrays(str(tmp_path / "base.npz"), values(net.backbone.backbone)[0])
    other = model_zoo.get_model("faster_rcnn_fpn_resnet18_v1b_custom", classes=("a",), **SMALL)
    load_pretrained_base(
        other, str(tmp_path / "base.npz"), "resnet18_v1b", "frozen_bn", other.spec.model
    )
    assert_unchanged(values(net.backbone.backbone), other.backbone.backbone)
    load_pretrained(other, str(tmp_path / "own.params"), other.spec.model)
    assert_unchanged(values(net), other)
    assert publish.server.requests == []


def test_neither_key_nor_file(v1):
    for load in (
        lambda: load_pretrained(v1[0], "torchvision/resnet51", "any"),
        lambda: load_pretrained_base(v1[0], "torchvision/resnet51", "resnet50_v1b", "bn"),
    ):
        with pytest.raises(
            InputError,
            match="torchvision/resnet51: no such file of weights, nor a key.*"
            "did you mean torchvision/resnet50",
        ):
            load()


@pytest.mark.parametrize(
    "given, meant",
    [("blod-best.params", "blood-best.params"), ("blood", "{folder}/blood-best.json")],
)
def test_a_file_that_is_spelled_nearly_so_is_named(tmp_path, given, meant):
    for ending in ("params", "json"):
        (tmp_path / f"blood-best.{ending}").touch()
    meant = meant.format(folder=tmp_path)
    with pytest.raises(InputError, match=f"no such file of weights.*did you mean .*{meant}"):
        find_weights(str(tmp_path / given))


@pytest.fixture(scope="module")
def own():
    """A detector of this package, and its arrays."""
    net = randomized("mask_rcnn_fpn_resnet18_v1b_custom", classes=("a", "b"), **SMALL)
    return net, values(net)[0]


@pytest.mark.parametrize(
    "convert, message",
    [
        (lambda array: np.full(array.shape, np.nan, np.float32), "1 unusable: .* are not finite"),
        (lambda array: np.full(array.shape, 1e300), "1 unusable: .* are not finite in float32"),
        (lambda array: np.ones(array.shape, np.int64), "1 unusable: .* holds int64, not floats"),
        (lambda array: array.astype(np.complex64), "1 unusable: .* holds complex64, not floats"),
        (lambda array: np.full(array.shape, "text"), "1 unusable: .* holds <U4, not floats"),
    ],
)
def test_numbers_that_are_no_weights(own, tmp_path, convert, message):
    net, arrays = own
    before = values(net)
    name = "rpn.score.weight"
    np.savez(tmp_path / "a.npz", **{**arrays, name: convert(arrays[name])})
    with pytest.raises(InputError, match=message):
        load_weights(net, str(tmp_path / "a.npz"))
    with pytest.raises(InputError, match=message):
        net.load_parameters(tmp_path / "a.npz")
    assert_unchanged(before, net)


@pytest.mark.parametrize(
    "classes, message",
    [
        (["x"] * 9 + ["a"], "has rows of 2 classes, and the .json beside it names 10"),
        (["a"], "has rows of 2 classes, and the .json beside it names 1 .a."),
        (["b", "b"], "names 2 .b, b.; one of the files was altered"),
    ],
)
def test_a_json_beside_the_weights_of_other_classes(own, tmp_path, classes, message):
    net, arrays = own
    np.savez(tmp_path / "a.npz", **arrays)
    header = {"spec": {"classes": classes}}
    (tmp_path / "a.json").write_text(json.dumps(header), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_weights(net, str(tmp_path / "a.npz"))


@pytest.mark.parametrize(
    "layer, rows, message",
    [
        ("predictor.loc", 4, "predictor.loc.[a-z]+ has 4 rows, and would have 8 for the 2 classes"),
        ("mask_head.score", 1, "mask_head.score.[a-z]+ has 1 rows, and would have 2 for the 2 cl"),
    ],
)
def test_rows_that_the_json_beside_the_weights_does_not_explain(
    own, tmp_path, layer, rows, message
):
    net, arrays = own
    before = values(net)
    cut = {name: array[:rows] for name, array in arrays.items() if name.startswith(layer)}
    np.savez(tmp_path / "a.npz", **{**arrays, **cut})
    header = {"spec": {"classes": ["b", "c"]}}
    (tmp_path / "a.json").write_text(json.dumps(header), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_weights(net, str(tmp_path / "a.npz"))
    assert_unchanged(before, net)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"spec": ', "[" + "9" * 200 + "]"])
def test_a_json_beside_the_weights_that_cannot_be_read_is_told(own, tmp_path, text, caplog):
    net, arrays = own
    np.savez(tmp_path / "a.npz", **arrays)
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    load_weights(net, str(tmp_path / "a.npz"))
    assert "a.json: not read for the classes and settings" in caplog.text


def test_the_way_out_for_files_that_do_not_fit(own, tmp_path):
    net, arrays = own
    path = str(tmp_path / "a.npz")
    np.savez(path, **arrays)
    one_class = model_zoo.get_model("mask_rcnn_fpn_resnet18_v1b_custom", classes=("a",), **SMALL)
    with pytest.raises(InputError, match="Only the numbers of classes differ: give classes="):
        load_weights(one_class, path)
    with pytest.raises(InputError, match="of a complete detector of this package: give it as pre"):
        load_pretrained_base(one_class, path, "resnet18_v1b", "frozen_bn")
    for prefix in ("first.", "second."):
        arrays = {**arrays, **{prefix + name: array for name, array in own[1].items()}}
    for name in own[1]:
        del arrays[name]
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="several prefixes .first, second.*get_model takes no ent"):
        load_weights(net, path)


def checkpoint_of(net, prefix):
    """What a training run leaves of a network."""
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd")
    return training.save(str(prefix), net, trainer, {"step": 3}, asdict(net.spec))


def test_a_checkpoint_opens_as_it_was_trained(own, tmp_path):
    net, arrays = own
    net.configure(short=96, nms_thresh=0.4)
    path = checkpoint_of(net, tmp_path / "run")
    again = model_zoo.from_checkpoint(path)
    assert again.spec == net.spec and again.config.short == (96,)
    for name, parameter in again._collect_params_with_prefix().items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), arrays[name], err_msg=name)
    with pytest.raises(training.CheckpointError, match="norm"):
        model_zoo.from_checkpoint(path, stated={"norm": "sn"})
    with pytest.raises(InputError, match="a description, not weights.*from_checkpoint.*opens"):
        load_pretrained(net, path, net.spec.model)


def test_weights_that_were_trained_with_other_settings(own, tmp_path, caplog):
    net, _ = own
    net.configure(short=96, nms_thresh=0.4)
    weights = checkpoint_of(net, tmp_path / "run").replace(".json", ".params")
    load_weights(net, weights)
    assert not caplog.text
    # A threshold of the final NMS is the user's choice, with any weights.
    net.configure(short=128, nms_thresh=0.5)
    load_weights(net, weights)
    (record,) = caplog.records
    assert "short is (128,) and was (96,)." in record.getMessage()
    assert "nms_thresh" not in record.getMessage()


def test_weights_of_another_norm_name_the_way_out(own, tmp_path):
    net, _ = own
    weights = checkpoint_of(net, tmp_path / "run").replace(".json", ".params")
    other = model_zoo.get_model(
        "mask_rcnn_fpn_resnet18_v1b_custom", classes=net.classes, norm="sn", **SMALL
    )
    with pytest.raises(InputError, match="another norm, backbone or settings; .*from_checkpoint"):
        load_weights(other, weights)
