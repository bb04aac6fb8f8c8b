"""What the numbers of a dataset say about a recipe: each suggestion with its reason and the lines to paste.

Sources: median frequency balancing, D. Eigen and R. Fergus, "Predicting Depth, Surface Normals and Semantic Labels with
a Common Multi-Scale Convolutional Architecture", ICCV 2015, where it turns to Sift Flow; effective number of samples,
Y. Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from segfit import units
from segfit.config import Recipe
from segfit.curation.stats.tally import Tally
from segfit.labels import IGNORE, LabelSpace, LabelTable, select

__all__ = ["Learnt", "Suggestion", "chosen_labels", "effective_number", "learnt_classes", "median_frequency", "suggest"]

STRIDE = 32
"""Encoders halve an image five times."""
LARGEST_CROP = 512
"""What ADE20K is usually trained at; memory grows with the area."""
COVERED = 0.9
MANY_CLASSES = 30
"""A subset is worth a thought from here on."""
UNEVEN = 20.0
"""Weights are worth a thought where the most common class has so many times the pixels of the rarest one."""
RARE = 0.02
"""A class that fewer images show is seldom in a batch."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """Something to change in a recipe.

    Attributes:
        name: what it is about, in one word or two.
        title: what to do.
        reason: what in the numbers says so, and what it costs.
        changes: the fields of the recipe, nested.
        applied: whether the recipe says so already.
    """

    name: str
    title: str
    reason: str
    changes: Mapping[str, Any]
    applied: bool

    def snippet(self) -> str:
        """Return the lines to paste into a recipe."""
        return yaml.safe_dump(dict(self.changes), default_flow_style=None, sort_keys=False, width=76).rstrip()

    def facts(self) -> dict[str, Any]:
        """Return all of it, JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Learnt:
    """The pixels of the classes that a model learns, in the training split. K train ids.

    Attributes:
        labels: the classes.
        pixels: `(N, K)` pixels of each train id in each image.
    """

    labels: LabelSpace
    pixels: NDArray[np.int64]

    @cached_property
    def frequency(self) -> Floats:
        """Share of each train id in the learnt pixels of the images that show it `(K,)`; 0 where none does."""
        within = (self.pixels > 0).T @ self.pixels.sum(1)
        return np.asarray(self.pixels.sum(0) / np.maximum(within, 1))

    @cached_property
    def images(self) -> NDArray[np.int64]:
        """Images that show each train id `(K,)`."""
        counts: NDArray[np.int64] = (self.pixels > 0).sum(0)
        return counts


def chosen_labels(recipe: Recipe, table: LabelTable, counted: Sequence[float]) -> LabelSpace | None:
    """Return the classes that the recipe learns; None where it leaves too many for one model.

    Args:
        recipe: resolved.
        table: the dataset's classes.
        counted: their shares of the training pixels, for recipes that choose by them.

    Raises:
        RecipeError: the recipe's choice of classes does not fit the dataset.
    """
    labels = recipe.labels
    if labels.top is None and labels.classes is None and len(table) >= IGNORE:
        return None
    if labels.ratios == "dataset":
        table = replace(table, ratios=tuple(counted))
    return select(table, top=labels.top, classes=labels.classes, rest=labels.rest)


def learnt_classes(recipe: Recipe, training: Tally) -> Learnt | None:
    """Return what a model would learn of the training split; None and errors as in `chosen_labels`."""
    space = chosen_labels(recipe, training.census.table, training.census.ratios().tolist())
    if space is None:
        return None
    return Learnt(labels=space, pixels=training.census.learnt(space))


def median_frequency(frequency: Floats) -> Floats:
    """Return the class weights of median frequency balancing (Eigen and Fergus 2015).

    Args:
        frequency: `(K,)` share of each class in the pixels of the images that show it; a class with 0 gets weight 1.
    """
    shown = frequency > 0
    weights = np.ones(len(frequency))
    if shown.any():
        weights[shown] = np.median(frequency[shown]) / frequency[shown]
    return weights


def effective_number(images: NDArray[np.int64], beta: float = 0.999) -> Floats:
    """Return the class weights of the effective number of samples (Cui et al. 2019), with mean 1.

    Args:
        images: `(K,)` images that show each class, the samples; a class with none is weighted as if it had one.
        beta: in [0, 1); 0 weighs all classes alike, towards 1 a class weighs the inverse of its images.
    """
    weights = (1 - beta) / (1 - beta ** np.maximum(images, 1))
    return np.asarray(weights * len(weights) / weights.sum())


