"""Where labels go in a figure, so that none covers another or a point."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

__all__ = ["label_points", "shorten", "spread", "text_width"]

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
    axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str], colors: Sequence[str], size: float = 11
) -> None:
    """Write a name beside every point, each at the place that covers least of other labels, points and the border.

    Args:
        axes: with its limits set.
        points: in data coordinates.
        names: one a point.
        colors: one a point.
        size: of the text, in points.
    """
    assert axes.figure.dpi == 72, "pixels are points"
    at = axes.transData.transform(np.array(points))
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in at.tolist()]
    figure = axes.get_figure(root=True)
    assert figure is not None
    for point, (x, y), name, color in zip(points, at.tolist(), names, colors, strict=True):
        width = text_width(figure, name, size)
        boxes = [_box(x + dx, y + dy, width, size, side) for dx, dy, side in PLACES]
        costs = [
            _covered(box, taken) + _outside(box, axes.bbox) + FAR * abs(dy)
            for box, (_, dy, _) in zip(boxes, PLACES, strict=True)
        ]
        best = int(np.argmin(costs))
        dx, dy, side = PLACES[best]
        near = (float(side == "right"), 0.5)
        leader = {"relpos": near, "arrowstyle": "-", "color": color, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 5}
        axes.annotate(
            name, point, (dx, dy), textcoords="offset points", ha=side, va="center", fontsize=size, color=color,
            annotation_clip=False, arrowprops=leader if abs(dy) > LEADER else None,
        )  # fmt: skip
        taken.append(boxes[best])


def _box(x: float, y: float, width: float, size: float, side: str) -> Bbox:
    left = {"left": x, "center": x - width / 2, "right": x - width}[side]
    return Bbox.from_bounds(left, y - 0.65 * size, width, 1.3 * size)


def _covered(box: Bbox, taken: Sequence[Bbox]) -> float:
    shared = (Bbox.intersection(box, other) for other in taken)
    return float(sum(part.width * part.height for part in shared if part is not None))


def _outside(box: Bbox, frame: Bbox) -> float:
    inside = Bbox.intersection(box, frame)
    return float(box.width * box.height - (inside.width * inside.height if inside is not None else 0.0))
