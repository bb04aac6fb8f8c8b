"""What was planned for a run before it was trained, to be held beside what it took."""

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError

from segfit.comparison.facts import RunFacts
from segfit.errors import RunError
from segfit.folder import RunFolder

__all__ = ["PARTS", "MemoryParts", "PlanFacts", "read_plan"]

PARTS = {
    "parameters": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "activations": "activations",
    "temporaries": "temporary",
}
"""What memory is made of (`planning.footprint.Memory`), as it is written for people."""


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class MemoryParts(_Facts):
    """Bytes that are there when most are, by what they are for."""

    parameters: NonNegativeInt
    gradients: NonNegativeInt
    optimizer: NonNegativeInt
    activations: NonNegativeInt
    temporaries: NonNegativeInt


class PeakMemory(_Facts):
    """The planned peak in bytes, and what it consists of in training and in validation."""

    peak: NonNegativeInt
    training: MemoryParts
    validation: MemoryParts


class PlannedDevice(_Facts):
    """What the run was planned for; `room` is what tensors may take of each of `count` devices, in bytes."""

    name: str
    kind: str
    count: PositiveInt
    room: NonNegativeInt


class PlanFacts(_Facts):
    """A run's ``plan.json``.

    Attributes:
        device: what it was planned for.
        memory: of one device.
        flops_per_step: floating-point operations of an optimizer step on one device.
        seconds_per_epoch: of training steps; None where the device's speed is not known.
    """

    device: PlannedDevice
    memory: PeakMemory
    flops_per_step: NonNegativeFloat
    seconds_per_epoch: NonNegativeFloat | None = None

    @property
    def flops(self) -> float:
        """Floating-point operations of an optimizer step on all devices."""
        return self.flops_per_step * self.device.count

    def ratio(self, run: RunFacts) -> float | None:
        """Return the planned peak divided by the measured one; None where that is the memory of a whole process."""
        if self.device.kind != "cuda" or run.environment.device != "cuda" or not run.training.memory:
            return None
        return self.memory.peak / run.training.memory


def read_plan(run: RunFacts) -> PlanFacts | None:
    """Return the plan of a run; None where it has none: its version or its model could not be planned.

    Raises:
        RunError: the file is damaged.
    """
    folder = RunFolder(run.path)
    if not folder.plan_file.is_file():
        return None
    facts = folder.read(folder.plan_file)
    if "error" in facts:
        return None
    try:
        return PlanFacts.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{folder.plan_file}: {where}: {first['msg']}: restore the file or delete it") from None
