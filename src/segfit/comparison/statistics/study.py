"""The statistics of runs that were scored on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segfit.comparison.entrants import Entrant
from segfit.comparison.statistics.corrections import holm
from segfit.comparison.statistics.differences import ClassDifference, Difference, class_deltas, difference
from segfit.comparison.statistics.ratios import RATIOS
from segfit.comparison.statistics.resampling import how_many, resample
from segfit.comparison.statistics.samples import Sample, sample
from segfit.comparison.statistics.standings import Standing, standing
from segfit.evaluation.metrics import ClassCounts

__all__ = ["FEWEST_IMAGES", "Statistics", "study"]

FEWEST_IMAGES = 10
"""Below this the spread over images is too uncertain itself for an interval to mean anything."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """What may be said of entrants that were scored on the same images.

    Attributes:
        images: how many.
        resamples: how many resampled sets the probabilities are shares of.
        standings: one an entrant, best first.
        differences: one a pair, the better one first: the best entrant against all others, then the second, …
    """

    images: int
    resamples: int
    standings: tuple[Standing, ...]
    differences: tuple[Difference, ...]
    _samples: dict[str, Sample]
    _present: NDArray[np.int64]

    @cached_property
    def _rows(self) -> dict[str, Standing]:
        return {row.name: standing for standing in self.standings for row in standing.entrant.rows}

    @property
    def best(self) -> Standing:
        """The entrant with the highest mean score."""
        return self.standings[0]

    def row(self, name: str) -> Standing:
        """Return where the entrant of the row `name` stands; trainings of one entrant share it."""
        return self._rows[name]

    def difference(self, first: str, second: str) -> Difference:
        """Return the difference of two entrants, given by name in either order."""
        return next(pair for pair in self.differences if {pair.better, pair.other} == {first, second})

    def classes(self, first: str, second: str) -> tuple[ClassDifference, ...]:
        """Return the differences of two entrants (first minus second) in every class that is in the ground truth."""
        return class_deltas(self._samples[first], self._samples[second], self._present, list(self._samples.values()))

    @cached_property
    def tied(self) -> tuple[Standing, ...]:
        """The best entrant and all that are not distinguishable from it, best first."""
        best = self.best.name
        return tuple(
            standing
            for standing in self.standings
            if standing.name == best or not self.difference(best, standing.name).distinguishable
        )

    @property
    def repeated(self) -> bool:
        """Some entrant was trained with several seeds."""
        return any(len(standing.trainings) > 1 for standing in self.standings)

    def to_facts(self) -> dict[str, Any]:
        """Return all of it JSON-ready."""
        return {
            "images": self.images,
            "resamples": self.resamples,
            "entrants": [_standing_facts(standing) for standing in self.standings],
            "differences": [_difference_facts(pair) for pair in self.differences],
        }


def study(entrants: Sequence[Entrant], counts: dict[str, ClassCounts], score: str) -> Statistics:
    """Return the statistics of entrants.

    Args:
        entrants: best first.
        counts: `(N, K)` counts per image of each row, by its name; the same images in the same order.
        score: the score that sorts.
    """
    first = next(iter(counts.values())).target
    images, classes = first.shape
    assert images >= FEWEST_IMAGES, "too few images: the caller says so"
    ratios = {name: RATIOS[score](part) for name, part in counts.items()}
    samples = {entrant.name: sample([ratios[row.name] for row in entrant.rows]) for entrant in entrants}
    order = sorted(entrants, key=lambda entrant: (-samples[entrant.name].value, entrant.name))
    count = how_many(len(counts), images, classes)
    drawn = dict(zip(ratios, resample(list(ratios.values()), count), strict=True)) if len(entrants) > 1 else {}
    resampled = {e.name: np.mean([drawn[row.name] for row in e.rows], axis=0) for e in entrants if drawn}
    pairs = [
        difference(
            (a.name, b.name),
            (samples[a.name], samples[b.name]),
            (resampled[a.name], resampled[b.name]),
            list(samples.values()),
        )
        for a, b in combinations(order, 2)
    ]
    corrected = holm([pair.p_value for pair in pairs])
    return Statistics(
        images=images,
        resamples=count if drawn else 0,
        standings=tuple(
            standing(entrant, [counts[row.name] for row in entrant.rows], score, samples[entrant.name])
            for entrant in order
        ),
        differences=tuple(replace(pair, corrected=value) for pair, value in zip(pairs, corrected, strict=True)),
        _samples=samples,
        _present=first.astype(bool).sum(axis=0),
    )


def _standing_facts(standing: Standing) -> dict[str, Any]:
    return {
        "name": standing.name,
        "runs": [row.name for row in standing.entrant.rows],
        "seeds": [run.recipe.train.seed for run in standing.entrant.runs],
        "trainings": list(standing.trainings),
        "seed_spread": standing.seed_spread,
        "scores": {
            name: {"value": estimate.value, "low": estimate.interval.low, "high": estimate.interval.high}
            for name, estimate in standing.scores.items()
        },
    }


def _difference_facts(pair: Difference) -> dict[str, Any]:
    return {
        "better": pair.better,
        "other": pair.other,
        "difference": pair.value,
        "low": pair.interval.low,
        "high": pair.interval.high,
        "probability": pair.probability,
        "p_value": pair.p_value,
        "p_corrected": pair.corrected,
        "distinguishable": pair.distinguishable,
        "words": pair.words(),
    }
