"""Counts of an image without the zeros: an image of ADE20K holds some ten of 150 classes.

Shape suffixes: K classes, n entries that are not zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segfit.evaluation.boundary import COUNTS, BoundaryCounts

__all__ = ["SparseBoundary", "SparseConfusion"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseConfusion:
    """The entries of a confusion matrix that are not zero, row by row.

    Attributes:
        target: `(n,)` uint8 train ids, the rows.
        prediction: `(n,)` uint8 train ids, the columns.
        count: `(n,)` int64 pixels.
    """

    target: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, confusion: NDArray[np.int64]) -> "SparseConfusion":
        """Take the entries of a `(K, K)` matrix."""
        rows, columns = np.nonzero(confusion)
        return cls(target=rows.astype(np.uint8), prediction=columns.astype(np.uint8), count=confusion[rows, columns])


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseBoundary:
    """The boundary counts of the classes that have any.

    Attributes:
        distance: as a share of the image's diagonal.
        classes: `(n,)` uint8 train ids.
        counts: `(n, 7)` int64 pixels; the columns are `boundary.COUNTS`.
    """

    distance: float
    classes: NDArray[np.uint8]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, boundary: BoundaryCounts) -> "SparseBoundary":
        """Take the counts of an image, `(K,)` each."""
        counts = np.stack([getattr(boundary, name) for name in COUNTS], axis=-1)
        classes = np.flatnonzero(counts.any(axis=-1))
        return cls(distance=boundary.distance, classes=classes.astype(np.uint8), counts=counts[classes])
