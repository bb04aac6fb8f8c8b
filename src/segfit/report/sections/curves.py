"""How the runs learnt: losses and score by epoch, and where a run began to overfit."""

from segfit.comparison.analysis import Analysis
from segfit.comparison.budget import trained
from segfit.comparison.curves import overfit_epoch
from segfit.comparison.overfitting import overfitting
from segfit.report.blocks import Block, Bullets, Figures, Fold, Paragraph, Section
from segfit.report.figures.curves import NAMED, curve_drawings

__all__ = ["curves"]

SHOWN = 4
"""Sentences about overfitting that are shown at once; of more of them the others are folded away."""


def curves(analysis: Analysis) -> Section | None:
    """Return training loss, validation loss and validation score by epoch; None where no run logged an epoch."""
    group = analysis.group
    drawings = curve_drawings(group)
    if not drawings:
        return None
    blocks: list[Block] = [Figures(drawings=tuple(drawings), caption=_caption(analysis))]
    losses = sorted({run.recipe.loss.name for _, run in trained(group)})
    if len(losses) > 1:
        advice = "compare the shapes of the loss curves, not their heights"
        blocks.append(Paragraph(f"The runs minimise different losses ({', '.join(losses)}): {advice}.", note=True))
    if not group.validated_alike:
        said = "The runs were scored in different ways while they were trained: compare the shapes of their curves"
        blocks.append(Paragraph(f"{said}, not their heights.", note=True))
    sentences = overfitting(group)
    if sentences:
        blocks.append(Bullets(sentences[:SHOWN]))
    if len(sentences) > SHOWN:
        more = Bullets(sentences[SHOWN:])
        blocks.append(Fold(summary=f"{len(more.items)} more about overfitting", blocks=(more,)))
    return Section(name="curves", title="How they learnt", blocks=blocks)


def _caption(analysis: Analysis) -> str:
    """Return what the rings mean and which runs are named."""
    group = analysis.group
    members = trained(group)
    ringed = any(overfit_epoch(run.curves, group.protocol.score) is not None for _, run in members[:NAMED])
    sentences = ["A ring marks the epoch after which only the training loss improved."] if ringed else []
    if len(members) > NAMED:
        sentences.append(f"The {NAMED} best of {len(members)} runs are named, the others grey.")
    return " ".join(sentences)
