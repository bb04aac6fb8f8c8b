"""How sure a comparison is: intervals, differences and what may be said of them.

One file a step: scores as means of ratios (`ratios`), what the images contribute to their spread (`influence`), what
the seeds add and the intervals that follow (`spread`), paired resamples (`resampling`), many claims at once
(`corrections`), and all of it for a group of runs (`standings`, `differences`, `study`).
"""

from segfit.comparison.statistics.differences import FEWEST_IMAGES_OF_A_CLASS, ClassDifference, Difference
from segfit.comparison.statistics.spread import Interval
from segfit.comparison.statistics.standings import Standing
from segfit.comparison.statistics.study import FEWEST_IMAGES, Statistics, study

__all__ = [
    "FEWEST_IMAGES",
    "FEWEST_IMAGES_OF_A_CLASS",
    "ClassDifference",
    "Difference",
    "Interval",
    "Standing",
    "Statistics",
    "study",
]
