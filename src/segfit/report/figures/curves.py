"""Learning curves: a run has the same colour and line in all of them, and its name stands where its line ends."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from segfit.comparison.budget import trained
from segfit.comparison.curves import SCORES, overfit_epoch
from segfit.comparison.facts import RunFacts
from segfit.comparison.table import Group
from segfit.drawing.figure import Drawing, Plot, draw_all
from segfit.drawing.lines import end_labels
from segfit.drawing.placement import shorten, text_width
from segfit.drawing.style import (
    MUTED,
    PAPER,
    STEPS,
    axis_title,
    new_figure,
    run_color,
    run_dash,
    run_id,
)

__all__ = ["CURVES", "NAMED", "curve_drawings"]

NAMED = 8
"""How many runs, the best ones, have colour and name in a figure of curves; those of further runs are grey."""


def curve_drawings(group: Group) -> list[Drawing]:
    """Draw every learning curve that the group's facts support; a soup, which averages trainings, has none."""
    return draw_all(CURVES, group)


# --- curves ----------------------------------------------------------------------------------------------------------

Series = Callable[[RunFacts], tuple[NDArray[np.int64], NDArray[np.float64]]]


def training_loss(group: Group) -> Figure:
    """Draw the mean training loss of every epoch."""
    return _curves(group, "Training loss", lambda run: (run.curves.epoch, run.curves.train_loss))


def validation_loss(group: Group) -> Figure:
    """Draw the validation loss, with a ring where a run starts to overfit."""
    return _curves(group, "Validation loss", lambda run: (run.curves.validated, run.curves.validation_loss), ring=-9)


def validation_score(group: Group) -> Figure:
    """Draw the validation score, with a ring where a run starts to overfit."""
    score = group.protocol.score
    title = f"Validation {SCORES[score]}"
    return _curves(group, title, lambda run: (run.curves.validated, run.curves.score(score)), ring=9, from_zero=True)


def _curves(group: Group, title: str, series: Series, *, ring: int = 0, from_zero: bool = False) -> Figure:
    """Draw one curve a run.

    Args:
        group: the runs.
        title: of the vertical axis.
        series: horizontal and vertical values of a run.
        ring: where the epoch stands at the ring of an overfitting run, in points above it; 0 for no rings.
        from_zero: begin the axis at 0, not just below the values: losses seldom come near it, and would look flat.
    """
    figure = new_figure(340, 260)
    members = trained(group)
    named = members[:NAMED]
    names = [shorten(row.name) for row, _ in named]
    with_labels = 8 + max(text_width(figure, name, 11) for name in names)
    axes = figure.add_axes((32 / 340, 0.15, 1 - (36 + with_labels) / 340, 0.70))
    ends = []
    for row, run in members[NAMED:]:
        axes.plot(*series(run), color=MUTED, alpha=0.35, linewidth=1, gid=run_id(row.number))
    for row, run in named:
        x, y = series(run)
        marker = "o" if len(x) == 1 else ""
        mine = run_id(row.number)
        axes.plot(x, y, color=run_color(row.number), linestyle=run_dash(row.number), marker=marker, gid=mine)
        finite = np.isfinite(y)
        ends.append(float(y[finite][-1]) if finite.any() else None)
        epoch = overfit_epoch(run.curves, group.protocol.score) if ring else None
        if epoch is not None:
            _ring(axes, epoch, float(y[x == epoch][0]), ring, row.number)
    axes.set_xlabel("Epoch", fontsize=11)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    # Below the lowest value there is room for the epoch at a ring.
    axes.margins(x=0.02, y=0.08 if ring >= 0 else 0.16)
    axes.set_ylim(bottom=0 if from_zero else max(0.0, axes.get_ylim()[0]))
    axis_title(axes, title)
    end_labels(axes, names, ends, [row.number for row, _ in named])
    return figure


def _ring(axes: Axes, epoch: int, value: float, above: int, run: int) -> None:
    color, mine = run_color(run), run_id(run)
    axes.plot(
        [epoch], [value], "o", markersize=8, markerfacecolor=PAPER, markeredgecolor=color, markeredgewidth=1.8, gid=mine
    )
    axes.annotate(
        str(epoch), (epoch, value), (0, above), textcoords="offset points", ha="center",
        va="bottom" if above > 0 else "top", fontsize=10, color=color, gid=mine,
    )  # fmt: skip


# --- words -----------------------------------------------------------------------------------------------------------


def _curve_words(title: str, series: Series) -> Callable[[Group], str]:
    def words(group: Group) -> str:
        ends = []
        for row, run in trained(group)[:NAMED]:
            _, y = series(run)
            y = y[np.isfinite(y)]
            if len(y):
                ends.append(f"{row.name} from {y[0]:.2f} to {y[-1]:.2f}")
        return f"{title} by epoch: {'; '.join(ends)}."

    return words


def _score_words(group: Group) -> str:
    score = group.protocol.score
    return _curve_words(f"Validation {SCORES[score]}", lambda r: (r.curves.validated, r.curves.score(score)))(group)


def _has_epochs(group: Group) -> bool:
    return any(len(run.curves.epoch) for _, run in trained(group))


def _has_validations(group: Group) -> bool:
    return any(len(run.curves.validated) for _, run in trained(group))


CURVES: dict[str, Plot[Group]] = {
    "training-loss": Plot(
        supported=_has_epochs,
        draw=training_loss,
        describe=_curve_words("Training loss", lambda run: (run.curves.epoch, run.curves.train_loss)),
    ),
    "validation-loss": Plot(
        supported=_has_validations,
        draw=validation_loss,
        describe=_curve_words("Validation loss", lambda run: (run.curves.validated, run.curves.validation_loss)),
    ),
    "validation-score": Plot(supported=_has_validations, draw=validation_score, describe=_score_words),
}
"""Learning curves by their file names."""
