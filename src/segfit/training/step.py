"""One optimizer step: what training repeats, and what is planned and timed before it."""

from typing import Any

import torch
from torch import Tensor, nn

from segfit.config import Recipe
from segfit.losses import Loss
from segfit.models import Segmenter
from segfit.training.device import autocast
from segfit.training.optim import build_optimizer
from segfit.training.parallel import Ranks, distribute

__all__ = ["TrainStep"]


class _Objective(nn.Module):
    """Model and loss as one module: what the ranks share is then one scalar, whatever the output is made of."""

    def __init__(self, model: Segmenter, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        return self.loss(self.model(images), target)["loss"]  # type: ignore[no-any-return]


class TrainStep:
    """Makes optimizer steps: micro-batches, mixed precision, gradient clipping, ranks.

    Args:
        model: on the rank's device.
        loss: likewise.
        recipe: resolved.
        ranks: this process among its peers.

    Attributes:
        optimizer: over the model's parameters.
        scaler: keeps small float16 gradients from vanishing; the other precisions do not need it.
        accumulate: micro-batches per step.
    """

    def __init__(self, model: Segmenter, loss: Loss, recipe: Recipe, ranks: Ranks) -> None:
        self.recipe, self.ranks = recipe, ranks
        self.model, self.loss = model, loss
        self.objective: nn.Module = _Objective(model, loss)
        self.optimizer = build_optimizer(model, recipe.optim)
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=recipe.train.precision == "fp16")
        self.accumulate = recipe.train.accumulate

    def join_ranks(self) -> None:
        """Share gradients and batch statistics with the other ranks from now on; they take the first one's weights."""
        self.objective = distribute(self.objective, self.ranks)

    def __call__(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Make one step; return the mean loss over the global batch and the weight of that mean, float64 scalars.

        Args:
            images: this rank's `(B, 3, H, W)` uint8.
            masks: `(B, H, W)` uint8 train ids.
        """
        # The loader gives a channels-last view.
        images = images if self.recipe.train.channels_last else images.contiguous()
        targets = [mask.long() for mask in masks.chunk(self.accumulate)]
        weights = [self.loss.weight(target) for target in targets]
        total = self.ranks.sum(torch.stack(weights).sum())
        # Nothing but ignored pixels: the loss is 0, and 0 / 1 is as good a share as any.
        total = torch.where(total > 0, total, 1.0)
        loss = torch.zeros((), dtype=torch.float64, device=self.ranks.device)
        for part, (chunk, target, weight) in enumerate(
            zip(images.chunk(self.accumulate), targets, weights, strict=True), 1
        ):
            share = weight / total
            precision = self.recipe.train.precision
            with self._without_reduction(part < len(targets)), autocast(self.ranks.device, precision):
                value = self.objective(chunk, target)
                # The ranks' gradients are averaged; the shares add up to one over all of them, so undo the mean.
                self.scaler.scale(value * (share * self.ranks.world).to(value.dtype)).backward()
            loss += value.detach().double() * share
        self._apply()
        return self.ranks.sum(loss), total

    def _without_reduction(self, wanted: bool) -> Any:
        """Return the context that keeps gradients local until the last micro-batch."""
        if wanted and isinstance(self.objective, nn.parallel.DistributedDataParallel):
            return self.objective.no_sync()
        return torch.enable_grad()

    def _apply(self) -> None:
        if self.recipe.optim.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optim.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
