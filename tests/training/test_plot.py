import json
from pathlib import Path

from gluonnorm.training import figure_file, plot

import matplotlib
import numpy as np
import pytest
from full_disk import no_file_beyond
from PIL import Image


def make_rows():
    rows = []
    for step in range(1, 201):
        rows.append({"step": step, "losses": {"rpn": 2 / step**0.5, "box": 1 / step**0.5}})
        if step % 50 == 0:
            rows.append({"step": step, "eval": {"AP50": step / 250}})
    return rows


def test_png_is_written_from_file_and_rows(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in make_rows()))
    plot.plot_curves(str(path), str(tmp_path / "out" / "file.png"), "tiny")
    plot.plot_curves(make_rows(), str(tmp_path / "rows.png"), "tiny")
    one, other = (
        np.asarray(Image.open(tmp_path / name).convert("RGB"))
        for name in ("out/file.png", "rows.png")
    )
    np.testing.assert_array_equal(one, other)
    assert one.shape[0] > 600 and one.shape[1] > 900


@pytest.mark.parametrize(
    "kind, labels",
    [(("losses",), ["loss"]), (("eval",), ["metric"]), (("losses", "eval"), ["loss", "metric"])],
)
def test_what_is_drawn(tmp_path, monkeypatch, kind, labels) -> None:
    figures = []
    monkeypatch.setattr(figure_file, "FigureCanvasAgg", figures.append)
    rows = [row for row in make_rows() if any(name in row for name in kind)]
    plot.plot_curves(rows, str(tmp_path / "curves.png"), "tiny")
    axes = figures[0].axes
    assert [axis.get_ylabel() for axis in axes] == labels
    assert axes[0].get_title() == "tiny" and axes[-1].get_xlabel() == "step"
    legends = [[text.get_text() for text in axis.get_legend().get_texts()] for axis in axes]
    assert legends == [
        ["rpn", "box"] if label == "loss" else ["AP50 (last 0.800)"] for label in labels
    ]
    if "losses" in kind:
        mean, raw = axes[0].lines[:2]
        np.testing.assert_allclose(raw.get_ydata(), [2 / step**0.5 for step in range(1, 201)])
        assert mean.get_xdata()[0] == 4 and mean.get_xdata()[-1] == 200  # a window of 200 / 50
        np.testing.assert_allclose(mean.get_ydata()[0], raw.get_ydata()[:4].mean())
    if "eval" in kind:
        np.testing.assert_allclose(axes[-1].lines[0].get_ydata(), [0.2, 0.4, 0.6, 0.8])


def test_single_row(tmp_path) -> None:
    plot.plot_curves([{"step": 1, "losses": {"rpn": 0.5}}], str(tmp_path / "one.png"))
    assert Image.open(tmp_path / "one.png").format == "PNG"


def test_a_full_disk_leaves_the_earlier_picture(tmp_path) -> None:
    path = tmp_path / "curve.png"
    plot.plot_curves(make_rows(), str(path), "tiny")
    picture = path.read_bytes()
    with no_file_beyond(1000):
        with pytest.raises(OSError, match="File too large"):
            plot.plot_curves(make_rows(), str(path), "tiny")
    assert path.read_bytes() == picture and list(tmp_path.iterdir()) == [path]


def test_nothing_to_plot(tmp_path) -> None:
    for rows in ([], [{"step": 1}]):
        with pytest.raises(ValueError, match="nothing to plot"):
            plot.plot_curves(rows, str(tmp_path / "none.png"))
    assert not (tmp_path / "none.png").exists()


def rows_of(names):
    return [{"step": step, "eval": dict.fromkeys(names, 0.5)} for step in (1, 2)]


@pytest.mark.parametrize("name", ["AP50/猫", "AP50/🦊", "AP50/a\nb"])
def test_names_in_any_script_are_drawn_without_a_warning(tmp_path, name, recwarn):
    codes = name.encode("ascii", "backslashreplace").decode().replace("\n", "\\n")
    for number, text in enumerate((name, codes)):
        plot.plot_curves(rows_of([text]), str(tmp_path / f"{number}.png"), text)
    assert not recwarn.list
    pictures = [np.asarray(Image.open(tmp_path / f"{number}.png")) for number in (0, 1)]
    np.testing.assert_array_equal(*pictures)


def test_a_font_is_used_for_names(tmp_path):
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for number, font in enumerate((None, fonts / "DejaVuSans.ttf", fonts / "DejaVuSerif.ttf")):
        path = str(tmp_path / f"{number}.png")
        plot.plot_curves(rows_of(["AP50/кот"]), path, "title", font and str(font))
    default, same, other = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in range(3))
    np.testing.assert_array_equal(default, same)  # matplotlib's own font
    assert other.shape != default.shape or (other != default).any()


def test_dollar_signs_are_no_formula(tmp_path):
    plot.plot_curves(rows_of([r"AP50/$\frac$"]), str(tmp_path / "a.png"), r"$\frac$")
    assert (tmp_path / "a.png").exists()
