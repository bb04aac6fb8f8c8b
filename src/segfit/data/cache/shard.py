"""One file of a cache: header, index, and the bytes of some records one after the other.

::

    HEADER   what the file is, of how many records, made of what (key), and a checksum of key and index
    index    one ENTRY per record: where its bytes are, its size in pixels, and a checksum of its bytes
    payload  per record its image, then its mask, each beginning at a multiple of `ALIGNMENT`

All numbers are little-endian. A shard is written to a temporary file that takes its name at the end, so a file with
the name of a shard is whole; the checksums tell whether it still is.
"""

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from segfit.folder import replacing

__all__ = ["ALIGNMENT", "ENTRY", "Coded", "Shard", "aligned", "checksum_in", "key_of"]

MAGIC = b"segfit01"
ALIGNMENT = 64
DIGEST = 16

HEADER = np.dtype([("magic", "S8"), ("count", "<u8"), ("key", f"V{DIGEST}"), ("checksum", f"V{DIGEST}")])

ENTRY = np.dtype(
    [("image", "<u8"), ("image_bytes", "<u8"), ("mask", "<u8"), ("mask_bytes", "<u8")]
    + [("height", "<u4"), ("width", "<u4"), ("crc", "<u8")]
)
"""Where image and mask begin in the file, how many bytes they have, their size in pixels, and CRC-32 of both."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Coded:
    """The bytes of one record as they are stored.

    Attributes:
        image: 1-d uint8.
        mask: 1-d uint8.
        size: (height, width) in pixels.
        crc: of image and mask.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    size: tuple[int, int]
    crc: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """A shard on disk, of which only header and index were read.

    Attributes:
        path: of the file.
        key: of what it was made (see `key_of`).
        checksum: of key and index.
        size: bytes of the file.
        entries: `(n,)` of `ENTRY`.
    """

    path: Path
    key: bytes
    checksum: bytes
    size: int
    entries: NDArray[Any]

    @classmethod
    def read(cls, path: Path) -> "Shard | None":
        """Return the shard in a file; None where the file is missing, cut off, or its header or index damaged."""
        try:
            with path.open("rb") as file:
                head = file.read(HEADER.itemsize)
                size = path.stat().st_size
                if len(head) < HEADER.itemsize:
                    return None
                header = np.frombuffer(head, HEADER)[0]
                count = int(header["count"])
                if header["magic"] != MAGIC or not 0 < count <= size // ENTRY.itemsize:
                    return None
                index = file.read(count * ENTRY.itemsize)
        except OSError:
            return None
        key, checksum = header["key"].tobytes(), header["checksum"].tobytes()
        if checksum != _checksum(key, index):
            return None
        entries = np.frombuffer(index, ENTRY)
        whole = int(entries[-1]["mask"] + entries[-1]["mask_bytes"]) == size
        return cls(path=path, key=key, checksum=checksum, size=size, entries=entries) if whole else None

    @classmethod
    def write(cls, path: Path, key: bytes, records: Iterable[Coded], count: int) -> "Shard":
        """Write `count` records; the file gets its name only when it is complete.

        Raises:
            OSError: the disk is full, for example; nothing is left behind.
        """
        entries = np.zeros(count, ENTRY)
        place = HEADER.itemsize + entries.nbytes
        with replacing(path) as temporary, temporary.open("wb") as file:
            for i, coded in enumerate(records):
                image = aligned(place)
                mask = aligned(image + coded.image.size)
                place = mask + coded.mask.size
                entries[i] = (image, coded.image.size, mask, coded.mask.size, *coded.size, coded.crc)
                file.seek(image)
                file.write(coded.image.data)
                file.seek(mask)
                file.write(coded.mask.data)
            checksum = _checksum(key, entries.tobytes())
            file.seek(0)
            file.write(np.array((MAGIC, count, key, checksum), HEADER).tobytes() + entries.tobytes())
        return cls(path=path, key=key, checksum=checksum, size=place, entries=entries)

    def intact(self) -> bool:
        """Whether every byte that was written is still there; reads the whole file."""
        try:
            with self.path.open("rb") as file:
                return all(entry["crc"] == self._crc(file, entry) for entry in self.entries)
        except OSError:
            return False

    @staticmethod
    def _crc(file: Any, entry: Any) -> int:
        crc = 0
        for what in ("image", "mask"):
            file.seek(int(entry[what]))
            crc = zlib.crc32(file.read(int(entry[f"{what}_bytes"])), crc)
        return crc


def checksum_in(file: BinaryIO) -> bytes:
    """Return the checksum that a shard, open at its beginning, has in its header.

    Raises:
        ValueError: the file is too short.
    """
    return bytes(np.frombuffer(file.read(HEADER.itemsize), HEADER)["checksum"][0])


def aligned(place: int) -> int:
    """Return the first multiple of `ALIGNMENT` from `place` on."""
    return -(-place // ALIGNMENT) * ALIGNMENT


def key_of(*parts: object) -> bytes:
    """Return a hash of what a shard is made of; `parts` need a `repr` that says all."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest()


def _checksum(key: bytes, index: bytes) -> bytes:
    return hashlib.blake2b(key + index, digest_size=DIGEST).digest()
