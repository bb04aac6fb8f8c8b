"""From a batch to scores: one file per family, with its layers, its builder and its weights.

A model is a `Segmenter`: it takes uint8 batches, normalises them on the device and returns an `Output`. A builder is
called with the number of classes and its options as keywords, and registered in `MODELS`.

Shape suffixes: B batch, K classes, C channels, H W full size, h w native size of the output.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from segfit.registry import Registry

__all__ = ["MODELS", "FeatureOutput", "Normalize", "Output", "ScoreOutput", "Segmenter"]

Normalize = Literal["unit", "imagenet"]
"""``unit`` scales values to [0, 1]; ``imagenet`` also subtracts the ImageNet mean and divides by its deviation."""

STATISTICS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class Output(ABC):
    """What a model returns: the parts that a loss needs at their native resolution, and dense scores on demand."""

    @abstractmethod
    def dense(self, size: tuple[int, int]) -> Tensor:
        """Return class scores `(B, K, H, W)` for `size` = (H, W)."""

    @abstractmethod
    def image(self, index: int) -> "Output":
        """Return the output of one image of the batch, as a batch of one."""


@dataclass(frozen=True)
class ScoreOutput(Output):
    """Scores at a lower resolution that are enlarged bilinearly (DeepLabV3).

    Attributes:
        scores: `(B, K, h, w)`.
        align_corners: as in `torch.nn.functional.interpolate`.
    """

    scores: Tensor
    align_corners: bool = False

    @override
    def dense(self, size: tuple[int, int]) -> Tensor:
        return resize(self.scores, size, self.align_corners)

    @override
    def image(self, index: int) -> "ScoreOutput":
        return ScoreOutput(self.scores[index : index + 1], self.align_corners)


@dataclass(frozen=True)
class FeatureOutput(Output):
    """Features with a 1x1 classifier (UNet): a loss may apply the classifier in pieces.

    Attributes:
        features: `(B, C, h, w)`.
        classifier: 1x1 convolution C -> K.
    """

    features: Tensor
    classifier: nn.Conv2d

    @override
    def dense(self, size: tuple[int, int]) -> Tensor:
        features = self.features
        if not torch.is_autocast_enabled(features.device.type):
            # The features may come out of an autocast region that has ended.
            features = features.to(self.classifier.weight.dtype)
        return resize(self.classifier(features), size, False)

    @override
    def image(self, index: int) -> "FeatureOutput":
        return FeatureOutput(self.features[index : index + 1], self.classifier)


def resize(scores: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """Enlarge or shrink `(B, K, h, w)` scores bilinearly to `size`; the same tensor when nothing is to be done."""
    if scores.shape[-2:] == size:
        return scores
    return F.interpolate(scores, size=size, mode="bilinear", align_corners=align_corners)


class Segmenter(nn.Module, ABC):
    """A segmentation model that takes what the loader gives.

    Args:
        normalize: how uint8 values become the model's input.

    Subclasses implement `predict`; any height and width of at least one pixel must work there, and batch 1 in
    training, too.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, normalize: Normalize) -> None:
        super().__init__()
        mean, std = STATISTICS[normalize]
        # Not persistent: the state dict has the keys of the public layouts and nothing else.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255, persistent=False)

    def forward(self, images: Tensor) -> Output:
        """Score a batch.

        Args:
            images: `(B, 3, H, W)` uint8 RGB, any memory format.
        """
        return self.predict((images.float() - self.mean) / self.std)

    @abstractmethod
    def predict(self, x: Tensor) -> Output:
        """Score a normalised float batch `(B, 3, H, W)`."""

    def backbone_parameters(self) -> Iterable[nn.Parameter]:
        """Return the parameters that came from pretraining (none by default): they may get their own learning rate."""
        return ()


MODELS: Registry[Segmenter] = Registry("model", "segfit.models")
"""Model families by name; a builder is called with the number of classes and its options as keywords."""
