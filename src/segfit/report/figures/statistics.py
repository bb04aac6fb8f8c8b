"""The figures of what is sure: intervals of the entrants' scores, of their differences and of those of classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segfit import units
from segfit.comparison.curves import SCORES, ScoreName
from segfit.comparison.statistics import ClassDifference, Difference, Interval, Standing, Statistics
from segfit.drawing.figure import Drawing, Plot, draw_all
from segfit.drawing.placement import shorten, text_width
from segfit.drawing.style import INK, MUTED, PAPER, STEPS, axis_title, new_figure, run_color, run_id, run_marker
from segfit.report.figures.classes import CLASS_SCORES

__all__ = ["Certainty", "Change", "class_change", "interval_drawings", "signed"]

WIDTH, LINE, NUMBER = 440, 26, 118


@dataclass(frozen=True, kw_only=True)
class Certainty:
    """What the figures of a group's statistics show.

    Attributes:
        score: the metric.
        statistics: of the group.
    """

    score: ScoreName
    statistics: Statistics


@dataclass(frozen=True, kw_only=True)
class Change:
    """What the figure of two entrants' classes shows.

    Attributes:
        score: the metric.
        first: name of the entrant that the differences speak for where they are above zero.
        second: name of the other one.
        names: of all classes.
        differences: of the classes to draw, from top to bottom; each has an interval.
        colors: numbers of the two entrants' runs.
    """

    score: ScoreName
    first: str
    second: str
    names: tuple[str, ...]
    differences: tuple[ClassDifference, ...]
    colors: tuple[int, int]


def interval_drawings(certainty: Certainty) -> list[Drawing]:
    """Draw the intervals of all scores and, of several entrants, of the differences from the best one."""
    return draw_all(FIGURES, certainty)


def class_change(change: Change) -> Drawing:
    """Draw the differences of two entrants in single classes."""
    (drawing,) = draw_all({"class-differences": CLASSES}, change)
    return drawing


def signed(value: float) -> str:
    """Return a difference with its sign: ``+0.021``, or ``0.000`` without one."""
    text = f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
    return "0.000" if text[1:] == "0.000" else text


# --- drawing ---------------------------------------------------------------------------------------------------------


def _scores(certainty: Certainty) -> Figure:
    standings = certainty.statistics.standings
    axes = _rows(
        [standing.name for standing in standings],
        [_interval_text(standing) for standing in standings],
        [standing.entrant.number for standing in standings],
    )
    ends = [(s.interval.low, s.interval.high) for s in standings]
    for place, (standing, (low, high)) in enumerate(zip(standings, ends, strict=True)):
        number = standing.entrant.number
        _interval(axes, place, low, high, number)
        if len(standing.trainings) > 1:
            axes.plot(
                standing.trainings, np.full(len(standing.trainings), place + 0.27), "o", markersize=3.5, color=MUTED,
                markeredgewidth=0, clip_on=False, gid=run_id(number),
            )  # fmt: skip
        axes.plot(
            standing.value, place, run_marker(number), markersize=8, color=run_color(number), markeredgecolor=PAPER,
            clip_on=False, gid=run_id(number),
        )  # fmt: skip
    drawn = [*np.ravel(ends), *(value for standing in standings for value in standing.trainings)]
    _limits(axes, min(drawn), max(drawn))
    axis_title(axes, SCORES[certainty.score])
    return _figure(axes)


def _differences(certainty: Certainty) -> Figure:
    pairs = _from_best(certainty.statistics)
    numbers = {standing.name: standing.entrant.number for standing in certainty.statistics.standings}
    others = [pair.other for pair in pairs]
    axes = _rows(others, [_difference_text(pair) for pair in pairs], [numbers[other] for other in others])
    axes.axvline(0, color=MUTED, linewidth=0.8)
    for place, pair in enumerate(pairs):
        number = numbers[pair.other]
        _interval(axes, place, -pair.interval.high, -pair.interval.low, number)
        axes.plot(
            -pair.value, place, run_marker(number), markersize=8, color=run_color(number),
            markerfacecolor=run_color(number) if pair.distinguishable else PAPER,
            markeredgecolor=PAPER if pair.distinguishable else run_color(number), clip_on=False, gid=run_id(number),
        )  # fmt: skip
    low, high = min(-pair.interval.high for pair in pairs), max(-pair.interval.low for pair in pairs)
    _limits(axes, min(low, 0.0), max(high, 0.0))
    axis_title(axes, f"Difference in {SCORES[certainty.score]} from {shorten(certainty.statistics.best.name)}")
    return _figure(axes)


def _classes(change: Change) -> Figure:
    found = change.differences
    names = [change.names[one.index] for one in found]
    axes = _rows(names, [f"{signed(one.value)}" for one in found], number=54)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    for place, one in enumerate(found):
        number = change.colors[0 if one.value > 0 else 1]
        interval = _of(one)
        axes.plot((interval.low, interval.high), (place, place), color=run_color(number), linewidth=2.2)
        axes.plot(one.value, place, run_marker(number), markersize=7, color=run_color(number), markeredgecolor=PAPER)
    intervals = [_of(one) for one in found]
    _limits(axes, min(0.0, *(i.low for i in intervals)), max(0.0, *(i.high for i in intervals)))
    axis_title(axes, f"{CLASS_SCORES[change.score]} of {shorten(change.first)} minus {shorten(change.second)}")
    return _figure(axes)


def _of(one: ClassDifference) -> Interval:
    assert one.interval is not None, "only classes with an interval are drawn"
    return one.interval


def _rows(names: Sequence[str], texts: Sequence[str], runs: Sequence[int] = (), number: int = NUMBER) -> Axes:
    """Return axes with a named line a row and a text at the right end of each.

    Args:
        names: one a row.
        texts: one a row.
        runs: number of the run that each row is of; () where they are of none.
        number: room for the texts, in points.
    """
    height = LINE * len(names) + 64
    figure = new_figure(WIDTH, height)
    labels = [shorten(name) for name in names]
    left = 14 + max(text_width(figure, label, 11) for label in labels)
    axes = figure.add_axes((left / WIDTH, 30 / height, (WIDTH - left - number) / WIDTH, LINE * len(names) / height))
    axes.set_yticks(range(len(labels)), labels, color=INK)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    ids: list[str | None] = [run_id(run) for run in runs] or [None] * len(names)
    for label, mine in zip(axes.get_yticklabels(), ids, strict=True):
        label.set_gid(mine)
    for place, (text, mine) in enumerate(zip(texts, ids, strict=True)):
        axes.annotate(
            text, (1, place), (8, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
            fontsize=11, color=MUTED, annotation_clip=False, gid=mine,
        )  # fmt: skip
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.tick_params(axis="y", pad=8)
    return axes


def _interval(axes: Axes, place: int, low: float, high: float, number: int) -> None:
    axes.plot((low, high), (place, place), color=run_color(number), linewidth=2.2, gid=run_id(number))


def _limits(axes: Axes, low: float, high: float) -> None:
    """Show the range with a little room; intervals are about differences, so that the axis need not begin at zero."""
    room = 0.06 * max(high - low, 0.004)
    axes.set_xlim(low - room, high + room)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS))


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


# --- words -----------------------------------------------------------------------------------------------------------


def _from_best(statistics: Statistics) -> list[Difference]:
    """Return the differences of all others from the best, in the order of their scores."""
    best = statistics.best.name
    return [statistics.difference(best, standing.name) for standing in statistics.standings[1:]]


def _interval_text(standing: Standing) -> str:
    return f"{standing.interval.low:.3f} to {standing.interval.high:.3f}"


def _difference_text(pair: Difference) -> str:
    return f"{signed(-pair.interval.high)} to {signed(-pair.interval.low)}"


def _score_words(certainty: Certainty) -> str:
    parts = (
        f"{standing.name} {units.score(standing.value)} ({_interval_text(standing)})"
        for standing in certainty.statistics.standings
    )
    return f"{SCORES[certainty.score]} with 95 % intervals: {'; '.join(parts)}."


def _difference_words(certainty: Certainty) -> str:
    parts = (
        f"{pair.other} {signed(-pair.value)} ({_difference_text(pair)})" for pair in _from_best(certainty.statistics)
    )
    return (
        f"{SCORES[certainty.score]} of the others minus that of {certainty.statistics.best.name}, with 95 % intervals: "
        f"{'; '.join(parts)}."
    )


def _class_words(change: Change) -> str:
    parts = (f"{change.names[one.index]} {signed(one.value)}" for one in change.differences)
    return f"{CLASS_SCORES[change.score]} of {change.first} minus {change.second}: {'; '.join(parts)}."


FIGURES: dict[str, Plot[Certainty]] = {
    "intervals": Plot(supported=lambda _: True, draw=_scores, describe=_score_words),
    "differences": Plot(
        supported=lambda certainty: len(certainty.statistics.standings) > 1,
        draw=_differences,
        describe=_difference_words,
        runs=lambda certainty: (certainty.statistics.best.entrant.number,),
    ),
}
"""Figures of all entrants, by their file names."""

CLASSES: Plot[Change] = Plot(
    supported=lambda change: bool(change.differences),
    draw=_classes,
    describe=_class_words,
    runs=lambda change: change.colors,
)
