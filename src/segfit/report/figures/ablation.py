"""What each change of a recipe did to the score, drawn from before to after."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segfit.comparison.ablation import Certainty, Effect, field_title
from segfit.comparison.curves import SCORES
from segfit.drawing.figure import Drawing, Plot, draw_all
from segfit.drawing.placement import text_width
from segfit.drawing.style import FAINT, INK, MUTED, PAPER, STEPS, new_figure, run_color, run_marker

__all__ = ["FIGURE_EFFECTS", "ablation_drawing", "change_text", "factor_text", "interval_text", "score_name"]

WIDTH, ROW = 640, 26

FIGURE_EFFECTS = 20
"""How many effects the figure shows: those on the score that are largest."""

LABEL = 40
"""Characters of a label."""

COLUMNS = (("memory", 52.0), ("time", 104.0))
"""Columns of numbers to the right of the score, and where they end, in points."""

RIGHT_ARROW = "\N{RIGHTWARDS ARROW}"


def score_name(effect: Effect) -> str:
    """Return the metric that an effect is about."""
    return SCORES[effect.after.group.protocol.score]


def change_text(change: float | None) -> str:
    """Return what was added to a score: ``+0.041``; a dash where that is not known."""
    return "\N{EN DASH}" if change is None else f"{change:+.3f}".replace("-", "\N{MINUS SIGN}")


def factor_text(factor: float | None) -> str:
    """Return a factor of a cost, with a sign before it that says so; a dash where it is not known."""
    return "\N{EN DASH}" if factor is None else f"\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}{factor:.2f}"


def interval_text(certainty: Certainty) -> str:
    """Return an interval: from ``+0.021`` to ``+0.063``."""
    return f"{change_text(certainty.interval.low)} to {change_text(certainty.interval.high)}"


Sure = tuple[Effect, Certainty | None]


def ablation_drawing(effects: Sequence[Effect], sure: Sequence[Certainty | None]) -> Drawing | None:
    """Draw the largest effects on scores that are the same measurement; None where there is none."""
    comparable = [pair for pair in zip(effects, sure, strict=True) if pair[0].score is not None]
    order = sorted(range(len(comparable)), key=lambda i: -abs(comparable[i][0].score or 0.0))
    shown = tuple(comparable[i] for i in sorted(order[:FIGURE_EFFECTS]))
    drawn = draw_all({"ablation": Plot(supported=bool, draw=_draw, describe=_words)}, shown)
    return drawn[0] if drawn else None


def _label(effect: Effect) -> str:
    before, after = effect.values
    text = f"{field_title(effect.field)}: {before} {RIGHT_ARROW} {after}"
    return text if len(text) <= LABEL else f"{text[: LABEL - 1]}\N{HORIZONTAL ELLIPSIS}"


def _draw(shown: tuple[Sure, ...]) -> Figure:
    effects = [effect for effect, _ in shown]
    height = ROW * len(effects) + 72
    figure = new_figure(WIDTH, height)
    labels = [_label(effect) for effect in effects]
    left = 14 + max(text_width(figure, label, 11) for label in labels)
    right = 62 + COLUMNS[-1][1]
    axes = figure.add_axes((left / WIDTH, 24 / height, 1 - (left + right) / WIDTH, ROW * len(effects) / height))
    scores = [setting.score for effect in effects for setting in (effect.before, effect.after)]
    scores += [end for pair in shown for end in _interval(*pair)]
    margin = max(0.02, 0.08 * float(np.ptp(scores)))
    axes.set_xlim(max(0.0, min(scores) - margin), min(1.0, max(scores) + margin))
    axes.set_ylim(len(effects) - 0.5, -0.5)
    for place, (effect, certainty) in enumerate(shown):
        ends = _interval(effect, certainty)
        axes.plot(ends, [place] * len(ends), color=FAINT, linewidth=7, solid_capstyle="butt", zorder=1)
        _arrow(axes, place, effect)
        _numbers(axes, place, effect, told=certainty is None or certainty.distinguishable)
    axes.set_yticks(range(len(effects)), labels, color=INK)
    axes.grid(visible=False)
    axes.grid(visible=True, axis="x")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    _titles(axes, effects)
    return figure


def _interval(effect: Effect, certainty: Certainty | None) -> tuple[float, ...]:
    """Return between which scores the run after the change would lie, were the one before it as it is."""
    if certainty is None:
        return ()
    before = effect.before.score
    return before + certainty.interval.low, before + certainty.interval.high


def _arrow(axes: Axes, place: int, effect: Effect) -> None:
    """Draw a hollow mark before, a filled one after, and the way from one to the other.

    A change is about two settings, each of one run or more: no mark goes with a run that is switched off.
    """
    before, after = effect.before.score, effect.after.score
    start, end = axes.transData.transform([(before, place), (after, place)])[:, 0]
    if abs(end - start) > 16:  # else the marks leave no room for it
        arrow = {"arrowstyle": "-|>", "color": MUTED, "linewidth": 1.3, "shrinkA": 5, "shrinkB": 5, "mutation_scale": 8}
        axes.annotate("", (after, place), (before, place), arrowprops=arrow)
    for setting, hollow in ((effect.before, True), (effect.after, False)):
        color = run_color(setting.number)
        axes.plot(
            [setting.score], [place], run_marker(setting.number), markersize=8, markeredgecolor=color,
            markerfacecolor=PAPER if hollow else color, markeredgewidth=1.6, clip_on=False,
        )  # fmt: skip


def _numbers(axes: Axes, place: int, effect: Effect, *, told: bool) -> None:
    """Write the change, paler where it cannot be told from none, and the factors of the costs."""
    texts = [(change_text(effect.score), 52.0, INK if told else MUTED)]
    factors = (effect.memory, effect.seconds)
    texts += [(factor_text(value), 52 + at, MUTED) for (_, at), value in zip(COLUMNS, factors, strict=True)]
    for text, at, color in texts:
        axes.annotate(
            text, (1, place), (at, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
            va="center", fontsize=11, color=color, annotation_clip=False,
        )  # fmt: skip


def _titles(axes: Axes, effects: Sequence[Effect]) -> None:
    metric = " or ".join(sorted({score_name(effect) for effect in effects}))
    axes.annotate(metric, (0, 1), (0, 12), xycoords="axes fraction", textcoords="offset points", va="bottom", color=INK)
    for title, at in (("change", 52.0), *((title, 52 + at) for title, at in COLUMNS)):
        axes.annotate(
            title, (1, 1), (at, 12), xycoords="axes fraction", textcoords="offset points", ha="right", va="bottom",
            fontsize=10, color=MUTED, annotation_clip=False,
        )  # fmt: skip


def _words(shown: tuple[Sure, ...]) -> str:
    said = (f"{_label(effect)} {change_text(effect.score)}" for effect, _ in shown)
    return f"Effect of single changes on the score: {'; '.join(said)}."
