"""What made the difference: what single changes of a recipe did to score, memory, time and size."""

from collections.abc import Callable, Sequence

from segfit import units
from segfit.comparison.ablation import Certainty, Effect, Setting, effects, field_title
from segfit.comparison.comparing import Comparison
from segfit.report.blocks import Block, Bullets, Cell, Column, Figures, Paragraph, Section, Table
from segfit.report.figures.ablation import (
    FIGURE_EFFECTS,
    RIGHT_ARROW,
    ablation_drawing,
    change_text,
    factor_text,
    interval_text,
    score_name,
)

__all__ = ["ablation"]

NOTICEABLE = 0.05
"""Change of a cost, as a share, that is worth a sentence."""


def ablation(comparison: Comparison) -> Section | None:
    """Show what each field did that was varied alone; None where no two runs differ in exactly one.

    Runs may stand in different groups: there costs are compared, and scores are not.
    """
    found = effects(comparison)
    if not found:
        return None
    sure = _certainties(found, comparison)
    blocks: list[Block] = [Bullets(tuple(_sentences(found, sure)))]
    drawing = ablation_drawing(found, sure)
    if drawing is not None:
        blocks.append(Figures(drawings=(drawing,), caption=_caption(found)))
    blocks += [_table(found, sure), Paragraph(" ".join(_notes(found)), note=True)]
    return Section(name="ablation", title="What made the difference", blocks=tuple(blocks))


def _certainties(found: Sequence[Effect], comparison: Comparison) -> tuple[Certainty | None, ...]:
    """Return how sure each effect on a score is; groups without a comparable effect are not studied."""
    groups = {id(effect.group) for effect in found if effect.group is not None}
    studied = {id(a.group): a.statistics for a in comparison.analyses if id(a.group) in groups}
    return tuple(effect.certainty(studied.get(id(effect.group))) for effect in found)


def _caption(found: Sequence[Effect]) -> str:
    shown = "Hollow, the run before the change; filled, the one after it. Bars are 95 % intervals. Costs are factors."
    more = sum(effect.score is not None for effect in found) > FIGURE_EFFECTS
    return f"{shown} The {FIGURE_EFFECTS} largest effects." if more else shown


# --- words -----------------------------------------------------------------------------------------------------------


def _sentences(found: Sequence[Effect], sure: Sequence[Certainty | None]) -> list[str]:
    """Return what moved the score, the memory and the time most."""
    sentences = []
    scored = [pair for pair in zip(found, sure, strict=True) if pair[0].score is not None]
    if scored:
        largest, certainty = max(scored, key=lambda pair: abs(pair[0].score or 0.0))
        change = f"{change_text(largest.score)} {score_name(largest)}"
        text = f"The score moved most with {_change(largest)}: {change}"
        if certainty is not None:
            text += f" (95 % interval {interval_text(certainty)}){_doubt(certainty)}"
        sentences.append(f"{text}.")
    costs: tuple[tuple[str, str, Callable[[Effect], float | None]], ...] = (
        ("Memory", "memory", lambda effect: effect.memory),
        ("Training time", "seconds", lambda effect: effect.seconds),
    )
    for name, cost, factor in costs:
        known = [(effect, value) for effect in found if (value := factor(effect))]
        if known:
            effect, value = max(known, key=lambda pair: max(pair[1], 1 / pair[1]))
            if max(value, 1 / value) > max(1 + NOTICEABLE, _noise(found, cost)):
                sentences.append(f"{name} changed most with {_change(effect)}: {factor_text(value)}.")
    return sentences or ["No single change moved score, memory or time."]


def _noise(found: Sequence[Effect], cost: str) -> float:
    """Return by which factor trainings of one setting differed in a cost: what is no larger says nothing."""
    settings = [setting for effect in found for setting in (effect.before, effect.after)]
    costs = [[getattr(run.training, cost) for run in setting.runs] for setting in settings]
    return max((max(own) / min(own) for own in costs if min(own) > 0), default=1.0)


def _doubt(certainty: Certainty) -> str:
    """Return what keeps one from saying that there is an effect, to stand behind its interval."""
    if certainty.distinguishable:
        return ""
    if 0 in certainty.interval:
        return ", which cannot be told from none"
    return ", which would stand alone, but not among all the pairs that were looked at"


def _change(effect: Effect) -> str:
    before, after = effect.values
    return f"{field_title(effect.field)} ({before} {RIGHT_ARROW} {after})"


def _notes(found: Sequence[Effect]) -> list[str]:
    notes = [
        "Pairs are found from the recipes: they differ in this field, in what follows from it, and in nothing else. "
        "Of several values of a field, each is compared with the first."
    ]
    settings = [setting for effect in found for setting in (effect.before, effect.after)]
    if any(len(setting.rows) > 1 for setting in settings):
        notes.append("Runs that differ only in their seed are one setting; its score and costs are their means.")
    if any(len(setting.rows) == 1 for setting in settings):
        notes.append("Where a setting has one run, another seed alone could move its score, too.")
    if any(effect.score is None for effect in found):
        notes.append(
            "Scores with a dash for their change are different measurements (other classes, another way of scoring, or "
            "another choice of checkpoint): only costs are compared."
        )
    return notes


# --- the table -------------------------------------------------------------------------------------------------------


def _table(found: Sequence[Effect], sure: Sequence[Certainty | None]) -> Table:
    return Table(
        name="ablation",
        caption="Single changes and what they did",
        columns=(
            Column(title="Changed", number=False),
            Column(title="From", number=False),
            Column(title="To", number=False),
            Column(title="Run before", number=False),
            Column(title="Run after", number=False),
            Column(title="Score before"),
            Column(title="Score after"),
            Column(title="Change"),
            Column(title="95 % interval", help="Of the change, over images and seeds."),
            Column(
                title="Sure", number=False, help="Whether the change can be told from none among all pairs of runs."
            ),
            Column(title="Memory", help="Factor of the peak."),
            Column(title="Time", help="Factor of the training time, on the same hardware."),
            Column(title="Parameters", help="Factor of their number."),
        ),
        rows=tuple(_row(effect, certainty) for effect, certainty in zip(found, sure, strict=True)),
        filterable=len(found) > FIGURE_EFFECTS,
    )


def _row(effect: Effect, certainty: Certainty | None) -> tuple[Cell, ...]:
    before, after = effect.values
    return (
        Cell(field_title(effect.field)),
        Cell(before),
        Cell(after),
        Cell(effect.before.name, run=effect.before.number),
        Cell(effect.after.name, run=effect.after.number),
        _score(effect.before),
        _score(effect.after),
        Cell(change_text(effect.score), effect.score),
        _interval(certainty),
        Cell("\N{EN DASH}" if certainty is None else "yes" if certainty.distinguishable else "no"),
        *(Cell(factor_text(value), value) for value in (effect.memory, effect.seconds, effect.parameters)),
    )


def _interval(certainty: Certainty | None) -> Cell:
    if certainty is None:
        return Cell("\N{EN DASH}")
    return Cell(interval_text(certainty), interval=(certainty.interval.low, certainty.interval.high))


def _score(setting: Setting) -> Cell:
    return Cell(units.score(setting.score), setting.score)
