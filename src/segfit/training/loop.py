"""The training loop: plain, visible, and resumable at any step.

Everything random is a pure function of (seed, epoch, sample) or (seed, step), and the learning rate one of the step, so
a checkpoint holds only weights, optimizer state and `Progress`.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from segfit.config import Recipe
from segfit.data.loader import Batch, TrainLoader
from segfit.errors import RunError
from segfit.folder import RunFolder
from segfit.losses import Loss
from segfit.models import Segmenter
from segfit.training.checkpoint import load_checkpoint, save_checkpoint, save_weights
from segfit.training.device import PeakMemory
from segfit.training.events import EventLog
from segfit.training.optim import learning_rate, set_learning_rate
from segfit.training.parallel import Ranks
from segfit.training.prefetch import on_device
from segfit.training.retry import Retried, RetryingStep, fitting_accumulate
from segfit.training.step import TrainStep
from segfit.training.stop import StopSignal

__all__ = ["Progress", "Trainer", "Validate", "total_steps"]

Validate = Callable[[Callable[[], None]], Mapping[str, float]]
"""Scores the model on the validation split (``loss``, ``dice``, …); calls its argument between batches."""

LOG_SECONDS = 2.0
"""Time between two step events: reading the loss waits for the GPU, so not every step is read."""


@dataclass
class Progress:
    """Where a run stands; all that a checkpoint needs beside tensors.

    Attributes:
        epoch: completed epochs.
        batch: completed steps of the epoch under way.
        step: optimizer steps so far.
        loss_sum: sum of the losses of the epoch under way, each times its step's weight.
        weight_sum: sum of these weights.
        train_seconds: time spent in training steps, over all starts.
        seconds: wall time of training and validation, over all starts.
        memory: peak memory in bytes, over all starts.
        validated: the last epoch that was validated.
        best_epoch: epoch of the best validation score; 0 before the first.
        best_score: that score.
        accumulate: micro-batches per step where memory was too small for the recipe's; 0 where it was not.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    train_seconds: float = 0.0
    seconds: float = 0.0
    memory: int = 0
    validated: int = 0
    best_epoch: int = 0
    best_score: float = field(default=-1.0)
    accumulate: int = 0


def total_steps(recipe: Recipe, per_epoch: int) -> int:
    """Return the optimizer steps of a run whose epochs have `per_epoch` of them."""
    if recipe.train.steps is not None:
        return recipe.train.steps
    assert recipe.train.epochs is not None
    return recipe.train.epochs * per_epoch


