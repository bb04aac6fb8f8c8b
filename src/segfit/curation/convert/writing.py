"""Writes a conversion to disk: whole or not at all."""

import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from segfit.curation.convert.contract import FORMATS, VOID, ClassMask, Conversion, Item, Layout
from segfit.curation.convert.pictures import (
    IMAGES,
    Images,
    Picture,
    inspect,
    nearest,
    place,
    reduced,
    write_mask,
)
from segfit.data.parallel import in_order, start_threads
from segfit.errors import DataError, RecipeError
from segfit.labels import Mask, distinct_colors

__all__ = ["Converted", "convert"]

SPLITS = {"train": "training", "validation": "validation"}
"""What the recipe calls the splits by default, by the field that names them."""

MASKS: dict[Layout, str] = {"folder": "masks", "ade20k": "annotations"}
"""Folder of the masks."""

FIRST: dict[Layout, int] = {"folder": 0, "ade20k": 1}
"""Id of the first class; where it is 1, 0 means "not annotated"."""

BYTE_VOID = 255
"""Means "not annotated" in 8-bit masks whose first class is 0."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What a conversion wrote.

    Attributes:
        root: the new folder.
        format: what it was converted from.
        layout: the kind of source that reads it (``data.name``).
        classes: their number.
        images: number of images by split.
        unlabelled: share of the pixels that no class covers, by split.
        placed: number of images by what was done with them (``linked``, ``copied``, ``symlinked``, ``resized``).
        notes: what the user should know, one sentence each.
        overrides: what a recipe needs to train on it.
    """

    root: Path
    format: str
    layout: Layout
    classes: int
    images: dict[str, int]
    unlabelled: dict[str, float]
    placed: dict[str, int]
    notes: list[str]
    overrides: list[str]

    def facts(self) -> dict[str, Any]:
        """Return the attributes as plain values."""
        return {**asdict(self), "root": str(self.root)}


def convert(
    format: str,  # noqa: A002 (the command's word)
    source: Path,
    out: Path,
    *,
    images: Images = "link",
    short_side: int | None = None,
    progress: Progress = lambda _done, _total: None,
    **options: Any,
) -> Converted:
    """Convert annotations to a dataset that segfit trains on.

    The files are written to a hidden folder beside `out`, which is renamed when it is complete: `out` never holds half
    a dataset, and a failure leaves nothing behind.

    Args:
        format: name in `FORMATS`.
        source: folder of the dataset, as it is published.
        out: folder to create; it may exist if it is empty.
        images: ``link`` makes hard links and copies where that is impossible, ``copy`` copies, ``symlink`` links by
            absolute path.
        short_side: images with a larger short side are reduced to this one and their masks with them.
        progress: called with (done, total).
        options: of the format.

    Raises:
        RecipeError: no such format, an option that it does not have, or a wrong value.
        DataError: something is wrong with `source`, or `out` holds files.
    """
    if images not in IMAGES:
        raise RecipeError(f"images: {images!r} is not one of {', '.join(IMAGES)}")
    if short_side is not None and short_side < 1:
        raise RecipeError(f"short_side: {short_side} is not a number of pixels")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: there are files already: name a new folder")
    if not source.exists():
        raise DataError(f"{source}: no such folder: name the folder of the dataset to convert")
    plan = FORMATS.build(format, source, **options)
    _check(plan, source)
    with _becoming(out) as folder:
        tally = _write(plan, folder, images, short_side, progress)
    return Converted(
        root=out,
        format=format,
        layout=plan.layout,
        classes=len(plan.classes),
        images=dict(sorted(tally.images.items())),
        unlabelled={split: tally.void[split] / tally.pixels[split] for split in sorted(tally.images)},
        placed=dict(tally.placed),
        notes=[*plan.notes(), *_split_notes(tally.images)],
        overrides=_overrides(plan, out),
    )


def _check(plan: Conversion, source: Path) -> None:
    """Raise unless the items and class names of a plan can be written."""
    if not plan.items:
        raise DataError(f"{source}: no annotated images there: is this the right folder and format?")
    for name in plan.classes:
        if name != name.strip() or len(name.splitlines()) != 1:
            raise DataError(f"{source}: class name {name!r} is blank or more than one line: rename it")
    twice = [name for name, count in Counter(plan.classes).items() if count > 1]
    if twice:
        raise DataError(f"{source}: two classes are called {twice[0]!r}: rename one of them")
    if not 0 < len(plan.classes) < VOID:
        raise DataError(f"{source}: {len(plan.classes)} classes: there must be 1 to {VOID - 1}")
    seen: dict[tuple[str, str], str] = {}
    for item in plan.items:
        if any(part.startswith(".") for part in item.name.split("/")):
            raise DataError(f"{item.where}: name {item.name!r} is hidden by its dot: rename the image")
        key = item.split, item.name
        if key in seen:
            raise DataError(f"{item.where}: {item.name!r} is taken in split {item.split!r} by {seen[key]}: rename one")
        seen[key] = item.where


