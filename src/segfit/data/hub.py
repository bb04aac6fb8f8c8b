"""Image-segmentation datasets as the Hugging Face hub stores them: parquet files with encoded images in their rows.

A folder, or ``data`` in it, holds ``SPLIT-00000-of-00002.parquet`` or ``SPLIT.parquet``. Image and mask are columns of
``struct<bytes, path>`` (or plain binary). Class names come from the first of: ``data.classes`` (a file, or a column of
the schema's feature type ``ClassLabel``), ``id2label.json``, ``classes.txt``, a ``ClassLabel`` in the schema that
describes the regions of an image rather than the image.

A row of a parquet file can only be read together with thousands of others. Therefore the encoded bytes are copied, as
they are, into files in the cache folder on first use: a dataset of the kind ``folder``, which then serves.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from segfit.console import waiting
from segfit.data import SOURCES, Source
from segfit.data.disk import cache_folder, folder_in_place, one_at_a_time
from segfit.data.files import read_text
from segfit.data.folder import Folder
from segfit.data.parquet import Shards, find_shards, is_picture, split_of, unpack_shards
from segfit.errors import DataError, did_you_mean
from segfit.folder import replacing, write_json

__all__ = ["CLASS_FILES", "hub", "split_of"]

CLASS_FILES = ("id2label.json", "classes.txt")
"""Files with class names beside the parquet files, the first one that is there."""

MASK_COLUMNS = (
    "annotation",
    "annotations",
    "gt",
    "ground_truth",
    "label",
    "label_map",
    "labels",
    "mask",
    "masks",
    "segmentation",
    "segmentation_mask",
    "semantic_mask",
    "semantic_segmentation",
)
"""What the column of the masks is usually called."""

MADE_OF = "hub.json"
"""File in the unpacked folder that says what it was made of."""

FORMAT = 1
"""Changes when the same parquet files are unpacked into other files."""


@dataclass(frozen=True, kw_only=True)
class MadeOf:
    """What an unpacked folder says of itself.

    Attributes:
        digest: see `_digest`.
        root: folder of the dataset, for people.
        rows: images of each split.
    """

    digest: str
    root: str
    rows: dict[str, int]


@SOURCES.register("hub")
def hub(
    root: Path,
    *,
    image: str = "image",
    mask: str | None = None,
    classes: str | None = None,
    first: int | None = None,
    ignore: tuple[int, ...] = (255,),
    unpacked: Path | None = None,
) -> Source:
    """Open the parquet dataset in `root`; unpack its images first if that has not been done.

    Args:
        root: folder of the dataset; the other paths are relative to it.
        image: column of the images.
        mask: column of the masks; None looks for a usual name.
        classes: file with one class name per line, JSON file ``{"0": "wall", ...}``, or ``ClassLabel`` column.
        first: source id of the first class; None takes that of the JSON file, else 0.
        ignore: source ids that mean "not annotated"; a class with such an id is left out.
        unpacked: folder for the images; None takes one in the cache folder whose name depends on the parquet files.

    Raises:
        RecipeError: an id out of range.
        DataError: no parquet files, damaged or incomplete ones, no such column, a row without image or mask, no class
            names, or no room on the disk.
    """
    shards = find_shards(root)
    columns = image, _mask_column(shards, image, mask)
    digest = _digest(shards, columns)
    folder = cache_folder() / f"hub-{digest}" if unpacked is None else root / unpacked.expanduser()
    names, lowest = _classes(root, classes, shards.schema)
    _unpack(shards, columns, folder, digest)
    listed = names if isinstance(names, Path) else _written(names, folder)
    return Folder(folder, classes=str(listed.absolute()), first=lowest if first is None else first, ignore=ignore)


# --- unpacking -------------------------------------------------------------------------------------------------------


def _unpack(shards: Shards, columns: tuple[str, str], folder: Path, digest: str) -> None:
    """Unpack into `folder` unless that has been done; other processes wait, and then find it."""
    if _is_unpacked(folder, digest):
        return
    with one_at_a_time(folder, wait=True):
        if _is_unpacked(folder, digest):
            return
        with waiting(f"unpacking {shards.root}") as progress, folder_in_place(folder) as temporary:
            rows = unpack_shards(shards, columns, temporary, progress)
            made_of = MadeOf(digest=digest, root=str(shards.root), rows=rows)
            write_json(temporary / MADE_OF, asdict(made_of))


def _is_unpacked(folder: Path, digest: str) -> bool:
    """Whether `folder` holds these parquet files' images.

    Raises:
        DataError: it holds something else, or not all of them any more.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        made_of = TypeAdapter(MadeOf).validate_json((folder / MADE_OF).read_bytes())
    except (OSError, ValidationError):
        raise DataError(
            f"{folder}: holds something else than unpacked images: delete it or set data.unpacked"
        ) from None
    if made_of.digest != digest:
        raise DataError(f"{folder}: was unpacked from other parquet files or columns: delete it or set data.unpacked")
    # Caches are cleaned by tools that know nothing of what belongs together.
    for split, rows in made_of.rows.items():
        for kind in ("images", "masks"):
            there = folder / kind / split
            count = sum(1 for _ in there.iterdir()) if there.is_dir() else 0
            if count != rows:
                raise DataError(f"{there}: has {count} files of {rows}: delete {folder}; it will be unpacked anew")
    return True


