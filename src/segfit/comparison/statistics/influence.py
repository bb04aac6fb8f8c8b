"""What each image contributes to the uncertainty of a score: the infinitesimal jackknife, corrected for rare classes.

The score of a class is a mean of its scores in the images, ``D = sum of w_i d_i``, weighted by the share ``w_i`` of its
pixels that each holds. Had the set held a little more of image i, the score would have moved by ``w_i (d_i - D)``: this
is the image's influence, and the sum of its squares estimates the variance of D (Jaeckel 1972; Efron 1982).

For a class that occurs in few images, or whose pixels are nearly all in one, that sum is too small, because D follows
the very images it is compared with; and a plain bootstrap is too narrow by the same share. For independent d_i of equal
variance the expectation of ``(d_i - D)^2`` is that variance times ``1 - 2 w_i + sum of w_j^2``, so each influence is
divided by the root of this (the correction HC2 of MacKinnon and White 1985 for this mean). With equal weights it is the
familiar n / (n - 1). A class that occurs in one image tells nothing about its spread; see `image_spread`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segfit.comparison.statistics.ratios import Ratios
from segfit.comparison.statistics.spread import Part

__all__ = ["Influence", "class_spreads", "image_spread", "influence", "mean_influence"]

Values = NDArray[np.float64]

ALONE = 1 - 1e-9
"""From this concentration on a class is in one image, whatever rounding says."""


@dataclass(frozen=True, eq=False)
class Influence:
    """The influence of every image on the score of every class.

    Attributes:
        images: `(N, K)` corrected influence on the class's own score; 0 where it cannot be told.
        concentration: `(K,)` sum of the squared weights: one over the number of images that a class effectively rests
            on; 1 where it rests on one, 0 where it does not occur or nothing of it was found anywhere.
        share: one over the number of classes that the mean is over.
    """

    images: Values
    concentration: Values
    share: float

    def scaled(self, share: float) -> "Influence":
        """Return the same influence on the mean, written for classes that count `share` each."""
        return self if share == self.share else Influence(self.images * (self.share / share), self.concentration, share)

    def minus(self, other: "Influence") -> "Influence":
        """Return the influence on the difference of two scores of the same images.

        The means may be over different classes, where only one model predicts a class that is nowhere true.
        """
        concentration = np.maximum(self.concentration, other.concentration)
        images = self.images - other.scaled(self.share).images
        images[:, concentration > ALONE] = 0.0
        return Influence(images, concentration, self.share)

    @property
    def mean(self) -> Values:
        """`(N,)` influence of every image on the mean over classes."""
        total: Values = self.share * self.images.sum(axis=1)
        return total


def influence(ratios: Ratios) -> Influence:
    """Return the influence of every image on a score."""
    total = np.where(ratios.occurs, ratios.bottom.sum(axis=0), 1.0)
    weights = ratios.bottom / total
    concentration = np.einsum("nk,nk->k", weights, weights)
    images = ratios.top / total
    images -= weights * ratios.classes
    alone = concentration > ALONE
    weights *= -2.0
    weights += 1.0 + concentration
    np.sqrt(np.maximum(weights, 1e-12, out=weights), out=weights)
    images /= weights
    images[:, alone] = 0.0
    found = ratios.top.any(axis=0)
    return Influence(images, np.where(found, concentration, 0.0), 1.0 / max(1, int(ratios.occurs.sum())))


def mean_influence(parts: Sequence[Influence]) -> Influence:
    """Return the influence on the mean score of several trainings."""
    share = parts[0].share
    images = np.mean([part.scaled(share).images for part in parts], axis=0) if len(parts) > 1 else parts[0].images
    return Influence(images, np.max([part.concentration for part in parts], axis=0), share)


def image_spread(of: Influence) -> Part:
    """Return the variance that the choice of images gives to a mean over classes, and its degrees of freedom.

    Classes in one image get the mean variance, per effective image, of the others: without that a set of many rare
    classes would seem more certain the rarer they are. Where all are in one image, nothing tells the variance: it is
    infinite, and nothing can be claimed.
    """
    mean = of.mean
    variance = float(mean @ mean)
    alone = of.concentration > ALONE
    others = of.concentration[~alone].sum()
    if alone.any() and others == 0:
        return Part(np.inf, 1.0)
    if alone.any():
        per_image = float(np.einsum("nk,nk->", of.images, of.images)) / others
        variance += float(alone.sum()) * per_image * of.share**2
    return Part(variance, _freedom(mean))


def class_spreads(of: Influence) -> list[Part]:
    """Return for each of the K classes the variance of its own score."""
    return [Part(float(column @ column), _freedom(column[column != 0])) for column in of.images.T]


def _freedom(values: Values) -> float:
    """Return the degrees of freedom of a sum of squares, by its own fourth moment (Satterthwaite 1946).

    ``2 V^2 / Var(V)``: N for normal values, fewer where few images decide.
    """
    count = len(values)
    if count < 2:
        return 1.0
    squares = values * values
    variance = squares.sum()
    noise = (squares @ squares) - variance**2 / count
    if noise <= 0 or variance == 0:
        return float(count - 1)
    return float(np.clip(2 * variance**2 / noise, 1.0, count - 1.0))
