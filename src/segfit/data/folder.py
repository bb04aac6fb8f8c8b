"""Any folder of images with index, palette or colour masks.

Splits are either sub-folders::

    images/training/NAME.jpg      masks/training/NAME.png
    images/validation/NAME.jpg    masks/validation/NAME.png

or list files (``data.train=train.txt``) with one name or relative path per line, whose images lie anywhere below
``images`` and whose masks lie at the same place below ``masks``. The classes are the lines of ``classes.txt`` (or of
another file that ``data.classes`` names), in the order of their ids; or the rows ``r,g,b,name`` of a colour table.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segfit.data import SOURCES, Record, SourceMask
from segfit.data.decode import Color, read_color_mask, read_index_mask
from segfit.errors import DataError, RecipeError, did_you_mean
from segfit.labels import LabelTable, distinct_colors

__all__ = ["IMAGE_SUFFIXES", "MASK_SUFFIXES", "Folder", "files_by_key", "pair", "read_text", "subfolders"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Endings of image files, in lower case."""

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
"""Endings of mask files, in lower case: formats without loss."""

HIGHEST_ID = 65535
CLASSES = "classes.txt"
COLOR_ROW = re.compile(r"(\d+)[\s,]\s*(\d+)[\s,]\s*(\d+)[\s,]\s*(\S.*)")
COLOR_HEADER = re.compile(r"r(ed)?[\s,]\s*g(reen)?[\s,]\s*b(lue)?[\s,].*", re.IGNORECASE)


@SOURCES.register("folder")
class Folder:
    """A dataset in folders of images and masks, matched by name.

    Args:
        root: folder of the dataset; the other paths are relative to it.
        images: folder of the images.
        masks: folder of the masks.
        classes: file with one class name per line.
        first: source id of the first class; the following classes count on.
        ignore: source ids that mean "not annotated"; a class with such an id is left out.
        colors: colour table with one row ``r,g,b,name`` or ``r g b name`` per class; masks are then RGB and the file
            replaces `classes`.
        suffix: what a mask's name has in addition to the image's (``_mask``); other masks are passed over.

    Raises:
        RecipeError: an id out of range, or both `classes` and `colors`.
        DataError: a missing folder or file, or a malformed class list or colour table.
    """

    def __init__(
        self,
        root: Path,
        *,
        images: str = "images",
        masks: str = "masks",
        classes: str = CLASSES,
        first: int = 0,
        ignore: tuple[int, ...] = (255,),
        colors: str | None = None,
        suffix: str = "",
    ) -> None:
        if colors is not None and classes != CLASSES:
            raise RecipeError("data: give either classes or colors; a colour table names the classes, too")
        for key, ids in (("first", (first,)), ("ignore", ignore)):
            if not all(0 <= i <= HIGHEST_ID for i in ids):
                raise RecipeError(f"data.{key}: {', '.join(map(str, ids))}: source ids are 0..{HIGHEST_ID}")
        self.root = root
        self.images = _require_folder(root, images, "images")
        self.masks = _require_folder(root, masks, "masks")
        self.first = first
        self.suffix = suffix
        self._colors: tuple[Color, ...] | None = None
        if colors is None:
            names = _read_names(root / classes)
            palette = distinct_colors(len(names))
        else:
            names, palette = _read_colors(root / colors)
            self._colors = palette
        self._labels = _table(names, palette, first, ignore)

    @property
    def labels(self) -> LabelTable:
        """The classes that the class list or the colour table names, without pixel ratios."""
        return self._labels

    def records(self, split: str) -> list[Record]:
        """Return the records of a split, sorted by id.

        Args:
            split: name of a sub-folder of the images, or path of a ``.txt`` list, relative to the root or absolute. Ids
                are paths below the split's folder, or below the images for a list, without ending.

        Raises:
            DataError: no such split, a malformed list, an image without a mask or, in a folder split, the reverse.
        """
        if split in subfolders(self.images):
            masks = files_by_key(self.masks / split, MASK_SUFFIXES, self.suffix)
            return pair(files_by_key(self.images / split, IMAGE_SUFFIXES), masks, self.images / split)
        if split.endswith(".txt"):
            return self._listed(self.root / split)
        raise DataError(self._no_such_split(split))

    def read_mask(self, record: Record) -> SourceMask:
        """Return the mask of a record in source ids.

        Raises:
            DataError: the file is missing, damaged or not a mask, or has a colour that the table does not list.
        """
        if self._colors is None:
            return read_index_mask(record.mask)
        positions: SourceMask = read_color_mask(record.mask, self._colors) + np.uint16(self.first)
        return positions

    def _listed(self, path: Path) -> list[Record]:
        images = files_by_key(self.images, IMAGE_SUFFIXES)
        masks = files_by_key(self.masks, MASK_SUFFIXES, self.suffix)
        below = self.images.relative_to(self.root) if self.images.is_relative_to(self.root) else None
        resolve = _resolver(images, below)
        wanted: dict[str, Path] = {}
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            key = resolve(line.strip(), f"{path}:{number}")
            if key in wanted:
                raise DataError(f"{path}:{number}: {line.strip()!r} is listed twice: delete one of the lines")
            wanted[key] = images[key]
        return pair(wanted, {key: mask for key, mask in masks.items() if key in wanted}, path)

    def _no_such_split(self, split: str) -> str:
        found = subfolders(self.images)
        if found:
            return f"{self.images}: no split folder {split!r}{did_you_mean(split, found)}; a list file ends in .txt"
        count = len(files_by_key(self.images, IMAGE_SUFFIXES))
        return (
            f"{self.images}: no split folder {split!r}, only {count} images: put them into one sub-folder per split, "
            "or write list files and set data.train=train.txt data.validation=val.txt"
        )


