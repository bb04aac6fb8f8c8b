"""From disk to a batch of uint8 pairs.

``Source`` (what files there are and what their numbers mean) -> ``decode`` (bytes to arrays) -> ``augment`` (one warp
of image and mask together) -> ``loader`` (batches in a reproducible order).

A dataset kind is one file in this folder with one class that satisfies `Source` and is registered in `SOURCES`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segfit.labels import LabelTable
from segfit.registry import Registry

__all__ = ["SOURCES", "Image", "Listing", "Record", "Sample", "Source", "SourceMask"]

Image = NDArray[np.uint8]
"""`(H, W, 3)` RGB."""

SourceMask = NDArray[np.integer]
"""`(H, W)` source ids, as the dataset's mask holds them."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One image of a dataset and its mask, on disk.

    Attributes:
        id: unique within the dataset's split; augmentation and order are derived from it.
        image: path of the image file.
        mask: path of the mask file.
    """

    id: str
    image: Path
    mask: Path


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Every file of a split, whether or not it has its counterpart.

    Attributes:
        images: (key, path), sorted by path; a key pairs an image with a mask and becomes the record's id.
        masks: likewise. A key may occur more than once: that is a fault, which `records` refuses.
    """

    images: tuple[tuple[str, Path], ...]
    masks: tuple[tuple[str, Path], ...]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One decoded pair.

    Attributes:
        id: the record's id.
        image: `(h, w, 3)` uint8 RGB.
        mask: `(h, w)` uint8 train ids with `labels.IGNORE`.
    """

    id: str
    image: Image
    mask: NDArray[np.uint8]


class Source(Protocol):
    """A dataset on disk: its records, and what the numbers in its masks mean."""

    @property
    def labels(self) -> LabelTable:
        """The classes that the dataset annotates."""
        ...

    @property
    def colors(self) -> Sequence[tuple[int, int, int]] | None:
        """The colour of each class in RGB masks; None where masks hold indices."""
        ...

    def splits(self) -> list[str]:
        """Return the names of the splits that are there."""
        ...

    def listing(self, split: str) -> Listing:
        """Return every file of a split, paired or not.

        Raises:
            DataError: no such split.
        """
        ...

    def records(self, split: str) -> list[Record]:
        """Return the records of a split (``"training"``, ``"validation"``, …, or a list file), sorted by id.

        Raises:
            DataError: no such split, an image without a mask or a mask without an image.
        """
        ...

    def read_mask(self, record: Record) -> SourceMask:
        """Return the mask of a record in source ids.

        Raises:
            DataError: the file is missing, truncated or not a mask.
        """
        ...


SOURCES: Registry[Source] = Registry("data", "segfit.data")
"""Dataset kinds by name; a builder is called with the dataset's root folder and its options as keywords."""
