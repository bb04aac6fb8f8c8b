"""From a batch to scores: one file per family, with its layers, its builder and its weights.

A model is a `Segmenter`: it takes uint8 batches, normalises them on the device and returns an `Output`. A builder is
called with the number of classes and its options as keywords, and registered in `MODELS`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from segfit.errors import RecipeError
from segfit.models.outputs import FeatureOutput, Output, ScoreOutput, Strip
from segfit.models.recompute import Checkpointing, recomputing
from segfit.registry import Registry

__all__ = ["MODELS", "FeatureOutput", "Normalize", "Output", "ScoreOutput", "Segmenter", "Strip"]

Normalize = Literal["unit", "imagenet"]
"""``unit`` scales values to [0, 1]; ``imagenet`` also subtracts the ImageNet mean and divides by its deviation."""

STATISTICS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class Segmenter(nn.Module, ABC):
    """A segmentation model that takes what the loader gives.

    Args:
        normalize: how uint8 values become the model's input.

    Subclasses implement `predict`; any height and width of at least one pixel must work there, and batch 1 in
    training, too.
    """

    mean: Tensor
    std: Tensor
    checkpointing: Checkpointing = "none"
    """What the backward pass computes again; `checkpoint` sets it."""

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
        if self.checkpointing == "none" or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            # All is kept, nothing is, or the compiler decides what is.
            return self._score(images)
        with recomputing(self.checkpointing, self.blocks()):
            return self._score(images)

    def _score(self, images: Tensor) -> Output:
        return self.predict((images.float() - self.mean) / self.std)

    @abstractmethod
    def predict(self, x: Tensor) -> Output:
        """Score a normalised float batch `(B, 3, H, W)`."""

    def checkpoint(self, kind: Checkpointing) -> None:
        """Choose what the backward pass computes again; values and gradients stay the same.

        Raises:
            RecipeError: ``blocks`` of a model that names none.
        """
        if kind == "blocks" and not any(True for _ in self.blocks()):
            raise RecipeError(f"train.checkpointing: {type(self).__name__} does not name its blocks: use norms")
        self.checkpointing = kind

    def blocks(self) -> Iterable[nn.Module]:
        """Return the modules that are recomputed as a whole when a recipe asks for it (none by default)."""
        return ()

    def backbone_parameters(self) -> Iterable[nn.Parameter]:
        """Return the parameters that came from pretraining (none by default): they may get their own learning rate."""
        return ()


MODELS: Registry[Segmenter] = Registry("model", "segfit.models")
"""Model families by name; a builder is called with the number of classes and its options as keywords."""
