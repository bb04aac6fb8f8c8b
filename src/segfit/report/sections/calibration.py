"""Whether the models know how sure they may be: confidence against the share of pixels that are right."""

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.facts import Calibration
from segfit.comparison.table import Row
from segfit.report.blocks import Cell, Column, Figures, Paragraph, Section, Table
from segfit.report.figures.calibration import calibration_drawings
from segfit.report.figures.curves import NAMED
from segfit.report.words import ordinal

__all__ = ["calibration"]

NEGLIGIBLE = 0.01
"""Mean confidence and accuracy that differ by less are called equal."""


def calibration(analysis: Analysis) -> Section | None:
    """Return reliability and expected calibration error of every run; None where no confidences were measured."""
    group = analysis.group
    measured = [
        (row, run.evaluation.calibration)
        for row, run in zip(group.rows, group.runs, strict=True)
        if run.evaluation.calibration is not None and run.evaluation.calibration.ece is not None
    ]
    if not measured:
        return None
    note = (
        "The confidence of a pixel is the softmax probability of the class predicted there; the expected calibration "
        "error (ECE) is the mean distance between confidence and accuracy over bins of confidence. Every "
        f"{_every(measured[0][1].every)}row and column of the images was looked at."
    )
    return Section(
        name="calibration",
        title="How sure the models are of themselves",
        blocks=(
            Paragraph(_sentence(*measured[0])),
            Figures(drawings=tuple(calibration_drawings(group)), caption=_caption(len(measured))),
            _table(measured),
            Paragraph(note, note=True),
        ),
    )


def _caption(runs: int) -> str:
    drawn = f" The {NAMED} best of {runs} runs are drawn." if runs > NAMED else ""
    return f"What is calibrated lies on the dashed line.{drawn}"


def _every(step: int) -> str:
    return f"{ordinal(step)} " if step > 1 else ""


def means(facts: Calibration) -> tuple[float, float]:
    """Return the mean confidence and the share of right pixels over all bins."""
    filled = [(b.pixels, b.confidence or 0.0, b.accuracy or 0.0) for b in facts.bins if b.pixels]
    pixels = max(1, sum(count for count, _, _ in filled))
    return sum(n * c for n, c, _ in filled) / pixels, sum(n * a for n, _, a in filled) / pixels


def _sentence(row: Row, facts: Calibration) -> str:
    confidence, accuracy = means(facts)
    text = f"{row.name} is {units.share(confidence)} sure on average and right in {units.share(accuracy)} of the pixels"
    if abs(confidence - accuracy) < NEGLIGIBLE:
        return f"{text}: on average its confidence can be taken at its word."
    return f"{text}: {'too' if confidence > accuracy else 'not'} sure{'' if confidence > accuracy else ' enough'}."


def _table(measured: list[tuple[Row, Calibration]]) -> Table:
    rows = []
    for row, facts in measured:
        confidence, accuracy = means(facts)
        numbers = (Cell(units.share(value), value) for value in (confidence, accuracy))
        rows.append((Cell(row.name, run=row.number), Cell(units.score(facts.ece), facts.ece), *numbers))
    return Table(
        name="calibration",
        caption="Calibration error, mean confidence, and the share of pixels that are right",
        columns=(
            Column(title="Run", number=False),
            Column(title="ECE"),
            Column(title="Confidence"),
            Column(title="Right"),
        ),
        rows=tuple(rows),
    )
