"""What the score costs: which runs are worth their memory, time and size, and which one another run beats."""

from collections.abc import Sequence

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.budget import Fitting, within
from segfit.comparison.curves import SCORES
from segfit.comparison.pareto import COSTS, Dominated, Front, pareto_front
from segfit.comparison.statistics import Statistics
from segfit.comparison.table import Group
from segfit.report.blocks import Block, Bullets, Figures, Fold, Paragraph, Section
from segfit.report.figures.costs import NAMED, cost_drawings

__all__ = ["costs"]

SHOWN = 4
"""Reasons that are shown at once; more of them are folded away."""

SEEDS = (
    "Each training counts in the figures and on the line; of several seeds the luckiest leads. Within a memory, "
    "entrants are compared."
)


def costs(analysis: Analysis) -> Section | None:
    """Show score against each cost and say which runs no other beats; None for a single run."""
    group = analysis.group
    if len(group.rows) < 2:
        return None
    front = pareto_front(group)
    blocks: list[Block] = [Paragraph(_efficient(front, group))]
    drawings = tuple(cost_drawings(group))
    if drawings:
        caption = "The line is the highest score for at most that much; filled runs lie on it, hollow ones are beaten."
        if len(group.rows) > NAMED:
            caption += f" Only runs on it are named, at most the {NAMED} best."
        blocks.append(Figures(drawings=drawings, caption=caption))
    sentences = _memory_sentences(group)
    if sentences:
        blocks.append(Bullets(sentences))
    if front.dominated:
        blocks.append(_reasons(front, analysis.statistics))
    if analysis.statistics is not None and analysis.statistics.repeated:
        blocks.append(Paragraph(SEEDS, note=True))
    left_out = [cost for cost in COSTS if cost not in front.costs]
    if left_out:
        names = " and ".join(cost.name for cost in left_out)
        blocks.append(Paragraph(f"Not compared, because it was measured differently: {names}.", note=True))
    return Section(name="costs", title="What the score costs", blocks=tuple(blocks))


def _efficient(front: Front, group: Group) -> str:
    names = _named([row.name for row in front.efficient])
    kinds = units.listed([cost.name for cost in front.costs])
    if len(front.efficient) == 1:
        return f"{names} scores highest, and no other run takes less of anything that was compared: {kinds}."
    if not front.dominated:
        return f"Every run is worth its cost: whichever scores lower takes {_any_of(front)}."
    score = SCORES[group.protocol.score]
    return (
        f"{names} are worth their cost: no other run is at least as good in {score} and in every cost ({kinds}), and "
        "better in one of them."
    )


def _any_of(front: Front) -> str:
    """Return ``less memory, less time or fewer parameters``."""
    said = [cost.less for cost in front.costs]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} or {said[-1]}"


def _named(names: Sequence[str]) -> str:
    """Return names as a sentence has them; of many, the first ones and how many there are besides."""
    if len(names) <= NAMED + 1:
        return units.listed(names)
    return units.listed([*names[:NAMED], f"{len(names) - NAMED} others"])


def _reasons(front: Front, statistics: Statistics | None) -> Block:
    bullets = Bullets(
        tuple(f"{found.row.name}: {found.reason}{_doubt(found, statistics)}" for found in front.dominated)
    )
    if len(front.dominated) <= SHOWN:
        return Fold(summary="Why not the others", blocks=(bullets,), opened=True)
    return Fold(summary=f"Why not the others ({len(front.dominated)})", blocks=(bullets,))


def _doubt(found: Dominated, statistics: Statistics | None) -> str:
    """Return what keeps a higher score from being a better run: a sentence to stand behind the reason, or nothing."""
    if statistics is None:
        return ""
    loser, winner = statistics.row(found.row.name).name, statistics.row(found.by.name).name
    if loser == winner:
        return " They differ in their seed only."
    told = statistics.difference(winner, loser)
    return "" if told.distinguishable and told.better == winner else " The scores alone do not tell them apart."


def _memory_sentences(group: Group) -> tuple[str, ...]:
    """Return which run is best within how much memory, unless one run is best however little there is."""
    fittings = within(group)
    if len(fittings) < 2:
        return ()
    on_gpu = all(run.environment.device == "cuda" for run in group.runs)
    device = "a GPU with" if on_gpu else "memory of"
    score = group.protocol.score

    def size(fitting: Fitting) -> str:
        return f"{fitting.size / 1e9:g} GB" if on_gpu else units.memory(fitting.size)

    sentences = []
    for number, fitting in enumerate(fittings):
        least = f"From {device} {size(fitting)} on" if number else f"With {device} {size(fitting)}"
        best = f"{SCORES[score]} {units.score(fitting.entrant.score(score))}"
        sentences.append(f"{least}, {fitting.entrant.name} is the best that fits: {best}.")
    return tuple(sentences)
