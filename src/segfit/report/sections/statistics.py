"""How sure the results are: intervals, differences between entrants, and the classes in which the best two differ."""

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.statistics import FEWEST_IMAGES_OF_A_CLASS, ClassDifference, Difference, Interval, Statistics
from segfit.report.blocks import Block, Bullets, Cell, Column, Figures, Fold, Paragraph, Section, Table
from segfit.report.figures.classes import CLASS_SCORES
from segfit.report.figures.statistics import Certainty, Change, class_change, interval_drawings, signed
from segfit.report.names import short_names

__all__ = ["statistics"]

TITLE = "How sure is that?"

DRAWN_CLASSES = 20
"""How many classes the figure of differences shows."""


def statistics(analysis: Analysis) -> Section:
    """Return the intervals of all entrants, their differences, and what of that may be claimed."""
    found = analysis.statistics
    if found is None:
        return Section(name="statistics", title=TITLE, blocks=[Paragraph(analysis.statistics_note or "")])
    certainty = Certainty(score=analysis.group.protocol.score, statistics=found)
    drawings = tuple(interval_drawings(certainty)) if len(found.standings) > 1 else ()
    blocks: list[Block] = [Figures(drawings=drawings, caption=_caption(found))] if drawings else []
    every_score = _scores(found)
    summary = f"Intervals of {len(every_score.columns) - 1} scores"
    blocks.append(Fold(summary=summary, blocks=(every_score,), opened=len(found.standings) == 1))
    if len(found.standings) > 1:
        best = found.best.name
        blocks.append(_pairs("against-best", f"{best} against the others", _ordered(found, best), found))
    if len(found.standings) > 2:
        every = _pairs("pairs", "All pairs, the better one first", found.differences, found)
        blocks.append(Fold(summary=f"All {len(found.differences)} pairs", blocks=(every,)))
    if len(found.standings) > 1:
        blocks += _class_blocks(analysis, found)
    blocks.append(Fold(summary="How to read this", blocks=(Bullets(tuple(_explanations(found))),)))
    return Section(name="statistics", title=TITLE, blocks=blocks)


def _caption(found: Statistics) -> str:
    dots = " Small dots are single trainings." if found.repeated else ""
    hollow = " Hollow marks are not distinguishable from the best." if len(found.tied) > 1 else ""
    return f"Bars are 95 % intervals.{dots}{hollow}"


SCORE_TITLES = {
    "dice": "Dice",
    "miou": "mIoU",
    "pixel_accuracy": "Pixel acc.",
    "dice_per_image": "Dice per image",
    "miou_per_image": "mIoU per image",
}


def _scores(found: Statistics) -> Table:
    """Return every score that has an interval, one entrant a row."""
    rows = tuple(
        (
            Cell(standing.name, run=standing.entrant.number),
            *(
                Cell(
                    f"{known.value:.3f} ({known.interval.low:.3f}\N{EN DASH}{known.interval.high:.3f})",
                    known.value,
                    (known.interval.low, known.interval.high),
                )
                for known in (standing.scores[name] for name in SCORE_TITLES)
            ),
        )
        for standing in found.standings
    )
    columns = (Column(title="Entrant", number=False), *(Column(title=title) for title in SCORE_TITLES.values()))
    caption = "Mean scores with their 95 % intervals" if found.repeated else "Scores with their 95 % intervals"
    return Table(name="scores", caption=caption, columns=columns, rows=rows)


def _ordered(found: Statistics, best: str) -> tuple[Difference, ...]:
    return tuple(found.difference(best, standing.name) for standing in found.standings[1:])


def _pairs(name: str, caption: str, pairs: tuple[Difference, ...], found: Statistics) -> Table:
    """Return differences of entrants, one pair a row."""
    numbers = {standing.name: standing.entrant.number for standing in found.standings}
    rows = tuple(
        (
            Cell(pair.better, run=numbers[pair.better]),
            Cell(pair.other, run=numbers[pair.other]),
            Cell(signed(pair.value), pair.value),
            _interval(pair.interval),
            Cell(_percent(pair.probability), pair.probability),
            Cell(_p_value(pair.corrected), pair.corrected),
            Cell(_verdict(pair)),
        )
        for pair in pairs
    )
    columns = (
        Column(title="Better", number=False),
        Column(title="Than", number=False),
        Column(title="Difference"),
        Column(title="95 % interval", help="of the difference, for this pair alone"),
        Column(title="Probability", help=_probability_words(pairs)),
        Column(title="p", help="chance of such a difference between equals, corrected for the number of pairs (Holm)"),
        Column(title="Verdict", number=False),
    )
    return Table(name=name, caption=caption, columns=columns, rows=rows, filterable=len(rows) > 12)


def _probability_words(pairs: tuple[Difference, ...]) -> str:
    if any(pair.seeds for pair in pairs):
        return "that the first is better"
    return "that the first is better, from resampled sets of images"


def _verdict(pair: Difference) -> str:
    if pair.identical:
        return "exactly alike"
    return "better" if pair.distinguishable else "not distinguishable"


