"""Decoded pairs of image and mask, from files or from a cache.

What is here lives in worker processes, which share the main process's memory until somebody writes to it; and in
Python even looking at an object writes to it, its reference count. So nothing here holds many objects: with a list of
records, every worker would in time have a copy of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from segfit.data import Record, Sample, Source
from segfit.data.cache import Cache
from segfit.data.decode import read_pair
from segfit.labels import LabelSpace

__all__ = ["CachedPairs", "FilePairs", "PackedRecords", "Pairs", "open_pairs"]


class PackedRecords(Sequence[Record]):
    """Records as one string of bytes, from which each is made when it is asked for.

    Args:
        records: what to pack.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        # Names that are not UTF-8 come with surrogates, which encode to something that decodes to them.
        fields = [
            field.encode("utf-8", "surrogatepass")
            for record in records
            for field in (record.id, str(record.image), str(record.mask))
        ]
        self._bytes = b"".join(fields)
        self._ends: NDArray[np.int64] = np.cumsum([0, *map(len, fields)], dtype=np.int64)

    @override
    def __len__(self) -> int:
        return len(self._ends) // 3

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    @override
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        ends = self._ends[3 * position : 3 * position + 4].tolist()
        key, image, mask = (self._bytes[start:end].decode("utf-8", "surrogatepass") for start, end in pairwise(ends))
        return Record(id=key, image=Path(image), mask=Path(mask))


class Pairs(ABC):
    """The decoded pairs of some records, by index.

    Args:
        records: what there is.
        labels: what is learnt.
    """

    def __init__(self, records: Sequence[Record], labels: LabelSpace) -> None:
        self.records, self.labels = PackedRecords(records), labels

    @abstractmethod
    def read(self, index: int) -> Sample:
        """Return a record's image and mask in train ids, both of one size.

        Raises:
            DataError: the image or the mask is unreadable, they differ in size, or the mask has an unknown label.
        """

    def name(self, index: int) -> str:
        """Return what a record is called in messages."""
        return str(self.records[index].image)


class FilePairs(Pairs):
    """Pairs from the files of a dataset.

    Args:
        source: reads the masks.
        records: where the files are.
        labels: what is learnt.
    """

    def __init__(self, source: Source, records: Sequence[Record], labels: LabelSpace) -> None:
        super().__init__(records, labels)
        self._source = source

    @override
    def read(self, index: int) -> Sample:
        record = self.records[index]
        image, stored = read_pair(self._source, record)
        return Sample(id=record.id, image=image, mask=self.labels.encode(stored, where=str(record.mask)))


class CachedPairs(Pairs):
    """Pairs from a cache.

    Args:
        cache: decoded images and masks of `records`, in their order.
        records: whose images they are.
        labels: what is learnt.
    """

    def __init__(self, cache: Cache, records: Sequence[Record], labels: LabelSpace) -> None:
        super().__init__(records, labels)
        self._cache = cache

    @override
    def read(self, index: int) -> Sample:
        record = self.records[index]
        image, stored = self._cache.read(index)
        return Sample(id=record.id, image=image, mask=self.labels.encode(stored, where=str(record.mask)))

    @override
    def name(self, index: int) -> str:
        return f"{self.records[index].id} in the cache"


def open_pairs(source: Source, records: Sequence[Record], labels: LabelSpace, cache: Path | None) -> Pairs:
    """Return the pairs of `records`, from the folder `cache` if one is given.

    Raises:
        DataError: the cache is not of these records.
    """
    if cache is None:
        return FilePairs(source, records, labels)
    return CachedPairs(Cache.open(cache, records, source), records, labels)
