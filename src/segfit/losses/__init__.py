"""From an output and a target to a number.

A loss is a `Loss`: the mean over what it counts, and the weight by which such means combine, so that micro-batches and
ranks add up to exactly the mean over the whole batch. Registered in `LOSSES`, built with its options as keywords.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from segfit.labels import IGNORE
from segfit.models import Output
from segfit.registry import Registry

__all__ = ["LOSSES", "Loss"]


class Loss(nn.Module, ABC):
    """A mean over the valid pixels (or whatever `weight` counts) of a batch."""

    @abstractmethod
    def forward(self, output: Output, target: Tensor) -> dict[str, Tensor]:
        """Return ``{"loss": scalar}`` and, where there are several, its parts.

        Args:
            output: what the model returned.
            target: `(B, H, W)` int64 train ids with the ignore index. The loss is 0 when all of it is ignored.
        """

    def weight(self, target: Tensor) -> Tensor:
        """Return the weight of this mean among others, a float64 scalar: the number of valid pixels."""
        return (target != IGNORE).sum().double()


LOSSES: Registry[Loss] = Registry("loss", "segfit.losses")
"""Losses by name; a builder is called with the label space's number of classes and its options as keywords."""
