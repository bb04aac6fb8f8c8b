"""Filters by what an image shows: its scene category, and which classes cover which share of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segfit import labels
from segfit.curation.opening import Dataset
from segfit.curation.select import Pool
from segfit.data import Record
from segfit.data.scene_categories import SCENE_CATEGORIES, scene_categories
from segfit.errors import DataError, RecipeError, did_you_mean
from segfit.labels import LabelTable

__all__ = ["Limits", "Scenes", "With", "Without"]

CLASS_AND_SHARE = re.compile(r"(?P<name>.+):(?P<low>\d*\.?\d+)(-(?P<high>\d*\.?\d+))?")


@dataclass(frozen=True)
class Scenes:
    """Keeps images of scene categories; images without a category go.

    Attributes:
        patterns: of the categories, with ``*`` and ``?``; an image stays when one of them fits.
    """

    patterns: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The options."""
        return tuple(word for pattern in self.patterns for word in ("--scene", pattern))

    def check(self, dataset: Dataset, records: Sequence[Record], /) -> None:
        """Raise a `DataError` if nothing is known of the scenes, or a pattern fits none of them."""
        self._wanted(dataset, records)

    def keep(self, pool: Pool) -> NDArray[np.bool_]:
        """Return which images have one of the categories; errors as of `check`."""
        return self._wanted(pool.dataset, pool.records)

    def _wanted(self, dataset: Dataset, records: Sequence[Record]) -> NDArray[np.bool_]:
        root = Path(dataset.recipe.data.root or ".")
        found = scene_categories(root, records)
        known = {category for category in found if category is not None}
        if not known:
            raise DataError(
                f"{root}: no scene category of these images is known: write {SCENE_CATEGORIES} there, with one line "
                "NAME CATEGORY per image, or leave --scene out"
            )
        wanted: set[str] = set()
        for pattern in self.patterns:
            fitting = {category for category in known if fnmatchcase(category, pattern)}
            if not fitting:
                raise DataError(f"--scene {pattern}: no image has such a category{did_you_mean(pattern, known)}")
            wanted |= fitting
        return np.array([category in wanted for category in found])


@dataclass(frozen=True)
class With:
    """Keeps images that show a class.

    Attributes:
        wanted: ``CLASS`` (at least one pixel), ``CLASS:LOW`` (at least this share of the image's pixels) or
            ``CLASS:LOW-HIGH`` (both limits included). Of a class with synonyms, the first word is enough.
    """

    wanted: str

    @property
    def words(self) -> tuple[str, ...]:
        """The option."""
        return "--with", self.wanted

    def check(self, dataset: Dataset, _records: Sequence[Record], /) -> None:
        """Raise a `RecipeError` if there is no such class, or the limits are no shares."""
        Limits.of(dataset.source.labels, self.wanted, " ".join(self.words))

    def keep(self, pool: Pool) -> NDArray[np.bool_]:
        """Return which images show it; errors as of `check`."""
        return Limits.of(pool.census.table, self.wanted, " ".join(self.words)).hold(pool)


@dataclass(frozen=True)
class Without:
    """Keeps images that do not show a class.

    Attributes:
        unwanted: as in `With`.
    """

    unwanted: str

    @property
    def words(self) -> tuple[str, ...]:
        """The option."""
        return "--without", self.unwanted

    def check(self, dataset: Dataset, _records: Sequence[Record], /) -> None:
        """Raise a `RecipeError` if there is no such class, or the limits are no shares."""
        Limits.of(dataset.source.labels, self.unwanted, " ".join(self.words))

    def keep(self, pool: Pool) -> NDArray[np.bool_]:
        """Return which images do not show it; errors as of `check`."""
        return ~Limits.of(pool.census.table, self.unwanted, " ".join(self.words)).hold(pool)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of an image a class may cover.

    Attributes:
        position: of the class in the label table.
        low: least share; None for at least one pixel.
        high: largest share.
    """

    position: int
    low: float | None = None
    high: float = 1.0

    @classmethod
    def of(cls, table: LabelTable, text: str, option: str) -> "Limits":
        """Read what `text` (see `With.wanted`) says; `option` is for the error message.

        Raises:
            RecipeError: no such class, or limits that are no shares.
        """
        parts = None if text in table.names else CLASS_AND_SHARE.fullmatch(text)
        position = _position(table, parts["name"] if parts else text, option)
        if parts is None:
            return cls(position=position)
        low, high = float(parts["low"]), float(parts["high"] or 1)
        if not low <= high <= 1 or (low == 0 and parts["high"] is None):
            raise RecipeError(f"{option}: not limits of a share: write {parts['name']}:0.2 or {parts['name']}:0.2-0.5")
        return cls(position=position, low=low, high=high)

    def hold(self, pool: Pool) -> NDArray[np.bool_]:
        """Return for which images `(N,)` they hold."""
        pixels = pool.census.pixels[:, self.position]
        if self.low is None:
            return pixels > 0
        shares = pixels / pool.census.sizes.prod(axis=1)
        inside: NDArray[np.bool_] = (self.low <= shares) & (shares <= self.high)
        return inside


def _position(table: LabelTable, name: str, option: str) -> int:
    """Return the position of a class in the table, found by name as `labels.select` does."""
    try:
        found = labels.select(table, classes=(name,)).names[0]
    except RecipeError as error:
        raise RecipeError(f"{option}: {str(error).partition(': ')[2]}") from None
    return table.names.index(found)
