"""Reading a cache."""

import mmap
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.data import Image, Record, Source, SourceMask
from segfit.data.cache.coding import decoder
from segfit.data.cache.manifest import Facts, Manifest, Settings, ShardFacts, facts_of, settings_for
from segfit.data.cache.shard import ENTRY, Shard, checksum_in
from segfit.errors import DataError

__all__ = ["Cache"]

MOST_OPEN = 128
"""Shards that a process holds open at a time; each takes a file handle."""


class Cache:
    """The decoded images and masks of some records (open it with `Cache.open`).

    It can be pickled and forked: each process maps the files by itself when it first reads them.

    Args:
        folder: of the cache.
        settings: of the cache.
        files: the shards.
        shards: `(n,)` for each record the position of its shard in `files`.
        entries: `(n,)` of `ENTRY`, where in the shard it is.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        files: Sequence[ShardFacts],
        shards: NDArray[np.int32],
        entries: NDArray[Any],
    ) -> None:
        self.folder, self.settings = folder, settings
        self._files, self._shards, self._entries = tuple(files), shards, entries
        self._decode = decoder(settings)
        self._maps: dict[int, mmap.mmap] = {}
        self._last: tuple[mmap.mmap, int, int] | None = None

    @classmethod
    def open(cls, path: str | Path, records: Sequence[Record], source: Source | None = None) -> "Cache":
        """Return the cache in folder `path` for `records`, in their order; only indices are read.

        Args:
            path: folder that `prepare` wrote.
            records: all that will be read; those of the splits it was prepared for, or any of them.
            source: of the records; where given, its colour table must be the one the cache was written with, too.

        Raises:
            DataError: no complete and undamaged cache of this version, or it lacks a record, or a file of a record has
                changed since.
        """
        folder = Path(path)
        manifest = Manifest.read(folder)
        if source is not None and settings_for(source, 1, None).colors != manifest.settings.colors:
            raise DataError(f"{folder}: written with another colour table: delete it and run segfit data prepare again")
        shards, entries = _indices(folder, manifest)
        rows = _rows(folder, manifest, records)
        return cls(folder, manifest.settings, manifest.shards(), shards[rows], entries[rows])

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, index: int) -> tuple[Image, SourceMask]:
        """Return a record's image `(h, w, 3)` RGB and mask `(h, w)` in source ids.

        The arrays of a raw cache are views of the file: they cannot be written to.

        Args:
            index: position in the records that the cache was opened for.

        Raises:
            DataError: the shard is gone, damaged, or another one than when the cache was opened.
        """
        number, entry = int(self._shards[index]), self._entries[index]
        image, image_bytes, mask, mask_bytes = (int(entry[i]) for i in range(4))
        try:
            shard = self._map(number)
            self._release()
            self._last = shard, image, mask + mask_bytes
            return self._decode(
                np.ndarray(image_bytes, np.uint8, shard, image),
                np.ndarray(mask_bytes, np.uint8, shard, mask),
                (int(entry["height"]), int(entry["width"])),
            )
        except DataError:
            raise
        except (OSError, ValueError, TypeError, zlib.error, cv2.error) as error:
            file = self.folder / self._files[number].file
            raise DataError(f"{file}: damaged ({error}): run segfit data prepare again, which mends it") from None

    def _map(self, number: int) -> mmap.mmap:
        found = self._maps.get(number)
        if found is None:
            if len(self._maps) >= MOST_OPEN:
                self._maps.clear()
            facts = self._files[number]
            path = self.folder / facts.file
            with path.open("rb") as file:
                # The index was read when the cache was opened: in another shard it would point to other pixels.
                if checksum_in(file).hex() != facts.checksum:
                    raise DataError(
                        f"{path}: written anew since this command opened the cache: start it again, or go on with the "
                        "run (--resume)"
                    )
                found = self._maps[number] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return found

    def _release(self) -> None:
        """Take the record that was read last off this process's memory; who still uses it gets it back unnoticed.

        Otherwise every page ever read counts as memory of the process, until it looks as large as the cache.
        """
        if self._last is not None and hasattr(mmap, "MADV_DONTNEED"):
            shard, start, stop = self._last
            start -= start % mmap.PAGESIZE
            shard.madvise(mmap.MADV_DONTNEED, start, stop - start)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}, "_last": None}


def _indices(folder: Path, manifest: Manifest) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Return position of the shard and entry of every record of a cache, in the manifest's order.

    Raises:
        DataError: a shard is missing, damaged or not that of the manifest.
    """
    numbers, entries = [np.zeros(0, np.int32)], [np.zeros(0, ENTRY)]
    for number, facts in enumerate(manifest.shards()):
        shard = Shard.read(folder / facts.file)
        if shard is None or shard.checksum.hex() != facts.checksum or shard.size != facts.size:
            raise DataError(f"{folder / facts.file}: missing or damaged: run segfit data prepare again, which mends it")
        entries.append(shard.entries)
        numbers.append(np.full(len(shard.entries), number, np.int32))
    return np.concatenate(numbers), np.concatenate(entries)


def _rows(folder: Path, manifest: Manifest, records: Sequence[Record]) -> NDArray[np.int64]:
    """Return the position of each record among all records of a cache.

    Raises:
        DataError: it has no such record, or one whose files were others.
    """
    places: dict[str, list[tuple[int, Facts]]] = {}
    listed = [pair for split in manifest.splits.values() for pair in zip(split.names, split.facts, strict=True)]
    for row, (name, before) in enumerate(listed):
        places.setdefault(name, []).append((row, before))
    depths = sorted({name.count("/") + 1 for name in places}, reverse=True)
    rows = np.empty(len(records), np.int64)
    for i, record in enumerate(records):
        candidates = [place for name in _tails(record.image, depths) for place in places.get(name, [])]
        if not candidates:
            raise DataError(
                f"{record.image}: not in the cache {folder}, which holds {' and '.join(manifest.splits)}: "
                "run segfit data prepare with the --split it is in"
            )
        now = facts_of(record)
        same = [row for row, before in candidates if before == now]
        if not same:
            raise DataError(
                f"{record.image}: it or its mask has changed since the cache {folder} was written: "
                "run segfit data prepare again, which renews what has changed"
            )
        rows[i] = same[0]
    return rows


def _tails(path: Path, depths: Iterable[int]) -> list[str]:
    """Return the last parts of a path, as many as each of `depths` says."""
    parts = path.absolute().parts
    return ["/".join(parts[-depth:]) for depth in depths]
