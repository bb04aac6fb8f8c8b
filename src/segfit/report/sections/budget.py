"""At equal budget: what each run had reached when all of them had seen as much, taken as long, computed as much."""

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.budget import OVER, UNITS, Cut, EqualBudget, Unit, at_equal, contenders, obstacle, soups, trained
from segfit.comparison.table import Group
from segfit.report.blocks import Block, Bullets, Cell, Column, Figures, Fold, Paragraph, Section, Table
from segfit.report.figures.budget import SHARES, budget_drawing
from segfit.report.figures.curves import NAMED
from segfit.report.words import ordinal

__all__ = ["budget"]

WHOLE: tuple[Unit, ...] = ("samples", "hours", "flops")


def budget(analysis: Analysis) -> Section | None:
    """Show scores at equal samples, hours and arithmetic, or why there are none; None for fewer than two entrants."""
    group = analysis.group
    if len(contenders(group)) < 2:
        return None
    equal = [found for unit in WHOLE if (found := at_equal(group, unit)) is not None]
    if not equal:
        return Section(name="budget", title="At equal budget", blocks=(Paragraph(" ".join(_obstacles(group))),))
    blocks: list[Block] = [
        Bullets(tuple(" ".join(said) for found in equal if (said := found.sentences(analysis.statistics)))),
        Figures(
            drawings=tuple(budget_drawing(found) for found in equal),
            caption=_caption(group, equal),
        ),
        Fold(summary="Scores at each budget", blocks=tuple(_table(found) for found in equal)),
        Paragraph(" ".join(_notes(group)), note=True),
    ]
    return Section(name="budget", title="At equal budget", blocks=tuple(blocks))


def _caption(group: Group, equal: list[EqualBudget]) -> str:
    further = any(run.amounts[-1] > OVER * found.most.amount for found in equal for run in found.runs)
    beyond = "Beyond the equal budget, drawn fainter, only some of the runs went on." if further else ""
    many = f" The {NAMED} best at each equal budget are named, the others grey." if len(trained(group)) > NAMED else ""
    return (beyond + many).strip()


def _notes(group: Group) -> list[str]:
    """Return what the reader must know, and why a unit is missing."""
    notes = [
        "These are validation scores of the training itself, one noisy curve a run; curves are cut, never prolonged, "
        f"but a validation up to {100 * (OVER - 1):.0f} % beyond a budget counts.",
    ]
    if any(len(entrant.rows) > 1 for entrant in contenders(group)):
        notes.append("Trainings of one recipe with several seeds count with the mean of their scores.")
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
    return list(dict.fromkeys(reason for unit in WHOLE if (reason := obstacle(group, unit)) is not None))


def _table(equal: EqualBudget) -> Table:
    words, cuts = UNITS[equal.unit], equal.means
    repeated = any(len(entrant.rows) > 1 for entrant in equal.entrants)

    def cell(position: int, cut: Cut) -> Cell:
        score = cut.scores[position]
        if score is None:
            return Cell("not validated yet")
        return Cell(f"{units.score(score)} ({ordinal(cut.places[position])})", score)

    return Table(
        name=f"budget-{equal.unit}",
        caption=f"Best validation {equal.metric} at equal {words.title}, and the place in the ranking",
        columns=(
            Column(title="Entrant" if repeated else "Run", number=False),
            *(Column(title=f"{SHARES[cut.share]}: {words.text(cut.amount)}") for cut in cuts),
        ),
        rows=tuple(
            (
                Cell(equal.entrants[position].name, run=equal.entrants[position].number),
                *(cell(position, cut) for cut in cuts),
            )
            for position in cuts[-1].ranking
        ),
    )
