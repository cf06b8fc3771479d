from gluonnorm.backbones import ResNetV1, ResNetV1Top
from gluonnorm.nn import BatchNorm, GroupNorm, make_norm

import mxnet as mx
import numpy as np
import pytest
from gluoncv import model_zoo
from mxnet import nd


def randomize(net):
    """Give every norm of an initialized network statistics and affines that matter."""
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith(("gamma", "running_var")):
            parameter.set_data(nd.random.uniform(0.5, 1.5, parameter.shape))
        elif name.endswith(("beta", "running_mean")):
            parameter.set_data(nd.random.normal(0, 0.2, parameter.shape))


def copy(source, target):
    """Set every parameter of ``target`` by structural name; return the names left over."""
    theirs = source._collect_params_with_prefix()
    for name, parameter in target._collect_params_with_prefix().items():
        parameter.initialize(init="zeros", force_reinit=True)
        parameter.set_data(theirs.pop(name).data())
    return set(theirs)


def gluoncv_stages(net, x):
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    maps = []
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
        maps.append(x)
    return maps


def assert_close(got, wanted):
    """Within 1e-4 of the wanted map's standard deviation."""
    wanted = wanted.asnumpy()
    np.testing.assert_allclose(got.asnumpy(), wanted, rtol=0, atol=1e-4 * wanted.std())


@pytest.mark.parametrize("depth, variant", [(18, "b"), (34, "b"), (50, "b"), (50, "d"), (101, "b")])
def test_features_equal_gluoncv(depth, variant):
    theirs = model_zoo.get_model(f"resnet{depth}_v1{variant}", pretrained=False)
    theirs.initialize(mx.init.MSRAPrelu(slope=0))
    theirs(nd.zeros((1, 3, 32, 32)))
    randomize(theirs)
    ours = ResNetV1(depth, variant)
    assert copy(theirs, ours) == {"fc.weight", "fc.bias"}
    ours.hybridize()
    x = nd.random.normal(shape=(1, 3, 67, 90))
    for got, wanted in zip(ours(x), gluoncv_stages(theirs, x)):
        assert_close(got, wanted)


@pytest.mark.parametrize("variant", ["a", "d"])
def test_three_stages_and_the_top_equal_four_stages(variant):
    whole = ResNetV1(50, variant, norm=make_norm("bn"))
    whole.initialize()
    randomize(whole)
    body = ResNetV1(50, variant, norm=make_norm("bn"), stages=3, out_stages=(3,))
    head = ResNetV1Top(50, variant, norm=make_norm("bn"))
    assert copy(whole, body) == set(head._collect_params_with_prefix())
    copy(whole, head)
    x = nd.random.normal(shape=(2, 3, 64, 80))
    maps = body(x)
    assert (body.strides, body.channels, head.channels) == ((16,), (1024,), 2048)
    assert_close(maps[0], whole(x)[2])
    assert_close(head(maps[0]), whole(x)[3])
    assert head(nd.ones((3, 1024, 14, 14))).shape == (3, 2048, 7, 7)


def strides_of(net):
    """{name of a block: strides of its convolutions}, of the blocks that have one above 1."""
    found = {}
    for number in (1, 2, 3, 4):
        for index, block in enumerate(getattr(net, f"layer{number}")):
            convs = [block.conv1, block.conv2, *([block.conv3] if hasattr(block, "conv3") else [])]
            strides = [conv._kwargs["stride"][0] for conv in convs]
            if max(strides) > 1:
                found[f"{number}.{index}"] = strides
    return found


def test_variant_a_has_the_stride_in_the_first_convolution_of_a_bottleneck():
    assert strides_of(ResNetV1(50, "a")) == {f"{number}.0": [2, 1, 1] for number in (2, 3, 4)}
    assert strides_of(ResNetV1(50, "b")) == {f"{number}.0": [1, 2, 1] for number in (2, 3, 4)}
    assert (
        strides_of(ResNetV1(18, "a"))
        == strides_of(ResNetV1(18, "b"))
        == {f"{n}.0": [2, 1] for n in (2, 3, 4)}
    )


