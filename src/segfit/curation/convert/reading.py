"""What formats share: JSON and tables read with one line per mistake, paths that stay where they belong, masks."""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path, PureWindowsPath
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from segfit.curation.convert.contract import VOID, ClassMask, Size
from segfit.data import SourceMask
from segfit.data.decode import read_index_mask
from segfit.data.files import below, subfolders
from segfit.errors import DataError

__all__ = [
    "IdMap",
    "divide",
    "files_below",
    "find_folder",
    "index_mask",
    "inside",
    "read_json",
    "split_folders",
    "table",
    "usual_splits",
]

T = TypeVar("T")

UNKNOWN = VOID - 1
"""Marks source ids that a format does not know."""

FIELD = re.compile(r"(?!(int|str)$)[a-z]\w*")
"""Steps of a path in a JSON file that are fields, not types that a value may have."""

USUAL_SPLITS = {
    "training": ("training", "train", "train2014", "train2017"),
    "validation": ("validation", "val", "valid", "val2014", "val2017"),
}
"""What the splits are called elsewhere, by the names that recipes expect."""


class IdMap:
    """Source ids to positions in a conversion's classes.

    Args:
        positions: position, or `VOID`, by source id; every other id is a mistake.
    """

    def __init__(self, positions: Mapping[int, int]) -> None:
        self.table = np.full(max(positions) + 1, UNKNOWN, np.uint16)
        self.table[list(positions)] = list(positions.values())

    def translate(self, mask: SourceMask, where: object) -> ClassMask:
        """Return the mask with class positions.

        Raises:
            DataError: it holds an id that is not known.
        """
        if int(mask.max(initial=0)) < len(self.table):
            positions = self.table.take(mask)
            if not (positions == UNKNOWN).any():
                return positions
        known = np.flatnonzero(self.table != UNKNOWN)
        wrong = sorted(set(np.unique(mask).tolist()) - set(known.tolist()))
        raise DataError(
            f"{where}: label id {', '.join(map(str, wrong[:5]))} is unknown in this format "
            f"({known[0]}..{known[-1]}): is it the right mask?"
        )


def index_mask(path: Path, ids: IdMap) -> Callable[[Size], ClassMask]:
    """Return what reads the mask in a file with one number per pixel (see `Item.mask`)."""
    return lambda _size: ids.translate(read_index_mask(path), path)


def read_json(path: Path, kind: TypeAdapter[T]) -> T:
    """Return the content of a JSON file, checked.

    Raises:
        DataError: the file is missing or malformed; the message names the record and the field.
    """
    try:
        return kind.validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        record, reason = _first_mistake(error)
        raise DataError(f"{path}: {record + ': ' if record else ''}{reason}: correct the file") from None


def _first_mistake(error: ValidationError) -> tuple[str, str]:
    """Return where the first mistake is, as ``images[3].width``, and what it is."""
    mistakes = error.errors(include_url=False, include_context=False, include_input=False)
    # A value that may be of several types fails once for each; the error that is deepest inside belongs to the type
    # that was meant.
    first = max((m for m in mistakes if m["loc"][:2] == mistakes[0]["loc"][:2]), key=lambda m: len(m["loc"]))
    steps = [step for step in first["loc"] if isinstance(step, int) or FIELD.fullmatch(step)]
    record = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return record.lstrip("."), first["msg"].removeprefix("Value error, ")


def table(name: str) -> list[dict[str, str]]:
    """Return the rows of one of the tables beside this file."""
    text = files("segfit.curation.convert").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


# --- paths -----------------------------------------------------------------------------------------------------------


def inside(root: Path, name: str, where: object, *, start: Path | None = None) -> Path:
    """Return the path that a name in an annotation means, which must lie in the dataset.

    Args:
        root: what it must not leave.
        name: as written, with slashes of either kind.
        where: file and record, for the message.
        start: folder that the name is relative to; by default `root`.

    Raises:
        DataError: the path is empty, absolute, leads out of `root` or has characters that cannot be printed.
    """
    plain = name.replace("\\", "/")
    parts: list[str] = list((start or root).relative_to(root).parts)
    escapes = (
        not plain.strip() or not plain.isprintable() or plain.startswith("/") or bool(PureWindowsPath(plain).drive)
    )
    for part in plain.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part == "..":
            escapes = True
        elif part not in ("", "."):
            parts.append(part)
    if escapes:
        raise DataError(f"{where}: path {name!r} is not inside {root}: write a relative path that stays there")
    return root.joinpath(*parts)


def files_below(folder: Path, *endings: str) -> list[Path]:
    """Return the files below `folder` whose names have one of these endings, sorted.

    Raises:
        DataError: a folder that cannot be entered.
    """
    found = []
    for path, problem in ((item.path, item.problem) for item in below(folder)):
        if problem == "unreadable":
            raise DataError(f"{path}: the folder cannot be entered: correct its permissions")
        if problem is None and path.name.endswith(endings):
            found.append(path)
    return found


def find_folder(root: Path, name: str, places: Iterable[str]) -> Path:
    """Return the first of the folders `places` below `root` that contains `name`.

    Raises:
        DataError: none does.
    """
    tried = [root / place for place in places]
    for folder in tried:
        if (folder / name).exists():
            return folder
    raise DataError(f"{root}: no {name!r} there: expected {' or '.join(str(folder / name) for folder in tried)}")


# --- splits ----------------------------------------------------------------------------------------------------------


def usual_splits(names: Sequence[str]) -> dict[str, str]:
    """Return what the splits `names` are called in recipes; unchanged where that would merge two of them."""
    renamed = {
        name: next((usual for usual, others in USUAL_SPLITS.items() if name.lower() in others), name) for name in names
    }
    return renamed if len(set(renamed.values())) == len(renamed) else {name: name for name in names}


def split_folders(root: Path) -> dict[str, str]:
    """Return the sub-folders of `root` that are called like splits, with their usual names."""
    known = {name for others in USUAL_SPLITS.values() for name in others} | {"test"}
    return usual_splits([name for name in subfolders(root) if name.lower() in known])


def divide(names: Sequence[str], share: float, seed: int) -> dict[str, str]:
    """Return the split of each name, drawn by the hash of its own, so that a name added later moves no other.

    Args:
        names: unique.
        share: of the validation split, in (0, 1); each split gets at least one name if there are two.
        seed: another seed, another draw.
    """
    order = sorted(names, key=lambda name: blake2b(f"{seed}/{name}".encode(), digest_size=8).digest())
    count = min(max(round(share * len(order)), 1), len(order) - 1)
    return {name: "validation" if i < count else "training" for i, name in enumerate(order)}
