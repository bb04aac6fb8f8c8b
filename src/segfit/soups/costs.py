"""What a soup cost: the trainings behind it, and the making of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segfit.comparison.facts import Training, read_run
from segfit.folder import RunFolder
from segfit.parts import Parts
from segfit.soups.ingredients import Ingredient, ancestors

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
    """Return the costs of the distinct trainings behind some ingredients, and of the soups that were made between.

    A run's own costs include those of the run that it continues; a soup among the ingredients stands for its own ones,
    as long as all of them are still there.
    """
    return list(_distinct([one.folder for one in ingredients], frozenset()).values())


def _distinct(folders: Sequence[RunFolder], above: frozenset[Path]) -> dict[Path, Training]:
    """Return what is behind some runs by its resolved folder, each training once; `above` are the soups they are in."""
    found: dict[Path, Training] = {}
    for folder in folders:
        found |= _behind(folder, above)
    continued = {before for path in found for before in ancestors(RunFolder(path))}
    return {path: one for path, one in found.items() if path not in continued}


def _behind(folder: RunFolder, above: frozenset[Path]) -> dict[Path, Training]:
    """Return a training, or those of a soup's ingredients and, under the soup's own folder, the making of it."""
    path = folder.path.resolve()
    own, parts = read_run(path).training, _parts(folder)
    above |= {path}
    # A folder can have been replaced by a soup that it is behind.
    if not parts or any(part.path.resolve() in above for part in parts):
        return {path: own}
    behind = _distinct(parts, above)
    seconds = own.seconds - sum(one.seconds for one in behind.values())
    return {**behind, path: own.model_copy(update={"epochs": 0, "steps": 0, "seconds": max(seconds, 0.0)})}


def _parts(folder: RunFolder) -> list[RunFolder]:
    """Return the runs that a soup was made of; none for a run that is no soup, or when one of them is gone."""
    if not folder.soup_file.is_file():
        return []
    parts = [RunFolder(one["run"]) for one in folder.read(folder.soup_file)["ingredients"]]
    return parts if all(part.exists() and part.finished() for part in parts) else []
