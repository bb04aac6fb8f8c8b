"""The figures of the classes: their scores beside their share of the pixels, and against it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.curves import ScoreName
from segfit.comparison.table import Group
from segfit.drawing.figure import Drawing, Plot, draw_all
from segfit.drawing.placement import label_points, shorten, text_width
from segfit.drawing.style import FAINT, INK, MUTED, PAPER, axis_title, new_figure, run_color, run_id, run_marker
from segfit.report.names import short_names

__all__ = ["CLASS_SCORES", "FIGURE_CLASSES", "class_drawings", "class_values", "remarkable"]

CLASS_SCORES: dict[ScoreName, str] = {"dice": "Dice", "miou": "IoU"}
"""What the score of one class is called; `SCORES` names the means."""

FIGURE_CLASSES = 20
"""How many classes the figure with one line a class shows."""

LABELS = 9
"""How many classes are named where every class is a point."""


def class_drawings(group: Group) -> list[Drawing]:
    """Draw the figures of the classes that the group's facts support."""
    return draw_all(FIGURES, group)


def class_values(group: Group) -> NDArray[np.float64]:
    """Return the score of every class and run, `(runs, K)`; NaN for a class that does not occur."""
    score = group.protocol.score
    values = [[entry.score(score) for entry in run.evaluation.per_class] for run in group.runs]
    return np.array([[np.nan if value is None else value for value in row] for row in values], dtype=np.float64)


# --- one line a class ------------------------------------------------------------------------------------------------


def class_scores(group: Group) -> Figure:
    """Draw the scores of the most frequent classes, one dot a run, and beside them the classes' share of the pixels."""
    pixels = np.array(group.protocol.pixels)
    order = np.argsort(-pixels, kind="stable")[:FIGURE_CLASSES]
    height = 24 * len(order) + 74
    figure = new_figure(440, height)
    names = [shorten(name) for name in np.array(short_names(group.protocol.classes))[order].tolist()]
    left = 14 + max(text_width(figure, name, 11) for name in names)
    inner, bottom = (440 - left - 14) / 440, 42 / height
    span = 24 * len(order) / height
    scores = figure.add_axes((left / 440, bottom, 0.68 * inner, span))
    shares = figure.add_axes((left / 440 + 0.74 * inner, bottom, 0.14 * inner, span), sharey=scores)
    _class_dots(scores, group, order)
    scores.set_yticks(range(len(order)), names, color=INK)
    scores.set_ylim(len(order) - 0.5, -0.5)
    _share_bars(shares, pixels[order] / max(1, pixels.sum()))
    for axes, title in ((scores, CLASS_SCORES[group.protocol.score]), (shares, "Share of pixels")):
        axis_title(axes, title)
    return figure


def _class_dots(axes: Axes, group: Group, order: NDArray[np.intp]) -> None:
    values = class_values(group)[:, order]
    places = np.arange(len(order))
    occurs = np.isfinite(values).any(axis=0)
    lowest = np.nanmin(values[:, occurs], axis=0)
    highest = np.nanmax(values[:, occurs], axis=0)
    axes.hlines(places[occurs], lowest, highest, color=FAINT, linewidth=4)
    # The best run is drawn last, so that it lies on top where dots coincide.
    for row, dots in reversed(list(zip(group.rows, values, strict=True))):
        axes.plot(
            dots, places, run_marker(row.number), markersize=8, color=run_color(row.number), markeredgecolor=PAPER,
            clip_on=False, gid=run_id(row.number),
        )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.tick_params(axis="y", pad=8)


def _share_bars(axes: Axes, shares: NDArray[np.float64]) -> None:
    axes.barh(range(len(shares)), shares, height=0.5, color=MUTED)
    for place, value in enumerate(shares.tolist()):
        axes.annotate(
            units.share(value), (value, place), (4, 0), textcoords="offset points", va="center", fontsize=10,
            color=MUTED, annotation_clip=False,
        )  # fmt: skip
    axes.set_xlim(0, max(1e-9, float(shares.max())))
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="both", length=0, labelbottom=False, labelleft=False)


# --- one point a class -----------------------------------------------------------------------------------------------


