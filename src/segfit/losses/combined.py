"""Sums of losses."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from typing_extensions import override

from segfit.errors import RecipeError
from segfit.losses import LOSSES, Loss
from segfit.losses.strip_loss import StripJob, StripLoss, mean, strip_mean
from segfit.losses.strips import Look
from segfit.models import Output

__all__ = ["LossSum"]

FACTOR: TypeAdapter[float] = TypeAdapter(Annotated[float, Field(gt=0, allow_inf_nan=False)])


def _completed(parts: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """Return the parts with every option; a resolved recipe says them all."""
    try:
        return tuple(_complete(part) for part in parts)
    except RecipeError as error:
        raise PydanticCustomError("loss_part", "{reason}", {"reason": str(error)}) from None


def _complete(part: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(part)
    name, factor = options.pop("name", None), options.pop("weight", 1.0)
    if not isinstance(name, str):
        raise RecipeError("a part needs the name of a loss, like {name: dice, weight: 0.5}")
    try:
        factor = FACTOR.validate_python(factor)
    except ValidationError as error:
        raise RecipeError(f"weight of {name}: {factor!r}: {error.errors()[0]['msg']}") from None
    return {"name": name, "weight": factor, **LOSSES.options(name, options)}


@LOSSES.register("sum")
class LossSum(Loss):
    """The weighted sum of several losses; those that go strip by strip share their strips.

    The result holds the loss of each part, too, before its weight and without gradient, under the part's name (with a
    number behind the name where a name comes twice).

    Args:
        classes: number of classes.
        parts: for each part its `name`, its `weight` in the sum (by default 1), and its options.

    Raises:
        RecipeError: no part, an unknown one, or wrong options.
    """

    def __init__(
        self,
        classes: int,
        *,
        parts: Annotated[tuple[dict[str, Any], ...], Field(min_length=1), AfterValidator(_completed)] = (
            {"name": "cross_entropy"},
            {"name": "dice"},
        ),
    ) -> None:
        super().__init__()
        self.factors: list[float] = []
        self.names: list[str] = []
        losses: list[Loss] = []
        seen: Counter[str] = Counter()
        for part in parts:
            options = _complete(part)
            name, factor = options.pop("name"), options.pop("weight")
            seen[name] += 1
            self.names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
            self.factors.append(factor)
            losses.append(LOSSES.build(name, classes, **options))
        self.parts = nn.ModuleList(losses)

    @override
    def forward(self, output: Output, target: Tensor) -> dict[str, Tensor]:
        found: dict[int, Tensor] = {}
        loss = torch.zeros((), device=target.device)
        together = {number: part.job(target) for number, part in enumerate(self.parts) if isinstance(part, StripLoss)}
        if together:
            jobs = _Together(list(together.values()), [self.factors[number] for number in together], target.device)
            loss = loss + strip_mean(output, target, jobs)
            found = dict(zip(together, jobs.means(), strict=True))
        for number, part in enumerate(self.parts):
            if number not in together:
                value = part(output, target)["loss"]
                loss = loss + self.factors[number] * value
                found[number] = value.detach()
        return {"loss": loss, **{name: found[number] for number, name in enumerate(self.names)}}

    @override
    def weight(self, target: Tensor) -> Tensor:
        """Return the weight of the first part.

        Parts that count as it does are exact over micro-batches and ranks; the others are then weighted as it is.
        """
        first = self.parts[0]
        assert isinstance(first, Loss)
        return first.weight(target)


class _Together:
    """Several jobs on the same strips, as one: each gets a copy of the scores, the last one the scores themselves."""

    def __init__(self, jobs: Sequence[StripJob], factors: Sequence[float], device: torch.device) -> None:
        self.jobs, self.factors = jobs, factors
        self.totals = [torch.zeros((), dtype=torch.float64, device=device) for _ in jobs]

    @property
    def looks(self) -> list[Look]:
        """One look for the first ones of all jobs, one for the second ones, ..."""
        looks = [job.looks for job in self.jobs]
        rounds = max(map(len, looks))
        return [_look_together([own[n] for own in looks if n < len(own)]) for n in range(rounds)]

    def measure(self, scores: Tensor, rows: slice, wanted: bool) -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=scores.device)
        gathered: Tensor | None = None
        for number, (job, ratio) in enumerate(zip(self.jobs, self._ratios, strict=True)):
            values = scores if job is self.jobs[-1] else scores.clone()
            measured = job.measure(values, rows, wanted)
            self.totals[number] += measured
            total += ratio * measured
            if wanted:
                values *= ratio.to(values.dtype)
                # The last ones are the scores themselves, where the gradient belongs.
                gathered = values if gathered is None else values.add_(gathered)
        return total

    def divisor(self) -> Tensor:
        """Return the divisor of the first job; the others are brought to it."""
        return self.jobs[0].divisor()

    def means(self) -> list[Tensor]:
        """Return the loss of each job, without its factor and without gradient."""
        return [mean(total, job.divisor()) for total, job in zip(self.totals, self.jobs, strict=True)]

    @cached_property
    def _ratios(self) -> list[Tensor]:
        """What the sum of each job counts in the sum of all."""
        own = [job.divisor() for job in self.jobs]
        return [
            factor * torch.where(number > 0, own[0] / number, 0.0)
            for factor, number in zip(self.factors, own, strict=True)
        ]


def _look_together(looks: Sequence[Look]) -> Look:
    def look(scores: Tensor, rows: slice) -> None:
        for own in looks[:-1]:
            own(scores.clone(), rows)
        looks[-1](scores, rows)

    return look
