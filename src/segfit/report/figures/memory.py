"""Where the memory of runs went: its peak as training went on, and what was planned, part by part, beside it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.budget import trained
from segfit.comparison.facts import RunFacts
from segfit.comparison.plans import PARTS, MemoryParts, PlanFacts
from segfit.comparison.table import Group, Row
from segfit.drawing.figure import Drawing, Plot, draw_all
from segfit.drawing.lines import end_labels
from segfit.drawing.placement import shorten, text_width
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
    run_id,
)
from segfit.report.figures.curves import NAMED

__all__ = ["Planned", "memory_drawings", "peak_parts"]

WIDTH = 440
BAR = 26
"""Height of a bar with its gap, in points."""

OPACITY = {"parameters": 1.0, "gradients": 0.8, "optimizer": 0.62, "activations": 0.44, "temporaries": 0.24}
"""How strongly each part of the memory is coloured, so that a run keeps its colour."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A run, what was planned for it, and what it took."""

    row: Row
    run: RunFacts
    plan: PlanFacts


def peak_parts(plan: PlanFacts) -> tuple[str, MemoryParts]:
    """Return of what the planned peak consists, and when it is: in ``training`` or in ``validation``."""
    memory = plan.memory
    sums = {
        when: sum(getattr(parts, part) for part in PARTS)
        for when, parts in (("training", memory.training), ("validation", memory.validation))
    }
    return ("validation", memory.validation) if sums["validation"] > sums["training"] else ("training", memory.training)


def memory_drawings(group: Group, planned: tuple[Planned, ...]) -> list[Drawing]:
    """Draw what the facts support: the timeline where memory was measured alike, and plans where there are some."""
    timeline = Plot(supported=_has_timeline, draw=_timeline, describe=_timeline_words)
    against = Plot(supported=bool, draw=_bars, describe=_bar_words)
    return [*draw_all({"memory-timeline": timeline}, group), *draw_all({"memory-planned": against}, planned)]


def _unit(largest: float) -> tuple[float, str]:
    return (1e9, "GB") if largest >= 1e9 else (1e6, "MB")


# --- timeline --------------------------------------------------------------------------------------------------------