def test_variant_a_equals_b_on_every_second_pixel():
    """If 3x3 convolutions read their center only, either convolution may have the stride."""
    b, a = ResNetV1(50, "b"), ResNetV1(50, "a")
    b.initialize()
    randomize(b)
    for number in (2, 3, 4):
        weight = getattr(b, f"layer{number}")[0].conv2.weight
        values = weight.data().asnumpy()
        values[:, :, [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
        weight.set_data(nd.array(values))
    assert copy(b, a) == set()  # the same names and shapes
    x = nd.random.normal(shape=(1, 3, 50, 70))
    for got, wanted in zip(a(x), b(x)):
        assert_close(got, wanted)
    b.layer2[0].conv2.weight.set_data(nd.random.normal(0, 0.1, b.layer2[0].conv2.weight.shape))
    copy(b, a)
    assert np.abs((a(x)[1] - b(x)[1]).asnumpy()).max() > 0.1 * b(x)[1].asnumpy().std()


@pytest.mark.parametrize(
    "depth, counts",
    [
        (18, (2, 2, 2, 2)),
        (34, (3, 4, 6, 3)),
        (50, (3, 4, 6, 3)),
        (101, (3, 4, 23, 3)),
        (152, (3, 8, 36, 3)),
    ],
)
def test_blocks_by_stage(depth, counts):
    net = ResNetV1(depth)
    assert tuple(len(getattr(net, f"layer{number}")) for number in (1, 2, 3, 4)) == counts
    assert net.channels[-1] == (512 if depth < 50 else 2048)


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("variant", ["a", "b", "d"])
def test_stated_strides_and_channels_are_those_of_the_maps(depth, variant):
    net = ResNetV1(depth, variant, out_stages=(2, 4))
    net.initialize()
    assert net.strides == (8, 32)
    for size in ((97, 61), (64, 96), (33, 17)):
        maps = net(nd.random.normal(shape=(2, 3) + size))
        wanted = [
            (2, c, -(-size[0] // s), -(-size[1] // s)) for c, s in zip(net.channels, net.strides)
        ]
        assert [m.shape for m in maps] == wanted


@pytest.mark.parametrize("name", ["frozen_bn", "global_bn", "bn", "gn", "sn", "sn_nobn"])
def test_hybrid_equals_imperative_and_two_images_equal_two_single_ones(name):
    net = ResNetV1(18, "d", norm=make_norm(name), stages=3)
    net.initialize()
    randomize(net)
    x = nd.random.normal(shape=(2, 3, 50, 70))
    imperative = net(x)
    net.hybridize(static_alloc=True)
    for got, wanted in zip(net(x), imperative):
        assert_close(got, wanted)
    for i in range(2):
        for got, wanted in zip(net(x[i : i + 1]), imperative):
            assert_close(got[0], wanted[i])


def test_one_pixel():
    net = ResNetV1(18)
    net.initialize()
    assert [m.shape for m in net(nd.ones((1, 3, 1, 1)))] == [
        (1, c, 1, 1) for c in (64, 128, 256, 512)
    ]


def test_the_norm_is_everywhere_and_convolutions_have_no_bias():
    net = ResNetV1(50, "d", norm=make_norm("gn", num_groups=16))
    names = set(net._collect_params_with_prefix())
    assert not any("running" in name or "bias" in name for name in names)
    blocks = []
    net.apply(blocks.append)
    assert sum(isinstance(block, GroupNorm) for block in blocks) == 3 + 16 * 3 + 4
    assert all(block._num_groups == 16 for block in blocks if isinstance(block, GroupNorm))


@pytest.mark.parametrize("depth, last", [(18, "bn2"), (50, "bn3")])
def test_zero_gamma_starts_every_block_as_its_shortcut(depth, last):
    net = ResNetV1(depth, norm=BatchNorm, stages=2, zero_gamma=True)
    net.initialize()
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith("gamma"):
            wanted = 0 if name.split(".")[-2] == last else 1
            np.testing.assert_array_equal(
                parameter.data().asnumpy(), np.full(parameter.shape, wanted), err_msg=name
            )


def test_rescale_stands_in_front_and_adds_no_parameter():
    plain, scaled = ResNetV1(18, stages=1), ResNetV1(18, stages=1, rescale="normalize")
    plain.initialize()
    assert copy(plain, scaled) == set()
    pixels = nd.random.uniform(0, 255, (1, 3, 40, 40))
    normalized = nd.image.normalize(pixels / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert_close(scaled(pixels)[-1], plain(normalized)[-1])


def test_initial_weights_have_he_s_deviation_by_fan_out():
    net = ResNetV1(50, stages=3)
    net.initialize()
    fans_out = {
        "conv1.weight": 64 * 49,
        "layer3.1.conv2.weight": 256 * 9,
        "layer2.0.conv3.weight": 512,
    }
    for name, fan_out in fans_out.items():
        weight = net._collect_params_with_prefix()[name].data().asnumpy()
        np.testing.assert_allclose(weight.std(), np.sqrt(2 / fan_out), rtol=0.03, err_msg=name)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"depth": 110}, "depth 110; give one of"),
        ({"depth": 50, "variant": "c"}, "variant 'c'"),
        ({"depth": 50, "stages": 5}, "stages 5"),
        ({"depth": 50, "out_stages": (4, 3)}, "ascending"),
        ({"depth": 50, "out_stages": ()}, "ascending"),
        ({"depth": 50, "out_stages": (2, 3)}, "or build fewer stages"),
        ({"depth": 50, "out_stages": (0, 4)}, "from 1"),
    ],
)
def test_bad_plans_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ResNetV1(**settings)
