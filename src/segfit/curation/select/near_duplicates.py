"""The filter against near duplicates: of images that look alike, the first one stays.

How alike two images are is decided where `segfit data check` decides it, in `segfit.data.check.duplicates`. Here an
image goes only when one that *stays* is like it: of a slow pan, whose every frame is like the next, some frames stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segfit.console import waiting
from segfit.curation.opening import Dataset
from segfit.curation.select import Pool
from segfit.data import Record
from segfit.data.check.duplicates import NEAR, Vectors, details, mirrored
from segfit.data.check.probe import probe_image
from segfit.data.check.structure import Limits
from segfit.data.parallel import in_threads
from segfit.errors import DataError, RecipeError

__all__ = ["WithoutNearDuplicates", "first_of_its_kind"]

TILE = 1024  # images that are compared with all before them at once


@dataclass(frozen=True)
class WithoutNearDuplicates:
    """Keeps images that are not like one that stays; the same bytes twice are alike at any threshold.

    Attributes:
        threshold: correlation of the pictures' details, mirrored or not, from which they are alike.
    """

    threshold: float = NEAR

    @property
    def words(self) -> tuple[str, ...]:
        """The option."""
        return "--without-near-duplicates", f"{self.threshold:g}"

    def check(self, _dataset: Dataset, _records: Sequence[Record], /) -> None:
        """Raise a `RecipeError` if the threshold is out of range."""
        if not 0 < self.threshold <= 1:
            raise RecipeError(f"--without-near-duplicates {self.threshold:g}: not a number above 0 and up to 1")

    def keep(self, pool: Pool) -> NDArray[np.bool_]:
        """Return which images stay.

        Raises:
            DataError: an image is unreadable.
        """
        with waiting(f"comparing {len(pool)} images") as progress:
            looks = list(in_threads(_look, pool.records, progress))
        first = {digest: row for row, (digest, _) in reversed(list(enumerate(looks)))}
        new = sorted(first.values())
        stays = np.zeros(len(pool), dtype=np.bool_)
        stays[new] = first_of_its_kind(np.stack([looks[row][1] for row in new]), self.threshold)
        return stays


def _look(record: Record) -> tuple[bytes, Vectors]:
    """Return the digest and the details `(256,)` of an image."""
    facts = probe_image(record.image, Limits())
    if facts.thumbnail is None:
        raise DataError(f"{record.image}: {facts.faults[0][1]}: look at it with: segfit data check")
    return facts.digest, details(facts.thumbnail)


def first_of_its_kind(vectors: Vectors, threshold: float) -> NDArray[np.bool_]:
    """Return which of N images stay when each goes that is like an earlier one that stays.

    Args:
        vectors: `(N, 256)` details; zeros are like nothing.
        threshold: correlation from which two are alike.
    """
    flipped = mirrored(vectors)
    stays = np.ones(len(vectors), dtype=np.bool_)
    for start in range(0, len(vectors), TILE):
        tile = slice(start, start + TILE)
        for begin in range(0, start, TILE):
            earlier = np.flatnonzero(stays[begin : begin + TILE]) + begin
            stays[tile] &= ~_alike(vectors[earlier], flipped[earlier], vectors[tile], threshold).any(axis=0)
        within = _alike(vectors[tile], flipped[tile], vectors[tile], threshold)
        for row in range(len(within)):
            if stays[start + row]:
                stays[start + row + 1 : start + TILE] &= ~within[row, row + 1 :]
    return stays


def _alike(one: Vectors, flipped: Vectors, other: Vectors, threshold: float) -> NDArray[np.bool_]:
    """Return which of `one` `(A, 256)`, as it is or `flipped`, are like which of `other` `(B, 256)`: `(A, B)`."""
    alike: NDArray[np.bool_] = np.maximum(one @ other.T, flipped @ other.T) >= threshold
    return alike
