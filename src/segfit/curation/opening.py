"""What the word DATASET of a command means: the folder of a dataset, a run, or a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segfit.config import Recipe, build_recipe, shipped
from segfit.data import Record, Source
from segfit.errors import DataError, did_you_mean
from segfit.folder import RunFolder
from segfit.parts import build_source, overridden, resolve

__all__ = ["Dataset", "open_dataset"]

USUAL = {"train": ("training", "train"), "validation": ("validation", "val", "valid", "test")}
"""What splits are usually called, by the field of the recipe that names them."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An opened dataset.

    Attributes:
        recipe: resolved; of a bare folder, the default recipe on it.
        source: the dataset.
        splits: of a folder, all that are there; of a recipe or a run, those that it trains on and is scored on.
    """

    recipe: Recipe
    source: Source
    splits: tuple[str, ...]

    def records(self, split: str) -> list[Record]:
        """Return the images of a split; of one that the recipe limits, as many as a run takes.

        Raises:
            DataError: there is no such split, or it has no images.
        """
        data = self.recipe.data
        limits = {data.validation: data.limit_validation, data.train: data.limit_train}
        return self._first(split, limits.get(split))

    def used(self) -> list[Record]:
        """Return the images that a run uses: training, then validation, the same split twice if it is both.

        Raises:
            DataError: a split has no images.
        """
        data = self.recipe.data
        return [
            *self._first(data.train, data.limit_train),
            *self._first(data.validation, data.limit_validation),
        ]

    def _first(self, split: str, limit: int | None) -> list[Record]:
        records = self.source.records(split)[:limit]
        if not records:
            raise DataError(f"{self.recipe.data.root}: the split {split!r} has no images")
        return records


def open_dataset(where: str | Path, overrides: Sequence[str] = ()) -> Dataset:
    """Open the dataset that `where` means.

    Args:
        where: folder of a dataset (its kind is guessed unless ``data.name`` is overridden), run folder, or what
            `load_recipe` reads.
        overrides: ``section.key=value`` on top.

    Raises:
        UserError: there is no such thing, or it is not a dataset.
    """
    if not str(where):
        raise DataError("no dataset is named: give the folder of a dataset, a run or a recipe")
    path = Path(where)
    if path.is_dir() and not RunFolder(path).exists():
        return _open_folder(path, overrides)
    if not path.exists() and not path.suffix and str(where) not in (known := shipped("recipe")):
        raise DataError(f"{where}: no such folder, run or recipe{did_you_mean(str(where), known)}")
    recipe = RunFolder(path).recipe() if path.is_dir() else overridden(where, ())
    # Where a recipe was resolved does not matter for its data.
    recipe = resolve(overridden(recipe, ["train.device=auto", "train.precision=auto", *overrides]))
    return Dataset(
        recipe=recipe,
        source=build_source(recipe),
        splits=tuple(dict.fromkeys((recipe.data.train, recipe.data.validation))),
    )


def _open_folder(root: Path, overrides: Sequence[str]) -> Dataset:
    named = {word.partition("=")[0] for word in overrides}
    tree = {"data": {"name": _guess(root), "root": str(root)}}
    recipe = resolve(build_recipe(tree, overrides))
    source = build_source(recipe)
    splits = source.splits()
    usual = [
        f"data.{field}={next((name for name in names if name in splits), splits[0])}"
        for field, names in USUAL.items()
        if f"data.{field}" not in named
    ]
    recipe = overridden(recipe, usual)
    chosen = {"data.train", "data.validation"} & named
    return Dataset(
        recipe=recipe,
        source=source,
        splits=tuple(dict.fromkeys((recipe.data.train, recipe.data.validation))) if chosen else tuple(splits),
    )


def _guess(root: Path) -> str:
    """Return the kind of the dataset in a folder."""
    if any(root.glob("*.parquet")) or any(root.glob("data/*.parquet")):
        return "hub"
    if (root / "annotations").is_dir():
        return "ade20k"
    if (root / "masks").is_dir() or (root / "images").is_dir():
        return "folder"
    raise DataError(
        f"{root}: not a dataset (no folders 'images' and 'masks' or 'annotations', no .parquet files): name its kind "
        "and folders, for example data.name=folder data.images=JPEGImages data.masks=SegmentationClass, or convert it "
        "(segfit data convert --help)"
    )
