from gluonnorm.backbones import FPN, ResNetV1, ResNetV2
from gluonnorm.nn import make_norm

import numpy as np
import pytest
from mxnet import autograd, nd


def small(kind):
    norm = make_norm("bn")
    if kind == "fpn":
        net = FPN(ResNetV1(18, norm=norm), channels=8)
    else:
        net = ResNetV1(18, kind, norm=norm) if kind in "bd" else ResNetV2(18, norm=norm)
    net.initialize()
    return net


@pytest.mark.parametrize("kind", ["b", "d", "v2", "fpn"])
@pytest.mark.parametrize("n", [0, 2, 5])
def test_freeze_at_freezes_the_first_stages_and_no_others(kind, n):
    net = small(kind)
    net.freeze_at(n)
    net.hybridize()
    before = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    x = nd.random.normal(2, 3, (2, 3, 40, 48))
    x.attach_grad()
    with autograd.record():
        maps = net(x)
    autograd.backward(maps)
    nd.waitall()
    assert np.abs(x.grad.asnumpy()).max() > 0
    stems = ("conv1", "bn1", "bn_in")
    frozen_tops = (
        (stems if n else ())
        + tuple(f"layer{i}" for i in range(1, n))
        + (("bn_out",) if n == 5 else ())
    )
    seen = set()
    for name, parameter in net._collect_params_with_prefix().items():
        top = name.replace("backbone.", "").split(".")[0]
        seen.add(top)
        if top == "bn_in":  # never learns, and its statistics stay
            continue
        moved = np.abs(parameter.data().asnumpy() - before[name]).max() > 0
        if top in frozen_tops:
            assert parameter.grad_req == "null" and not moved, name
        elif "running" in name:
            assert moved, name
        else:
            assert parameter.grad_req == "write" and np.abs(parameter.grad().asnumpy()).max() > 0, (
                name
            )
    assert set(frozen_tops) - {"bn_in", "bn_out"} <= seen


@pytest.mark.parametrize("n", [-1, 6])
def test_freeze_at_refuses_stages_that_do_not_exist(n):
    with pytest.raises(ValueError, match=f"got {n}; .* 5 stages, so give 0 to 5"):
        small("b").freeze_at(n)
