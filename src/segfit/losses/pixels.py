"""What the losses know of a pixel: its class, what it counts, its probabilities."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from segfit.errors import RecipeError
from segfit.labels import IGNORE

__all__ = ["class_pixels", "softmax_", "strip_labels", "weight_table"]


def weight_table(classes: int, weights: Sequence[float] | None) -> Tensor:
    """Return what a pixel of each train id counts, `(256,)` float64: 1 without weights, and 0 for the ignore index.

    Raises:
        RecipeError: there is not one positive weight per class.
    """
    weights = (1.0,) * classes if weights is None else weights
    if len(weights) != classes:
        raise RecipeError(f"loss.class_weights: {len(weights)} weights for {classes} classes: give one per class")
    for number, weight in enumerate(weights):
        # Zero is refused, too: label smoothing would add pixels to the sum that the mean's weight does not count.
        if not (math.isfinite(weight) and weight > 0):
            raise RecipeError(
                f"loss.class_weights: {weight} for class {number} is not a positive number: "
                "to leave a class out, select the others with labels.classes"
            )
    # In float64 the sums over many pixels are exact.
    table = torch.zeros(IGNORE + 1, dtype=torch.float64)
    table[:classes] = torch.tensor(weights, dtype=torch.float64)
    return table


def strip_labels(target: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """Return the class of each pixel of some rows, 0 where it is ignored, and whether it is valid: `(B, 1, s, W)`."""
    part = target[:, None, rows]
    valid = part != IGNORE
    return torch.where(valid, part, 0), valid


def class_pixels(target: Tensor, classes: int) -> Tensor:
    """Return how many pixels each class has in each image of `(B, H, W)`, `(B, K)` int64."""
    images = torch.arange(len(target), device=target.device) * (IGNORE + 1)
    places = (target + images[:, None, None]).flatten()
    # Not `bincount`, the size of whose result depends on values: a plan is made without any.
    counts = target.new_zeros(len(target) * (IGNORE + 1))
    counts.index_add_(0, places, counts.new_ones(()).expand(len(places)))
    return counts.view(-1, IGNORE + 1)[:, :classes]


def softmax_(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Turn scores `(B, K, s, W)` into probabilities in place.

    Returns:
        the largest score m of each pixel, and its sum of ``exp(score - m)``, `(B, 1, s, W)` each.
    """
    peak = scores.amax(1, keepdim=True)
    sums = scores.sub_(peak).exp_().sum(1, keepdim=True)
    scores /= sums
    return peak, sums
