"""The optimizer and its schedule."""

import math

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from segfit.config import OptimConfig
from segfit.models import Segmenter

__all__ = ["build_optimizer", "learning_rate", "set_learning_rate"]


def build_optimizer(model: Segmenter, config: OptimConfig) -> Optimizer:
    """Return the optimizer over `model`'s parameters.

    Parameters of a pretrained backbone form their own groups, whose rate is `config.backbone_lr` times the peak; biases
    and normalisation weights (one dimension) are not decayed.
    """
    backbone = {id(parameter) for parameter in model.backbone_parameters()}
    buckets: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            buckets.setdefault((id(parameter) in backbone, parameter.ndim > 1), []).append(parameter)
    groups = [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if decayed else 0.0,
            "factor": config.backbone_lr if pretrained else 1.0,
        }
        for (pretrained, decayed), parameters in buckets.items()
    ]
    # None, not False, which on a GPU would mean one parameter after the other: torch takes several at a time there.
    fused = config.fused or None
    if config.name == "sgd":
        return SGD(groups, lr=config.lr, momentum=config.momentum, fused=fused)
    kind = Adam if config.name == "adam" else AdamW
    return kind(groups, lr=config.lr, betas=config.betas, fused=fused)


def learning_rate(config: OptimConfig, step: int, total: int) -> float:
    """Return the learning rate of optimizer step `step` (0-based) of `total`; a pure function, so resume is exact."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.lr
    progress = min(1.0, (step - config.warmup) / max(1, total - config.warmup))
    shape = (1 - progress) ** config.power if config.schedule == "poly" else (1 + math.cos(math.pi * progress)) / 2
    return config.lr * (config.min_lr + (1 - config.min_lr) * shape)


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every parameter group its share of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