def _percent(share: float) -> str:
    if share > 0.999:
        return "> 99.9 %"
    return f"{100 * share:.1f} %" if share > 0.95 else f"{100 * share:.0f} %"


def _p_value(value: float | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


# --- classes ---------------------------------------------------------------------------------------------------------


def _class_blocks(analysis: Analysis, found: Statistics) -> list[Block]:
    """Return in which classes the two best entrants differ for sure, and all classes to look up."""
    first, second = found.standings[:2]
    differences = found.classes(first.name, second.name)
    sure = sorted((one for one in differences if one.distinguishable), key=lambda one: -abs(one.value))
    names = short_names(analysis.group.protocol.classes)
    blocks: list[Block] = [Paragraph(_class_words(differences, sure, first.name, second.name, names))]
    if sure:
        change = Change(
            score=analysis.group.protocol.score,
            first=first.name,
            second=second.name,
            names=names,
            differences=tuple(sorted(sure[:DRAWN_CLASSES], key=lambda one: -one.value)),
            colors=(first.entrant.number, second.entrant.number),
        )
        more = f" The {DRAWN_CLASSES} largest of {len(sure)} are shown." if len(sure) > DRAWN_CLASSES else ""
        caption = f"Classes in which {first.name} and {second.name} differ, with 95 % intervals.{more}"
        blocks.append(Figures(drawings=(class_change(change),), caption=caption))
    measure = CLASS_SCORES[analysis.group.protocol.score]
    table = _class_table(differences, f"{measure} of {first.name} minus {second.name}", names)
    return [*blocks, Fold(summary=f"The difference in each of {len(differences)} classes", blocks=(table,))]


def _class_words(
    differences: tuple[ClassDifference, ...],
    sure: list[ClassDifference],
    first: str,
    second: str,
    names: tuple[str, ...],
) -> str:
    if not sure:
        return (
            f"In no single class are {first} and {second} distinguishable, once it is taken into account that "
            f"{len(differences)} classes were looked at."
        )
    wins = [names[one.index] for one in sure if one.value > 0]
    losses = [names[one.index] for one in sure if one.value < 0]
    parts = [f"{_listed(wins)} ({first} is better)"] if wins else []
    parts += [f"{_listed(losses)} ({second} is better)"] if losses else []
    return (
        f"{first} and {second} differ for sure in {len(sure)} of {len(differences)} classes, also when so many are "
        f"looked at: {'; '.join(parts)}."
    )


def _listed(names: list[str]) -> str:
    if len(names) > 6:
        return f"{', '.join(names[:5])} and {len(names) - 5} more"
    return units.listed(names)


def _class_table(differences: tuple[ClassDifference, ...], caption: str, names: tuple[str, ...]) -> Table:
    rows = tuple(
        (
            Cell(names[one.index]),
            Cell(f"{one.images:,}", one.images),
            Cell(signed(one.value), one.value),
            _interval(one.interval),
            Cell(_p_value(one.corrected), one.corrected),
        )
        for one in sorted(differences, key=lambda one: -abs(one.value))
    )
    columns = (
        Column(title="Class", number=False),
        Column(title="Images", help="images in which the class occurs"),
        Column(title="Difference"),
        Column(title="95 % interval", help="for this class alone; none where it rests on too few images"),
        Column(title="p", help="chance of such a difference between equals, corrected for all classes (Holm)"),
    )
    return Table(name="class-differences", caption=caption, columns=columns, rows=rows, filterable=len(rows) > 12)


def _interval(span: Interval | None) -> Cell:
    if span is None:
        return Cell("\N{EN DASH}")
    return Cell(f"{signed(span.low)} to {signed(span.high)}", interval=(span.low, span.high))


# --- explanations ----------------------------------------------------------------------------------------------------


def _explanations(found: Statistics) -> list[str]:
    over = "images and of seeds" if found.repeated else "images"
    lines = [
        f"The {found.images:,} images are a sample: others of their kind would have given other scores. A 95 % "
        "interval is made so that it holds the usual score of such sets in 95 of 100 cases; it covers the choice of "
        f"{over}.",
    ]
    if len(found.standings) > 1:
        lines += [
            "Differences are taken image by image: what makes an image hard is hard for all, so a difference is surer "
            "than the two scores it is made of. Overlapping intervals do not mean that two entrants are alike.",
            "Not distinguishable does not mean equal: the interval says how large the difference may still be.",
            f"The probability is from {found.resamples:,} sets of as many images, drawn from these with replacement: "
            "the share on which the first wins, once they spread as widely as the interval says; of several seeds, it "
            "follows from the interval.",
            "Where many pairs or classes are compared, some differ by chance; p-values are corrected so that even one "
            "wrong claim among all is made in at most 5 % of the comparisons (Holm).",
            f"Nothing is claimed of a class whose pixels lie, in effect, in fewer than {FEWEST_IMAGES_OF_A_CLASS:.0f} "
            "images.",
        ]
    return lines
