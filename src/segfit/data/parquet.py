"""Rows of parquet files as image files, without decoding a picture; at most one row group is in memory."""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segfit.data.disk import require_room
from segfit.data.files import MASK_SUFFIXES
from segfit.errors import DataError

__all__ = ["Shards", "find_shards", "is_picture", "split_of", "unpack_shards"]

SHARD = re.compile(r"(?P<split>.+?)-(?P<index>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?")
MAGIC = b"PAR1"
BATCH = 4
"""Rows that are handed over at once."""

CLUSTER = 4096
"""Bytes by which a file may take more room on the disk than it has."""

LONGEST_STEM = 100
"""Characters of the name that a row gives to its image."""

BROKEN = (pa.ArrowException, OSError, ValueError)
"""What pyarrow raises on files that are damaged."""


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The parquet files of a dataset.

    Attributes:
        root: folder of the dataset.
        splits: files of each split, in order.
    """

    root: Path
    splits: dict[str, tuple[Path, ...]]

    @property
    def paths(self) -> list[Path]:
        """Every file, split by split."""
        return [path for files in self.splits.values() for path in files]

    @property
    def schema(self) -> pa.Schema:
        """The schema of the first file, with its metadata."""
        return self.read_schema(self.paths[0])

    def read_schema(self, path: Path) -> pa.Schema:
        """Return the schema of a file.

        Raises:
            DataError: it is damaged.
        """
        try:
            return pq.read_schema(path)
        except BROKEN as error:
            raise _damaged(path, error) from None

    def footer(self, path: Path) -> bytes:
        """Return the bytes that describe a file's columns and where they lie.

        Raises:
            DataError: it is truncated or no parquet file.
        """
        try:
            with path.open("rb") as file:
                file.seek(-8, 2)
                length, magic = struct.unpack("<I4s", file.read(8))
                if magic != MAGIC:
                    raise ValueError("it does not end as a parquet file does")
                file.seek(-8 - length, 2)
                return file.read(length)
        except BROKEN as error:
            raise _damaged(path, error) from None


def find_shards(root: Path) -> Shards:
    """Return the parquet files of the dataset in `root`.

    Raises:
        DataError: there are none, or some are missing.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder: set data.root to the folder of the dataset")
    for folder in (root, root / "data"):
        paths = sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))
        if paths:
            break
    else:
        raise DataError(f"{root}: no .parquet files in it or in its folder 'data': set data.root to their folder")
    splits: dict[str, tuple[Path, ...]] = {}
    for path in paths:
        split = split_of(path.name)
        splits[split] = (*splits.get(split, ()), path)
    for files in splits.values():
        _require_all(files)
    return Shards(root=root, splits=splits)


def split_of(name: str) -> str:
    """Return the split that a file name speaks of: ``train-00000-of-00002.parquet`` and ``train.parquet`` -> train."""
    stem = name.removesuffix(".parquet")
    shard = SHARD.fullmatch(stem)
    return shard["split"] if shard else stem


def is_picture(kind: pa.DataType) -> bool:
    """Whether a column may hold encoded pictures."""
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_binary(field.type) for field in kind)
    return _is_binary(kind)


def unpack_shards(
    shards: Shards, columns: tuple[str, str], folder: Path, progress: Callable[[int, int], None]
) -> dict[str, int]:
    """Write each row's image and mask as files: ``images/SPLIT/ROW-STEM.jpg``, ``masks/SPLIT/ROW-STEM.png``.

    Args:
        shards: the files.
        columns: names of the columns of images and masks.
        folder: where to write; it must be empty.
        progress: called with (rows done, rows in all).

    Returns:
        The rows of each split.

    Raises:
        DataError: a damaged file, a row without image or mask or with something else, or no room on the disk.
    """
    total, size = _extent(shards, columns)
    require_room(folder, size + 2 * CLUSTER * total, f"unpacking {shards.root}")
    counts: dict[str, int] = {}
    for split, files in shards.splits.items():
        images, masks = folder / "images" / split, folder / "masks" / split
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        before, names, counts[split] = sum(counts.values()), _names(files, columns[0]), 0
        for row in (row for path in files for row in _rows(path, columns, shards.root)):
            name = next(names)
            (images / f"{name}{_ending(row.image, f'{row.where}: the image')}").write_bytes(row.image)
            (masks / f"{name}{_mask_ending(row.mask, f'{row.where}: the mask')}").write_bytes(row.mask)
            counts[split] += 1
            progress(before + counts[split], total)
    return counts


# --- files -----------------------------------------------------------------------------------------------------------


