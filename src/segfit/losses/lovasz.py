"""Lovász-softmax: the Jaccard index of whole regions, as a loss of sorted errors."""

from collections.abc import Iterator

import torch
from torch import Tensor
from typing_extensions import override

from segfit.labels import IGNORE
from segfit.losses import LOSSES, Loss
from segfit.losses.pixels import class_pixels, softmax_, weight_table
from segfit.losses.strip_loss import mean
from segfit.losses.strips import class_sum
from segfit.models import Output

__all__ = ["LovaszSoftmax"]


@LOSSES.register("lovasz")
class LovaszSoftmax(Loss):
    """The Lovász extension of the Jaccard loss, at the softmax's errors, a mean over the classes of the target.

    Berman, Rannen Triki, Blaschko 2018, "The Lovász-Softmax loss". Exact: all errors that count are sorted, class by
    class. The extra memory is a few numbers per pixel, however many classes there are. The strips are computed twice,
    and the scores of every class of the target once more.

    Args:
        classes: number of classes.
        per_image: score each image by itself, and take the mean over those with valid pixels; else the batch is scored
            as if it were one image. The mean of micro-batches or ranks is exact only with `per_image`.
        class_weights: one positive factor per class, in the order of the train ids; the mean is then the weighted one.

    Raises:
        RecipeError: there is not one weight per class.
    """

    class_weights: Tensor

    def __init__(
        self, classes: int, *, per_image: bool = False, class_weights: tuple[float, ...] | None = None
    ) -> None:
        super().__init__()
        self.per_image = per_image
        self.register_buffer("class_weights", weight_table(classes, class_weights)[:classes], persistent=False)

    @override
    def forward(self, output: Output, target: Tensor) -> dict[str, Tensor]:
        size = (target.shape[-2], target.shape[-1])
        errors = _Errors(self, target)
        total = class_sum(
            output, size, errors.measure, errors.present(), looks=[errors.look], after=errors.measure_denominators
        )
        return {"loss": mean(total, super().weight(target))}

    @override
    def weight(self, target: Tensor) -> Tensor:
        """Return the number of images with valid pixels if scored one by one, else the number of valid pixels."""
        if not self.per_image:
            return super().weight(target)
        return (target != IGNORE).flatten(1).any(1).sum().double()


class _Errors:
    """The errors of a batch. Sums and gradients are multiplied with the number of valid pixels.

    With g_k the derivative of the loss by a pixel's probability p_k, that by its score is
    ``p_k (g_k - sum_j g_j p_j)``: the first part is known class by class, the second when all classes are through.
    """

    def __init__(self, loss: LovaszSoftmax, target: Tensor) -> None:
        self.target, self.per_image = target, loss.per_image
        # Read here once: whatever depends on how many pixels a class has is decided without waiting for a GPU again.
        counts = class_pixels(target, len(loss.class_weights)).cpu()
        self.counts = counts if loss.per_image else counts.sum(0, keepdim=True)
        shares = (self.counts > 0) * loss.class_weights.cpu()
        groups = self.counts.any(1).sum()
        self.shares = (
            shares / shares.sum(1, keepdim=True).clamp(min=1e-300) / groups.clamp(min=1) * counts.sum()
        ).tolist()
        self.log_sums: Tensor | None = None
        self.inner: Tensor | None = None

    def present(self) -> Tensor:
        """Return the classes that the target has."""
        return self.counts.any(0).nonzero().squeeze(1).to(self.target.device)

    def look(self, scores: Tensor, rows: slice) -> None:
        """Note the logarithms of the softmax's denominators of a strip."""
        peak, sums = softmax_(scores)
        if self.log_sums is None:
            self.log_sums, self.inner = (scores.new_zeros(self.target.shape) for _ in range(2))
        self.log_sums[:, rows] = (peak + sums.log()).squeeze(1)

    def measure(self, scores: Tensor, classes: Tensor, wanted: bool) -> Tensor:
        """Return the losses of some classes, and leave the first part of the gradient."""
        assert self.log_sums is not None
        assert self.inner is not None
        scores.sub_(self.log_sums[:, None]).exp_()
        total = torch.zeros((), dtype=torch.float64, device=scores.device)
        for place, number in enumerate(classes.tolist()):
            for group, images in self._groups():
                probabilities = scores[images, place]
                count = int(self.counts[group, number])
                if count == 0:
                    probabilities.zero_()
                    continue
                value, where, slopes = _lovasz(probabilities, self.target[images], number, count)
                share = self.shares[group][number]
                total += share * value
                if wanted:
                    slopes *= share
                    first = torch.zeros_like(probabilities, memory_format=torch.contiguous_format)
                    first.view(-1)[where] = slopes
                    probabilities *= first
                    self.inner[images] += probabilities
        return total

    def measure_denominators(self, scores: Tensor, rows: slice, wanted: bool) -> Tensor:
        """Return 0, and leave the second part of the gradient."""
        assert self.log_sums is not None
        assert self.inner is not None
        if wanted:
            scores.sub_(self.log_sums[:, None, rows]).exp_().mul_(self.inner[:, None, rows].neg())
        return torch.zeros((), dtype=torch.float64, device=scores.device)

    def _groups(self) -> Iterator[tuple[int, slice]]:
        """Yield what is scored by itself: its row of `counts`, and its images."""
        for group in range(len(self.counts)):
            yield group, slice(group, group + 1) if self.per_image else slice(None)


def _lovasz(probabilities: Tensor, target: Tensor, number: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the Lovász extension of one class's Jaccard loss, and its slopes.

    Args:
        probabilities: of the class, `(b, H, W)`.
        target: train ids `(b, H, W)`.
        number: the class.
        count: how many pixels have it; at least 1.

    Returns:
        the loss, float64; the pixels that have a slope other than 0, as indices of the flattened tensors; the slopes.
    """
    flat, labels = probabilities.flatten(), target.flatten()
    inside = labels == number
    # Sorted by falling error, a pixel of another class adds nothing once all pixels of the class are passed. So those
    # with errors below the smallest one inside are not even sorted: most of them, as a rule.
    least = 1 - torch.where(inside, flat, 0.0).amax()
    where = (inside | ((flat >= least) & (labels != IGNORE))).nonzero().squeeze(1)
    inside, errors = inside[where], flat[where]
    errors = torch.where(inside, 1 - errors, errors)
    errors, order = errors.sort(descending=True, stable=True)
    inside, where = inside[order], where[order]
    # The paper's differences of neighbouring Jaccard losses 1 - (count - passed) / (count + others), in closed form:
    # the differences themselves would lose most of their digits.
    passed = inside.cumsum(0)
    others = torch.arange(len(passed), device=passed.device) - passed + inside
    union = (count + others).double()
    slopes = torch.where(inside, 1 / union, (count - passed) / (union * (union + 1)))
    value = (errors * slopes).sum()
    return value, where, torch.where(inside, -slopes, slopes).to(probabilities.dtype)
