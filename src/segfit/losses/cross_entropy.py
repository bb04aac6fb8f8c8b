"""Cross-entropy over the valid pixels, with class weights and label smoothing."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from segfit.errors import RecipeError
from segfit.labels import IGNORE
from segfit.losses import LOSSES, Loss
from segfit.models import Output

__all__ = ["CrossEntropy"]


@LOSSES.register("cross_entropy")
class CrossEntropy(Loss):
    """Mean cross-entropy of the dense scores, in float32; the class-weighted mean where weights are given.

    Args:
        classes: number of classes.
        label_smoothing: share of the target that is spread evenly over all classes (Szegedy et al. 2016, section 7).
        class_weights: one positive factor per class, in the order of the train ids.

    Raises:
        RecipeError: an option is out of range, or there is not one weight per class.
    """

    counts: Tensor | None
    """What a pixel of each train id counts; None where every valid pixel counts one."""

    def __init__(
        self, classes: int, *, label_smoothing: float = 0.0, class_weights: tuple[float, ...] | None = None
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise RecipeError(f"loss.label_smoothing: {label_smoothing} is out of range: use at least 0 and below 1")
        self.classes = classes
        self.label_smoothing = label_smoothing
        self.register_buffer(
            "counts", None if class_weights is None else _counts(classes, class_weights), persistent=False
        )

    @override
    def forward(self, output: Output, target: Tensor) -> dict[str, Tensor]:
        scores = output.dense((target.shape[-2], target.shape[-1])).float()
        # Summed here, in float64: torch's own reduction over pixels is not deterministic on a GPU.
        losses = F.cross_entropy(
            scores,
            target,
            weight=None if self.counts is None else self.counts[: self.classes].float(),
            ignore_index=IGNORE,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        weight = self.weight(target)
        # Where no pixel is valid the sum is 0, and so is its gradient; only the division must not spoil it.
        return {"loss": (losses.sum(dtype=torch.float64) / torch.where(weight > 0, weight, 1.0)).float()}

    @override
    def weight(self, target: Tensor) -> Tensor:
        """Return the sum of the class weights of the valid pixels (their number when there are no class weights)."""
        return super().weight(target) if self.counts is None else self.counts[target].sum()


def _counts(classes: int, weights: tuple[float, ...]) -> Tensor:
    """Return the weight of each train id and of the ignore index, which is 0; float64 keeps large sums exact."""
    if len(weights) != classes:
        raise RecipeError(f"loss.class_weights: {len(weights)} weights for {classes} classes: give one per class")
    for number, weight in enumerate(weights):
        # Zero is refused, too: label smoothing would add pixels to the sum that the mean's weight does not count.
        if not (math.isfinite(weight) and weight > 0):
            raise RecipeError(
                f"loss.class_weights: {weight} for class {number} is not a positive number: "
                "to leave a class out, select the others with labels.classes"
            )
    counts = torch.zeros(IGNORE + 1, dtype=torch.float64)
    counts[:classes] = torch.tensor(weights, dtype=torch.float64)
    return counts
