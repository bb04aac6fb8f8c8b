"""What one pass over a split counts, and the views of it.

Letters: N images, C classes of the dataset's label table in its order. A pixel is annotated where its id is a class;
losses and scores ignore the others.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.data import Record, Source
from segfit.data.census import Census, MaskCount, gather, mask_counter
from segfit.data.decode import read_pair
from segfit.data.parallel import in_threads
from segfit.data.scene_categories import scene_categories

__all__ = ["Colors", "Tally", "take_tally"]

BLOCK = 4096
"""Images whose classes are paired in one matrix product; float32 counts up to 2^24 exactly."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Colors:
    """Mean and standard deviation of red, green and blue over all pixels, in 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """What was counted in some images.

    Attributes:
        records: the N images.
        census: pixels of every class in every image.
        sums: `(N, 3)` sums of the red, green and blue values, 0..255, of each image.
        squares: `(N, 3)` sums of their squares.
        scenes: scene category of each image; None where it is not known.
    """

    records: tuple[Record, ...]
    census: Census
    sums: Integers
    squares: Integers
    scenes: tuple[str | None, ...]

    def part(self, start: int, count: int) -> "Tally":
        """Return the tally of `count` images from number `start` on."""
        cut = slice(start, start + count)
        return Tally(
            records=self.records[cut],
            census=self.census.rows(np.arange(start, start + count)),
            sums=self.sums[cut],
            squares=self.squares[cut],
            scenes=self.scenes[cut],
        )

    @cached_property
    def area(self) -> int:
        """All pixels."""
        return int(self.census.sizes.prod(1).sum())

    @cached_property
    def pixels(self) -> Integers:
        """Pixels of each class `(C,)`."""
        total: Integers = self.census.pixels.sum(0)
        return total

    @cached_property
    def annotated(self) -> int:
        """Pixels of any class."""
        return int(self.pixels.sum())

    @cached_property
    def images(self) -> Integers:
        """Images that show each class `(C,)`."""
        return self.census.images()

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Positions of the classes that occur, most pixels first."""
        by_size = np.argsort(-self.pixels, kind="stable")
        return tuple(by_size[self.pixels[by_size] > 0].tolist())

    @cached_property
    def where_shown(self) -> Floats:
        """Share of the pixels that each class covers in the images that show it `(C,)`; 0 where none does."""
        area = (self.census.pixels > 0).T @ self.census.sizes.prod(1)
        return np.asarray(self.pixels / np.maximum(area, 1))

    def coverage(self) -> Floats:
        """Return the share of the annotated and of all pixels the k most common classes cover.

        Returns:
            `(len(order), 2)`; the first row is for k = 1.
        """
        covered = np.cumsum(self.pixels[list(self.order)])
        return np.asarray(covered[:, None] / np.maximum([self.annotated, self.area], 1))

    def size_counts(self) -> list[tuple[tuple[int, int], int]]:
        """Return every (height, width) with its number of images, the most common first."""
        return Counter((height, width) for height, width in self.census.sizes.tolist()).most_common()

    def scene_counts(self) -> list[tuple[str, int]]:
        """Return every known scene category with its number of images, the most common first."""
        return Counter(sorted(scene for scene in self.scenes if scene is not None)).most_common()

    @cached_property
    def co_occurrence(self) -> Integers:
        """Images that show both of two classes `(C, C)`; on the diagonal, images that show the class."""
        total = np.zeros((len(self.pixels), len(self.pixels)), dtype=np.int64)
        for start in range(0, len(self.records), BLOCK):
            shown = (self.census.pixels[start : start + BLOCK] > 0).astype(np.float32)
            total += (shown.T @ shown).astype(np.int64)
        return total

    @cached_property
    def colors(self) -> Colors:
        """Exact up to the rounding of the last division and root."""
        means, deviations = [], []
        for total, square in zip(self.sums.sum(0).tolist(), self.squares.sum(0).tolist(), strict=True):
            # In whole numbers, so that no digits are lost between two large terms.
            variance = (self.area * square - total * total) / self.area**2
            means.append(total / self.area / 255)
            deviations.append(variance**0.5 / 255)
        return Colors(mean=(means[0], means[1], means[2]), std=(deviations[0], deviations[1], deviations[2]))


def take_tally(source: Source, root: Path, records: Sequence[Record], progress: Callable[[int, int], None]) -> Tally:
    """Read every image and mask of `records` once, in parallel, and count; no image is kept.

    Args:
        source: reads the masks.
        root: folder of the dataset.
        records: at least one image.
        progress: called with (done, total).

    Raises:
        DataError: an unreadable image or mask, a pair of two sizes, an id that is neither a class nor ignored, or a
            malformed table of scene categories.
    """
    scenes = scene_categories(root, records)
    sums = np.zeros((len(records), 3), dtype=np.int64)
    squares = np.zeros((len(records), 3), dtype=np.int64)
    count = mask_counter(source.labels)

    def read(record: Record) -> tuple[MaskCount, list[int], list[int]]:
        image, mask = read_pair(source, record)
        # Both are exact once rounded: OpenCV adds whole numbers, and takes and undoes a root of the squares' sum.
        return (
            count(mask, record),
            [round(total) for total in cv2.sumElems(image)[:3]],
            [round(cv2.norm(channel, cv2.NORM_L2SQR)) for channel in cv2.split(image)],
        )

    def masks() -> Iterator[MaskCount]:
        for i, (counted, total, square) in enumerate(in_threads(read, records, progress)):
            sums[i], squares[i] = total, square
            yield counted

    census = gather(source.labels, records, masks())
    return Tally(records=tuple(records), census=census, sums=sums, squares=squares, scenes=scenes)
