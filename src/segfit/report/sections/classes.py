"""Which classes the runs know, and how far that follows how often they occur."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.table import Group
from segfit.report.blocks import Block, Bullets, Cell, Column, Figures, Fold, Section, Table
from segfit.report.figures.classes import CLASS_SCORES, FIGURE_CLASSES, class_drawings, class_values
from segfit.report.names import short_names

__all__ = ["class_sentences", "classes"]

UNKNOWN = 0.05
"""A class that no run scores higher on is not known."""

NAMED = 8
"""How many classes a sentence lists."""

DIFFERING = 3
"""How many of the classes on which runs differ most are named."""

FEWEST = 8
"""Classes from which on a rank correlation is worth a sentence."""


def classes(analysis: Analysis) -> Section | None:
    """Show what every run scores on every class, and what that depends on."""
    group = analysis.group
    values = class_values(group)
    drawings = tuple(class_drawings(group))
    more = len(group.protocol.classes) > FIGURE_CLASSES
    blocks: list[Block] = [
        Bullets(tuple(class_sentences(group))),
        Figures(drawings=drawings, caption=_caption(group, len(drawings))),
        Fold(
            summary=f"{CLASS_SCORES[group.protocol.score]} of all {len(group.protocol.classes)} classes",
            blocks=(_table(group, values),),
            opened=not more,
        ),
        _details_fold(group),
    ]
    return Section(name="classes", title="Which classes they know", blocks=tuple(blocks))


def _caption(group: Group, figures: int) -> str:
    several, count = len(group.rows) > 1, len(group.protocol.classes)
    text = "One mark a run" if several else "Every class"
    if count > FIGURE_CLASSES:
        text += f", the {FIGURE_CLASSES} most frequent of {count} classes"
    if figures > 1:
        text += "; then one dot a class" + (", with a line over all runs" if several else "")
    return f"{text}."


# --- words -----------------------------------------------------------------------------------------------------------


def class_sentences(group: Group) -> list[str]:
    """Return how scores follow frequency, which classes nobody knows, and on which ones runs differ most."""
    values = class_values(group)
    occurs: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(values), axis=0)
    sentences = [*_correlation(group, values[0], occurs), *_unknown(group, values, occurs)]
    return [*sentences, *_differing(group, values, occurs)] if len(values) > 1 else sentences


def _correlation(group: Group, best: NDArray[np.float64], occurs: NDArray[np.bool_]) -> list[str]:
    pixels = np.array(group.protocol.pixels)
    drawn = occurs & (pixels > 0)
    if drawn.sum() < FEWEST or np.ptp(best[drawn]) == 0 or np.ptp(pixels[drawn]) == 0:
        return []
    from scipy.stats import spearmanr

    rank = float(spearmanr(pixels[drawn], best[drawn]).statistic)
    score, name = CLASS_SCORES[group.protocol.score], group.rows[0].name
    how = f"rank correlation {rank:.2f} over {int(drawn.sum())} classes"
    if abs(rank) < 0.3:
        return [f"How often a class occurs says little about how well {name} knows it ({how})."]
    closely = "closely" if abs(rank) >= 0.7 else "loosely"
    if rank > 0:
        return [f"The {score} of {name} {closely} follows how often a class occurs ({how})."]
    return [f"{name} does better on rare classes than on frequent ones ({how})."]


def _unknown(group: Group, values: NDArray[np.float64], occurs: NDArray[np.bool_]) -> list[str]:
    pixels = np.array(group.protocol.pixels)
    unknown = np.flatnonzero(occurs & (pixels > 0) & (values.max(axis=0, initial=0) < UNKNOWN))
    if not len(unknown):
        return []
    every = short_names(group.protocol.classes)
    names = [every[i] for i in unknown[np.argsort(-pixels[unknown], kind="stable")]]
    count = "1 class" if len(names) == 1 else f"{len(names)} classes"
    who = "No run knows" if len(values) > 1 else f"{group.rows[0].name} does not know"
    share = units.share(pixels[unknown].sum() / max(1, pixels.sum()))
    listed = _listed(names)
    return [f"{who} {count} ({CLASS_SCORES[group.protocol.score]} below {UNKNOWN:g}), {share} of the pixels: {listed}."]


def _differing(group: Group, values: NDArray[np.float64], occurs: NDArray[np.bool_]) -> list[str]:
    # Scores that are written alike do not differ.
    spreads = np.ptp(np.round(values, 3), axis=0)
    places = np.flatnonzero(occurs & (spreads > 0))
    if not len(places):
        return []
    spread = np.ptp(values[:, places], axis=0)
    names, parts = short_names(group.protocol.classes), []
    for place in places[np.argsort(-spread, kind="stable")[:DIFFERING]].tolist():
        low, high = int(np.argmin(values[:, place])), int(np.argmax(values[:, place]))
        parts.append(
            f"{names[place]}, from {units.score(float(values[low, place]))} ({group.rows[low].name}) "
            f"to {units.score(float(values[high, place]))} ({group.rows[high].name})"
        )
    return [f"The runs differ most on {'; '.join(parts)}."]


def _listed(names: Sequence[str]) -> str:
    if len(names) <= NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


# --- tables ----------------------------------------------------------------------------------------------------------


def _order(group: Group) -> list[int]:
    """Return the train ids, the most frequent first."""
    return [int(train) for train in np.argsort(-np.array(group.protocol.pixels), kind="stable")]


def _share_cell(group: Group, train: int) -> Cell:
    share = group.protocol.pixels[train] / max(1, sum(group.protocol.pixels))
    return Cell(units.share(share), value=share)


def _score_cell(value: float | None) -> Cell:
    return Cell(units.score(value), value=value, shade=value)


def _table(group: Group, values: NDArray[np.float64]) -> Table:
    several = len(group.rows) > 1
    columns = [Column(title="Class", number=False), Column(title="Pixels", help="Share of the annotated pixels.")]
    columns += [Column(title=row.name, run=row.number) for row in group.rows]
    if several:
        columns += [
            Column(title="Best run", number=False),
            Column(title="Spread", help="Difference between the best and the worst run."),
        ]
    names, rows = short_names(group.protocol.classes), []
    for train in _order(group):
        scores = [None if np.isnan(value) else float(value) for value in values[:, train]]
        row = [Cell(names[train]), _share_cell(group, train), *map(_score_cell, scores)]
        occurs = group.protocol.pixels[train] > 0
        rows.append(tuple([*row, *_compared(group, scores, occurs=occurs)] if several else row))
    return Table(
        name="classes",
        caption=f"{CLASS_SCORES[group.protocol.score]} of every class, the most frequent first.",
        columns=tuple(columns),
        rows=tuple(rows),
        filterable=True,
    )


def _compared(group: Group, scores: Sequence[float | None], *, occurs: bool) -> tuple[Cell, Cell]:
    """Return which run is best on a class, and by how much it is ahead of the worst.

    None is best on a class that does not occur, where only wrong predictions have a score, nor where all are alike.
    """
    known = [(value, row) for value, row in zip(scores, group.rows, strict=True) if value is not None]
    if not known:
        return Cell(units.score(None)), Cell(units.score(None))
    highest, best = max(known, key=lambda pair: pair[0])
    spread = highest - min(value for value, _ in known)
    if not occurs or (len(known) > 1 and not round(spread, 3)):
        return Cell(units.score(None)), Cell(units.score(spread), value=spread)
    return Cell(best.name, run=best.number), Cell(units.score(spread), value=spread)


def _details_fold(group: Group) -> Fold:
    borders = any(entry.boundary_iou is not None for entry in group.runs[0].evaluation.per_class)
    kinds = "Precision, recall and borders" if borders else "Precision and recall"
    return Fold(summary=f"{kinds} of {group.rows[0].name}", blocks=(_details(group),))


def _details(group: Group) -> Table:
    """Return what kind of errors the best run makes on each class."""
    best = group.runs[0].evaluation.per_class
    kinds = {
        "Dice": ("dice", ""),
        "IoU": ("iou", ""),
        "Precision": ("precision", "Share of what was predicted as the class that is right."),
        "Recall": ("accuracy", "Share of the class that was found."),
        "Boundary IoU": ("boundary_iou", "IoU of the strips along the borders."),
        "Boundary F": ("boundary_f", "F score of the border lines."),
    }
    # Runs of earlier versions were not measured in all of these ways.
    columns = {
        title: (field, meaning)
        for title, (field, meaning) in kinds.items()
        if any(getattr(entry, field) is not None for entry in best)
    }
    names = short_names(group.protocol.classes)
    rows = [
        (
            Cell(names[train]),
            _share_cell(group, train),
            *(_score_cell(getattr(best[train], field)) for field, _ in columns.values()),
        )
        for train in _order(group)
    ]
    return Table(
        name="class-details",
        caption=f"{group.rows[0].name} on every class.",
        columns=(
            Column(title="Class", number=False),
            Column(title="Pixels", help="Share of the annotated pixels."),
            *(Column(title=title, help=meaning) for title, (_, meaning) in columns.items()),
        ),
        rows=tuple(rows),
        filterable=True,
    )
