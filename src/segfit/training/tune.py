"""Which way of computing a step is the fastest for this model on this device: measured, with real steps.

One setting after the other is tried on top of what has won so far, not all combinations: they act on different things
(memory order and compilation on the model, fusion on the optimizer). How cuDNN computes a convolution is not among
them: it is measured for each one by itself (see `segfit.training.device.measured_convolutions`).
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segfit.config import Recipe
from segfit.errors import RecipeError, RunError
from segfit.losses import Loss
from segfit.models import Segmenter
from segfit.training.device import check_compiler
from segfit.training.memory import free_memory, is_out_of_memory
from segfit.training.parallel import Ranks
from segfit.training.step import TrainStep

__all__ = ["Build", "Tuning", "tune"]

Build = Callable[[Recipe], tuple[Segmenter, Loss]]
"""Makes the parts of a recipe anew, on the device, in the memory order that it wants."""

SETTINGS = (("train", "channels_last"), ("optim", "fused"), ("train", "compile"))
"""Switches of the recipe, section and name, in the order in which they are tried: what takes longest comes last."""

SECONDS = 60.0
"""Time for all steps that are timed, about; the first steps of each way come on top."""

ROUNDS = range(3, 10)
"""Steps timed of each of two ways: fewer decide nothing, more are not made."""

HOPELESS = 1.5
"""How much slower a way is, in each of the first two rounds, that is not measured any longer."""

NOISE = 0.02
"""The least gain that counts, even where repeated measurements lie closer together."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What was measured.

    Attributes:
        recipe: with the winning settings.
        facts: what the plan of the run keeps, JSON-ready: ``seconds`` that it took, ``chosen`` settings, and ``tried``:
            of each one the two values, the median seconds of a step ``before`` the change and ``after`` it, the median
            ``ratio`` of both over the rounds, its ``spread`` (half the distance between the quartiles), the ``rounds``,
            the ``warm_up`` seconds of the change, and whether it was ``kept``; or the ``failure``, in words.
    """

    recipe: Recipe
    facts: dict[str, Any]


def tune(recipe: Recipe, build: Build, images: Tensor, masks: Tensor, ranks: Ranks) -> Tuning:
    """Measure the steps of `recipe` and of its variants, and return the fastest.

    A variant takes the recipe's place only if it is faster by more than repeated measurements differ. Precision is left
    alone: it changes the numbers, not only the time. Each rank measures its own share of a step, so that they load the
    machine as training does, and all follow the first one.

    Args:
        recipe: resolved.
        build: called for every variant; two of them are in memory at a time.
        images: this rank's `(B, 3, H, W)` uint8 batch, on the device.
        masks: `(B, H, W)` uint8 train ids.
        ranks: this process among its peers.

    Raises:
        RecipeError, RunError: the recipe wants compilation, and it is not possible.
    """
    started = time.perf_counter()
    bench = _Bench(build, images, masks, Ranks(device=ranks.device), started + SECONDS)
    settings = _settings(ranks.device)
    tried: list[dict[str, Any]] = []
    best: _Way | None = None
    try:
        best = bench.warm(recipe)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        # Training itself goes on with smaller micro-batches; nothing is measured.
    if best is not None:
        for number, (section, name) in enumerate(settings):
            left = bench.until - time.perf_counter()
            if left > 0:
                best, facts = bench.challenge(best, section, name, left / (len(settings) - number))
                tried.append(facts)
        recipe = best.recipe
    del best
    free_memory(ranks.device)
    chosen = {f"{section}.{name}": getattr(getattr(recipe, section), name) for section, name in SETTINGS}
    facts = ranks.gather({"seconds": time.perf_counter() - started, "chosen": chosen, "tried": tried})[0]
    for setting, value in facts["chosen"].items():
        section, _, name = setting.partition(".")
        recipe = _with(recipe, section, name, value)
    return Tuning(recipe=recipe, facts=facts)


def _settings(device: torch.device) -> list[tuple[str, str]]:
    """Return the settings that are worth trying on this device.

    For a CPU torch compiles longer than all measurements take together, and gains little: convolutions do not change.
    """
    try:
        check_compiler(device)
    except RecipeError:
        compiles = False
    else:
        compiles = device.type == "cuda"
    return [setting for setting in SETTINGS if compiles or setting != ("train", "compile")]


def _with(recipe: Recipe, section: str, name: str, value: bool) -> Recipe:
    return recipe.model_copy(update={section: getattr(recipe, section).model_copy(update={name: value})})


@dataclass(frozen=True)
class _Way:
    """A recipe and what makes its steps; `seconds` of the first ones, which compile, allocate and measure."""

    recipe: Recipe
    step: TrainStep
    seconds: float


@dataclass(frozen=True)
class _Bench:
    """Measures ways of making a step of one batch."""

    build: Build
    images: Tensor
    masks: Tensor
    ranks: Ranks
    until: float

    def warm(self, recipe: Recipe) -> _Way:
        """Build a recipe and make its first steps."""
        step = TrainStep(*self.build(recipe), recipe, self.ranks)
        step.model.train()
        seconds = self._time(step)
        # After a long first step, that of a compiled model apart, the second one is hardly faster.
        if recipe.train.compile or seconds < SECONDS / 30:
            seconds += self._time(step)
        return _Way(recipe, step, seconds)

    def challenge(self, best: _Way, section: str, name: str, share: float) -> tuple[_Way, dict[str, Any]]:
        """Try the other value of a setting, in about `share` seconds; return the better way, and the facts."""
        started = time.perf_counter()
        value = not getattr(getattr(best.recipe, section), name)
        facts: dict[str, Any] = {"setting": f"{section}.{name}", "from": not value, "to": value}
        try:
            other = self.warm(_with(best.recipe, section, name, value))
            # A long compilation that is not measured in the end would be a pity.
            late = other.seconds
            before, after = self._race(best.step, other.step, started + share + late, self.until + late)
        except (RunError, RuntimeError, MemoryError) as error:
            if isinstance(error, RunError):
                facts |= {"failure": str(error)}
            elif is_out_of_memory(error):
                facts |= {"failure": "out of memory"}
            else:
                raise
        if "failure" in facts:
            # Here the error is gone, and with it all that its traceback held.
            best.step.drop_gradients()
            free_memory(self.ranks.device)
            return best, {**facts, "kept": False}
        facts |= {"warm_up": other.seconds, **_compared(before, after)}
        return (other if facts["kept"] else best), facts

    def _race(self, one: TrainStep, other: TrainStep, until: float, at_last: float) -> tuple[list[float], list[float]]:
        """Time the steps of both in turn, so that what else the machine does meets both; return the seconds of each.

        The fewest rounds that decide may go on until `at_last`, the others until `until`.
        """
        before: list[float] = []
        after: list[float] = []
        while time.perf_counter() < (at_last if len(before) < ROUNDS.start else until):
            before.append(self._time(one))
            after.append(self._time(other))
            hopeless = len(before) == 2 and all(b > HOPELESS * a for a, b in zip(before, after, strict=True))
            if hopeless or len(before) == ROUNDS.stop - 1:
                break
        return before, after

    def _time(self, step: TrainStep) -> float:
        started = time.perf_counter()
        step(self.images, self.masks)
        if self.ranks.device.type == "cuda":
            torch.cuda.synchronize(self.ranks.device)
        return time.perf_counter() - started


def _compared(before: list[float], after: list[float]) -> dict[str, Any]:
    """Return the facts of two ways timed in turn; the second one is kept if it is faster beyond doubt."""
    ratios = [b / a for a, b in zip(before, after, strict=True)]
    if len(ratios) < 2:
        return {"rounds": len(ratios), "kept": False}
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    spread = (high - low) / 2
    return {
        "before": statistics.median(before),
        "after": statistics.median(after),
        "ratio": middle,
        "spread": spread,
        "rounds": len(ratios),
        "kept": len(ratios) >= ROUNDS.start and middle < 1 - max(spread, NOISE),
    }
