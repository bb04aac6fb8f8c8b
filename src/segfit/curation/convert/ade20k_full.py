"""The full ADE20K release (2021_17_01 or 2016_07_26) to the 150 classes of the scene-parsing challenge.

Beside every image ``NAME.jpg`` lies ``NAME_seg.png``: R / 10 * 256 + G is the index of the class among more than 3,000,
B the instance. ``ade20k_full.csv`` says which indices became which class of the challenge; it transcribes
``convertFromADE/mapFromADE.txt`` of the public repository CSAILVision/sceneparsing. That map was made for the release
of 2016. The release of 2021 keeps the indices of all these classes, so the same map serves both; as a safeguard, the
names in the JSON files of 2021 are compared with the challenge's, and a difference is reported.

Names alone would not do: 2021's class ``window`` (3050, part of a building) is not the challenge's
"windowpane, window" (3055).
"""

import csv
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from segfit.curation.convert.contract import FORMATS, VOID, ClassMask, Conversion, Item, Size
from segfit.curation.convert.reading import files_below, table
from segfit.data import Listing
from segfit.data.ade20k import OBJECT_INFO, published_labels
from segfit.data.decode import BROKEN
from segfit.data.files import pair, read_text, subfolders
from segfit.errors import DataError
from segfit.units import share

__all__ = ["ade20k_full", "read_map", "read_seg"]

IMAGE, SEG = ".jpg", "_seg.png"
SPLITS = ("training", "validation")
INDICES = 256 // 10 * 256 + 256
"""More than any index that three bytes can mean."""

MOST = 12
"""So many classes without a counterpart are named in the notes."""


@FORMATS.register("ade20k-full")
def ade20k_full(source: Path, *, map: Path | None = None) -> Conversion:  # noqa: A002 (the option's name)
    """Return how to convert the full release.

    Args:
        source: the folder ``ADE20K_2021_17_01`` or ``ADE20K_2016_07_26``, or one above or below it.
        map: file with lines "challenge index, full-dataset indices separated by commas" to use instead of the
            published map.

    Raises:
        DataError: no such folder, or a malformed map.
    """
    root = _image_root(source)
    labels = published_labels()
    reader = _Reader(read_map(map) if map else _published_map(), labels.names)
    items = [item for split in SPLITS if (root / split).is_dir() for item in _items(root / split, split, reader)]
    scenes = "".join(f"{item.name} {_scene(Path(item.where).parent.relative_to(root))}\n" for item in items)
    return Conversion(
        classes=labels.names,
        colors=labels.colors,
        items=tuple(items),
        layout="ade20k",
        files={OBJECT_INFO: _object_info(), "sceneCategories.txt": scenes},
        notes=reader.notes,
    )


def read_seg(path: Path) -> NDArray[np.uint16]:
    """Return the class indices `(H, W)` in a ``_seg.png``; 0 = not annotated.

    Raises:
        DataError: the file is missing, damaged or not such a file.
    """
    try:
        with Pillow.open(path) as picture:
            mode, stored = picture.mode, np.asarray(picture)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except BROKEN as error:
        raise DataError(f"{path}: damaged or not an image ({error}): fetch it again") from None
    if mode != "RGB" or (stored[..., 0] % 10).any():
        raise DataError(f"{path}: not a _seg.png of ADE20K (RGB with red values 0, 10, 20, ...): fetch it again")
    indices: NDArray[np.uint16] = stored[..., 0].astype(np.uint16) // 10 * 256 + stored[..., 1]
    return indices


