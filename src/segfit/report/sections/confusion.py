"""What the runs take for something else: confusion matrix, the most confused pairs, and where to see them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.table import Group
from segfit.drawing.pictures import css_color
from segfit.errors import UserError
from segfit.evaluation.records import Records
from segfit.report.blocks import (
    Block,
    Cell,
    Column,
    Figures,
    Fold,
    LegendEntry,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
)
from segfit.report.examples import Album, Example, open_album
from segfit.report.figures.confusion import confusion_drawing, shown_classes
from segfit.report.names import short_names

__all__ = ["Crop", "Pair", "confused_pairs", "confusion", "crop_around", "most_confused_images"]

PAIRS = 20
"""Rows of the table of confused pairs."""

NAMED = 10
"""How many pairs the sentence adds up."""

SHOWN = 4
"""How many pairs are shown in pictures."""

FEW_RUNS = 5
"""With more runs, only the best one's matrix is drawn."""

CROP = (165, 220)
"""Height and width of a crop as shown."""

SMALLEST = 0.35
"""A crop is at least this share of the image's shorter side high: what is around it explains it."""

AROUND = 1.8
"""A crop is at least this many times as large as what it is about."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A true class that was predicted as another one.

    Attributes:
        target: train id of the true class.
        prediction: train id of what was predicted.
        pixels: of the class that were predicted so, by the best run.
        of_errors: share of all wrong pixels of the best run.
        of_class: share of the class's pixels, for each run.
    """

    target: int
    prediction: int
    pixels: int
    of_errors: float
    of_class: tuple[float, ...]


def confused_pairs(totals: Sequence[NDArray[np.int64]], count: int = PAIRS) -> list[Pair]:
    """Return the pairs that make up most of the first matrix's errors.

    Args:
        totals: `(K, K)` confusion matrices of the runs, rows are the truth.
        count: how many at most.
    """
    errors = totals[0].copy()
    np.fill_diagonal(errors, 0)
    wrong = max(1, int(errors.sum()))
    order = np.argsort(-errors, axis=None, kind="stable")[:count]
    rows, columns = np.unravel_index(order, errors.shape)
    return [
        Pair(
            target=i,
            prediction=j,
            pixels=int(errors[i, j]),
            of_errors=int(errors[i, j]) / wrong,
            of_class=tuple(int(total[i, j]) / max(1, int(total[i].sum())) for total in totals),
        )
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        if errors[i, j]
    ]


