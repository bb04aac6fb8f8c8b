"""Training and validation with random weights and images: what is planned, and what is measured to check the plan."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segfit.config import Recipe
from segfit.evaluation.protocols import fit_of, segmentation_of
from segfit.evaluation.views import View
from segfit.losses import LOSSES, Loss
from segfit.models import MODELS, Output, Segmenter

__all__ = ["BATCHES", "batch", "build", "score"]

BATCHES = {"cpu": 1, "cuda": 2}
"""Training batches that are on a device at once (see `segfit.training.prefetch`)."""


def build(recipe: Recipe, classes: int, device: torch.device) -> tuple[Segmenter, Loss]:
    """Return the model and the loss of a resolved recipe; pretrained weights are not read."""
    options = recipe.model.options
    if options.get("pretrained"):
        options["pretrained"] = False if options["pretrained"] is True else None
    with device:  # built there, because torch cannot move fake parameters
        model = MODELS.build(recipe.model.name, classes, **options)
        loss = LOSSES.build(recipe.loss.name, classes, **recipe.loss.options)
    model.checkpoint(recipe.train.checkpointing)
    if recipe.train.channels_last:
        _to_channels_last(model)
    return model, loss


def batch(images: int, size: tuple[int, int], classes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return images `(B, 3, H, W)`, channels-last as the loader makes them, and their masks `(B, H, W)`, in uint8."""
    pixels = torch.randint(256, (images, *size, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
    return pixels, torch.randint(classes, (images, *size), dtype=torch.uint8, device=device)


def score(
    model: Segmenter, loss: Loss, recipe: Recipe, classes: int, size: tuple[int, int], device: torch.device
) -> list[Tensor]:
    """Segment a validation batch of images whose original size is `size`, and compute its loss.

    Returns:
        the label map of each.
    """
    settings = recipe.evaluate
    assert settings.batch is not None, "the recipe is resolved"

    def measure(output: Output, views: Sequence[View]) -> Tensor:
        window = views[0].rows.stop - views[0].rows.start, views[0].columns.stop - views[0].columns.start
        target = batch(len(views), window, classes, device)[1].long()
        weight = loss.weight(target)
        return torch.stack([loss(output, target)["loss"].double() * weight, weight])

    segment, fit = segmentation_of(recipe, model, device), fit_of(recipe)
    pictures = [np.zeros((*fit.size_of(size, scale), 3), np.uint8) for scale in settings.scales]
    model.eval()
    maps = segment([pictures] * settings.batch, [size] * settings.batch, measure).maps
    model.train()
    return maps


def _to_channels_last(model: nn.Module) -> None:
    """As ``model.to(memory_format=torch.channels_last)``, which torch cannot do to fake parameters."""
    moved: dict[Any, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None or parameter.ndim != 4:
                continue
            if parameter not in moved:
                data = parameter.detach().to(memory_format=torch.channels_last)
                moved[parameter] = nn.Parameter(data, parameter.requires_grad)
            setattr(module, name, moved[parameter])
