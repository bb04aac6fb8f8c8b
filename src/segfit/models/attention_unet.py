"""Attention U-Net: a U-Net whose skip connections pass through additive attention gates.

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas" (2018), equations 1 and 2: a skip connection x
and a gating signal g give one coefficient per position, sigmoid(psi . relu(W_x x + W_g g)), that scales x.

Two published forms of it are in use, and they differ in more than the gate:

==================  ============================================  ==================================================
.                   ``variant="monai"``                           ``variant="oktay"``
==================  ============================================  ==================================================
encoder             strided convolution                           maximum pooling
gating signal       the enlarged features, on the grid of x       the features of the coarser level, on their own grid
W_x                 1x1, batch normalisation                      2x2 with stride 2, on the coarser grid
coefficients        on the grid of x, batch normalisation         on the coarser grid, enlarged bilinearly
gated               every skip connection                         all but the first ("does not represent the input in
                                                                  a high-dimensional space", section 2)
enlargement         3x3 transposed convolution, norm, ReLU        bilinear
merge               one 3x3 convolution, instance norm, PReLU     two 3x3 convolutions, batch norm, ReLU
==================  ============================================  ==================================================

``monai`` equals MONAI's ``AttentionUnet`` number for number (`from_monai` renames its weights). ``oktay`` follows the
paper, and its authors' code where the paper is silent (the 2x2 W_x, which has no bias); it leaves out what belongs to
their training: deep supervision, and the 1x1 convolution with normalisation after each gate. MONAI's network refuses a
size that is not a multiple of `2 ** depth`; here the image is enlarged by repeating its border, and cropped after.
"""

import itertools
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from segfit.errors import RecipeError, RunError
from segfit.models import MODELS, FeatureOutput, Normalize, Segmenter
from segfit.models.layers import check_options, crop_to, pad_to, tolerate_single_values

__all__ = ["AttentionUNet", "Variant", "from_monai"]

Variant = Literal["monai", "oktay"]
"""Which published form of the network: MONAI's (the default), or the paper's."""


@MODELS.register("attention_unet")
class AttentionUNet(Segmenter):
    """Attention U-Net for images of any size.

    Args:
        classes: number of classes.
        width: channels at full resolution; they double at every level.
        depth: number of times the resolution is halved.
        dropout: probability with which a value is dropped after each normalisation of the encoder and the merges.
        variant: which published form (see the module).
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
        dropout: float = 0.0,
        variant: Variant = "monai",
        normalize: Normalize = "unit",
    ) -> None:
        super().__init__(normalize)
        check_options(width=width, depth=depth, dropout=dropout)
        channels = [width * 2**level for level in range(depth + 1)]
        self.encoder: nn.ModuleList = nn.ModuleList([ConvBlock(3, width, dropout=dropout)])
        self.decoder: nn.ModuleList = nn.ModuleList()
        """Position i restores the resolution of the encoder's position i; 0 is full resolution."""
        pairs = list(itertools.pairwise(channels))
        if variant == "monai":
            self.encoder.extend(ConvBlock(fine, coarse, stride=2, dropout=dropout) for fine, coarse in pairs)
            self.decoder.extend(MonaiLevel(fine, coarse, dropout) for fine, coarse in pairs)
        else:
            if depth < 2:
                raise RecipeError("model.depth: variant oktay does not gate the first skip connection: use at least 2")
            self.encoder.extend(PoolBlock(fine, coarse, dropout) for fine, coarse in pairs)
            self.decoder.append(OktayLevel(*pairs[0], dropout))
            self.decoder.extend(GatedOktayLevel(fine, coarse, dropout) for fine, coarse in pairs[1:])
        self.classifier = nn.Conv2d(width, classes, 1)
        tolerate_single_values(self)

    @override
    def predict(self, x: Tensor) -> FeatureOutput:
        height, width = x.shape[-2:]
        multiple = 2 ** len(self.decoder)
        x = pad_to(x, (-(-height // multiple) * multiple, -(-width // multiple) * multiple))
        features = []
        for block in self.encoder:
            x = block(x)
            features.append(x)
        x = features.pop()
        for level in reversed(self.decoder):
            x = level(x, features.pop())
        return FeatureOutput(crop_to(x, (height, width)), self.classifier)

    @override
    def blocks(self) -> Iterable[nn.Module]:
        return (*self.encoder, *self.decoder)


# --- shared parts ----------------------------------------------------------------------------------------------------


def conv_unit(channels: int, out: int, *, stride: int = 1, dropout: float = 0.0) -> nn.Sequential:
    """Return a 3x3 convolution, batch normalisation, dropout and ReLU."""
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, out, 3, stride=stride, padding=1),
            norm=nn.BatchNorm2d(out),
            dropout=nn.Dropout(dropout),
            act=nn.ReLU(inplace=True),
        )
    )


class ConvBlock(nn.Sequential):
    """Two units of 3x3 convolutions; the first one may reduce the resolution."""

    def __init__(self, channels: int, out: int, *, stride: int = 1, dropout: float = 0.0) -> None:
        super().__init__(
            conv_unit(channels, out, stride=stride, dropout=dropout),
            conv_unit(out, out, dropout=dropout),
        )


# --- MONAI's form ----------------------------------------------------------------------------------------------------


