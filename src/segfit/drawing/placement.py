"""Where labels go in a figure, so that none covers another or a point."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray

from segfit.drawing.style import run_id

__all__ = ["label_points", "shorten", "spread", "text_width"]

Box = tuple[float, float, float, float]
"""Left, bottom, right and top, in points."""

LONGEST = 24
"""Characters of a label; longer names lose their middle, since both ends tell runs apart."""

PLACES = ((11, 0, "left"), (-11, 0, "right"), (0, 15, "center"), (0, -15, "center"),
          (9, 12, "left"), (9, -12, "left"), (-9, 12, "right"), (-9, -12, "right"),
          *((dx, dy, side) for far in (24, 38, 52, 66) for dx, side in ((9, "left"), (-9, "right"))
            for dy in (far, -far)),
)  # fmt: skip
"""Offsets in points at which a label may stand beside its point, best first, with its alignment."""

FAR = 3.0
"""What a point of vertical distance costs, in covered square points."""

LEADER = 20
"""Labels that stand higher or lower than this above or below their points are tied to them by a thin line."""


def shorten(name: str) -> str:
    """Return `name` with its middle replaced by an ellipsis when it is too long for a label."""
    if len(name) <= LONGEST:
        return name
    kept = LONGEST - 1
    return f"{name[: kept - kept // 2]}\N{HORIZONTAL ELLIPSIS}{name[-(kept // 2) :]}"


def text_width(figure: Figure, text: str, size: float) -> float:
    """Return the width in points that `text` takes at `size` points."""
    assert isinstance(figure.canvas, FigureCanvasAgg)
    renderer = figure.canvas.get_renderer()  # type: ignore[no-untyped-call]
    width, _, _ = renderer.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(width) * 72 / figure.dpi


def spread(wanted: NDArray[np.float64], gap: float, low: float, high: float) -> NDArray[np.float64]:
    """Return positions in [low, high] that are at least `gap` apart, near the wanted ones and in their order.

    The squared distance to the wanted positions is the smallest possible one before the range is enforced (isotonic
    regression by pooling neighbours). Where the range is too small for all, the gap shrinks to fit.
    """
    if len(wanted) < 2:
        return np.clip(wanted, low, high)
    gap = min(gap, (high - low) / (len(wanted) - 1))
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    blocks: list[list[float]] = []
    for value in wanted[order] - steps:
        blocks.append([float(value)])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    pooled = np.concatenate([np.full(len(block), np.mean(block)) for block in blocks])
    placed = np.empty(len(wanted))
    placed[order] = np.clip(pooled, low, high - steps[-1]) + steps
    return placed


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    colors: Sequence[str],
    size: float = 11,
    obstacles: Sequence[tuple[float, float]] = (),
    runs: Sequence[int | None] = (),
) -> None:
    """Write a name beside every point, each at the place that covers least of other labels, points and the border.

    Args:
        axes: with its limits set.
        points: in data coordinates.
        names: one a point.
        colors: one a point.
        size: of the text, in points.
        obstacles: in data coordinates, small points without a name that labels keep off where they can.
        runs: number of the run that each point is of, None for one that is of none; () where none is.
    """
    assert axes.figure.dpi == 72, "pixels are points"
    at = axes.transData.transform(np.array(points))
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in at.tolist()]
    if len(obstacles):
        in_way = axes.transData.transform(np.array(obstacles))
        taken += [(x - 4, y - 4, x + 4, y + 4) for x, y in in_way.tolist()]
    frame = [(axes.bbox.x0, axes.bbox.y0, axes.bbox.x1, axes.bbox.y1)]
    figure = axes.get_figure(root=True)
    assert figure is not None
    owners = runs or [None] * len(names)
    for point, (x, y), name, color, run in zip(points, at.tolist(), names, colors, owners, strict=True):
        width = text_width(figure, name, size)
        boxes = [_box(x + dx, y + dy, width, size, side) for dx, dy, side in PLACES]
        outside = 1.3 * size * width - _shared(boxes, frame)
        costs = _shared(boxes, taken) + outside + FAR * np.abs([dy for _, dy, _ in PLACES])
        best = int(np.argmin(costs))
        dx, dy, side = PLACES[best]
        near = (float(side == "right"), 0.5)
        leader = {"relpos": near, "arrowstyle": "-", "color": color, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 5}
        label = axes.annotate(
            name, point, (dx, dy), textcoords="offset points", ha=side, va="center", fontsize=size, color=color,
            annotation_clip=False, arrowprops=leader if abs(dy) > LEADER else None,
            gid=None if run is None else run_id(run),
        )  # fmt: skip
        if label.arrow_patch is not None:
            label.arrow_patch.set_gid(label.get_gid())
        taken.append(boxes[best])


def _box(x: float, y: float, width: float, size: float, side: str) -> Box:
    left = {"left": x, "center": x - width / 2, "right": x - width}[side]
    return left, y - 0.65 * size, left + width, y + 0.65 * size


def _shared(boxes: Sequence[Box], others: Sequence[Box]) -> NDArray[np.float64]:
    """Return the area of each box that lies in the others; what lies in two of them counts twice."""
    one, other = np.array(boxes)[:, None], np.array(others)[None]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared: NDArray[np.float64] = np.prod(np.clip(sides, 0, None), axis=-1).sum(axis=-1)
    return shared
