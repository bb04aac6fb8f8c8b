"""One optimizer step: what training repeats, and what is planned and timed before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from segfit.config import Recipe
from segfit.errors import RunError
from segfit.losses import Loss
from segfit.models import Segmenter
from segfit.models.layers import BatchNorm2d
from segfit.training.average import MovingAverage
from segfit.training.device import autocast, check_compiler, measured_convolutions
from segfit.training.memory import is_out_of_memory
from segfit.training.optim import build_optimizer
from segfit.training.parallel import HostSyncBatchNorm, Ranks, distribute

__all__ = ["TrainStep"]

BACKEND = "inductor"
"""What torch.compile makes code with."""


class _Objective(nn.Module):
    """Model and loss as one module: what the ranks share is then one scalar, whatever the output is made of."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        return self.loss(self.model(images), target)["loss"]  # type: ignore[no-any-return]


class TrainStep:
    """Makes optimizer steps: micro-batches, mixed precision, gradient clipping, ranks, compilation.

    A step has two halves: `gradients`, which leaves parameters and optimizer alone, and `update`.

    Args:
        model: on the rank's device. With `train.compile` only the passes made here are compiled; the model itself
            stays as it is, under its own state-dict keys.
        loss: likewise. It is not compiled: what it saves in memory it saves by its own order of work.
        recipe: resolved.
        ranks: this process among its peers.

    Attributes:
        optimizer: over the model's parameters.
        scaler: keeps small float16 gradients from vanishing; the other precisions do not need it.
        accumulate: micro-batches per step.
        average: of the weights, with `train.ema`.

    Raises:
        RecipeError: the recipe wants compilation, and there is no compiler.
    """

    def __init__(self, model: Segmenter, loss: Loss, recipe: Recipe, ranks: Ranks) -> None:
        self.recipe, self.ranks = recipe, ranks
        self.model, self.loss = model, loss
        self._here = _Objective(_compiled(model, ranks.device) if recipe.train.compile else model, loss)
        self.objective: nn.Module = self._here
        self.optimizer = build_optimizer(model, recipe.optim)
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=recipe.train.precision == "fp16")
        self.accumulate = recipe.train.accumulate
        self.average = MovingAverage(model, recipe.train.ema) if recipe.train.ema is not None else None

    def join_ranks(self) -> None:
        """Share gradients and batch statistics with the other ranks from now on; they take the first one's weights."""
        self.objective = distribute(self._here, self.ranks)

    def __call__(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Make one step; arguments and result as in `gradients`."""
        result = self.gradients(images, masks)
        self.update()
        return result

    def gradients(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gradients of the mean loss over the global batch.

        Args:
            images: this rank's `(B, 3, H, W)` uint8.
            masks: `(B, H, W)` uint8 train ids.

        Returns:
            That loss, and the weight of its mean: float64 scalars.

        Raises:
            RunError: torch cannot compile the model.
        """
        images = self._arranged(images)
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
            with self._without_reduction(part < len(targets)):
                # The ranks' gradients are averaged; the shares add up to one over all of them, so undo the mean.
                loss += self._backward(self.objective, chunk, target, share * self.ranks.world) * share
        return self.ranks.sum(loss), total

    def update(self) -> None:
        """Let the optimizer use the gradients, and drop them."""
        if self.recipe.optim.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optim.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.drop_gradients()
        if self.average is not None:
            self.average.update()

    def drop_gradients(self) -> None:
        """Forget gradients, and their memory."""
        self.optimizer.zero_grad(set_to_none=True)

    def rehearse(self, images: Tensor, masks: Tensor) -> None:
        """Do what takes the most memory in a step, on this rank alone, and drop the gradients; arguments as above.

        No rank waits for another one, so one that runs out of memory leaves none behind. Batch statistics change.
        """
        # The second micro-batch is the costlier one: the gradients of the first are there.
        chunks = zip(self._arranged(images).chunk(self.accumulate), masks.chunk(self.accumulate), strict=True)
        # Not compiled: the layers, which see this rank alone now, would have to be compiled anew.
        objective = _Objective(self.model, self.loss)
        with _alone(self.model):
            for (chunk, mask), _ in zip(chunks, range(2), strict=False):
                target = mask.long()
                self._backward(objective, chunk, target, torch.ones((), device=target.device))
        self.drop_gradients()

    def _arranged(self, images: Tensor) -> Tensor:
        """Return the images in the memory order of the model; the loader gives a channels-last view."""
        return images if self.recipe.train.channels_last else images.contiguous()

    def _backward(self, objective: nn.Module, images: Tensor, target: Tensor, factor: Tensor) -> Tensor:
        """Add the gradients of the loss times `factor`; return the loss as a float64 scalar."""
        device = self.ranks.device
        with autocast(device, self.recipe.train.precision), measured_convolutions(device), _naming_compilation():
            value = objective(images, target)
            self.scaler.scale(value * factor.to(value.dtype)).backward()
        return value.detach().double()  # type: ignore[no-any-return]

    def _without_reduction(self, wanted: bool) -> Any:
        """Return the context that keeps gradients local until the last micro-batch."""
        if wanted and isinstance(self.objective, nn.parallel.DistributedDataParallel):
            return self.objective.no_sync()
        return torch.enable_grad()


@contextmanager
def _naming_compilation() -> Iterator[None]:
    """Say of a failed compilation that it was one: its own message is pages of generated code."""
    try:
        yield
    except RuntimeError as error:
        # A module of torch that takes seconds to import: only its name is asked for.
        compiling = any(kind.__module__.startswith("torch._dynamo") for kind in type(error).__mro__)
        if not compiling or is_out_of_memory(error):
            raise
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise RunError(f"train.compile: torch cannot compile this model ({reason}): set train.compile=false") from None


def _compiled(model: Segmenter, device: torch.device) -> nn.Module:
    """Return the model as torch.compile runs it, for batches of one size; it shares all parameters with `model`."""
    check_compiler(device)
    # Variants of one function are counted: without a fresh start the ninth model of a study would not be compiled.
    torch.compiler.reset()
    # Its type says function; given a module it is one.
    return cast(nn.Module, torch.compile(model, dynamic=False, backend=BACKEND))


@contextmanager
def _alone(model: nn.Module) -> Iterator[None]:
    """Let batch normalisation see the images of this rank only."""
    kinds_of_ranks = nn.SyncBatchNorm | HostSyncBatchNorm
    shared: list[nn.Module] = [module for module in model.modules() if isinstance(module, kinds_of_ranks)]
    kinds = [module.__class__ for module in shared]
    for module in shared:
        module.__class__ = BatchNorm2d
    try:
        yield
    finally:
        for module, kind in zip(shared, kinds, strict=True):
            module.__class__ = kind