@contextmanager
def _becoming(out: Path) -> Iterator[Path]:
    """Give a new folder that becomes `out` when the block ends well, and vanishes when not."""
    out = Path(os.path.abspath(out))  # noqa: PTH100 (resolve() would follow a link that is to be kept)
    base = next(parent for parent in out.parents if parent.is_dir())
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=base) as temporary:
        # A folder within the temporary one: it gets the user's permissions, not those of a private folder.
        folder = Path(temporary) / out.name
        folder.mkdir()
        yield folder
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            out.rmdir()  # empty, as checked before; a rename onto a folder fails on some platforms
        folder.rename(out)


def _split_notes(images: Mapping[str, int]) -> list[str]:
    """Return what to say of a dataset that cannot tell training from scoring."""
    if len(images) > 1:
        return []
    return [f"there is only one split, {next(iter(images))!r}: a model would be scored on what it was trained on"]


def _overrides(plan: Conversion, out: Path) -> list[str]:
    """Return what tells a recipe to train on the result."""
    words = [f"data.name={plan.layout}", f"data.root={out}"]
    splits = {item.split for item in plan.items}
    if len(splits) == 1:
        words += [f"data.{field}={next(iter(splits))}" for field, usual in SPLITS.items() if usual not in splits]
    if plan.layout == "folder" and len(plan.classes) > BYTE_VOID:
        words.append(f"data.ignore=[{VOID}]")
    return words


# --- files -----------------------------------------------------------------------------------------------------------


class _Tally:
    """Counts over all images."""

    def __init__(self) -> None:
        self.images: Counter[str] = Counter()
        self.pixels: Counter[str] = Counter()
        self.void: Counter[str] = Counter()
        self.placed: Counter[str] = Counter()


def _write(plan: Conversion, folder: Path, images: Images, short_side: int | None, progress: Progress) -> _Tally:
    """Write all files of a plan, several at a time."""
    if plan.layout == "folder":
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in plan.classes), encoding="utf-8")
    for name, text in plan.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    palette = _palette(plan)

    def one(item: Item) -> tuple[str, int, int]:
        picture = inspect(item.image, item.where)
        mask = _read_mask(item, picture)
        smaller = reduced(picture.size, short_side)
        target = folder / "images" / item.split / f"{item.name}{picture.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        how = place(picture, target, images, smaller)
        if smaller != picture.size:
            mask = nearest(mask, smaller)
        write_mask(folder / MASKS[plan.layout] / item.split / f"{item.name}.png", _encode(mask, plan), palette=palette)
        return how, mask.size, int(np.count_nonzero(mask == VOID))

    tally = _Tally()
    with _strict_pillow(), start_threads(None) as threads:
        try:
            for item, (how, pixels, void) in zip(plan.items, in_order(threads, one, plan.items), strict=True):
                tally.images[item.split] += 1
                tally.pixels[item.split] += pixels
                tally.void[item.split] += void
                tally.placed[how] += 1
                progress(tally.images.total(), len(plan.items))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return tally


def _read_mask(item: Item, picture: Picture) -> ClassMask:
    """Return the mask of an item, which has the size of its image."""
    try:
        mask = item.mask(picture.size)
    except Pillow.DecompressionBombWarning:
        raise DataError(f"{item.where}: absurdly large for an image of {picture.size}: replace it") from None
    if mask.shape == picture.size:
        return mask
    found = f"{item.where}: {mask.shape[1]} x {mask.shape[0]} pixels"
    if picture.turned and mask.shape == picture.size[::-1]:
        raise DataError(
            f"{found} fit {picture.name} only without the rotation in its EXIF data: "
            "remove that tag from the image, or turn the mask"
        )
    raise DataError(f"{found}, but {picture.name} has {picture.size[1]} x {picture.size[0]}: replace one of them")


def _encode(mask: ClassMask, plan: Conversion) -> ClassMask | Mask:
    """Return what the file stores: 8 bits wherever that is enough."""
    first, classes = FIRST[plan.layout], len(plan.classes)
    if classes > BYTE_VOID:
        return mask
    # In 16 bits VOID + 1 is 0, and the lower 8 bits of VOID are 255.
    return (mask + np.uint16(first)).astype(np.uint8)


def _palette(plan: Conversion) -> bytes:
    """Return 256 RGB colours for the stored ids; black for what is not annotated and for ids that do not occur."""
    colors = plan.colors or distinct_colors(len(plan.classes))
    palette = np.zeros((256, 3), np.uint8)
    first = FIRST[plan.layout]
    shown = min(len(colors), 256 - first)
    palette[first : first + shown] = colors[:shown]
    return palette.tobytes()


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Let Pillow refuse what it would only warn of: images of absurd size."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Pillow.DecompressionBombWarning)
        yield