class MonaiLevel(nn.Module):
    """One level of MONAI's decoder: enlarge, gate the skip connection with the result, join, convolve.

    Args:
        fine: channels of the skip connection and of the result.
        coarse: channels of the coarser level.
        dropout: probability in the merging convolution.
    """

    def __init__(self, fine: int, coarse: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.Sequential(
            OrderedDict(
                conv=nn.ConvTranspose2d(coarse, fine, 3, stride=2, padding=1, output_padding=1),
                norm=nn.BatchNorm2d(fine),
                act=nn.ReLU(inplace=True),
            )
        )
        self.gate = MonaiGate(fine)
        self.merge = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(2 * fine, fine, 3, padding=1),
                norm=nn.InstanceNorm2d(fine),
                dropout=nn.Dropout(dropout),
                act=nn.PReLU(),
            )
        )

    @override
    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        up = self.up(coarse)
        x = torch.cat((self.gate(skip, up), up), dim=1)
        # One by one and alone, because a call of the whole sequence would hold on to its input until the end.
        del up
        for layer in self.merge:
            x = layer(x)
        return x


class MonaiGate(nn.Module):
    """Additive gate on the grid of the skip connection; each projection is followed by batch normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.theta = self._project(channels, inner)
        self.phi = self._project(channels, inner)
        self.psi = self._project(inner, 1)

    @staticmethod
    def _project(channels: int, out: int) -> nn.Sequential:
        return nn.Sequential(OrderedDict(conv=nn.Conv2d(channels, out, 1), norm=nn.BatchNorm2d(out)))

    @override
    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """Scale the skip connection `x` by what the gating signal `g`, of the same shape, finds in it."""
        return x * torch.sigmoid(self.psi(F.relu(self.theta(x) + self.phi(g), inplace=True)))


# --- the paper's form ------------------------------------------------------------------------------------------------


class PoolBlock(nn.Module):
    """Halve the resolution by maximum, then convolve twice."""

    def __init__(self, channels: int, out: int, dropout: float) -> None:
        super().__init__()
        self.block = ConvBlock(channels, out, dropout=dropout)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.block(F.max_pool2d(x, 2))  # type: ignore[no-any-return]


class OktayLevel(nn.Module):
    """One level of the paper's decoder without a gate: enlarge, join the skip connection, convolve twice.

    Args:
        fine: channels of the skip connection and of the result.
        coarse: channels of the coarser level.
        dropout: probability in the merging convolutions.
    """

    def __init__(self, fine: int, coarse: int, dropout: float) -> None:
        super().__init__()
        self.merge = ConvBlock(fine + coarse, fine, dropout=dropout)

    @override
    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        up = F.interpolate(coarse, size=skip.shape[-2:], mode="bilinear")
        return self.merge(torch.cat((skip, up), dim=1))  # type: ignore[no-any-return]


class GatedOktayLevel(OktayLevel):
    """One level of the paper's decoder: the coarser level gates the skip connection first."""

    def __init__(self, fine: int, coarse: int, dropout: float) -> None:
        super().__init__(fine, coarse, dropout)
        self.gate = GridGate(fine, coarse)

    @override
    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        return super().forward(coarse, self.gate(skip, coarse))


class GridGate(nn.Module):
    """Additive gate on the grid of a gating signal that has half the skip connection's resolution.

    Args:
        channels: of the skip connection.
        gating: channels of the gating signal.
    """

    def __init__(self, channels: int, gating: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.theta = nn.Conv2d(channels, inner, 2, stride=2, bias=False)
        self.phi = nn.Conv2d(gating, inner, 1)
        self.psi = nn.Conv2d(inner, 1, 1)

    @override
    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """Scale the skip connection `x` `(B, C, 2h, 2w)` by what the gating signal `g` `(B, G, h, w)` finds in it."""
        coefficients = torch.sigmoid(self.psi(F.relu(self.theta(x) + self.phi(g), inplace=True)))
        return x * F.interpolate(coefficients, size=x.shape[-2:], mode="bilinear")


# --- weights ---------------------------------------------------------------------------------------------------------

LEVEL = re.compile(r"model\.1(?P<nested>(?:\.submodule\.1)*)\.(?P<part>.+)")
"""MONAI nests each level into the one above it; the deepest encoder block stands in for a level."""

PARTS = {
    "submodule.0.conv.": "encoder.{below}.",
    "submodule.conv.": "encoder.{below}.",
    "upconv.up.": "decoder.{level}.up.",
    "attention.W_x.0.conv.": "decoder.{level}.gate.theta.conv.",
    "attention.W_x.1.": "decoder.{level}.gate.theta.norm.",
    "attention.W_g.0.conv.": "decoder.{level}.gate.phi.conv.",
    "attention.W_g.1.": "decoder.{level}.gate.phi.norm.",
    "attention.psi.0.conv.": "decoder.{level}.gate.psi.conv.",
    "attention.psi.1.": "decoder.{level}.gate.psi.norm.",
    "merge.": "decoder.{level}.merge.",
}
"""What the parts of a level are called in MONAI's state dict and here."""


def from_monai(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a two-dimensional MONAI ``AttentionUnet`` for ``AttentionUNet(variant="monai")``.

    Args:
        state: its state dict.

    Raises:
        RunError: a key that such a network does not have.
    """
    return {_from_monai(key): value for key, value in state.items()}


def _from_monai(key: str) -> str:
    units = key.replace(".adn.N.", ".norm.").replace(".adn.A.", ".act.")
    if units.startswith("model.0.conv."):
        return units.replace("model.0.conv.", "encoder.0.", 1)
    if units.startswith("model.2.conv."):
        return units.replace("model.2.conv.", "classifier.", 1)
    if match := LEVEL.fullmatch(units):
        level = match["nested"].count("submodule")
        for theirs, ours in PARTS.items():
            if match["part"].startswith(theirs):
                return ours.format(level=level, below=level + 1) + match["part"].removeprefix(theirs)
    raise RunError(f"{key!r} is not a weight of a MONAI AttentionUnet: give the state dict of such a network")
