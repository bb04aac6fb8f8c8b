"""A step that runs out of memory is made again with smaller micro-batches, at the same effective batch.

What the failed attempt took is freed, what it changed is undone (gradients, the running statistics of batch
normalisation, the random state), and the number of micro-batches at least doubles: the run is then the one that would
have begun with that many. Parameters and optimizer are changed only by a step whose gradients are complete.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from segfit import units
from segfit.config import Recipe
from segfit.errors import RunError
from segfit.training.device import PeakMemory, hardware
from segfit.training.memory import free_memory, is_out_of_memory
from segfit.training.step import TrainStep

__all__ = ["Retried", "RetryingStep", "fitting_accumulate"]

REHEARSALS = 2
"""Steps that several ranks rehearse: the first one makes the optimizer's state, the second one has to do with it."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What happened when memory did not suffice.

    Attributes:
        before: micro-batches of the step that failed.
        after: of the next attempt.
        images: images per micro-batch now, on each rank.
        memory: peak in bytes when it failed, on this rank.
        batch_norm: whether the model has batch normalisation, which now sees fewer images at a time.
    """

    before: int
    after: int
    images: int
    memory: int
    batch_norm: bool


def fitting_accumulate(batch: int, least: int) -> int:
    """Return the smallest number of equal micro-batches that is at least `least`, or one image each.

    Args:
        batch: images per step on each rank.
        least: at least 1.
    """
    return next(parts for parts in range(min(least, batch), batch + 1) if batch % parts == 0)


class RetryingStep:
    """Makes steps, and makes those again that run out of memory.

    One rank simply tries. Several ranks wait for each other within a step, and one that fails would leave the others
    waiting; so at the start, and whenever the micro-batches have become smaller, each one rehearses the step by itself,
    and they agree before they make it together. That takes the time of one or two micro-batches, twice. Where memory
    runs out later, one line names the rank, and the run ends.

    Args:
        step: makes a step; its `accumulate` is raised.
        peak: measures memory.
        retried: is told of every change.
        where: the run's folder, for messages.
    """

    def __init__(self, step: TrainStep, peak: PeakMemory, retried: Callable[[Retried], None], where: str) -> None:
        self.step, self.peak, self.where = step, peak, where
        self._retried = retried
        self._rehearsals = REHEARSALS
        self._number = 0

    @cached_property
    def _statistics(self) -> "_Statistics":
        # Not before the first step: by then the model's layers are those that the ranks share.
        return _Statistics(self.step.model)

    def __call__(self, images: Tensor, masks: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Make optimizer step `number`; the other arguments and the result as in `TrainStep`.

        Raises:
            RunError: one image per micro-batch is still too much, or the optimizer's state is, or it is too late for
                several ranks.
        """
        self._number = number
        make = self._tried if self.step.ranks.world == 1 else self._rehearsed
        result = make(images, masks)
        self._update()
        return result

    def _tried(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        self._statistics.keep()
        while (result := self._attempt(lambda: self.step.gradients(images, masks))) is None:
            self._statistics.restore()
            self._shrink(len(images))
        return result

    def _rehearsed(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        def rehearsal() -> bool:
            self.step.rehearse(images, masks)
            return True

        while self._rehearsals:
            self._statistics.keep()
            fits = self._attempt(rehearsal) is not None
            self._statistics.restore()
            if self.step.ranks.largest(not fits):
                self._shrink(len(images))
                self._rehearsals = REHEARSALS
            else:
                self._rehearsals -= 1
                break
        result = self._attempt(lambda: self.step.gradients(images, masks))
        if result is None:
            raise self._too_little(
                "other ranks wait for this one: end what else uses its memory and go on with --resume, or train anew "
                f"with train.accumulate={fitting_accumulate(len(images), 2 * self.step.accumulate)}"
            )
        return result

    def _attempt(self, work: Callable[[], T]) -> T | None:
        """Return what `work` returns; None where memory did not suffice, without what it had made."""
        train, rank = self.step.recipe.train, self.step.ranks.rank
        # Dropout must not depend on what was drawn before, or a resumed run would differ; ranks draw differently.
        torch.manual_seed(hash((train.seed, self._number, rank)) % 2**63)
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here, where the error is gone and with it the frames of its traceback, can their memory be freed.
        self.step.drop_gradients()
        free_memory(self.step.ranks.device)
        return None

    def _shrink(self, batch: int) -> None:
        """Make the micro-batches smaller, and say so."""
        before = self.step.accumulate
        after = fitting_accumulate(batch, 2 * before)
        if after == before:
            raise self._too_little(f"with one image per micro-batch: {_mend(self.step.recipe)}")
        self.step.accumulate = after
        self._retried(
            Retried(
                before=before,
                after=after,
                images=batch // after,
                memory=self.peak.read(),
                batch_norm=any(isinstance(module, _BatchNorm) for module in self.step.model.modules()),
            )
        )
        # What a failed attempt took is not what the run needs.
        self.peak.forget()

    def _update(self) -> None:
        try:
            self.step.update()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # Some parameters may be changed already; and the activations, which micro-batches make smaller, are gone.
            less = "optim.name=sgd" if self.step.recipe.optim.fused else "optim.fused=true"
            raise self._too_little(f"in the optimizer's update: set {less}, or train a smaller model") from None

    def _too_little(self, what: str) -> RunError:
        memory = units.memory(self.peak.read())
        return RunError(
            f"{self.where}: out of memory in step {self._number + 1} at {memory}, {what}; checkpoints stay as they are"
        )


def _mend(recipe: Recipe) -> str:
    """Return what makes a step smaller whose micro-batches cannot be."""
    train = recipe.train
    native = hardware().precisions.get(str(train.device), ())
    ways = ["make augment.size smaller"]
    if train.checkpointing != "blocks":
        ways.append("set train.checkpointing=blocks")
    if native and train.precision != native[0]:
        ways.append(f"set train.precision={native[0]}")
    return " or ".join([", ".join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways)


class _Statistics:
    """A copy of the model's buffers: what a forward pass changes. Small: two numbers for each channel."""

    def __init__(self, model: nn.Module) -> None:
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for buffer in model.buffers():
            kinds.setdefault(buffer.dtype, []).append(buffer)
        # One call copies all tensors of one type.
        self._pairs = [(buffers, [buffer.clone() for buffer in buffers]) for buffers in kinds.values()]

    @torch.no_grad()
    def keep(self) -> None:
        """Remember the buffers as they are now."""
        for now, kept in self._pairs:
            torch._foreach_copy_(kept, now)

    @torch.no_grad()
    def restore(self) -> None:
        """Make the buffers what they were."""
        for now, kept in self._pairs:
            torch._foreach_copy_(now, kept)
