from gluonnorm.deploy import DeployError, Predictor, export

import numpy as np
import pytest
from tiny_detector import images, tiny_detector


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("layer", ["rpn", "predictor"])
def test_weights_that_are_no_numbers_are_refused(layer, value):
    """Such a network would detect nothing, without an error."""
    net = tiny_detector("c4")
    weight = getattr(net, layer).score.weight
    weight.set_data(weight.data() + value)
    with pytest.raises(DeployError, match=f"NaN or infinity, first in {weight.name}"):
        Predictor.from_network(net)


@pytest.mark.parametrize("norm", ["frozen_bn", "gn"])
def test_weights_in_float16_are_refused_until_they_are_float32(norm, tmp_path):
    """Such an export was written without an error, and no run time loaded it."""
    net = tiny_detector("fpn", norm=norm)
    net.cast("float16")
    for use in (Predictor.from_network, lambda net: export(net, str(tmp_path / "half"))):
        with pytest.raises(DeployError, match="weights are float16, first in .*net.cast"):
            use(net)
    assert list(tmp_path.iterdir()) == []
    rounded = net.rpn.score.weight.data().asnumpy()

    net.cast("float32")
    assert (net.rpn.score.weight.data().asnumpy() == rounded).all()
    export(net, str(tmp_path / "single"))
    pixels = images().asnumpy()
    outputs = Predictor(str(tmp_path / "single")).run_images(pixels)
    for output, expected in zip(outputs, Predictor.from_network(net).run_images(pixels)):
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-3)
    assert (outputs[0] >= 0).any()
