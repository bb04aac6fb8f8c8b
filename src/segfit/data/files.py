"""Which files a dataset in folders consists of, and which image belongs to which mask.

Two ways to say what a split is: a sub-folder of the images, or a list file (``data.train=train.txt``) with one name or
relative path per line, whose images lie anywhere below the image folder. A split ``.`` is all of them.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segfit.data import Listing, Record
from segfit.errors import DataError, did_you_mean

__all__ = [
    "EVERYTHING",
    "IMAGE_SUFFIXES",
    "MASK_SUFFIXES",
    "Found",
    "Tree",
    "below",
    "pair",
    "read_text",
    "require_folder",
    "subfolders",
]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Endings of image files, in lower case."""

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
"""Endings of mask files, in lower case: formats without loss."""

EVERYTHING = "."
"""The split that holds all images."""


@dataclass(frozen=True)
class Found:
    """What a walk through folders came upon.

    Attributes:
        path: a file, or the folder that cannot be entered.
        problem: None for a file; ``loop`` for a link to a folder that the walk is already in; ``unreadable``.
    """

    path: Path
    problem: Literal["loop", "unreadable"] | None = None


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Two folders in which image and mask lie at the same relative path.

    Attributes:
        root: folder of the dataset; paths in list files may start there.
        images: folder of the images.
        masks: folder of the masks.
        endings: of masks, in lower case.
        suffix: what a mask's name has in addition to the image's (``_mask``); other masks are passed over.
    """

    root: Path
    images: Path
    masks: Path
    endings: tuple[str, ...] = MASK_SUFFIXES
    suffix: str = ""

    def splits(self) -> list[str]:
        """Return the sub-folders of the images; ``.`` where there are none."""
        return subfolders(self.images) or [EVERYTHING]

    def records(self, split: str) -> list[Record]:
        """Return the pairs of a split, sorted by id.

        Args:
            split: name of a sub-folder of the images, ``.``, or path of a ``.txt`` list, relative to the root or
                absolute. Ids are paths below the split's folder, or below the images for a list, without ending.

        Raises:
            DataError: no such split, a malformed list, an image without a mask or, in a folder split, the reverse.
        """
        return pair(self.listing(split), self.root / split if split.endswith(".txt") else self.images / split)

    def listing(self, split: str) -> Listing:
        """Return every file of a split, paired or not; `split` as in `records`.

        Raises:
            DataError: no such split, or a malformed list.
        """
        if split == EVERYTHING or split in subfolders(self.images):
            return Listing(
                images=_keyed(self.images / split, IMAGE_SUFFIXES),
                masks=_keyed(self.masks / split, self.endings, self.suffix),
            )
        if split.endswith(".txt"):
            return self._listed(self.root / split)
        raise DataError(self._no_such_split(split))

    def _listed(self, path: Path) -> Listing:
        everything = self.listing(EVERYTHING)
        beside = self.images.relative_to(self.root) if self.images.is_relative_to(self.root) else None
        resolve = _resolver((key for key, _ in everything.images), beside)
        wanted: set[str] = set()
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            key = resolve(line.strip(), f"{path}:{number}")
            if key in wanted:
                raise DataError(f"{path}:{number}: {line.strip()!r} is listed twice: delete one of the lines")
            wanted.add(key)
        return Listing(
            images=tuple((key, image) for key, image in everything.images if key in wanted),
            masks=tuple((key, mask) for key, mask in everything.masks if key in wanted),
        )

    def _no_such_split(self, split: str) -> str:
        found = subfolders(self.images)
        if found:
            return f"{self.images}: no split folder {split!r}{did_you_mean(split, found)}; a list file ends in .txt"
        count = len(_keyed(self.images, IMAGE_SUFFIXES))
        return (
            f"{self.images}: no split folder {split!r}, only {count} images: put them into one sub-folder per split, "
            "or write list files and set data.train=train.txt data.validation=val.txt"
        )


def subfolders(folder: Path) -> list[str]:
    """Return the names of the sub-folders of `folder`, sorted, without hidden ones."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def below(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Found]:
    """Yield what is below `folder`, hidden names excepted, sorted; links to folders are followed, but not in circles.

    Args:
        folder: where to begin.
        above: real paths of the folders that the walk is in.
    """
    real = os.path.realpath(folder)
    if real in above:
        yield Found(folder, "loop")
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield Found(folder, "unreadable")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            yield from below(Path(entry.path), above | {real})
        else:
            yield Found(Path(entry.path))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder or a link to one; a link that leads back to itself is neither."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def pair(listing: Listing, where: Path) -> list[Record]:
    """Return one record per image, sorted by key, each with the mask of the same key.

    Args:
        listing: all files of the split.
        where: what the pairs are of, for the error messages.

    Raises:
        DataError: nothing there, an image without a mask, a mask without an image, or two files of one key.
    """
    images, masks = _unique(listing.images), _unique(listing.masks)
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


def require_folder(root: Path, name: str, option: str) -> Path:
    """Return the folder `name` of a dataset; `option` is what sets the name, for the error message.

    Raises:
        DataError: the root or the folder is missing.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder: set data.root to the folder of the dataset")
    if not (root / name).is_dir():
        raise DataError(f"{root}: no folder {name!r}{did_you_mean(name, subfolders(root))}: set data.{option}")
    return root / name


def _keyed(folder: Path, endings: tuple[str, ...], suffix: str = "") -> tuple[tuple[str, Path], ...]:
    """Return (relative path without `suffix` and ending, path) of the files below `folder` that have them.

    Raises:
        DataError: no such folder, or one that cannot be entered.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found = []
    for path, problem in ((item.path, item.problem) for item in below(folder)):
        if problem == "unreadable":
            raise DataError(f"{path}: the folder cannot be entered: correct its permissions")
        if problem is None and path.suffix.lower() in endings and path.stem.endswith(suffix):
            found.append((path.relative_to(folder).with_suffix("").as_posix().removesuffix(suffix), path))
    return tuple(found)


def _unique(files: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    unique: dict[str, Path] = {}
    for key, path in files:
        if key in unique:
            raise DataError(f"{path}: {unique[key].name} has the same name: delete one of them")
        unique[key] = path
    return unique


def _resolver(keys: Iterable[str], beside: Path | None) -> Callable[[str, str], str]:
    """Return the function that finds the key a list line means: a relative path, or a name that occurs only once.

    Args:
        keys: ids of all images.
        beside: path of the image folder from the root; lines may start with it.
    """
    known = set(keys)
    by_name: dict[str, list[str]] = {}
    for key in known:
        by_name.setdefault(key.rpartition("/")[2], []).append(key)

    def resolve(line: str, where: str) -> str:
        path = Path(line)
        if path.suffix.lower() in IMAGE_SUFFIXES:
            path = path.with_suffix("")
        if beside is not None and path.is_relative_to(beside):
            path = path.relative_to(beside)
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
