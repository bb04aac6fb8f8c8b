"""Which entrant to keep, by one rule that can be read, and why.

1. Nothing is recommended that is not better than always answering the most common class: its interval must lie above
   that score, or it must be distinguishably better than an entrant whose interval does (its score must be above, where
   there are no intervals).
2. What is not distinguishable from the best entrant is as good as it. What is distinguishably worse is out. Where there
   are no intervals, several entrants cannot be told apart or ranked, and nothing is recommended.
3. Of the entrants that are left the cheapest is kept: the least memory; where memory was measured in different ways,
   the least training time; where hardware differs, too, the fewest parameters. Costs within 5 % of the least are equal,
   and of equal ones the best score is kept. The best entrant only gives way to one that is more than 5 % below it.
"""

from dataclasses import dataclass

import numpy as np

from segfit.comparison.analysis import Analysis
from segfit.comparison.entrants import Entrant
from segfit.comparison.pareto import COSTS, Cost
from segfit.comparison.statistics import Statistics

__all__ = ["EQUAL", "Recommendation", "amount", "recommend"]

EQUAL = 1.05
"""Costs within this factor of the least are equal."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """Which entrant to keep.

    Attributes:
        keep: the entrant; None where nothing can be recommended.
        tied: the best entrant and those that are not distinguishable from it, best first and of equal scores the
            cheapest, as far as they beat the majority class.
        cost: by which cost `keep` was chosen among them; None where there was no choice.
        ratio: that cost of `keep` over that of the best-scored one of `tied`.
    """

    keep: Entrant | None
    tied: tuple[Entrant, ...] = ()
    cost: Cost | None = None
    ratio: float = 1.0


def recommend(analysis: Analysis) -> Recommendation:
    """Return which entrant of a group to keep, by the rule of this module."""
    tied = _contenders(analysis, analysis.statistics)
    if not tied:
        return Recommendation(keep=None)
    if len(tied) == 1:
        return Recommendation(keep=tied[0], tied=tied)
    runs = [run for entrant in tied for run in entrant.runs]
    costs = [cost for cost in COSTS if len({cost.measured_by(run) for run in runs}) == 1]
    # A soup that came out as its best ingredient scores exactly like it, and cost what all of them did.
    score = analysis.group.protocol.score
    tied = tuple(sorted(tied, key=lambda one: (-one.score(score), *(amount(one, cost) for cost in costs))))
    cost = costs[0]
    amounts = [amount(entrant, cost) for entrant in tied]
    cheap = [value <= EQUAL * min(amounts) and EQUAL * value < amounts[0] for value in amounts]
    chosen = 0 if amounts[0] <= EQUAL * min(amounts) else cheap.index(True)
    ratio = amounts[chosen] / amounts[0] if amounts[0] else 1.0
    return Recommendation(keep=tied[chosen], tied=tied, cost=cost, ratio=ratio)


def amount(entrant: Entrant, cost: Cost) -> float:
    """Return the mean cost of an entrant's trainings."""
    return float(np.mean([cost.value(run) for run in entrant.runs]))


def _contenders(analysis: Analysis, statistics: Statistics | None) -> tuple[Entrant, ...]:
    """Return those of which any may be kept, best first."""
    score = analysis.group.protocol.score
    base = analysis.group.baseline.score(score)
    if statistics is not None:
        sure = {standing.name for standing in statistics.standings if standing.interval.low > base}
        # An interval over two seeds may be wide, and the difference from an entrant of many seeds be sure all the same.
        sure |= {pair.better for pair in statistics.differences if pair.distinguishable and pair.other in sure}
        return tuple(standing.entrant for standing in statistics.tied if standing.name in sure)
    alone = len(analysis.entrants) == 1
    return tuple(entrant for entrant in analysis.entrants if alone and entrant.score(score) > base)
