from gluonnorm.backbones import ResNetV2, ResNetV2Top, mxnet_names
from gluonnorm.nn import make_norm
from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon.model_zoo import vision


def gluon_net(depth):
    """Gluon's ResNet v2 with random norms, and its parameters by name without prefix."""
    net = vision.get_resnet(2, depth)
    net.initialize(mx.init.MSRAPrelu(slope=0))
    net(nd.zeros((1, 3, 32, 32)))
    parameters = {name[len(net.prefix) :]: p for name, p in net.collect_params().items()}
    for name, parameter in parameters.items():
        if name.endswith(("gamma", "running_var")) and name != "batchnorm0_gamma":
            parameter.set_data(nd.random.uniform(0.5, 1.5, parameter.shape))
        elif name.endswith(("beta", "running_mean")) and name != "batchnorm0_beta":
            parameter.set_data(nd.random.normal(0, 0.2, parameter.shape))
    return net, parameters


def load(net, arrays):
    """Set the parameters of ``net`` from arrays under Gluon's names."""
    parameters = net._collect_params_with_prefix()
    names = mxnet_names(net)
    assert set(names) == set(parameters) and len(set(names.values())) == len(names)
    for ours, theirs in names.items():
        assert parameters[ours].shape == arrays[theirs].shape, ours
        parameters[ours].initialize(init="zeros")
        parameters[ours].set_data(arrays[theirs])


def assert_close(got, wanted):
    """Within 1e-4 of the wanted map's standard deviation."""
    wanted = wanted.asnumpy()
    np.testing.assert_allclose(got.asnumpy(), wanted, rtol=0, atol=1e-4 * wanted.std())


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_features_equal_gluon(depth):
    theirs, parameters = gluon_net(depth)
    arrays = {name: p.data() for name, p in parameters.items()}
    ours = ResNetV2(depth)
    load(ours, arrays)
    ours.hybridize()
    assert set(arrays) - set(mxnet_names(ours).values()) == {"dense0_weight", "dense0_bias"}
    x = nd.random.normal(shape=(2, 3, 67, 90))
    for got, stop in zip(ours(x), (6, 7, 8, 11)):
        assert_close(got, theirs.features[:stop](x))


def test_backbone_and_head_equal_gluon_s_split():
    theirs, parameters = gluon_net(50)
    arrays = {name: p.data() for name, p in parameters.items()}
    x = nd.random.normal(shape=(2, 3, 67, 90))
    body, head = ResNetV2(50, stages=3, out_stages=(3,)), ResNetV2Top(50)
    load(body, arrays)
    load(head, arrays)
    assert_close(body(x)[0], theirs.features[:8](x))
    assert_close(head(body(x)[0]), theirs.features[8:11](theirs.features[:8](x)))


def test_real_weights_give_gluon_s_features(shared):
    path = shared / "data" / "resnet50v2_imagenet" / "resnet50_v2_c4.npz"
    if not path.is_file():
        pytest.skip(f"no weights at {path}")
    with np.load(str(path)) as file:
        arrays = {name: nd.array(file[name]) for name in file.files}
    body = ResNetV2(50, stages=3, out_stages=(3,))
    load(body, arrays)
    theirs = vision.resnet50_v2()
    theirs.initialize()
    x = nd.random.normal(shape=(1, 3, 96, 128))
    theirs(x)
    for name, parameter in theirs.collect_params().items():
        short = name[len(theirs.prefix) :]
        if short in arrays:
            parameter.set_data(arrays[short])
    assert_close(body(x)[0], theirs.features[:8](x))


def test_names_of_a_few_parameters():
    names = mxnet_names(ResNetV2(50))
    assert names["bn_in.running_mean"] == "batchnorm0_running_mean"
    assert names["conv1.weight"] == "conv0_weight"
    assert names["layer1.0.downsample.weight"] == "stage1_conv3_weight"
    assert names["layer1.1.conv1.weight"] == "stage1_conv4_weight"
    assert names["layer4.2.bn3.gamma"] == "stage4_batchnorm8_gamma"
    assert names["bn_out.beta"] == "batchnorm2_beta"
    assert mxnet_names(ResNetV2Top(50)) == {
        k: v for k, v in names.items() if k.startswith(("layer4", "bn_out"))
    }


@pytest.mark.parametrize("name", ["frozen_bn", "global_bn", "bn", "gn"])
def test_hybrid_equals_imperative_with_any_norm(name):
    net = ResNetV2(18, norm=make_norm(name), rescale="normalize")
    net.initialize()
    x = nd.random.uniform(0, 255, (2, 3, 50, 71))
    imperative = net(x)
    net.hybridize()
    for got, wanted, stride, channels in zip(net(x), imperative, net.strides, net.channels):
        assert_close(got, wanted)
        assert got.shape == (2, channels, -(-50 // stride), -(-71 // stride))


def test_rescale_can_be_left_out_by_moving_the_statistics_of_the_first_norm():
    scaled = ResNetV2(18, stages=1, rescale="denormalize")
    plain = ResNetV2(18, stages=1)
    scaled.initialize()
    scaled.bn_in.running_mean.set_data(nd.array([120, 115, 100]))
    scaled.bn_in.running_var.set_data(nd.array([3500, 3200, 3600]))
    theirs = scaled._collect_params_with_prefix()
    for name, parameter in plain._collect_params_with_prefix().items():
        parameter.initialize(init="zeros")
        parameter.set_data(theirs[name].data())
    mean, std = nd.array(IMAGENET_MEAN), nd.array(IMAGENET_STD)
    plain.bn_in.running_mean.set_data((scaled.bn_in.running_mean.data() - mean) / std)
    plain.bn_in.running_var.set_data((scaled.bn_in.running_var.data() + 1e-5) / std**2 - 1e-5)
    x = nd.random.normal(shape=(2, 3, 33, 47))
    assert_close(plain(x)[0], scaled(x)[0])


def test_zero_gamma_starts_every_block_as_its_shortcut():
    net = ResNetV2(50, norm=make_norm("bn"), stages=2, zero_gamma=True)
    net.initialize()
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith("gamma"):
            wanted = 0 if name.endswith("bn3.gamma") else 1
            np.testing.assert_array_equal(
                parameter.data().asnumpy(), np.full(parameter.shape, wanted), err_msg=name
            )
    x = nd.random.normal(shape=(1, 256, 5, 5))
    np.testing.assert_array_equal(net.layer1[1](x).asnumpy(), x.asnumpy())


def test_head_halves_rois():
    head = ResNetV2Top(18)
    head.initialize()
    assert head(nd.ones((3, 256, 14, 14))).shape == (3, head.channels, 7, 7) == (3, 512, 7, 7)


def test_unknown_depth_is_refused():
    with pytest.raises(ValueError, match="depth 20"):
        ResNetV2Top(20)
