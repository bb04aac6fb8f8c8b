"""Which classes a model learns, and how a mask's numbers become theirs.

Two id spaces exist, and only this file converts between them:

* **source ids**: the numbers that a dataset's masks hold (ADE20K: 0 = other, 1..150 = classes);
* **train ids**: 0..K-1, what a model scores, with one ignore index (`IGNORE`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.config import Rest
from segfit.errors import DataError, RecipeError, did_you_mean

__all__ = ["IGNORE", "OTHER", "LabelSpace", "LabelTable", "Mask", "distinct_colors", "select"]

OTHER = "other"
"""The name of the extra class that `rest="other"` adds."""

IGNORE = 255
"""The ignore index of every train-id mask (masks are uint8; at most 254 classes are learnt)."""

UNKNOWN = 254
"""Stands for an unknown source id while a mask is encoded; train ids end at 253 and `IGNORE` is 255."""

Mask = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """The classes that a dataset annotates, in its own order.

    Attributes:
        ids: source id of each class.
        names: name of each class.
        colors: `(n, 3)` RGB colour of each class, for pictures.
        ratios: share of all pixels of each class, in [0, 1], as published or counted; None when unknown.
        ignored: source ids that mean "not annotated" (ADE20K's 0, CamVid's 11).
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    ratios: tuple[float, ...] | None = None
    ignored: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.ids) == len(self.names) == len(self.colors), "one name and one colour per class"
        assert len(set(self.ids)) == len(self.ids), "source ids are unique"
        assert not set(self.ids) & set(self.ignored), "a class cannot be ignored at the source"

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True)
class LabelSpace:
    """The classes that a model learns, with the map from source ids to train ids.

    Attributes:
        names: name of each train id.
        colors: RGB colour of each train id.
        to_train: pairs (source id, train id or `IGNORE`) for every source id that may occur in a mask.
        coverage: share of the pixels that the selected classes cover, without the rest; None when ratios are unknown.
        extra: train id of the class that stands for all classes left out; None where there is none.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    to_train: tuple[tuple[int, int], ...]
    coverage: float | None = None
    extra: int | None = None

    def __len__(self) -> int:
        return len(self.names)

    def lookup(self) -> NDArray[np.int16]:
        """Return the table source id -> train id; -1 where a source id is unknown."""
        table = np.full(max(source for source, _ in self.to_train) + 1, -1, dtype=np.int16)
        for source, train in self.to_train:
            table[source] = train
        return table

    def encode(self, mask: NDArray[np.integer], *, where: str = "mask") -> Mask:
        """Convert a mask of source ids to train ids.

        Args:
            mask: `(H, W)` source ids.
            where: what the mask is, for the error message (a path).

        Raises:
            DataError: the mask holds an id that the label space does not know.
        """
        encoded = self._encode_bytes(mask) if mask.dtype == np.uint8 and mask.size else self._encode_wide(mask)
        if not (encoded == UNKNOWN).any():
            return encoded
        known = np.flatnonzero(self.lookup() >= 0)
        unknown = sorted(set(np.unique(mask).tolist()) - set(known.tolist()))
        raise DataError(
            f"{where}: label id {', '.join(map(str, unknown[:5]))} is not in the label space "
            f"({known[0]}..{known[-1]}): correct the mask or the class list"
        )

    @cached_property
    def _table(self) -> Mask:
        """Source id -> train id or `UNKNOWN`, for at least all uint8 values."""
        known = self.lookup()
        table = np.full(max(len(known), 256), UNKNOWN, dtype=np.uint8)
        table[: len(known)] = np.where(known >= 0, known, UNKNOWN)
        return table

    def _encode_bytes(self, mask: NDArray[np.integer]) -> Mask:
        # Eight times as fast as NumPy's indexing.
        encoded: Mask = cv2.LUT(mask, self._table[:256])
        return encoded.reshape(mask.shape)

    def _encode_wide(self, mask: NDArray[np.integer]) -> Mask:
        # What is beyond the table is unknown; a negative id would count from its end.
        inside = (mask >= 0) & (mask < len(self._table))
        encoded: Mask = np.where(inside, self._table.take(mask, mode="clip"), np.uint8(UNKNOWN))
        return encoded

    def decode(self, train: NDArray[np.integer]) -> NDArray[np.uint16]:
        """Convert `(H, W)` train ids to source ids, as a submission names classes; the extra ``other`` becomes 0.

        Raises:
            DataError: there is a class ``other``, but 0 is a class of the dataset.
        """
        if self.extra is not None and any(source == 0 and target != IGNORE for source, target in self.to_train):
            raise DataError(
                "the class 'other' has no id in this dataset, whose masks use 0 for a class: use rest: ignore"
            )
        table = np.array([self.source_id(target) for target in range(len(self))], dtype=np.uint16)
        sources: NDArray[np.uint16] = table[train]
        return sources

    def source_id(self, train: int) -> int:
        """Return the source id that train id `train` stands for; 0 for the extra class ``other``."""
        if train == self.extra:
            return 0
        return next(source for source, target in self.to_train if target == train)


def select(
    table: LabelTable,
    *,
    top: int | None = None,
    classes: Sequence[str] | None = None,
    rest: Rest = "ignore",
) -> LabelSpace:
    """Choose the classes to learn.

    Args:
        table: the classes that the dataset annotates.
        top: keep the `top` classes with the largest pixel ratio; None keeps all.
        classes: keep these, by name; not together with `top`.
        rest: what becomes of the classes left out (see `Rest`). Pixels that the dataset itself does not annotate are
            always ignored, except that ``most-common`` gives nothing but classes to the rest, too.

    Raises:
        RecipeError: both selections given, an unknown name, `top` out of range, or no ratios to choose by.
    """
    kept = _kept(table, top, classes)
    names = [table.names[i] for i in kept]
    colors = [table.colors[i] for i in kept]
    left = [i for i in range(len(table)) if i not in set(kept)]
    rest_id, extra = IGNORE, None
    if left and rest == "other":
        if OTHER in names:
            raise RecipeError("labels.rest: the dataset has a class called 'other': use rest: ignore")
        rest_id = extra = len(names)
        names.append(OTHER)
        colors.append((96, 96, 96))
    elif left and rest == "most-common":
        winner = most_common(table)
        if winner not in kept:
            raise RecipeError(
                f"labels.rest: most-common paints the rest with {table.names[winner]!r}, which labels.classes leaves "
                "out: add it or use rest: other"
            )
        rest_id = kept.index(winner)
    # A kept class comes before the rest in `to_train`, so that `source_id` finds the class itself first.
    pairs = [(table.ids[i], train) for train, i in enumerate(kept)]
    pairs += [(table.ids[i], rest_id) for i in left]
    pairs += [(source, IGNORE) for source in table.ignored]
    if len(names) >= IGNORE:
        raise RecipeError(f"labels: {len(names)} classes; at most {IGNORE - 1} are supported: use labels.top")
    coverage = sum(table.ratios[i] for i in kept) if table.ratios is not None else None
    return LabelSpace(names=tuple(names), colors=tuple(colors), to_train=tuple(pairs), coverage=coverage, extra=extra)


def most_common(table: LabelTable) -> int:
    """Return the position of the class with the largest pixel ratio.

    Raises:
        RecipeError: the dataset has no pixel ratios.
    """
    if table.ratios is None:
        raise RecipeError("labels: this dataset publishes no pixel ratios: count them with labels.ratios=dataset")
    return max(range(len(table)), key=lambda i: table.ratios[i] if table.ratios is not None else 0.0)


def _kept(table: LabelTable, top: int | None, classes: Sequence[str] | None) -> list[int]:
    """Return the positions of the classes to learn, in the dataset's order."""
    if top is not None and classes is not None:
        raise RecipeError("labels: give either top or classes, not both")
    if classes is not None:
        by_name = {name: i for i, name in enumerate(table.names)}
        # ADE20K names are lists of synonyms ("building, edifice"): the first word of one is accepted, too.
        by_word = {name.split(",")[0].strip(): i for i, name in reversed(list(enumerate(table.names)))}
        kept = []
        for name in classes:
            position = by_name.get(name, by_word.get(name))
            if position is None:
                raise RecipeError(f"labels.classes: no class is called {name!r}{did_you_mean(name, by_word)}")
            kept.append(position)
        if not kept or len(set(kept)) != len(kept):
            raise RecipeError("labels.classes: name at least one class, and each only once")
        return sorted(kept)
    if top is None:
        return list(range(len(table)))
    if not 1 <= top <= len(table):
        raise RecipeError(f"labels.top: {top} is not between 1 and the dataset's {len(table)} classes")
    if top == len(table):
        return list(range(len(table)))
    most_common(table)  # raises when there are no ratios to choose by
    assert table.ratios is not None
    order = sorted(range(len(table)), key=lambda i: (-table.ratios[i], i))  # type: ignore[index]
    return sorted(order[:top])


def distinct_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return `count` RGB colours that differ from one another, the same ones every time.

    Hues follow the golden ratio, so that neighbouring ids are far apart; lightness and saturation alternate.
    """
    import colorsys

    colors = []
    for i in range(count):
        hue = (0.61 + i * 0.618033988749895) % 1.0
        red, green, blue = colorsys.hls_to_rgb(hue, (0.45, 0.62, 0.35)[i % 3], (0.65, 0.5, 0.8)[i % 3])
        colors.append((round(red * 255), round(green * 255), round(blue * 255)))
    return tuple(colors)
