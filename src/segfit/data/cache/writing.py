"""Writing a cache: in parallel, whole shards only, and without doing again what is there."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from segfit.data import Record, Source
from segfit.data.cache.coding import Coder
from segfit.data.cache.manifest import (
    FILE,
    Facts,
    Manifest,
    Settings,
    ShardFacts,
    SplitFacts,
    facts_of,
    names_of,
    settings_for,
)
from segfit.data.cache.shard import Shard, key_of
from segfit.data.cache.space import Plan, foretell, room_for
from segfit.data.disk import free_space, lock_of, one_at_a_time, require_room
from segfit.data.parallel import in_order, start_threads
from segfit.errors import DataError

__all__ = ["PER_SHARD", "Progress", "prepare", "verify"]

T = TypeVar("T")
Progress = Callable[[int, int], None]

SUFFIX = ".shard"
LOCKED = lock_of(Path(FILE)).name
PER_SHARD = 256


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One shard to be.

    Attributes:
        path: of its file.
        key: of settings, names and facts.
        records: what goes into it.
        names: of the records (see `SplitFacts`).
        facts: of the records' files, taken once: what changes later, even while it is read, no longer has them.
    """

    path: Path
    key: bytes
    records: Sequence[Record]
    names: Sequence[str]
    facts: Sequence[Facts]


def prepare(
    source: Source,
    records: Mapping[str, Sequence[Record]],
    out: str | Path,
    *,
    short_side: int = 512,
    jpeg_quality: int | None = None,
    workers: int | None = None,
    per_shard: int = PER_SHARD,
    announce: Callable[[Plan], None] = lambda _plan: None,
    progress: Progress = lambda _done, _total: None,
) -> Path:
    """Write the decoded cache of some splits, or bring one up to date; what is there and intact is kept.

    Args:
        source: the dataset.
        records: of each split; other splits that the cache has already stay in it.
        out: folder of the cache.
        short_side: larger images and their masks are shrunk to it, smaller ones are kept as they are.
        jpeg_quality: 1..100 compresses images with and masks without loss; None stores plain pixels.
        workers: threads; by default one per processor.
        per_shard: records in one file: what a kill in the middle loses at most.
        announce: called once it is known what is to be written and that there is room for it.
        progress: called with (done, total) records.

    Returns:
        `out`.

    Raises:
        DataError: bad data, a folder that holds something else, or too little space; the message says how to mend it.
    """
    out = Path(out)
    settings = settings_for(source, short_side, jpeg_quality)
    with room_for(out), _alone(out), start_threads(workers) as threads:
        earlier = _earlier(out, settings)
        splits = {name: _jobs(out, name, listed, settings, per_shard) for name, listed in records.items()}
        jobs = [job for split in splits.values() for job in split]
        total = sum(len(job.records) for job in jobs)
        shards = _kept(threads, jobs)
        done = sum(len(job.records) for job in jobs if job.path in shards)
        coder = Coder(source, settings)
        missing = [job for job in jobs if job.path not in shards]
        needed = foretell(threads, coder, [job.records for job in missing])
        size = needed + sum(shard.size for shard in shards.values())
        plan = Plan(records=total, kept=done, size=size, missing=needed, free=free_space(out))
        require_room(
            out, needed, "the cache", mend="make room, choose another disk, or use --jpeg or a smaller --short-side"
        )
        announce(plan)
        progress(done, total)
        coded = in_order(threads, coder, (record for job in missing for record in job.records))
        for job in missing:
            counted = _counted(islice(coded, len(job.records)), done, total, progress)
            shards[job.path] = Shard.write(job.path, job.key, counted, len(job.records))
            done += len(job.records)
        facts = {name: _facts(split, shards) for name, split in splits.items()}
        manifest = Manifest(settings=settings, splits={**earlier, **facts})
        manifest.write(out)
        _clear(out, manifest)
    return out


def verify(out: str | Path, *, workers: int | None = None, progress: Progress = lambda _done, _total: None) -> int:
    """Compare every byte of a cache with its checksums and return the number of its shards.

    Args:
        out: folder of the cache.
        workers: threads; by default one per processor.
        progress: called with (done, total) shards.

    Raises:
        DataError: no complete cache, or damaged shards.
    """
    out = Path(out)
    shards = Manifest.read(out).shards()
    bad = []
    with start_threads(workers) as threads:
        checked = in_order(threads, lambda facts: _as_listed(out, facts, thorough=True), shards)
        for done, (facts, good) in enumerate(zip(shards, checked, strict=True), 1):
            if not good:
                bad.append(facts.file)
            progress(done, len(shards))
    if bad:
        raise DataError(
            f"{out / bad[0]}: damaged ({len(bad)} of {len(shards)} shards are): run segfit data prepare again without "
            "--verify, which writes them anew"
        )
    return len(shards)


