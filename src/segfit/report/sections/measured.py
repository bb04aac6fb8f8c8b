"""How the scores came about, and in what the runs' circumstances differ."""

from collections.abc import Callable, Sequence

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.facts import RunFacts
from segfit.comparison.headline import protocol_notes
from segfit.comparison.table import Group
from segfit.folder import RunFolder
from segfit.report.blocks import Block, Bullets, Cell, Column, Section, Table

__all__ = ["measured"]


def measured(analysis: Analysis) -> Section:
    """Return the protocol in sentences and, where the runs' circumstances differ, a table of those that do."""
    group = analysis.group
    blocks: list[Block] = [Bullets((*protocol_notes(group), *_chosen_soups(group)))]
    differing = [(title, texts) for title, texts in _circumstances(group.runs) if len(set(texts)) > 1]
    if differing:
        blocks.append(_differences(group, differing))
    return Section(name="measured", title="How it was measured", blocks=blocks)


CHOOSING = {"greedy", "learned"}
"""Ways of making a soup that look at scores."""

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


def _chosen_soups(group: Group) -> list[str]:
    """Return which soups were put together by their score on the images that are scored here, in a sentence."""
    names = []
    for row, run in zip(group.rows, group.runs, strict=True):
        folder = RunFolder(run.path)
        how = folder.read(folder.soup_file) if run.soup else {}
        if how.get("how") in CHOOSING and how.get("split") == run.evaluation.split:
            names.append(row.name)
    if not names:
        return []
    what, whose = ("an average", "its score") if len(names) == 1 else ("averages", "their scores")
    verb = "is" if len(names) == 1 else "are"
    return [
        f"{units.listed(names)} {verb} {what} of trainings that {'was' if len(names) == 1 else 'were'} chosen on the "
        f"same images that are scored here, which flatters {whose}."
    ]


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
