"""The figures of a comparison: a run has the same colour and marker in all of them; labels stand where the data is."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.curves import SCORES, overfit_epoch
from segfit.comparison.facts import RunFacts
from segfit.comparison.table import BASELINE, Group
from segfit.drawing.figure import Drawing, Plot, draw_all
from segfit.drawing.placement import label_points, shorten, spread, text_width
from segfit.drawing.style import (
    FAINT,
    INK,
    MUTED,
    PAPER,
    STEPS,
    axis_title,
    new_figure,
    run_color,
    run_dash,
    run_marker,
)

__all__ = ["FIGURES", "FIGURE_CLASSES", "drawings"]

FIGURE_CLASSES = 20
"""How many classes the class figure shows."""


def drawings(group: Group) -> list[Drawing]:
    """Draw every figure that the group's facts support."""
    return draw_all(FIGURES, group)


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
    return _curves(group, title, lambda run: (run.curves.validated, run.curves.score(score)), ring=9)


def _curves(group: Group, title: str, series: Series, *, ring: int = 0) -> Figure:
    """Draw one curve a run; `ring` is where the epoch stands at the ring of an overfitting run, in points above it."""
    figure = new_figure(340, max(260, 60 + 14 * len(group.rows)))
    names = [shorten(row.name) for row in group.rows]
    with_labels = 8 + max(text_width(figure, name, 11) for name in names)
    axes = figure.add_axes((32 / 340, 0.15, 1 - (36 + with_labels) / 340, 0.70))
    ends = []
    for row, run in zip(group.rows, group.runs, strict=True):
        x, y = series(run)
        marker = "o" if len(x) == 1 else ""
        axes.plot(x, y, color=run_color(row.number), linestyle=run_dash(row.number), marker=marker)
        finite = np.isfinite(y)
        ends.append(float(y[finite][-1]) if finite.any() else None)
        epoch = overfit_epoch(run.curves, group.protocol.score) if ring else None
        if epoch is not None:
            _ring(axes, epoch, float(y[x == epoch][0]), ring, run_color(row.number))
    axes.set_xlabel("Epoch", fontsize=11)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.margins(x=0.02, y=0.08)
    axes.set_ylim(bottom=0)
    axis_title(axes, title)
    _end_labels(axes, names, ends, [run_color(row.number) for row in group.rows])
    return figure


def _ring(axes: Axes, epoch: int, value: float, above: int, color: str) -> None:
    axes.plot([epoch], [value], "o", markersize=8, markerfacecolor=PAPER, markeredgecolor=color, markeredgewidth=1.8)
    axes.annotate(
        str(epoch), (epoch, value), (0, above), textcoords="offset points", ha="center",
        va="bottom" if above > 0 else "top", fontsize=10, color=color,
    )  # fmt: skip


def _end_labels(axes: Axes, names: Sequence[str], ends: Sequence[float | None], colors: Sequence[str]) -> None:
    """Write each name beside the end of its line, moved apart where lines end together."""
    drawn = [(end, name, color) for end, name, color in zip(ends, names, colors, strict=True) if end is not None]
    if not drawn:
        return
    heights = axes.transData.transform([(0, end) for end, _, _ in drawn])[:, 1]
    bottom, top = axes.bbox.y0, axes.bbox.y1
    for at, (_, name, color) in zip(spread(heights, 14, bottom, top), drawn, strict=True):
        at_axes = (at - bottom) / (top - bottom)
        axes.annotate(
            name, (1, at_axes), (6, 0), xycoords="axes fraction", textcoords="offset points", va="center",
            fontsize=11, color=color, annotation_clip=False,
        )  # fmt: skip


# --- score against cost ----------------------------------------------------------------------------------------------


def score_by_memory(group: Group) -> Figure:
    """Draw score against peak memory."""
    sizes = np.array([run.training.memory for run in group.runs])
    size, unit = (1e9, "GB") if sizes.max() >= 1e9 else (1e6, "MB")
    return _scatter(group, sizes / size, f"Peak memory in training ({unit})")


def score_by_time(group: Group) -> Figure:
    """Draw score against training time."""
    seconds = np.array([run.training.seconds for run in group.runs])
    longest = float(seconds.max())
    size, unit = (3600, "h") if longest >= 7200 else (60, "min") if longest >= 120 else (1, "s")
    return _scatter(group, seconds / size, f"Training time ({unit})")


def _scatter(group: Group, cost: NDArray[np.float64], label: str) -> Figure:
    figure = new_figure(440, 290)
    axes = figure.add_axes((34 / 440, 0.15, 1 - 54 / 440, 0.72))
    scores = [row.score(group.protocol.score) for row in group.rows]
    for row, x, y in zip(group.rows, cost, scores, strict=True):
        axes.plot([x], [y], run_marker(row.number), markersize=9, color=run_color(row.number), clip_on=False)
    _cost_axis(axes, cost)
    base = group.baseline.score(group.protocol.score)
    axes.set_ylim(0, min(1.02, 1.2 * max(*scores, base, 0.01)))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.axhline(base, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"{BASELINE} {units.score(base)}", (1, base), (0, 4), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", va="bottom", fontsize=11, color=MUTED,
    )  # fmt: skip
    axes.set_xlabel(label, fontsize=11)
    axis_title(axes, SCORES[group.protocol.score])
    names = [shorten(row.name) for row in group.rows]
    label_points(
        axes, list(zip(cost.tolist(), scores, strict=True)), names, [run_color(row.number) for row in group.rows]
    )
    return figure


