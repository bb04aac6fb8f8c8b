"""A contact sheet of what training sees: each row an image with its mask, then augmented samples of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from segfit.config import AugmentConfig
from segfit.curation.opening import Dataset
from segfit.curation.preview.sheet import Row, draw_sheet
from segfit.data import Image, Record
from segfit.data.augment import augment, choose_partner, rng_for
from segfit.data.loader.reading import Pairs, open_pairs
from segfit.errors import DataError
from segfit.folder import replacing
from segfit.labels import LabelSpace, Mask
from segfit.parts import label_space

__all__ = ["preview"]

UNLIMITED = 1.0
"""The `cat_max_ratio` that is off."""


def preview(
    dataset: Dataset,
    out: Path,
    *,
    images: int = 6,
    samples: int = 4,
    seed: int | None = None,
    split: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Path:
    """Write a contact sheet of augmented samples with their masks over them.

    The samples are those that training makes of the images in its first epochs.

    Args:
        dataset: what `open_dataset` returns.
        out: the PNG to write.
        images: rows; the images are chosen at random by the seed.
        samples: samples of each image, of one epoch each.
        seed: decides images and samples; by default the recipe's.
        split: whose images; by default the training split.
        progress: called with (done, total) rows.

    Raises:
        DataError: no such split, it is empty, an image or a mask is unreadable, or `out` is not a PNG.
    """
    if out.suffix.lower() != ".png":
        raise DataError(f"{out}: the preview is a PNG: give it a name that ends in .png")
    recipe = dataset.recipe
    seed = recipe.train.seed if seed is None else seed
    split = split or recipe.data.train
    records = dataset.records(split)
    labels = label_space(recipe, dataset.source)
    pairs = _pairs(dataset, split, records, labels)
    chosen = sorted(rng_for(seed, 0, "").permutation(len(records))[:images].tolist())
    rows: list[Row] = []
    for index in chosen:
        progress(len(rows), len(chosen))
        rows.append(_row(pairs, index, recipe.augment, seed, samples))
    title = f"{split}: {len(rows)} of {len(records):,} image{'s' * (len(records) > 1)}"
    sheet = draw_sheet(rows, labels, title, _settings(recipe.augment))
    with replacing(out) as temporary:
        sheet.save(temporary, format="png")
    return out


def _pairs(dataset: Dataset, split: str, records: list[Record], labels: LabelSpace) -> Pairs:
    """Return what reads the records as training does: from the cache where there is one of the training split."""
    data = dataset.recipe.data
    return open_pairs(dataset.source, records, labels, data.cache if split == data.train else None)


def _row(pairs: Pairs, index: int, config: AugmentConfig, seed: int, count: int) -> Row:
    """Return an image and its samples in the first `count` epochs."""
    original = pairs.read(index)

    def partner(rng: np.random.Generator) -> tuple[Image, Mask]:
        other = pairs.read(choose_partner(index, len(pairs.records), rng))
        return other.image, other.mask

    samples = [
        augment(original.image, original.mask, config, rng_for(seed, epoch, original.id), partner)
        for epoch in range(count)
    ]
    return Row(original=original, samples=samples)


def _settings(config: AugmentConfig) -> list[str]:
    """Return what is on, in words."""
    height, width = config.size
    words = [f"preset {config.preset}", f"{width} x {height} pixels"]
    words.append("squashed" if config.scale is None else f"scale {config.scale[0]:g} to {config.scale[1]:g}")
    amounts = config.model_dump(exclude={"preset", "size", "scale"})
    if config.cat_max_ratio == UNLIMITED:
        del amounts["cat_max_ratio"]
    return words + [f"{name} {amount:g}" for name, amount in amounts.items() if amount]
