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
from segfit.models.outputs import STRIP_BYTES
from segfit.models.recompute import keeps_graph

__all__ = ["ClassMeasure", "Look", "Measure", "class_sum", "strip_sum"]


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


class ClassMeasure(Protocol):
    """Measures all rows of the scores of some classes."""

    def __call__(self, scores: Tensor, classes: Tensor, wanted: bool) -> Tensor:
        """Return a float64 scalar to be summed.

        Args:
            scores: `(B, k, H, W)`, else as in `Measure`.
            classes: which ones they are, `(k,)`.
            wanted: as in `Measure`.
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
    strips = tuple(output.strips(size, height))
    job = _Job(
        output, strips, tuple(looks), [_Piece(strip, None, measure) for strip in strips], torch.is_grad_enabled()
    )
    return _StripSum.apply(job, output.native, *output.parameters)  # type: ignore[no-any-return]


@torch.compiler.disable  # type: ignore[untyped-decorator]
def class_sum(
    output: Output,
    size: tuple[int, int],
    measure: ClassMeasure,
    classes: Tensor,
    looks: Sequence[Look],
    after: Measure,
) -> Tensor:
    """Return the sum of `measure` over all of `classes` `(n,)`, some at a time: for what needs every pixel of a class.

    The classes of one call take as much memory as a strip, or as a quarter of the native part where that is more: a
    classifier goes through all features for each call.

    Args:
        output: what a model returned.
        size: (H, W) of the scores.
        measure: called for some of the classes at a time.
        classes: all that are to be measured.
        looks: as in `strip_sum`.
        after: called for each strip when all classes are measured, and added to the sum.
    """
    strips = tuple(output.strips(size))
    (whole,) = output.strips(size, size[0])
    pieces = [_Piece(whole, some, measure) for some in _some_at_a_time(output, size, classes)]
    pieces += [_Piece(strip, None, after) for strip in strips]
    job = _Job(output, strips, tuple(looks), pieces, torch.is_grad_enabled())
    return _StripSum.apply(job, output.native, *output.parameters)  # type: ignore[no-any-return]


def _some_at_a_time(output: Output, size: tuple[int, int], classes: Tensor) -> tuple[Tensor, ...]:
    limit = max(STRIP_BYTES.get(output.native.device.type, STRIP_BYTES["cuda"]), output.native.numel())
    many = max(1, limit // (4 * len(output.native) * size[0] * size[1]))
    return torch.split(classes, many) if len(classes) else ()


@dataclass(frozen=True)
class _Piece:
    """Some rows of the scores of all classes, or all rows of the scores of some."""

    strip: Strip
    classes: Tensor | None
    _measure: Measure | ClassMeasure

    def measure(self, scores: Tensor, wanted: bool) -> Tensor:
        where = self.strip.rows if self.classes is None else self.classes
        return self._measure(scores, where, wanted)  # type: ignore[arg-type]

    def leaves(self, tensors: Sequence[Tensor], dims: Sequence[int | None]) -> list[Tensor]:
        """Return what the scores are computed from: the halo, the classes of the native part and the parameters."""
        halo = [tensors[0][:, :, self.strip.halo], *tensors[1:]]
        return [
            (tensor if dim is None or self.classes is None else tensor.index_select(dim, self.classes)).detach()
            for tensor, dim in zip(halo, dims, strict=True)
        ]


@dataclass(frozen=True)
class _Job:
    output: Output
    strips: tuple[Strip, ...]
    looks: tuple[Look, ...]
    pieces: Sequence[_Piece]
    recorded: bool
    """Whether there will be a backward pass: parameters ask for gradients in an evaluation, too."""

    @property
    def apart(self) -> bool:
        """Whether pieces share no native values."""
        return self.strips[0].between is None and len(self.pieces) == len(self.strips)


class _StripSum(torch.autograd.Function):
    @staticmethod
    @override
    def forward(ctx: Any, job: _Job, *tensors: Tensor) -> Tensor:
        output = job.output
        native, *parameters = tensors = tuple(tensor.detach() for tensor in tensors)
        for look in job.looks:
            for strip in job.strips:
                scores = output.rows(strip, native[:, :, strip.halo], tuple(parameters))
                look(_own(scores, native), strip.rows)
        wanted = [need and job.recorded for need in ctx.needs_input_grad[1:]]
        gradients = _empty_gradients(tensors, wanted, job.apart)
        total = torch.zeros((), dtype=torch.float64, device=native.device)
        for piece in job.pieces:
            leaves = piece.leaves(tensors, output.class_dims)
            for leaf, need in zip(leaves, wanted, strict=True):
                leaf.requires_grad_(need)
            with torch.set_grad_enabled(any(wanted)):
                scores = output.rows(piece.strip, leaves[0], tuple(leaves[1:]))
            values = _own(scores.detach(), native)
            total += piece.measure(values, any(wanted))
            if any(wanted):
                _carry_back(scores, values, leaves, gradients, piece, job)
        ctx.save_for_backward(*gradients)
        ctx.dtypes = [tensor.dtype for tensor in tensors]
        return total

    @staticmethod
    @once_differentiable
    @override
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        # A step takes the most memory here: the gradient is scaled in place unless it may be asked for again.
        keep = keeps_graph()
        scaled = [
            None if g is None else (g * scale.to(g.dtype) if keep else g.mul_(scale.to(g.dtype))).to(dtype)
            for g, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return None, *scaled


def _own(scores: Tensor, native: Tensor) -> Tensor:
    """Return the scores in float32 at least, in memory that may be overwritten."""
    if scores.dtype.itemsize < 4:
        return scores.float()
    shared = scores.untyped_storage()._cdata == native.untyped_storage()._cdata
    return scores.clone() if shared else scores


def _empty_gradients(tensors: Sequence[Tensor], wanted: Sequence[bool], apart: bool) -> list[Tensor | None]:
    """Return what gradients are gathered in: None where they are not wanted.

    Pieces that share no native values write each one once; all else is added up, in float32 at least.
    """
    return [
        None
        if not need
        else torch.empty_like(tensor)
        if apart and number == 0
        else torch.zeros_like(tensor, dtype=torch.promote_types(tensor.dtype, torch.float32))
        for number, (tensor, need) in enumerate(zip(tensors, wanted, strict=True))
    ]


def _carry_back(
    scores: Tensor, gradient: Tensor, leaves: list[Tensor], gradients: list[Tensor | None], piece: _Piece, job: _Job
) -> None:
    """Add what the gradient of a piece's scores means for the leaves that they were computed from."""
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    # The scores may be the native rows themselves.
    found = iter(
        torch.autograd.grad(scores, wanted, gradient.to(scores.dtype)) if scores.grad_fn else [gradient] * len(wanted)
    )
    for number, (gathered, dim) in enumerate(zip(gradients, job.output.class_dims, strict=True)):
        if gathered is None:
            continue
        place = gathered[:, :, piece.strip.halo] if number == 0 else gathered
        if number == 0 and job.apart:
            place.copy_(next(found))
        elif dim is None or piece.classes is None:
            place.add_(next(found))
        else:
            place.index_add_(dim, piece.classes, next(found).to(place.dtype))
