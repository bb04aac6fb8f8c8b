"""Scores as means of ratios: what Dice, IoU and the accuracies have in common, so that one theory serves them all.

Shape suffixes: N images, K classes (or 1, where a score does not tell classes apart).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segfit.evaluation.metrics import ClassCounts, macro_dice, macro_iou

__all__ = ["RATIOS", "Ratios"]

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ratios:
    """A score that is the mean over classes of ``sum over images of top / sum over images of bottom``.

    Attributes:
        top: `(N, K)` float64; pixel counts are exact below 2^53.
        bottom: `(N, K)` float64, nowhere negative.
    """

    top: Values
    bottom: Values

    @cached_property
    def occurs(self) -> NDArray[np.bool_]:
        """`(K,)`: the class enters the mean."""
        present: NDArray[np.bool_] = np.asarray(self.bottom.any(axis=0))
        return present

    @cached_property
    def classes(self) -> Values:
        """`(K,)` ratio of each class; 0 where it does not occur."""
        total: Values = self.bottom.sum(axis=0)
        ratios: Values = np.divide(self.top.sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
        return ratios

    @property
    def score(self) -> float:
        """The mean over the classes that occur."""
        return float(self.classes.sum() / max(1, self.occurs.sum()))


def _dice(counts: ClassCounts) -> Ratios:
    return _ratios(2 * counts.hits, counts.target + counts.prediction)


def _miou(counts: ClassCounts) -> Ratios:
    return _ratios(counts.hits, counts.target + counts.prediction - counts.hits)


def _pixel_accuracy(counts: ClassCounts) -> Ratios:
    return _ratios(counts.hits.sum(axis=1, keepdims=True), counts.target.sum(axis=1, keepdims=True))


def _dice_per_image(counts: ClassCounts) -> Ratios:
    return _mean(macro_dice(counts), counts)


def _miou_per_image(counts: ClassCounts) -> Ratios:
    return _mean(macro_iou(counts), counts)


def _mean(values: Values, counts: ClassCounts) -> Ratios:
    """Return the mean over the images that have a valid pixel."""
    valid = np.asarray(counts.target.any(axis=1))
    return Ratios(np.where(valid, values, 0.0).reshape(-1, 1), valid.astype(np.float64).reshape(-1, 1))


def _ratios(top: NDArray[np.int64], bottom: NDArray[np.int64]) -> Ratios:
    return Ratios(top.astype(np.float64), bottom.astype(np.float64))


RATIOS: dict[str, Callable[[ClassCounts], Ratios]] = {
    "dice": _dice,
    "miou": _miou,
    "pixel_accuracy": _pixel_accuracy,
    "dice_per_image": _dice_per_image,
    "miou_per_image": _miou_per_image,
}
"""The scores that get an interval, from `(N, K)` counts per image."""
