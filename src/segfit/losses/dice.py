"""Soft Dice and soft Jaccard (IoU) of whole regions, without probabilities or a one-hot target of full size."""

import math
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from segfit.errors import RecipeError
from segfit.losses import LOSSES
from segfit.losses.pixels import class_pixels, softmax_, strip_labels, weight_table
from segfit.losses.strip_loss import StripLoss
from segfit.losses.strips import Look

__all__ = ["Dice", "Jaccard"]


@LOSSES.register("dice")
class Dice(StripLoss):
    """One minus the soft Dice score ``(2 I + smooth) / (P + T + smooth)``, a mean over classes.

    Over the valid pixels, P is the sum of a class's probabilities, T the number of its pixels, and I the sum of its
    probabilities there (Milletari et al. 2016, "V-Net", and Drozdzal et al. 2016). Ignored pixels are in none of them.
    Sums are float64. The strips are computed twice: for the sums, and for the gradient.

    Args:
        classes: number of classes.
        per_image: score each image by itself, and take the mean over those with valid pixels; else the batch is scored
            as if it were one image. The mean of micro-batches or ranks is exact only with `per_image`.
        smooth: added above and below the fraction.
        squared: P is the sum of the squared probabilities, as in V-Net.
        present: take the mean over the classes that the target has; else over all, where absent ones have a score near
            0 unless `smooth` is about as large as P.
        class_weights: one positive factor per class, in the order of the train ids; the mean is then the weighted one.

    Raises:
        RecipeError: `smooth` is negative, or there is not one weight per class.
    """

    hits: ClassVar[int] = 2
    """How often the intersection counts: ``(hits I + smooth) / (P + T - (2 - hits) I + smooth)``."""
    class_weights: Tensor

    def __init__(
        self,
        classes: int,
        *,
        per_image: bool = False,
        smooth: float = 0.0,
        squared: bool = False,
        present: bool = True,
        class_weights: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        if not (math.isfinite(smooth) and smooth >= 0):
            raise RecipeError(f"loss.smooth: {smooth} is out of range: use at least 0")
        self.per_image, self.smooth, self.squared, self.present = per_image, smooth, squared, present
        self.register_buffer("class_weights", weight_table(classes, class_weights)[:classes], persistent=False)

    @override
    def job(self, target: Tensor) -> "_Regions":
        return _Regions(self, target)

    @override
    def weight(self, target: Tensor) -> Tensor:
        """Return the number of images with valid pixels if scored one by one, else the number of valid pixels."""
        if not self.per_image:
            return super().weight(target)
        return class_pixels(target, len(self.class_weights)).any(1).sum().double()


@LOSSES.register("jaccard")
class Jaccard(Dice):
    """One minus the soft Jaccard score (IoU) ``(I + smooth) / (P + T - I + smooth)``; all else as in `Dice`."""

    hits = 1


class _Regions:
    """The regions of a batch: the sums that the scores are made of, and the gradient that follows from them.

    With a and b the derivatives of the loss by I and P of a class, a pixel's loss behaves like
    ``sum_k (a_k [k is its class] + b_k) p_k``, whose gradient goes through the softmax.
    """

    def __init__(self, loss: Dice, target: Tensor) -> None:
        self.loss, self.target = loss, target
        # In float64; G groups that are scored by themselves: images, or the batch.
        self.sizes = self._grouped(class_pixels(target, len(loss.class_weights)).double())
        self.hits = torch.zeros_like(self.sizes)
        self.masses = torch.zeros_like(self.sizes)

    @property
    def looks(self) -> tuple[Look]:
        return (self.look,)

    def look(self, scores: Tensor, rows: slice) -> None:
        """Add a strip to the sums."""
        label, valid = strip_labels(self.target, rows)
        softmax_(scores)
        scores *= valid
        picked = scores.gather(1, label)
        self.masses += self._sums(scores.square_() if self.loss.squared else scores)
        # One pixel after the other would be added up in any order on a GPU; rows are always added up in the same.
        self.hits += self._sums(scores.zero_().scatter_(1, label, picked))

    def measure(self, scores: Tensor, rows: slice, wanted: bool) -> Tensor:
        """Return the whole loss for the first strip, and 0 for the others; all of them get their gradients."""
        value, by_hits, by_mass = self._slopes
        if wanted:
            label, valid = strip_labels(self.target, rows)
            by_hits, by_mass = (slope.to(scores.dtype).expand(len(scores), -1) for slope in (by_hits, by_mass))
            softmax_(scores)
            scores *= valid
            picked = scores.gather(1, label)
            picked *= by_hits.gather(1, label.flatten(1)).view_as(picked)
            by_mass = by_mass[..., None, None]
            sloped = scores * scores * (2 * by_mass) if self.loss.squared else scores * by_mass
            inner = sloped.sum(1, keepdim=True) + picked
            torch.addcmul(sloped, scores, inner, value=-1, out=scores)
            scores.scatter_add_(1, label, picked)
        return value if rows.start == 0 else torch.zeros_like(value)

    def divisor(self) -> Tensor:
        """Return the number of valid pixels: the share of a pixel in the gradient is of the order of its inverse."""
        return self.sizes.sum()

    @cached_property
    def _slopes(self) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, and its derivatives by I and P `(G, K)`; all of them times the divisor."""
        often, smooth, weights = self.loss.hits, self.loss.smooth, self.loss.class_weights
        above = often * self.hits + smooth
        below = self.masses + self.sizes - (2 - often) * self.hits + smooth
        counted = weights * (self.sizes > 0) if self.loss.present else weights * (self.sizes.sum(1, keepdim=True) > 0)
        whole = counted.sum(1, keepdim=True)
        share = counted / torch.where(whole > 0, whole, 1.0) / (whole > 0).sum().clamp(min=1) * self.divisor()
        below = torch.where(below > 0, below, 1.0)
        value = (share * (1 - above / below)).sum()
        by_hits = -share * (often / below + (2 - often) * above / below**2)
        return value, by_hits, share * above / below**2

    def _grouped(self, values: Tensor) -> Tensor:
        return values if self.loss.per_image else values.sum(0, keepdim=True)

    def _sums(self, values: Tensor) -> Tensor:
        """Return the sums over a strip `(G, K)`."""
        return self._grouped(values.sum(3).double().sum(2))
