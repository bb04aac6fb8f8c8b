"""Published scores by year, with one's own among them where both were measured alike."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segfit.comparison.table import Group
from segfit.drawing.figure import Drawing, styled
from segfit.drawing.placement import label_points, shorten
from segfit.drawing.style import INK, MUTED, PAPER, STEPS, axis_title, new_figure, run_color, run_id, run_marker
from segfit.report.published import FAMILIES, Published, best_so_far, comparable, read_published, started

__all__ = ["published_drawing"]

WIDTH, HEIGHT = 720, 420

MARKS = dict(zip(FAMILIES, "o^D", strict=True))

SIZES = dict(zip(FAMILIES, (6.0, 7.5, 5.5), strict=True))
"""Sizes at which the marks look equally large, in points."""


def published_drawing(group: Group) -> Drawing:
    """Draw the published scores by year, and those of the group's runs where they may stand among them."""
    scores = read_published()
    own = _own(group) if comparable(group) else []
    with styled():
        figure = _draw(scores, own)
    records = best_so_far(scores)
    words = (
        f"Published mIoU on ADE20K by year: from {records[0].method} with {records[0].miou:g} in {records[0].year} to "
        f"{records[-1].method} with {records[-1].miou:g} in {records[-1].year}."
    )
    if own:
        words += " Among them: " + "; ".join(f"{name} {miou:.1f}" for name, _, _, miou in own) + "."
    return Drawing(name="published", alt=words, figure=figure)


def _own(group: Group) -> list[tuple[str, int, float, float]]:
    """Return name, number, date and mIoU in percent of the runs whose date is known."""
    dated = [(row, started(row)) for row in group.rows]
    return [(row.name, row.number, when, 100 * row.scores.miou) for row, when in dated if when is not None]


def _draw(scores: Sequence[Published], own: Sequence[tuple[str, int, float, float]]) -> Figure:
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_axes((34 / WIDTH, 40 / HEIGHT, 1 - 60 / WIDTH, 1 - 78 / HEIGHT))
    last = max([score.when for score in scores] + [when for _, _, when, _ in own])
    lowest = min([score.miou for score in scores] + [miou for *_, miou in own])
    axes.set_xlim(min(score.year for score in scores), np.ceil(last + 0.2))
    axes.set_ylim(0 if lowest < 20 else 20, 70)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=STEPS, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axis_title(axes, "mIoU in percent")
    steps = _line(axes, scores, last)
    for family, again in product(FAMILIES, (True, False)):
        points = [(one.when, one.miou) for one in scores if (one.family, one.again) == (family, again)]
        axes.plot(
            *np.array(points).reshape(-1, 2).T, MARKS[family], markersize=SIZES[family], markeredgewidth=0.9,
            markerfacecolor=PAPER if again else MUTED, markeredgecolor=MUTED if again else PAPER,
        )  # fmt: skip
    for _, number, when, miou in own:
        axes.plot(
            [when], [miou], run_marker(number), markersize=10, color=run_color(number), markeredgecolor=PAPER,
            gid=run_id(number),
        )  # fmt: skip
    _labels(axes, scores, own, steps)
    _key(axes)
    return figure


def _line(axes: Axes, scores: Sequence[Published], last: float) -> list[tuple[float, float]]:
    """Draw the best score so far as steps, and return points along it."""
    records = best_so_far(tuple(scores))
    dates = [record.when for record in records] + [last]
    values = [record.miou for record in records] + [records[-1].miou]
    axes.plot(dates, values, drawstyle="steps-post", color=MUTED, linewidth=1.2, zorder=1)
    flat = np.arange(dates[0], last, 0.1)
    at = np.searchsorted(dates, flat, side="right") - 1
    rises = [(date, value) for date, low, high in zip(dates[1:], values, values[1:], strict=False)
             for value in np.arange(low, high, 1.0).tolist()]  # fmt: skip
    return [*zip(flat.tolist(), np.array(values)[at].tolist(), strict=True), *rises]


def _labels(
    axes: Axes,
    scores: Sequence[Published],
    own: Sequence[tuple[str, int, float, float]],
    steps: Sequence[tuple[float, float]],
) -> None:
    """Name one's own runs and the best of every year, off the line where there is room."""
    best: dict[int, Published] = {}
    for score in (one for one in scores if not one.again):
        if score.year not in best or score.miou > best[score.year].miou:
            best[score.year] = score
    named = [(when, miou) for _, _, when, miou in own] + [(score.when, score.miou) for score in best.values()]
    names = [f"{shorten(name)} {miou:.1f}" for name, _, _, miou in own]
    names += [f"{score.method} {score.miou:g}" for score in best.values()]
    colors = [run_color(number) for _, number, _, _ in own] + [INK] * len(best)
    others = [(score.when, score.miou) for score in scores if score not in best.values()]
    runs = [number for _, number, _, _ in own] + [None] * len(best)
    label_points(axes, named, names, colors, size=10.5, obstacles=[*others, *steps], runs=runs)


def _key(axes: Axes) -> None:
    """Say in the empty upper left corner what the marks mean."""
    entries = [(MARKS[family], SIZES[family], MUTED, family) for family in FAMILIES]
    entries.append(("o", SIZES[FAMILIES[0]], PAPER, "convolution, trained again later (mmsegmentation)"))
    for place, (mark, size, face, text) in enumerate(entries):
        at = 0.96 - 0.052 * place
        axes.plot(
            [0.02], [at], mark, transform=axes.transAxes, markersize=size, markerfacecolor=face, markeredgecolor=MUTED,
            markeredgewidth=0.9,
        )  # fmt: skip
        axes.annotate(
            text, (0.02, at), (10, 0), xycoords="axes fraction", textcoords="offset points", va="center", fontsize=10,
            color=MUTED,
        )  # fmt: skip
