"""What is in the masks: one pass that counts the pixels of every class in every image."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from segfit.data import Record, Source, SourceMask
from segfit.data.parallel import in_threads
from segfit.errors import DataError
from segfit.labels import IGNORE, LabelSpace, LabelTable

__all__ = ["Census", "MaskCount", "count_ratios", "gather", "mask_counter", "take_census"]

MaskCount = tuple[tuple[int, ...], NDArray[np.int64]]
"""(height, width) of a mask and the pixels of each class `(C,)`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Census:
    """The pixels of every class in every image. N images, C classes of the dataset's label table, in its order.

    Attributes:
        table: the classes.
        ids: N record ids.
        sizes: `(N, 2)` int64 height and width of the mask.
        pixels: `(N, C)` int64 pixels of each class; what is not annotated is in none of them.
    """

    table: LabelTable
    ids: tuple[str, ...]
    sizes: NDArray[np.int64]
    pixels: NDArray[np.int64]

    @classmethod
    def dealt(cls, parts: Sequence["Census"]) -> "Census":
        """Return the census of images that were dealt out: part r of n has the images r, r + n, r + 2 n and so on."""
        count = sum(len(part.ids) for part in parts)
        ids, sizes = np.empty(count, dtype=object), np.zeros((count, 2), dtype=np.int64)
        pixels = np.zeros((count, len(parts[0].table)), dtype=np.int64)
        for rank, part in enumerate(parts):
            own = slice(rank, None, len(parts))
            ids[own], sizes[own], pixels[own] = part.ids, part.sizes, part.pixels
        return cls(table=parts[0].table, ids=tuple(ids), sizes=sizes, pixels=pixels)

    def ratios(self) -> NDArray[np.float64]:
        """Return each class's share of all pixels `(C,)`, not annotated ones included (as in ``objectInfo150.txt``)."""
        shares: NDArray[np.float64] = self.pixels.sum(0) / max(int(self.sizes.prod(1).sum()), 1)
        return shares

    def images(self) -> NDArray[np.int64]:
        """Return the number of images `(C,)` that show each class."""
        counts: NDArray[np.int64] = (self.pixels > 0).sum(0)
        return counts

    def unlabelled(self) -> NDArray[np.int64]:
        """Return the pixels of each image `(N,)` that are not annotated."""
        rest: NDArray[np.int64] = self.sizes.prod(1) - self.pixels.sum(1)
        return rest

    def learnt(self, labels: LabelSpace) -> NDArray[np.int64]:
        """Return the pixels `(N, K)` of each train id of `labels`; a class that the table lacks has none."""
        learnt = np.zeros((len(self.ids), len(labels)), dtype=np.int64)
        to_train = dict(labels.to_train)
        for column, source in enumerate(self.table.ids):
            train = to_train.get(source, IGNORE)
            if train != IGNORE:
                learnt[:, train] += self.pixels[:, column]
        return learnt

    def rows(self, rows: NDArray[np.intp]) -> "Census":
        """Return the census of the images at `rows` (positions)."""
        return replace(self, ids=tuple(self.ids[row] for row in rows), sizes=self.sizes[rows], pixels=self.pixels[rows])


def take_census(
    source: Source, records: Sequence[Record], *, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Census:
    """Count the pixels of every class in the masks of `records`, in parallel.

    Args:
        source: reads the masks.
        records: which images.
        progress: called with (done, total).

    Raises:
        DataError: an unreadable mask, or one with an id that is neither a class nor ignored.
    """
    count = mask_counter(source.labels)

    def read(record: Record) -> MaskCount:
        return count(source.read_mask(record), record)

    return gather(source.labels, records, in_threads(read, records, progress))


def gather(table: LabelTable, records: Sequence[Record], counted: Iterable[MaskCount]) -> Census:
    """Return the census of `records`, given what `mask_counter` counts in each."""
    sizes = np.zeros((len(records), 2), dtype=np.int64)
    pixels = np.zeros((len(records), len(table)), dtype=np.int64)
    for i, (size, classes) in enumerate(counted):
        sizes[i], pixels[i] = size, classes
    return Census(table=table, ids=tuple(record.id for record in records), sizes=sizes, pixels=pixels)


def mask_counter(table: LabelTable) -> Callable[[SourceMask, Record], MaskCount]:
    """Return the function that counts the mask of a record: (height, width) and the pixels of each class.

    It raises DataError where the mask has an id that is neither a class nor ignored.
    """
    known = np.zeros(max((*table.ids, *table.ignored)) + 1, dtype=np.bool_)
    known[[*table.ids, *table.ignored]] = True

    def count(mask: SourceMask, record: Record) -> MaskCount:
        pixels = np.bincount(mask.ravel(), minlength=len(known))
        unknown = [i for i in np.flatnonzero(pixels).tolist() if i >= len(known) or not known[i]]
        if unknown:
            raise DataError(
                f"{record.mask}: label id {', '.join(map(str, unknown[:5]))} is neither a class nor ignored: "
                "correct the mask or the class list"
            )
        return mask.shape, pixels[list(table.ids)]

    return count


def count_ratios(source: Source, split: str) -> LabelTable:
    """Return the source's classes with their pixel ratios counted over the masks of `split`.

    Raises:
        DataError: no such split, an unreadable mask, or a mask with an id that is neither a class nor ignored.
    """
    ratios = take_census(source, source.records(split)).ratios()
    return replace(source.labels, ratios=tuple(ratios.tolist()))
