"""What a dataset consists of, in numbers: ``segfit data stats``.

``tally`` (one pass that counts) -> `Stats` (facts) -> ``suggestions`` (what they mean for a recipe) -> ``text`` and
``page`` (for people).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from segfit.curation.opening import Dataset
from segfit.curation.stats.pairs import pairs
from segfit.curation.stats.suggestions import (
    Suggestion,
    chosen_labels,
    effective_number,
    learnt_classes,
    median_frequency,
    suggest,
)
from segfit.curation.stats.tally import Tally, take_tally
from segfit.data.fingerprint import fingerprint

__all__ = ["Stats", "dataset_stats"]

SIZES = 50
"""How many of the most common image sizes the facts list."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stats:
    """The statistics of a dataset.

    Attributes:
        dataset: what was counted.
        overall: all images.
        splits: the images of each split, by its name.
        fingerprint: the hash that a run on this data records in its ``environment.json``.
    """

    dataset: Dataset
    overall: Tally
    splits: Mapping[str, Tally]
    fingerprint: str

    @property
    def base(self) -> str:
        """The split that suggestions are made for: the recipe's training split; the first one where it was not read."""
        named = self.dataset.recipe.data.train
        return named if named in self.splits else next(iter(self.splits))

    @cached_property
    def suggestions(self) -> tuple[Suggestion, ...]:
        """What the training split suggests for a recipe."""
        return suggest(self.dataset.recipe, self.splits[self.base])

    def missing(self, split: Tally) -> list[str]:
        """Return the names of the classes that `split` never shows."""
        return [self.names[i] for i in np.flatnonzero(split.pixels == 0).tolist()]

    def only_elsewhere(self) -> list[str]:
        """Return the names of the classes that other splits show but the `base` does not."""
        only = (self.overall.pixels > 0) & (self.splits[self.base].pixels == 0)
        return [self.names[i] for i in np.flatnonzero(only).tolist()]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the dataset's classes."""
        return self.overall.census.table.names

    def facts(self) -> dict[str, Any]:
        """Return everything, JSON-ready; shares are in 0..1."""
        data = self.dataset.recipe.data
        return {
            "dataset": {
                "kind": data.name,
                "root": str(data.root),
                "training": data.train,
                "validation": data.validation,
                "fingerprint": self.fingerprint,
            },
            "classes": len(self.names),
            "splits": {name: _split_facts(split) for name, split in self.splits.items()},
            "overall": _split_facts(self.overall),
            "missing": {name: self.missing(split) for name, split in self.splits.items()},
            "only_outside_training": self.only_elsewhere(),
            "co_occurrence": _co_occurrence_facts(self.overall),
            "class_weights": self._weight_facts(),
            "suggestions": [suggestion.facts() for suggestion in self.suggestions],
        }

    def _weight_facts(self) -> dict[str, Any] | None:
        learnt = learnt_classes(self.dataset.recipe, self.splits[self.base])
        if learnt is None:
            return None
        return {
            "split": self.base,
            "classes": list(learnt.labels.names),
            "median_frequency": median_frequency(learnt.frequency).tolist(),
            "effective_number": effective_number(learnt.images).tolist(),
        }


def dataset_stats(
    dataset: Dataset,
    splits: Sequence[str] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Stats:
    """Read every image and mask of a dataset once and count.

    Args:
        dataset: see `segfit.curation.opening.open_dataset`; what its recipe limits, is limited here.
        splits: which ones; by default the dataset's.
        progress: called with (images done, all images).

    Raises:
        UserError: no such split, an unreadable or inconsistent pair of image and mask, or a choice of classes that does
            not fit the dataset.
    """
    data = dataset.recipe.data
    assert data.root is not None, "the recipe is resolved"
    # A wrong choice of classes is refused before thousands of files are read.
    chosen_labels(dataset.recipe, dataset.source.labels, [0.0] * len(dataset.source.labels))
    usual = [name for name in (data.train, data.validation) if name in dataset.splits]
    chosen = {name: dataset.records(name) for name in dict.fromkeys(splits or (*usual, *dataset.splits))}
    overall = take_tally(dataset.source, data.root, [record for part in chosen.values() for record in part], progress)
    starts = accumulate(map(len, chosen.values()), initial=0)
    parts = {name: overall.part(start, len(part)) for start, (name, part) in zip(starts, chosen.items(), strict=False)}
    # Whatever was counted, the fingerprint is that of a run.
    return Stats(dataset=dataset, overall=overall, splits=parts, fingerprint=fingerprint(dataset.used()))


# --- facts -----------------------------------------------------------------------------------------------------------


def _split_facts(split: Tally) -> dict[str, Any]:
    table, order = split.census.table, split.order
    return {
        "images": len(split.records),
        "pixels": split.area,
        "ignored": 1 - split.annotated / split.area,
        "classes": [
            {
                "id": table.ids[i],
                "name": table.names[i],
                "pixels": int(split.pixels[i]),
                "share": float(split.pixels[i] / split.area),
                "share_of_annotated": float(split.pixels[i] / split.annotated),
                "images": int(split.images[i]),
                "share_where_shown": float(split.where_shown[i]),
            }
            for i in order
        ],
        "coverage": [
            {"k": k, "of_annotated": annotated, "of_all": whole}
            for k, (annotated, whole) in enumerate(split.coverage().tolist(), 1)
        ],
        "sizes": _size_facts(split),
        "colors": {"mean": split.colors.mean, "std": split.colors.std},
        "scenes": dict(split.scene_counts()),
    }


def _size_facts(split: Tally) -> dict[str, Any]:
    height, width = split.census.sizes.T
    sides = {"height": height, "width": width, "short_side": np.minimum(height, width), "aspect": width / height}
    counts = split.size_counts()
    return {
        **{
            name: dict(zip(("min", "median", "max"), np.quantile(values, (0, 0.5, 1)).tolist(), strict=True))
            for name, values in sides.items()
        },
        "distinct": len(counts),
        "most_common": [{"height": h, "width": w, "images": n} for (h, w), n in counts[:SIZES]],
    }


def _co_occurrence_facts(overall: Tally) -> dict[str, Any]:
    order = list(overall.order)
    return {
        "classes": [overall.census.table.names[i] for i in order],
        "images": overall.co_occurrence[np.ix_(order, order)].tolist(),
        "pairs": [pair.facts(overall.census.table.names) for pair in pairs(overall)],
    }
