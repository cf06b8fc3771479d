"""Norms of the user: by name and by callable."""

import functools

from gluonnorm.errors import InputError
from gluonnorm.nn import (
    NORM_NAMES,
    GroupNorm,
    SwitchNorm,
    make_norm,
    norm_name,
    norm_names,
    register_norm,
    used_in_heads,
)
from gluonnorm.nn import norm as norm_module

import mxnet as mx
import pytest
from mxnet.gluon import nn


@pytest.fixture(autouse=True)
def own_norms(monkeypatch):
    """Forget after each test what it registers."""
    monkeypatch.setattr(norm_module._NORMS, "_entries", dict(norm_module._NORMS))


class Halve(mx.gluon.HybridBlock):
    """A norm that divides by 2, and notes what it was asked for."""

    used_in_heads = False

    def __init__(self, channels, center=True, scale=True, zero_gamma=False, factor=0.5):
        super().__init__()
        self.asked = (channels, center, scale, zero_gamma, factor)

    def hybrid_forward(self, F, x):
        return x * self.asked[-1]


def plain_instance_norm(channels):
    return nn.InstanceNorm(in_channels=channels)


def test_a_registered_norm_has_the_call_shape_of_all_norms():
    register_norm("test_halve", Halve)
    assert norm_names()[: len(NORM_NAMES)] == list(NORM_NAMES) and "test_halve" in norm_names()
    norm = make_norm("test_halve")
    assert norm(3).asked == (3, True, True, False, 0.5)
    layer = make_norm("test_halve", factor=0.25)(3, center=False, scale=False, zero_gamma=True)
    assert layer.asked == (3, False, False, True, 0.25)
    assert layer(mx.nd.ones((1, 3, 1, 1))).sum().asscalar() == 0.75


def test_a_function_of_the_channels_alone_is_a_norm():
    register_norm("test_plain", plain_instance_norm)
    layer = make_norm("test_plain")(5)
    assert layer.gamma.shape == (5,)
    with pytest.raises(
        InputError, match="'test_plain' cannot be called with channels=5 and .*zero"
    ):
        make_norm("test_plain")(5, zero_gamma=True)


def test_a_norm_says_whether_heads_use_it():
    register_norm("test_halve", Halve)
    register_norm("test_halves", functools.partial(Halve, factor=0.1))
    register_norm("test_plain", plain_instance_norm)
    assert not used_in_heads("test_halve") and not used_in_heads("test_halves")
    assert used_in_heads("test_plain")


def test_a_callable_gets_a_name_of_its_own():
    assert norm_name("gn") == "gn" == norm_name(GroupNorm)
    assert norm_name(SwitchNorm) == "sn"
    assert norm_name(Halve) == "Halve" and make_norm("Halve")(2).asked[0] == 2
    assert norm_name(functools.partial(GroupNorm, num_groups=2)) == "GroupNorm(num_groups=2)"
    assert norm_name(functools.partial(GroupNorm, num_groups=2)) == "GroupNorm(num_groups=2)"
    assert make_norm("GroupNorm(num_groups=2)")(6).gamma.shape == (6,)


@pytest.mark.parametrize(
    "norm, words",
    [
        (lambda channels: GroupNorm(channels), "has no name .*register_norm\\('my_norm'"),
        (3, "norm is 3; give one of frozen_bn, .* or a callable"),
        (nn.BatchNorm, "BatchNorm has 'axis' as its first argument"),
        (nn.GroupNorm, "GroupNorm has 'num_groups' as its first argument"),
        (functools.partial(nn.BatchNorm, epsilon=1e-3), "'axis' as its first argument"),
        ("groupnorm", "no norm is called 'groupnorm'; .* --plugin MODULE"),
    ],
)
def test_what_is_no_norm(norm, words):
    with pytest.raises(InputError, match=words):
        norm_name(norm)


def test_what_cannot_be_registered():
    with pytest.raises(InputError, match="norm 'gn' belongs to gluonnorm"):
        register_norm("gn", Halve)
    with pytest.raises(InputError, match="a norm is 'gn'; give a callable"):
        register_norm("test_text", "gn")
    register_norm("test_twice", Halve)
    with pytest.raises(InputError, match="norm 'test_twice' is registered already"):
        register_norm("test_twice", plain_instance_norm)


def test_a_norm_must_return_a_layer():
    register_norm("test_nothing", lambda channels: None)
    with pytest.raises(InputError, match="'test_nothing' makes None; it must return a HybridBlock"):
        make_norm("test_nothing")(4)
