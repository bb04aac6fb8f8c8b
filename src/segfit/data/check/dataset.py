"""The whole check: one pass over all files in threads, then what only shows between files."""

import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segfit.data import Listing, Record, Source
from segfit.data.check.across import Labelled, check_labels
from segfit.data.check.codes import CODES, Fault
from segfit.data.check.duplicates import Picture, find_duplicates
from segfit.data.check.masks import Expected, judge
from segfit.data.check.names import check_folders, check_names, check_pairs
from segfit.data.check.probe import ImageFacts, MaskFacts, complaint, probe_image, probe_mask
from segfit.data.check.structure import LIMITS, Limits
from segfit.data.check.tables import Table, known_tables, own_table
from segfit.data.files import Tree
from segfit.data.parallel import in_order, start_threads
from segfit.data.stderr import STDERR
from segfit.errors import DataError

__all__ = ["Result", "check_dataset"]

Progress = Callable[[int, int], None]
_Look = tuple[ImageFacts | None, MaskFacts | None]

DUPLICATES = frozenset(code for code in CODES if "duplicate" in code and code != "name-duplicate")

COLOR_TABLE = "colors.csv"
"""A colour table that lies in the dataset's folder under this name is compared with unexpected colours."""

COLOR_ROW = re.compile(r"^(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})\b", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a check found.

    Attributes:
        root: folder of the dataset.
        counts: (images, masks, pairs) of each split.
        faults: sorted by code, then split and path.
        seconds: that it took.
    """

    root: Path
    counts: dict[str, tuple[int, int, int]]
    faults: tuple[Fault, ...]
    seconds: float

    @property
    def pairs(self) -> int:
        """Image+mask pairs of all splits."""
        return sum(pairs for _, _, pairs in self.counts.values())

    def count(self, severity: str) -> int:
        """Return how many faults are of that severity."""
        return sum(fault.severity == severity for fault in self.faults)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """An image and its mask, or one of them alone."""

    split: str
    image: Path | None
    mask: Path | None


@dataclass(kw_only=True)
class _Pass:
    """What one pass over the files gathers."""

    faults: list[Fault] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    labelled: list[Labelled] = field(default_factory=list)
    suspects: list[_Job] = field(default_factory=list)


@STDERR.listening()
def check_dataset(
    source: Source,
    root: Path,
    splits: Sequence[str],
    *,
    limits: Limits = LIMITS,
    ignore: frozenset[str] = frozenset(),
    workers: int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Result:
    """Look at every file of a dataset, and change nothing.

    Args:
        source: the dataset.
        root: its folder.
        splits: which; of images in several, those in the first one count as the originals.
        limits: what is not decoded.
        ignore: codes that are not reported.
        workers: threads; None takes as many as there are CPU cores.
        progress: called with (done, total) files.
    """
    began = time.perf_counter()
    found, jobs, counts = _Pass(), list[_Job](), dict[str, tuple[int, int, int]]()
    for split in splits:
        faults, listing = _list(source, split)
        found.faults += faults
        mine = list(_jobs(listing, split))
        jobs += mine
        pairs = sum(job.image is not None and job.mask is not None for job in mine)
        counts[split] = len(listing.images), len(listing.masks), pairs
    expected = Expected.of(source.labels, source.colors, (*_tables(source, root), *known_tables()))
    looks = _look_at_all(jobs, limits, colored=source.colors is not None, workers=workers or os.cpu_count() or 1)
    for done, (job, (image, mask)) in enumerate(zip(jobs, looks, strict=True), 1):
        _gather(found, job, image, mask, expected)
        progress(done, len(jobs))
    found.faults += _confirm(found.suspects, limits)
    found.faults += check_labels(found.labelled, expected, root)
    if not ignore >= DUPLICATES:
        found.faults += find_duplicates(found.pictures, lambda a, b: _same_mask(source, a, b), progress)
    return Result(
        root=root,
        counts=counts,
        faults=tuple(sorted(_kept(found.faults, ignore), key=_order)),
        seconds=time.perf_counter() - began,
    )


# --- before ----------------------------------------------------------------------------------------------------------


def _list(source: Source, split: str) -> tuple[list[Fault], Listing]:
    """Return the files of a split, and the faults that show without opening them."""
    tree = getattr(source, "tree", None)
    where, faults = Path(split), list[Fault]()
    try:
        if isinstance(tree, Tree):
            where = (tree.root if split.endswith(".txt") else tree.images) / split
            faults += check_folders(tree, split)
        listing = source.listing(split)
    except (DataError, OSError) as error:
        return [*faults, Fault("split-unreadable", where, split, str(error))], Listing(images=(), masks=())
    if not listing.images:
        faults.append(Fault("split-empty", where, split, "no images"))
    faults += check_names(listing, split)
    faults += check_pairs(listing, split, faults)
    return faults, listing


def _jobs(listing: Listing, split: str) -> Iterator[_Job]:
    """Yield every file once; of two with one key, the first one is paired."""
    images, masks = dict(reversed(listing.images)), dict(reversed(listing.masks))
    for key, image in listing.images:
        yield _Job(split=split, image=image, mask=masks.get(key) if image is images[key] else None)
    for key, mask in listing.masks:
        if key not in images or mask is not masks[key]:
            yield _Job(split=split, image=None, mask=mask)


def _tables(source: Source, root: Path) -> Iterator[Table]:
    """Yield the dataset's own colour tables."""
    path = root / COLOR_TABLE
    if path.is_file():
        rows = COLOR_ROW.findall(path.read_text("utf-8", "replace"))
        colors = frozenset(int(r) << 16 | int(g) << 8 | int(b) for r, g, b in rows)
        yield Table(title=f"{COLOR_TABLE} of the dataset", colors=colors)
    yield own_table(source.labels)


# --- during ----------------------------------------------------------------------------------------------------------


def _look_at_all(jobs: Sequence[_Job], limits: Limits, *, colored: bool, workers: int) -> Iterator[_Look]:
    """Yield what is seen of each job, in order; what is decoded meanwhile never exceeds one pair per worker."""
    # Pillow warns of what it then refuses, or of harmless metadata.
    with warnings.catch_warnings(action="ignore"), start_threads(workers) as threads:
        try:
            yield from in_order(threads, lambda job: _look(job, limits, colored=colored), jobs)
        finally:
            # After Ctrl-C, what has not begun must not be waited for.
            threads.shutdown(cancel_futures=True)


def _look(job: _Job, limits: Limits, *, colored: bool) -> _Look:
    image = probe_image(job.image, limits) if job.image is not None else None
    mask = probe_mask(job.mask, limits, colored=colored) if job.mask is not None else None
    return image, mask


def _gather(found: _Pass, job: _Job, image: ImageFacts | None, mask: MaskFacts | None, expected: Expected) -> None:
    """Add what was seen of one pair to what was found so far."""
    if image is not None and job.image is not None:
        found.faults += [Fault(code, job.image, job.split, detail) for code, detail in image.faults]
        if image.suspect:
            found.suspects.append(job)
        if image.thumbnail is not None:
            found.pictures.append(
                Picture(
                    path=job.image,
                    split=job.split,
                    mask=job.mask,
                    size=image.size,
                    digest=image.digest,
                    thumbnail=image.thumbnail,
                )
            )
    if mask is not None and job.mask is not None:
        faults = [*mask.faults]
        if mask.content is not None:
            wrong = judge(mask.content, expected)
            faults += wrong
            if not mask.content.colored and expected.colors is None and "mask-blended" not in dict(wrong):
                found.labelled.append(Labelled.of(job.mask, job.split, mask.content))
        if image is not None:
            faults += _mismatch(image, mask)
        found.faults += [Fault(code, job.mask, job.split, detail) for code, detail in faults]


def _mismatch(image: ImageFacts, mask: MaskFacts) -> Iterator[tuple[str, str]]:
    """Yield how the sizes of image and mask differ."""
    if image.header is None or mask.size in ((0, 0), image.size):
        return
    stored = image.header.width, image.header.height
    code = "exif-mismatch" if stored == mask.size else "size-mismatch"
    sizes = f"image {image.size[0]} x {image.size[1]}, mask {mask.size[0]} x {mask.size[1]}"
    yield code, f"{sizes} (EXIF orientation {image.header.orientation})" if code == "exif-mismatch" else sizes


# --- after -----------------------------------------------------------------------------------------------------------


def _confirm(suspects: Sequence[_Job], limits: Limits) -> Iterator[Fault]:
    """Yield those of the files of which the decoder complains when it decodes them alone."""
    for job in suspects:
        assert job.image is not None
        said = complaint(job.image, limits)
        if said:
            yield Fault("jpeg-damaged", job.image, job.split, said)


def _same_mask(source: Source, before: Picture, picture: Picture) -> bool:
    """Whether two pictures have the same labels; also if that cannot be said."""
    if before.mask is None or picture.mask is None:
        return True
    try:
        if before.mask.read_bytes() == picture.mask.read_bytes():
            return True
        one, other = (source.read_mask(Record(id="", image=p.path, mask=p.mask)) for p in (before, picture) if p.mask)
    except (DataError, OSError):
        return True
    return np.array_equal(one, other)


def _kept(faults: Sequence[Fault], ignore: frozenset[str]) -> Iterator[Fault]:
    """Yield each fault once, without those to be ignored."""
    return (fault for fault in dict.fromkeys(faults) if fault.code not in ignore)


def _order(fault: Fault) -> tuple[int, str, str]:
    return list(CODES).index(fault.code), fault.split, str(fault.path)
