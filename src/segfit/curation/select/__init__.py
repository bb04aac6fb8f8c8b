"""Selection of images: which images of a split to train on, written as a list file that a recipe accepts.

**Filters** say which images may stay; an image must pass all of them. At most one **chooser** then picks a given number
of those that are left. `Filter` and `Chooser` are what a new criterion has to be; `select_images` applies them.

Shape suffixes: N images, C classes of the dataset.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segfit.console import waiting
from segfit.curation.opening import Dataset
from segfit.data import Record
from segfit.data.census import Census, take_census
from segfit.data.fingerprint import fingerprint
from segfit.errors import DataError, RecipeError

__all__ = ["Chooser", "Dropped", "Filter", "Pool", "Selection", "select_images"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """The images that there are to choose from.

    Attributes:
        dataset: which they are of.
        records: N images, sorted by id.
        census: their pixels of each class, in the same order.
    """

    dataset: Dataset
    records: tuple[Record, ...]
    census: Census

    def __len__(self) -> int:
        return len(self.records)

    def only(self, rows: NDArray[np.intp]) -> "Pool":
        """Return the pool of the images at `rows` (positions, ascending)."""
        return replace(self, records=tuple(self.records[row] for row in rows), census=self.census.rows(rows))


class Filter(Protocol):
    """Says of every image whether it may stay."""

    @property
    def words(self) -> tuple[str, ...]:
        """The criterion in the words of the command line."""
        ...

    def check(self, dataset: Dataset, records: Sequence[Record], /) -> None:
        """Raise what is wrong with the criterion's words, before anything is counted.

        Raises:
            UserError: the criterion makes no sense for this dataset.
        """
        ...

    def keep(self, pool: Pool) -> NDArray[np.bool_]:
        """Return for each image of the pool `(N,)` whether it stays.

        Raises:
            UserError: the criterion makes no sense for this dataset.
        """
        ...


class Chooser(Protocol):
    """Picks a number of images."""

    @property
    def words(self) -> tuple[str, ...]:
        """The criterion in the words of the command line."""
        ...

    def choose(self, pool: Pool, count: int) -> NDArray[np.intp]:
        """Return the positions of `count` different images of the pool, 1 <= `count` <= N, in any order.

        Raises:
            UserError: the criterion makes no sense for this dataset.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """The images that one criterion left out.

    Attributes:
        words: the criterion in the words of the command line.
        ids: of the images.
    """

    words: tuple[str, ...]
    ids: tuple[str, ...]

    @property
    def criterion(self) -> str:
        """The criterion as one would type it."""
        return shlex.join(self.words)


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """What was selected of a split, and why the rest was not.

    Attributes:
        dataset: what was selected from.
        split: its split.
        fingerprint: of all images of the split.
        chosen: the selected images, sorted by id.
        rest: the images that passed every filter and were not chosen, sorted by id.
        dropped: what each criterion left out, in the order in which they were applied.
        before: the classes of all images of the split.
        after: the classes of the selected ones.
    """

    dataset: Dataset
    split: str
    fingerprint: str
    chosen: tuple[Record, ...]
    rest: tuple[Record, ...]
    dropped: tuple[Dropped, ...]
    before: Census
    after: Census

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the selected images."""
        return self.after.ids


def select_images(
    dataset: Dataset,
    *,
    split: str | None = None,
    filters: Sequence[Filter] = (),
    chooser: Chooser | None = None,
    count: int | None = None,
    share: float | None = None,
) -> Selection:
    """Select images of one split.

    Args:
        dataset: what to select from.
        split: by default the recipe's training split.
        filters: applied one after the other; each sees what those before it left.
        chooser: what picks the images, where a number of them is asked for.
        count: how many to choose.
        share: which part of those that pass the filters to choose; at least one image.

    Raises:
        RecipeError: the criteria contradict each other.
        DataError: the split is missing or damaged, nothing is left, or fewer than `count`.
    """
    _check_amount(chooser, count, share)
    split = split or dataset.recipe.data.train
    records = dataset.records(split)
    for criterion in filters:
        criterion.check(dataset, records)
    _wanted(len(records), count, share or 1.0)
    everything = _pool(dataset, records)
    pool, dropped = everything, []
    for criterion in filters:
        stays = criterion.keep(pool)
        dropped.append(_dropped(criterion.words, pool, ~stays))
        if not stays.any():
            raise DataError(f"{dropped[-1].criterion} leaves none of the {len(pool)} images: loosen it or leave it out")
        pool = pool.only(np.flatnonzero(stays))
    chosen = np.ones(len(pool), dtype=np.bool_)
    if chooser is not None:
        wanted = _wanted(len(pool), count, share)
        chosen[:] = False
        chosen[chooser.choose(pool, wanted)] = True
        assert chosen.sum() == wanted, "a chooser returns as many different images as it is asked for"
        amount = ("--count", str(count)) if share is None else ("--share", f"{share:g}")
        dropped.append(_dropped((*chooser.words, *amount), pool, ~chosen))
    selected, rest = pool.only(np.flatnonzero(chosen)), pool.only(np.flatnonzero(~chosen))
    return Selection(
        dataset=dataset,
        split=split,
        fingerprint=fingerprint(everything.records),
        chosen=selected.records,
        rest=rest.records,
        dropped=tuple(dropped),
        before=everything.census,
        after=selected.census,
    )


def _check_amount(chooser: Chooser | None, count: int | None, share: float | None) -> None:
    if count is not None and share is not None:
        raise RecipeError("--count and --share exclude each other: say how many in one way")
    if chooser is None and (count is not None or share is not None):
        raise RecipeError("--count and --share need a chooser: name by what to choose")
    if chooser is not None and count is None and share is None:
        raise RecipeError(f"{shlex.join(chooser.words)}: how many images? add --count N or --share 0.1")
    if count is not None and count < 1:
        raise RecipeError(f"--count {count}: choose at least one image")
    if share is not None and not 0 < share <= 1:
        raise RecipeError(f"--share {share:g}: not a share above 0 and up to 1")


def _pool(dataset: Dataset, records: Sequence[Record]) -> Pool:
    """Return images with what is counted in their masks."""
    with waiting(f"counting the classes of {len(records)} images") as progress:
        census = take_census(dataset.source, records, progress=progress)
    return Pool(dataset=dataset, records=tuple(records), census=census)


def _wanted(left: int, count: int | None, share: float | None) -> int:
    if count is None:
        assert share is not None
        return max(1, round(share * left))
    if count > left:
        raise DataError(f"--count {count}: only {left} images pass the filters: lower the count or loosen the filters")
    return count


def _dropped(words: tuple[str, ...], pool: Pool, gone: NDArray[np.bool_]) -> Dropped:
    return Dropped(words=words, ids=tuple(pool.records[row].id for row in np.flatnonzero(gone)))
