"""Images of a comparison as they were scored: photograph, ground truth and what each run predicted, read on demand.

A run keeps its predictions as label maps in ``examples/ID.png``. Nothing is read before somebody asks for an image, so
a report of thousands of images costs only those that it shows.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit import units
from segfit.comparison.facts import RunFacts
from segfit.comparison.table import Group
from segfit.data import SOURCES, Image, Record, Source
from segfit.data.decode import read_index_mask, read_pair
from segfit.drawing.pictures import css_color, fit_inside, mask_uri, photo_uri, shrink_mask
from segfit.errors import DataError
from segfit.labels import IGNORE, LabelSpace
from segfit.report.blocks import LegendEntry
from segfit.report.names import short_names

__all__ = ["UNSCORED", "WRONG", "Album", "Example", "error_uri", "legend", "open_album"]

LEGEND_SHARE = 0.005
"""Classes that cover less of the mask and of every prediction are left out of the legend."""

LEGEND_MOST = 12
"""A legend names no more classes than this, those that cover most."""

WRONG = (222, 64, 30)
UNSCORED = (200, 204, 209)

Mask = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One image at its original size (H, W).

    Attributes:
        id: the record's id.
        image: `(H, W, 3)` RGB.
        truth: `(H, W)` train ids, `IGNORE` where nothing is annotated.
        predictions: one `(H, W)` map of train ids a run, in the order of the rows; None where a run kept none.
        labels: the label space of all of them.
    """

    id: str
    image: Image
    truth: Mask
    predictions: tuple[Mask | None, ...]
    labels: LabelSpace

    def shrunk(self, longest: int) -> "Example":
        """Return the example with at most `longest` pixels on its longer side; no label is invented."""
        return self.resized(*fit_inside(*self.truth.shape, longest=longest))

    def resized(self, height: int, width: int) -> "Example":
        """Return the example at another size, its maps by the nearest pixel."""
        image: Image = cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        maps = (None if one is None else shrink_mask(one, height, width) for one in self.predictions)
        truth = shrink_mask(self.truth, height, width)
        return replace(self, image=image, truth=truth, predictions=tuple(maps))

    def photo(self) -> str:
        """Return the photograph as a data URI."""
        return photo_uri(self.image)

    def mask(self, mask: Mask) -> str:
        """Return the truth or a prediction in the colours of its classes as a data URI."""
        return mask_uri(mask, self.labels.colors)


@dataclass(frozen=True, kw_only=True)
class Album:
    """The images of a group of runs.

    Attributes:
        source: the dataset.
        records: its records of the split that was scored, by id.
        runs: the runs, in the order of the rows.
        squashed: the (height, width) at which everything was scored; None where that is each image's own.
    """

    source: Source
    records: dict[str, Record]
    runs: tuple[RunFacts, ...]
    squashed: tuple[int, int] | None = None

    def kept(self, ids: Sequence[str]) -> NDArray[np.bool_]:
        """Return which run kept a prediction of which image: `(runs, ids)`."""
        folders = [os.fspath(run.files.examples) for run in self.runs]
        there = [[os.path.isfile(f"{folder}/{name}.png") for name in ids] for folder in folders]  # noqa: PTH113
        return np.array(there, dtype=np.bool_).reshape(len(folders), len(ids))

    def read(self, name: str, runs: Sequence[int] | None = None) -> Example:
        """Read an image, its mask and predictions.

        Args:
            name: the record's id.
            runs: positions of the runs whose predictions are wanted; all when None.

        Raises:
            DataError: the image is not in the dataset any more, a file is damaged, or the dataset changed.
        """
        labels = self.runs[0].labels
        if name not in self.records:
            root = self.runs[0].data.root
            raise DataError(f"{root}: has no image {name!r} any more: the dataset changed since the runs")
        record = self.records[name]
        image, mask = read_pair(self.source, record)
        truth = labels.encode(mask, where=str(record.mask))
        scene = Example(id=name, image=image, truth=truth, predictions=(), labels=labels)
        scene = scene if self.squashed is None else scene.resized(*self.squashed)
        wanted = range(len(self.runs)) if runs is None else runs
        files = [run.files.examples / f"{name}.png" for run in self.runs]
        predictions = [
            _read_prediction(file, scene.truth, labels) if position in wanted and file.is_file() else None
            for position, file in enumerate(files)
        ]
        return replace(scene, predictions=tuple(predictions))


def open_album(group: Group) -> Album:
    """Return the images that the runs of a group were scored on.

    Raises:
        DataError: the dataset is gone or damaged.
    """
    recipe, data = group.runs[0].recipe, group.runs[0].data
    if data.root is None or not data.root.is_dir():
        raise DataError(f"the dataset is not at {data.root} any more")
    source: Source = SOURCES.build(data.name, data.root, **data.options)
    records = {record.id: record for record in source.records(group.protocol.split)}
    squashed = recipe.augment.size if group.protocol.name == "paper" else None
    return Album(source=source, records=records, runs=tuple(group.runs), squashed=squashed)


def error_uri(prediction: Mask, truth: Mask) -> str:
    """Return where a prediction is wrong, to lie over the photograph: what is right is transparent.

    Args:
        prediction: `(h, w)` train ids.
        truth: `(h, w)` train ids; what is `IGNORE` there was not scored.
    """
    picture = np.full(truth.shape, IGNORE, np.uint8)
    picture[prediction != truth] = 0
    picture[truth == IGNORE] = 1
    return mask_uri(picture, (WRONG, UNSCORED))


def legend(example: Example) -> tuple[LegendEntry, ...]:
    """Return the classes that can be seen in the truth or in a prediction, the largest in the truth first."""
    masks = [example.truth, *(prediction for prediction in example.predictions if prediction is not None)]
    labels = example.labels
    shares = [np.bincount(mask.ravel(), minlength=256)[: len(labels)] / mask.size for mask in masks]
    most = np.max(shares, axis=0)
    shown = np.argsort(-most, kind="stable")[:LEGEND_MOST]
    shown = shown[most[shown] >= LEGEND_SHARE]
    order = shown[np.argsort(-shares[0][shown], kind="stable")]
    names = short_names(labels.names)
    return tuple(
        LegendEntry(
            name=names[train],
            color=css_color(labels.colors[train]),
            remark=units.share(float(shares[0][train])) if shares[0][train] else "only predicted",
        )
        for train in order.tolist()
    )


def _read_prediction(file: Path, truth: Mask, labels: LabelSpace) -> Mask:
    prediction = read_index_mask(file)
    if prediction.shape != truth.shape:
        raise DataError(f"{file}: is {prediction.shape} and its mask {truth.shape}: the dataset changed since the run")
    if prediction.max(initial=0) >= len(labels):
        raise DataError(f"{file}: holds class {prediction.max()} of {len(labels)}: evaluate the run again")
    return prediction.astype(np.uint8)
