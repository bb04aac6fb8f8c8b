"""What a resolved recipe stands for: the only file that knows every part."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segfit import config
from segfit.config import Recipe, load_recipe
from segfit.console import waiting
from segfit.data import SOURCES, Record, Source
from segfit.data.census import Census, count_ratios, take_census
from segfit.data.check import quick_check
from segfit.data.loader import EvalLoader, TrainLoader
from segfit.data.sampling import rare_weights
from segfit.errors import DataError
from segfit.evaluation.engine import Evaluation, evaluate_model
from segfit.evaluation.protocols import fit_of, scored_size, segmentation_of
from segfit.evaluation.segment import Segmentation
from segfit.folder import RunFolder
from segfit.labels import LabelSpace, LabelTable, select
from segfit.losses import LOSSES, Loss
from segfit.models import MODELS, Segmenter
from segfit.registry import Registry
from segfit.training.device import check_compiler, hardware
from segfit.training.parallel import Ranks

__all__ = ["Parts", "build_source", "label_space", "label_table", "overridden", "recipe_schema", "resolve"]

REGISTRIES: dict[str, Registry[Any]] = {"data": SOURCES, "model": MODELS, "loss": LOSSES}


def resolve(recipe: Recipe) -> Recipe:
    """Complete `recipe` for this machine (see `config.resolve`)."""
    return config.resolve(recipe, REGISTRIES, hardware())


def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema of recipes with every registered component."""
    return config.json_schema(REGISTRIES)


def overridden(recipe: Recipe | str | Path, overrides: Sequence[str]) -> Recipe:
    """Return a recipe, or what `load_recipe` reads, with overrides on top; a soup has none of its own."""
    if isinstance(recipe, Recipe):
        return config.build_recipe(recipe.model_dump(mode="json"), overrides) if overrides else recipe
    RunFolder(recipe).trainable()
    return load_recipe(recipe, overrides)


# --- parts -----------------------------------------------------------------------------------------------------------


def build_source(recipe: Recipe) -> Source:
    """Return the dataset of a resolved recipe."""
    data = recipe.data
    assert data.root is not None, "the recipe is resolved"
    return SOURCES.build(data.name, data.root, **data.options)


def label_space(recipe: Recipe, source: Source) -> LabelSpace:
    """Return the classes that a resolved recipe learns of `source`."""
    labels = recipe.labels
    return select(label_table(recipe, source), top=labels.top, classes=labels.classes, rest=labels.rest)


def label_table(recipe: Recipe, source: Source) -> LabelTable:
    """Return the classes of `source`, with the pixel ratios that the recipe chooses by."""
    return count_ratios(source, recipe.data.train) if recipe.labels.ratios == "dataset" else source.labels


class Parts:
    """What a resolved recipe stands for, built when first asked for.

    Args:
        recipe: resolved.
        group: this process among its peers.
        labels: the label space, where a run has stored it; else derived from the recipe.
    """

    def __init__(self, recipe: Recipe, group: Ranks, labels: LabelSpace | None = None) -> None:
        self.recipe, self.ranks = recipe, group
        # One rank may have to write a generated dataset; the others then find it.
        if group.main:
            build_source(recipe)
        group.wait()
        self.source = build_source(recipe)
        self.labels = labels or label_space(recipe, self.source)

    def records(self, split: str, limit: int | None = None) -> list[Record]:
        """Return the records of a split, at most `limit`."""
        records = self.source.records(split)[:limit]
        if not records:
            raise DataError(f"{self.recipe.data.root}: the split {split!r} has no images")
        return records

    @cached_property
    def training(self) -> list[Record]:
        """The training records."""
        return self.records(self.recipe.data.train, self.recipe.data.limit_train)

    @cached_property
    def validation(self) -> list[Record]:
        """The validation records."""
        return self.records(self.recipe.data.validation, self.recipe.data.limit_validation)

    @cached_property
    def model(self) -> Segmenter:
        """The model on the rank's device, with the seed's initial weights."""
        options, train = self.recipe.model, self.recipe.train
        torch.manual_seed(train.seed)
        model = MODELS.build(options.name, len(self.labels), **options.options).to(self.ranks.device)
        model.checkpoint(train.checkpointing)
        return model.to(memory_format=torch.channels_last) if train.channels_last else model

    @cached_property
    def loss(self) -> Loss:
        """The loss on the rank's device."""
        return LOSSES.build(self.recipe.loss.name, len(self.labels), **self.recipe.loss.options).to(self.ranks.device)

    @cached_property
    def train_loader(self) -> TrainLoader:
        """This rank's training batches."""
        train = self.recipe.train
        assert train.workers is not None, "the recipe is resolved"
        return TrainLoader(
            self.source,
            self.training,
            self.labels,
            self.recipe.augment,
            batch=train.images,
            seed=train.seed,
            rank=self.ranks.rank,
            world=self.ranks.world,
            workers=train.workers,
            pin=self.ranks.device.type == "cuda",
            cache=self.recipe.data.cache,
            weights=self._rare_weights() if self.recipe.data.sampling == "rare" else None,
        )

    def _rare_weights(self) -> Callable[[], NDArray[np.float64]]:
        """Return what counts the training masks; it knows nothing of this object, so that it keeps none alive."""
        return partial(_weigh_rare, self.source, self.training, self.labels, self.ranks)

    def check(self) -> None:
        """Build everything once, so that what is wrong with any part is raised."""
        if self.recipe.train.compile:
            check_compiler(self.ranks.device)
        quick_check(self.source, [*self.training, *self.validation])
        _ = self.validation, self.model, self.loss, self.train_loader

    @cached_property
    def validation_loader(self) -> EvalLoader:
        """This rank's validation samples; its workers live on from one validation to the next."""
        return self._eval_loader(self.validation)

    def score(self, records: Sequence[Record], **more: Any) -> Evaluation:
        """Score the model on `records`; `more` as in `evaluate_model`."""
        loader = self.validation_loader if records is self.validation else self._eval_loader(records)
        return evaluate_model(self.segmentation, loader, self.labels, ranks=self.ranks, loss=self.loss, **more)

    @cached_property
    def segmentation(self) -> Segmentation:
        """The model as a function from images to label maps; it remembers how many at a time fit into memory."""
        return segmentation_of(self.recipe, self.model, self.ranks.device)

    def _eval_loader(self, records: Sequence[Record]) -> EvalLoader:
        settings, workers = self.recipe.evaluate, self.recipe.train.workers
        assert settings.batch is not None, "the recipe is resolved"
        assert workers is not None
        return EvalLoader(
            self.source,
            records,
            self.labels,
            fit=fit_of(self.recipe),
            scales=settings.scales,
            batch=settings.batch,
            scored=scored_size(self.recipe),
            rank=self.ranks.rank,
            world=self.ranks.world,
            workers=workers,
        )


def _weigh_rare(source: Source, records: Sequence[Record], labels: LabelSpace, ranks: Ranks) -> NDArray[np.float64]:
    """Return how often an epoch has each record, counted by all ranks together."""
    label = f"counting the classes in {len(records)} training masks"
    with waiting(label) if ranks.main else nullcontext(lambda _done, _total: None) as progress:
        census = take_census(source, records[ranks.rank :: ranks.world], progress=progress)
    return rare_weights(Census.dealt(ranks.gather(census)), labels)