# --- what is there ---------------------------------------------------------------------------------------------------


def _earlier(out: Path, settings: Settings) -> dict[str, SplitFacts]:
    """Return the intact splits that the cache in `out` has already.

    Raises:
        DataError: `out` holds something else, or a cache with other settings.
    """
    if not (out / FILE).exists():
        foreign = [path.name for path in out.iterdir() if path.suffix != SUFFIX and not path.name.startswith(".")]
        if foreign:
            raise DataError(f"{out}: not a cache, but has {foreign[0]!r} in it: choose an empty or a new folder")
        return {}
    manifest = Manifest.read(out)
    if manifest.settings != settings:
        same = str(manifest.settings) == str(settings)
        differs = "other classes or colours" if same else str(manifest.settings)
        raise DataError(f"{out}: holds a cache with {differs}: choose another folder or delete it")
    return {
        name: split
        for name, split in manifest.splits.items()
        if all(_as_listed(out, facts, thorough=False) for facts in split.shards)
    }


def _as_listed(out: Path, facts: ShardFacts, *, thorough: bool) -> bool:
    """Whether a shard is the one that the manifest lists; `thorough` looks at every byte."""
    shard = Shard.read(out / facts.file)
    if shard is None or (shard.checksum.hex(), shard.size) != (facts.checksum, facts.size):
        return False
    return shard.intact() if thorough else True


def _jobs(out: Path, split: str, records: Sequence[Record], settings: Settings, per_shard: int) -> list[_Job]:
    """Return the shards of a split, in order."""
    stem = re.sub(r"[^\w.-]+", "_", split)
    if stem != split or stem.startswith("."):
        # Two splits must not share a file name.
        stem = f"split{stem}-{key_of(split).hex()[:8]}"
    jobs, names = [], names_of(records)
    for number, first in enumerate(range(0, len(records), per_shard)):
        part, called = records[first : first + per_shard], names[first : first + per_shard]
        facts = [facts_of(record) for record in part]
        key = key_of(settings, [(name, *of_files) for name, of_files in zip(called, facts, strict=True)])
        path = out / f"{stem}-{number:05}{SUFFIX}"
        jobs.append(_Job(path=path, key=key, records=part, names=called, facts=facts))
    return jobs


def _kept(threads: ThreadPoolExecutor, jobs: Sequence[_Job]) -> dict[Path, Shard]:
    """Return the shards that are there, made of the same files in the same way, and intact."""

    def look(job: _Job) -> Shard | None:
        shard = Shard.read(job.path)
        return shard if shard is not None and shard.key == job.key and shard.intact() else None

    return {shard.path: shard for shard in in_order(threads, look, jobs) if shard is not None}


def _facts(jobs: Sequence[_Job], shards: Mapping[Path, Shard]) -> SplitFacts:
    written = [shards[job.path] for job in jobs]
    return SplitFacts(
        names=tuple(name for job in jobs for name in job.names),
        facts=tuple(of_files for job in jobs for of_files in job.facts),
        shards=tuple(ShardFacts(file=s.path.name, size=s.size, checksum=s.checksum.hex()) for s in written),
    )


def _clear(out: Path, manifest: Manifest) -> None:
    """Remove what interrupted and earlier commands have left."""
    listed = {facts.file for facts in manifest.shards()}
    for path in out.iterdir():
        temporary = path.name.startswith(".") and (SUFFIX in path.name or FILE in path.name)
        if (temporary and path.name != LOCKED) or (path.suffix == SUFFIX and path.name not in listed):
            path.unlink()


# --- alone ------------------------------------------------------------------------------------------------------------


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Create the folder, unless nothing comes of it, and keep other writers out of it.

    Raises:
        DataError: it is a file, cannot be written, or another process writes it.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: a file, not a folder: choose another folder")
    new = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        # The lock lies in the folder, because the one above it may belong to somebody else.
        with one_at_a_time(out / FILE, wait=False):
            yield
    except BaseException:
        with suppress(OSError):
            for folder in new:
                folder.rmdir()  # only if nothing was written
        raise


def _counted(items: Iterable[T], done: int, total: int, progress: Progress) -> Iterator[T]:
    for number, item in enumerate(items, 1):
        yield item
        progress(done + number, total)
