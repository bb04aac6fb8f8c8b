"""The figures of a dataset: which classes there are, how much a subset covers, how large and how wide images are."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from segfit import units
from segfit.curation.names import short_names
from segfit.curation.stats import Stats
from segfit.curation.stats.tally import Tally
from segfit.curation.stats.words import size_text
from segfit.drawing.figure import Drawing, Plot, draw_all
from segfit.drawing.placement import label_points, shorten
from segfit.drawing.style import (
    FAINT,
    INK,
    MUTED,
    PAPER,
    STEPS,
    axis_title,
    new_figure,
    run_color,
    run_marker,
)

__all__ = ["drawings"]

CLASS_SIZE, IMAGE_SIZE = (340, 270), (440, 320)
GRID = 40
"""Marks of the sizes lie on a grid of so many steps, so that thousands of images stay a small picture."""
NAMED = 6
PAPER_CLASSES = 10
ELBOW = 0.9
"""The number of classes that cover so much is marked, and that of the paper."""
SHAPES = 12
"""Bars of the aspect ratios for a factor of two: 4:3, 3:2 and 16:9 are almost whole steps."""


def drawings(stats: Stats) -> dict[str, Drawing]:
    """Draw every figure that the statistics support, by name."""
    return {drawing.name: drawing for drawing in draw_all(FIGURES, stats)}


# --- classes ---------------------------------------------------------------------------------------------------------


def frequency(stats: Stats) -> Figure:
    """Draw the share of every class by rank, one mark a split."""
    figure, axes = _panel(CLASS_SIZE)
    order = list(stats.overall.order)
    ranks = np.arange(1, len(order) + 1)
    for number, (name, split) in reversed(list(enumerate(stats.splits.items()))):
        shares = split.pixels[order] / max(split.annotated, 1)
        shown = shares > 0
        axes.plot(
            ranks[shown], shares[shown], run_marker(number), markersize=max(4.0, 7 - len(order) / 25),
            color=run_color(number), markeredgecolor=PAPER, markeredgewidth=0.4, label=name, clip_on=False,
        )  # fmt: skip
    _log_shares(axes, "y")
    axes.set_xlabel("Class, from the most common to the rarest", fontsize=11)
    _ranks(axes, len(order))
    axis_title(axes, "Share of annotated pixels")
    if len(stats.splits) > 1:
        _legend(axes)
    return figure


def coverage(stats: Stats) -> Figure:
    """Draw which share of the pixels the k most common classes cover, in the split that suggestions are made for."""
    figure, axes = _panel(CLASS_SIZE)
    curves = stats.splits[stats.base].coverage()
    k = np.arange(len(curves) + 1)
    for number, (title, curve) in enumerate(zip(("of annotated pixels", "of all pixels"), curves.T, strict=True)):
        axes.plot(k, [0, *curve], color=run_color(number), label=title, clip_on=False)
    elbow = _elbow(curves[:, 0])
    for count in {elbow, PAPER_CLASSES} if len(curves) > 2 * PAPER_CLASSES else {elbow}:
        _mark(axes, curves, count)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_xlabel("Number of classes, the most common first", fontsize=11)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS, integer=True))
    axes.set_xlim(0, len(curves))
    axis_title(axes, f"Covered pixels of {shorten(stats.base)}")
    legend = axes.legend(loc="lower right", frameon=False, fontsize=11, labelcolor="linecolor", handlelength=0)
    for line in legend.get_lines():
        line.set_visible(False)
    return figure


def _elbow(covered: NDArray[np.float64]) -> int:
    return int(np.searchsorted(covered, ELBOW)) + 1


def _mark(axes: Axes, curves: NDArray[np.float64], count: int) -> None:
    """Write below the curves what `count` classes cover of the annotated pixels."""
    at, below = curves[count - 1].tolist()
    axes.plot([count], [at], "o", color=run_color(0), markersize=6, markeredgecolor=PAPER)
    axes.annotate(
        f"{count} classes: {units.share(at)}", (count, below), (7, -7), textcoords="offset points", va="top",
        fontsize=11, color=run_color(0),
    )  # fmt: skip


def presence(stats: Stats) -> Figure:
    """Draw how often each class is shown against how large it is then."""
    figure, axes = _panel(CLASS_SIZE)
    tally, names = stats.overall, short_names(stats.names)
    order = list(tally.order)
    often, large = tally.images[order] / len(tally.records), tally.where_shown[order]
    axes.plot(often, large, "o", markersize=5, color=run_color(0), alpha=0.65, markeredgewidth=0, clip_on=False)
    _log_shares(axes, "x")
    _log_shares(axes, "y")
    axes.grid(visible=True, axis="both")
    axes.set_xlabel("Share of images that show the class", fontsize=11)
    axis_title(axes, "Share of the pixels of those images")
    # The corners of the cloud: common, large, small and rare ones.
    log_often, log_large = np.log(often), np.log(large)
    corners = [log_often + log_large, log_large - 0.4 * log_often, log_often - log_large, -log_often - log_large]
    chosen = list(dict.fromkeys(int(i) for corner in corners for i in np.argsort(-corner)[:2]))[: NAMED + 2]
    label_points(
        axes,
        [(float(often[i]), float(large[i])) for i in chosen],
        [names[order[i]] for i in chosen],
        [INK] * len(chosen),
    )
    return figure


# --- sizes -----------------------------------------------------------------------------------------------------------


def sizes(stats: Stats) -> Figure:
    """Draw how many images have which width and height."""
    figure, axes = _panel(IMAGE_SIZE)
    (x, y), images = _grid(stats.overall)
    top = 1.12 * max(float(x.max()), float(y.max()))
    for ratio, name in ((1.0, "1:1"), (4 / 3, "4:3"), (16 / 9, "16:9")):
        axes.plot([0, top], [0, top / ratio], color=FAINT, linewidth=1.2, zorder=0)
        axes.annotate(
            name, (top, top / ratio), (-2, -3), textcoords="offset points", ha="right", va="top", fontsize=10,
            color=MUTED, zorder=0,
        )  # fmt: skip
    area = 260 * images / images.max()
    axes.scatter(x, y, s=np.maximum(area, 9), color=run_color(0), alpha=0.55, linewidths=0)
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=STEPS, integer=True))
    axes.set_xlabel("Width in pixels", fontsize=11)
    axis_title(axes, "Height in pixels")
    return figure


def _grid(tally: Tally) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return `(2, M)` widths and heights of the occupied cells of a grid, and the number of images in each `(M,)`."""
    widths_heights = tally.census.sizes[:, ::-1]
    step = max(1, int(widths_heights.max()) // GRID)
    if len(np.unique(widths_heights, axis=0)) <= 10 * GRID:
        step = 1
    cells, images = np.unique(np.round(widths_heights / step) * step, axis=0, return_counts=True)
    return cells.T, images


def aspects(stats: Stats) -> Figure:
    """Draw the distribution of width to height."""
    figure, axes = _panel(IMAGE_SIZE)
    height, width = stats.overall.census.sizes.T
    steps, counts = np.unique(np.round(np.log2(width / height) * SHAPES), return_counts=True)
    axes.bar(steps / SHAPES, counts / counts.sum(), width=0.86 / SHAPES, color=run_color(0))
    marks = [ratio for ratio in RATIOS if steps.min() - 1 <= np.log2(ratio) * SHAPES <= steps.max() + 1]
    axes.xaxis.set_major_locator(FixedLocator([float(np.log2(ratio)) for ratio in marks]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda _, at: RATIOS[marks[at]] if at is not None else ""))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %", decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.set_xlabel("Width : height", fontsize=11)
    axis_title(axes, "Share of images")
    return figure


RATIOS = {
    1 / 2: "1:2",
    9 / 16: "9:16",
    3 / 4: "3:4",
    1.0: "1:1",
    4 / 3: "4:3",
    16 / 9: "16:9",
    2.4: "2.4:1",
    4.0: "4:1",
}
"""Shapes of images that have names."""


# --- parts -----------------------------------------------------------------------------------------------------------


def _panel(size: tuple[int, int]) -> tuple[Figure, Axes]:
    """Return a figure of (width, height) in CSS pixels with one pair of axes, and room for their texts."""
    width, height = size
    figure = new_figure(width, height)
    return figure, figure.add_axes((52 / width, 44 / height, 1 - 64 / width, 1 - 80 / height))


def _log_shares(axes: Axes, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = axis.get_data_interval()
    subs = (1,) if high > 100 * low else (1, 2, 5) if high > 5 * low else range(1, 10)
    axis.set_major_locator(LogLocator(base=10, subs=list(subs)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def _ranks(axes: Axes, count: int) -> None:
    axes.set_xlim(0.5 - 0.02 * count, count + 0.5 + 0.02 * count)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS, integer=True))


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], labels[::-1], loc="upper right", frameon=False, fontsize=11, labelcolor="linecolor",
        handletextpad=0.1, borderaxespad=0,
    )  # fmt: skip


