"""The best score so far against what a run had spent, cut where all runs had spent as much."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segfit import units
from segfit.comparison.budget import OVER, UNITS, EqualBudget, Spending, Unit
from segfit.drawing.figure import Drawing, Plot, draw_all
from segfit.drawing.lines import end_labels
from segfit.drawing.placement import shorten, text_width
from segfit.drawing.style import FAINT, MUTED, STEPS, axis_title, new_figure, run_color, run_dash, run_id
from segfit.report.figures.curves import NAMED

__all__ = ["budget_drawing"]

WIDTH = 400

BEYOND = 1.35
"""How far the figure goes beyond the largest budget, as a factor of it."""

SIZES: dict[Unit, tuple[tuple[float, str], ...]] = {
    "samples": ((1e6, " (millions)"), (1e3, " (thousands)"), (1, "")),
    "hours": ((1, " (h)"), (1 / 60, " (min)"), (1 / 3600, " (s)")),
    "flops": ((1e18, " (EFLOP)"), (1e15, " (PFLOP)"), (1e12, " (TFLOP)"), (1e9, " (GFLOP)")),
}
"""In which sizes the axis of each unit may count, the largest first."""

SHARES = {0.25: "\N{VULGAR FRACTION ONE QUARTER}", 0.5: "\N{VULGAR FRACTION ONE HALF}", 1.0: "equal budget"}


def budget_drawing(budget: EqualBudget) -> Drawing:
    """Draw the best score so far of every run against what it had spent."""
    plot = Plot(supported=lambda _: True, draw=_draw, describe=_words)
    return draw_all({f"score-by-{budget.unit}": plot}, budget)[0]


def _draw(budget: EqualBudget) -> Figure:
    height = 270
    figure = new_figure(WIDTH, height)
    named = [budget.runs[i] for i in sorted(budget.most.ranking[:NAMED])]
    names = [shorten(run.row.name) for run in named]
    right = 10 + max(text_width(figure, name, 11) for name in names)
    axes = figure.add_axes((34 / WIDTH, 42 / height, 1 - (38 + right) / WIDTH, 1 - 78 / height))
    most = budget.most.amount
    size, sizes = next((pair for pair in SIZES[budget.unit] if most >= 2 * pair[0]), SIZES[budget.unit][-1])
    limit = most * (BEYOND if any(run.amounts[-1] > OVER * most for run in budget.runs) else 1.01)
    axes.set_xlim(0, limit / size)
    highest = max((float(np.nanmax(run.best)) for run in budget.runs if np.isfinite(run.best).any()), default=1.0)
    axes.set_ylim(0, min(1.02, max(1.15 * highest, 0.01)))
    for position, run in enumerate(budget.runs):
        if position in budget.most.ranking[:NAMED]:
            _curve(axes, run, most, limit, size)
        else:
            axes.plot(
                run.amounts / size, run.best, color=MUTED, alpha=0.35, linewidth=1, drawstyle="steps-post",
                gid=run_id(run.row.number),
            )  # fmt: skip
    _cuts(axes, budget, size, named)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.set_xlabel(UNITS[budget.unit].axis + sizes, fontsize=11)
    axis_title(axes, f"Best validation {budget.metric} so far")
    end_labels(axes, names, _ends(named, most, limit), [run.row.number for run in named])
    return figure


def _curve(axes: Axes, run: Spending, most: float, limit: float, size: float) -> None:
    """Draw a run up to the largest equal budget, and fainter what it did beyond."""
    color, dash, mine = run_color(run.row.number), run_dash(run.row.number), run_id(run.row.number)
    inside = run.amounts <= OVER * most
    reached = run.at(most)
    # What came a moment later still counts, and is drawn where the budget ends.
    x, y = np.minimum(run.amounts[inside], most), run.best[inside]
    if reached is not None:
        x, y = np.append(x, most), np.append(y, reached)
    axes.plot(x / size, y, color=color, linestyle=dash, drawstyle="steps-post", gid=mine)
    if inside.all():
        return
    shown = ~inside & (run.amounts <= limit)
    # To the border only where the run went on to there.
    beyond = np.concatenate([[most], run.amounts[shown], [min(limit, run.amounts[-1])]])
    values = np.concatenate([[np.nan if reached is None else reached], run.best[shown]])
    values = np.append(values, values[-1])
    axes.plot(beyond / size, values, color=color, linestyle=dash, drawstyle="steps-post", alpha=0.35, gid=mine)


def _ends(runs: Sequence[Spending], most: float, limit: float) -> list[float | None]:
    """Return the heights at which the lines end: those of the last validation that is drawn."""
    return [run.at(max(most, limit / OVER)) for run in runs]


def _cuts(axes: Axes, budget: EqualBudget, size: float, named: Sequence[Spending]) -> None:
    """Mark the budgets at which runs are compared, and the scores of the named ones there."""
    for cut in budget.cuts:
        last = cut is budget.most
        at = cut.amount / size
        axes.axvline(at, color=MUTED if last else FAINT, linewidth=1, zorder=1)
        axes.annotate(
            SHARES[cut.share], (at, 1), (-4, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="right", va="top", fontsize=10, color=MUTED,
        )  # fmt: skip
        for run in named:
            score = run.at(cut.amount)
            if score is not None:
                axes.plot(
                    [at], [score], "o", markersize=5, color=run_color(run.row.number), clip_on=False,
                    gid=run_id(run.row.number),
                )  # fmt: skip


def _words(budget: EqualBudget) -> str:
    scores = "; ".join(
        f"{run.row.name} {units.score(score)}" for run, score in zip(budget.runs, budget.most.scores, strict=True)
    )
    amount = UNITS[budget.unit].text(budget.most.amount)
    return f"Best validation {budget.metric} so far by {UNITS[budget.unit].title}; at {amount}: {scores}."
