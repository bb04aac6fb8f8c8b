"""How much of a dataset each class covers, counted from its masks."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from segfit.data import Record, Source
from segfit.errors import DataError
from segfit.labels import LabelTable

__all__ = ["count_ratios"]


def count_ratios(source: Source, split: str) -> LabelTable:
    """Return the source's classes with their pixel ratios counted over the masks of `split`.

    A ratio is the number of the class's pixels divided by the number of all pixels, not annotated ones included, as in
    ADE20K's ``objectInfo150.txt``.

    Raises:
        DataError: no such split, an unreadable mask, or a mask with an id that is neither a class nor ignored.
    """
    table = source.labels
    known = np.zeros(max((*table.ids, *table.ignored)) + 1, dtype=np.bool_)
    known[[*table.ids, *table.ignored]] = True

    def count(record: Record) -> NDArray[np.int64]:
        pixels = np.bincount(source.read_mask(record).ravel(), minlength=len(known))
        unknown = [i for i in np.flatnonzero(pixels).tolist() if i >= len(known) or not known[i]]
        if unknown:
            raise DataError(
                f"{record.mask}: label id {', '.join(map(str, unknown[:5]))} is neither a class nor ignored: "
                "correct the mask or the class list"
            )
        return pixels

    totals = np.zeros(len(known), dtype=np.int64)
    # Decoding releases the interpreter lock, so threads are enough.
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as threads:
        for pixels in threads.map(count, source.records(split)):
            totals += pixels
    shares = totals[list(table.ids)] / totals.sum()
    return replace(table, ratios=tuple(shares.tolist()))
