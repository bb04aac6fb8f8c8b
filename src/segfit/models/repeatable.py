"""Which calls are worth repeating instead of storing their results, and how they are repeated."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ALLOCATING", "CHEAP", "EXPENSIVE", "RELU", "Function", "drop", "normalise", "pool"]

Function = Callable[..., Any]

CHEAP_NAMES = """
    abs add clamp clamp_min cos div elu exp float gelu hardsigmoid hardswish hardtanh leaky_relu lerp maximum minimum
    mish mul neg pow prelu relu relu6 rsqrt __rsub__ sigmoid silu sin softplus sqrt square sub tanh to
    __getitem__ cat concat contiguous expand flatten movedim pad permute reshape stack transpose unsqueeze view
    adaptive_avg_pool2d avg_pool2d interpolate mean pixel_shuffle
    batch_norm batch_norm_elemt group_norm instance_norm layer_norm log_softmax normalize rms_norm softmax
"""
"""Elementwise, rearranging, pooling and normalising calls: they read and write memory and compute little."""

EXPENSIVE_NAMES = """
    addmm baddbmm bmm conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d einsum linear matmul mm
"""
"""Convolutions and matrix products. Nothing in either list draws random numbers."""


def _repeatable(names: str) -> dict[Function, Function]:
    """Map each function of these names, wherever torch has it, to one that leaves its arguments as they are."""
    found: dict[Function, Function] = {}
    for name in names.split():
        for home in (torch, torch.Tensor, F):
            function = getattr(home, name, None)
            if callable(function):
                found[function] = _sparing(function)
                if in_place := getattr(home, f"{name}_", None):
                    found[in_place] = found[function]
    return found


def _sparing(function: Function) -> Function:
    """Return `function` with ``inplace`` off, where it has such a parameter."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # built-in functions have none of their own: they come in two variants
        return function
    if "inplace" not in signature.parameters:
        return function

    @wraps(function)
    def spare(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.arguments["inplace"] = False
        return function(*bound.args, **bound.kwargs)

    return spare


CHEAP = _repeatable(CHEAP_NAMES)
"""Calls that are repeated everywhere, and what repeats them."""

EXPENSIVE = _repeatable(EXPENSIVE_NAMES)
"""Calls that are repeated within blocks only."""

RELU = {CHEAP[function] for function in _repeatable("relu")}
ALLOCATING = set(_repeatable("add batch_norm"))
"""Calls whose result shares its memory with nothing."""


def normalise(x: Tensor, mean: Tensor, deviation: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Normalise by known statistics, `deviation` being the inverse one; on a CPU bitwise as training does."""
    scale = deviation if weight is None else weight * deviation
    shift = None if bias is None else bias.to(scale.dtype)
    return F.batch_norm(x, mean, torch.ones_like(mean), scale, shift, eps=0.0)


def drop(x: Tensor, mask: Tensor, p: float) -> Tensor:
    """Drop what was dropped before; a mask of numbers contains the factor that makes up for it."""
    return x * mask * (1 / (1 - p)) if mask.dtype == torch.bool else x * mask


def pool(part: int, x: Tensor, settings: tuple[Any, ...]) -> Tensor:
    """Return the largest values of windows (part 0) or where they are (1)."""
    return F.max_pool2d(x, *settings, return_indices=True)[part]
