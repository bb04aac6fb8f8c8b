"""Which classes are seen together more often than chance would have it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from segfit.curation.stats.tally import Tally

__all__ = ["Pair", "pairs"]

COUNT = 20
FEWEST, SHARE = 5, 0.01
"""A pair is shown by at least so many images, and by at least this share of them: fewer may be chance."""
LEAST_LIFT = 2.0
"""Pairs that meet hardly more often than chance say nothing."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two classes and how often images show both.

    Attributes:
        first: position of the rarer one.
        second: position of the other.
        images: that show both.
        given_first: share of the images with the first that show the second.
        given_second: the reverse.
        lift: how many times more often they meet than if they were independent.
    """

    first: int
    second: int
    images: int
    given_first: float
    given_second: float
    lift: float

    def facts(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return all of it, JSON-ready, with the names of the classes."""
        return {**vars(self), "first": names[self.first], "second": names[self.second]}


def pairs(tally: Tally) -> list[Pair]:
    """Return the pairs of classes with the largest lift among those that enough images show."""
    total, alone, both = len(tally.records), tally.images, tally.co_occurrence
    rows, columns = np.nonzero(np.triu(both >= max(FEWEST, SHARE * total), 1))
    lifts = both[rows, columns] * total / (alone[rows] * alone[columns])
    found = []
    for at in [at for at in np.argsort(-lifts, kind="stable")[:COUNT].tolist() if lifts[at] >= LEAST_LIFT]:
        first, second = sorted((int(rows[at]), int(columns[at])), key=lambda i: int(alone[i]))
        images = int(both[first, second])
        found.append(
            Pair(
                first=first,
                second=second,
                images=images,
                given_first=images / int(alone[first]),
                given_second=images / int(alone[second]),
                lift=float(lifts[at]),
            )
        )
    return found
