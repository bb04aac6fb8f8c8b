"""At equal budget: what each run had reached when all of them had seen as much, taken as long, computed as much."""

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.budget import OVER, UNITS, EqualBudget, Unit, at_equal, obstacle, soups, trained
from segfit.comparison.table import Group
from segfit.report.blocks import Block, Bullets, Cell, Column, Figures, Fold, Paragraph, Section, Table
from segfit.report.figures.budget import SHARES, budget_drawing
from segfit.report.figures.curves import NAMED

__all__ = ["budget"]

WHOLE: tuple[Unit, ...] = ("samples", "hours", "flops")


def budget(analysis: Analysis) -> Section | None:
    """Show scores at equal samples, hours and arithmetic, or why there are none; None for fewer than two trainings."""
    group = analysis.group
    if len(trained(group)) < 2:
        return None
    equal = [found for unit in WHOLE if (found := at_equal(group, unit)) is not None]
    if not equal:
        return Section(name="budget", title="At equal budget", blocks=(Paragraph(" ".join(_obstacles(group))),))
    blocks: list[Block] = [
        Bullets(tuple(" ".join(found.sentences()) for found in equal if found.sentences())),
        Figures(
            drawings=tuple(budget_drawing(found) for found in equal),
            caption=_caption(group),
        ),
        Fold(summary="Scores at each budget", blocks=tuple(_table(found) for found in equal)),
        Paragraph(" ".join(_notes(group)), note=True),
    ]
    return Section(name="budget", title="At equal budget", blocks=tuple(blocks))


def _caption(group: Group) -> str:
    beyond = "Beyond the equal budget, drawn fainter, only some of the runs went on."
    many = f" The {NAMED} best at each equal budget are named, the others grey." if len(trained(group)) > NAMED else ""
    return beyond + many


def _notes(group: Group) -> list[str]:
    """Return what the reader must know, and why a unit is missing."""
    notes = [
        "These are validation scores of the training itself, one noisy curve a run; curves are cut, never prolonged, "
        f"but a validation up to {100 * (OVER - 1):.0f} % beyond a budget counts.",
    ]
    mixed = [row.name for row in soups(group)]
    if mixed:
        notes.append(f"Averages of trainings have no curve of their own and are left out: {', '.join(mixed)}.")
    members = trained(group)
    started = [row.name for row, run in members if run.recipe.model.options.get("pretrained") not in {None, False}]
    if started and len(started) < len(members):
        notes.append(f"What pretraining cost before ({', '.join(started)}) is in no budget.")
    sizes = {run.recipe.augment.size for _, run in members}
    if len(sizes) > 1:
        notes.append("The runs were trained at different resolutions: an image seen is not the same work for all.")
    return [*notes, *_obstacles(group)]


def _obstacles(group: Group) -> list[str]:
    return [reason for unit in WHOLE if (reason := obstacle(group, unit)) is not None]


def _table(equal: EqualBudget) -> Table:
    words = UNITS[equal.unit]
    order = equal.most.ranking

    def cell(run: int, number: int) -> Cell:
        score = equal.cuts[number].scores[run]
        if score is None:
            return Cell("not validated yet")
        return Cell(f"{units.score(score)} ({equal.cuts[number].places[run]}.)", score)

    return Table(
        name=f"budget-{equal.unit}",
        caption=f"Best validation {equal.metric} at equal {words.title}, and the place in the ranking",
        columns=(
            Column(title="Run", number=False),
            *(Column(title=f"{SHARES[cut.share]}: {words.text(cut.amount)}") for cut in equal.cuts),
        ),
        rows=tuple(
            (
                Cell(equal.runs[run].row.name, run=equal.runs[run].row.number),
                *(cell(run, number) for number in range(len(equal.cuts))),
            )
            for run in order
        ),
    )
