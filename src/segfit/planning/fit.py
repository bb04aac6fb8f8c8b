"""Which settings fit: the largest batch, and what to switch on where the wanted one does not fit.

Nothing here depends on how fast the machine is, or on what else it is doing: equal recipes on equal devices are settled
alike, on every rank and at every start.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from segfit.config import Recipe
from segfit.errors import RecipeError
from segfit.planning.devices import Device
from segfit.planning.footprint import Footprint
from segfit.units import memory

__all__ = ["Lever", "Option", "Planner", "Predict", "largest_that_fits", "roughly_largest", "sensible"]

Predict = Callable[[Recipe], Footprint]
"""Traces a recipe that has a batch, as one rank runs it (see `footprint`)."""

LEAST_GAIN = 0.01
"""Share of the memory that a lever must save to be one: a model without blocks has nothing to compute again."""

HALF = ("fp16", "bf16")

MOST_SCORED = 16
"""Images that are scored at once where that is derived: more are hardly faster."""

MOST_AT_ONCE = 64
"""Images per rank and forward pass that the search goes up to: they keep a GPU busy, and more take long to trace."""

START = 4
"""Images per rank with which the search for an automatic batch begins: few, because traces of many take longer."""


@dataclass(frozen=True, kw_only=True)
class Lever:
    """Something that lowers the memory of a step.

    Attributes:
        change: the override that switches it on.
        price: what else changes.
    """

    change: str
    price: str


@dataclass(frozen=True, kw_only=True)
class Option:
    """A recipe with a batch, and what it takes.

    Attributes:
        recipe: resolved.
        footprint: of one rank.
        lever: what was switched on last; None for the recipe as it is.
    """

    recipe: Recipe
    footprint: Footprint
    lever: Lever | None = None

    @property
    def peak(self) -> int:
        """Bytes at the peak of training or of validation, whichever needs more."""
        return max(self.footprint.training.total, self.footprint.validation.total)

    @property
    def fixed(self) -> int:
        """Bytes that do not depend on the number of images."""
        return self.footprint.training.parameters + self.footprint.training.optimizer


class Planner:
    """Looks for settings that fit into one device; what was traced once is not traced again.

    Args:
        device: of each rank.
        world: number of ranks.
        predict: traces a recipe.
        known: what was traced for such a device, by `memory_key`; more is added.
    """

    def __init__(self, device: Device, world: int, predict: Predict, known: dict[str, Footprint] | None = None) -> None:
        self.device, self.world = device, world
        self._predict = predict
        self._known = {} if known is None else known

    def option(self, recipe: Recipe, lever: Lever | None = None) -> Option:
        """Return what a recipe with a batch takes."""
        key = _memory_key(recipe)
        if key not in self._known:
            self._known[key] = self._predict(recipe)
        return Option(recipe=recipe, footprint=self._known[key], lever=lever)

    def fits(self, option: Option) -> bool:
        """Whether an option fits into the device."""
        return option.peak <= self.device.room

    def largest(self, recipe: Recipe, most: int = MOST_AT_ONCE) -> int:
        """Return the largest micro-batch of one rank that fits, at most `most`; 0 if not even one image fits."""
        at_once = recipe.train.accumulate * self.world
        start = START if recipe.train.batch == "auto" else min(most, max(1, recipe.train.images // at_once))

        def option(images: int) -> Option:
            # Its evaluation stays as it is: that grows less, and one batch of it is one batch.
            return self.option(_with_train(with_batch(recipe, start * at_once), batch=images * at_once))

        fixed = option(min(start, most)).fixed
        return largest_that_fits(
            lambda images: option(images).peak, self.device.room, start=start, base=fixed, most=most
        )

    def settle(self, recipe: Recipe, images: int) -> list[Option]:
        """Return how a recipe becomes one that fits: the last option is what to train, the others what it came from.

        ``train.batch=auto`` takes the largest sensible batch. ``train.fit`` switches on one lever after the other, then
        accumulation, until the wanted batch (of an automatic one: one image) fits. A recipe with neither stays as it
        is, whether it fits or not.

        Args:
            recipe: resolved.
            images: in the training split. An automatic batch is at most a sixteenth of them (or eight), so that an
                epoch has some steps, and no rank has more than 64 of them in memory at once.

        Raises:
            RecipeError: nothing fits, or the ranks cannot share the batch.
        """
        if recipe.train.batch == "auto":
            return self._settle_batch(recipe, images)
        self._check_shares(recipe)
        tried: list[Option] = []
        for option in self._ladder(recipe):
            tried.append(option)
            if recipe.train.fit is None or self.fits(option):
                return tried
        accumulated = self.accumulated(tried[-1])
        if accumulated is None:
            raise self._too_large(tried[-1].recipe)
        return [*tried, accumulated]

    def levers(self, start: Option) -> Iterator[Option]:
        """Yield what lowers the memory of `start`, each on top of those before, in the order of least time cost."""
        best = start
        for lever, changes in _switches(start.recipe, self.device):
            option = self.option(_with(best.recipe, **changes), lever)
            if option.peak <= best.peak * (1 - LEAST_GAIN):
                yield option
                best = option

    def accumulated(self, option: Option) -> Option | None:
        """Return an option that does not fit in the fewest micro-batches that do; None if not even one image does.

        How many that are is estimated by the memory of an image, so that hardly more than one is traced.
        """
        recipe = option.recipe
        share = recipe.train.images // self.world
        once = roughly_largest(option, self.device.room) // (recipe.train.accumulate * self.world)
        for parts in range(recipe.train.accumulate + 1, share + 1):
            if share % parts == 0 and share // parts <= max(once, 1):
                price = f"batch normalisation sees {share // parts} of {share} images at once"
                lever = Lever(change=f"train.accumulate={parts}", price=price)
                found = self.option(_with(recipe, accumulate=parts), lever)
                if self.fits(found):
                    return found
        return None

    def _settle_batch(self, recipe: Recipe, images: int) -> list[Option]:
        at_once = recipe.train.accumulate * self.world
        most = max(1, min(MOST_AT_ONCE, min(images, max(8, images // 16)) // at_once))
        start = with_batch(recipe, min(START, most) * at_once)
        tried: list[Option] = []
        for option in self._ladder(start):
            tried.append(option)
            if fitting := self.largest(option.recipe, most):
                return [*tried[:-1], self.option(with_batch(option.recipe, sensible(fitting) * at_once), option.lever)]
        raise self._too_large(tried[-1].recipe)

    def _ladder(self, recipe: Recipe) -> Iterator[Option]:
        """Yield a recipe as it is and, where it has to fit, with one lever after the other."""
        option = self.option(recipe)
        yield option
        if recipe.train.fit is not None:
            yield from self.levers(option)

    def _too_large(self, recipe: Recipe) -> RecipeError:
        train = recipe.train
        least = self.option(with_batch(_with(recipe, accumulate=1), self.world)).peak
        settings = f"{train.precision} and train.checkpointing={train.checkpointing}"
        more = "" if train.fit is not None else ", train.fit (precision and checkpointing are then chosen)"
        room = f"{self.device.name} has room for {memory(self.device.room)} beside what libraries take"
        return RecipeError(
            f"train.{'fit' if train.fit is not None else 'batch'}: one image at a time with {settings} needs "
            f"{memory(least)}, and {room}: shrink augment.size or the model (its width or backbone){more}"
        )

    def _check_shares(self, recipe: Recipe) -> None:
        parts = recipe.train.accumulate * self.world
        if recipe.train.images % parts:
            raise RecipeError(
                f"train.batch: {recipe.train.images} is not a multiple of {parts} ({self.world} GPUs or ranks x "
                f"train.accumulate={recipe.train.accumulate}): take {max(1, recipe.train.images // parts) * parts}"
            )


def roughly_largest(option: Option, room: int) -> int:
    """Return about how many images per optimizer step fit with the settings of an option: its memory, scaled."""
    each = max(1, option.peak - option.fixed) / option.recipe.train.images
    return max(0, int((room - option.fixed) / each))


def largest_that_fits(
    peak: Callable[[int], int], room: int, *, start: int = 1, base: int = 0, most: int = 1 << 16
) -> int:
    """Return the largest number of images whose peak is at most `room`; 0 if not even one fits.

    A peak is the highest of several moments, each of which grows by a fixed amount per image; so it is convex and
    nearly straight, and two or three evaluations are enough.

    Args:
        peak: bytes for a number of images; does not fall.
        room: bytes.
        start: where to look first.
        base: bytes that are there without any image, roughly.
        most: largest number to return.
    """
    fitting: list[tuple[int, int]] = []
    excessive: list[tuple[int, int]] = []
    guess = min(start, most)
    while True:
        found = guess, peak(guess)
        (fitting if found[1] <= room else excessive).append(found)
        fitting.sort()
        excessive.sort()
        low = fitting[-1][0] if fitting else 0
        high = excessive[0][0] if excessive else most + 1
        on_line = _on_line(fitting, excessive, room, base)
        # A convex curve lies above the line beyond two of its points: what does not fit by the line does not fit.
        if high == low + 1 or (len(fitting) > 1 and on_line <= low):
            return low
        guess = min(max(on_line, low + 1), high - 1)


def _on_line(fitting: list[tuple[int, int]], excessive: list[tuple[int, int]], room: int, base: int) -> int:
    """Return the number of images that fill `room` on the line through the two points next to it."""
    if len(fitting) > 1:
        left, right = fitting[-2:]
    elif fitting and excessive:
        left, right = fitting[0], excessive[0]
    else:
        left, right = [(0, base), *(fitting or excessive)][:2] if len(excessive) < 2 else excessive[:2]
    slope = (right[1] - left[1]) / (right[0] - left[0])
    return left[0] + int((room - left[1]) // slope) if slope > 0 else 1 << 30


def sensible(images: int) -> int:
    """Return `images` rounded down to a multiple of 8, or of 2 below 16: kernels like even numbers, so do people."""
    step = 8 if images >= 16 else 2 if images >= 4 else 1
    return images // step * step


def with_batch(recipe: Recipe, batch: int) -> Recipe:
    """Return `recipe` with another batch; the batch of its evaluation follows where the recipe leaves it open."""
    return _with(recipe, batch=batch)


def _with(recipe: Recipe, **changes: Any) -> Recipe:
    """Return `recipe` with changes in `train`; an evaluation batch that followed the training's still does."""
    train = recipe.train
    follows = recipe.evaluate.batch is None or (train.batch != "auto" and recipe.evaluate.batch == _micro_batch(recipe))
    changed = _with_train(recipe, **changes)
    if not follows:
        return changed
    evaluate = recipe.evaluate.model_copy(update={"batch": min(_micro_batch(changed), MOST_SCORED)})
    return changed.model_copy(update={"evaluate": evaluate})


