"""How much a cache will take, and what to say when the disk has no more."""

import errno
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segfit.data import Record
from segfit.data.cache.coding import Coder, shrunk
from segfit.data.cache.shard import ENTRY, HEADER, aligned
from segfit.data.decode import read_size
from segfit.data.parallel import in_order
from segfit.errors import DataError

__all__ = ["Plan", "foretell", "room_for"]

SAMPLES = 24
"""Records that are compressed to foretell the size of the others."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""How a file system says that it takes no more."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What writing a cache will take.

    Attributes:
        records: in all.
        kept: of them, in shards that are there and intact.
        size: bytes of the whole cache; exact for raw ones, an estimate for compressed ones.
        missing: bytes of it that are still to be written.
        free: bytes that the disk has left.
    """

    records: int
    kept: int
    size: int
    missing: int
    free: int


def foretell(threads: ThreadPoolExecutor, coder: Coder, shards: Sequence[Sequence[Record]]) -> int:
    """Return the bytes that shards will have, from the headers of the images; compressed ones from a sample.

    Args:
        threads: do the work.
        coder: makes the bytes.
        shards: the records of each shard.

    Raises:
        DataError: a file is not an image.
    """
    records = [record for shard in shards for record in shard]
    if not records:
        return 0
    settings = coder.settings

    def area(record: Record) -> int:
        height, width = shrunk(read_size(record.image), settings.short_side)
        return height * width

    pixels = np.fromiter(in_order(threads, area, records), np.int64, len(records))
    per_pixel = (3.0, float(settings.mask_bytes))
    if settings.jpeg_quality is not None:
        chosen = np.unique(np.linspace(0, len(records) - 1, SAMPLES).astype(int))
        sampled = [
            (coded.image.size, coded.mask.size) for coded in in_order(threads, coder, [records[i] for i in chosen])
        ]
        image, mask = np.sum(sampled, axis=0) / pixels[chosen].sum()
        per_pixel = (float(image), float(mask))
    payload = sum(aligned(math.ceil(share * count)) for count in pixels.tolist() for share in per_pixel)
    return payload + len(records) * ENTRY.itemsize + len(shards) * HEADER.itemsize


@contextmanager
def room_for(out: Path) -> Iterator[None]:
    """Turn the error of a full disk into one that says how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DataError(
            f"{out}: the disk is full ({error.strerror}): make room and run the same command again, which goes on "
            "where it stopped; or use --jpeg or a smaller --short-side in a new folder"
        ) from None
