"""What a comparison says in plain words, and no more than it supports: one training a run shows no significance."""

from dataclasses import dataclass

from segfit import units
from segfit.comparison.curves import SCORES, overfit_epoch
from segfit.comparison.table import Group, Row

__all__ = ["Headline", "headline", "overfitting", "protocol_notes"]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The result in one line, and the sentences beneath it."""

    title: str
    sentences: tuple[str, ...]


def headline(group: Group) -> Headline:
    """Return which run scored best, by how much, at what cost, and what that does not mean."""
    best, *others = group.rows
    sentences = [_margins(group), _cost(group)]
    frugal = _frugal(group)
    sentences += [frugal] if frugal else []
    if others:
        sentences.append(
            "Each row is one training with one seed; whether a small difference would outlive another seed is unknown."
        )
    return Headline(title=_title(group, best), sentences=tuple(sentences))


def _title(group: Group, best: Row) -> str:
    name = SCORES[group.protocol.score]
    score = best.score(group.protocol.score)
    if score <= group.baseline.score(group.protocol.score):
        return f"No run beats the majority class: the best {name} is {units.score(score)}"
    tied = [row.name for row in group.rows if units.score(row.score(group.protocol.score)) == units.score(score)]
    if len(tied) > 1:
        return f"{', '.join(tied[:-1])} and {tied[-1]} share the best {name}: {units.score(score)}"
    if len(group.rows) == 1:
        return f"{best.name} reaches {name} {units.score(score)}"
    return f"{best.name} scored best: {name} {units.score(score)}"


def _margins(group: Group) -> str:
    score = group.protocol.score
    best, base = group.rows[0].score(score), group.baseline.score(score)
    text = f"That is {_gap(best - base)} always answering the most common class ({units.score(base)})"
    if len(group.rows) == 1:
        return f"{text}."
    second = group.rows[1]
    runner_up = second.score(score)
    return f"{text} and {_gap(best - runner_up)} the runner-up, {second.name} ({units.score(runner_up)})."


def _gap(difference: float) -> str:
    if abs(difference) < 0.0005:
        return "less than 0.001 away from"
    return f"{abs(difference):.3f} {'above' if difference > 0 else 'below'}"


def _cost(group: Group) -> str:
    """Return time and memory of the best run, and of the runner-up where they may be compared."""
    first = group.runs[0]
    text = (
        f"{group.rows[0].name} trained for {units.duration(first.training.seconds)} on {first.hardware} with "
        f"{units.memory(first.training.memory)} of memory at the peak"
    )
    if len(group.runs) == 1:
        return f"{text}."
    second = group.runs[1]
    if (first.hardware, first.training.memory_kind) != (second.hardware, second.training.memory_kind):
        return f"{text}."
    return (
        f"{text}, {group.rows[1].name} for {units.duration(second.training.seconds)} with "
        f"{units.memory(second.training.memory)}."
    )


def _frugal(group: Group) -> str | None:
    """Return what the run with the least memory reaches, unless the sentences before it said so."""
    if len({run.training.memory_kind for run in group.runs}) > 1 or len(group.rows) < 3:
        return None
    position = min(range(len(group.runs)), key=lambda i: group.runs[i].training.memory)
    if position < 2:
        return None
    row, run = group.rows[position], group.runs[position]
    score = group.protocol.score
    return (
        f"The least memory sufficed for {row.name}: {units.memory(run.training.memory)} "
        f"for {SCORES[score]} {units.score(row.score(score))}."
    )


def overfitting(group: Group) -> list[str]:
    """Return one sentence for each run that overfits."""
    sentences = []
    for row, run in zip(group.rows, group.runs, strict=True):
        epoch = overfit_epoch(run.curves, group.protocol.score)
        if epoch is not None:
            sentences.append(
                f"{row.name} was best at epoch {epoch} of {run.training.epochs}; from then on only its training loss "
                "improved."
            )
    return sentences


def protocol_notes(group: Group) -> list[str]:
    """Return how the scores came about, one fact a sentence."""
    protocol, runs = group.protocol, group.runs
    notes = [_metric_note(group), _image_note(group)]
    coverage = runs[0].labels.coverage
    if protocol.rest != "ignore" and coverage is not None and coverage < 0.9995:
        fate = "one extra class" if protocol.rest == "other" else "the most common class"
        notes.append(f"The chosen classes cover {units.share(coverage)} of the pixels; all others became {fate}.")
    elif coverage is not None and coverage < 0.9995:
        notes.append(f"The chosen classes cover {units.share(coverage)} of the pixels; the others are not scored.")
    if any(run.evaluation.checkpoint == "best" and run.evaluation.split == run.recipe.data.validation for run in runs):
        notes.append("Best checkpoints were chosen on the same images that are scored here, which flatters the scores.")
    notes.append("The majority class is what always answering the most common class of these images scores.")
    return notes


def _metric_note(group: Group) -> str:
    occurring = sum(entry.dice is not None for entry in group.runs[0].evaluation.per_class)
    formula = {
        "dice": "Dice = 2TP / (2TP + FP + FN)",
        "miou": "IoU = TP / (TP + FP + FN)",
    }[group.protocol.score]
    return (
        f"{formula} of each class lies in [0, 1]; the score is its mean over the {occurring} classes that occur, from "
        "pixel counts summed over all images."
    )


def _image_note(group: Group) -> str:
    how = {
        "squash": "squashed to the training size",
        "short-side": "scaled until their short side has the training size",
    }[group.protocol.resize]
    windows = ", in overlapping windows of that size" if group.protocol.window == "sliding" else ""
    return (
        f"The {group.protocol.images:,} {group.protocol.split} images were {how} as input of the models{windows}; "
        "predictions were scored at each image's original resolution."
    )
