"""The weighted mean of checkpoints, in float64, one tensor at a time."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor

from segfit.training.checkpoint import StoredWeights, open_weights

__all__ = ["average"]


def average(files: Sequence[Path], weights: Sequence[float]) -> dict[str, Tensor]:
    """Return the mean of the state dicts in checkpoints, with the shapes and types that they have there.

    The files are read tensor by tensor: whatever their number, one state dict and one tensor are in memory. A weight
    of 1 gives that checkpoint bit for bit. What is no number with a fraction (the batches that a normalisation has
    seen) is taken from the checkpoint of the largest weight.

    Args:
        files: checkpoints of one model.
        weights: one each, at least 0, with the sum 1.

    Raises:
        RunError: a file cannot be read.
    """
    assert len(files) == len(weights)
    assert abs(sum(weights) - 1) < 1e-9
    assert min(weights) >= 0
    shares = [weight for weight in weights if weight > 0]
    with ExitStack() as stack:
        opened = [
            stack.enter_context(open_weights(file)) for file, weight in zip(files, weights, strict=True) if weight > 0
        ]
        return {name: _mean(name, opened, shares) for name in opened[0].names}


def _mean(name: str, files: Sequence[StoredWeights], weights: Sequence[float]) -> Tensor:
    largest = files[max(range(len(files)), key=weights.__getitem__)].tensor(name)
    if not largest.is_floating_point():
        return largest
    total = torch.zeros(largest.shape, dtype=torch.float64)
    for file, weight in zip(files, weights, strict=True):
        total.add_(file.tensor(name).double(), alpha=weight)
    return total.to(largest.dtype)
