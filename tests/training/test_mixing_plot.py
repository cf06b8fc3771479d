import subprocess
import sys

from gluonnorm.training import figure_file, mixing_plot

import numpy as np
import pytest
from PIL import Image

ROWS = [
    ("layer1.0.bn1", {"in": 0.125, "ln": 0.25, "bn": 0.625}, {"in": 0.25, "ln": 0.75, "bn": 0.0}),
    ("norm", {"in": 0.5, "ln": 0.5}, {"in": 0.4, "ln": 0.6}),
]


def test_png_is_written(tmp_path):
    path = tmp_path / "out" / "mixing.png"
    mixing_plot.plot_mixing_weights(ROWS, str(path), "tiny")
    image = Image.open(path)
    assert image.format == "PNG" and np.asarray(image.convert("L")).std() > 10


def test_bars_are_the_shares_one_on_another(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(figure_file, "FigureCanvasAgg", figures.append)
    mixing_plot.plot_mixing_weights(ROWS, str(tmp_path / "mixing.png"), "tiny")
    above, below = figures[0].axes
    assert above.get_title() == "tiny" and (above.get_ylabel(), below.get_ylabel()) == (
        "share in the mean",
        "share in the variance",
    )
    assert [label.get_text() for label in below.get_xticklabels()] == ["layer1.0.bn1", "norm"]
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["in", "ln", "bn"]
    means, variances = [[0.125, 0.5], [0.25, 0.5], [0.625, 0]], [[0.25, 0.4], [0.75, 0.6], [0, 0]]
    for axis, expected in ((above, means), (below, variances)):
        heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
        bottoms = [[bar.get_y() for bar in bars] for bars in axis.containers]
        np.testing.assert_allclose(heights, expected)
        np.testing.assert_allclose(bottoms, np.cumsum([[0, 0], *expected[:2]], axis=0))


def test_nothing_to_plot(tmp_path):
    with pytest.raises(ValueError, match="nothing to plot"):
        mixing_plot.plot_mixing_weights([], str(tmp_path / "none.png"))
    assert not (tmp_path / "none.png").exists()


def test_layers_and_loop_come_without_matplotlib():
    code = "import gluonnorm.nn, gluonnorm.training, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