# --- files -----------------------------------------------------------------------------------------------------------


def subfolders(folder: Path) -> list[str]:
    """Return the names of the sub-folders of `folder`, sorted, without hidden ones."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def files_by_key(folder: Path, endings: tuple[str, ...], suffix: str = "") -> dict[str, Path]:
    """Return the files below `folder`, hidden ones excepted, by their relative path without `suffix` and ending.

    Raises:
        DataError: no such folder, or two files with the same key.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or path.suffix.lower() not in endings or not path.stem.endswith(suffix):
            continue
        key = path.relative_to(folder).with_suffix("").as_posix().removesuffix(suffix)
        if key in found:
            raise DataError(f"{path}: {found[key].name} has the same name: delete one of them")
        found[key] = path
    return found


def pair(images: Mapping[str, Path], masks: Mapping[str, Path], where: Path) -> list[Record]:
    """Return one record per key of `images`, sorted, each with the mask of the same key.

    Args:
        images: image files by id.
        masks: mask files by id.
        where: what the pairs are of, for the error messages.

    Raises:
        DataError: nothing there, an image without a mask or a mask without an image.
    """
    if not images:
        raise DataError(f"{where}: no images there ({', '.join(IMAGE_SUFFIXES)})")
    alone = sorted(images.keys() - masks.keys())
    if alone:
        raise DataError(
            f"{images[alone[0]]}: no mask of that name ({len(alone)} of {len(images)} images have none): "
            f"add the masks ({', '.join(MASK_SUFFIXES)}) or remove the images"
        )
    alone = sorted(masks.keys() - images.keys())
    if alone:
        raise DataError(
            f"{masks[alone[0]]}: no image of that name ({len(alone)} of {len(masks)} masks have none): "
            "add the images or remove the masks"
        )
    return [Record(id=key, image=images[key], mask=masks[key]) for key in sorted(images)]


