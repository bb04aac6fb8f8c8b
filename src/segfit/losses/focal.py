"""Focal loss over the valid pixels: cross-entropy that forgets what is easy."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from segfit.errors import RecipeError
from segfit.losses import LOSSES
from segfit.losses.pixels import softmax_, strip_labels, weight_table
from segfit.losses.strip_loss import StripLoss

__all__ = ["Focal"]


@LOSSES.register("focal")
class Focal(StripLoss):
    """Mean focal loss ``-(1 - p)^gamma log p`` (p: softmax probability of the pixel's class), in float32.

    Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 5, with softmax for sigmoid. With gamma 0 it is
    cross-entropy. The extra memory does not grow with the number of full-size scores.

    Args:
        classes: number of classes.
        gamma: how much less well-classified pixels count; at least 0.
        class_weights: the paper's alpha: one positive factor per class, in the order of the train ids. The mean is then
            the weighted one, so only their ratios matter.

    Raises:
        RecipeError: an option is out of range, or there is not one weight per class.
    """

    counts: Tensor

    def __init__(self, classes: int, *, gamma: float = 2.0, class_weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        if not (math.isfinite(gamma) and gamma >= 0):
            raise RecipeError(f"loss.gamma: {gamma} is out of range: use at least 0")
        self.gamma = gamma
        self.register_buffer("counts", weight_table(classes, class_weights), persistent=False)

    @override
    def job(self, target: Tensor) -> "_Pixels":
        return _Pixels(self, target)

    @override
    def weight(self, target: Tensor) -> Tensor:
        """Return the sum of the weights of the valid pixels (their number when there are no weights)."""
        return self.counts[target].sum()


@dataclass(frozen=True)
class _Pixels:
    """The targets of a batch.

    With ``q = 1 - p``, the derivative of a pixel's loss by its score of class k is
    ``(q^gamma - gamma p q^(gamma - 1) log p) (p_k - [k is its class])``.
    """

    loss: Focal
    target: Tensor
    looks = ()

    def divisor(self) -> Tensor:
        return self.loss.weight(self.target)

    def measure(self, scores: Tensor, rows: slice, wanted: bool) -> Tensor:
        label, _ = strip_labels(self.target, rows)
        counted = self.loss.counts[self.target[:, None, rows]].to(scores.dtype)
        picked = scores.gather(1, label)
        peak, sums = softmax_(scores)
        logs = (picked - peak) - sums.log()
        gamma = self.loss.gamma
        # A rest of exactly 0 has no power below 0.
        rest = (-torch.expm1(logs)).clamp_(min=torch.finfo(scores.dtype).tiny)
        focus = rest**gamma
        if wanted:
            factor = counted * (focus - gamma * logs.exp() * rest ** (gamma - 1) * logs)
            scores *= factor
            scores.scatter_add_(1, label, -factor)
        return (-counted * focus * logs).sum(dtype=torch.float64)
