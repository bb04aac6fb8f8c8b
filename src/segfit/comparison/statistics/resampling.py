"""Paired bootstrap over images: every run is scored on the same resampled sets.

A resample is a vector of how often each image was drawn. The summed counts of all resamples are then one matrix
product: draws `(B, N)` times counts `(N, K)`, exact in float64 because all numbers are integers below 2^53.

Shape suffixes: B resamples, N images, K classes.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from segfit.comparison.statistics.ratios import Ratios

__all__ = ["MOST", "draws", "how_many", "resample"]

Values = NDArray[np.float64]

MOST, LEAST = 10_000, 2_000
"""Resamples of a comparison, the fewer the larger it is."""

WORK = 2.5e10
"""Multiplications that a comparison may take, a second or two on two cores."""

BLOCK = 500
"""Resamples in one product, so that memory stays small."""

SEED = 20_111_206


def how_many(runs: int, images: int, classes: int) -> int:
    """Return how many resamples a comparison of this size gets."""
    return int(np.clip(WORK / (2.0 * runs * images * classes) // BLOCK * BLOCK, LEAST, MOST))


def draws(images: int, count: int, seed: int = SEED) -> Iterator[Values]:
    """Yield blocks `(b, N)` of `count` resamples in all: how often each image was drawn, N draws with replacement.

    The same numbers every time; they depend on nothing but the arguments.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        chosen = rng.integers(0, images, (size, images), dtype=np.int32)
        chosen += (np.arange(size, dtype=np.int32) * images)[:, None]
        yield np.bincount(chosen.ravel(), minlength=size * images).reshape(size, images).astype(np.float64)


def resample(runs: Sequence[Ratios], count: int, seed: int = SEED) -> Values:
    """Return the scores `(R, B)` of R runs on B resampled sets of images, the same sets for all.

    The classes of the mean stay those of the whole set: a class that is missing from a resample keeps the score that
    it has over all images. Leaving it out would compare means over different classes.
    """
    stacked = [np.concatenate([ratios.top, ratios.bottom], axis=1) for ratios in runs]
    rows: list[list[Values]] = [[] for _ in runs]
    for block in draws(len(runs[0].top), count, seed):
        for ratios, matrix, row in zip(runs, stacked, rows, strict=True):
            top, bottom = np.split(block @ matrix, 2, axis=1)
            values = np.broadcast_to(ratios.classes, top.shape).copy()
            np.divide(top, bottom, out=values, where=bottom > 0)
            row.append(values.sum(axis=1) / max(1, int(ratios.occurs.sum())))
    return np.array([np.concatenate(row) for row in rows])
