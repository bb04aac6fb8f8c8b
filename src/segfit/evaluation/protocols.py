"""What the protocol of a recipe does to images and masks before a model is scored."""

from segfit.config import Recipe
from segfit.data.augment import Fit
from segfit.data.augment.fitting import linear

__all__ = ["fit_of", "scored_size"]

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