def _frequency_words(stats: Stats) -> str:
    tally, names = stats.overall, short_names(stats.names)
    shares = tally.pixels / max(tally.annotated, 1)
    first, last = tally.order[0], tally.order[-1]
    return (
        f"Share of annotated pixels of {len(tally.order)} classes by rank, from {names[first]} with "
        f"{units.share(shares[first])} to {names[last]} with {units.share(shares[last])}; the table has the numbers."
    )


def _coverage_words(stats: Stats) -> str:
    covered = stats.splits[stats.base].coverage()[:, 0]
    elbow = _elbow(covered)
    return (
        f"Share of the pixels of {stats.base} that the most common classes cover: {elbow} of {len(covered)} classes "
        f"cover {units.share(float(covered[elbow - 1]))} of the annotated ones."
    )


def _presence_words(stats: Stats) -> str:
    names = short_names(stats.names)
    often = int(np.argmax(stats.overall.images))
    large = int(np.argmax(stats.overall.where_shown))
    return (
        f"How often each class is shown against how much it covers then: {names[often]} is shown most often, "
        f"{names[large]} covers most where it is shown; the table has the numbers."
    )


def _aspect_words(stats: Stats) -> str:
    height, width = stats.overall.census.sizes.T
    low, middle, high = np.quantile(width / height, (0, 0.5, 1))
    return f"Width divided by height: from {low:.2f} to {high:.2f}, half of the images below {middle:.2f}."


def _has_classes(stats: Stats) -> bool:
    return bool(stats.overall.order)


def _has_base_classes(stats: Stats) -> bool:
    return bool(stats.splits[stats.base].order)


def _has_sizes(stats: Stats) -> bool:
    return len(stats.overall.size_counts()) > 1


def _has_aspects(stats: Stats) -> bool:
    return len({width / height for (height, width), _ in stats.overall.size_counts()}) > 1


FIGURES: dict[str, Plot[Stats]] = {
    "frequency": Plot(supported=_has_classes, draw=frequency, describe=_frequency_words),
    "coverage": Plot(supported=_has_base_classes, draw=coverage, describe=_coverage_words),
    "presence": Plot(supported=_has_classes, draw=presence, describe=_presence_words),
    "sizes": Plot(supported=_has_sizes, draw=sizes, describe=lambda stats: size_text(stats.overall)),
    "aspects": Plot(supported=_has_aspects, draw=aspects, describe=_aspect_words),
}
"""Every figure by its name."""
