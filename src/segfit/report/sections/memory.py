"""Where the memory went: its peak over the training, and how right the plan was."""

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.plans import PARTS, read_plan
from segfit.comparison.table import Group
from segfit.report.blocks import Block, Cell, Column, Figures, Fold, Paragraph, Section, Table
from segfit.report.figures.memory import Planned, memory_drawings, peak_parts

__all__ = ["memory"]


def memory(analysis: Analysis) -> Section | None:
    """Show memory by step and plan versus measured; None where neither events nor plans tell anything."""
    group = analysis.group
    planned = tuple(
        Planned(row=row, run=run, plan=plan)
        for row, run in zip(group.rows, group.runs, strict=True)
        if (plan := read_plan(run)) is not None
    )
    drawings = tuple(memory_drawings(group, planned))
    if not drawings:
        return None
    blocks: list[Block] = [Paragraph(sentence) for sentence in _sentences(planned)]
    blocks.append(Figures(drawings=drawings))
    if planned:
        blocks.append(Fold(summary="The plans in numbers", blocks=(_table(planned),)))
    blocks.append(Paragraph(" ".join(_notes(group)), note=True))
    return Section(name="memory", title="Where the memory went", blocks=tuple(blocks))


def _sentences(planned: tuple[Planned, ...]) -> list[str]:
    """Return how far plans were off, and what most of the memory was for."""
    if not planned:
        return []
    sentences = []
    ratios = [ratio for one in planned if (ratio := one.plan.ratio(one.run)) is not None]
    if len(ratios) == 1:
        sentences.append(f"The planned peak was {ratios[0]:.2f} times the measured one.")
    elif ratios:
        low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
        between = f"{low} to {high}" if low != high else low
        sentences.append(f"The planned peaks were {between} times the measured ones.")
    largest = max(planned, key=lambda one: one.plan.memory.peak)
    when, parts = peak_parts(largest.plan)
    part = max(PARTS, key=lambda name: int(getattr(parts, name)))
    share = getattr(parts, part) / max(1, largest.plan.memory.peak)
    of = {"temporaries": "short-lived values"}.get(part, PARTS[part])
    sentences.append(f"Of the largest plan, {largest.row.name}'s, {units.share(share)} are {of}, in {when}.")
    return [" ".join(sentences)]


def _notes(group: Group) -> list[str]:
    kinds = sorted({run.training.memory_kind for run in group.runs})
    notes = [f"Measured memory is the peak {' or '.join(kinds)}; of several devices, that of the fullest."]
    if any(run.environment.device == "cpu" for run in group.runs):
        notes.append(
            "On a CPU that is by how much the whole process grew, with all that its libraries keep: no plan is judged "
            "by it."
        )
    return notes


def _table(planned: tuple[Planned, ...]) -> Table:
    def size(value: float) -> Cell:
        return Cell(units.memory(value), value)

    def row(one: Planned) -> tuple[Cell, ...]:
        when, parts = peak_parts(one.plan)
        ratio = one.plan.ratio(one.run)
        return (
            Cell(one.row.name, run=one.row.number),
            Cell(f"{one.plan.device.count} \N{MULTIPLICATION SIGN} {one.plan.device.name}"),
            *(size(getattr(parts, part)) for part in PARTS),
            Cell(when),
            size(one.plan.memory.peak),
            size(one.run.training.memory),
            Cell("\N{EN DASH}" if ratio is None else f"{ratio:.3f}", ratio),
        )

    return Table(
        name="memory-planned",
        caption="Memory of each device at its fullest, as planned before training, and as measured",
        columns=(
            Column(title="Run", number=False),
            Column(title="Planned for", number=False),
            *(Column(title=name.capitalize()) for name in PARTS.values()),
            Column(title="Fullest in", number=False),
            Column(title="Planned"),
            Column(title="Measured"),
            Column(title="Ratio", help="Planned divided by measured; only where both are memory of a GPU."),
        ),
        rows=tuple(row(one) for one in planned),
    )
