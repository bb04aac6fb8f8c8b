"""Faults that show without opening a file: names, missing counterparts, what else lies in the folders."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from segfit.data import Listing
from segfit.data.check.codes import Fault, shown
from segfit.data.check.structure import SIGNATURES
from segfit.data.files import IMAGE_SUFFIXES, Tree, below

__all__ = ["check_folders", "check_names", "check_pairs"]

HARMLESS = frozenset(
    (".txt", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".md", ".html", ".pdf", ".db", ".ini", ".log")
)
"""Endings of notes, tables and caches, which often lie beside images."""


# --- folders ---------------------------------------------------------------------------------------------------------


def check_folders(tree: Tree, split: str) -> Iterator[Fault]:
    """Yield what is wrong with the folders of a split, and files in them that are passed over."""
    # Lists share the folders, so what is found there belongs to none of them.
    inside = "" if split.endswith(".txt") else split
    for top in dict.fromkeys((tree.images, tree.masks)):
        if not (top / inside).is_dir():
            continue
        for path, problem in ((item.path, item.problem) for item in below(top / inside)):
            if problem is not None:
                detail = "a link to a folder above it" if problem == "loop" else "the folder cannot be entered"
                yield Fault(f"folder-{problem}", path, inside, detail)
            elif path.suffix.lower() not in IMAGE_SUFFIXES:
                yield from _unsupported(path, inside)
            elif top != tree.images and path.suffix.lower() not in tree.endings and path.stem.endswith(tree.suffix):
                code = "mask-lossy" if path.suffix.lower() in (".jpg", ".jpeg") else "file-unsupported"
                yield Fault(code, path, inside, f"masks cannot be {path.suffix.lower()}")


def _unsupported(path: Path, split: str) -> Iterator[Fault]:
    ending = path.suffix.lower()
    if ending and ending not in HARMLESS:
        yield Fault("file-unsupported", path, split, f"ends in {ending}")
    elif not ending and _begins_like_an_image(path):
        yield Fault("file-unsupported", path, split, "a picture without an ending")


def _begins_like_an_image(path: Path) -> bool:
    if not path.is_file():  # to open a pipe would wait for ever
        return False
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    return any(start.startswith(signature) for signature, _ in SIGNATURES)


# --- names -----------------------------------------------------------------------------------------------------------


def check_names(listing: Listing, split: str) -> Iterator[Fault]:
    """Yield names that occur twice or that other systems trip over."""
    for files in (listing.images, listing.masks):
        first: dict[str, Path] = {}
        folded: dict[str, Path] = {}
        for key, path in files:
            if key in first:
                yield Fault("name-duplicate", path, split, f"beside {shown(first[key].name)}")
            elif key.casefold() in folded:
                yield Fault("name-case", path, split, f"beside {shown(folded[key.casefold()].name)}")
            first.setdefault(key, path)
            folded.setdefault(key.casefold(), path)
            yield from _letters(key, path, split)


def _letters(key: str, path: Path, split: str) -> Iterator[Fault]:
    parts = key.split("/")
    if not key.isprintable() or any(part != part.strip() for part in parts):
        yield Fault("name-unprintable", path, split, f"'{shown(key)}'")
    elif not key.isascii():
        yield Fault("name-non-ascii", path, split, " ".join(sorted({c for c in key if not c.isascii()})))


# --- pairs -----------------------------------------------------------------------------------------------------------


def check_pairs(listing: Listing, split: str, faults: Iterable[Fault]) -> Iterator[Fault]:
    """Yield images without a mask and masks without an image.

    Args:
        listing: the files of the split.
        split: its name.
        faults: those of `check_folders`: a lossy mask is not missing, too.
    """
    images, masks = dict(listing.images), dict(listing.masks)
    lossy = {fault.path.stem for fault in faults if fault.code == "mask-lossy"}
    hint = _suffix_hint(images.keys() - masks.keys(), masks.keys() - images.keys())
    for key in sorted(images.keys() - masks.keys()):
        if key.rpartition("/")[2] not in lossy:
            yield Fault("mask-missing", images[key], split, hint or "no mask of that name")
    for key in sorted(masks.keys() - images.keys()):
        yield Fault("image-missing", masks[key], split, hint or "no image of that name")


def _suffix_hint(images: Iterable[str], masks: Iterable[str]) -> str:
    """Return which ``data.suffix`` would pair most of the lonely files, if one does."""
    lonely, counts = set(images), Counter[str]()
    for mask in masks:
        counts.update(mask[end:] for end in range(1, len(mask)) if mask[:end] in lonely)
    if not counts:
        return ""
    suffix, count = max(counts.items(), key=lambda item: (item[1], len(item[0])))
    return f"data.suffix={suffix} would pair {count}" if 2 * count > len(lonely) else ""
