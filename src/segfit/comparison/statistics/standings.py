"""Where an entrant stands: its mean scores and their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from segfit.comparison.entrants import Entrant
from segfit.comparison.statistics.ratios import RATIOS
from segfit.comparison.statistics.samples import Sample, sample, score_spread
from segfit.comparison.statistics.spread import Interval
from segfit.evaluation.metrics import ClassCounts

__all__ = ["Estimate", "Standing", "standing"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean score and its 95 % interval, which ends where scores end: at 0 and 1."""

    value: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One entrant's scores.

    Attributes:
        entrant: who.
        value: mean of the score that sorts, over the entrant's trainings.
        interval: of it, within [0, 1]: over images alone for one training, over images and seeds for several.
        trainings: the score of each training, in the order of the entrant's rows.
        seed_spread: standard deviation of them; None for one training.
        scores: every score with an interval, by name, the one that sorts among them.
    """

    entrant: Entrant
    value: float
    interval: Interval
    trainings: tuple[float, ...]
    seed_spread: float | None
    scores: dict[str, Estimate]

    @property
    def name(self) -> str:
        """The entrant's name."""
        return self.entrant.name


def standing(entrant: Entrant, counts: Sequence[ClassCounts], name: str, main: Sample) -> Standing:
    """Return where an entrant stands.

    Args:
        entrant: who.
        counts: `(N, K)` counts of each of its rows.
        name: the score that sorts.
        main: what is known of that score.
    """
    scores = {}
    for other, ratios in RATIOS.items():
        known = main if other == name else sample([ratios(part) for part in counts])
        found = score_spread(known).interval(known.value)
        scores[other] = Estimate(
            value=known.value, interval=Interval(low=max(0.0, found.low), high=min(1.0, found.high))
        )
    return Standing(
        entrant=entrant,
        value=scores[name].value,
        interval=scores[name].interval,
        trainings=tuple(main.scores.tolist()),
        seed_spread=float(main.scores.std(ddof=1)) if len(main.scores) > 1 else None,
        scores=scores,
    )
