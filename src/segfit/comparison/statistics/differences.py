"""Two entrants on the same images: by how much they differ, how sure that is, and in which classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segfit.comparison.statistics.corrections import holm
from segfit.comparison.statistics.samples import Sample, class_differences, difference_spread
from segfit.comparison.statistics.spread import Interval

__all__ = ["ALPHA", "FEWEST_IMAGES_OF_A_CLASS", "ClassDifference", "Difference", "class_deltas", "difference"]

Values = NDArray[np.float64]

ALPHA = 0.05
"""A claim is made where its corrected p-value is below this."""

NORMAL_95 = 1.959964
"""Standard deviations to either side that hold 95 % of a normal distribution."""

FEWEST_IMAGES_OF_A_CLASS = 5.0
"""Effective images with a class below which nothing is claimed of it: so few tell too little of their own spread."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The better of two entrants against the other.

    Attributes:
        better: name of the entrant with the higher mean score.
        other: name of the other one.
        value: how much higher, not below 0.
        interval: of it, for this pair alone, within [-1, 1].
        probability: that `better` is better: the share of the resamples, spread like the interval, in which it is; with
            several seeds, which resampled images know nothing of, one minus half of the p-value.
        seeds: the interval is over seeds, too.
        p_value: of no difference, for this pair alone.
        corrected: the p-value among those of all pairs (Holm).
        identical: both scored exactly alike in every image.
    """

    better: str
    other: str
    value: float
    interval: Interval
    probability: float
    seeds: bool
    p_value: float
    corrected: float
    identical: bool

    @property
    def distinguishable(self) -> bool:
        """One may say that `better` is better, also among all the pairs that were looked at."""
        return self.corrected < ALPHA

    def words(self) -> str:
        """Return what may be said, in a sentence."""
        low, high = (f"{end:z.3f}".replace("-", "\N{MINUS SIGN}") for end in (self.interval.low, self.interval.high))
        span = f"95 % interval {low} to {high}"
        if self.identical:
            return f"{self.better} and {self.other} scored exactly alike in every image."
        if self.distinguishable:
            return f"{self.better} is better than {self.other} by {self.value:.3f} ({span})."
        text = f"{self.better} and {self.other} are not distinguishable on these images"
        if self.p_value < ALPHA:
            return (
                f"{text}: the difference of {self.value:.3f} ({span}) would stand alone, but not among all the pairs "
                "that were looked at."
            )
        return f"{text}: the difference of {self.value:.3f} may be nothing but chance ({span})."


@dataclass(frozen=True, kw_only=True)
class ClassDifference:
    """One class in two entrants.

    Attributes:
        index: the class's train id.
        value: score of the first entrant minus that of the second.
        interval: of it, for this class alone, within [-1, 1]; None where too few images have the class.
        p_value: of no difference, for this class alone; None likewise.
        corrected: the p-value among those of all classes (Holm); None likewise.
        images: in how many images the class occurs.
    """

    index: int
    value: float
    interval: Interval | None
    p_value: float | None
    corrected: float | None
    images: int

    @property
    def distinguishable(self) -> bool:
        """One may say that the entrants differ in this class."""
        return self.corrected is not None and self.corrected < ALPHA


def difference(
    names: tuple[str, str],
    samples: tuple[Sample, Sample],
    resamples: tuple[Values, Values],
    beside: Sequence[Sample] = (),
) -> Difference:
    """Return the difference of two entrants, uncorrected (`corrected` is the p-value).

    Args:
        names: of the better one and the other.
        samples: what is known of their scores.
        resamples: `(B,)` mean scores of each on the same resampled images.
        beside: what is known of the entrants of their group (see `difference_spread`).
    """
    better, other = samples
    spread = difference_spread(better, other, beside)
    value = better.value - other.value
    p_value, interval = spread.p_value(value), spread.interval(value)
    seeds = any(known.seeds.repeated for known in (*samples, *beside))
    probability = 1 - p_value / 2 if seeds else _probability(value, resamples[0] - resamples[1], interval)
    return Difference(
        better=names[0],
        other=names[1],
        value=value,
        interval=_bounded(interval),
        probability=probability,
        seeds=seeds,
        p_value=p_value,
        corrected=p_value,
        identical=value == 0 and spread.variance == 0,
    )


def _probability(value: float, resampled: Values, interval: Interval) -> float:
    """Return the share of resamples in which the difference is above zero; a tie counts half.

    Resamples vary too little where classes are rare, and their mean is a little off: they are moved to the difference
    and stretched until their standard deviation is that of the interval. The two then agree but for the shape of the
    resamples, which need not be that of a normal distribution.
    """
    if not np.isfinite(interval.high):
        return 0.5
    resampled = resampled - resampled.mean()
    width = NORMAL_95 * float(resampled.std())
    half = (interval.high - interval.low) / 2
    moved = value + resampled * (half / width if width > 0 else 0.0)
    return float((moved > 0).mean() + (moved == 0).mean() / 2)


def _bounded(interval: Interval) -> Interval:
    """Return the part of an interval that differences of scores can reach."""
    return Interval(low=max(-1.0, interval.low), high=min(1.0, interval.high))


def class_deltas(
    first: Sample, second: Sample, images: NDArray[np.int64], beside: Sequence[Sample] = ()
) -> tuple[ClassDifference, ...]:
    """Return the difference of two entrants in every class that occurs, in the order of the classes.

    Args:
        first: what is known of the one entrant.
        second: and of the other.
        images: `(K,)` in how many images each class is true.
        beside: what is known of the entrants of their group (see `difference_spread`).
    """
    values, spreads = class_differences(first, second, beside)
    concentration = np.maximum(first.influence.concentration, second.influence.concentration)
    # Of five equal images the sum of squares may be a rounding above a fifth.
    told = np.flatnonzero((concentration > 0) & (concentration * FEWEST_IMAGES_OF_A_CLASS <= 1 + 1e-9))
    p_values = {k: spreads[k].p_value(values[k]) for k in told.tolist()}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return tuple(
        ClassDifference(
            index=k,
            value=float(values[k]),
            interval=_bounded(spreads[k].interval(float(values[k]))) if k in p_values else None,
            p_value=p_values.get(k),
            corrected=corrected.get(k),
            images=int(images[k]),
        )
        for k in np.flatnonzero(images).tolist()
    )