def read_text(path: Path) -> str:
    """Return the text of a small file.

    Raises:
        DataError: the file is missing or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a UTF-8 text file: save it as UTF-8") from None


def _require_folder(root: Path, name: str, option: str) -> Path:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder: set data.root to the folder of the dataset")
    if not (root / name).is_dir():
        raise DataError(f"{root}: no folder {name!r}{did_you_mean(name, subfolders(root))}: set data.{option}")
    return root / name


def _resolver(keys: Iterable[str], below: Path | None) -> Callable[[str, str], str]:
    """Return the function that finds the key a list line means: a relative path, or a name that occurs only once.

    Args:
        keys: ids of all images.
        below: path of the image folder from the root; lines may start with it.
    """
    known = set(keys)
    by_name: dict[str, list[str]] = {}
    for key in known:
        by_name.setdefault(key.rpartition("/")[2], []).append(key)

    def resolve(line: str, where: str) -> str:
        path = Path(line)
        if path.suffix.lower() in IMAGE_SUFFIXES:
            path = path.with_suffix("")
        if below is not None and path.is_relative_to(below):
            path = path.relative_to(below)
        key = path.as_posix()
        if key in known:
            return key
        candidates = sorted(by_name.get(key, []))
        if len(candidates) > 1:
            raise DataError(f"{where}: {line!r} may be {' or '.join(candidates[:2])}: write the path below the images")
        if not candidates:
            raise DataError(f"{where}: no image is called {line!r}: correct the line or add the image")
        return candidates[0]

    return resolve


# --- classes ---------------------------------------------------------------------------------------------------------


def _table(names: list[str], palette: tuple[Color, ...], first: int, ignore: tuple[int, ...]) -> LabelTable:
    kept = [position for position in range(len(names)) if first + position not in ignore]
    if not kept:
        raise RecipeError(f"data.ignore: {', '.join(map(str, ignore))} leaves no class: correct data.ignore")
    if first + kept[-1] > HIGHEST_ID:
        raise RecipeError(f"data.first: {first} makes the last of {len(names)} classes exceed {HIGHEST_ID}: lower it")
    return LabelTable(
        ids=tuple(first + position for position in kept),
        names=tuple(names[position] for position in kept),
        colors=tuple(palette[position] for position in kept),
        ignored=tuple(dict.fromkeys(ignore)),
    )


def _read_names(path: Path) -> list[str]:
    """Return the names in a class list, one per line."""
    if not path.is_file():
        raise DataError(f"{path}: no such file: write one class name per line, or set data.classes or data.colors")
    lines: dict[str, int] = {}
    for number, line in enumerate(read_text(path).rstrip().splitlines(), 1):
        name = line.strip()
        if not name:
            raise DataError(f"{path}:{number}: blank line: every line is the name of one class")
        _keep(lines, name, number, path)
    if not lines:
        raise DataError(f"{path}: the file is empty: write one class name per line")
    return list(lines)


def _read_colors(path: Path) -> tuple[list[str], tuple[Color, ...]]:
    """Return the names and colours in a colour table."""
    names: dict[str, int] = {}
    colors: dict[Color, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or (number == 1 and COLOR_HEADER.fullmatch(line.strip())):
            continue
        row = COLOR_ROW.fullmatch(line.strip())
        if row is None or max(map(int, row.groups()[:3])) > 255:
            raise DataError(f"{path}:{number}: {line.strip()!r} is not a row r,g,b,name with values 0..255")
        _keep(names, row[4].strip('"'), number, path)
        _keep(colors, (int(row[1]), int(row[2]), int(row[3])), number, path)
    if not names:
        raise DataError(f"{path}: the file is empty: write one row r,g,b,name per class")
    return list(names), tuple(colors)


def _keep(lines: dict[Any, int], value: Hashable, number: int, path: Path) -> None:
    """Note that line `number` has `value`, which must not occur twice."""
    if value in lines:
        raise DataError(f"{path}:{number}: {value!r} is already on line {lines[value]}: each may occur only once")
    lines[value] = number