def _require_all(files: tuple[Path, ...]) -> None:
    """Raise unless the files of a split are as many as their names say."""
    shards = [shard for path in files if (shard := SHARD.fullmatch(path.stem))]
    counts = {int(shard["count"]) for shard in shards} or {len(files)}
    if shards and (len(shards) < len(files) or sorted(int(s["index"]) for s in shards) != list(range(max(counts)))):
        raise DataError(
            f"{files[0].parent}: {len(files)} files of the split {shards[0]['split']!r}, which has {max(counts)}: "
            "fetch the missing ones, or remove those of another edition"
        )


def _damaged(path: Path, reason: Exception) -> DataError:
    text = " ".join(str(getattr(reason, "strerror", None) or reason).split())
    return DataError(f"{path}: truncated, damaged or not a parquet file ({text}): fetch it again")


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _extent(shards: Shards, columns: tuple[str, str]) -> tuple[int, int]:
    """Return the number of rows and the bytes of their images and masks."""
    rows = size = 0
    for path in shards.paths:
        about = pq.read_metadata(path)
        rows += about.num_rows
        for group in map(about.row_group, range(about.num_row_groups)):
            chunks = map(group.column, range(group.num_columns))
            size += sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] in columns)
    return rows, size


# --- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Row:
    """The encoded image and mask of a row, and where it is, for messages."""

    where: str
    image: bytes
    mask: bytes


def _rows(path: Path, columns: tuple[str, str], root: Path) -> Iterator[Row]:
    """Yield the rows of a file."""
    number = 0
    try:
        with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH, columns=list(columns), use_threads=False):
                for cells in zip(*(batch.column(name) for name in columns), strict=True):
                    where = f"{path}: row {number}"
                    image, mask = (
                        _content(cell.as_py(), f"{where}: column {name!r}", path.parent, root)
                        for name, cell in zip(columns, cells, strict=True)
                    )
                    yield Row(where=where, image=image, mask=mask)
                    number += 1
    except DataError:
        raise
    except BROKEN as error:
        raise _damaged(path, error) from None


def _content(cell: Any, where: str, beside: Path, root: Path) -> bytes:
    """Return the encoded picture of a cell: its bytes, else those of the file of the dataset that it names."""
    stored: dict[str, Any] = {"bytes": cell} if isinstance(cell, bytes) else cell or {}
    if stored.get("bytes"):
        return bytes(stored["bytes"])
    name: str | None = stored.get("path")
    if not name:
        raise DataError(f"{where} is empty: remove the row, or give it its picture")
    file = (beside / name).resolve()
    if not file.is_relative_to(root.resolve()) or not file.is_file():
        raise DataError(f"{where} has no bytes, only the name {name!r}, which is no file of the dataset")
    return file.read_bytes()


def _names(files: tuple[Path, ...], column: str) -> Iterator[str]:
    """Yield a name for each row of a split: its number, and the stored file's name where these are all different."""
    total = sum(pq.read_metadata(path).num_rows for path in files)
    stored = [name for path in files for name in _stored_names(path, column)]
    stems = [re.sub(r"[^\w.-]+", "_", Path(name).stem)[:LONGEST_STEM] for name in stored if name]
    telling = len(stems) == total == len(set(stems))
    digits = max(6, len(str(total)))
    for row in range(total):
        yield f"{row:0{digits}d}-{stems[row]}" if telling else f"{row:0{digits}d}"


def _stored_names(path: Path, column: str) -> list[str | None]:
    """Return the file name that each row of a file has stored beside its bytes; nothing where there are none."""
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=[f"{column}.path"], use_threads=False)
    except BROKEN as error:
        raise _damaged(path, error) from None
    if not table.num_columns:
        return []
    names: list[str | None] = [cell["path"] if cell else None for cell in table.column(column).to_pylist()]
    return names


def _ending(data: bytes, where: str) -> str:
    """Return the ending that belongs to the content of a file."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ".webp"
    for start, ending in (
        (b"\xff\xd8\xff", ".jpg"),
        (b"\x89PNG\r\n\x1a\n", ".png"),
        (b"BM", ".bmp"),
        (b"II*\x00", ".tif"),
        (b"MM\x00*", ".tif"),
    ):
        if data.startswith(start):
            return ending
    raise DataError(f"{where} is no JPEG, PNG, WebP, TIFF or BMP picture: replace it")


def _mask_ending(data: bytes, where: str) -> str:
    ending = _ending(data, where)
    if ending not in MASK_SUFFIXES:
        raise DataError(f"{where} is stored as {ending}, whose compression may change labels: masks must be PNG")
    return ending
