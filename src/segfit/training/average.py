"""The moving average of a model's weights along its training: often a better model than the last weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["MovingAverage"]


class MovingAverage:
    """Follows a model's weights and running statistics, step by step.

    After step n each value is ``a += (1 - d) (w - a)`` with ``d = min(decay, n / (n + 10))``, so that the first
    weights, which are random, do not stay in it. It is Polyak's average (Polyak and Juditsky 1992) with an exponential
    window. The running statistics of batch normalisation, moving averages themselves, are averaged alike.

    Args:
        model: it may be moved neither to another device nor into another memory order afterwards.
        decay: in (0, 1); 1 / (1 - decay) is about the number of steps that count.

    Attributes:
        values: the average, by the names of the state dict.
        steps: that it has seen.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._weights = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
        self.values = {name: value.clone() for name, value in self._weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights that the model has now."""
        self.steps += 1
        share = 1 - min(self.decay, self.steps / (self.steps + 10))
        torch._foreach_lerp_([*self.values.values()], [*self._weights.values()], share)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the model have the average as its weights; afterwards it has its own again, bit for bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, weight in self._weights.items():
            own = weight.clone()
            weight.copy_(self.values[name])
            self.values[name].copy_(own)

    @torch.no_grad()
    def restore(self, values: dict[str, Tensor], steps: int) -> None:
        """Go on from the average of a checkpoint; its names are those of `values`."""
        assert values.keys() == self.values.keys()
        self.steps = steps
        for name, value in values.items():
            self.values[name].copy_(value)
