import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from segfit.drawing.placement import label_points, shorten, spread
from segfit.drawing.style import RUNS, STYLE, new_figure, run_color, run_dash, run_marker, theme


def luminance(color: str) -> float:
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_colors_are_readable_on_light_and_dark_paper() -> None:
    colors = theme()
    (light_paper, (_, dark_paper)) = next(item for item in colors.items() if item[1][0] == "--paper")
    for light, (variable, dark) in colors.items():
        if variable not in {"--paper", "--faint"}:
            assert contrast(light, light_paper) >= 4.5, variable
            assert contrast(dark, dark_paper) >= 4.5, variable


def test_runs_of_one_color_differ_otherwise() -> None:
    looks = [(run_color(i), run_marker(i), str(run_dash(i))) for i in range(4 * len(RUNS))]
    assert len(set(looks)) == len(looks)
    assert len({(color, marker) for color, marker, _ in looks}) == len(looks)


@given(wanted=st.lists(st.floats(0, 100), min_size=1, max_size=12), gap=st.floats(1, 15))
def test_spread_keeps_order_gap_and_range(wanted: list[float], gap: float) -> None:
    placed = spread(np.array(wanted), gap, 0, 100)
    used = min(gap, 100 / max(1, len(wanted) - 1))
    assert placed.min() >= -1e-9
    assert placed.max() <= 100 + 1e-9
    in_order = placed[np.argsort(wanted, kind="stable")]
    assert (np.diff(in_order) >= used - 1e-9).all()


@given(start=st.floats(0, 10), steps=st.lists(st.floats(5, 8), max_size=10))
def test_spread_moves_nothing_that_is_apart(start: float, steps: list[float]) -> None:
    wanted = start + np.cumsum([0.0, *steps])
    assert spread(wanted, 5, 0, 100) == pytest.approx(wanted)


@pytest.mark.parametrize("seed", range(5))
def test_labels_cover_neither_one_another_nor_points(seed: int) -> None:
    points = np.random.default_rng(seed).uniform(0.1, 0.9, (8, 2))
    with mpl.rc_context(STYLE):
        figure = new_figure(440, 290)
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        label_points(axes, [(x, y) for x, y in points.tolist()], [f"model-{i}" for i in range(8)], ["#000000"] * 8)
        for text in axes.texts:
            text.update_positions(figure.canvas.get_renderer())
        # An annotation's own extent includes its leader.
        boxes = [Text.get_window_extent(text).padded(-1) for text in axes.texts]
    pixels = axes.transData.transform(points)
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert not any(box.contains(x, y) for x, y in pixels.tolist())


@given(st.text(max_size=60))
def test_shortened_names_keep_both_ends(name: str) -> None:
    short = shorten(name)
    assert len(short) <= 24
    assert short == name or (name.startswith(short[:12]) and name.endswith(short[-11:]))


def test_labels_of_runs_go_with_them() -> None:
    with mpl.rc_context(STYLE):
        figure = new_figure(300, 200)
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        points = [(0.5, 0.5)] * 9
        names, colors = [f"run {number}" for number in range(9)], ["#000000"] * 9
        label_points(axes, points, names, colors, runs=[*range(8), None])
    owners = {text.get_text(): text.get_gid() for text in axes.texts}
    assert owners == {**{f"run {number}": f"run-{number}" for number in range(8)}, "run 8": None}
    tied = [text for text in axes.texts if text.arrow_patch is not None]
    assert tied, "so many labels at one point are tied to it by lines"
    assert all(text.arrow_patch.get_gid() == text.get_gid() for text in tied)
