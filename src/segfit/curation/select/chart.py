"""The classes before and after a selection as a chart: one row a class, from one share of the images to the other."""

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, PercentFormatter
from numpy.typing import NDArray

from segfit.curation.names import short_names
from segfit.curation.select import Selection
from segfit.drawing.figure import Drawing, styled
from segfit.drawing.placement import shorten, text_width
from segfit.drawing.style import FAINT, INK, MUTED, PAPER, new_figure, run_color
from segfit.errors import RecipeError
from segfit.folder import replacing

__all__ = ["CHART_CLASSES", "check_chart", "class_chart", "write_chart"]

CHART_CLASSES = 30
"""So many classes have a row; of more, those whose share changed most."""

WIDTH, ROW, TOP, BOTTOM = 440, 17, 56, 46
TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 1)
SHARP = 2
"""Pixels of a PNG per point."""


def check_chart(path: Path) -> None:
    """Refuse a chart that is neither PNG nor SVG, before anything is computed.

    Raises:
        RecipeError: the name ends otherwise.
    """
    if path.suffix not in (".png", ".svg"):
        raise RecipeError(f"--chart {path}: the name of a chart ends in .png or .svg")


def write_chart(selection: Selection, path: Path) -> None:
    """Write the chart as PNG or SVG, as the name of the file says."""
    check_chart(path)
    with styled():
        drawing = Drawing(name="selection", alt="Share of images per class", figure=class_chart(selection))
        if path.suffix == ".svg":
            content = drawing.svg(PAPER).encode("utf-8")
        else:
            stream = io.BytesIO()
            drawing.figure.savefig(stream, format="png", facecolor=PAPER, dpi=72 * SHARP, metadata={"Software": None})
            content = stream.getvalue()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def class_chart(selection: Selection) -> Figure:
    """Draw the share of images that show each class, before and after."""
    before, after = (census.images() / len(census.ids) for census in (selection.before, selection.after))
    rows = _rows(before, after)
    names = [shorten(short_names(selection.before.table.names)[i]) for i in rows]
    height = ROW * len(rows) + TOP + BOTTOM
    figure = new_figure(WIDTH, height)
    left = 14 + max(text_width(figure, name, 11) for name in names)
    axes = figure.add_axes((left / WIDTH, BOTTOM / height, 1 - (left + 22) / WIDTH, ROW * len(rows) / height))
    places = np.arange(len(rows))
    axes.hlines(places, before[rows], after[rows], color=FAINT, linewidth=4)
    axes.plot(before[rows], places, "o", markersize=6.5, color=PAPER, markeredgecolor=MUTED, markeredgewidth=1.4,
              clip_on=False)  # fmt: skip
    axes.plot(after[rows], places, "o", markersize=7.5, color=run_color(0), markeredgecolor=PAPER, clip_on=False)
    axes.set_yticks(places, names, color=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    _root_scale(axes, float(max(before.max(), after.max())))
    _title(axes, selection, len(rows), int((before > 0).sum()))
    return figure


def _rows(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the classes to show, the most frequent first."""
    shown = np.flatnonzero(before > 0)
    changed = np.abs(np.sqrt(after) - np.sqrt(before))[shown]
    kept = shown[np.argsort(-changed, kind="stable")[:CHART_CLASSES]]
    order: NDArray[np.intp] = kept[np.lexsort((kept, -before[kept]))]
    return order


def _root_scale(axes: Axes, highest: float) -> None:
    """Have square roots of shares: rare classes are told apart, and 0 has a place, which logarithms deny it."""
    axes.set_xscale("function", functions=(lambda share: np.sqrt(np.maximum(share, 0)), np.square))
    axes.set_xlim(0, min(1, 1.1 * highest))
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.set_xlabel("Share of images that show the class (square-root scale)", fontsize=11)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", pad=8)


def _title(axes: Axes, selection: Selection, rows: int, classes: int) -> None:
    """Write above the chart what the marks mean, in their colours."""
    everything = f"○ all {len(selection.before.ids):,} images"
    figure = axes.get_figure(root=True)
    assert figure is not None
    beside = text_width(figure, everything, 12) + 24
    texts = [(everything, MUTED, (0.0, 12.0)), (f"● {len(selection.ids):,} selected", run_color(0), (beside, 12.0))]
    if rows < classes:
        texts.append((f"{rows} of {classes} classes: those whose share changed most", MUTED, (0.0, 32.0)))
    for text, color, offset in texts:
        axes.annotate(
            text, (0, 1), offset, xycoords="axes fraction", textcoords="offset points", va="bottom", color=color,
            fontsize=12,
        )  # fmt: skip
