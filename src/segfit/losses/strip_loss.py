"""Losses that are sums over strips, so that several can share the strips of one batch."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from typing_extensions import override

from segfit.losses import Loss
from segfit.losses.strips import Look, strip_sum
from segfit.models import Output

__all__ = ["StripJob", "StripLoss", "mean", "strip_mean"]


class StripJob(Protocol):
    """What a loss does with the strips of one batch: looks at all of them, then a sum, which is divided at the end."""

    @property
    def looks(self) -> Sequence[Look]:
        """What reads all strips before they are measured."""

    def measure(self, scores: Tensor, rows: slice, wanted: bool) -> Tensor:
        """Measure a strip (see `Measure`).

        The gradient of a pixel should be of the order of one: scores may be float16, where a millionth is nothing.
        """

    def divisor(self) -> Tensor:
        """Return what the sum is divided by, a float64 scalar; asked after the looks. Where it is 0, so is the sum."""


class StripLoss(Loss):
    """A loss that is a sum over strips, divided by a number."""

    @abstractmethod
    def job(self, target: Tensor) -> StripJob:
        """Return what is to be done with the strips of a batch with these targets `(B, H, W)`."""

    @override
    def forward(self, output: Output, target: Tensor) -> dict[str, Tensor]:
        return {"loss": strip_mean(output, target, self.job(target))}


def strip_mean(output: Output, target: Tensor, job: StripJob) -> Tensor:
    """Return the result of a job, a float32 scalar with its gradient."""
    total = strip_sum(output, (target.shape[-2], target.shape[-1]), job.measure, job.looks)
    return mean(total, job.divisor())


def mean(total: Tensor, divisor: Tensor) -> Tensor:
    """Return the quotient in float32; where no pixel counts both are 0, and so is the mean and its gradient."""
    return (total / torch.where(divisor > 0, divisor, 1.0)).float()
