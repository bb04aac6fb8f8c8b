"""How the scores came about, and in what the runs' circumstances differ."""

from collections.abc import Callable, Sequence

from segfit.comparison.analysis import Analysis
from segfit.comparison.facts import RunFacts
from segfit.comparison.headline import protocol_notes
from segfit.comparison.table import Group
from segfit.report.blocks import Block, Bullets, Cell, Column, Section, Table

__all__ = ["measured"]


def measured(analysis: Analysis) -> Section:
    """Return the protocol in sentences and, where the runs' circumstances differ, a table of those that do."""
    group = analysis.group
    blocks: list[Block] = [Bullets(tuple(protocol_notes(group)))]
    differing = [(title, texts) for title, texts in _circumstances(group.runs) if len(set(texts)) > 1]
    if differing:
        blocks.append(_differences(group, differing))
    return Section(name="measured", title="How it was measured", blocks=blocks)


CIRCUMSTANCES: dict[str, Callable[[RunFacts], str]] = {
    "Hardware": lambda run: run.hardware,
    "CPU cores": lambda run: str(run.environment.cores),
    "segfit": lambda run: run.environment.segfit,
    "Commit": lambda run: run.environment.git or "unknown",
    "torch": lambda run: run.environment.torch,
    "Python": lambda run: run.environment.python,
    "Platform": lambda run: run.environment.platform,
    "Data": lambda run: run.environment.dataset.fingerprint,
    "Training images": lambda run: f"{run.environment.dataset.training:,}",
    "Checkpoint": lambda run: run.evaluation.checkpoint,
    "Memory measured as": lambda run: run.training.memory_kind,
}
"""What runs that are compared should share, by its name for people."""


def _circumstances(runs: Sequence[RunFacts]) -> list[tuple[str, list[str]]]:
    return [(title, [text(run) for run in runs]) for title, text in CIRCUMSTANCES.items()]


def _differences(group: Group, differing: Sequence[tuple[str, Sequence[str]]]) -> Table:
    """Return one row a run with what is not the same for all of them."""
    return Table(
        name="differences",
        caption="What was not the same for all runs; everything else was.",
        columns=(Column(title="Run", number=False), *(Column(title=title, number=False) for title, _ in differing)),
        rows=tuple(
            (Cell(row.name, run=row.number), *(Cell(texts[place]) for _, texts in differing))
            for place, row in enumerate(group.rows)
        ),
    )
