"""The runs beside what others published on ADE20K: only where the same thing was measured, else the reason why not."""

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.table import Group
from segfit.report.blocks import Block, Cell, Column, Figures, Fold, Paragraph, Section, Table
from segfit.report.figures.published import published_drawing
from segfit.report.published import Published, best_so_far, comparable, differences, read_published, tested

__all__ = ["published"]

NEIGHBOURS = 3
"""How many published scores near the best run's are named."""

CAPTION = (
    "Published mIoU on ADE20K's 2,000 validation images and 150 classes. The line is the best so far, and the best of "
    "each year is named. Dates are those of preprints: the first methods are older than the dataset, and scored later."
)


def published(analysis: Analysis) -> Section | None:
    """Show the history of ADE20K's scores, with the runs in it where they were measured alike; None for other data."""
    group = analysis.group
    if group.protocol.dataset != "ade20k":
        return None
    scores = read_published()
    blocks: tuple[Block, ...] = (
        Paragraph(_placed(group, scores) if comparable(group) else _apart(group)),
        Figures(drawings=(published_drawing(group),), caption=CAPTION),
        Fold(summary=f"All {len(scores)} published scores and their sources", blocks=(_table(scores),)),
        Paragraph(
            "Published scores differ in data used for pretraining, training length, input size and testing; they show "
            "what was reached, not which idea is better.",
            note=True,
        ),
    )
    return Section(name="published", title="Beside published results", blocks=blocks)


def _placed(group: Group, scores: tuple[Published, ...]) -> str:
    """Return where the best run stands."""
    best = max(group.rows, key=lambda row: row.scores.miou)
    miou = 100 * best.scores.miou
    kind = tested(group)
    alike = [one for one in scores if one.test == kind]
    near = sorted(alike, key=lambda one: abs(one.miou - miou))
    named = sorted(near[:NEIGHBOURS], key=lambda one: one.miou)
    listed = ", ".join(f"{one.method} with {one.backbone} ({one.miou:g}, {one.year})" for one in named)
    text = (
        f"{best.name} reaches mIoU {miou:.1f} by the protocol of the published scores. Nearest to it of those listed "
        f"as {kind} results, as this is: {listed}."
    )
    higher = tuple(one for one in alike if one.miou > miou)
    if not higher:
        return f"{text} None of these is higher."
    # What was trained again, later, tells nothing about its year.
    first = best_so_far(higher)
    if not first:
        return text
    named_first = f"{first[0].method} with {first[0].backbone} ({first[0].year})"
    return f"{text} The first of those listed that is higher, not counting what was trained again, is {named_first}."


def _apart(group: Group) -> str:
    """Return why the runs are not drawn, and how they could be."""
    reasons = differences(group)
    text = (
        "These runs are not drawn among the published scores, because they were not measured as those were: "
        f"{'; '.join(reasons)}."
    )
    if len(reasons) == 1 and group.protocol.name != "mmseg":
        return f"{text} Score them alike with: segfit evaluate RUN --protocol mmseg"
    return text


def _table(scores: tuple[Published, ...]) -> Table:
    return Table(
        name="published",
        caption="Published mIoU on ADE20K's validation images.",
        columns=(
            Column(title="Method", number=False),
            Column(title="Year"),
            Column(title="Backbone", number=False),
            Column(title="mIoU", help="In percent, as published."),
            Column(title="Test", number=False, help="At one scale, or the mean over several and mostly flipped."),
            Column(title="Trained by", number=False),
            Column(title="Source", number=False),
            Column(title="arXiv", number=False),
        ),
        rows=tuple(
            (
                Cell(one.method),
                Cell(str(one.year), value=one.year),
                Cell(one.backbone),
                Cell(f"{one.miou:.2f}", value=one.miou),
                Cell(one.test),
                Cell(one.trained_by),
                Cell(one.source),
                Cell(one.arxiv or units.score(None)),
            )
            for one in sorted(scores, key=lambda one: (-one.when, -one.miou))
        ),
        filterable=True,
    )
