"""Where soups are made: weights are mixed, batch normalisation is measured again, and the result is scored."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil, isfinite

from torch import Tensor

from segfit.comparison.curves import SCORES
from segfit.errors import RunError
from segfit.evaluation.metrics import scores
from segfit.folder import RunFolder
from segfit.parts import Parts
from segfit.soups.average import average
from segfit.soups.batch_norm import recalibrate, remembering
from segfit.soups.ingredients import Ingredient
from segfit.training.checkpoint import load_weights, save_weights
from segfit.training.device import autocast
from segfit.training.parallel import distribute
from segfit.training.prefetch import on_device

__all__ = ["Kitchen", "Tasting"]

IMAGES = 2_000
"""Training images, at most, that batch normalisation is measured on: 10³ to 10⁴ suffice (Wu and Johnson 2021,
"Rethinking 'Batch' in BatchNorm", section 3)."""


@dataclass(frozen=True, kw_only=True)
class Tasting:
    """A mixture and what it scores on the validation split.

    Attributes:
        what: the mixture in words.
        weights: share of each ingredient.
        scores: ``loss`` (None where it is no number), ``dice``, ``miou`` and ``pixel_accuracy``.
        score: the one of them that chooses.
        measured: whether batch normalisation was measured again for it.
    """

    what: str
    weights: tuple[float, ...]
    scores: dict[str, float | None]
    score: float
    measured: bool = False

    @property
    def sound(self) -> bool:
        """Whether its loss is a number."""
        return self.scores["loss"] is not None


class Kitchen:
    """Mixes checkpoints in the model of `parts`.

    Args:
        ingredients: that can be averaged.
        parts: of the first one's recipe; its model is overwritten.
        folder: where the mixture that is kept is written to.

    Attributes:
        tried: what was tasted, in order.
        kept: what was kept, the last of it in the folder.
        batch_norm: on how many training images, in how many batches, normalisation was measured; None where that was
            not needed.

    Raises:
        RunError: a checkpoint does not fit the model of its recipe.
    """

    def __init__(self, ingredients: Sequence[Ingredient], parts: Parts, folder: RunFolder) -> None:
        self.ingredients, self.parts, self.folder = ingredients, parts, folder
        self.tried: list[Tasting] = []
        self.kept: list[Tasting] = []
        self.batch_norm: dict[str, int] | None = None
        load_weights(ingredients[0].file, parts.model)
        # For batch normalisation alone, which is to see the batches of all ranks; gradients are not exchanged.
        distribute(parts.model, parts.ranks)

    # --- mix ---

    def alone(self, index: int) -> tuple[float, ...]:
        """Return the weights of one ingredient by itself."""
        return self.equally([index])

    def equally(self, indices: Sequence[int]) -> tuple[float, ...]:
        """Return equal weights for some ingredients, 0 for the others."""
        return tuple(1 / len(indices) if i in indices else 0.0 for i in range(len(self.ingredients)))

    def mix(self, weights: Sequence[float]) -> None:
        """Give the model the weighted mean; its batch statistics are those of the ingredients, averaged as well."""
        self.parts.model.load_state_dict(average([one.file for one in self.ingredients], weights))

    def cook(self, weights: Sequence[float], *, measured: bool) -> None:
        """Give the model the weighted mean, with its normalisation `measured` again or averaged as well."""
        self.mix(weights)
        if measured:
            with autocast(self.parts.ranks.device, self.parts.recipe.train.precision):
                batches = recalibrate(self.parts.model, self._images())
            if batches:
                self.batch_norm = {"images": self._steps() * self.parts.recipe.train.images, "batches": batches}

    def _images(self) -> Iterator[Tensor]:
        """Yield training images as a training step sees them: augmented, in its micro-batches."""
        train = self.parts.recipe.train
        batches = on_device(self.parts.train_loader.epoch(0), self.parts.ranks.device)
        for batch in islice(batches, self._steps()):
            images = batch.images if train.channels_last else batch.images.contiguous()
            yield from images.chunk(train.accumulate)

    def _steps(self) -> int:
        return min(len(self.parts.train_loader), ceil(IMAGES / self.parts.recipe.train.images))

    # --- taste ---

    def taste(self, weights: Sequence[float], what: str) -> Tasting:
        """Cook a mixture and score it on the validation split; `what` says what it is.

        One ingredient alone stays as it is.
        """
        return self._taste(weights, what, measured=sum(weight > 0 for weight in weights) > 1)

    def taste_measured(self, index: int) -> Tasting | None:
        """Score one ingredient alone with its normalisation measured again; None for a model that measures nothing.

        What a mean gains beyond that, it gains by averaging.
        """
        if not remembering(self.parts.model):
            return None
        what = f"{self.ingredients[index].name} alone, normalisation measured again"
        return self._taste(self.alone(index), what, measured=True)

    def _taste(self, weights: Sequence[float], what: str, *, measured: bool) -> Tasting:
        self.cook(weights, measured=measured)
        evaluation = self.parts.score(self.parts.validation)
        result = scores(evaluation.confusion)
        found: dict[str, float | None] = {
            "loss": evaluation.loss if isfinite(evaluation.loss) else None,
            "dice": result.dice,
            "miou": result.miou,
            "pixel_accuracy": result.pixel_accuracy,
        }
        name = self.parts.recipe.evaluate.score
        score: float = getattr(result, name)
        if self.parts.ranks.main:
            print(f"soup  {SCORES[name]} {score:.4f}  {what}", file=sys.stderr, flush=True)
        self.tried.append(Tasting(what=what, weights=tuple(weights), scores=found, score=score, measured=measured))
        return self.tried[-1]

    def taste_ingredients(self) -> list[Tasting]:
        """Score each ingredient by itself."""
        return [self.taste(self.alone(i), one.name) for i, one in enumerate(self.ingredients)]

    def keep(self, tasting: Tasting) -> None:
        """Write the weights that the model has now; `tasting` says what they score.

        Raises:
            RunError: their loss is not a number.
        """
        if not tasting.sound:
            raise RunError(f"{tasting.what}: the loss of this soup is not a number: use --how greedy or other runs")
        self.kept.append(tasting)
        if self.parts.ranks.main:
            facts = {"soup": list(tasting.weights), **tasting.scores}
            save_weights(self.folder.best, self.parts.model, facts)
        self.parts.ranks.wait()
