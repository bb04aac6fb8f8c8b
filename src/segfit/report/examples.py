"""Example images of a report: photograph, mask, what each run predicted, and where it is wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.facts import RunFacts
from segfit.comparison.table import Group
from segfit.data import SOURCES, Image, Record, Source
from segfit.data.decode import read_image, read_index_mask
from segfit.drawing.pictures import css_color, fit_inside, mask_uri, photo_uri, shrink_mask
from segfit.errors import DataError, UserError
from segfit.labels import IGNORE, LabelSpace

__all__ = ["Example", "LegendEntry", "Prediction", "examples_or_note", "read_examples"]

COUNT = 6
LONGEST_SIDE = 320
"""Pixels of a picture's longer side."""
LEGEND_SHARE = 0.005
"""Classes that cover less of the mask and of every prediction are left out of the legend."""
WRONG = (222, 64, 30)
UNSCORED = (200, 204, 209)

Mask = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class LegendEntry:
    """A class of an example: name, CSS colour, and its share of the mask as text ("" where it is only predicted)."""

    name: str
    color: str
    share: str


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What one run made of an image: two pictures as data URIs, and the share of scored pixels that are right."""

    picture: str
    errors: str
    right: str


@dataclass(frozen=True, kw_only=True)
class Example:
    """One image with its mask and one prediction a run, in the order of the rows; None where a run kept none.

    Attributes:
        id: the record's id.
        width: of the pictures, in pixels.
        height: of the pictures.
        image: data URI.
        mask: data URI; what is not annotated is transparent.
        predictions: one a row.
        legend: classes that occur, largest first.
    """

    id: str
    width: int
    height: int
    image: str
    mask: str
    predictions: tuple[Prediction | None, ...]
    legend: tuple[LegendEntry, ...]


def read_examples(group: Group) -> list[Example]:
    """Return examples that as many runs as possible kept a prediction of.

    Raises:
        DataError: the dataset is gone or changed, or the runs kept no predictions.
    """
    kept = [_kept(run) for run in group.runs]
    counts = Counter(name for names in kept for name in names)
    chosen = sorted(sorted(counts, key=lambda name: (-counts[name], name))[:COUNT])
    if not chosen:
        raise DataError("the runs kept no example predictions (evaluate.examples)")
    first = group.runs[0]
    source = _source(first)
    records = {record.id: record for record in source.records(group.protocol.split)}
    missing = [name for name in chosen if name not in records]
    if missing:
        raise DataError(f"{first.recipe.data.root}: has no image {missing[0]!r} any more: the dataset changed")
    return [_example(records[name], source, [names.get(name) for names in kept], first.labels) for name in chosen]


def examples_or_note(group: Group) -> tuple[list[Example], str | None]:
    """Return `read_examples`, or no example and the reason why there is none."""
    try:
        return read_examples(group), None
    except UserError as error:
        return [], str(error)


def _kept(run: RunFacts) -> dict[str, Path]:
    """Return the predictions that a run kept, by record id."""
    folder = run.path / "examples"
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.png"))}


def _source(run: RunFacts) -> Source:
    data = run.recipe.data
    if data.root is None or not data.root.is_dir():
        raise DataError(f"the dataset is not at {data.root} any more")
    return SOURCES.build(data.name, data.root, **data.options)


def _example(record: Record, source: Source, files: Sequence[Path | None], labels: LabelSpace) -> Example:
    mask = labels.encode(source.read_mask(record), where=str(record.mask))
    predictions = [None if file is None else _read_prediction(file, mask, labels) for file in files]
    height, width = fit_inside(*mask.shape, longest=LONGEST_SIDE)
    image = cv2.resize(read_image(record.image), (width, height), interpolation=cv2.INTER_AREA)
    return Example(
        id=record.id,
        width=width,
        height=height,
        image=photo_uri(image.astype(np.uint8)),
        mask=mask_uri(shrink_mask(mask, height, width), labels.colors),
        predictions=tuple(
            None if prediction is None else _compared(prediction, mask, image.astype(np.uint8), labels)
            for prediction in predictions
        ),
        legend=_legend(mask, [prediction for prediction in predictions if prediction is not None], labels),
    )


def _read_prediction(file: Path, mask: Mask, labels: LabelSpace) -> Mask:
    prediction = read_index_mask(file)
    if prediction.shape != mask.shape:
        raise DataError(f"{file}: is {prediction.shape} and its mask {mask.shape}: the dataset changed since the run")
    if prediction.max(initial=0) >= len(labels):
        raise DataError(f"{file}: holds class {prediction.max()} of {len(labels)}: evaluate the run again")
    return prediction.astype(np.uint8)


def _compared(prediction: Mask, mask: Mask, image: Image, labels: LabelSpace) -> Prediction:
    """Return a prediction's pictures; `image` has their size, the masks their original one."""
    scored = mask != IGNORE
    right = float((prediction == mask)[scored].mean()) if scored.any() else 0.0
    height, width = image.shape[:2]
    small, truth = shrink_mask(prediction, height, width), shrink_mask(mask, height, width)
    grey = 0.62 * cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    errors = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    errors[small != truth] = WRONG
    errors[truth == IGNORE] = UNSCORED
    return Prediction(picture=mask_uri(small, labels.colors), errors=photo_uri(errors), right=units.share(right))


def _legend(mask: Mask, predictions: Sequence[Mask], labels: LabelSpace) -> tuple[LegendEntry, ...]:
    shares = [np.bincount(m.ravel(), minlength=256)[: len(labels)] / m.size for m in (mask, *predictions)]
    shown = np.flatnonzero(np.max(shares, axis=0) >= LEGEND_SHARE)
    order = shown[np.argsort(-shares[0][shown], kind="stable")]
    return tuple(
        LegendEntry(
            name=labels.names[train],
            color=css_color(labels.colors[train]),
            share=units.share(float(shares[0][train])) if shares[0][train] else "",
        )
        for train in order.tolist()
    )
