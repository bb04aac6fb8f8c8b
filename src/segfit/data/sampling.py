"""Which images an epoch shows, and how often.

Rare classes are sampled by repeat factors: A. Gupta, P. Dollár, R. Girshick, "LVIS: A Dataset for Large Vocabulary
Instance Segmentation", CVPR 2019, appendix B. A class that a share f of the images shows has the factor
``max(1, sqrt(t / f))``, and an image the largest factor of its classes. LVIS sets t to 0.001 for its 1203 classes; here
t is the median of f over the classes that occur, so that the rarer half of any dataset's classes is repeated.

An epoch keeps its length, so what is repeated displaces images without rare classes.
"""

import numpy as np
from numpy.typing import NDArray

from segfit.data.census import Census
from segfit.labels import LabelSpace

__all__ = ["draw_epoch", "rare_weights"]

Indices = NDArray[np.int64]


def rare_weights(census: Census, labels: LabelSpace) -> NDArray[np.float64]:
    """Return the repeat factor of every image `(N,)`, at least 1.

    Args:
        census: of the training masks.
        labels: the classes that are learnt; only they count.
    """
    shown = census.learnt(labels) > 0
    frequency = shown.mean(0)
    shown, frequency = shown[:, frequency > 0], frequency[frequency > 0]
    if not frequency.size:
        return np.ones(len(census.ids))
    factors = np.sqrt(np.maximum(np.median(frequency) / frequency, 1.0))
    weights: NDArray[np.float64] = np.where(shown, factors, 1.0).max(1)
    return weights


def draw_epoch(weights: NDArray[np.float64], rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Draw as many images as there are, each expected in proportion to its weight, and put them into random order.

    Every image is drawn as often as expected, rounded down or up at random (systematic sampling, W. G. Madow, 1949).
    With equal weights each is drawn once, and the order is ``rng.permutation(N)``.

    Args:
        weights: `(N,)`, positive.
        rng: source of randomness.

    Returns:
        `(N,)` indices of the images, and `(N,)` how often each had been drawn before.
    """
    count = len(weights)
    order = rng.permutation(count)
    # Neighbours in systematic sampling exclude one another: they change with every epoch.
    arrangement = rng.permutation(count)
    # Relative to the smallest one, equal weights are 1 exactly, and so are their sums.
    scaled = weights[arrangement] / weights.min()
    ends = np.cumsum(scaled) * (count / scaled.sum())
    # A multiple of 2**-20 can be added to any index without rounding.
    offset = rng.integers(2**20) / 2**20
    drawn = np.searchsorted(ends[:-1], np.arange(count) + offset, side="right")
    times = np.zeros(count, dtype=np.int64)
    times[arrangement] = np.bincount(drawn, minlength=count)
    images = np.repeat(np.arange(count), times)
    before = np.arange(count) - np.repeat(np.cumsum(times) - times, times)
    return images[order], before[order]
