"""Any folder of images with index, palette or colour masks.

Splits are either sub-folders::

    images/training/NAME.jpg      masks/training/NAME.png
    images/validation/NAME.jpg    masks/validation/NAME.png

or list files (``data.train=train.txt``) with one name or relative path per line, whose images lie anywhere below
``images`` and whose masks lie at the same place below ``masks``. The classes are the lines of ``classes.txt`` (or of
another file that ``data.classes`` names), in the order of their ids; or the rows ``r,g,b,name`` of a colour table.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np

from segfit.data import SOURCES, Listing, Record, SourceMask
from segfit.data.decode import Color, read_color_mask, read_index_mask
from segfit.data.files import Tree, read_text, require_folder
from segfit.errors import DataError, RecipeError
from segfit.labels import LabelTable, distinct_colors

__all__ = ["Folder"]

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
        self.tree = Tree(
            root=root,
            images=require_folder(root, images, "images"),
            masks=require_folder(root, masks, "masks"),
            suffix=suffix,
        )
        self.first = first
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

    @property
    def colors(self) -> tuple[Color, ...] | None:
        """The colour of each class in RGB masks; None for index masks."""
        return self._colors

    def splits(self) -> list[str]:
        """Return the sub-folders of the images; ``.`` where there are none."""
        return self.tree.splits()

    def listing(self, split: str) -> Listing:
        """Return every file of a split, paired or not (see `segfit.data.files.Tree`)."""
        return self.tree.listing(split)

    def records(self, split: str) -> list[Record]:
        """Return the records of a split, sorted by id (see `segfit.data.files.Tree`)."""
        return self.tree.records(split)

    def read_mask(self, record: Record) -> SourceMask:
        """Return the mask of a record in source ids.

        Raises:
            DataError: the file is missing, damaged or not a mask, or has a colour that the table does not list.
        """
        if self._colors is None:
            return read_index_mask(record.mask)
        positions: SourceMask = read_color_mask(record.mask, self._colors) + np.uint16(self.first)
        return positions


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