def suggest(recipe: Recipe, training: Tally) -> tuple[Suggestion, ...]:
    """Return what the training split suggests, most consequential first.

    Args:
        recipe: resolved; what it says already is marked so.
        training: never the validation split, which must not decide how a model is trained.

    Raises:
        RecipeError: the recipe's choice of classes does not fit the dataset.
    """
    learnt = learnt_classes(recipe, training)
    found = [_crop(recipe, training), _top(recipe, training)]
    if learnt is not None:
        found += [_weights(recipe, learnt), _sampling(recipe, learnt)]
    return tuple(suggestion for suggestion in found if suggestion is not None)


def _crop(recipe: Recipe, training: Tally) -> Suggestion:
    short = training.census.sizes.min(1)
    median = int(np.median(short))
    side = min(max(STRIDE, median // STRIDE * STRIDE), LARGEST_CROP)
    size = (side, side)
    reason = f"Half of the images have a short side of at least {median} px. "
    if median >= LARGEST_CROP + STRIDE:
        reason += f"{side} is what large datasets are usually trained at; memory grows with the area."
    else:
        reason += f"{side} is the largest multiple of {STRIDE} for which those need not be enlarged."
    return Suggestion(
        name="crop size",
        title=f"Train at {side}x{side}",
        reason=reason,
        changes={"augment": {"size": list(size)}},
        applied=tuple(recipe.augment.size) == size,
    )


def _top(recipe: Recipe, training: Tally) -> Suggestion | None:
    """Suggest the classes that cover most pixels; of few classes every one was annotated for a reason."""
    classes = len(training.pixels)
    if classes < MANY_CLASSES or not training.order or recipe.labels.classes is not None:
        return None
    top = int(np.searchsorted(training.coverage()[:, 0], COVERED)) + 1
    if top > classes / 2:
        return None
    others = np.delete(training.images, training.order[:top])
    images = units.share(float(np.median(others)) / len(training.records))
    return Suggestion(
        name="top-k",
        title=f"Try the {top} most common classes first",
        reason=f"They cover {units.share(COVERED)} of the annotated pixels. The other {classes - top} share the rest; "
        f"half of those are in at most {images} of the images. A model of fewer classes is faster to judge, but "
        "scores are comparable only among models of the same classes.",
        changes={"labels": {"top": top, "ratios": "dataset"}},
        applied=recipe.labels.top == top,
    )


def _weights(recipe: Recipe, learnt: Learnt) -> Suggestion | None:
    pixels = learnt.pixels.sum(0)
    shown = pixels[pixels > 0]
    if not len(shown) or shown.max() < UNEVEN * shown.min():
        return None
    uneven = units.count(shown.max() / shown.min())
    weights = [float(f"{weight:.3g}") for weight in median_frequency(learnt.frequency)]
    return Suggestion(
        name="class weights",
        title="Weigh the classes in the loss",
        reason=f"The most common class has {uneven} times the pixels of the rarest one. "
        f"Median frequency balancing weighs them from {min(weights):g} to {max(weights):g}: it finds more of the rare "
        "classes, at the price of pixel accuracy. Compare with a run without. These weights are for the "
        f"{len(weights)} classes that the recipe learns: count again after choosing others.",
        changes={"loss": {"name": "cross_entropy", "class_weights": weights}},
        applied=recipe.loss.options.get("class_weights") is not None,
    )


def _sampling(recipe: Recipe, learnt: Learnt) -> Suggestion | None:
    shown = learnt.images / len(learnt.pixels)
    rare = np.flatnonzero((shown > 0) & (shown < RARE))
    if not len(rare):
        return None
    rarest = rare[np.argmin(shown[rare])]
    every = round(1 / shown[rarest])
    return Suggestion(
        name="sampling",
        title="Show images with rare classes more often",
        reason=f"{len(rare)} of {len(shown)} classes {'is' if len(rare) == 1 else 'are'} in fewer than "
        f"{100 * RARE:.0f} % of the images; "
        f"the rarest, {learnt.labels.names[rarest].split(',')[0]}, is in one of {every:,}. Try this or class weights, "
        "not both at first.",
        changes={"data": {"sampling": "rare"}},
        applied=recipe.data.sampling == "rare",
    )
