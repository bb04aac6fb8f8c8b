"""U-Net in the layout of the public Pytorch-UNet, whose weights load into it key by key.

Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation" (2015), with what that
implementation changed: padded convolutions without bias, batch normalisation, and skip connections that are met by
padding instead of cropping.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from segfit.models import MODELS, FeatureOutput, Normalize, Segmenter
from segfit.models.layers import check_options, crop_to, pad_to, tolerate_single_values

__all__ = ["UNet"]


@MODELS.register("unet")
class UNet(Segmenter):
    """U-Net with the state-dict keys ``inc``, ``down1`` …, ``up1`` … and ``outc`` of the public implementation.

    With the default options and equal weights it scores as the public network does, at every size of at least
    `2 ** depth`; smaller images, which that network refuses, are enlarged by repeating their border.

    Args:
        classes: number of classes.
        width: channels at full resolution; they double at every level.
        depth: number of times the resolution is halved.
        bilinear: enlarge bilinearly (half the channels in the decoder) instead of by transposed convolution.
        dropout: probability with which a value at the end of the contracting path is dropped (section 3.1 of the
            paper; the public implementation has none).
        normalize: how uint8 values become the model's input.

    Raises:
        RecipeError: an option is out of range.
    """

    def __init__(
        self,
        classes: int,
        *,
        width: int = 64,
        depth: int = 4,
        bilinear: bool = False,
        dropout: float = 0.0,
        normalize: Normalize = "unit",
    ) -> None:
        super().__init__(normalize)
        check_options(width=width, depth=depth, dropout=dropout)
        self.depth = depth
        # Bilinear enlargement keeps the number of channels, so the level below delivers half as many.
        factor = 2 if bilinear else 1
        channels = [width * 2**level for level in range(depth + 1)]
        self.inc = DoubleConv(3, width)
        for level in range(1, depth):
            self.add_module(f"down{level}", Down(channels[level - 1], channels[level]))
        self.add_module(f"down{depth}", Down(channels[-2], channels[-1] // factor))
        self.dropout = nn.Dropout(dropout)
        for level in range(depth, 1, -1):
            self.add_module(f"up{depth + 1 - level}", Up(channels[level], channels[level - 1] // factor, bilinear))
        self.add_module(f"up{depth}", Up(channels[1], channels[0], bilinear))
        self.outc = OutConv(width, classes)
        tolerate_single_values(self)

    @override
    def predict(self, x: Tensor) -> FeatureOutput:
        size = (x.shape[-2], x.shape[-1])
        least = 2**self.depth
        x = self.inc(pad_to(x, (max(size[0], least), max(size[1], least))))
        skips = []
        for level in range(1, self.depth + 1):
            skips.append(x)
            x = getattr(self, f"down{level}")(x)
        x = self.dropout(x)
        for level in range(1, self.depth + 1):
            x = getattr(self, f"up{level}")(x, skips.pop())
        return FeatureOutput(crop_to(x, size), self.outc.conv)

    @override
    def blocks(self) -> Iterable[nn.Module]:
        return (module for module in self.children() if isinstance(module, (DoubleConv, Down, Up)))


class DoubleConv(nn.Module):
    """Join what is given, then twice: 3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, channels: int, out: int, middle: int | None = None) -> None:
        super().__init__()
        middle = out if middle is None else middle
        self.double_conv = nn.Sequential(
            nn.Conv2d(channels, middle, 3, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        )

    @override
    def forward(self, *parts: Tensor) -> Tensor:
        x = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        # One by one, because a call of the whole sequence would hold on to its input until the end.
        for layer in self.double_conv:
            x = layer(x)
        return x


class Down(nn.Module):
    """Halve the resolution by maximum, then convolve twice."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(channels, out))

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.maxpool_conv(x)  # type: ignore[no-any-return]


class Up(nn.Module):
    """Double the resolution, join the skip connection, convolve twice.

    Args:
        channels: of the coarse features; also of the joined ones.
        out: channels of the result.
        bilinear: enlarge bilinearly instead of by transposed convolution.
    """

    def __init__(self, channels: int, out: int, bilinear: bool) -> None:
        super().__init__()
        self.up: nn.Module
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(channels, out, channels // 2)
        else:
            self.up = nn.ConvTranspose2d(channels, channels // 2, 2, stride=2)
            self.conv = DoubleConv(channels, out)

    @override
    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        x = self.up(coarse)
        # An odd size lost its last row or column to the pooling: zeros take its place, the larger share at the end.
        rows, columns = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
        if rows or columns:
            x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return self.conv(skip, x)  # type: ignore[no-any-return]


class OutConv(nn.Module):
    """The 1x1 classifier under its public key, ``outc.conv``; `FeatureOutput` applies it."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, classes, 1)