def _with_train(recipe: Recipe, **changes: Any) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=changes)})


def _micro_batch(recipe: Recipe) -> int:
    """Return what `resolve` gives an evaluation that says nothing: images per micro-batch, over all ranks."""
    return max(1, recipe.train.images // recipe.train.accumulate)


def _switches(recipe: Recipe, device: Device) -> Iterator[tuple[Lever, dict[str, Any]]]:
    """Yield levers and what each changes in `train`, in the order of least time cost."""
    best = device.precisions[0]
    if best in HALF and recipe.train.precision not in HALF:
        yield (
            Lever(change=f"train.precision={best}", price="half as much to move, and faster arithmetic; rounds more"),
            {"precision": best},
        )
    if recipe.train.checkpointing == "none":
        price = "computes normalisations again instead of keeping them; the same numbers"
        yield Lever(change="train.checkpointing=norms", price=price), {"checkpointing": "norms"}
    if recipe.train.checkpointing != "blocks":
        price = "computes each block again in the backward pass; the same numbers"
        yield Lever(change="train.checkpointing=blocks", price=price), {"checkpointing": "blocks"}


def _memory_key(recipe: Recipe) -> str:
    """Return a text that is the same for recipes of equal memory: two runs may differ in length and data only."""
    whole = recipe.model_dump(mode="json")
    train = ("batch", "accumulate", "checkpointing", "precision", "channels_last", "device", "compile", "ema")
    return repr(
        (
            {key: value for key, value in whole["model"].items() if key != "pretrained"},
            whole["loss"],
            [whole["optim"][key] for key in ("name", "fused", "clip_norm", "momentum", "backbone_lr")],
            [whole["train"][key] for key in train],
            whole["augment"]["size"],
            [whole["evaluate"][key] for key in ("protocol", "batch", "resize", "window", "overlap", "scales", "flip")],
        )
    )
