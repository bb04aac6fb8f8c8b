import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from segfit.drawing.placement import label_points
from segfit.drawing.style import STYLE, new_figure


def labelled(obstacles: np.ndarray) -> tuple[Axes, Bbox]:
    """Return the axes and where the label of one point in the middle stands."""
    with mpl.rc_context(STYLE):
        figure = new_figure(440, 290)
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        label_points(axes, [(0.5, 0.5)], ["model"], ["#000000"], obstacles=[(x, y) for x, y in obstacles.tolist()])
        (text,) = axes.texts
        text.update_positions(figure.canvas.get_renderer())
        return axes, Text.get_window_extent(text)


def test_a_label_moves_off_points_in_its_way() -> None:
    free, box = labelled(np.empty((0, 2)))
    # Where the label would stand, a cloud of points.
    inside = free.transData.inverted().transform(
        [(x, y) for x in np.linspace(box.x0, box.x1, 8) for y in np.linspace(box.y0, box.y1, 3)]
    )
    axes, moved = labelled(inside)
    pixels = axes.transData.transform(inside)
    assert sum(box.contains(x, y) for x, y in pixels.tolist()) > 10
    assert not any(moved.contains(x, y) for x, y in pixels.tolist())


def test_obstacles_elsewhere_change_nothing() -> None:
    _, free = labelled(np.empty((0, 2)))
    _, same = labelled(np.array([[0.05, 0.05], [0.1, 0.9]]))
    assert (free.x0, free.y0) == (same.x0, same.y0)
