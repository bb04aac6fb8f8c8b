"""Example images with their masks, chosen to show many classes."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit import units
from segfit.curation.stats.tally import Tally
from segfit.data import Record, Source, SourceMask
from segfit.data.decode import read_pair
from segfit.data.parallel import in_threads
from segfit.drawing.pictures import css_color, fit_inside, mask_uri, photo_uri, shrink_mask
from segfit.labels import IGNORE, LabelTable

__all__ = ["Legend", "Tile", "choose", "tiles"]

LONGEST = 360
"""Pixels of a picture's longer side."""
QUALITY = 72
VISIBLE = 0.01
"""A class is seen in a picture where it covers this share."""
NAMED = 6


@dataclass(frozen=True, kw_only=True)
class Legend:
    """A class in a picture: its name, its colour in CSS, and the share of the picture as text."""

    name: str
    color: str
    share: str


@dataclass(frozen=True, kw_only=True)
class Tile:
    """An image and its mask as pictures of one size.

    Attributes:
        id: the record's id.
        scene: scene category, where known.
        width: in pixels.
        height: in pixels.
        photo: data URI.
        mask: data URI; what is not annotated is transparent.
        legend: the largest classes.
        others: number of the other classes.
    """

    id: str
    scene: str | None
    width: int
    height: int
    photo: str
    mask: str
    legend: tuple[Legend, ...]
    others: int


def choose(tally: Tally, count: int) -> list[int]:
    """Return the numbers of at most `count` images that together show many classes, the richest first.

    Every image is the one that adds most classes to those already seen; of equals, the one with more classes, then the
    first. When none adds any, it is the one furthest, in the order of the split, from those already chosen, because
    neighbours may be frames of one film.
    """
    area = tally.census.sizes.prod(1, keepdims=True)
    visible = tally.census.pixels >= VISIBLE * area
    seen = np.zeros(visible.shape[1], dtype=np.bool_)
    classes, numbers = visible.sum(1), np.arange(len(visible))
    chosen: list[int] = []
    for _ in range(min(count, len(visible))):
        gains = (visible & ~seen).sum(1)
        if gains.any() or not chosen:
            best = int(np.lexsort((numbers, -classes, -gains))[0])
        else:
            best = int(np.argmax(np.abs(numbers[:, None] - chosen).min(1)))
        chosen.append(best)
        seen |= visible[best]
    return chosen


def tiles(source: Source, tally: Tally, count: int, names: list[str]) -> list[Tile]:
    """Read and shrink the images that `choose` picks.

    Args:
        source: reads the masks.
        tally: of the split.
        count: at most so many images.
        names: short names of the source's classes, in its order.

    Raises:
        DataError: a file is gone or broken.
    """
    chosen = choose(tally, count)
    scenes = {tally.records[i].id: tally.scenes[i] for i in chosen}

    def draw(record: Record) -> Tile:
        return _tile(record, source, names, scenes[record.id])

    return list(in_threads(draw, [tally.records[i] for i in chosen], lambda _done, _total: None))


def _tile(record: Record, source: Source, names: list[str], scene: str | None) -> Tile:
    image, stored = read_pair(source, record)
    positions, shown = _positions(stored, source.labels)
    height, width = fit_inside(*stored.shape, longest=LONGEST)
    photo = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    colors = [source.labels.colors[i] for i in shown]
    shares = np.bincount(positions.ravel(), minlength=IGNORE + 1)[: len(shown)] / positions.size
    order = np.argsort(-shares, kind="stable").tolist()
    return Tile(
        id=record.id,
        scene=scene,
        width=width,
        height=height,
        photo=photo_uri(photo.astype(np.uint8), QUALITY),
        mask=mask_uri(shrink_mask(positions, height, width), colors),
        legend=tuple(
            Legend(name=names[shown[i]], color=css_color(colors[i]), share=units.share(float(shares[i])))
            for i in order[:NAMED]
        ),
        others=max(0, len(order) - NAMED),
    )


def _positions(stored: SourceMask, table: LabelTable) -> tuple[NDArray[np.uint8], list[int]]:
    """Return the mask with the classes that it shows counted from 0, and which ones these are.

    A picture has at most 255 colours: of more classes, which no image shows, the last ones are left out.
    """
    position = {source: i for i, source in enumerate(table.ids)}
    shown = [source for source in np.unique(stored).tolist() if source in position][:IGNORE]
    lookup = np.full(int(stored.max()) + 1, IGNORE, dtype=np.uint8)
    lookup[shown] = np.arange(len(shown), dtype=np.uint8)
    return lookup[stored], [position[source] for source in shown]