@dataclass(kw_only=True)
class Trainer:
    """Trains a model to its recipe's end and leaves checkpoints and events in the run folder.

    Attributes:
        model: on the rank's device.
        loss: likewise.
        loader: this rank's share of the training data.
        validate: scores the model; every rank calls it.
        recipe: resolved.
        folder: where to write.
        ranks: this process among its peers.
        peak: measures memory since before the model was built.
        progress: where the run stands.
        planned: the peak memory in bytes that planning predicted, if it did.
    """

    model: Segmenter
    loss: Loss
    loader: TrainLoader
    validate: Validate
    recipe: Recipe
    folder: RunFolder
    ranks: Ranks
    peak: PeakMemory
    progress: Progress = field(default_factory=Progress)
    planned: int | None = None

    def __post_init__(self) -> None:
        self.step = TrainStep(self.model, self.loss, self.recipe, self.ranks)
        self._make_step = RetryingStep(self.step, self.peak, self._note_retry, str(self.folder.path))
        self.total = total_steps(self.recipe, len(self.loader))
        self.stop = StopSignal()

    def run(self, *, resume: bool) -> Progress:
        """Train; with `resume`, go on from the last checkpoint.

        Raises:
            Interrupted: a signal came; the last checkpoint is at the step where it came.
            RunError: the loss is not a number any more, or a checkpoint cannot be read or written.
        """
        if resume:
            self._restore()
        # After the weights are loaded: the ranks take them from the first one.
        self.step.join_ranks()
        events = EventLog(
            self.folder.events_file if self.ranks.main else None,
            label=self.recipe.name,
            total=self.total,
            done=self.progress.step,
            faster=_faster_loading(self.recipe),
        )
        with events as self.events, self.stop:
            self.events.write("start", epoch=self.progress.epoch, step=self.progress.step)
            self._validate_if_due()
            while self.progress.step < self.total:
                self._train_epoch()
                self._validate_if_due()
            self.events.write("end", epoch=self.progress.epoch, step=self.progress.step)
        return self.progress

    # --- one epoch ---

    def _train_epoch(self) -> None:
        """Train to the end of the epoch under way, or to the last step if that comes first."""
        self.model.train()
        progress, logged = self.progress, time.perf_counter()
        clock = _Clock(progress)
        sums = torch.tensor([progress.loss_sum, progress.weight_sum], dtype=torch.float64, device=self.ranks.device)
        batches = on_device(self.loader.epoch(progress.epoch, start=progress.batch), self.ranks.device)
        for batch in clock.waiting_for(batches):
            loss, weight = self._train_step(batch)
            # A step that the scaler skips in float16 has no finite loss; it is none of the mean.
            sums += torch.where(loss.isfinite(), torch.stack([loss * weight, weight]), 0.0)
            progress.step += 1
            progress.batch += 1
            last = progress.batch == len(self.loader) or progress.step == self.total
            if last and self.ranks.device.type == "cuda":
                torch.cuda.synchronize(self.ranks.device)
            clock.read()
            if last or self.stop.number or time.perf_counter() - logged > LOG_SECONDS:
                self._log_step(loss, clock)
                logged = time.perf_counter()
            if last:
                break
            if self._time_to_ask() and self._asked_to_stop():
                progress.loss_sum, progress.weight_sum = sums.tolist()
                self._save()
                self.stop.check()
        self._end_epoch(sums, clock)

    def _end_epoch(self, sums: Tensor, clock: "_Clock") -> None:
        """Close an epoch; one that the last step cut short stays open, so that a longer run can go on with it."""
        progress, (loss_sum, weight_sum) = self.progress, sums.tolist()
        complete = progress.batch == len(self.loader)
        number = progress.epoch + 1
        progress.loss_sum, progress.weight_sum = (0.0, 0.0) if complete else (loss_sum, weight_sum)
        if complete:
            progress.epoch, progress.batch = number, 0
        self._save()
        self.events.write(
            "epoch",
            epoch=number,
            step=progress.step,
            loss=loss_sum / weight_sum if weight_sum else 0.0,
            seconds=clock.seconds(),
            images_per_second=clock.steps_per_second() * self.recipe.train.images,
            wait=clock.wait(),
            memory=progress.memory,
        )
        if self._asked_to_stop():
            self.stop.check()

    def _log_step(self, loss: Tensor, clock: "_Clock") -> None:
        value = loss.item()
        if not math.isfinite(value):
            if self.step.scaler.is_enabled() and self.step.scaler.get_scale() >= 1:
                return  # the scaler skips this step and goes on with a smaller scale
            raise self._diverged("the loss", value)
        self.progress.memory = max(self.progress.memory, self.peak.read())
        self.events.write(
            "step",
            epoch=self.progress.epoch + self.progress.batch / len(self.loader),
            step=self.progress.step,
            loss=value,
            lr=learning_rate(self.recipe.optim, self.progress.step - 1, self.total),
            images_per_second=clock.steps_per_second() * self.recipe.train.images,
            wait=clock.wait(),
            memory=self.progress.memory,
        )

    def _diverged(self, what: str, value: float) -> RunError:
        return RunError(
            f"{self.folder.path}: {what} is {value} at step {self.progress.step}: lower optim.lr, set "
            "optim.clip_norm=1 or train.precision=fp32; the last checkpoint is from before"
        )

    # --- one step ---

    def _train_step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Make one optimizer step; return the mean loss over the global batch and the weight of that mean."""
        set_learning_rate(self.step.optimizer, learning_rate(self.recipe.optim, self.progress.step, self.total))
        return self._make_step(batch.images, batch.masks, self.progress.step)

    def _note_retry(self, retried: Retried) -> None:
        """Remember for later starts, and tell, that the micro-batches became smaller."""
        self.progress.accumulate = retried.after
        self.events.write(
            "out_of_memory",
            step=self.progress.step,
            **{"from": retried.before, "to": retried.after},
            images=retried.images,
            batch_norm=retried.batch_norm,
            memory=retried.memory,
            planned=self.planned,
        )

    # --- around it ---

    def _validate_if_due(self) -> None:
        progress = self.progress
        finished = progress.step >= self.total
        # A run that ends within an epoch is validated as if it had completed it.
        number = progress.epoch + (1 if finished and progress.batch else 0)
        due = finished or (number % self.recipe.train.validate_every == 0 and progress.batch == 0)
        if not due or number <= progress.validated:
            return
        started = time.perf_counter()
        with self._averaged():
            # Ranks that stop at different batches would wait for each other for ever: several finish the pass.
            scores = self.validate(self.stop.check if self.ranks.world == 1 else lambda: None)
        if not math.isfinite(scores["loss"]):
            raise self._diverged("the validation loss", scores["loss"])
        progress.validated = number
        progress.seconds += time.perf_counter() - started
        progress.memory = max(progress.memory, self.peak.read())
        self.events.write("validation", epoch=number, step=progress.step, **scores)
        score = scores[self.recipe.evaluate.score]
        if score > progress.best_score:
            progress.best_epoch, progress.best_score = number, score
            if self.ranks.main:
                with self._averaged():
                    save_weights(self.folder.best, self.model, {"epoch": number, **scores})
        self._save()
        if self._asked_to_stop() and not finished:
            self.stop.check()

    def _averaged(self) -> AbstractContextManager[None]:
        """Return the context in which the model is what is validated and kept: the moving average, if there is one."""
        return nullcontext() if self.step.average is None else self.step.average.shown()

    def _time_to_ask(self) -> bool:
        """Whether to ask the other ranks for signals: on GPUs that waits for them, so only now and then."""
        return self.ranks.device.type == "cpu" or self.ranks.world == 1 or self.progress.step % 10 == 0

    def _asked_to_stop(self) -> bool:
        """Whether any rank got a signal; all agree, so none is left waiting."""
        self.stop.number = self.ranks.largest(self.stop.number)
        return self.stop.number > 0

    def _save(self) -> None:
        if self.ranks.main:
            facts = {"progress": asdict(self.progress), "scaler": self.step.scaler.state_dict()}
            save_checkpoint(self.folder.last, self.model, self.step.optimizer, facts, self.step.average)

    def _restore(self) -> None:
        facts = load_checkpoint(self.folder.last, self.model, self.step.optimizer, self.step.average)
        self.progress = Progress(**facts["progress"])
        if self.progress.accumulate:
            share = self.recipe.train.images // self.ranks.world
            self.step.accumulate = fitting_accumulate(share, self.progress.accumulate)
        if facts["scaler"]:
            self.step.scaler.load_state_dict(facts["scaler"])


class _Clock:
    """Adds the time of an epoch to the progress of its run."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._started = time.perf_counter()
        self._before = (progress.train_seconds, progress.seconds, progress.step)
        self._waited = 0.0

    def waiting_for(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the batches and add up the time that they take to come."""
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - started
            if batch is None:
                return
            yield batch

    def read(self) -> None:
        """Bring the progress up to now."""
        elapsed = time.perf_counter() - self._started
        self.progress.train_seconds, self.progress.seconds = self._before[0] + elapsed, self._before[1] + elapsed

    def seconds(self) -> float:
        """Return the time since the start, as last read."""
        return self.progress.train_seconds - self._before[0]

    def steps_per_second(self) -> float:
        """Return the mean speed since the start."""
        return (self.progress.step - self._before[2]) / max(self.seconds(), 1e-9)

    def wait(self) -> float:
        """Return the share of the time since the start that was spent waiting for data."""
        return min(self._waited / max(self.seconds(), 1e-9), 1.0)


def _faster_loading(recipe: Recipe) -> str:
    """Return what speeds up the loader, for a user whose training waits for it."""
    more = "raise train.workers"
    return more if recipe.data.cache else f"{more}, or read decoded images (segfit data prepare; data.cache=…)"