def score_by_frequency(group: Group) -> Figure:
    """Draw the best run's score of every class against its share of the pixels; a line reaches from the worst run."""
    values, shares, drawn = class_values(group), _shares(group), _drawn(group)
    height = int(np.clip(24 * drawn.sum() + 74, 270, 400))
    figure = new_figure(440, height)
    axes = figure.add_axes((34 / 440, 46 / height, 1 - 58 / 440, 1 - 80 / height))
    best, color = values[0], run_color(group.rows[0].number)
    if len(values) > 1:
        axes.vlines(
            shares[drawn], np.nanmin(values[:, drawn], axis=0), np.nanmax(values[:, drawn], axis=0), color=FAINT,
            linewidth=3,
        )  # fmt: skip
    marker = run_marker(group.rows[0].number)
    axes.plot(
        shares[drawn], best[drawn], marker, markersize=6, color=color, markeredgecolor=PAPER, markeredgewidth=0.6,
        clip_on=False, linestyle="none",
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(shares[drawn].min() / 1.4, min(1.0, shares[drawn].max() * 1.6))
    # Room beneath zero for the names of classes that nobody knows.
    axes.set_ylim(-0.1, 1)
    axes.spines["bottom"].set_visible(False)
    axes.xaxis.set_major_locator(LogLocator(numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _percent(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("Share of the annotated pixels", fontsize=11)
    axis_title(axes, f"{CLASS_SCORES[group.protocol.score]} of {shorten(group.rows[0].name)}")
    named, names = remarkable(group), short_names(group.protocol.classes)
    points = {i: (float(shares[i]), float(best[i])) for i in np.flatnonzero(drawn).tolist()}
    label_points(
        axes,
        [points[i] for i in named],
        [shorten(names[i]) for i in named],
        [INK] * len(named),
        size=10,
        obstacles=[point for i, point in points.items() if i not in named],
    )
    return figure


def remarkable(group: Group, count: int = LABELS) -> list[int]:
    """Return the classes that stand apart: the score is not what their frequency lets expect, or the runs differ most.

    Args:
        group: the runs.
        count: how many at most.

    Returns:
        Train ids, the most remarkable first.
    """
    drawn = np.flatnonzero(_drawn(group))
    values, shares = class_values(group)[:, drawn], np.log10(_shares(group)[drawn])
    if len(drawn) <= count:
        return [int(place) for place in drawn]
    slope, offset = np.polyfit(shares, values[0], 1)
    surprise = np.abs(values[0] - slope * shares - offset)
    spread = np.nanmax(values, axis=0) - np.nanmin(values, axis=0)
    ranks = [np.argsort(-measure, kind="stable").tolist() for measure in (surprise, spread)]
    turns = [place for pair in zip(*ranks, strict=True) for place in pair] if len(values) > 1 else ranks[0]
    return [int(drawn[place]) for place in list(dict.fromkeys(turns))[:count]]


def _shares(group: Group) -> NDArray[np.float64]:
    pixels = np.array(group.protocol.pixels, dtype=np.float64)
    shares: NDArray[np.float64] = pixels / max(1.0, float(pixels.sum()))
    return shares


def _drawn(group: Group) -> NDArray[np.bool_]:
    """Return which classes have pixels and a score of the best run."""
    drawn: NDArray[np.bool_] = np.isfinite(class_values(group)[0]) & (np.array(group.protocol.pixels) > 0)
    return drawn


def _percent(value: float) -> str:
    return f"{100 * value:g} %"


# --- words -----------------------------------------------------------------------------------------------------------


def _class_words(group: Group) -> str:
    score = CLASS_SCORES[group.protocol.score]
    return f"{score} of each class and run, most frequent class first; the table has the numbers."


def _frequency_words(group: Group) -> str:
    names = short_names(group.protocol.classes)
    named = ", ".join(names[i] for i in remarkable(group))
    return (
        f"{CLASS_SCORES[group.protocol.score]} of {group.rows[0].name} for each class against the class's share of the "
        f"pixels; a line reaches to the other runs. Named: {named}."
    )


def _several_classes(group: Group) -> bool:
    return int(_drawn(group).sum()) >= 3


FIGURES: dict[str, Plot[Group]] = {
    "classes": Plot(supported=lambda _: True, draw=class_scores, describe=_class_words),
    "classes-by-frequency": Plot(
        supported=_several_classes,
        draw=score_by_frequency,
        describe=_frequency_words,
        runs=lambda group: (group.rows[0].number,),
    ),
}
"""The figures of the classes by file name."""
