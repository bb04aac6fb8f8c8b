"""Cross-entropy over the valid pixels, strip by strip: class and pixel weights, label smoothing, hard examples."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from segfit.errors import RecipeError
from segfit.labels import IGNORE
from segfit.losses import LOSSES
from segfit.losses.pixels import strip_labels, weight_table
from segfit.losses.strip_loss import StripJob, StripLoss, strip_mean
from segfit.losses.strips import Look
from segfit.models import Output

__all__ = ["CrossEntropy"]


@LOSSES.register("cross_entropy")
class CrossEntropy(StripLoss):
    """Mean cross-entropy of the dense scores, in float32; the weighted mean where weights are given.

    The dense scores are never there at once (see `strip_sum`): the extra memory does not grow with their number.

    Args:
        classes: number of classes.
        label_smoothing: share of the target that is spread evenly over all classes (Szegedy et al. 2016, section 7).
        class_weights: one positive factor per class, in the order of the train ids.
        ohem: share of the valid pixels that count, those with the largest losses of each micro-batch (online hard
            example mining; Wu et al. 2016, "Bridging Category-level and Instance-level Semantic Image Segmentation").

    Raises:
        RecipeError: an option is out of range, or there is not one weight per class.
    """

    counts: Tensor | None
    """What a pixel of each train id counts; None where every valid pixel counts one."""

    def __init__(
        self,
        classes: int,
        *,
        label_smoothing: float = 0.0,
        class_weights: tuple[float, ...] | None = None,
        ohem: float | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise RecipeError(f"loss.label_smoothing: {label_smoothing} is out of range: use at least 0 and below 1")
        if ohem is not None and not 0 < ohem <= 1:
            raise RecipeError(f"loss.ohem: {ohem} is out of range: use a share above 0 and at most 1")
        self.classes = classes
        self.label_smoothing = label_smoothing
        self.ohem = ohem
        self.register_buffer(
            "counts", None if class_weights is None else weight_table(classes, class_weights), persistent=False
        )

    @override
    def forward(self, output: Output, target: Tensor, pixel_weights: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``{"loss": scalar}``.

        Args:
            output: what the model returned.
            target: `(B, H, W)` int64 train ids with the ignore index. The loss is 0 when all of it is ignored.
            pixel_weights: `(B, H, W)`, what each pixel counts besides its class weight; at least 0.
        """
        return {"loss": strip_mean(output, target, self.job(target, pixel_weights))}

    @override
    def job(self, target: Tensor, pixel_weights: Tensor | None = None) -> StripJob:
        pixels = _Pixels(self, target, pixel_weights)
        return pixels if self.ohem is None else _Hardest(pixels, self.ohem)

    @override
    def weight(self, target: Tensor, pixel_weights: Tensor | None = None) -> Tensor:
        """Return the sum of the weights of the valid pixels (their number when there are no weights)."""
        if self.counts is None and pixel_weights is None:
            return super().weight(target)
        weights = (target != IGNORE).double() if self.counts is None else self.counts[target]
        return (weights if pixel_weights is None else weights * pixel_weights).sum()


