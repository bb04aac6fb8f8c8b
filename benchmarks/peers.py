"""Pairs of the same network: trained the plain way, and by segfit; both from the same weights where they have names."""

import importlib.util
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation import deeplabv3_resnet50
from typing_extensions import override

from segfit.models import MODELS, FeatureOutput, Output, ScoreOutput, Segmenter
from segfit.models.attention_unet import from_monai

__all__ = ["PAIRS", "Pair", "plain_scores", "without_dropout"]


@dataclass(frozen=True)
class Pair:
    """A network as the peer has it and as segfit has it.

    Attributes:
        peer: what the peer is.
        theirs: (classes, width) -> a network from a normalised float batch to scores at the image's size.
        ours: (classes, width) -> the same network for segfit.
        rename: the peer's state dict -> segfit's.
        width: channels at full resolution by default; None where the network has no such option.
        needs: a package that is no dependency of segfit.
    """

    peer: str
    theirs: Callable[[int, int], nn.Module]
    ours: Callable[[int, int], Segmenter]
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    width: int | None = None
    needs: str | None = None

    @property
    def possible(self) -> bool:
        """Whether what it needs is installed."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


def plain_scores(output: Output, size: tuple[int, int]) -> Tensor:
    """Return the scores at full size as anyone would make them: torch's convolution, torch's enlargement."""
    scores = output.native
    if isinstance(output, FeatureOutput):
        scores = F.conv2d(scores, output.classifier.weight, output.classifier.bias)
    return scores if scores.shape[-2:] == size else F.interpolate(scores, size=size, mode="bilinear")


def without_dropout(model: nn.Module) -> None:
    """Drop nothing: what is dropped depends on the order in memory, and losses could not be compared."""
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0


class Dense(nn.Module):
    """One of segfit's networks, scored at full size: what its public original does."""

    def __init__(self, model: Segmenter) -> None:
        super().__init__()
        self.model = model

    @override
    def forward(self, x: Tensor) -> Tensor:
        return plain_scores(self.model.predict(x), (x.shape[-2], x.shape[-1]))


class Whole(nn.Module):
    """Only the scores of a torchvision network."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)["out"]  # type: ignore[no-any-return]


class Wrapped(Segmenter):
    """Someone else's network that ends in scores at full size."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__("unit")
        self.model = model

    @override
    def predict(self, x: Tensor) -> ScoreOutput:
        return ScoreOutput(self.model(x))


class LowResolution(Segmenter):
    """A small stand-in for SegFormer: two strided convolutions, two more, and a 1x1 head at a quarter of the size."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__("unit")
        sizes = [(3, width, 2), (width, 2 * width, 2), (2 * width, 2 * width, 1), (2 * width, 4 * width, 1)]
        self.body = nn.Sequential(*(self._unit(*size) for size in sizes))
        self.head = nn.Conv2d(4 * width, classes, 1)

    @staticmethod
    def _unit(channels: int, out: int, stride: int) -> nn.Module:
        convolution = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True))

    @override
    def predict(self, x: Tensor) -> ScoreOutput:
        return ScoreOutput(self.head(self.body(x)))


def _monai(classes: int, width: int) -> nn.Module:
    from monai.networks.nets import AttentionUnet

    return AttentionUnet(
        spatial_dims=2,
        in_channels=3,
        out_channels=classes,
        channels=[width * 2**level for level in range(5)],
        strides=[2] * 4,
    )


def _smp(classes: int, _width: int) -> nn.Module:
    import segmentation_models_pytorch

    network: Any = segmentation_models_pytorch.Unet("resnet34", encoder_weights=None, classes=classes)
    return network  # type: ignore[no-any-return]


def _torchvision(classes: int, _width: int) -> nn.Module:
    return Whole(deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=classes, aux_loss=False))


def _built(name: str, **options: Any) -> Callable[[int, int], Segmenter]:
    return lambda classes, width: MODELS.build(name, classes, **({"width": width} if width else {}), **options)


def _without(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: OrderedDict((key.removeprefix(prefix), value) for key, value in state.items())


PAIRS = {
    "attention_unet": Pair("MONAI AttentionUnet", _monai, _built("attention_unet"), from_monai, width=32),
    "unet": Pair(
        "UNet (Pytorch-UNet's layout)",
        lambda classes, width: Dense(_built("unet")(classes, width)),
        _built("unet"),
        _without("model."),
        width=32,
    ),
    "deeplabv3": Pair(
        "torchvision deeplabv3_resnet50", _torchvision, _built("deeplabv3", normalize="unit"), _without("model.")
    ),
    "smp_unet": Pair(
        "smp Unet(resnet34)",
        _smp,
        lambda classes, width: Wrapped(_smp(classes, width)),
        lambda state: {f"model.{key}": value for key, value in state.items()},
        needs="segmentation_models_pytorch",
    ),
    "low_resolution": Pair(
        "scores at 1/4 (as SegFormer)",
        lambda classes, width: Dense(LowResolution(classes, width)),
        LowResolution,
        _without("model."),
        width=32,
    ),
}
"""The pairs by name."""
