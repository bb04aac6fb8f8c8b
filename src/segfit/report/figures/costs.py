"""Score against each cost, with the line of what is worth it: the most score for that much, and no more."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.curves import SCORES
from segfit.comparison.pareto import COSTS, Cost, comparable_costs, non_dominated
from segfit.comparison.table import BASELINE, Group
from segfit.drawing.figure import Drawing, Plot, draw_all
from segfit.drawing.placement import label_points, shorten
from segfit.drawing.style import (
    MUTED,
    PAPER,
    STEPS,
    axis_title,
    new_figure,
    run_color,
    run_id,
    run_marker,
)

__all__ = ["NAMED", "cost_drawings"]

WIDTH, HEIGHT = 400, 280

NAMED = 8
"""Among more runs only those on the line are named, and of these so many."""

AXES: dict[str, tuple[str, tuple[tuple[float, str], ...]]] = {
    "memory": ("Peak memory in training", ((1e9, "GB"), (1e6, "MB"))),
    "time": ("Training time", ((3600, "h"), (60, "min"), (1, "s"))),
    "parameters": ("Parameters", ((1e6, "millions"), (1e3, "thousands"), (1, ""))),
}
"""What the axis of each cost is called, and in which units it may be, the largest first."""


def cost_drawings(group: Group) -> list[Drawing]:
    """Draw the score of each run against every cost that may be compared."""
    return draw_all(_PLOTS, group)


def _draw(group: Group, cost: Cost) -> Figure:
    amounts = np.array([cost.value(run) for run in group.runs], float)
    title, sizes = AXES[cost.name]
    size, unit = next((pair for pair in sizes if amounts.max() >= 2 * pair[0]), sizes[-1])
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_axes((34 / WIDTH, 42 / HEIGHT, 1 - 54 / WIDTH, 1 - 78 / HEIGHT))
    x = amounts / size
    scores = np.array([row.score(group.protocol.score) for row in group.rows])
    base = group.baseline.score(group.protocol.score)
    _cost_axis(axes, x)
    axes.set_ylim(0, min(1.02, 1.2 * max(float(scores.max()), base, 0.01)))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    text = _baseline(axes, base, x, scores)
    efficient = non_dominated(scores, x[:, None])
    line = _front(axes, x[efficient], scores[efficient])
    _points(axes, group, x, scores, efficient)
    axes.set_xlabel(f"{title} ({unit})" if unit else title, fontsize=11)
    axis_title(axes, SCORES[group.protocol.score])
    points = [(float(a), float(b)) for a, b in zip(x, scores, strict=True)]
    # Rows stand best first.
    named = [i for i in range(len(points)) if efficient[i] or len(points) <= NAMED][:NAMED]
    rows = [group.rows[i] for i in named]
    colors = [run_color(row.number) for row in rows]
    others = [*line, *text, *(point for i, point in enumerate(points) if i not in named)]
    label_points(
        axes, [points[i] for i in named], [shorten(row.name) for row in rows], colors, obstacles=others,
        runs=[row.number for row in rows],
    )  # fmt: skip
    return figure


def _points(
    axes: Axes, group: Group, x: NDArray[np.float64], scores: NDArray[np.float64], efficient: NDArray[np.bool_]
) -> None:
    """Draw the runs: filled on the front, hollow behind it."""
    for row, at, score, kept in zip(group.rows, x, scores, efficient, strict=True):
        color = run_color(row.number)
        face = color if kept else PAPER
        axes.plot(
            [at], [score], run_marker(row.number), markersize=9, markerfacecolor=face, markeredgecolor=color,
            markeredgewidth=1.6, clip_on=False, gid=run_id(row.number),
        )  # fmt: skip


def _front(axes: Axes, x: NDArray[np.float64], scores: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Draw the highest score that at most each cost bought, and return points along that line."""
    order = np.lexsort((scores, x))
    steps = np.append(x[order], axes.get_xlim()[1])
    heights = np.append(scores[order], scores.max())
    axes.plot(steps, heights, color=MUTED, linewidth=1, drawstyle="steps-post", zorder=1)
    corners = np.column_stack([np.repeat(steps, 2)[1:], np.repeat(heights, 2)[:-1]])
    pixels = axes.transData.transform(corners)
    along = [start + share * (end - start) for start, end in pairwise(pixels) for share in np.linspace(0, 1, 24)]
    return [(float(a), float(b)) for a, b in axes.transData.inverted().transform(along)]


def _baseline(
    axes: Axes, base: float, x: NDArray[np.float64], scores: NDArray[np.float64]
) -> list[tuple[float, float]]:
    """Draw the baseline, its text where the fewest runs are in its way, and return points within the text."""
    axes.axhline(base, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    at = axes.transAxes.inverted().transform(axes.transData.transform(np.column_stack([x, scores])))
    height = float(axes.transAxes.inverted().transform(axes.transData.transform((0, base)))[1])
    above = at[(at[:, 1] > height - 0.05) & (at[:, 1] < height + 0.16), 0]
    left = bool((above > 0.4).sum() > (above < 0.6).sum())
    axes.annotate(
        f"{BASELINE} {units.score(base)}", (0 if left else 1, base), (0, 4), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="left" if left else "right", va="bottom", fontsize=11, color=MUTED,
    )  # fmt: skip
    pixel = float(axes.transData.transform((0, base))[1])
    start = axes.bbox.x0 if left else axes.bbox.x1 - 150
    inside = [(start + 6 * i, pixel + up) for i in range(26) for up in (4, 10, 16)]
    return [(float(a), float(b)) for a, b in axes.transData.inverted().transform(inside)]


def _cost_axis(axes: Axes, cost: NDArray[np.float64]) -> None:
    """Choose a logarithmic axis where the costs span a factor of eight or more; else start at zero."""
    if cost.min() > 0 and cost.max() / cost.min() >= 8:
        axes.set_xscale("log", base=2)
        axes.set_xlim(cost.min() / 1.5, cost.max() * 1.5)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, 1.12 * max(float(cost.max()), 1e-9))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))


def _words(group: Group, cost: Cost) -> str:
    score = group.protocol.score
    scores = [row.score(score) for row in group.rows]
    amounts = [cost.value(run) for run in group.runs]
    efficient = non_dominated(scores, np.array(amounts, float)[:, None])
    points = (
        f"{row.name} {units.score(value)} at {cost.text(amount)}{'' if kept else ' (beaten)'}"
        for row, value, amount, kept in zip(group.rows, scores, amounts, efficient, strict=True)
    )
    return f"{SCORES[score]} against {AXES[cost.name][0].lower()}: {'; '.join(points)}."


def _supported(group: Group, cost: Cost) -> bool:
    # Where all runs cost the same there is nothing to see but the scores.
    return cost in comparable_costs(group) and len({cost.value(run) for run in group.runs}) > 1


def _plot(cost: Cost) -> Plot[Group]:
    supported: Callable[[Group], bool] = partial(_supported, cost=cost)
    return Plot(supported=supported, draw=partial(_draw, cost=cost), describe=partial(_words, cost=cost))


_PLOTS: dict[str, Plot[Group]] = {f"score-by-{cost.name}": _plot(cost) for cost in COSTS}