@dataclass
class _Pixels:
    """The targets of a batch, and what each pixel counts.

    The loss of a pixel of class t with scores z, label smoothing e, pixel weight v and class weights c is
    ``v (1 - e) c_t (log Z - z_t) + v (e / K) sum_k c_k (log Z - z_k)`` with ``Z = sum_k exp(z_k)``; its gradient is a
    multiple of the softmax minus what is constant.
    """

    loss: CrossEntropy
    target: Tensor
    weights: Tensor | None
    looks = ()

    def divisor(self) -> Tensor:
        """Return the sum of what the pixels count."""
        return self.loss.weight(self.target, self.weights)

    def measure(self, scores: Tensor, rows: slice, wanted: bool) -> Tensor:
        """Return the sum of the losses of a strip; where wanted, turn its scores into its gradient."""
        losses, label, factor, sure, spread = self._losses(scores, rows)
        if wanted:
            scores *= factor
            scores.scatter_add_(1, label, -sure)
            if spread is not None:
                scores -= spread * self._class_weights(scores)
        return losses.sum(dtype=torch.float64)

    def losses(self, scores: Tensor, rows: slice) -> Tensor:
        """Return the loss of each pixel of a strip `(B, s, W)`; 0 where it is ignored."""
        return self._losses(scores, rows)[0].squeeze(1)

    def _losses(self, scores: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Exponentiate the scores in place.

        Returns:
            the loss of each pixel; its class; what the exponentials are to be multiplied with, what is to be subtracted
            at the class, and from every class (times its weight), for the gradient. All `(B, 1, s, W)`.
        """
        label, valid = strip_labels(self.target, rows)
        counted = valid.to(scores.dtype)
        if self.weights is not None:
            counted = counted * self.weights[:, None, rows].to(scores.dtype)
        smoothing, counts = self.loss.label_smoothing, self.loss.counts
        sure = (1 - smoothing) * counted
        if counts is not None:
            sure = sure * counts[label].to(scores.dtype)
        # Subtract, exponentiate, divide: a log-softmax of the strip would make a second tensor of its size.
        scores -= scores.amax(1, keepdim=True)
        picked = scores.gather(1, label)
        if not smoothing:
            sums = scores.exp_().sum(1, keepdim=True)
            return sure * (sums.log() - picked), label, sure / sums, sure, None
        weights = self._class_weights(scores)
        spread = smoothing / self.loss.classes * counted
        smooth = (weights * scores).sum(1, keepdim=True)
        sums = scores.exp_().sum(1, keepdim=True)
        logs, weight = sums.log(), weights.sum()
        losses = sure * (logs - picked) + spread * (weight * logs - smooth)
        return losses, label, (sure + spread * weight) / sums, sure, spread

    def _class_weights(self, scores: Tensor) -> Tensor:
        """Return the weight of each class `(K, 1, 1)`."""
        counts = self.loss.counts
        return (
            scores.new_ones(self.loss.classes, 1, 1)
            if counts is None
            else counts[: self.loss.classes, None, None].to(scores.dtype)
        )


class _Hardest:
    """The share of the valid pixels that have the largest losses; the others count nothing.

    A look at every strip finds out the losses, one number per pixel.
    """

    def __init__(self, pixels: _Pixels, share: float) -> None:
        self.pixels, self.share = pixels, share
        self.losses = torch.zeros(pixels.target.shape, dtype=torch.float32, device=pixels.target.device)
        self.chosen: _Pixels | None = None

    @property
    def looks(self) -> tuple[Look]:
        return (self.look,)

    def divisor(self) -> Tensor:
        """Return the sum of what the chosen pixels count."""
        return self._choose().divisor()

    def look(self, scores: Tensor, rows: slice) -> None:
        """Note the losses of a strip."""
        self.losses[:, rows] = self.pixels.losses(scores, rows)

    def measure(self, scores: Tensor, rows: slice, wanted: bool) -> Tensor:
        """Measure the chosen pixels of a strip."""
        return self._choose().measure(scores, rows, wanted)

    def _choose(self) -> _Pixels:
        """Return the pixels with the weights of the chosen ones; equal losses are chosen together."""
        if self.chosen is None:
            valid = self.pixels.target != IGNORE
            ordered = torch.where(valid, self.losses, -torch.inf).flatten().sort(descending=True).values
            last = (valid.sum() * self.share).ceil().long().clamp(min=1) - 1
            # Not `ordered[last]`, which reads the index, and so waits for a GPU.
            least = ordered.gather(0, last[None])
            chosen = (valid & (self.losses >= least)).to(self.losses.dtype)
            weights = self.pixels.weights
            self.chosen = _Pixels(self.pixels.loss, self.pixels.target, chosen if weights is None else chosen * weights)
        return self.chosen
