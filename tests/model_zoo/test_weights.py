"""Weights from files: all of them or none, and a message that says which do not fit."""
import logging

import model_zoo
from gluonnorm.backbones import ResNetV1, ResNetV1Top, ResNetV2, ResNetV2Top
from gluonnorm.nn import make_norm
from model_zoo.weights import load_base, load_weights, read_arrays

import mxnet as mx
import numpy as np
import pytest


def values(*blocks):
    return [{name: parameter.data().asnumpy() for name, parameter in block._collect_params_with_prefix().items()}
            for block in blocks]


def assert_unchanged(before, *blocks):
    for old, new in zip(before, values(*blocks)):
        for name in old:
            np.testing.assert_array_equal(new[name], old[name], err_msg=name)


def random_arrays(block):
    """Other values for every parameter of ``block``, by structural name."""
    return {name: np.random.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
            for name, parameter in block._collect_params_with_prefix().items()}


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
    arrays = {**random_arrays(backbone), **random_arrays(top), "fc.weight": np.zeros((10, 512), np.float32),
              "fc.bias": np.zeros(10, np.float32)}
    return backbone, top, arrays


@pytest.mark.parametrize("ending, prefix", [(".params", ""), (".params", "arg:"), (".npz", "")])
def test_structural_names_fill_backbone_and_head(v1, tmp_path, ending, prefix):
    backbone, top, arrays = v1
    path = save(tmp_path / f"base{ending}", {prefix + name: array for name, array in arrays.items()})
    load_base(backbone, top, path)
    for block in (backbone, top):
        for name, found in values(block)[0].items():
            np.testing.assert_array_equal(found, arrays[name], err_msg=name)


def test_names_of_mxnets_model_zoo_fill_a_resnet_v2(tmp_path):
    """The reference is MXNet's own network: the same features from the same weights, stage 4 included."""
    classifier = mx.gluon.model_zoo.vision.resnet18_v2(classes=10)
    classifier.initialize(mx.init.Xavier(magnitude=2))
    x = mx.nd.random.uniform(-1, 1, (1, 3, 64, 64))
    classifier(x)
    arrays = {parameter.name[len(classifier.prefix):]: parameter.data().asnumpy()
              for parameter in classifier.collect_params().values()}
    arrays = {name: np.random.uniform(0.5, 1.5, array.shape).astype(np.float32) if "batchnorm" in name else array
              for name, array in arrays.items()}
    for parameter in classifier.collect_params().values():
        parameter.set_data(mx.nd.array(arrays[parameter.name[len(classifier.prefix):]]))
    path = save(tmp_path / "v2.npz", arrays)

    backbone, top = ResNetV2(18, stages=3, out_stages=(3,)), ResNetV2Top(18)
    for block in (backbone, top):
        block.initialize()
    load_base(backbone, top, path)
    whole = ResNetV2(18, out_stages=(4,))
    whole.initialize()
    load_base(whole, None, path)
    expected = classifier.features[:11](x).asnumpy()
    np.testing.assert_allclose(top(backbone(x)[0]).asnumpy(), expected, rtol=1e-4, atol=1e-4 * expected.std())
    np.testing.assert_allclose(whole(x)[0].asnumpy(), expected, rtol=1e-4, atol=1e-4 * expected.std())


def test_an_incomplete_head_starts_fresh_whole(v1, tmp_path, caplog):
    backbone, top, arrays = v1
    before = values(top)
    del arrays["layer4.0.conv2.weight"], arrays["layer4.1.bn2.gamma"]
    with caplog.at_level(logging.WARNING):
        load_base(backbone, top, save(tmp_path / "base.params", arrays))
    assert_unchanged(before, top)
    np.testing.assert_array_equal(values(backbone)[0]["conv1.weight"], arrays["conv1.weight"])
    assert "2 tensors are not both in the file and in the head (layer4.0.conv2.weight, ...)" in caplog.text
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
    return {"missing": {name: array for name, array in arrays.items() if name != "layer2.0.conv1.weight"},
            "unexpected": {**arrays, "layer1.7.conv1.weight": shape},
            "misshapen": {**arrays, "layer3.1.bn1.gamma": shape},
            "misshapen head": {**arrays, "layer4.1.bn1.gamma": shape}}[kind]


@pytest.mark.parametrize("kind, message", [
    ("missing", "1 missing (layer2.0.conv1.weight)"),
    ("unexpected", "1 unexpected (layer1.7.conv1.weight)"),
    ("misshapen", "1 of wrong shape (layer3.1.bn1.gamma (1, 2, 3) for (256,))"),
    ("misshapen head", "1 of wrong shape (layer4.1.bn1.gamma (1, 2, 3) for (512,))"),
])
def test_weights_that_do_not_fit_change_nothing(v1, tmp_path, kind, message):
    backbone, top, arrays = v1
    before = values(backbone, top)
    path = save(tmp_path / "base.params", wrong(arrays, kind))
    with pytest.raises(ValueError) as caught:
        load_base(backbone, top, path)
    assert path in str(caught.value) and "weights of another network" in str(caught.value)
    assert message in str(caught.value), str(caught.value)
    assert_unchanged(before, backbone, top)


def test_a_long_list_is_cut(v1, tmp_path):
    backbone, top, _ = v1
    with pytest.raises(ValueError, match=r"\d\d missing \(bn1.beta, bn1.gamma, bn1.running_mean, ...\)"):
        load_base(backbone, top, save(tmp_path / "other.params", {"fc.weight": np.zeros((2, 2), np.float32)}))


@pytest.mark.parametrize("ending", [".params", ".npz"])
@pytest.mark.parametrize("length", [0, 10, 5000])
def test_a_truncated_file_is_refused(v1, tmp_path, ending, length):
    backbone, top, arrays = v1
    before = values(backbone, top)
    path = tmp_path / f"base{ending}"
    save(path, arrays)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="not a readable .params or .npz file") as caught:
        load_base(backbone, top, str(path))
    assert "\n" not in str(caught.value)
    assert_unchanged(before, backbone, top)


def test_no_such_file_and_no_names(tmp_path):
    with pytest.raises(ValueError, match="absent.params: no such file of weights"):
        read_arrays(str(tmp_path / "absent.params"))
    with pytest.raises(ValueError, match="no such file of weights"):
        read_arrays(str(tmp_path))
    mx.nd.save(str(tmp_path / "list.params"), [mx.nd.zeros(3)])
    with pytest.raises(ValueError, match="arrays without names"):
        read_arrays(str(tmp_path / "list.params"))


def test_load_weights_wants_every_name_and_shape(tmp_path):
    def build(classes):
        return model_zoo.get_model("faster_rcnn_resnet18_v1b_custom", classes=classes, rpn_channels=8)

    two, three = build(("a", "b")), build(("a", "b", "c"))
    path = str(tmp_path / "two.params")
    two.save_parameters(path)
    before = values(three)
    with pytest.raises(ValueError) as caught:
        load_weights(three, path)
    assert "4 of wrong shape" in str(caught.value) and "predictor.score.bias (3,) for (4,)" in str(caught.value)
    assert_unchanged(before, three)
    other = build(("a", "b"))
    other(mx.nd.zeros((1, 3, 64, 64)))  # weights that were used lie in memory in oneDNN's order
    load_weights(other, path)
    assert_unchanged(values(two), other)
