from gluonnorm.deploy import DeployError, Predictor

import numpy as np
import pytest
from tiny_detector import tiny_detector


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("layer", ["rpn", "predictor"])
def test_weights_that_are_no_numbers_are_refused(layer, value):
    """Such a network would detect nothing, without an error."""
    net = tiny_detector("c4")
    weight = getattr(net, layer).score.weight
    weight.set_data(weight.data() + value)
    with pytest.raises(DeployError, match=f"NaN or infinity, first in {weight.name}"):
        Predictor.from_network(net)
