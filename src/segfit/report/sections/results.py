"""The table of results: what every run scored and what it cost."""

from collections.abc import Callable
from dataclasses import dataclass

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import seed_notes
from segfit.comparison.curves import SCORES, ScoreName
from segfit.comparison.facts import RunFacts
from segfit.comparison.table import Group, Row
from segfit.report.blocks import Block, Cell, Column, Paragraph, Section, Table

__all__ = ["results"]

FILTERED = 8
"""A table of more runs can be filtered."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A column of numbers: its title, what it means, and the cell of a run or of the baseline."""

    title: str
    cell: Callable[[Row], Cell]
    help: str = ""


def results(analysis: Analysis) -> Section:
    """Return every run with its costs and scores, best first, above what always answering one class scores."""
    group = analysis.group
    measures = _measures(analysis)
    rows = tuple(
        (Cell(row.name, run=row.number), Cell(run.recipe.model.name), *(measure.cell(row) for measure in measures))
        for row, run in zip(group.rows, group.runs, strict=True)
    )
    table = Table(
        name="runs",
        caption=group.protocol.describe(),
        columns=(
            Column(title="Run", number=False),
            Column(title="Model", number=False),
            *(Column(title=measure.title, help=measure.help) for measure in measures),
        ),
        rows=rows,
        footer=(Cell(group.baseline.name), Cell(""), *(measure.cell(group.baseline) for measure in measures)),
        filterable=len(rows) > FILTERED,
    )
    notes = [*group.notes, *seed_notes(analysis)]
    blocks: list[Block] = [table, *(Paragraph(note, note=True) for note in notes)]
    return Section(name="results", title="Results", blocks=blocks)


def _measures(analysis: Analysis) -> list[Measure]:
    """Return the paper's columns, then ours; the metric that sorts comes first among the metrics."""
    group = analysis.group
    first = group.protocol.score
    other: ScoreName = "miou" if first == "dice" else "dice"
    return [
        _cost("Epochs", lambda run: run.training.epochs, _whole),
        _cost("Batch", lambda run: run.training.batch, _whole),
        Measure(title="Classes", cell=lambda _: Cell(group.protocol.classes_text, len(group.protocol.classes))),
        _cost("Memory", lambda run: run.training.memory, units.memory),
        _cost("Time", lambda run: run.training.seconds, units.duration),
        _score(SCORES[first], first),
        *_intervals(analysis),
        _score(SCORES[other], other),
        *([_score("Boundary IoU", "boundary_iou")] if _bounded(group) else []),
        _score("Pixel acc.", "pixel_accuracy"),
        _cost("Params", lambda run: run.training.parameters, units.count),
        _cost("Images/s", lambda run: run.training.images_per_second, units.rate),
    ]


def _intervals(analysis: Analysis) -> list[Measure]:
    """Return a column with the intervals of runs that stand for themselves; of several seeds only the mean has one."""
    found = analysis.statistics
    if found is None:
        return []
    alone = [standing for standing in found.standings if len(standing.entrant.rows) == 1]
    spans = {standing.entrant.number: standing.interval for standing in alone}

    def cell(row: Row) -> Cell:
        if row.number not in spans:
            return Cell("")
        span = spans[row.number]
        return Cell(f"{units.score(span.low)}\N{EN DASH}{units.score(span.high)}", interval=(span.low, span.high))

    return [Measure(title="95 % interval", cell=cell)] if spans else []


def _cost(title: str, of: Callable[[RunFacts], float], text: Callable[[float], str]) -> Measure:
    """Return a column that only runs have; the baseline costs nothing worth measuring."""

    def cell(row: Row) -> Cell:
        return Cell("") if row.run is None else Cell(text(of(row.run)), of(row.run))

    return Measure(title=title, cell=cell)


def _score(title: str, name: str) -> Measure:
    def cell(row: Row) -> Cell:
        value: float | None = getattr(row.scores, name)
        return Cell(units.score(value), value)

    return Measure(title=title, cell=cell)


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _bounded(group: Group) -> bool:
    return any(row.scores.boundary_iou is not None for row in group.rows)
