"""ADE20K as the scene-parsing benchmark SceneParse150 publishes it (``ADEChallengeData2016.zip``).

The layout is ``images/{training,validation}/*.jpg`` and ``annotations/{training,validation}/*.png``. Masks hold
0 = other, which is ignored, and 1..150 = classes.

``ade20k_classes.csv`` beside this file transcribes the benchmark's ``objectInfo150.txt``: name of each class, its share
of all pixels, and how many training and validation images it occurs in. Source: B. Zhou, H. Zhao, X. Puig,
S. Fidler, A. Barriuso, A. Torralba, "Scene Parsing through ADE20K Dataset", CVPR 2017, and its public repository
CSAILVision/sceneparsing. The published palette gives road and skyscraper one colour, so colours are segfit's own.
"""

import csv
from importlib.resources import files
from pathlib import Path

from segfit.data import SOURCES, Listing, Record, SourceMask
from segfit.data.decode import read_index_mask
from segfit.data.files import Tree, read_text, subfolders
from segfit.data.folder import HIGHEST_ID
from segfit.errors import DataError
from segfit.labels import LabelTable, distinct_colors

__all__ = ["OBJECT_INFO", "Ade20k", "published_labels"]

OBJECT_INFO = "objectInfo150.txt"
"""The benchmark's class table; where the dataset's folder has one, it replaces the published one."""

IMAGES, MASKS = "images", "annotations"
UNLABELLED = 0


@SOURCES.register("ade20k")
class Ade20k:
    """A dataset in the layout of ADEChallengeData2016; splits may hold any part of the published files.

    Args:
        root: the folder that holds ``images`` and ``annotations``.

    Raises:
        DataError: `root` is not such a folder, or its class table is malformed.
    """

    def __init__(self, root: Path) -> None:
        _require_layout(root)
        self.tree = Tree(root=root, images=root / IMAGES, masks=root / MASKS, endings=(".png",))
        own = root / OBJECT_INFO
        if own.is_file():
            self._labels = _read_object_info(read_text(own), own)
        else:
            self._labels = published_labels()

    @property
    def labels(self) -> LabelTable:
        """The classes with their pixel ratios: those of the folder's ``objectInfo150.txt``, else the published ones."""
        return self._labels

    @property
    def colors(self) -> None:
        """The masks hold indices, not colours."""
        return

    def splits(self) -> list[str]:
        """Return the split folders: ``training``, ``validation``."""
        return self.tree.splits()

    def listing(self, split: str) -> Listing:
        """Return every file of a split, paired or not (see `segfit.data.files.Tree`)."""
        return self.tree.listing(split)

    def records(self, split: str) -> list[Record]:
        """Return the records of a split or a list file, sorted by id, which is the file's name.

        Raises:
            DataError: no such split, an image without a mask or a mask without an image.
        """
        return self.tree.records(split)

    def read_mask(self, record: Record) -> SourceMask:
        """Return the mask of a record: 0 = other, 1..150 = classes.

        Raises:
            DataError: the file is missing, truncated or not an index mask.
        """
        return read_index_mask(record.mask)


def published_labels() -> LabelTable:
    """Return the 150 classes of SceneParse150 with their published pixel ratios (source: see the module)."""
    text = files("segfit.data").joinpath("ade20k_classes.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return _table([(int(row["id"]), row["name"], float(row["ratio"])) for row in rows])


def _has_layout(folder: Path) -> bool:
    return (folder / IMAGES).is_dir() and (folder / MASKS).is_dir()


def _require_layout(root: Path) -> None:
    """Raise unless `root` is the right folder; point to the right one if it is near."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder: set data.root to the folder ADEChallengeData2016")
    if _has_layout(root):
        return
    below = [root / name for name in subfolders(root)]
    for near in (*below, *list(root.absolute().parents)[:2]):
        if _has_layout(near):
            raise DataError(f"{root}: no folders {IMAGES!r} and {MASKS!r} here, but in {near}: set data.root to that")
    found = ", ".join(path.name for path in below[:5]) or "no folders"
    raise DataError(f"{root}: needs the folders {IMAGES!r} and {MASKS!r} of ADEChallengeData2016, but has {found}")


# --- classes ---------------------------------------------------------------------------------------------------------


def _read_object_info(text: str, path: Path) -> LabelTable:
    """Parse ``objectInfo150.txt``: a header, then the tab-separated columns Idx, Ratio, Train, Val, Name."""
    lines = text.rstrip().splitlines()
    header = [name.strip() for name in lines[0].split("\t")] if lines else []
    missing = {"Idx", "Ratio", "Name"} - set(header)
    if missing:
        raise DataError(f"{path}:1: no tab-separated column {min(missing)!r}: restore the published file or delete it")
    rows: list[tuple[int, str, float]] = []
    for number, line in enumerate(lines[1:], 2):
        fields = dict(zip(header, map(str.strip, line.split("\t")), strict=False))
        try:
            row = int(fields["Idx"]), fields["Name"], float(fields["Ratio"])
        except (KeyError, ValueError):
            raise DataError(f"{path}:{number}: {line!r} is not a row Idx, Ratio, Train, Val, Name") from None
        _check(row, [(i, name) for i, name, _ in rows], f"{path}:{number}")
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no classes in it: restore the published file or delete it")
    return _table(rows)


def _check(row: tuple[int, str, float], earlier: list[tuple[int, str]], where: str) -> None:
    identity, name, ratio = row
    if not UNLABELLED < identity <= HIGHEST_ID or identity in dict(earlier):
        raise DataError(f"{where}: id {identity} is not a new number from 1 to {HIGHEST_ID}")
    if not name or name in dict(earlier).values():
        raise DataError(f"{where}: name {name!r} is empty or taken: every class needs its own")
    if not 0 <= ratio <= 1:
        raise DataError(f"{where}: ratio {ratio} is not a share between 0 and 1")


def _table(rows: list[tuple[int, str, float]]) -> LabelTable:
    return LabelTable(
        ids=tuple(identity for identity, _, _ in rows),
        names=tuple(name for _, name, _ in rows),
        colors=distinct_colors(len(rows)),
        ratios=tuple(ratio for _, _, ratio in rows),
        ignored=(UNLABELLED,),
    )
