"""What is known of one entrant's score: its trainings' scores and what each image did to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segfit.comparison.statistics.influence import Influence, class_spreads, image_spread, influence, mean_influence
from segfit.comparison.statistics.ratios import Ratios
from segfit.comparison.statistics.spread import Seeds, Spread, with_seeds

__all__ = ["Sample", "class_differences", "difference_spread", "sample", "score_spread"]

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """One entrant's score as measured: S trainings on the same N images.

    Attributes:
        scores: `(S,)` of each training.
        classes: `(S, K)` of each training and class.
        influence: of every image on the mean over the trainings.
        chance: what the choice of images alone adds to the variance between the trainings' scores; 0 for one training.
        class_chance: `(K,)` the same for each class.
    """

    scores: Values
    classes: Values
    influence: Influence
    chance: float
    class_chance: Values

    @property
    def value(self) -> float:
        """The mean score of the trainings."""
        return float(self.scores.mean())

    @property
    def seeds(self) -> Seeds:
        """What is known of the spread over seeds."""
        return Seeds(self.scores, self.chance)

    def class_seeds(self, index: int) -> Seeds:
        """Return what is known of one class's spread over seeds."""
        return Seeds(self.classes[:, index], float(self.class_chance[index]))


def sample(runs: Sequence[Ratios]) -> Sample:
    """Return what is known of an entrant from the scores of its trainings."""
    parts = [influence(ratios) for ratios in runs]
    mean = mean_influence(parts)
    chance, class_chance = 0.0, np.zeros(len(mean.concentration))
    if len(parts) > 1:
        for part in parts:
            own = part.scaled(mean.share)
            chance += float(np.square(own.mean - mean.mean).sum()) / (len(parts) - 1)
            class_chance += np.square(own.images - mean.images).sum(axis=0) / (len(parts) - 1)
    return Sample(
        scores=np.array([ratios.score for ratios in runs]),
        classes=np.array([ratios.classes for ratios in runs]),
        influence=mean,
        chance=chance,
        class_chance=class_chance,
    )


def score_spread(of: Sample) -> Spread:
    """Return the spread of an entrant's mean score."""
    return with_seeds(image_spread(of.influence), [of.seeds])


def difference_spread(first: Sample, second: Sample, beside: Sequence[Sample] = ()) -> Spread:
    """Return the spread of the difference of two mean scores.

    Args:
        first: the one entrant.
        second: the other.
        beside: entrants of their group; they tell how much seeds do where neither of the two was trained several times.
    """
    images = image_spread(first.influence.minus(second.influence))
    return with_seeds(images, [first.seeds, second.seeds], [other.seeds for other in beside])


def class_differences(first: Sample, second: Sample, beside: Sequence[Sample] = ()) -> tuple[Values, list[Spread]]:
    """Return the `(K,)` differences of two entrants' class scores and their spreads; see `difference_spread`."""
    change = first.influence.images - second.influence.images
    own = Influence(change, first.influence.concentration, first.influence.share)
    spreads = [
        with_seeds(
            images,
            [first.class_seeds(index), second.class_seeds(index)],
            [other.class_seeds(index) for other in beside],
        )
        for index, images in enumerate(class_spreads(own))
    ]
    return first.classes.mean(axis=0) - second.classes.mean(axis=0), spreads
