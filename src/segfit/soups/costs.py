"""What a soup cost: the trainings behind it, and the making of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segfit.comparison.facts import Training
from segfit.folder import RunFolder
from segfit.parts import Parts
from segfit.soups.ingredients import Ingredient

__all__ = ["training_facts", "trainings"]


def training_facts(
    ingredients: Sequence[Ingredient], parts: Parts, seconds: float, memory: int, score: float
) -> dict[str, Any]:
    """Return the costs of a soup as `metrics.json` has them: those of all its trainings, added up.

    Args:
        ingredients: of the soup.
        parts: what it was made with.
        seconds: that making it took; they count, too.
        memory: in bytes at its peak; the largest of all trainings counts.
        score: of the soup.
    """
    every = trainings(ingredients)
    epochs, images = sum(one.epochs for one in every), sum(one.steps * one.batch for one in every)
    training_seconds = sum(one.steps * one.batch / max(one.images_per_second, 1e-9) for one in every)
    return {
        "epochs": epochs,
        "steps": sum(one.steps for one in every),
        "batch": parts.recipe.train.images,
        "accumulate": parts.recipe.train.accumulate,
        "seconds": sum(one.seconds for one in every) + seconds,
        "memory": max(memory, *(one.memory for one in every)),
        "memory_kind": ingredients[0].facts.training.memory_kind,
        "images_per_second": images / max(training_seconds, 1e-9),
        "parameters": sum(parameter.numel() for parameter in parts.model.parameters()),
        "best_epoch": epochs,
        "best_score": score,
    }


def trainings(ingredients: Sequence[Ingredient]) -> list[Training]:
    """Return the costs of the distinct trainings: a run's own costs include those of the run that it continues."""
    runs = {one.folder.path.resolve(): one for one in ingredients}
    continued = {before for one in runs.values() for before in _before(one.folder)}
    return [one.facts.training for path, one in runs.items() if path not in continued]


def _before(folder: RunFolder) -> set[Path]:
    """Return the folders of the runs that a run goes on with, as far as they are still there."""
    found: set[Path] = set()
    while folder.exists() and (name := folder.recipe().train.continue_from) is not None:
        places = [RunFolder(folder.path.resolve().parent / name), RunFolder(name)]
        folder = next((place for place in places if place.exists()), places[0])
        if folder.path.resolve() in found:
            break
        found.add(folder.path.resolve())
    return found
