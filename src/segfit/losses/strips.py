"""Sums over the pixels of the full-size scores, and their gradients, without ever making all of these scores.

The scores of a strip are computed, measured, replaced by their own gradient, carried back to the native part of the
output, and forgotten. All of it happens in the forward pass, so nothing of a strip's size waits for the backward pass,
which only scales the gradient that is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from segfit.models import Output, Strip

__all__ = ["Look", "Measure", "strip_sum"]


class Look(Protocol):
    """Reads the scores of every strip before any is measured; what it finds out is its own to keep."""

    def __call__(self, scores: Tensor, rows: slice) -> None:
        """Read float32 (or float64) scores `(B, K, s, W)` of full-size rows; they may be overwritten."""


class Measure(Protocol):
    """Measures the scores of a strip."""

    def __call__(self, scores: Tensor, rows: slice, wanted: bool) -> Tensor:
        """Return a float64 scalar to be summed over strips.

        Args:
            scores: `(B, K, s, W)`, float32 (or float64), to be overwritten: with the gradient of the sum, if wanted.
            rows: which of the full-size rows they are.
            wanted: whether the gradient is.
        """


@torch.compiler.disable  # type: ignore[untyped-decorator]
def strip_sum(
    output: Output,
    size: tuple[int, int],
    measure: Measure,
    looks: Sequence[Look] = (),
    *,
    height: int | None = None,
) -> Tensor:
    """Return the sum of `measure` over all strips of the scores at `size`, a float64 scalar.

    Gradients flow to the output's native part and parameters; they are computed at once, and added up in float32.

    Args:
        output: what a model returned.
        size: (H, W) of the scores.
        measure: called for each strip.
        looks: each is called for each strip before the next one is, and before `measure`.
        height: rows of a strip; by default as many as suit the device.
    """
    job = _Job(output, size, measure, tuple(looks), height)
    return _StripSum.apply(job, output.native, *output.parameters)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Job:
    output: Output
    size: tuple[int, int]
    measure: Measure
    looks: tuple[Look, ...]
    height: int | None


class _StripSum(torch.autograd.Function):
    @staticmethod
    @override
    def forward(ctx: Any, job: _Job, *tensors: Tensor) -> Tensor:
        native, *parameters = (tensor.detach() for tensor in tensors)
        strips = list(job.output.strips(job.size, job.height))
        for look in job.looks:
            for strip in strips:
                scores = job.output.rows(strip, native[:, :, strip.halo], tuple(parameters))
                look(_own(scores, native), strip.rows)
        wanted = ctx.needs_input_grad[1:]
        gradients = _empty_gradients([native, *parameters], wanted, strips)
        for parameter, need in zip(parameters, wanted[1:], strict=True):
            parameter.requires_grad_(need)
        total = torch.zeros((), dtype=torch.float64, device=native.device)
        for strip in strips:
            part = native[:, :, strip.halo].detach().requires_grad_(wanted[0])
            with torch.set_grad_enabled(any(wanted)):
                scores = job.output.rows(strip, part, tuple(parameters))
            values = _own(scores.detach(), native)
            total += job.measure(values, strip.rows, any(wanted))
            if any(wanted):
                _carry_back(scores, values, [part, *parameters], gradients, strip)
        ctx.save_for_backward(*gradients)
        ctx.dtypes = [tensor.dtype for tensor in tensors]
        return total

    @staticmethod
    @once_differentiable
    @override
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        # A step takes the most memory here: the gradient is scaled in place unless it may be asked for again.
        keep = _keeps_graph()
        scaled = [
            None if g is None else (g * scale.to(g.dtype) if keep else g.mul_(scale.to(g.dtype))).to(dtype)
            for g, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return None, *scaled


def _keeps_graph() -> bool:
    """Whether the backward pass under way leaves its graph for another one (``retain_graph=True``)."""
    ask = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    return True if ask is None else bool(ask())


def _own(scores: Tensor, native: Tensor) -> Tensor:
    """Return the scores in float32 at least, in memory that may be overwritten."""
    if scores.dtype.itemsize < 4:
        return scores.float()
    shared = scores.untyped_storage().data_ptr() == native.untyped_storage().data_ptr()
    return scores.clone() if shared else scores


def _empty_gradients(tensors: list[Tensor], wanted: Sequence[bool], strips: Sequence[Strip]) -> list[Tensor | None]:
    """Return what gradients are gathered in: None where they are not wanted.

    Strips that share no native rows write each value once; all else is added up, in float32 at least.
    """
    apart = strips[0].between is None
    return [
        None
        if not need
        else torch.empty_like(tensor)
        if apart and number == 0
        else torch.zeros_like(tensor, dtype=torch.promote_types(tensor.dtype, torch.float32))
        for number, (tensor, need) in enumerate(zip(tensors, wanted, strict=True))
    ]


def _carry_back(
    scores: Tensor, gradient: Tensor, leaves: list[Tensor], gradients: list[Tensor | None], strip: Strip
) -> None:
    """Add what the gradient of a strip's scores means for the leaves that they were computed from."""
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    # The scores may be the native rows themselves.
    found = iter(
        torch.autograd.grad(scores, wanted, gradient.to(scores.dtype)) if scores.grad_fn else [gradient] * len(wanted)
    )
    for number, gathered in enumerate(gradients):
        if gathered is None:
            continue
        place = gathered[:, :, strip.halo] if number == 0 else gathered
        if number == 0 and strip.between is None:
            place.copy_(next(found))
        else:
            place.add_(next(found))