def _digest(shards: Shards, columns: tuple[str, str]) -> str:
    """Return a name for these files with these columns; the footers tell of changes that leave the size as it was."""
    digest = hashlib.blake2b(repr((FORMAT, columns)).encode(), digest_size=8)
    for path in shards.paths:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode("utf-8", "surrogatepass"))
        digest.update(shards.footer(path))
    return digest.hexdigest()


def _mask_column(shards: Shards, image: str, mask: str | None) -> str:
    """Return the name of the masks' column, after making sure that both columns are in every file.

    Raises:
        DataError: there is no such column, or more than one that may be meant.
    """
    pictures = [field.name for field in shards.schema if is_picture(field.type)]
    if mask is None:
        usual = [name for name in pictures if name in MASK_COLUMNS and name != image]
        if len(usual) != 1:
            found = " or ".join(usual or [name for name in pictures if name != image]) or "no other images"
            raise DataError(f"{shards.paths[0]}: which column holds the masks ({found})? set data.mask")
        mask = usual[0]
    for path in shards.paths:
        there = [field.name for field in shards.read_schema(path) if is_picture(field.type)]
        for key, name in (("image", image), ("mask", mask)):
            if name not in there:
                raise DataError(f"{path}: no column {name!r} of images{did_you_mean(name, there)}: set data.{key}")
    return mask


# --- classes ---------------------------------------------------------------------------------------------------------


def _classes(root: Path, classes: str | None, schema: pa.Schema) -> tuple[list[str] | Path, int]:
    """Return the class names, or the list file that has them, and the source id of the first one."""
    labels = dict(_class_labels(schema))
    if classes is not None and not (root / classes).is_file():
        if classes not in labels:
            raise DataError(f"{root / classes}: no such file, and no ClassLabel column{did_you_mean(classes, labels)}")
        return labels[classes], 0
    found = next((root / name for name in (classes, *CLASS_FILES) if name and (root / name).is_file()), None)
    if found is not None:
        return _read_json(found) if found.suffix == ".json" else (found, 0)
    # A column of its own says what the whole image is (its scene); only a nested one can name an image's regions.
    nested = [column for column in labels if "." in column]
    if len(nested) != 1:
        known = f" (data.classes={' or '.join(sorted(labels))})" if labels else ""
        raise DataError(
            f"{root}: no class names: write id2label.json or classes.txt there, or name a ClassLabel column{known}"
        )
    return labels[nested[0]], 0


def _class_labels(schema: pa.Schema) -> Iterator[tuple[str, list[str]]]:
    """Yield path (``objects.category``) and names of each ``ClassLabel`` in the schema's metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return

    def walk(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
        if isinstance(node, list):
            for item in node:
                yield from walk(item, path)
        elif isinstance(node, Mapping) and node.get("_type") == "ClassLabel" and isinstance(node.get("names"), list):
            yield ".".join(path), [str(name) for name in node["names"]]
        elif isinstance(node, Mapping):
            for key, value in node.items():
                yield from walk(value, path if key == "feature" else (*path, key))

    yield from walk(features, ())


def _read_json(path: Path) -> tuple[list[str], int]:
    """Return the names and the first id of a file ``{"0": "wall", "1": "building"}``."""
    try:
        table = TypeAdapter(dict[int, str]).validate_json(read_text(path))
    except ValidationError:
        raise DataError(f'{path}: not JSON of the form {{"0": "wall", "1": "building"}}') from None
    if not table:
        raise DataError(f"{path}: no classes in it")
    lowest = min(table)
    for i in range(lowest, lowest + len(table)):
        if i not in table:
            raise DataError(f"{path}: has no class {i}, but {max(table)}: number the classes without gaps")
    return [table[i] for i in sorted(table)], lowest


def _written(names: list[str], folder: Path) -> Path:
    """Write the names as a class list into the unpacked folder; return its path."""
    text = "".join(f"{' '.join(name.split())}\n" for name in names)
    path = folder / f"classes-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}.txt"
    if not path.is_file():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path
