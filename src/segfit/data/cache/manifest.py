"""What a cache holds and what it was made of: ``manifest.json``, which makes a folder of shards a cache."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from segfit.data import Record, Source
from segfit.errors import DataError
from segfit.folder import replacing

__all__ = ["FILE", "Facts", "Manifest", "Settings", "ShardFacts", "SplitFacts", "facts_of", "names_of", "settings_for"]

FILE = "manifest.json"
FORMAT = "segfit-cache"
VERSION = 1

Facts = tuple[int, int, int, int]
"""Bytes and modification time (ns) of a record's image, then of its mask: they tell whether the files are the same."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the content of a cache besides the files.

    Attributes:
        short_side: images and masks are shrunk to it, keeping the ratio of the sides, and never enlarged.
        jpeg_quality: of the compressed images, 1..100; None stores plain pixels.
        mask_bytes: bytes per pixel of a mask.
        colors: short hash of the colour table by which RGB masks were read; None where masks hold indices.
    """

    short_side: int
    jpeg_quality: int | None
    mask_bytes: int
    colors: str | None

    def __str__(self) -> str:
        kind = "raw" if self.jpeg_quality is None else f"JPEG of quality {self.jpeg_quality}"
        return f"short side {self.short_side}, {kind}"


@dataclass(frozen=True, kw_only=True)
class ShardFacts:
    """One shard: its file's name and size, and the checksum in it."""

    file: str
    size: int
    checksum: str


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """One split.

    Attributes:
        names: path of each record's image, below the folder that holds all images and masks of the split.
        facts: of each record's files, from before they were read.
        shards: hold the records one after the other.
    """

    names: tuple[str, ...]
    facts: tuple[Facts, ...]
    shards: tuple[ShardFacts, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A complete cache."""

    settings: Settings
    splits: Mapping[str, SplitFacts]
    format: str = FORMAT
    version: int = VERSION

    def write(self, folder: Path) -> None:
        """Make `folder` a complete cache."""
        with replacing(folder / FILE) as temporary:
            temporary.write_text(json.dumps(asdict(self)), encoding="utf-8", errors="surrogatepass")

    def shards(self) -> list[ShardFacts]:
        """Return the shards of all splits."""
        return [shard for split in self.splits.values() for shard in split.shards]

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Return the manifest of a cache.

        Raises:
            DataError: the folder is not there, is no cache, an incomplete one, or one of another version.
        """
        path = folder / FILE
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder: write it with segfit data prepare, or leave data.cache out")
        if not path.is_file():
            raise DataError(f"{folder}: not a complete cache (no {FILE}): let segfit data prepare run to its end")
        try:
            value = json.loads(path.read_bytes())
            version = value["version"] if value["format"] == FORMAT else None
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(f"{path}: not the manifest of a cache: delete it and run segfit data prepare") from None
        if version != VERSION:
            raise DataError(
                f"{path}: a cache of version {version}, but this segfit reads version {VERSION}: "
                "run segfit data prepare into another folder"
            )
        try:
            return ADAPTER.validate_python(value)
        except ValidationError:
            raise DataError(f"{path}: damaged: delete it and run segfit data prepare") from None


ADAPTER = TypeAdapter(Manifest)


def settings_for(source: Source, short_side: int, jpeg_quality: int | None) -> Settings:
    """Return the settings of a cache of `source`."""
    table = source.labels
    colors = None
    if source.colors is not None:
        # The positions in the colour table become ids, so both say what a number in the mask means.
        meaning = json.dumps([list(source.colors), table.ids, table.ignored])
        colors = hashlib.blake2b(meaning.encode(), digest_size=8).hexdigest()
    wide = max((*table.ids, *table.ignored)) > 255
    return Settings(short_side=short_side, jpeg_quality=jpeg_quality, mask_bytes=2 if wide else 1, colors=colors)


def names_of(records: Sequence[Record]) -> tuple[str, ...]:
    """Return the path of each image below the folder that holds all images and masks, with forward slashes.

    By it a record is found in a cache: a moved dataset keeps it, and so does a list file that names some of its images.
    """
    images = [record.image.absolute() for record in records]
    folders = {path.parent for path in images} | {record.mask.absolute().parent for record in records}
    root = Path(os.path.commonpath(folders)) if folders else Path()
    return tuple(path.relative_to(root).as_posix() for path in images)


def facts_of(record: Record) -> Facts:
    """Return what tells whether a record's files are still the same, without reading them.

    Raises:
        DataError: a file is gone.
    """
    try:
        image, mask = record.image.stat(), record.mask.stat()
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}: restore the file") from None
    return image.st_size, image.st_mtime_ns, mask.st_size, mask.st_mtime_ns