def read_map(path: Path) -> dict[int, int]:
    """Return the challenge's class (1..150) by full-dataset index, as ``mapFromADE.txt`` writes it.

    Raises:
        DataError: the file is missing or malformed.
    """
    found: dict[int, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        if len(words) < 2 or not all(word.isascii() and word.isdecimal() for word in words):
            raise DataError(f"{path}:{number}: {line.strip()!r} is not a row: challenge index, full-dataset indices")
        challenge, *full = map(int, words)
        if not 1 <= challenge <= len(published_labels()) or not all(0 < i < INDICES for i in full):
            raise DataError(f"{path}:{number}: challenge indices are 1..150, full ones 1..{INDICES - 1}: correct it")
        if any(found.setdefault(i, challenge) != challenge for i in full):
            raise DataError(
                f"{path}:{number}: an index of it is already mapped to another class: delete one of the two"
            )
    if not found:
        raise DataError(f"{path}: the file is empty: write rows: challenge index, full-dataset indices")
    return found


@dataclass(eq=False)
class _Reader:
    """Reads masks, several at a time, and remembers what had no class.

    Attributes:
        challenge: class (1..150) by full-dataset index.
        classes: names of the classes.
    """

    challenge: dict[int, int]
    classes: tuple[str, ...]
    names: dict[int, str] = field(default_factory=dict)
    lost: Counter[int] = field(default_factory=Counter)
    pixels: int = 0

    def __post_init__(self) -> None:
        self.positions = np.full(INDICES, VOID, np.uint16)
        for full, challenge in self.challenge.items():
            self.positions[full] = challenge - 1
        self.lock = threading.Lock()

    def mask(self, path: Path, _size: Size) -> ClassMask:
        """Return the mask of a ``_seg.png``."""
        indices = read_seg(path)
        counts = np.bincount(indices.ravel(), minlength=1)
        shown = np.flatnonzero(counts[1:]) + 1
        self._learn_names(path, set(shown.tolist()))
        with self.lock:
            self.pixels += indices.size
            self.lost.update({int(i): int(counts[i]) for i in shown if self.positions[i] == VOID})
        return self.positions.take(indices)

    def _learn_names(self, path: Path, shown: set[int]) -> None:
        """Read the JSON file of the image, if there is one, when it may name classes that have no name yet."""
        beside = path.with_name(path.name.removesuffix(SEG) + ".json")
        if shown <= self.names.keys() or not beside.is_file():
            return
        try:
            # Some of the files hold names that are not UTF-8; those matter to nobody but the reader of a note.
            objects = json.loads(beside.read_text(encoding="utf-8", errors="replace"))["annotation"]["object"]
            found = {int(thing["name_ndx"]): str(thing["name"]) for thing in objects}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{beside}: not a description of an ADE20K image ({error!r}): fetch it again") from None
        with self.lock:
            self.names.update(found)

    def notes(self) -> list[str]:
        """Return what became ``other``, and which classes have a name that the map does not expect."""
        notes = []
        if self.lost:
            named = [
                f"{self.names.get(i, f'class {i}').partition(',')[0]} ({share(count / self.pixels)})"
                for i, count in self.lost.most_common(MOST)
            ]
            rest = f" and {len(self.lost) - MOST} more" if len(self.lost) > MOST else ""
            total = share(self.lost.total() / self.pixels)
            notes.append(
                f"{len(self.lost)} classes without a counterpart among the 150 cover {total} of the pixels "
                f"and became 0 = other: {', '.join(named)}{rest}"
            )
        for full, challenge in sorted(self.challenge.items()):
            here, there = self.names.get(full), self.classes[challenge - 1]
            if here is not None and not _words(here) & _words(there):
                notes.append(f"index {full} is called {here!r} here but became {there!r}: if that is wrong, give --map")
        return notes


def _words(names: str) -> set[str]:
    return {name.strip().lower() for name in names.split(",")}


def _published_map() -> dict[int, int]:
    return {int(row["full"]): int(row["challenge"]) for row in table("ade20k_full.csv")}


# --- folders ---------------------------------------------------------------------------------------------------------


def _image_root(source: Path) -> Path:
    """Return the folder that holds ``training`` and ``validation``."""
    above = [source, *(source / name for name in subfolders(source) if name.startswith("ADE20K"))]
    for folder in above:
        for root in (folder, folder / "images", folder / "images" / "ADE", folder / "ADE"):
            if any((root / split).is_dir() for split in SPLITS):
                return root
    raise DataError(
        f"{source}: no folders images/ADE/training or images/training there: name the folder of the release"
    )


def _items(folder: Path, split: str, reader: _Reader) -> list[Item]:
    """Return the images of a split, sorted by path."""
    files = files_below(folder, IMAGE, SEG)
    images, masks = (
        tuple((str(path).removesuffix(ending), path) for path in files if path.name.endswith(ending))
        for ending in (IMAGE, SEG)
    )
    return [
        Item(
            split=split,
            name=found.image.stem,
            image=found.image,
            mask=partial(reader.mask, found.mask),
            where=str(found.mask),
        )
        for found in pair(Listing(images=images, masks=masks), folder)
    ]


def _scene(folder: Path) -> str:
    """Return the scene category of the images in a folder, as the challenge writes it.

    ``training/urban/street`` (2021) and ``training/s/street`` (2016) are ``street``; ``apse__indoor`` and
    ``apse/indoor`` are ``apse_indoor``.
    """
    return "_".join(folder.parts[2:]).replace("__", "_") or "unknown"


def _object_info() -> str:
    """Return the challenge's published table of the classes."""
    text = files("segfit.data").joinpath("ade20k_classes.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    lines = ["Idx\tRatio\tTrain\tVal\tName"]
    lines += ["\t".join((r["id"], r["ratio"], r["training_images"], r["validation_images"], r["name"])) for r in rows]
    return "\n".join(lines) + "\n"
