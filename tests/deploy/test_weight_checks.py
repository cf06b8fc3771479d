from gluonnorm.deploy import DeployError, Predictor, export, load

import mxnet as mx
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


def test_networks_that_are_no_detectors_are_refused(tmp_path):
    classifier = mx.gluon.nn.Dense(3, in_units=4)
    classifier.initialize()
    (tmp_path / "tiny").mkdir()
    prefix = str(tmp_path / "tiny" / "net")
    export(tiny_detector("fpn"), prefix)
    # What load returns has no settings, which are in the manifest.
    for net, name in (
        (classifier, "Dense"),
        (load(prefix)[0], "Block"),
        (prefix, "str"),
        (None, ""),
    ):
        message = f"{name}.* is not a detector, since it has no .*; give a network of model_zoo"
        for use in (Predictor.from_network, lambda net: export(net, str(tmp_path / "other"))):
            with pytest.raises(DeployError, match=message):
                use(net)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
