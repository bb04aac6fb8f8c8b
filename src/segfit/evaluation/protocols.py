"""How a recipe has models scored: what becomes of images and masks before, and what the model sees at a time."""

from typing import Any

import torch

from segfit.config import Recipe
from segfit.data.augment import Fit
from segfit.data.augment.fitting import linear
from segfit.evaluation.segment import Segmentation
from segfit.evaluation.sliding import weigh_of
from segfit.evaluation.windows import cut_of
from segfit.models import Segmenter

__all__ = ["fit_of", "protocol_facts", "scored_size", "segmentation_of", "under_protocol"]

MMSEG = 512, 2048
"""Short side, and longest side, of mmsegmentation's test images on ADE20K."""


def fit_of(recipe: Recipe) -> Fit:
    """Return what brings images to the model's input size, as a resolved recipe says."""
    assert recipe.evaluate.resize is not None, "the recipe is resolved"
    if recipe.evaluate.protocol == "mmseg":
        short, longest = MMSEG
        return Fit((short, short), "short-side", longest=longest, resample=linear)
    return Fit(recipe.augment.size, recipe.evaluate.resize)


def scored_size(recipe: Recipe) -> tuple[int, int] | None:
    """Return the (height, width) at which predictions are compared with masks; None for that of each mask."""
    return recipe.augment.size if recipe.evaluate.protocol == "paper" else None


def segmentation_of(recipe: Recipe, model: Segmenter, device: torch.device) -> Segmentation:
    """Return what segments images with a model as a resolved recipe says.

    Args:
        recipe: resolved.
        model: on `device`.
        device: where images go.
    """
    settings = recipe.evaluate
    return Segmentation(
        model,
        cut=cut_of(recipe),
        weigh=weigh_of(recipe),
        flip=settings.flip,
        batch=settings.batch or 1,
        device=device,
        precision=recipe.train.precision,
    )


def protocol_facts(recipe: Recipe) -> dict[str, Any]:
    """Return how a resolved recipe has models scored, JSON-ready: what scores must share to be compared.

    What was done counts, not what was asked for: an input that is no larger than a window is seen whole.
    """
    settings = recipe.evaluate
    one_window = settings.resize == "squash" and max(settings.scales) <= 1
    sliding = settings.window == "sliding" and not one_window
    return {
        "protocol": settings.protocol,
        "resize": settings.resize,
        "window": "sliding" if sliding else "whole",
        "overlap": settings.overlap if sliding else None,
        "weighting": settings.weighting if sliding else "uniform",
        "scales": list(settings.scales),
        "flip": settings.flip,
    }


def under_protocol(facts: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Return an evaluation's facts with the protocol's own averages and with `protocol_facts`.

    mmsegmentation's mean accuracy is over the classes of the ground truth: one that is only predicted has none there.

    Args:
        facts: as `evaluation_facts` makes them.
        recipe: resolved.
    """
    if recipe.evaluate.protocol == "mmseg":
        known = [row["accuracy"] for row in facts["per_class"] if row["pixels"]]
        facts = {**facts, "scores": {**facts["scores"], "mean_accuracy": sum(known) / len(known)}}
    return {**facts, **protocol_facts(recipe)}
