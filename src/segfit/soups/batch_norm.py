"""Batch normalisation measured again: averaged weights make other activations than the statistics remember."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["batch_statistics", "recalibrate", "remembering"]


def remembering(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch normalisations of `model` that keep running statistics."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None]


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[list[_BatchNorm]]:
    """Let batch normalisation see the batch, while everything else, dropout included, works as in prediction.

    Statistics that were measured with dropout would be those of other activations than prediction makes (Li et al.
    2019, "Understanding the disharmony between dropout and batch normalization by variance shift").
    """
    before = [(module, module.training) for module in model.modules()]
    layers = remembering(model)
    model.eval()
    for layer in layers:
        layer.training = True
    try:
        yield layers
    finally:
        for module, training in before:
            module.training = training


def recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace running statistics by the mean of the batches' statistics, each batch counting alike.

    That is what `torch.optim.swa_utils.update_bn` computes (Izmailov et al. 2018, "Averaging weights leads to wider
    optima and better generalization", section 3.2), for any kind of batch normalisation, those over several ranks
    included. A layer that a batch leaves a single value per channel to keeps what it has.

    Args:
        model: on the batches' device; nothing but its running statistics changes.
        batches: uint8 `(B, 3, H, W)`, as in training.

    Returns:
        The number of batches; 0 without a look at them for a model that has nothing to measure.
    """
    count = 0
    with batch_statistics(model) as layers, torch.no_grad():
        momenta = [layer.momentum for layer in layers]
        try:
            for batch in batches if layers else ():
                count += 1
                for layer in layers:
                    layer.momentum = 1 / count
                model(batch)
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum
    return count
