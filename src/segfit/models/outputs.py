"""What a model returns: parts at their native resolution, from which scores of any size are made strip by strip.

The full-size scores of 150 classes are the largest tensors of a training step by far. Nothing here makes them unless
`Output.dense` is called: a `Strip` names a few rows of the result and the native rows that they are made of.

Shape suffixes: B batch, K classes, C channels, H W full size, h w native size, s rows of a strip.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

__all__ = ["FeatureOutput", "Output", "ScoreOutput", "Strip"]

STRIP_BYTES = {"cpu": 8 << 20, "cuda": 64 << 20}
"""Size of a strip of scores in float32: on a CPU what stays in its caches, on a GPU what keeps it busy."""


@dataclass(frozen=True)
class Strip:
    """Some rows of the scores at full size, and the native rows that they are made of.

    Attributes:
        size: (H, W) of the full size.
        rows: which of the H rows.
        halo: which of the h native rows.
        between: where each row lies in the halo: index of the native row above, of the one below, and the share of the
            latter, `(s,)` each; None where full size is native size.
    """

    size: tuple[int, int]
    rows: slice
    halo: slice
    between: tuple[Tensor, Tensor, Tensor] | None

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.rows.stop - self.rows.start)


class Output(ABC):
    """Scores in the making: a native part, and what makes class scores of it.

    Attributes:
        native: `(B, C, h, w)`, the part that has rows.
        align_corners: of the bilinear enlargement, as in `torch.nn.functional.interpolate`.
    """

    native: Tensor
    align_corners: bool = False

    @property
    @abstractmethod
    def classes(self) -> int:
        """K."""

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """What `classify` needs besides the native part; gradients flow into it."""
        return ()

    @property
    @abstractmethod
    def class_dims(self) -> tuple[int | None, ...]:
        """Which dimension of the native part, and of each parameter, counts the classes; None where none does."""

    @abstractmethod
    def classify(self, native: Tensor, *parameters: Tensor) -> Tensor:
        """Return the scores `(B, K, n, w)` of n native rows `(B, C, n, w)`."""

    @abstractmethod
    def image(self, index: int) -> "Output":
        """Return the output of one image of the batch, as a batch of one."""

    def dense(self, size: tuple[int, int]) -> Tensor:
        """Return all class scores `(B, K, H, W)` for `size` = (H, W) at once: large where there are many classes."""
        scores = self.classify(self.native, *self.parameters)
        if scores.shape[-2:] == size:
            return scores
        return F.interpolate(scores, size=size, mode="bilinear", align_corners=self.align_corners)

    def rows_at_once(self, width: int) -> int:
        """Return how many rows of `width` pixels suit the device: their scores and what makes them, in float32."""
        row = 4 * len(self.native) * max(self.classes, self.native.shape[1]) * width
        return max(1, STRIP_BYTES.get(self.native.device.type, STRIP_BYTES["cuda"]) // row)

    def strips(self, size: tuple[int, int], height: int | None = None) -> Iterator[Strip]:
        """Yield strips that together make up `size`, from top to bottom.

        Args:
            size: (H, W).
            height: rows of a strip; by default as many as suit the device.
        """
        full, native = size[0], self.native.shape[-2]
        height = height or self.rows_at_once(size[1])
        every = [slice(start, min(full, start + height)) for start in range(0, full, height)]
        same = self.native.shape[-2:] == size
        if same:
            yield from (Strip(size, rows, rows, None) for rows in every)
            return
        above, below, share = _neighbours(full, native, self.align_corners, self.native.device)
        for rows in every:
            halo = slice(*_reach(rows, full, native, self.align_corners))
            yield Strip(size, rows, halo, (above[rows] - halo.start, below[rows] - halo.start, share[rows]))

    def rows(self, strip: Strip, native: Tensor | None = None, parameters: tuple[Tensor, ...] | None = None) -> Tensor:
        """Return the scores `(B, K, s, W)` of a strip: the rows of `dense`.

        Args:
            strip: one of `strips`.
            native: stands for the strip's halo of the native part, so that gradients can be taken there.
            parameters: stand for the output's own.
        """
        native = self.native[:, :, strip.halo] if native is None else native
        scores = self.classify(native, *(self.parameters if parameters is None else parameters))
        if strip.between is None:
            return scores
        above, below, share = strip.between
        # Pixel by pixel, torch enlarges many times faster than class by class (on a CPU, backwards above all).
        pixels = scores.to(torch.promote_types(scores.dtype, torch.float32)).movedim(1, -1).contiguous()
        # Rows first: they are few then, and what is left is an enlargement along the row that torch has a kernel for.
        lines = torch.lerp(
            pixels.index_select(1, above), pixels.index_select(1, below), share[:, None, None].to(pixels.dtype)
        ).movedim(-1, 1)
        if lines.shape[-1] == strip.size[1]:
            return lines
        size = (strip.height, strip.size[1])
        return F.interpolate(lines, size=size, mode="bilinear", align_corners=self.align_corners)


@dataclass(frozen=True)
class ScoreOutput(Output):
    """Scores at a lower resolution that are enlarged bilinearly (DeepLabV3).

    Attributes:
        native: `(B, K, h, w)`.
        align_corners: as in `torch.nn.functional.interpolate`.
    """

    native: Tensor
    align_corners: bool = False

    @property
    @override
    def classes(self) -> int:
        return self.native.shape[1]

    @property
    @override
    def class_dims(self) -> tuple[int | None, ...]:
        return (1,)

    @override
    def classify(self, native: Tensor, *parameters: Tensor) -> Tensor:
        return native

    @override
    def image(self, index: int) -> "ScoreOutput":
        return ScoreOutput(self.native[index : index + 1], self.align_corners)


@dataclass(frozen=True)
class FeatureOutput(Output):
    """Features with a 1x1 classifier (UNet).

    Attributes:
        native: `(B, C, h, w)`.
        classifier: 1x1 convolution C -> K.
    """

    native: Tensor
    classifier: nn.Conv2d

    @property
    @override
    def classes(self) -> int:
        return self.classifier.out_channels

    @property
    @override
    def parameters(self) -> tuple[Tensor, ...]:
        bias = self.classifier.bias
        return (self.classifier.weight,) if bias is None else (self.classifier.weight, bias)

    @property
    @override
    def class_dims(self) -> tuple[int | None, ...]:
        return (None, *(0 for _ in self.parameters))

    @override
    def classify(self, native: Tensor, *parameters: Tensor) -> Tensor:
        device, weight = native.device.type, parameters[0]
        bias = parameters[1] if len(parameters) > 1 else None
        if torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16:
            return F.conv2d(native, weight, bias)
        # The features may come out of an autocast region that has ended; and the gradients of a strip's pixels add up
        # to more than float16 can hold.
        native = native.to(weight.dtype)
        if torch.compiler.is_compiling():
            # Compilers and exporters know convolutions.
            with torch.autocast(device, enabled=False):
                return F.conv2d(native, weight, bias)
        return _Classify.apply(native, weight, bias)  # type: ignore[no-any-return]

    @override
    def image(self, index: int) -> "FeatureOutput":
        return FeatureOutput(self.native[index : index + 1], self.classifier)


class _Classify(torch.autograd.Function):
    """A 1x1 convolution as a matrix product per image; the scores lie class by class, whatever the features' order.

    On a CPU torch's own convolution copies the rows of a strip, and is several times slower where the classes are few
    and the features lie pixel by pixel.
    """

    @staticmethod
    @override
    def forward(ctx: Any, native: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(native, weight)
        ctx.biased = bias is not None
        scores = native.new_empty(len(native), len(weight), *native.shape[2:])
        with torch.autocast(native.device.type, enabled=False):
            for features, result in zip(native.flatten(2), scores.flatten(2), strict=True):
                torch.mm(weight.flatten(1), features, out=result)
        return scores if bias is None else scores.add_(bias[:, None, None])

    @staticmethod
    @once_differentiable
    @override
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        native, weight = ctx.saved_tensors
        pixels = torch.channels_last if native.stride(1) == 1 else torch.contiguous_format
        to_native = torch.empty_like(native, memory_format=pixels) if ctx.needs_input_grad[0] else None
        to_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        with torch.autocast(native.device.type, enabled=False):
            for image, part in enumerate(gradient.flatten(2)):
                if to_native is not None:
                    torch.mm(weight.flatten(1).t(), part, out=to_native[image].view(len(weight[0]), -1))
                if to_weight is not None:
                    to_weight.view(len(weight), -1).addmm_(part, native[image].flatten(1).t())
        to_bias = gradient.sum((0, 2, 3)) if ctx.biased and ctx.needs_input_grad[2] else None
        return to_native, to_weight, to_bias


def _position(row: int, full: int, native: int, align_corners: bool) -> float:
    """Return where a full-size row lies among the native ones."""
    if align_corners:
        return row * (native - 1) / (full - 1) if full > 1 else 0.0
    return max(0.0, (row + 0.5) * native / full - 0.5)


def _reach(rows: slice, full: int, native: int, align_corners: bool) -> tuple[int, int]:
    """Return the native rows, first and one after the last, that some full-size rows are made of."""
    first = _position(rows.start, full, native, align_corners)
    last = _position(rows.stop - 1, full, native, align_corners)
    return min(int(first), native - 1), min(int(last) + 2, native)


def _neighbours(full: int, native: int, align_corners: bool, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the native row above each of the full-size rows, the one below, and the share of the latter, `(H,)` each.

    Positions are computed in float64, so that they do not depend on the strip, and on the device, so that it does not
    wait for a copy. They are those of `_position` to the last bit: a halo begins with the row above its first one.
    """
    rows = torch.arange(full, dtype=torch.float64, device=device)
    # A GPU divides by a number as it multiplies by its inverse, which rounds; by a tensor it divides.
    if align_corners:
        positions = rows * (native - 1) / rows.new_full((), max(1, full - 1))
    else:
        positions = ((rows + 0.5) * native / rows.new_full((), full) - 0.5).clamp(min=0.0)
    above = positions.long().clamp(max=native - 1)
    below = (above + 1).clamp(max=native - 1)
    return above, below, (positions - above).clamp(max=1.0)
