"""The confusion matrix as a figure: one colour, as strong as the share is large, so that pages may swap the colour."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.table import Group, Row
from segfit.drawing.figure import Drawing, styled
from segfit.drawing.placement import shorten, text_width
from segfit.drawing.style import FAINT, INK, MUTED, PAPER, new_figure, run_color
from segfit.report.names import short_names

__all__ = ["ALL_CLASSES", "MOST_FREQUENT", "confusion_drawing", "shown_classes"]

ALL_CLASSES = 40
"""Up to so many classes are all shown; of more, the most frequent."""

MOST_FREQUENT = 20

FAINTEST = 0.005
"""Smaller shares are left white."""

DARK = 0.65
"""From this strength on, a cell needs light writing."""

WRITTEN = 12
"""Up to so many classes have their shares written into the cells."""

WRONG = run_color(1)
"""Colour of what is wrong, whichever run's it is: some runs are grey, as what is right."""

KEY_STEP = 62
"""Points from one entry of the key to the next."""

KEY = (0.01, 0.1, 0.5, 1.0)
"""Shares in the key beneath the matrix."""


def shown_classes(group: Group) -> list[int]:
    """Return the train ids that a matrix shows: all that are annotated, or the most frequent of them."""
    pixels = np.array(group.protocol.pixels)
    order = [int(train) for train in np.argsort(-pixels, kind="stable") if pixels[train]]
    return order if len(order) <= ALL_CLASSES else order[:MOST_FREQUENT]


def confusion_drawing(group: Group, row: Row, confusion: NDArray[np.int64]) -> Drawing:
    """Draw the confusion matrix of one run: for each true class, which share of it was predicted as what.

    Args:
        group: the runs.
        row: whose matrix it is.
        confusion: `(K, K)` pixels; rows are the truth.
    """
    shown = shown_classes(group)
    shares = _shares(confusion, shown)
    every = short_names(group.protocol.classes)
    names = [shorten(every[train]) for train in shown]
    # A matrix of some classes needs a column for what went to the others.
    columns = names if shares.shape[1] == len(names) else [*names, "elsewhere"]
    with styled():
        figure = _draw(shares, names, columns, row)
    words = (
        f"Confusion matrix of {row.name} for {len(shown)} of {len(group.protocol.classes)} classes: each row is a true "
        "class, each column what was predicted, the strength of a cell the share of the class's pixels."
    )
    return Drawing(name=f"confusion-{row.number}", alt=words, figure=figure, runs=(row.number,))


def _shares(confusion: NDArray[np.int64], shown: list[int]) -> NDArray[np.float64]:
    """Return the shares of each shown class `(n, n)`; `(n, n + 1)` with what went to classes that are not shown."""
    total = np.maximum(1, confusion.sum(axis=1)[shown]).astype(np.float64)
    shares: NDArray[np.float64] = confusion[np.ix_(shown, shown)] / total[:, None]
    if len(shown) == len(confusion):
        return shares
    elsewhere = 1 - shares.sum(axis=1, keepdims=True)
    return np.hstack([shares, np.clip(elsewhere, 0, 1)])


def _draw(shares: NDArray[np.float64], names: list[str], columns: list[str], row: Row) -> Figure:
    (count, wide), color = shares.shape, WRONG
    title = f"Predicted by {shorten(row.name)}"
    cell = 26 if count <= WRITTEN else 18 if count <= MOST_FREQUENT else 13
    size = 11 if count <= MOST_FREQUENT else 9
    probe = new_figure(10, 10)
    beside = 12 + max(text_width(probe, "True class", 11), *(text_width(probe, name, size) for name in names))
    above = 12 + max(text_width(probe, name, size) for name in columns)
    below = 36
    width, height = (
        beside + max(cell * wide, len(KEY) * KEY_STEP, text_width(probe, title, 11)) + 8,
        above + 18 + cell * count + below,
    )
    figure = new_figure(width, height)
    axes = figure.add_axes((beside / width, below / height, cell * wide / width, cell * count / height))
    _cells(axes, shares, color)
    if count <= WRITTEN:
        _write(axes, shares)
    axes.set_xlim(0, wide)
    axes.set_ylim(count, 0)
    axes.set_axis_off()
    # Texts, because making ticks takes as long as all the rest.
    for place, name in enumerate(names):
        _label(axes, name, (0, place + 0.5), (-5, 0), size, ha="right", va="center", color=INK)
    for place, name in enumerate(columns):
        _label(axes, name, (place + 0.5, 0), (0, 5), size, ha="center", va="bottom", color=INK, rotation=90)
    _label(axes, "True class", (0, 0), (-5, 8), 11, ha="right", va="center", color=MUTED)
    _label(axes, title, (0, 0), (0, above + 10), 11, ha="left", va="center", color=MUTED)
    _key(axes, color)
    return figure


def _label(
    axes: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], size: float, **look: Any
) -> None:
    """Write a text at an offset in points from a place in the matrix."""
    axes.annotate(text, at, offset, textcoords="offset points", fontsize=size, annotation_clip=False, **look)


def _strength(share: float) -> float:
    """Return how opaque a cell is: the root lifts small shares, which are the interesting ones, into sight."""
    return float(np.sqrt(np.clip(share, 0, 1)))


def _cells(axes: Axes, shares: NDArray[np.float64], color: str) -> None:
    """Draw what is right in grey and what is wrong in colour."""
    count, wide = shares.shape
    squares, colors = [], []
    for i, j in zip(*np.nonzero(shares >= FAINTEST), strict=True):
        squares.append(Rectangle((j + 0.04, i + 0.04), 0.92, 0.92))
        colors.append(to_rgba(MUTED if i == j else color, _strength(shares[i, j])))
    axes.add_collection(PatchCollection(squares, facecolors=colors, edgecolors="none"))
    axes.hlines(range(count + 1), 0, wide, color=FAINT, linewidth=0.6)
    axes.vlines(range(wide + 1), 0, count, color=FAINT, linewidth=0.6)


def _write(axes: Axes, shares: NDArray[np.float64]) -> None:
    """Write the shares in percent, on strong cells in the colour of the page."""
    for i, j in zip(*np.nonzero(shares >= FAINTEST), strict=True):
        color = PAPER if _strength(shares[i, j]) > DARK else INK
        place = j + 0.5, i + 0.52
        axes.text(*place, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=9, color=color)


def _key(axes: Axes, color: str) -> None:
    """Draw what the strengths mean, beneath the matrix."""
    at = 0.0
    for share in KEY:
        box = {"facecolor": to_rgba(color, _strength(share)), "edgecolor": "none", "pad": 0.0}
        axes.annotate(
            "      ", (0, 0), (at, -22), xycoords="axes fraction", textcoords="offset points", va="center",
            fontsize=9, bbox={"boxstyle": "square", **box}, annotation_clip=False,
        )  # fmt: skip
        axes.annotate(
            units.share(share), (0, 0), (at + 22, -22), xycoords="axes fraction", textcoords="offset points",
            va="center", fontsize=10, color=MUTED, annotation_clip=False,
        )  # fmt: skip
        at += KEY_STEP