def most_confused_images(records: Records, pair: Pair) -> list[int]:
    """Return the positions of the images with pixels of a pair, the most first."""
    entries = records.entries
    here = np.flatnonzero((entries.target == pair.target) & (entries.prediction == pair.prediction))
    order = here[np.argsort(-entries.count[here], kind="stable")]
    owners = np.searchsorted(records.offsets, order, side="right") - 1
    return [int(owner) for owner in owners]


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A part of an image: the upper left corner and the size, in pixels."""

    top: int
    left: int
    height: int
    width: int


def crop_around(region: NDArray[np.bool_], shape: tuple[int, int] = CROP) -> Crop:
    """Return a crop in the proportions of `shape` around the largest connected part of a region.

    Args:
        region: `(H, W)`, true somewhere.
        shape: height and width whose proportions the crop has, as far as the image does.
    """
    assert region.any(), "something to look at"
    _, _, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    left, top, width, height, _ = stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))].tolist()
    rows, columns = region.shape
    ratio = shape[1] / shape[0]
    tall = max(AROUND * height, AROUND * width / ratio, SMALLEST * min(rows, columns))
    # Within the image as it is: one that is narrower than the crop gives all it has.
    tall = min(tall, rows, columns / ratio)
    size = max(1, round(tall)), max(1, round(tall * ratio))
    return Crop(
        top=int(np.clip(round(top + height / 2 - size[0] / 2), 0, rows - size[0])),
        left=int(np.clip(round(left + width / 2 - size[1] / 2), 0, columns - size[1])),
        height=size[0],
        width=size[1],
    )


# --- the section -----------------------------------------------------------------------------------------------------


def confusion(analysis: Analysis) -> Section | None:
    """Show which classes are taken for which others; None where nothing is wrong or there is one class only.

    Raises:
        RunError: the per-image records are missing, damaged or of other images.
    """
    group = analysis.group
    totals = [records.total() for records in analysis.records]
    pairs = confused_pairs(totals)
    if len(group.protocol.classes) < 2 or not pairs:
        return None
    best = group.rows[0]
    blocks: list[Block] = [
        Paragraph(_words(group, totals[0], pairs)),
        Figures(drawings=(confusion_drawing(group, best, totals[0]),), caption=_caption(group)),
    ]
    if 1 < len(group.rows) <= FEW_RUNS:
        others = zip(group.rows[1:], totals[1:], strict=True)
        drawings = tuple(confusion_drawing(group, row, total) for row, total in others)
        blocks.append(Fold(summary="The other runs' matrices", blocks=(Figures(drawings=drawings),)))
    blocks += [_table(group, pairs), *_crops(analysis, pairs)]
    return Section(name="confusion", title="What they confuse", blocks=tuple(blocks))


def _words(group: Group, total: NDArray[np.int64], pairs: Sequence[Pair]) -> str:
    names, best = short_names(group.protocol.classes), group.rows[0].name
    wrong = 1 - np.trace(total) / max(1, total.sum())
    text = f"{best} puts {units.share(float(wrong))} of the annotated pixels into a wrong class."
    if len(pairs) >= NAMED:
        part = sum(pair.of_errors for pair in pairs[:NAMED])
        text += f" The {NAMED} most confused pairs of classes make up {units.share(part)} of its errors."
    first = pairs[0]
    return (
        f"{text} The largest single error is {names[first.target]} taken for {names[first.prediction]}: "
        f"{units.share(first.of_class[0])} of that class, {units.share(first.of_errors)} of all errors."
    )


def _caption(group: Group) -> str:
    shown, total = len(shown_classes(group)), len(group.protocol.classes)
    text = "Each row adds up to a class's annotated pixels; grey is right, colour is wrong."
    return f"The {shown} most frequent of {total} classes. {text}" if shown < total else text


def _table(group: Group, pairs: Sequence[Pair]) -> Table:
    best = group.rows[0].name
    names = short_names(group.protocol.classes)
    return Table(
        name="pairs",
        caption=f"The pairs that make up most of the errors of {best}, with the share of the class that each run puts "
        "there.",
        columns=(
            Column(title="True class", number=False),
            Column(title="Predicted as", number=False),
            Column(title="Of all errors", help=f"Share of all wrong pixels of {best}."),
            *(Column(title=row.name, run=row.number) for row in group.rows),
        ),
        rows=tuple(
            (
                Cell(names[pair.target]),
                Cell(names[pair.prediction]),
                Cell(units.share(pair.of_errors), value=pair.of_errors),
                *(Cell(units.share(share), value=share, shade=share) for share in pair.of_class),
            )
            for pair in pairs
        ),
        filterable=len(pairs) > NAMED,
    )


# --- crops -----------------------------------------------------------------------------------------------------------


def _crops(analysis: Analysis, pairs: Sequence[Pair]) -> list[Block]:
    """Return pictures of the most confused pairs, or one line that says why there are none."""
    try:
        album = open_album(analysis.group)
        found = [_crop(analysis, album, pair) for pair in pairs[:SHOWN]]
    except UserError as error:
        return [Paragraph(f"No pictures of them: {error}.", note=True)]
    return [block for block in found if block is not None]


def _crop(analysis: Analysis, album: Album, pair: Pair) -> Pictures | None:
    """Return a pair where the best run has most of it, among the images whose prediction it kept."""
    records = analysis.records[0]
    images = [records.ids[i] for i in most_confused_images(records, pair)]
    kept = album.kept(images)[0] if images else np.zeros(0, dtype=np.bool_)
    name = next((name for name, there in zip(images, kept, strict=True) if there), None)
    if name is None:
        return None
    example = album.read(name, [0])
    prediction = example.predictions[0]
    assert prediction is not None, "kept"
    region = (example.truth == pair.target) & (prediction == pair.prediction)
    if not region.any():
        return None
    part = _cut(example, crop_around(region))
    shown = part.predictions[0]
    assert shown is not None, "kept"
    labels, row = example.labels, analysis.group.rows[0]
    names = short_names(labels.names)
    true, other = names[pair.target], names[pair.prediction]
    height, width = part.truth.shape
    return Pictures(
        name=f"pair-{pair.target}-{pair.prediction}",
        title=f"{true} taken for {other}",
        pictures=(
            Picture(uri=part.photo(), alt=f"Part of {name}", caption=name),
            Picture(uri=part.mask(part.truth), alt=f"Annotated classes of this part of {name}", caption="Ground truth"),
            Picture(uri=part.mask(shown), alt=f"Prediction of {row.name} there", caption=row.name, run=row.number),
        ),
        width=width,
        height=height,
        legend=tuple(
            LegendEntry(name=names[train], color=css_color(labels.colors[train]))
            for train in (pair.target, pair.prediction)
        ),
    )


def _cut(example: Example, crop: Crop) -> Example:
    """Return a crop of an example at the size at which crops are shown."""
    here = np.s_[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    size = CROP[1], CROP[0]
    image = cv2.resize(example.image[here], size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    maps = [None if one is None else one[here] for one in (example.truth, *example.predictions)]
    truth, *predictions = (
        None if one is None else cv2.resize(one, size, interpolation=cv2.INTER_NEAREST_EXACT) for one in maps
    )
    assert truth is not None, "every example has a mask"
    return Example(id=example.id, image=image, truth=truth, predictions=tuple(predictions), labels=example.labels)
