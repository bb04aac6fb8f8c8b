"""Reliability: how often predictions of each confidence are right."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.facts import RunFacts
from segfit.comparison.table import Group
from segfit.drawing.figure import Drawing, Plot, draw_all
from segfit.drawing.lines import end_labels
from segfit.drawing.placement import shorten, text_width
from segfit.drawing.style import MUTED, axis_title, new_figure, run_color, run_dash, run_id, run_marker
from segfit.report.figures.curves import NAMED

__all__ = ["calibration_drawings", "reliability_points"]

FEWEST = 0.002
"""Share of the pixels that a bin must have to be drawn: smaller ones jump about."""


def calibration_drawings(group: Group) -> list[Drawing]:
    """Draw the reliability of the runs whose confidences were measured."""
    return draw_all(CALIBRATION, group)


def reliability_points(run: RunFacts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean confidence and share of right pixels of each bin that has enough pixels, `(n,)` each."""
    calibration = run.evaluation.calibration
    bins = calibration.bins if calibration else ()
    least = FEWEST * sum(entry.pixels for entry in bins)
    kept = [entry for entry in bins if entry.pixels > least]
    return np.array([entry.confidence for entry in kept], float), np.array([entry.accuracy for entry in kept], float)


def reliability(group: Group) -> Figure:
    """Draw the share of right pixels against the confidence; what is calibrated lies on the dashed line."""
    figure = new_figure(440, 330)
    drawn = [pair for pair in zip(group.rows, group.runs, strict=True) if pair[1].evaluation.calibration][:NAMED]
    names = [shorten(row.name) for row, _ in drawn]
    with_labels = 10 + max(text_width(figure, name, 11) for name in names)
    axes = figure.add_axes((40 / 440, 0.14, 1 - (46 + with_labels) / 440, 0.74))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    ends = []
    for row, run in drawn:
        x, y = reliability_points(run)
        axes.plot(
            x, y, color=run_color(row.number), linestyle=run_dash(row.number), marker=run_marker(row.number),
            markersize=5, gid=run_id(row.number),
        )  # fmt: skip
        ends.append(float(y[-1]) if len(y) else None)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.25))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("Confidence", fontsize=11)
    axis_title(axes, "Pixels that are right")
    end_labels(axes, names, ends, [row.number for row, _ in drawn])
    return figure


def _words(group: Group) -> str:
    parts = []
    for row, run in list(zip(group.rows, group.runs, strict=True))[:NAMED]:
        x, y = reliability_points(run)
        if len(x):
            parts.append(
                f"{row.name}: of pixels {units.share(float(x[-1]))} sure, {units.share(float(y[-1]))} are right"
            )
    return f"Share of right pixels by confidence. {'; '.join(parts)}."


CALIBRATION: dict[str, Plot[Group]] = {
    "reliability": Plot(
        supported=lambda group: any(len(reliability_points(run)[0]) for run in group.runs),
        draw=reliability,
        describe=_words,
    ),
}
"""Figures of calibration by their file names."""
