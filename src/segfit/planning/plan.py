"""What is known of a recipe before it is trained: what it takes, what was or could be switched on, and how long."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from segfit.config import Recipe
from segfit.planning.devices import CONTEXT, SLACK, Device
from segfit.planning.fit import Lever, Option, Planner, Predict, roughly_largest
from segfit.planning.footprint import Footprint, footprint
from segfit.planning.roofline import all_reduce_seconds, step_seconds

__all__ = ["Plan", "Traces", "explain", "measured_facts", "per_rank", "settle"]


Traces = dict[tuple[int, int, str], dict[str, Footprint]]
"""What equal recipes take, by number of classes and of ranks and by kind of device."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A recipe on a device.

    Attributes:
        device: what each rank has.
        world: number of ranks.
        classes: that the recipe learns.
        images: in the training split.
        taken: how the recipe became what it is (`Planner.settle`); the last one counts.
        offered: what would lower its memory further, each on top of those before.
        largest: images per optimizer step that fit at most with the settled levers, as far as they were looked for
            (64 per rank and forward pass); None where nobody asked.
    """

    device: Device
    world: int
    classes: int
    images: int
    taken: Sequence[Option]
    offered: Sequence[Option] = ()
    largest: int | None = None

    @property
    def recipe(self) -> Recipe:
        """The settled recipe."""
        return self.option.recipe

    @property
    def option(self) -> Option:
        """What counts."""
        return self.taken[-1]

    @property
    def levers(self) -> list[Lever]:
        """What was switched on, in this order."""
        return [option.lever for option in self.taken if option.lever is not None]

    def fits(self, option: Option) -> bool:
        """Whether an option fits into the device."""
        return option.peak <= self.device.room

    def roughly_largest(self, option: Option) -> int:
        """Return about how many images per optimizer step fit with the levers of an option."""
        return roughly_largest(option, self.device.room)

    def steps(self, option: Option) -> int:
        """Return the optimizer steps of an epoch; an incomplete last batch is dropped."""
        return self.images // option.recipe.train.images

    def step_seconds(self, option: Option) -> float | None:
        """Return the predicted seconds of an optimizer step; None on a device whose speed is not known."""
        if self.device.speed is None:
            return None
        together = all_reduce_seconds(option.footprint.parameters, self.world)
        return step_seconds(option.footprint.operations, self.device.speed) + together

    def epoch_seconds(self, option: Option) -> float | None:
        """Return the predicted seconds of an epoch's steps, without loading and validation."""
        step = self.step_seconds(option)
        return None if step is None else step * self.steps(option)

    def facts(self) -> dict[str, Any]:
        """Return all of it, JSON-ready; sizes in bytes, times in seconds."""
        return {
            "recipe": self.recipe.name,
            "classes": self.classes,
            "training_images": self.images,
            "device": {
                "name": self.device.name,
                "kind": self.device.kind,
                "count": self.world,
                "memory": self.device.memory,
                "room": self.device.room,
                "reserved_for_libraries": CONTEXT,
                "slack": SLACK,
                "speed": None if self.device.speed is None else asdict(self.device.speed),
            },
            "levers": [asdict(lever) for lever in self.levers],
            **self._option_facts(self.option),
            "largest_batch": self.largest,
            "to_fit_more": [
                {
                    "lever": asdict(option.lever),
                    **self._option_facts(option),
                    "largest_batch_about": self.roughly_largest(option),
                }
                for option in self.offered
                if option.lever is not None
            ],
        }

    def _option_facts(self, option: Option) -> dict[str, Any]:
        train, parts = option.recipe.train, option.footprint
        calls = parts.operations
        return {
            "settings": {
                "batch": train.images,
                "accumulate": train.accumulate,
                "images_at_once": per_rank(option.recipe, self.world),
                "precision": train.precision,
                "checkpointing": train.checkpointing,
            },
            "memory": {
                "peak": option.peak,
                "training": {**asdict(parts.training), "total": parts.training.total},
                "validation": {**asdict(parts.validation), "total": parts.validation.total},
            },
            "fits": self.fits(option),
            "parameters": parts.parameters,
            "flops_per_step": sum(call.count * call.flops for call in calls),
            "bytes_per_step": sum(call.count * call.bytes for call in calls),
            "seconds_per_step": self.step_seconds(option),
            "seconds_per_epoch": self.epoch_seconds(option),
        }


def settle(recipe: Recipe, *, classes: int, images: int, device: Device, world: int = 1) -> Plan:
    """Return the plan of a recipe whose batch and levers are settled for `device` (see `Planner.settle`).

    Args:
        recipe: resolved for that kind of device.
        classes: that it learns.
        images: in its training split.
        device: what each rank has.
        world: number of ranks.

    Raises:
        RecipeError: nothing fits, or the ranks cannot share the batch.
    """
    taken = _planner(classes, device, world).settle(recipe, images)
    return Plan(device=device, world=world, classes=classes, images=images, taken=taken)


def explain(
    recipe: Recipe, *, classes: int, images: int, device: Device, world: int = 1, traces: Traces | None = None
) -> Plan:
    """Return the plan that `settle` makes, with what would lower its memory and the largest batch of each.

    Args:
        recipe: as in `settle`, like all others.
        classes: that it learns.
        images: in its training split.
        device: what each rank has.
        world: number of ranks.
        traces: of recipes that were explained before; more are added.
    """
    planner = _planner(classes, device, world, traces)
    taken = planner.settle(recipe, images)
    offered = [*planner.levers(taken[-1])]
    last = [taken[-1], *offered][-1]
    if not planner.fits(last) and (accumulated := planner.accumulated(last)) is not None:
        offered.append(accumulated)
    settled = taken[-1].recipe
    return Plan(
        device=device,
        world=world,
        classes=classes,
        images=images,
        taken=taken,
        offered=offered,
        largest=planner.largest(settled) * settled.train.accumulate * world,
    )


def _planner(classes: int, device: Device, world: int, traces: Traces | None = None) -> Planner:
    predict: Predict = partial(footprint, classes=classes, world=world, device=device.kind)
    known = None if traces is None else traces.setdefault((classes, world, device.kind), {})
    return Planner(device, world, predict, known)


def per_rank(recipe: Recipe, world: int) -> int:
    """Return the images that one rank has in memory at once."""
    return -(-recipe.train.images // (recipe.train.accumulate * world))


def measured_facts(plan: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
    """Return what a run turned out to take, beside what was planned.

    Args:
        plan: `Plan.facts` of the run.
        training: the run's ``training`` facts (see `metrics.json`).
    """
    # On a CPU the measured memory is that of the process, libraries and loader included: another thing.
    comparable = plan["device"]["kind"] == "cuda" and training["memory"]
    rate = training["images_per_second"]
    seconds = plan["training_images"] / rate if rate else None
    return {
        "memory": training["memory"],
        "memory_kind": training["memory_kind"],
        "planned_to_measured": plan["memory"]["peak"] / training["memory"] if comparable else None,
        "seconds_per_epoch": seconds,
    }
