"""Many claims at once: the more there are, the more look true by chance."""

from collections.abc import Sequence

import numpy as np

__all__ = ["holm"]


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected so that false claims among them are rare *together* (Holm 1979).

    Claiming whatever is below 0.05 afterwards makes even one false claim in at most 5 % of the comparisons, however
    the p-values depend on one another: classes of the same images and pairs with a common run are not independent, so
    a correction that needs independence would not do. It is never weaker than Bonferroni's.
    """
    count = len(values)
    order = np.argsort(np.asarray(values, dtype=np.float64), kind="stable")
    raised = np.asarray(values, dtype=np.float64)[order] * (count - np.arange(count))
    corrected = np.empty(count)
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return [float(value) for value in corrected]
