"""A short name for exactly these files, by which a run or a cache notices that they changed."""

import hashlib
from collections.abc import Sequence

from segfit.data import Record
from segfit.errors import DataError

__all__ = ["fingerprint"]


def fingerprint(records: Sequence[Record]) -> str:
    """Return a short hash of ids and byte sizes: a swapped, added or lost file is noticed without reading any.

    Raises:
        DataError: a file is gone.
    """
    digest = hashlib.blake2b(digest_size=8)
    for record in records:
        try:
            sizes = record.image.stat().st_size, record.mask.stat().st_size
        except OSError as error:
            raise DataError(f"{error.filename}: {error.strerror}: restore the file") from None
        digest.update(f"{record.id} {sizes[0]} {sizes[1]}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
