"""Names at the ends of lines."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from segfit.drawing.placement import spread
from segfit.drawing.style import run_color, run_id

__all__ = ["end_labels"]


def end_labels(axes: Axes, names: Sequence[str], ends: Sequence[float | None], runs: Sequence[int]) -> None:
    """Write each run's name to the right of the axes at the height of its line's end, moved apart where lines meet.

    Args:
        axes: with its limits set.
        names: one a line.
        ends: height of each line's end, in data coordinates; None for a run without a line, which gets no name.
        runs: numbers of the runs (`table.Row.number`).
    """
    drawn = [(end, name, run) for end, name, run in zip(ends, names, runs, strict=True) if end is not None]
    if not drawn:
        return
    heights = axes.transData.transform([(0, end) for end, _, _ in drawn])[:, 1]
    bottom, top = axes.bbox.y0, axes.bbox.y1
    for at, (_, name, run) in zip(spread(heights, 14, bottom, top), drawn, strict=True):
        axes.annotate(
            name, (1, (at - bottom) / (top - bottom)), (6, 0), xycoords="axes fraction", textcoords="offset points",
            va="center", fontsize=11, color=run_color(run), annotation_clip=False, gid=run_id(run),
        )  # fmt: skip
