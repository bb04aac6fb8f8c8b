"""The verb before training: what recipes will take, without touching a GPU or the data."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from segfit import config
from segfit.config import Hardware, Recipe
from segfit.config.gpus import Gpu, find_gpu, fit_target
from segfit.console import waiting
from segfit.data import SOURCES
from segfit.data.ade20k import published_labels
from segfit.data.disk import cache_folder
from segfit.errors import DataError, RecipeError, did_you_mean
from segfit.labels import select
from segfit.parts import REGISTRIES, build_source, label_space, overridden, resolve
from segfit.planning import devices
from segfit.planning.plan import Plan, Traces, explain
from segfit.training.device import hardware
from segfit.units import parse_memory
from segfit.use import HERE

__all__ = ["plan"]

ADE20K_IMAGES = 20_210
"""Training images of the published dataset."""


def plan(
    recipes: str | Path | Recipe | Sequence[str | Path | Recipe],
    *,
    overrides: Sequence[str] = (),
    gpu: str | None = None,
    memory: str | None = None,
    gpus: int = 1,
) -> list[Plan]:
    """Return what recipes will take: memory, largest batch, time, and what would lower them. Nothing is allocated.

    ADE20K and the synthetic scenes need not be there: their classes and numbers of images are known.

    Args:
        recipes: one or several; recipes, what `load_recipe` reads, or patterns of shipped names (``paper/*``).
        overrides: on all of them.
        gpu: plan for this one (see `config.gpus`).
        memory: plan for a GPU with so much: ``16GB``. With neither: for ``train.fit``, or for this machine.
        gpus: number of them.

    Raises:
        UserError: there is no such recipe, GPU or dataset; or an automatic batch, or ``train.fit``, cannot fit.
    """
    if gpu is not None and memory is not None:
        raise RecipeError("--gpu and --memory exclude each other: a GPU has its own memory")
    given = [recipes] if isinstance(recipes, str | Path | Recipe) else recipes
    loaded = [overridden(recipe, overrides) for recipe in _matched(given)]
    target = _target(gpu, memory)
    plans, traces = list[Plan](), Traces()
    with waiting("planning") as progress:
        for number, recipe in enumerate(loaded):
            progress(number, len(loaded))
            plans.append(_explained(recipe, target, gpus, traces))
    return plans


def _matched(given: Sequence[str | Path | Recipe]) -> list[str | Path | Recipe]:
    """Return what is given, patterns replaced by the shipped recipes that they match.

    Raises:
        RecipeError: nothing is given, or a pattern matches nothing.
    """
    known, found = config.shipped("recipe"), list[str | Path | Recipe]()
    for one in given:
        is_pattern = isinstance(one, str) and any(sign in one for sign in "*?[")
        matches = [name for name in known if fnmatchcase(name, str(one))] if is_pattern else [one]
        if not matches:
            raise RecipeError(f"no shipped recipe matches {str(one)!r}{did_you_mean(str(one), known)}")
        found += matches
    if not found:
        raise RecipeError("name a recipe (segfit recipe list)")
    return found


def _target(gpu: str | None, memory: str | None) -> devices.Device | None:
    if gpu is not None:
        return devices.named(find_gpu(gpu))
    if memory is None:
        return None
    try:
        return devices.of_size(parse_memory(memory))
    except ValueError as error:
        raise RecipeError(f"--memory: {error}") from None


def _explained(recipe: Recipe, target: devices.Device | None, gpus: int, traces: Traces) -> Plan:
    if target is None and recipe.train.fit is not None:
        wanted = fit_target(recipe.train.fit)
        # As in training, an amount of memory is the CPU's where the recipe says so, else that of a GPU.
        like = devices.present(torch.device("cpu")) if recipe.train.device == "cpu" else None
        target = devices.named(wanted) if isinstance(wanted, Gpu) else devices.of_size(wanted, like)
    if target is None:
        kind = hardware().device if recipe.train.device == "auto" else recipe.train.device
        if kind == "cpu" and gpus > 1:
            raise RecipeError("--gpus: there is no GPU here: say which kind is meant (--gpu NAME or --memory SIZE)")
        target = devices.present(torch.device(kind))
    number_of_classes, images = _classes_and_images(recipe)
    # Where the data is does not matter any more, and the planned device need not be here.
    elsewhere = overridden(recipe, ["data.root=.", "train.device=auto"])
    there = Hardware(precisions={target.kind: target.precisions}, cores=1, cache=cache_folder())
    resolved = config.resolve(elsewhere, REGISTRIES, there)
    return explain(resolved, classes=number_of_classes, images=images, device=target, world=gpus, traces=traces)


def _classes_and_images(recipe: Recipe) -> tuple[int, int]:
    """Return how many classes a recipe learns, from how many images; without the dataset where it is known.

    Raises:
        UserError: the dataset is not known and not there.
    """
    data, labels = recipe.data, recipe.labels
    if data.root is None and data.name in {"ade20k", "scenes"} and labels.ratios == "published":
        options = SOURCES.options(data.name, data.options)
        images = options.get("train_images", ADE20K_IMAGES)
        space = select(published_labels(), top=labels.top, classes=labels.classes, rest=labels.rest)
        return len(space), min(images, data.limit_train or images)
    here = resolve(overridden(recipe, HERE))
    source = build_source(here)
    records = source.records(here.data.train)[: data.limit_train]
    if not records:
        raise DataError(f"{here.data.root}: the split {here.data.train!r} has no images")
    return len(label_space(here, source)), len(records)