def _timeline_of(run: RunFacts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return steps and the peak up to each; the peak of the whole run, the last validation included, is the last."""
    curves = run.curves
    return (
        np.append(curves.memory_steps, run.training.steps),
        np.append(curves.memory, run.training.memory).astype(np.float64),
    )


def _has_timeline(group: Group) -> bool:
    runs = [run for _, run in trained(group)]
    alike = len({run.training.memory_kind for run in runs}) == 1
    return alike and any(len(run.curves.memory) for run in runs)


def _timeline(group: Group) -> Figure:
    height = 240
    figure = new_figure(WIDTH, height)
    members = trained(group)
    runs, named = [run for _, run in members], members[:NAMED]
    names = [shorten(row.name) for row, _ in named]
    right = 10 + max(text_width(figure, name, 11) for name in names)
    axes = figure.add_axes((34 / WIDTH, 42 / height, 1 - (38 + right) / WIDTH, 1 - 76 / height))
    size, unit = _unit(max(run.training.memory for run in runs))
    for place, (row, run) in enumerate(members):
        steps, peaks = _timeline_of(run)
        look = {"color": run_color(row.number), "linestyle": run_dash(row.number)}
        if place >= NAMED:
            look = {"color": MUTED, "alpha": 0.35, "linewidth": 1}
        axes.plot(steps, peaks / size, drawstyle="steps-post", gid=run_id(row.number), **look)
    axes.set_xlim(0, 1.02 * max(1, *(run.training.steps for run in runs)))
    axes.set_ylim(0, 1.12 * max(1, *(run.training.memory for run in runs)) / size)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS, integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.set_xlabel("Optimizer step", fontsize=11)
    axis_title(axes, f"Peak memory so far ({unit})")
    ends = [run.training.memory / size for _, run in named]
    end_labels(axes, names, ends, [row.number for row, _ in named])
    return figure


def _timeline_words(group: Group) -> str:
    ends = (f"{row.name} {units.memory(run.training.memory)}" for row, run in trained(group))
    return f"Peak memory so far by optimizer step; at the end: {'; '.join(ends)}."


# --- planned and measured --------------------------------------------------------------------------------------------


def _bars(planned: tuple[Planned, ...]) -> Figure:
    height = BAR * len(planned) + 96
    figure = new_figure(WIDTH, height)
    names = [shorten(one.row.name) for one in planned]
    left = 12 + max(text_width(figure, name, 11) for name in names)
    axes = figure.add_axes((left / WIDTH, 40 / height, 1 - (left + 52) / WIDTH, BAR * len(planned) / height))
    most = max(max(one.plan.memory.peak, one.run.training.memory) for one in planned)
    size, unit = _unit(most)
    for place, one in enumerate(planned):
        _bar(axes, place, one, size)
    axes.set_xlim(0, 1.02 * most / size)
    axes.set_ylim(len(planned) - 0.5, -0.5)
    axes.set_yticks(range(len(planned)), names)
    for label, one in zip(axes.get_yticklabels(), planned, strict=True):
        label.set_color(run_color(one.row.number))
        label.set_gid(run_id(one.row.number))
    room = _room(axes, planned, most, size)
    axes.grid(visible=False)
    axes.grid(visible=True, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.set_xlabel(f"Memory of each device ({unit}){room}", fontsize=11)
    _legend(axes, 8 - left)
    return figure


def _bar(axes: Axes, place: int, one: Planned, size: float) -> None:
    """Draw the parts of a plan in a row, a mark at what was measured, and the ratio of the two."""
    start, color, mine = 0.0, run_color(one.row.number), run_id(one.row.number)
    _, parts = peak_parts(one.plan)
    # The grid does not shine through the shades.
    axes.barh(place, sum(getattr(parts, part) for part in PARTS) / size, 0.6, color=PAPER, zorder=2, gid=mine)
    for part, opacity in OPACITY.items():
        width = getattr(parts, part) / size
        axes.barh(
            place, width, 0.6, start, color=color, alpha=opacity, edgecolor=PAPER, linewidth=0.6, zorder=2, gid=mine
        )
        start += width
    measured = one.run.training.memory / size
    axes.plot([measured, measured], [place - 0.4, place + 0.4], color=INK, linewidth=2.2, gid=mine)
    ratio = one.plan.ratio(one.run)
    axes.annotate(
        "\N{EN DASH}" if ratio is None else f"{ratio:.2f}", (1, place), (8, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", va="center", fontsize=11, color=color, annotation_clip=False, gid=mine,
    )  # fmt: skip


def _room(axes: Axes, planned: tuple[Planned, ...], most: float, size: float) -> str:
    """Mark the room of the device where it is one, and near; return what the axis says of it."""
    rooms = {one.plan.device.room for one in planned}
    if len(rooms) > 1 or (room := rooms.pop()) > 1.5 * most:
        return ""
    axes.set_xlim(0, 1.02 * max(room, most) / size)
    axes.axvline(room / size, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    return "; dashed: room for tensors"


def _legend(axes: Axes, start: float) -> None:
    """Explain the shades above the bars, from `start` points beside the axes on, and the column of ratios."""
    at = start
    figure = axes.get_figure(root=True)
    assert figure is not None
    entries: Mapping[str, float] = {PARTS[part]: opacity for part, opacity in OPACITY.items()}
    for name, opacity in entries.items():
        axes.annotate(
            "\N{BLACK SQUARE}", (0, 1), (at, 8), xycoords="axes fraction", textcoords="offset points", va="bottom",
            fontsize=11, color=MUTED, alpha=opacity, annotation_clip=False,
        )  # fmt: skip
        axes.annotate(
            name, (0, 1), (at + 11, 9), xycoords="axes fraction", textcoords="offset points", va="bottom", fontsize=10,
            color=MUTED, annotation_clip=False,
        )  # fmt: skip
        at += 18 + text_width(figure, name, 10)
    axes.annotate(
        "Planned memory by parts; the mark is what was measured", (0, 1), (start, 26), xycoords="axes fraction",
        textcoords="offset points", va="bottom", color=INK, annotation_clip=False,
    )  # fmt: skip
    axes.annotate(
        "ratio", (1, 1), (8, 9), xycoords="axes fraction", textcoords="offset points", va="bottom", fontsize=10,
        color=MUTED, annotation_clip=False,
    )  # fmt: skip
    axes.spines["bottom"].set_color(FAINT)


def _bar_words(planned: tuple[Planned, ...]) -> str:
    said = (
        f"{one.row.name} {units.memory(one.plan.memory.peak)} planned, {units.memory(one.run.training.memory)} measured"
        for one in planned
    )
    return f"Planned memory by parts, and measured: {'; '.join(said)}."