def _cost_axis(axes: Axes, cost: NDArray[np.float64]) -> None:
    """Choose a logarithmic axis where the costs span a factor of eight or more; else start at zero."""
    if cost.min() > 0 and cost.max() / cost.min() >= 8:
        axes.set_xscale("log", base=2)
        axes.set_xlim(cost.min() / 1.5, cost.max() * 1.5)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, 1.12 * max(cost.max(), 1e-9))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))


# --- classes ---------------------------------------------------------------------------------------------------------


def class_scores(group: Group) -> Figure:
    """Draw the scores of the most frequent classes, one dot a run, and beside them the classes' share of the pixels."""
    pixels = np.array(group.protocol.pixels)
    order = np.argsort(-pixels, kind="stable")[:FIGURE_CLASSES]
    height = 24 * len(order) + 74
    figure = new_figure(440, height)
    names = [shorten(group.protocol.classes[i]) for i in order]
    left = 14 + max(text_width(figure, name, 11) for name in names)
    inner, bottom = (440 - left - 14) / 440, 42 / height
    span = 24 * len(order) / height
    scores = figure.add_axes((left / 440, bottom, 0.68 * inner, span))
    shares = figure.add_axes((left / 440 + 0.74 * inner, bottom, 0.14 * inner, span), sharey=scores)
    _class_dots(scores, group, order)
    scores.set_yticks(range(len(order)), names, color=INK)
    scores.set_ylim(len(order) - 0.5, -0.5)
    _share_bars(shares, pixels[order] / max(1, pixels.sum()))
    for axes, title in ((scores, SCORES[group.protocol.score]), (shares, "Share of pixels")):
        axis_title(axes, title)
    return figure


def _class_dots(axes: Axes, group: Group, order: NDArray[np.intp]) -> None:
    values = np.array(
        [[np.nan if (v := run.evaluation.per_class[i].score(group.protocol.score)) is None else v for i in order]
         for run in group.runs]
    )  # fmt: skip
    places = np.arange(len(order))
    occurs = np.isfinite(values).any(axis=0)
    lowest = np.nanmin(values[:, occurs], axis=0)
    highest = np.nanmax(values[:, occurs], axis=0)
    axes.hlines(places[occurs], lowest, highest, color=FAINT, linewidth=4)
    # The best run is drawn last, so that it lies on top where dots coincide.
    for row, dots in reversed(list(zip(group.rows, values, strict=True))):
        marker = run_marker(row.number)
        axes.plot(dots, places, marker, markersize=8, color=run_color(row.number), markeredgecolor=PAPER, clip_on=False)
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


# --- words -----------------------------------------------------------------------------------------------------------


def _curve_words(title: str, series: Series) -> Callable[[Group], str]:
    def words(group: Group) -> str:
        ends = []
        for row, run in zip(group.rows, group.runs, strict=True):
            _, y = series(run)
            if len(y):
                ends.append(f"{row.name} from {y[0]:.2f} to {y[-1]:.2f}")
        return f"{title} by epoch: {'; '.join(ends)}."

    return words


def _score_words(group: Group) -> str:
    score = group.protocol.score
    return _curve_words(f"Validation {SCORES[score]}", lambda r: (r.curves.validated, r.curves.score(score)))(group)


def _cost_words(cost: str, text: Callable[[RunFacts], str]) -> Callable[[Group], str]:
    def words(group: Group) -> str:
        score = group.protocol.score
        points = (
            f"{row.name} {units.score(row.score(score))} at {text(run)}"
            for row, run in zip(group.rows, group.runs, strict=True)
        )
        return f"{SCORES[score]} against {cost}: {'; '.join(points)}."

    return words


def _class_words(group: Group) -> str:
    return (
        f"{SCORES[group.protocol.score]} of each class and run, most frequent class first; the table has the numbers."
    )


def _has_epochs(group: Group) -> bool:
    return any(len(run.curves.epoch) for run in group.runs)


def _has_validations(group: Group) -> bool:
    return any(len(run.curves.validated) for run in group.runs)


def _one_memory_kind(group: Group) -> bool:
    return len(group.rows) > 1 and len({run.training.memory_kind for run in group.runs}) == 1


def _one_hardware(group: Group) -> bool:
    return len(group.rows) > 1 and len({run.hardware for run in group.runs}) == 1


FIGURES: dict[str, Plot[Group]] = {
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
    "score-by-memory": Plot(
        supported=_one_memory_kind,
        draw=score_by_memory,
        describe=_cost_words("peak memory", lambda run: units.memory(run.training.memory)),
    ),
    "score-by-time": Plot(
        supported=_one_hardware,
        draw=score_by_time,
        describe=_cost_words("training time", lambda run: units.duration(run.training.seconds)),
    ),
    "classes": Plot(supported=lambda _: True, draw=class_scores, describe=_class_words),
}
"""Every figure by its file name."""
